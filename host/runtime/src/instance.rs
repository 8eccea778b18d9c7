//! One module instance: its store with all limits, and the loop that calls its handlers.
//!
//! [`run`] owns the instance from start to end and answers with how it ended. It is driven through
//! channels of [`Control`] and [`MethodCall`] and a stream of messages; dropping the future ends the instance at once, and
//! a message in hand goes back to its queue.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::fs::Dir;
use tokio::sync::mpsc;
use wasm_edge_model::manifest::{Grant, Limits};

use crate::code::ModuleCode;
use crate::events::{Control, MethodCall};
use crate::exit::{Exit, ExitReason};
use crate::guest::{Messages, ModuleHost};
use crate::state::Kind;

mod calls;
pub(crate) mod failure;
mod handlers;
mod program;
mod store;

/// All that an instance needs.
pub struct InstanceConfig {
    /// The component.
    pub code: ModuleCode,
    /// The device as this instance reaches it.
    pub host: Arc<dyn ModuleHost>,
    /// Its limits.
    pub limits: Limits,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Arguments behind the program's name.
    pub args: Vec<String>,
    /// What it may see of the host's files.
    pub grants: Vec<Grant>,
    /// Its own folder, which it sees as `/data`.
    pub data: Dir,
    /// The device's data folder, which is never granted.
    pub own_folder: PathBuf,
    /// What the device tells it.
    pub control: mpsc::Receiver<Control>,
    /// Direct methods called on it, if the component takes any.
    pub methods: Option<mpsc::Receiver<MethodCall>>,
    /// Its messages, if the component takes any.
    pub messages: Option<Messages>,
    /// Where it shows what it uses.
    pub gauges: Arc<Gauges>,
    /// Its random numbers come from this seed; `None` gives it the system's.
    pub random_seed: Option<u64>,
}

/// What an instance uses and has done, readable while it runs. Only the instance writes.
#[derive(Debug, Default)]
pub struct Gauges {
    pub(crate) memory_bytes: Arc<AtomicU64>,
    pub(crate) host_memory_bytes: AtomicU64,
    pub(crate) messages_handled: AtomicU64,
    pub(crate) messages_failed: AtomicU64,
}

impl Gauges {
    /// Linear memories and tables together, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    /// What the host keeps for it, in bytes, as of the end of the last call.
    pub fn host_memory_bytes(&self) -> u64 {
        self.host_memory_bytes.load(Ordering::Relaxed)
    }

    /// Messages that its handler completed.
    pub fn messages_handled(&self) -> u64 {
        self.messages_handled.load(Ordering::Relaxed)
    }

    /// Messages that its handler rejected or failed on.
    pub fn messages_failed(&self) -> u64 {
        self.messages_failed.load(Ordering::Relaxed)
    }
}

/// Runs an instance to its end.
///
/// # Cancel safety
/// Dropping the future ends the instance; nothing that it staged goes out.
pub async fn run(config: InstanceConfig) -> Exit {
    let (code, gauges) = (config.code.clone(), Arc::clone(&config.gauges));
    let store = match store::build(config) {
        Ok(store) => store,
        Err(err) => {
            return Exit::of(ExitReason::NotStarted {
                cause: format!("{err:#}"),
            });
        }
    };
    let exit = match code.kind() {
        Kind::Handlers => handlers::run(&code, store, &gauges).await,
        Kind::Program => program::run(&code, store).await,
    };
    gauges.memory_bytes.store(0, Ordering::Relaxed);
    gauges.host_memory_bytes.store(0, Ordering::Relaxed);
    exit
}

#[cfg(all(test, feature = "compiler"))]
mod tests;
