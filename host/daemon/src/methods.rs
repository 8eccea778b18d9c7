//! Direct methods among the modules of one device, and from the hub to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_runtime::events::MethodCall;
use wasm_edge_runtime::guest::{Invocation, InvokeError, MethodResponse, MethodTarget};

/// Calls that may wait for one module.
const WAITING_MAX: usize = 16;

/// The modules that take methods now, and who waits for whom; clones share it.
#[derive(Clone, Default)]
pub struct Methods {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Written as instances start and end, and as calls begin and end; each for one short step.
    board: Mutex<Board>,
    listening: Notify,
}

#[derive(Default)]
struct Board {
    listeners: HashMap<ModuleId, mpsc::Sender<MethodCall>>,
    /// Caller to callee; a module waits for one call at a time, since it is one thread.
    waiting: HashMap<ModuleId, ModuleId>,
}

impl Methods {
    /// An instance of this module takes methods from now on, until the receiver is dropped.
    pub(crate) fn listen(&self, module: &ModuleId) -> mpsc::Receiver<MethodCall> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        self.lock().listeners.insert(module.clone(), sender);
        self.inner.listening.notify_waiters();
        receiver
    }

    /// Calls a method and waits for the answer.
    ///
    /// # Errors
    /// [`InvokeError::Busy`] for a call in a circle, [`InvokeError::NotFound`] if nobody listens within
    /// the connect timeout, [`InvokeError::Timeout`] if no answer comes.
    pub async fn invoke(
        &self,
        caller: &ModuleId,
        call: Invocation,
    ) -> Result<MethodResponse, InvokeError> {
        let MethodTarget::Module(target) = &call.target else {
            return Err(InvokeError::NotFound);
        };
        let _waiting = self.begin(caller, target)?;
        let listener = self
            .listener(target, call.connect_timeout)
            .await
            .ok_or(InvokeError::NotFound)?;
        let (respond, answer) = oneshot::channel();
        let request = MethodCall {
            name: call.name,
            payload: call.payload,
            respond,
        };
        let deadline = Instant::now() + call.response_timeout;
        match tokio::time::timeout_at(deadline, listener.send(request)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(InvokeError::NotFound),
            Err(_) => return Err(InvokeError::Timeout),
        }
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(response)) => Ok(response),
            // The instance ended, or it dropped the call: for the caller there is no answer.
            Ok(Err(_)) | Err(_) => Err(InvokeError::Timeout),
        }
    }

    /// Passes on a call from the hub; where it cannot be, its `respond` is dropped.
    pub(crate) fn forward(&self, target: &ModuleId, call: MethodCall) {
        let listener = self.lock().listeners.get(target).cloned();
        if let Some(listener) = listener
            && let Err(err) = listener.try_send(call)
        {
            tracing::debug!(module = %target, %err, "a direct method was not passed on");
        }
    }

    /// Notes that `caller` waits for `target`, unless `target` waits, however indirectly, for `caller`.
    fn begin(&self, caller: &ModuleId, target: &ModuleId) -> Result<Waiting, InvokeError> {
        let mut board = self.lock();
        let mut next = Some(target);
        while let Some(module) = next {
            if module == caller {
                return Err(InvokeError::Busy);
            }
            next = board.waiting.get(module);
        }
        board.waiting.insert(caller.clone(), target.clone());
        Ok(Waiting {
            methods: self.clone(),
            caller: caller.clone(),
        })
    }

    async fn listener(
        &self,
        target: &ModuleId,
        patience: Duration,
    ) -> Option<mpsc::Sender<MethodCall>> {
        let deadline = Instant::now() + patience;
        loop {
            let listening = self.inner.listening.notified();
            let found = self
                .lock()
                .listeners
                .get(target)
                .filter(|sender| !sender.is_closed())
                .cloned();
            if found.is_some() {
                return found;
            }
            tokio::time::timeout_at(deadline, listening).await.ok()?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.inner
            .board
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way; ends when dropped.
struct Waiting {
    methods: Methods,
    caller: ModuleId,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.methods.lock().waiting.remove(&self.caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(id: &str) -> ModuleId {
        ModuleId::new(id).expect("valid")
    }

    fn call(target: &str, connect: Duration) -> Invocation {
        Invocation {
            target: MethodTarget::Module(module(target)),
            name: "n".to_owned(),
            payload: "null".to_owned(),
            response_timeout: Duration::from_secs(5),
            connect_timeout: connect,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_answered_by_whoever_listens() {
        let methods = Methods::default();
        let mut listener = methods.listen(&module("b"));
        let caller = module("a");
        let invoked = methods.invoke(&caller, call("b", Duration::ZERO));
        let answered = async {
            let call = listener.recv().await.expect("a call");
            let _ = call.respond.send(MethodResponse {
                status: 200,
                payload: "1".to_owned(),
            });
        };
        let (response, ()) = tokio::join!(invoked, answered);
        assert_eq!(
            response,
            Ok(MethodResponse {
                status: 200,
                payload: "1".to_owned()
            })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_there_and_no_answer_are_told_apart() {
        let methods = Methods::default();
        let caller = module("a");
        let absent = methods
            .invoke(&caller, call("b", Duration::from_secs(3)))
            .await;
        assert_eq!(absent, Err(InvokeError::NotFound));
        let _listener = methods.listen(&module("b"));
        assert_eq!(
            methods.invoke(&caller, call("b", Duration::ZERO)).await,
            Err(InvokeError::Timeout)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn circles_are_refused_at_once() {
        let methods = Methods::default();
        assert_eq!(
            methods
                .invoke(&module("a"), call("a", Duration::ZERO))
                .await,
            Err(InvokeError::Busy)
        );
        let _ab = methods
            .begin(&module("a"), &module("b"))
            .expect("no circle");
        let bc = methods
            .begin(&module("b"), &module("c"))
            .expect("no circle");
        assert_eq!(
            methods
                .invoke(&module("c"), call("a", Duration::ZERO))
                .await,
            Err(InvokeError::Busy)
        );
        drop(bc);
        let _listener = methods.listen(&module("a"));
        assert_eq!(
            methods
                .invoke(&module("c"), call("a", Duration::ZERO))
                .await,
            Err(InvokeError::Timeout)
        );
    }
}
