//! What comes from the journal: the queues as an earlier process left them, and messages that the keeper read.

use std::sync::Arc;

use tokio::sync::Notify;
use wasm_edge_model::identity::ModuleId;

use super::{EndpointId, State};
use crate::journal::commit::{LaneHandle, LaneKind, Loaded, RecoveredLane};
use crate::journal::{Journal, JournalError};
use crate::keeper::Wish;
use crate::lane::LaneKey;
use crate::ledger::{SenderId, Usage};
use crate::limits::{WINDOW_BYTES, WINDOW_MESSAGES};

impl State {
    /// Takes up what an earlier process left. Reads what was put aside from the journal.
    pub(crate) fn recover(
        &mut self,
        lanes: Vec<RecoveredLane>,
        journal: &Journal,
    ) -> Result<(), JournalError> {
        for lane in lanes {
            let endpoint = self.endpoint(&lane.name.endpoint);
            if lane.name.kind == LaneKind::Aside {
                self.recover_aside(endpoint, lane.handle, journal)?;
                continue;
            }
            let key = LaneKey {
                priority: lane.name.priority,
                sender: lane.name.sender.map(|module| self.known_sender(&module)),
            };
            let shares = lane.senders.into_iter().map(|share| {
                let usage = Usage {
                    messages: share.messages,
                    bytes: share.bytes,
                };
                (self.known_sender(&share.module), usage)
            });
            let shares = shares.collect();
            self.queues[endpoint].recover(lane.handle, key, shares, &mut self.ledger);
        }
        self.drop_what_is_too_much_aside();
        Ok(())
    }

    fn recover_aside(
        &mut self,
        endpoint: EndpointId,
        lane: LaneHandle,
        journal: &Journal,
    ) -> Result<(), JournalError> {
        let mut after = None;
        loop {
            let loaded = journal.load(lane.id(), after, WINDOW_MESSAGES, WINDOW_BYTES)?;
            after = loaded.messages.last().map(|last| last.place.ordinal);
            for stored in loaded.messages {
                self.queues[endpoint].recover_aside(stored, &mut self.ledger);
            }
            if loaded.is_end || after.is_none() {
                break;
            }
        }
        self.queues[endpoint].recover_aside_lane(lane);
        Ok(())
    }

    /// What the keeper read comes in; gives whom to wake.
    pub(crate) fn loaded(&mut self, wish: &Wish, loaded: Option<Loaded>) -> Option<Arc<Notify>> {
        // The endpoint may be gone meanwhile, and its number used again: what is loaded is then not wanted there.
        if !self.queues.contains(wish.endpoint) {
            return None;
        }
        match loaded {
            Some(loaded) => {
                let modules = loaded
                    .messages
                    .iter()
                    .map(|message| message.source.module());
                let senders: Vec<_> = modules.map(|module| self.known_sender(module)).collect();
                let queue = &mut self.queues[wish.endpoint];
                let next = queue.loaded(&wish.request, loaded, &senders, &mut self.ledger);
                if let Some(request) = next {
                    self.ledger.store.work.push(Wish { request, ..*wish });
                }
            }
            None => self.queues[wish.endpoint].not_loaded(&wish.request),
        }
        let mailbox = self.queues[wish.endpoint].mailbox;
        Some(Arc::clone(&self.mailboxes[mailbox].notify))
    }

    /// The number of the sender of a message that is here. One that is made for it has no handle, so that it goes
    /// with its last message.
    pub(super) fn known_sender(&mut self, module: &ModuleId) -> SenderId {
        match self.sender_ids.get(module) {
            Some(id) => *id,
            None => {
                let id = self.sender(module).0;
                self.ledger.senders[id].removed = true;
                id
            }
        }
    }
}
