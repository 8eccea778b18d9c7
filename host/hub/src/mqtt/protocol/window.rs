//! What the client has to acknowledge.
//!
//! Owns packet ids of what the hub sends and how much of it may be under way.
//! Leaves what is not acknowledged when a connection ends: messages to a
//! device are sent again by whoever keeps them, under the packet id that
//! follows from their number, and other things are not.
//!
//! Source: MQTT 3.1.1 (OASIS), sections 2.3.1 and 4.4.

use std::time::Instant;

/// Messages that may wait for an acknowledgement.
const IN_FLIGHT_MAX: usize = 32;

/// Messages to the device among them, so that it hears of its twin also when it takes no messages.
const COMMANDS_IN_FLIGHT_MAX: usize = 16;

/// Packet ids below this are for messages to the device, the others for all else.
const NOTICE_IDS_FROM: u16 = 0x8000;

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// A message to the device, by its number.
    Command(u64),
    /// Anything else.
    Notice,
}

/// What was sent and not acknowledged.
#[derive(Debug)]
pub(super) struct Window {
    in_flight: Vec<(u16, Delivery)>,
    next_id: u16,
    /// When one was acknowledged last, or the first was sent.
    moved: Option<Instant>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            in_flight: Vec::new(),
            next_id: NOTICE_IDS_FROM,
            moved: None,
        }
    }
}

impl Window {
    pub(super) fn has_room(&self) -> bool {
        self.in_flight.len() < IN_FLIGHT_MAX
    }

    /// How many more messages to the device may be sent.
    pub(super) fn command_room(&self) -> usize {
        let is_command = |delivery: &Delivery| matches!(delivery, Delivery::Command(_));
        let commands = self
            .in_flight
            .iter()
            .filter(|(_, it)| is_command(it))
            .count();
        (COMMANDS_IN_FLIGHT_MAX.saturating_sub(commands)).min(IN_FLIGHT_MAX - self.in_flight.len())
    }

    /// Whether this message to the device is under way.
    pub(super) fn has_command(&self, number: u64) -> bool {
        let wanted = Delivery::Command(number);
        self.in_flight
            .iter()
            .any(|(_, delivery)| *delivery == wanted)
    }

    /// Since when the client has owed an acknowledgement without giving any.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.moved.filter(|_| !self.in_flight.is_empty())
    }

    /// Gives out a packet id; there has to be room.
    pub(super) fn send(&mut self, delivery: Delivery, now: Instant) -> u16 {
        let packet_id = match delivery {
            Delivery::Command(number) => {
                // The same each time the message is sent, as long as no other one has it.
                let first = (number % u64::from(NOTICE_IDS_FROM - 1)) as u16;
                let ids = (0..NOTICE_IDS_FROM - 1).map(|step| {
                    1 + ((u32::from(first) + u32::from(step)) % u32::from(NOTICE_IDS_FROM - 1))
                        as u16
                });
                self.free(ids)
            }
            Delivery::Notice => {
                let ids = (self.next_id..=u16::MAX).chain(NOTICE_IDS_FROM..self.next_id);
                let packet_id = self.free(ids);
                self.next_id = packet_id.checked_add(1).unwrap_or(NOTICE_IDS_FROM);
                packet_id
            }
        };
        if self.in_flight.is_empty() {
            self.moved = Some(now);
        }
        self.in_flight.push((packet_id, delivery));
        packet_id
    }

    /// What an acknowledgement is for; nothing if it was not to come, as the second one of a message
    /// that was sent twice.
    pub(super) fn acknowledged(&mut self, packet_id: u16, now: Instant) -> Option<Delivery> {
        let index = self.in_flight.iter().position(|(id, _)| *id == packet_id)?;
        self.moved = Some(now);
        Some(self.in_flight.remove(index).1)
    }

    fn free(&self, mut ids: impl Iterator<Item = u16>) -> u16 {
        let is_free = |id: &u16| self.in_flight.iter().all(|(other, _)| other != id);
        ids.find(is_free)
            .expect("there are more ids than may be in flight")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_to_the_device_has_the_same_id_each_time() {
        let now = Instant::now();
        for number in [0, 1, 32_766, 32_767, u64::MAX] {
            let mut first = Window::default();
            let mut second = Window::default();
            second.send(Delivery::Notice, now);
            let id = first.send(Delivery::Command(number), now);
            assert!((1..NOTICE_IDS_FROM).contains(&id), "{id}");
            assert_eq!(second.send(Delivery::Command(number), now), id);
        }
        let mut window = Window::default();
        assert_eq!(window.send(Delivery::Command(32_766), now), 32_767);
        // Another one that would have the same.
        assert_eq!(window.send(Delivery::Command(32_766 + 32_767), now), 1);
        assert_eq!(window.send(Delivery::Command(0), now), 2);
        assert_eq!(window.acknowledged(1, now), Some(Delivery::Command(65_533)));
    }

    #[test]
    fn other_ids_go_around_and_pass_over_those_in_use() {
        let now = Instant::now();
        let mut window = Window::default();
        let first = window.send(Delivery::Notice, now);
        assert_eq!(first, NOTICE_IDS_FROM);
        for _ in first + 1..=u16::MAX {
            let id = window.send(Delivery::Notice, now);
            assert_eq!(window.acknowledged(id, now), Some(Delivery::Notice));
        }
        assert_eq!(window.send(Delivery::Notice, now), NOTICE_IDS_FROM + 1);
        assert_eq!(window.acknowledged(first, now), Some(Delivery::Notice));
        assert_eq!(window.acknowledged(first, now), None);
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let now = Instant::now();
        let mut window = Window::default();
        for number in 0..COMMANDS_IN_FLIGHT_MAX as u64 {
            assert!(window.command_room() > 0);
            window.send(Delivery::Command(number), now);
        }
        assert_eq!(window.command_room(), 0);
        assert!(window.has_command(3) && !window.has_command(99));
        for _ in COMMANDS_IN_FLIGHT_MAX..IN_FLIGHT_MAX {
            assert!(window.has_room());
            window.send(Delivery::Notice, now);
        }
        assert!(!window.has_room());
        assert_eq!(window.waits_since(), Some(now));
    }
}
