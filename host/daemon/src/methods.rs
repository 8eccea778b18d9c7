//! Direct methods among the modules of one device, and from the hub to them.
//!
//! Owns who takes methods now, whose calls wait, and who waits for whom. Works without a hub; what a method does is
//! the module's. The supervisor's instances listen, `link` calls for modules, `twins::sync` passes on the hub's calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use wasm_edge_clock::{timeout, timeout_at};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_runtime::events::MethodCall;
use wasm_edge_runtime::guest::{Invocation, InvokeError, MethodResponse, MethodTarget};

/// Calls that may wait for one module: as many as IoT Hub lets be under way for one target.
const WAITING_MAX: usize = 16;

/// The status that a call of the hub is answered with when [`WAITING_MAX`] others wait.
const TOO_MANY_CALLS: u32 = 429;

/// The modules that take methods now, and who waits for whom; clones share it.
#[derive(Clone, Default)]
pub struct Methods {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Written as instances start and end, and as calls begin and end; each for one short step.
    board: Mutex<Board>,
    /// Says that a module began or ceased to listen.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Board {
    listeners: HashMap<ModuleId, Listener>,
    /// The calls under way. There are few: a module waits for one at a time.
    waits: Vec<Wait>,
    /// Tells one listener, and one wait, from those before and after it.
    numbers: u64,
}

struct Listener {
    number: u64,
    calls: mpsc::Sender<MethodCall>,
}

struct Wait {
    number: u64,
    caller: ModuleId,
    callee: ModuleId,
}

/// An instance that takes methods; it ceases to when this is dropped.
pub(crate) struct Listening {
    methods: Methods,
    module: ModuleId,
    number: u64,
}

/// Why a call got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// Nobody takes methods there within the connect timeout.
    Absent,
    /// As many calls wait as may.
    Full,
    /// No answer came in time; the method may have run.
    Timeout,
    /// The callee ended, or threw the call away; the method may have run.
    Ended,
}

/// Why a call was not handed over.
enum Refused {
    /// Nobody listens; the call comes back.
    Absent(MethodCall),
    /// As many wait as may.
    Full(MethodCall),
}

impl Methods {
    /// An instance of this module takes methods from now on, in place of an earlier one.
    pub(crate) fn listen(&self, module: &ModuleId) -> (Listening, mpsc::Receiver<MethodCall>) {
        let (calls, receiver) = mpsc::channel(WAITING_MAX);
        let number = {
            let mut board = self.lock();
            let number = board.number();
            let listener = Listener { number, calls };
            board.listeners.insert(module.clone(), listener);
            number
        };
        self.inner.changed.send_replace(());
        let listening = Listening {
            methods: self.clone(),
            module: module.clone(),
            number,
        };
        (listening, receiver)
    }

    /// Whether an instance of this module takes methods now.
    pub(crate) fn listens(&self, module: &ModuleId) -> bool {
        self.lock().listeners.contains_key(module)
    }

