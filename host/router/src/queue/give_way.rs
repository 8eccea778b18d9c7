//! What gives way at an endpoint when a message finds no room: the oldest, or every second one of the older half.
//!
//! A sender's messages give way to its own first, so that one that floods pushes out nobody else's. Those of lower
//! priority go before those of higher, and never one of a higher priority than that of the message that comes.

use super::{Loss, Queue};
use crate::keeper;
use crate::lane::{Entry, Lane};
use crate::ledger::{Ledger, SenderId, Wish};
use crate::state::EndpointId;

impl Queue {
    /// Drops the oldest message that may give way; false when there is none in memory.
    pub(crate) fn drop_oldest(&mut self, wish: Wish, priority: u32, ledger: &mut Ledger) -> bool {
        let oldest = self
            .take_oldest_of(wish, wish.sender, priority)
            .or_else(|| self.take_oldest_of_any(wish, priority));
        let Some(entry) = oldest else {
            return false;
        };
        self.queued -= 1;
        self.lose(entry, Loss::DroppedOldest, ledger);
        true
    }

    /// Drops every second message of the older half that the sender has waiting in one of the queues, as far as
    /// they are in memory, and has the keeper do the same on the disk; gives how many were dropped now.
    pub(crate) fn thin_out(
        &mut self,
        id: EndpointId,
        wish: Wish,
        priority: u32,
        ledger: &mut Ledger,
    ) -> usize {
        let mut dropped = Vec::new();
        for lane in self.lanes_down_to(priority) {
            let older_half = lane.len() / 2;
            let on_disk = older_half.saturating_sub(lane.entries().count());
            lane.thin(wish.sender, wish.class, &mut |entry| dropped.push(entry));
            let key = lane.key;
            if let Some(stored) = &mut lane.stored
                && let Some(request) = stored.thin(key, wish.sender, on_disk)
            {
                ledger.store.work.push(keeper::Wish {
                    endpoint: id,
                    request,
                });
            }
            if !dropped.is_empty() {
                break;
            }
        }
        let count = dropped.len();
        self.queued -= count;
        for entry in dropped {
            self.lose(entry, Loss::ThinnedOut, ledger);
        }
        count
    }

    fn take_oldest_of(&mut self, wish: Wish, sender: SenderId, priority: u32) -> Option<Entry> {
        self.lanes_down_to(priority)
            .find_map(|lane| lane.take_oldest(sender, wish.class))
    }

    /// The sender has none here: whoever has most gives one.
    fn take_oldest_of_any(&mut self, wish: Wish, priority: u32) -> Option<Entry> {
        let used = |share: &super::Share| share.used.of(wish.class);
        let most = self
            .shares
            .iter()
            .filter(|(_, share)| used(share).messages > 0)
            .max_by_key(|(_, share)| used(share).bytes);
        let sender = most.map(|(sender, _)| *sender)?;
        self.take_oldest_of(wish, sender, priority)
    }

    /// The queues that may give way, lowest priority first.
    fn lanes_down_to(&mut self, priority: u32) -> impl Iterator<Item = &mut Lane> {
        let lanes = self.lanes.iter_mut().rev();
        lanes.take_while(move |lane| lane.key.priority >= priority)
    }
}
