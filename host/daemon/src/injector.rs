//! Messages from an operator to a module's input, past the routes.

use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::{InputName, Message};
use wasm_edge_router::endpoint::Endpoint;
use wasm_edge_router::receipt::Receipt;
use wasm_edge_router::router::Router;
use wasm_edge_router::sender::{Sender, StageError};

/// Puts messages into the queues of one device's modules; they come from `$edgeHub`.
#[derive(Clone)]
pub struct Injector {
    router: Router,
    sender: Sender,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
#[error("the message was not taken: {cause}")]
pub struct InjectError {
    cause: String,
    is_full: bool,
}

impl InjectError {
    fn never(cause: &impl ToString) -> Self {
        Self {
            cause: cause.to_string(),
            is_full: false,
        }
    }

    /// Whether there was no room: the same message may be taken later.
    pub fn is_full(&self) -> bool {
        self.is_full
    }
}

/// What waits in the queues of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Messages that wait or are in hand.
    pub messages: usize,
    /// Messages put aside since the start.
    pub set_aside: u64,
}

impl Injector {
    pub(crate) fn new(router: Router) -> Self {
        let sender = router.sender(&ModuleId::edge_hub());
        Self { router, sender }
    }

    /// Puts a message into a module's queue; waits while there is no room.
    ///
    /// # Errors
    /// [`InjectError`] for a message that can never be taken.
    ///
    /// # Cancel safety
    /// Dropped, the message was taken or not.
    pub async fn inject(
        &self,
        module: &ModuleId,
        input: InputName,
        message: Message,
    ) -> Result<(), InjectError> {
        let endpoint = Endpoint::Module {
            module: module.clone(),
            input,
        };
        loop {
            let room = self.sender.room();
            match self
                .sender
                .stage_to(&endpoint, message.clone(), wasm_edge_clock::now())
            {
                Ok(staged) => {
                    let committed = self.router.commit(None, vec![staged]).await;
                    return committed.map_err(|err| InjectError::never(&err));
                }
                Err(StageError::WouldBlock { .. }) => room.await,
                Err(err) => return Err(InjectError::never(&err)),
            }
        }
    }

    /// Puts a message into a module's queue if there is room now; the receipt tells what becomes of it.
    ///
    /// # Errors
    /// [`InjectError`], which says whether there was no room.
    pub async fn offer(
        &self,
        module: &ModuleId,
        input: InputName,
        message: Message,
    ) -> Result<Receipt, InjectError> {
        let endpoint = Endpoint::Module {
            module: module.clone(),
            input,
        };
        let staged = self
            .sender
            .stage_to(&endpoint, message, wasm_edge_clock::now());
        let mut staged = staged.map_err(|err| InjectError {
            is_full: matches!(err, StageError::WouldBlock { .. }),
            ..InjectError::never(&err)
        })?;
        let receipt = staged.receipt();
        let committed = self.router.commit(None, vec![staged]).await;
        committed.map_err(|err| InjectError::never(&err))?;
        Ok(receipt)
    }

    /// What waits now, upstream included.
    pub fn pending(&self) -> Pending {
        let endpoints = self.router.snapshot().endpoints;
        endpoints.iter().fold(Pending::default(), |sum, endpoint| {
            let counters = &endpoint.counters;
            let aside = counters.rejected + counters.tries_exhausted + counters.retries_exhausted;
            Pending {
                messages: sum.messages + endpoint.queued_messages + endpoint.in_hand_messages,
                set_aside: sum.set_aside + aside,
            }
        })
    }
}