    /// Tells whenever what [`Methods::listens`] answers may have changed.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.inner.changed.subscribe()
    }

    /// Calls a method and waits for the answer.
    ///
    /// # Errors
    /// [`InvokeError::Busy`] for a call in a circle; [`InvokeError::NotFound`] if nobody listens within the connect
    /// timeout, and always for the device itself and its agent, which answer no modules; [`InvokeError::Timeout`] if no answer
    /// comes in time; [`InvokeError::Other`] at once if `WAITING_MAX` calls wait for the callee, or if its instance
    /// ended or threw the call away.
    ///
    /// # Cancel safety
    /// The callee may run the method also when the future is dropped; the answer is lost.
    pub async fn invoke(
        &self,
        caller: &ModuleId,
        call: Invocation,
    ) -> Result<MethodResponse, InvokeError> {
        let MethodTarget::Module(target) = &call.target else {
            return Err(InvokeError::NotFound);
        };
        if target.is_system() {
            return Err(InvokeError::NotFound);
        }
        let target = target.clone();
        let _waiting = self.begin(caller, &target)?;
        let answered = self.call(&target, call).await;
        answered.map_err(|err| match err {
            CallError::Absent => InvokeError::NotFound,
            CallError::Timeout => InvokeError::Timeout,
            CallError::Full | CallError::Ended => InvokeError::Other(err.told(&target)),
        })
    }

    /// Calls a method of a module for somebody who is no module, and waits for the answer. Whom `call` names does not
    /// count.
    ///
    /// # Cancel safety
    /// As [`Methods::invoke`].
    pub(crate) async fn call(
        &self,
        target: &ModuleId,
        call: Invocation,
    ) -> Result<MethodResponse, CallError> {
        let (respond, answer) = oneshot::channel();
        let request = MethodCall {
            name: call.name,
            payload: call.payload,
            respond,
        };
        self.hand_over_within(target, request, call.connect_timeout)
            .await?;
        match timeout(call.response_timeout, answer).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(_)) => Err(CallError::Ended),
            Err(_) => Err(CallError::Timeout),
        }
    }

    /// Passes on a call from the hub.
    ///
    /// Where too many wait, it is answered with status 429; where nobody listens any more, it is dropped, which its
    /// caller hears of.
    pub(crate) fn forward(&self, target: &ModuleId, call: MethodCall) {
        match self.hand_over(target, call) {
            Ok(()) => {}
            Err(Refused::Absent(call)) => {
                tracing::debug!(module = %target, method = call.name, "nobody takes this direct method");
            }
            Err(Refused::Full(call)) => {
                let payload = json!({ "error": too_many(target) }).to_string();
                // A caller that has given up is no fault of ours.
                let _ = call.respond.send(MethodResponse {
                    status: TOO_MANY_CALLS,
                    payload,
                });
            }
        }
    }

    async fn hand_over_within(
        &self,
        target: &ModuleId,
        mut call: MethodCall,
        patience: Duration,
    ) -> Result<(), CallError> {
        let deadline = wasm_edge_clock::now() + patience;
        let mut changed = self.watch();
        loop {
            // Marked as seen before looking, so that no change falls in between.
            changed.mark_unchanged();
            call = match self.hand_over(target, call) {
                Ok(()) => return Ok(()),
                Err(Refused::Full(_)) => return Err(CallError::Full),
                Err(Refused::Absent(call)) => call,
            };
            match timeout_at(deadline, changed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(CallError::Absent),
            }
        }
    }

    fn hand_over(&self, target: &ModuleId, call: MethodCall) -> Result<(), Refused> {
        let board = self.lock();
        let Some(listener) = board.listeners.get(target) else {
            return Err(Refused::Absent(call));
        };
        listener.calls.try_send(call).map_err(|err| match err {
            TrySendError::Full(call) => Refused::Full(call),
            // Its instance has ended and will say so in a moment.
            TrySendError::Closed(call) => Refused::Absent(call),
        })
    }

    /// Notes that `caller` waits for `target`, unless `target` waits, however indirectly, for `caller`.
    fn begin(&self, caller: &ModuleId, target: &ModuleId) -> Result<Waiting, InvokeError> {
        let mut board = self.lock();
        if board.waits_for(target, caller) {
            return Err(InvokeError::Busy);
        }
        let number = board.number();
        board.waits.push(Wait {
            number,
            caller: caller.clone(),
            callee: target.clone(),
        });
        Ok(Waiting {
            methods: self.clone(),
            number,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.inner
            .board
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallError {
    /// In words.
    pub(crate) fn told(self, target: &ModuleId) -> String {
        match self {
            Self::Absent => format!("`{target}` takes no methods now"),
            Self::Full => too_many(target),
            Self::Timeout => format!("`{target}` did not answer in time; the method may have run"),
            Self::Ended => format!(
                "`{target}` ended, or threw the call away, before it answered; the method may have run"
            ),
        }
    }
}

impl Board {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Whether `module` is `other`, or waits for it over any number of calls.
    fn waits_for(&self, module: &ModuleId, other: &ModuleId) -> bool {
        let mut reached = vec![module];
        let mut next = 0;
        while let Some(module) = reached.get(next).copied() {
            if module == other {
                return true;
            }
            next += 1;
            let callees = self.waits.iter().filter(|wait| wait.caller == *module);
            for wait in callees {
                if !reached.contains(&&wait.callee) {
                    reached.push(&wait.callee);
                }
            }
        }
        false
    }
}

fn too_many(target: &ModuleId) -> String {
    format!("{WAITING_MAX} calls wait for `{target}` already, as many as may")
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut board = self.methods.lock();
        // Another instance may listen by now.
        if let Some(listener) = board.listeners.get(&self.module)
            && listener.number == self.number
        {
            board.listeners.remove(&self.module);
        }
        drop(board);
        self.methods.inner.changed.send_replace(());
    }
}

/// A call under way; ends when dropped.
struct Waiting {
    methods: Methods,
    number: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut board = self.methods.lock();
        board.waits.retain(|wait| wait.number != self.number);
    }
}

#[cfg(test)]
mod tests;
