//! What is on its way to a broker: sent and not acknowledged.
//!
//! Pure: packets and acknowledgements in, positions out. Acknowledgements may
//! come in any order; the position moves when all before it are there.

use std::collections::VecDeque;

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Publish;

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
    id: u16,
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
    pub(super) fn push(&mut self, behind: u64, message: Outgoing) -> Publish {
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
    pub(super) fn acknowledge(&mut self, id: u16) -> (u64, Option<u64>) {
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
    pub(super) fn again(&mut self) -> Vec<Publish> {
        let waiting = self.messages.iter().filter(|message| !message.acknowledged);
        waiting
            .map(|message| message.message.packet(message.id))
            .collect()
    }

    /// Identifiers go round; one comes again long after at most [`MESSAGES_MAX`] others were on their way.
    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

impl Outgoing {
    fn size(&self) -> usize {
        self.topic.len() + self.payload.len()
    }

    fn packet(&self, id: u16) -> Publish {
        let topic = self.topic.as_str();
        let mut packet = Publish::from_bytes(topic, QoS::AtLeastOnce, self.payload.clone());
        packet.pkid = id;
        packet
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

    fn window(count: u64) -> (Window, Vec<u16>) {
        let mut window = Window::new();
        let ids = (0..count)
            .map(|position| window.push(position + 1, message(1)).pkid)
            .collect();
        (window, ids)
    }

    #[test]
    fn the_position_moves_when_all_before_it_are_acknowledged() {
        let (mut window, ids) = window(4);
        assert_eq!(window.acknowledge(ids[1]), (0, None));
        assert_eq!(window.acknowledge(ids[0]), (2, Some(2)));
        assert_eq!(window.acknowledge(ids[0]), (0, None));
        assert_eq!(window.acknowledge(999), (0, None));
        assert_eq!(window.acknowledge(ids[3]), (0, None));
        assert_eq!(window.acknowledge(ids[2]), (2, Some(4)));
        assert_eq!((window.behind(), window.bytes), (None, 0));
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_in_order() {
        let (mut window, ids) = window(4);
        window.acknowledge(ids[0]);
        window.acknowledge(ids[2]);
        let again: Vec<u16> = window.again().iter().map(|packet| packet.pkid).collect();
        assert_eq!(again, [ids[1], ids[3]]);
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
        assert_eq!(window.acknowledge(1).0, 1);
        assert!(window.has_room());
    }

    #[test]
    fn identifiers_go_round_without_zero() {
        let mut window = Window::new();
        for number in 1..=200_000_u64 {
            let id = window.push(number, message(1)).pkid;
            assert_ne!(id, 0);
            assert_eq!(window.acknowledge(id), (1, Some(number)));
        }
    }
}
