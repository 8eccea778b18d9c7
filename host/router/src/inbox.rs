//! Taking: the next message of a module or of upstream, and the ways to end it.
//!
//! Owns the handles of a consumer. The daemon's supervisor takes for modules, usually one message at a time;
//! its upstream part takes several, until the hub has acknowledged them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::{InputName, Message, MessageId, MessageSource, SystemProperty};

use crate::endpoint::Endpoint;
use crate::router::Shared;
use crate::sender::Staged;
use crate::state::{Ending, Lease, MailboxId, Next};
use crate::tries::AfterTry;

/// Takes messages for one consumer. Clones take from the same queues.
#[derive(Clone)]
pub struct Inbox {
    mailbox: Arc<Consumer>,
}

/// What an inbox and its deliveries share.
struct Consumer {
    shared: Arc<Shared>,
    id: MailboxId,
    notify: Arc<Notify>,
}

impl Inbox {
    pub(crate) fn new(shared: Arc<Shared>, id: MailboxId, notify: Arc<Notify>) -> Self {
        Inbox {
            mailbox: Arc::new(Consumer { shared, id, notify }),
        }
    }

    /// Waits for the next message: of those at any input the highest priority first, then the oldest. After
    /// [`crate::turns::HIGHER_IN_A_ROW_MAX`] messages of higher priority in a row, a lower one has its turn.
    ///
    /// Order is kept per endpoint and priority, upstream per sender and priority, as long as one message is in
    /// hand at a time; with several, one that comes back is handed over again after those taken meanwhile. A
    /// queue whose first message waits after a try stands still, the others go on.
    ///
    /// # Cancel safety
    /// Nothing is taken before it returns.
    pub async fn next(&self) -> Delivery {
        self.next_of(usize::MAX).await
    }

    /// Waits for the next message as [`Inbox::next`] does, upstream of those senders only of which fewer than so
    /// many messages are in hand.
    ///
    /// # Cancel safety
    /// Nothing is taken before it returns.
    pub async fn next_of(&self, of_each_max: usize) -> Delivery {
        let consumer = &*self.mailbox;
        loop {
            // Made before the look, it misses nothing.
            let progress = consumer.shared.progress.notified();
            let now = wasm_edge_clock::now();
            let next = consumer
                .shared
                .with(|state| state.take(consumer.id, of_each_max, now));
            match next {
                Next::Lease(lease, endpoint) => {
                    return Delivery {
                        consumer: Arc::clone(&self.mailbox),
                        endpoint,
                        store: consumer.shared.store_id,
                        lease: Some(lease),
                    };
                }
                // A message that comes meanwhile leaves its wake-up behind, so that none is missed.
                Next::Empty => consumer.notify.notified().await,
                Next::Waits(at) => {
                    let _ = wasm_edge_clock::timeout_at(at, consumer.notify.notified()).await;
                }
                Next::Stalled(at) => {
                    let changed = async {
                        tokio::select! {
                            () = consumer.notify.notified() => {}
                            () = progress => {}
                        }
                    };
                    match at {
                        Some(at) => drop(wasm_edge_clock::timeout_at(at, changed).await),
                        None => changed.await,
                    }
                }
            }
        }
    }

    /// Hands over no message of a sender until [`Inbox::resume`]: what it has waits and may expire. Upstream only;
    /// to a consumer that takes for a module it makes no difference.
    pub fn pause(&self, sender: &ModuleId) {
        let shared = &self.mailbox.shared;
        shared.with(|state| state.pause_upstream(sender, true));
    }

    /// Hands over messages of a sender again.
    pub fn resume(&self, sender: &ModuleId) {
        let shared = &self.mailbox.shared;
        if shared.with(|state| state.pause_upstream(sender, false)) {
            self.mailbox.notify.notify_one();
        }
    }
}

/// A message in hand, until it is ended.
///
/// Dropping it puts it back at its place as it was: no try is counted.
#[must_use = "a delivery that is dropped goes back to its queue"]
pub struct Delivery {
    consumer: Arc<Consumer>,
    endpoint: Arc<Endpoint>,
    /// The first part of its id.
    store: u32,
    /// Taken out by whatever ends it.
    lease: Option<Lease>,
}

impl Delivery {
    /// The message. Its body is held once, however many endpoints it went to.
    pub fn message(&self) -> &Arc<Message> {
        &self.lease().entry.message
    }

    /// Where it waited.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The input it is for, shown to the module as `inputName`; absent upstream.
    pub fn input(&self) -> Option<&InputName> {
        self.endpoint.input()
    }

    /// Who sent it.
    pub fn source(&self) -> &MessageSource {
        &self.lease().entry.source
    }

    /// How often it was handed over before and came back, dropped deliveries not counted.
    pub fn previous_tries(&self) -> u32 {
        self.lease().entry.tries.total()
    }

    /// Its order of arrival: of two messages of an endpoint and priority, the smaller one comes first.
    pub fn sequence(&self) -> u64 {
        self.lease().entry.sequence.number()
    }

    /// Its identity, which it keeps when it is handed over again, over restarts too where it is kept.
    pub fn id(&self) -> MessageId {
        self.lease().entry.id.id(self.store)
    }

