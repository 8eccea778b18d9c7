//! What the client waits to have acknowledged, in its order.
//!
//! Source: MQTT 3.1.1 (OASIS), section 4.6: acknowledgements have the order
//! of what they acknowledge.

use std::collections::VecDeque;

/// Messages of one client that the hub has taken in and not done with; with more it reads no further.
const TAKEN_MAX: usize = 256;

/// The same in bytes; the last one may go beyond.
const TAKEN_MAX_BYTES: usize = 512 * 1024;

/// Names something that a client published until it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

#[derive(Debug)]
struct Taken {
    /// Zero where nothing is to be acknowledged.
    packet_id: u16,
    bytes: usize,
    done: bool,
}

/// What was taken in, oldest first.
#[derive(Debug, Default)]
pub(super) struct Acks {
    taken: VecDeque<Taken>,
    /// The ticket of the oldest.
    first: u64,
    bytes: usize,
}

impl Acks {
    pub(super) fn is_full(&self) -> bool {
        self.taken.len() >= TAKEN_MAX || self.bytes >= TAKEN_MAX_BYTES
    }

    /// Takes one in; a packet id of zero is not acknowledged.
    pub(super) fn take(&mut self, packet_id: u16, bytes: usize) -> Ticket {
        let ticket = Ticket(self.first + self.taken.len() as u64);
        self.bytes += bytes;
        self.taken.push_back(Taken {
            packet_id,
            bytes,
            done: false,
        });
        ticket
    }

    /// Notes that one is done.
    pub(super) fn done(&mut self, ticket: Ticket) {
        let index = ticket.0.checked_sub(self.first).map(|index| index as usize);
        let taken = index.and_then(|index| self.taken.get_mut(index));
        if let Some(taken) = taken {
            taken.done = true;
        }
    }

    /// The next packet id to acknowledge: that of the oldest, if it is done.
    pub(super) fn next(&mut self) -> Option<u16> {
        while self.taken.front()?.done {
            let taken = self.taken.pop_front()?;
            self.first += 1;
            self.bytes -= taken.bytes;
            if taken.packet_id != 0 {
                return Some(taken.packet_id);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_have_the_order_of_what_they_acknowledge() {
        let mut acks = Acks::default();
        let [a, b, none, c] = [7, 8, 0, 9].map(|packet_id| acks.take(packet_id, 1));
        acks.done(b);
        acks.done(none);
        assert_eq!(acks.next(), None);
        acks.done(a);
        assert_eq!(acks.next(), Some(7));
        assert_eq!(acks.next(), Some(8));
        assert_eq!(acks.next(), None);
        acks.done(a);
        acks.done(c);
        assert_eq!(acks.next(), Some(9));
        assert_eq!(acks.next(), None);
        assert_eq!((acks.bytes, acks.taken.len()), (0, 0));
    }

    #[test]
    fn what_is_taken_in_is_bounded_in_number_and_bytes() {
        let mut acks = Acks::default();
        for _ in 0..TAKEN_MAX {
            assert!(!acks.is_full());
            acks.take(1, 1);
        }
        assert!(acks.is_full());
        let mut acks = Acks::default();
        let large = acks.take(1, TAKEN_MAX_BYTES);
        assert!(acks.is_full());
        acks.done(large);
        acks.next();
        assert!(!acks.is_full());
    }
}
