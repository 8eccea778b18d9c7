//! What uploads need beside the device: a way out, and somebody who makes support bundles.
//!
//! The root sets both, the agent's tasks use them. Without them a device answers that it cannot do what was asked.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use wasm_edge_model::agent_method::BundleRequest;
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_net::dial::Dialer;
use wasm_edge_net::traffic::Counter;

/// What uploads need; clones share it. By default there is nothing.
#[derive(Clone, Default)]
pub struct Uploads {
    /// The way to where they go.
    pub way_out: Option<WayOut>,
    /// Who makes support bundles.
    pub bundles: Option<Arc<dyn BundleMaker>>,
}

/// Why there is no way out.
type OpenError = Box<dyn std::error::Error + Send + Sync>;

/// A way out that is made when it is used first: most devices never upload anything. Clones share it.
#[derive(Clone)]
pub struct WayOut {
    open: Arc<dyn Fn() -> Result<Dialer, OpenError> + Send + Sync>,
    /// Set by the first who gets that far.
    opened: Arc<Mutex<Option<Dialer>>>,
    counter: Counter,
}

/// Who makes support bundles.
pub trait BundleMaker: Send + Sync + 'static {
    /// Writes the bundle of a device into an empty file, as a zip. The error is a text for who asked for it.
    fn make(
        &self,
        device: DeviceId,
        request: BundleRequest,
        file: File,
    ) -> BoxFuture<'static, Result<(), String>>;
}

impl WayOut {
    /// A way that `open` makes; it may block. What goes over it is counted there.
    pub fn new(
        open: impl Fn() -> Result<Dialer, OpenError> + Send + Sync + 'static,
        counter: Counter,
    ) -> Self {
        Self {
            open: Arc::new(open),
            opened: Arc::default(),
            counter,
        }
    }

    /// What connects. Blocks the first time.
    ///
    /// # Errors
    /// The text of what went wrong.
    pub(crate) fn dialer(&self) -> Result<Dialer, String> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dialer) = &*opened {
            return Ok(dialer.clone());
        }
        let dialer = (self.open)().map_err(|err| chain(&*err))?;
        Ok(opened.insert(dialer).clone())
    }

    /// Where it is counted.
    pub(crate) fn counter(&self) -> &Counter {
        &self.counter
    }
}
