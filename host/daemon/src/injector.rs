//! Messages from an operator to a module's input, past the routes.

use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::{InputName, Message};
use wasm_edge_router::endpoint::Endpoint;
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
                    return committed.map_err(|err| InjectError {
                        cause: err.to_string(),
                    });
                }
                Err(StageError::WouldBlock { .. }) => room.await,
                Err(err) => {
                    return Err(InjectError {
                        cause: err.to_string(),
                    });
                }
            }
        }
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