    /// The message as it is shown outside: with its identity as `messageId`, unless its sender set one.
    pub fn message_with_id(&self) -> Arc<Message> {
        let message = self.message();
        if message.system.get(SystemProperty::MessageId).is_some() {
            return Arc::clone(message);
        }
        let mut message = Message::clone(message);
        let id = self.id().to_string();
        message.system.set(SystemProperty::MessageId, id);
        Arc::new(message)
    }

    /// The priority it waited at; 0 is the highest.
    pub fn priority(&self) -> u32 {
        self.lease().priority
    }

    /// Completes the message and sends what was staged, in one step: see
    /// [`crate::router::Router::commit`], which waits until that is kept. This does not: what follows from it comes
    /// later in the journal, so that it is never kept without it. When too much is on its way to the disk, the next
    /// message waits.
    ///
    /// # Errors
    /// [`CommitError`] hands both back; the message is still in hand.
    pub async fn complete(self, staged: Vec<Staged>) -> Result<(), CommitError> {
        let consumer = Arc::clone(&self.consumer);
        consumer.shared.commit(Some(self), staged, false)?;
        Ok(())
    }

    /// Wakes a consumer that has as many of a sender's messages in hand as it wants.
    pub(crate) fn wake_consumer(&self) {
        if *self.endpoint == Endpoint::Upstream {
            self.consumer.notify.notify_one();
        }
    }

    /// Completes the message as [`Delivery::complete`] does, and returns once all of it is kept.
    ///
    /// # Errors
    /// [`CommitError`]; unless the device ends, it hands both back.
    pub async fn complete_and_keep(self, staged: Vec<Staged>) -> Result<(), CommitError> {
        let consumer = Arc::clone(&self.consumer);
        consumer.shared.commit_and_keep(Some(self), staged).await
    }

    /// Not now: the message comes again after so long, at most an hour
    /// ([`crate::limits::RETRY_AFTER_MAX`]), and its queue waits with it. No failed try is counted; asked for
    /// too often ([`crate::limits::RETRIES_MAX`]) it is put aside.
    pub fn retry(self, after: Duration) -> AfterTry {
        self.end(Ending::Retry(after))
    }

    /// The try failed: the message comes again after a wait that doubles each time, and its queue waits with
    /// it; after too many tries ([`crate::limits::TRIES_MAX`]) it is put aside with the reason.
    pub fn fail(self, reason: &str) -> AfterTry {
        self.end(Ending::Fail(reason))
    }

    /// Never: the message is put aside with the reason, of which at most
    /// [`crate::limits::REASON_BYTES_MAX`] bytes are kept.
    pub fn reject(self, reason: &str) -> AfterTry {
        self.end(Ending::Reject(reason))
    }

    pub(crate) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.consumer.shared, shared)
    }

    /// Takes out what dropping it would put back.
    pub(crate) fn take_lease(&mut self) -> Option<Lease> {
        self.lease.take()
    }

    fn end(mut self, ending: Ending<'_>) -> AfterTry {
        let Some(lease) = self.lease.take() else {
            return AfterTry::Removed;
        };
        let now = wasm_edge_clock::now();
        let after = self
            .consumer
            .shared
            .with(|state| state.end_try(lease, ending, now));
        // Whoever waits for the next message has to learn how long this one waits, or that the next one's
        // turn has come.
        self.consumer.notify.notify_one();
        after
    }

    fn lease(&self) -> &Lease {
        self.lease
            .as_ref()
            .expect("only methods that consume the delivery take the lease out")
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.consumer.shared.with(|state| state.put_back(lease));
            self.consumer.notify.notify_one();
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("endpoint", &format_args!("{}", self.endpoint))
            .field("sequence", &self.sequence())
            .field("previous_tries", &self.previous_tries())
            .finish_non_exhaustive()
    }
}

/// A commit that did not happen.
///
/// Dropping it drops what it hands back: the message goes back to its queue and the places are released.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub struct CommitError {
    fault: CommitFault,
    uncommitted: Box<Uncommitted>,
}

/// What a commit that did not happen hands back.
#[derive(Debug)]
pub struct Uncommitted {
    /// The message that was to be completed, still in hand.
    pub completed: Option<Delivery>,
    /// The messages that were to be sent, still staged.
    pub staged: Vec<Staged>,
}

/// Why a commit did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitFault {
    /// The message or what was staged belongs to the router of another device.
    #[error("message of another device's router")]
    OtherRouter,
    /// The device ends and could not write it any more. Nothing is handed back.
    #[error("the device ended before it was written")]
    NotKept,
}

impl CommitError {
    pub(crate) fn new(
        fault: CommitFault,
        completed: Option<Delivery>,
        staged: Vec<Staged>,
    ) -> Self {
        CommitError {
            fault,
            uncommitted: Box::new(Uncommitted { completed, staged }),
        }
    }

    pub(crate) fn not_kept() -> Self {
        CommitError::new(CommitFault::NotKept, None, Vec::new())
    }

    /// Why it did not happen.
    pub fn fault(&self) -> CommitFault {
        self.fault
    }

    /// Takes out what was handed back.
    pub fn into_uncommitted(self) -> Uncommitted {
        *self.uncommitted
    }
}
