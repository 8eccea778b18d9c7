//! Receipts: what became of one message, for who put it there and wants to know.
//!
//! Owns the one-shot way from the queue that ends a message to whoever holds its receipt. Most messages have none.

use tokio::sync::oneshot;

use crate::aside::AsideReason;

/// How a message left its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was dealt with.
    Completed,
    /// It was put aside.
    Aside {
        /// Why.
        reason: AsideReason,
        /// What the module or the host said; at most [`crate::limits::REASON_BYTES_MAX`] bytes.
        detail: String,
    },
    /// Its time to live ended while it waited.
    Expired,
    /// Its module was removed, or the router is gone.
    Removed,
}

/// Tells what becomes of one message; made by [`crate::sender::Staged::receipt`].
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Outcome>);

/// The other end, which stays with the message. Dropped unused, it stands for [`Outcome::Removed`].
pub(crate) type Tell = oneshot::Sender<Outcome>;

impl Receipt {
    pub(crate) fn new() -> (Tell, Self) {
        let (tell, told) = oneshot::channel();
        (tell, Self(told))
    }

    /// Waits until the message has left its queue.
    pub async fn outcome(self) -> Outcome {
        self.0.await.unwrap_or(Outcome::Removed)
    }
}
