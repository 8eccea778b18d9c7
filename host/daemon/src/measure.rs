//! What `wasm-edge bench` compares modules with, and what it asks of a device that no one else does.
//!
//! The baselines: wasmtime's own call and instance without anything of a device, and a module that is a native
//! function behind the same router.

mod message_store;

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use wasm_edge_images::source::{ImageError, ImageSource};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::ImageReference;
use wasm_edge_model::message::{Message, OutputName};
use wasm_edge_router::inbox::CommitError;
use wasm_edge_router::router::Router;
use wasm_edge_router::sender::{Sender, StageError, Staged};
use wasm_edge_runtime::measure::{self, MeasureError};
use wasm_edge_runtime::precompiled::ModuleCode;

use crate::code::{CodeStore, CodeStoreError};
pub use message_store::{MessageStore, MessageStoreError};

/// Why a baseline could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The component cannot be read.
    #[error("cannot load the component")]
    Image(#[from] ImageError),
    /// There is no code for it.
    #[error("cannot use the component")]
    Code(#[from] CodeStoreError),
    /// It cannot be called.
    #[error(transparent)]
    Measure(#[from] MeasureError),
}

/// A component whose code is there, for the baselines.
pub struct Bare {
    code: ModuleCode,
}

impl Bare {
    /// Loads a component's code, compiled if need be. `component` is an absolute path.
    ///
    /// # Errors
    /// [`BaselineError`].
    pub async fn load(codes: &CodeStore, component: &Path) -> Result<Self, BaselineError> {
        let reference = ImageReference::File {
            path: component.to_string_lossy().into_owned(),
        };
        let source = ImageSource::new(Path::new("/"));
        let image = tokio::task::spawn_blocking(move || source.load(&reference, None));
        let image = image
            .await
            .expect("reading a file does not panic, and the runtime outlives the device")?;
        let (code, _) = codes.load(image).await?;
        Ok(Self { code })
    }

    /// The time for so many of wasmtime's own calls of the component's health check.
    ///
    /// # Errors
    /// [`BaselineError::Measure`].
    pub async fn calls(&self, calls: u64) -> Result<Duration, BaselineError> {
        Ok(measure::bare_calls(&self.code, calls).await?)
    }

    /// The time for so many instances that wasmtime makes of the component.
    ///
    /// # Errors
    /// [`BaselineError::Measure`].
    pub async fn instances(&self, instances: u64) -> Result<Duration, BaselineError> {
        Ok(measure::bare_instances(&self.code, instances).await?)
    }
}

/// What a native module does with a message: what goes out, if anything.
pub type NativeHandler = fn(&Message) -> Option<Message>;

/// A module that is a native function: it takes from its queue and sends on an output as a component would, and
/// what it sends goes out with the completion of its message. Runs until it is dropped.
pub async fn native_module(
    router: Router,
    module: ModuleId,
    output: OutputName,
    handler: NativeHandler,
) {
    let inbox = router.inbox(&module);
    let sender = router.sender(&module);
    loop {
        let delivery = inbox.next().await;
        let staged = match handler(delivery.message()) {
            None => Vec::new(),
            Some(message) => match stage(&sender, &output, &message).await {
                Ok(staged) => vec![staged],
                Err(err) => {
                    tracing::error!(%module, %err, "a native module sent what cannot be sent");
                    Vec::new()
                }
            },
        };
        if let Err(err) = delivery.complete(staged).await {
            tracing::error!(%module, %err, "a native module's message was not completed");
        }
    }
}

/// Sends one message so often as a module that need not be there, as fast as its queue takes it.
///
/// # Errors
/// [`StageError`] for a message that can never be taken, [`CommitError`].
pub async fn native_source(
    router: Router,
    module: ModuleId,
    output: OutputName,
    message: Message,
    messages: u64,
) -> Result<(), SourceError> {
    let sender = router.sender(&module);
    for _ in 0..messages {
        let staged = stage(&sender, &output, &message).await?;
        router.commit(None, vec![staged]).await?;
    }
    Ok(())
}

/// Why a native source ended early.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Its message cannot be sent.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// It was not let out.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Takes a place for a message, as soon as there is one.
async fn stage(
    sender: &Sender,
    output: &OutputName,
    message: &Message,
) -> Result<Staged, StageError> {
    loop {
        let room = sender.room();
        match sender.stage(Some(output.clone()), message.clone(), Instant::now()) {
            Err(StageError::WouldBlock { .. }) => room.await,
            answer => return answer,
        }
    }
}
