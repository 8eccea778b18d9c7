//! What is on its way to a broker: sent and not acknowledged.
//!
//! Pure: packets and acknowledgements in, positions out. Acknowledgements may
//! come in any order; the position moves when all before it are there.

use std::collections::VecDeque;

use bytes::Bytes;
use wasm_edge_net::mqtt::{PacketId, Publication};

/// Most messages on their way, of which some may be acknowledged and wait for earlier ones.
const MESSAGES_MAX: usize = 128;

/// No more is sent while what is on its way has this size.
const BYTES_MAX: usize = 2 * 1024 * 1024;

/// A message for the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) topic: String,
    pub(super) payload: Bytes,
}

/// The messages on their way, in order.
#[derive(Debug, Default)]
pub(super) struct Window {
    messages: VecDeque<OnItsWay>,
    bytes: usize,
    /// The packet identifier that was given last.
    last_id: u16,
}

#[derive(Debug)]
struct OnItsWay {
    message: Outgoing,
    /// The position behind it.
    behind: u64,
    id: PacketId,
    acknowledged: bool,
}

impl Window {
    /// Nothing is on its way.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Whether more may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.messages.len() < MESSAGES_MAX && self.bytes < BYTES_MAX
    }

    /// The position behind all that is on its way.
    pub(super) fn behind(&self) -> Option<u64> {
        self.messages.back().map(|message| message.behind)
    }

    /// Takes a message in, and gives the packet to send.
    pub(super) fn push(&mut self, behind: u64, message: Outgoing) -> Publication {
        let id = self.next_id();
        self.bytes += message.size();
        let packet = message.packet(id);
        self.messages.push_back(OnItsWay {
            message,
            behind,
            id,
            acknowledged: false,
        });
        packet
    }

    /// Notes an acknowledgement. Says how many messages are done with by it, and the position behind the last of them;
    /// nothing for an identifier that is not on its way.
    pub(super) fn acknowledge(&mut self, id: PacketId) -> (u64, Option<u64>) {
        let found = self.messages.iter_mut().find(|message| message.id == id);
        if let Some(message) = found {
            message.acknowledged = true;
        }
        let (mut count, mut behind) = (0, None);
        while let Some(first) = self.messages.pop_front_if(|message| message.acknowledged) {
            self.bytes -= first.message.size();
            (count, behind) = (count + 1, Some(first.behind));
        }
        (count, behind)
    }

    /// The packets to send on a new connection, where nothing is known of the old one: all that were not acknowledged.
    pub(super) fn again(&mut self) -> Vec<Publication> {
        let waiting = self.messages.iter().filter(|message| !message.acknowledged);
        waiting
            .map(|message| message.message.packet(message.id))
            .collect()
    }

    /// Identifiers go round; one comes again long after at most [`MESSAGES_MAX`] others were on their way.
    fn next_id(&mut self) -> PacketId {
        self.last_id = self.last_id.wrapping_add(1);
        let id = PacketId::new(self.last_id).unwrap_or(PacketId::MIN);
        self.last_id = id.get();
        id
    }
}

impl Outgoing {
    fn size(&self) -> usize {
        self.topic.len() + self.payload.len()
    }

    /// As on a connection that is the first to know of it.
    fn packet(&self, id: PacketId) -> Publication {
        Publication {
            topic: self.topic.clone(),
            payload: self.payload.clone(),
            id: Some(id),
            duplicate: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body_bytes: usize) -> Outgoing {
        Outgoing {
            topic: "t".to_owned(),
            payload: Bytes::from(vec![0; body_bytes]),
        }
    }

    fn pushed(window: &mut Window, behind: u64, body_bytes: usize) -> PacketId {
        window.push(behind, message(body_bytes)).id.unwrap()
    }

    fn window(count: u64) -> (Window, Vec<PacketId>) {
        let mut window = Window::new();
        let ids = (0..count)
            .map(|position| pushed(&mut window, position + 1, 1))
            .collect();
        (window, ids)
    }

    #[test]
    fn the_position_moves_when_all_before_it_are_acknowledged() {
        let (mut window, ids) = window(4);
        assert_eq!(window.acknowledge(ids[1]), (0, None));
        assert_eq!(window.acknowledge(ids[0]), (2, Some(2)));
        assert_eq!(window.acknowledge(ids[0]), (0, None));
        assert_eq!(window.acknowledge(PacketId::MAX), (0, None));
        assert_eq!(window.acknowledge(ids[3]), (0, None));
        assert_eq!(window.acknowledge(ids[2]), (2, Some(4)));
        assert_eq!((window.behind(), window.bytes), (None, 0));
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_in_order() {
        let (mut window, ids) = window(4);
        window.acknowledge(ids[0]);
        window.acknowledge(ids[2]);
        let again: Vec<_> = window.again().iter().map(|packet| packet.id).collect();
        assert_eq!(again, [Some(ids[1]), Some(ids[3])]);
        assert_eq!(window.behind(), Some(4));
    }

    #[test]
    fn what_is_on_its_way_is_bounded_by_number_and_size() {
        let (window, _) = window(MESSAGES_MAX as u64);
        assert!(!window.has_room());
        let mut window = Window::new();
        while window.has_room() {
            window.push(1, message(256 * 1024));
        }
        assert_eq!(window.messages.len(), 8);
        assert_eq!(window.acknowledge(PacketId::MIN).0, 1);
        assert!(window.has_room());
    }

    #[test]
    fn identifiers_go_round_without_zero() {
        let mut window = Window::new();
        for number in 1..=200_000_u64 {
            let id = pushed(&mut window, number, 1);
            assert_eq!(window.acknowledge(id), (1, Some(number)));
        }
    }
}
