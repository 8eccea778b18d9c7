//! What is broken on purpose around a module under test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasm_edge_model::message::OutputName;
use wasm_edge_runtime::guest::InjectedFailure;

/// Something to break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The hub cannot be reached.
    Offline,
    /// Queues are full: of one output, or of all.
    QueueFull(Option<OutputName>),
    /// Direct methods that the module calls fail.
    Method(MethodFailure),
    /// The instance traps at the end of the message with this number, once.
    TrapOn(u64),
    /// The instance exceeds its deadline at the message with this number, once.
    DeadlineOn(u64),
}

/// How direct methods that the module calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodFailure {
    /// There is no such callee.
    NotFound,
    /// No answer comes in time.
    Timeout,
    /// The call would wait for itself.
    Busy,
    /// The callee answers with this status and without a payload.
    Status(u32),
}

/// What is broken now; clones share it. Written by the driver, read by the module's calls.
#[derive(Clone, Default)]
pub(super) struct Faults {
    inner: Arc<Mutex<Broken>>,
}

#[derive(Default)]
struct Broken {
    offline: bool,
    all_full: bool,
    full: Vec<OutputName>,
    method: Option<MethodFailure>,
    failing: BTreeMap<u64, InjectedFailure>,
}

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        let mut broken = self.lock();
        match fault {
            Fault::Offline => broken.offline = true,
            Fault::QueueFull(None) => broken.all_full = true,
            Fault::QueueFull(Some(output)) => broken.full.push(output),
            Fault::Method(failure) => broken.method = Some(failure),
            Fault::TrapOn(number) => {
                broken.failing.insert(number, InjectedFailure::Trap);
            }
            Fault::DeadlineOn(number) => {
                broken.failing.insert(number, InjectedFailure::Deadline);
            }
        }
    }

    /// All is well again.
    pub(super) fn clear(&self) {
        *self.lock() = Broken::default();
    }

    pub(super) fn is_offline(&self) -> bool {
        self.lock().offline
    }

    pub(super) fn is_full(&self, output: Option<&OutputName>) -> bool {
        let broken = self.lock();
        broken.all_full || output.is_some_and(|output| broken.full.contains(output))
    }

    /// Whether something is broken that a module may wait for: its messages may not come to an end before.
    pub(super) fn hold_up(&self) -> bool {
        let broken = self.lock();
        broken.all_full || !broken.full.is_empty() || broken.method.is_some()
    }

    pub(super) fn method(&self) -> Option<MethodFailure> {
        self.lock().method
    }

    /// What the handling of this message is to end in; asked once, it is used up.
    pub(super) fn take_failure(&self, message: u64) -> Option<InjectedFailure> {
        self.lock().failing.remove(&message)
    }

    fn lock(&self) -> MutexGuard<'_, Broken> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
