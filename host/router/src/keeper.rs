//! Reads from the journal what the queues run low of, on a thread of its own.
//!
//! Owns the list of wishes and the thread. The state wishes under the router's lock, the keeper reads outside of it
//! and brings what it found back; whoever takes from the queue is woken then. It ends when the router is gone.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, Weak};

use wasm_edge_model::error::chain;

use crate::journal::Journal;
use crate::lane::LoadRequest;
use crate::router::Shared;
use crate::state::EndpointId;

/// A queue that is to be filled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) endpoint: EndpointId,
    pub(crate) request: LoadRequest,
}

/// What the keeper is asked to do. Each queue wishes once at a time, so that the list is as long as there are queues.
#[derive(Default)]
pub(crate) struct Work {
    /// Filled by the state under the router's lock, emptied by the keeper.
    wishes: Mutex<Wishes>,
    changed: Condvar,
}

#[derive(Default)]
struct Wishes {
    waiting: VecDeque<Wish>,
    is_over: bool,
}

impl Work {
    pub(crate) fn push(&self, wish: Wish) {
        self.lock().waiting.push_back(wish);
        self.changed.notify_one();
    }

    /// Lets the keeper end.
    pub(crate) fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_one();
    }

    /// Waits for the next wish; `None` at the end.
    fn next(&self) -> Option<Wish> {
        let mut wishes = self.lock();
        loop {
            if wishes.is_over {
                return None;
            }
            if let Some(wish) = wishes.waiting.pop_front() {
                return Some(wish);
            }
            wishes = self
                .changed
                .wait(wishes)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Wishes> {
        // A list of wishes is whole after each step.
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fulfils wishes until the router is gone or says that it is over.
pub(crate) fn run(work: &Work, journal: &Journal, router: &Weak<Shared>) {
    while let Some(wish) = work.next() {
        let LoadRequest {
            lane,
            from,
            messages_max,
            bytes_max,
            ..
        } = wish.request;
        let loaded = journal
            .load(lane, from.checked_sub(1), messages_max, bytes_max)
            .inspect_err(|err| {
                tracing::warn!(err = %chain(err), "messages wait until the store can be read again");
            });
        let Some(router) = router.upgrade() else {
            return;
        };
        let notify = router.with(|state| state.loaded(&wish, loaded.ok()));
        if let Some(notify) = notify {
            notify.notify_one();
        }
    }
}
