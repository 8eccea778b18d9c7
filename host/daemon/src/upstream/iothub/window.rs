//! What a connection has sent and not seen acknowledged.
//!
//! Pure: messages and packet identifiers in, those who wait for them out. Acknowledgements come in any order, twice,
//! or for something that was never sent; only the first one for what is on its way counts. Nothing is kept beyond a
//! connection: what was not acknowledged there counts as not sent, and its owner sends it again.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// Messages of one module on their way: as many as the pump has of one sender.
const MESSAGES_MAX: usize = 64;

/// No further message is begun while those on their way have this size; one alone may be larger.
const BYTES_MAX: usize = 512 * 1024;

/// Packets on their way, each with one that waits for its acknowledgement.
#[derive(Debug)]
pub(super) struct Window<R> {
    sent: BTreeMap<u16, Sent<R>>,
    bytes: usize,
    /// The packet identifier that was given last.
    last_id: u16,
}

#[derive(Debug)]
struct Sent<R> {
    bytes: usize,
    at: Instant,
    waits: R,
}

impl<R> Window<R> {
    /// Nothing is on its way.
    pub(super) fn new() -> Self {
        Self {
            sent: BTreeMap::new(),
            bytes: 0,
            last_id: 0,
        }
    }

    /// Whether another message may be begun.
    pub(super) fn has_room(&self) -> bool {
        self.sent.len() < MESSAGES_MAX && self.bytes < BYTES_MAX
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// A packet of so many bytes goes out; its identifier, which no other on its way has.
    pub(super) fn push(&mut self, bytes: usize, at: Instant, waits: R) -> u16 {
        let id = self.free_id();
        self.bytes += bytes;
        self.sent.insert(id, Sent { bytes, at, waits });
        id
    }

    /// Who waited for this acknowledgement; nobody if the packet is not on its way.
    pub(super) fn acknowledge(&mut self, id: u16) -> Option<R> {
        let sent = self.sent.remove(&id)?;
        self.bytes -= sent.bytes;
        Some(sent.waits)
    }

    /// When the packet that waits longest went out.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.sent.values().map(|sent| sent.at).min()
    }

    /// Identifiers go round; of 65,535 at most [`MESSAGES_MAX`] and some are taken, so that a late acknowledgement
    /// does not meet another packet soon.
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.sent.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn acknowledgements_come_in_any_order_and_count_once() {
        let now = Instant::now();
        let mut window = Window::new();
        let ids: Vec<u16> = (0..4).map(|number| window.push(1, now, number)).collect();
        assert_eq!(ids, [1, 2, 3, 4]);
        assert_eq!(window.acknowledge(ids[2]), Some(2));
        assert_eq!(window.acknowledge(ids[2]), None);
        assert_eq!(window.acknowledge(0), None);
        assert_eq!(window.acknowledge(999), None);
        assert_eq!(window.acknowledge(ids[0]), Some(0));
        assert_eq!(window.acknowledge(ids[3]), Some(3));
        assert!(!window.is_empty());
        assert_eq!(window.acknowledge(ids[1]), Some(1));
        assert!(window.is_empty() && window.bytes == 0);
    }

    #[test]
    fn what_is_on_its_way_is_bounded_by_number_and_size() {
        let now = Instant::now();
        let mut window = Window::new();
        while window.has_room() {
            window.push(0, now, ());
        }
        assert_eq!(window.sent.len(), MESSAGES_MAX);
        window.acknowledge(1);
        assert!(window.has_room());
        let mut window = Window::new();
        // However large, one can be sent.
        window.push(BYTES_MAX * 2, now, ());
        assert!(!window.has_room());
        window.acknowledge(1);
        assert!(window.has_room());
    }

    #[test]
    fn an_identifier_in_use_is_not_given_again() {
        let now = Instant::now();
        let mut window = Window::new();
        let stuck = window.push(1, now, 0_u32);
        let later = now + Duration::from_secs(1);
        for number in 1..200_000_u32 {
            let id = window.push(1, later, number);
            assert!(id != 0 && id != stuck);
            assert_eq!(window.acknowledge(id), Some(number));
        }
        assert_eq!(window.oldest(), Some(now));
        assert_eq!(window.acknowledge(stuck), Some(0));
        assert_eq!(window.oldest(), None);
    }
}
