//! The device as one module under test sees it, and which of them the present thread is in.
//!
//! The harness enters a world for each call of the module; the calls to the host find it through the thread.
//! So tests on several threads do not meet, and a harness may be used inside of another's scripted method.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use log::LevelFilter;
use serde_json::Value;

use super::Fault;
use super::program::Board;
use super::record::{Handled, LogLine, Outcome, Sent};
use super::timers::Timers;
use super::twin::Twin;
use crate::methods::{InvokeError, Response};

/// What another module answers, as the test says.
pub(super) type Callee = Arc<Mutex<dyn FnMut(&str, Value) -> Result<Response, InvokeError> + Send>>;

/// What the module's keys are derived from unless the test says otherwise.
const KEY: &[u8] = b"a key for tests";

thread_local! {
    static ENTERED: RefCell<Vec<Arc<World>>> = const { RefCell::new(Vec::new()) };
}

pub(crate) struct World {
    /// Written by the module's thread and by the test's, never by both at once: they take turns.
    state: Mutex<State>,
    /// Told when the turn changes; only programs have a thread of their own.
    pub(super) turn: Condvar,
}

pub(super) struct State {
    pub(super) identity: Identity,
    pub(super) twin: Twin,
    pub(super) timers: Timers,
    /// The clock: time since the first start, moved by the test alone.
    pub(super) now: Duration,
    pub(super) kind: Kind,
    /// What the handler at work has sent so far.
    pub(super) staged: Vec<Sent>,
    /// What the module did since the test asked last.
    pub(super) record: Handled,
    /// Text and place of the last panic.
    pub(super) panic: Option<String>,
    pub(super) faults: Vec<Fault>,
    pub(super) log_level: LevelFilter,
    pub(super) callees: BTreeMap<String, Callee>,
    pub(super) encrypted: u64,
    pub(super) board: Board,
    data: Option<DataFolder>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What is sent is staged until the handler has answered.
    Handlers,
    /// What is sent goes out at once.
    Program,
}

pub(super) struct Identity {
    pub(super) device: String,
    pub(super) module: String,
    pub(super) hub_host_name: String,
    pub(super) generation_id: String,
    pub(super) key: Vec<u8>,
}

/// Where `/data` is for this world.
struct DataFolder {
    path: PathBuf,
    is_temporary: bool,
}

impl World {
    pub(super) fn new(kind: Kind) -> Arc<Self> {
        watch_panics();
        Arc::new(Self {
            state: Mutex::new(State {
                identity: Identity {
                    device: "test-device".to_owned(),
                    module: "test-module".to_owned(),
                    hub_host_name: "localhost".to_owned(),
                    generation_id: "1".to_owned(),
                    key: KEY.to_vec(),
                },
                twin: Twin::new(),
                timers: Timers::default(),
                now: Duration::ZERO,
                kind,
                staged: Vec::new(),
                record: Handled::new(),
                panic: None,
                faults: Vec::new(),
                log_level: LevelFilter::Info,
                callees: BTreeMap::new(),
                encrypted: 0,
                board: Board::default(),
                data: None,
            }),
            turn: Condvar::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.turn
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the module's code in this world; a panic ends there, and its payload is the error.
    pub(super) fn enter<R>(
        self: &Arc<Self>,
        call: impl FnOnce() -> R,
    ) -> Result<R, Box<dyn Any + Send>> {
        crate::install_logger();
        ENTERED.with_borrow_mut(|worlds| worlds.push(Arc::clone(self)));
        // After a panic nothing of the module is used again.
        let result = panic::catch_unwind(AssertUnwindSafe(call));
        ENTERED.with_borrow_mut(Vec::pop);
        result
    }

    /// What `/data` is for the module.
    pub(crate) fn data_folder(&self) -> PathBuf {
        self.lock().data_folder()
    }

    /// How a call ended that panicked.
    pub(super) fn trapped(&self) -> Outcome {
        let text = self.lock().panic.take();
        Outcome::Trapped(text.unwrap_or_else(|| "a panic without a text".to_owned()))
    }
}

impl State {
    /// What the module did since this was asked last.
    pub(super) fn take_record(&mut self) -> Handled {
        std::mem::replace(&mut self.record, Handled::new())
    }

    /// Lets out what was staged.
    pub(super) fn let_out(&mut self, staged: Vec<Sent>) {
        self.record.sent.extend(staged);
    }

    pub(super) fn has(&self, fault: &Fault) -> bool {
        self.faults.contains(fault)
    }

    /// Where `/data` is; a temporary folder unless the test gave one.
    pub(super) fn data_folder(&mut self) -> PathBuf {
        let data = self.data.get_or_insert_with(DataFolder::temporary);
        data.path.clone()
    }

    pub(super) fn set_data_folder(&mut self, path: PathBuf) {
        self.data = Some(DataFolder {
            path,
            is_temporary: false,
        });
    }
}

impl DataFolder {
    fn temporary() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("wasm-edge-sdk-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Of a process with the same id that was killed.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a test can make a folder for temporary files");
        Self {
            path,
            is_temporary: true,
        }
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        if self.is_temporary {
            // What stays behind is in the folder for temporary files.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The world that the module's code on this thread is in.
///
/// # Panics
/// Outside of a harness: there is no host to call.
#[track_caller]
pub(crate) fn current() -> Arc<World> {
    entered().expect("calls to the host work inside of a component, or of `testing::Harness`")
}

/// The same, if there is one.
pub(super) fn entered() -> Option<Arc<World>> {
    // A panic while the thread ends comes when its variables are gone.
    ENTERED
        .try_with(|worlds| worlds.try_borrow().ok()?.last().cloned())
        .ok()
        .flatten()
}

/// Keeps the text of panics inside of a harness; all panics are told as before.
fn watch_panics() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let Some(world) = entered() {
                let text = info.to_string().replace('\n', " ");
                // Held where the harness itself panics, whose text the test sees anyway.
                if let Ok(mut state) = world.state.try_lock() {
                    state.record.logs.push(LogLine {
                        level: log::Level::Error,
                        text: text.clone(),
                        fields: Vec::new(),
                    });
                    state.panic = Some(text);
                }
            }
            previous(info);
        }));
    });
}
