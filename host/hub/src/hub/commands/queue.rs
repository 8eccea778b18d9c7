//! The order in which messages wait for one device: one small document, changed as a whole.
//!
//! Owns which of them wait, how often each was tried, and its stored form.
//! Leaves the messages themselves to documents of their own, so that a change
//! of the order writes no bodies. No I/O; the time is passed in.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasm_edge_model::time::Timestamp;

use crate::command::{COMMANDS_PER_DEVICE_MAX, Delivery};

/// The version of the stored form that this build writes and reads.
const QUEUE_FORMAT: u32 = 1;

/// The messages of one device, in the order in which they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Queue {
    /// The generation of the device that they were sent to.
    pub(super) generation_id: String,
    /// The number of the next one.
    next: u64,
    waiting: Vec<Waiting>,
}

/// A message in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Waiting {
    pub(super) number: u64,
    /// Which document holds it: chosen at random, since its number is known only when it has its place.
    pub(super) document: u64,
    pub(super) expires_at: Timestamp,
    pub(super) deliveries: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredQueue {
    format: u32,
    generation_id: String,
    next: u64,
    waiting: Vec<Waiting>,
}

impl Queue {
    pub(super) fn new(generation_id: &str) -> Self {
        Self {
            generation_id: generation_id.to_owned(),
            next: 1,
            waiting: Vec::new(),
        }
    }

    /// Those that have not expired, in order.
    pub(super) fn live(&self, now: Timestamp) -> impl Iterator<Item = &Waiting> {
        let live = move |waiting: &&Waiting| waiting.expires_at > now;
        self.waiting.iter().filter(live)
    }

    pub(super) fn is_full(&self, now: Timestamp) -> bool {
        self.live(now).count() >= COMMANDS_PER_DEVICE_MAX
    }

    /// Takes those out that have expired.
    pub(super) fn drop_expired(&mut self, now: Timestamp) -> Vec<Waiting> {
        self.waiting
            .extract_if(.., |waiting| waiting.expires_at <= now)
            .collect()
    }

    /// Gives a message its place and number; nothing when the queue is full.
    pub(super) fn push(&mut self, document: u64, expires_at: Timestamp) -> Option<u64> {
        if self.waiting.len() >= COMMANDS_PER_DEVICE_MAX {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.waiting.push(Waiting {
            number,
            document,
            expires_at,
            deliveries: 0,
        });
        Some(number)
    }

    /// Counts one more attempt to bring a message to the device. One that was tried
    /// `deliveries_max` times is given up and taken out: it is the second part of the answer.
    pub(super) fn deliver(
        &mut self,
        number: u64,
        deliveries_max: u32,
    ) -> (Delivery, Option<Waiting>) {
        let place = self.waiting.iter().position(|one| one.number == number);
        let Some(place) = place else {
            return (Delivery::Gone, None);
        };
        if self.waiting[place].deliveries >= deliveries_max {
            return (Delivery::Gone, Some(self.waiting.remove(place)));
        }
        self.waiting[place].deliveries += 1;
        (Delivery::Send, None)
    }

    /// Takes a message out.
    pub(super) fn remove(&mut self, number: u64) -> Option<Waiting> {
        let place = self.waiting.iter().position(|one| one.number == number)?;
        Some(self.waiting.remove(place))
    }

    /// Takes all out.
    pub(super) fn clear(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.waiting)
    }

    /// Reads the document; the error is for the log.
    pub(super) fn decode(content: &[u8]) -> Result<Self, String> {
        let stored: StoredQueue = serde_json::from_slice(content).map_err(|err| err.to_string())?;
        if stored.format != QUEUE_FORMAT {
            let found = stored.format;
            return Err(format!(
                "it has format {found}, this version reads {QUEUE_FORMAT}"
            ));
        }
        Ok(Self {
            generation_id: stored.generation_id,
            next: stored.next,
            waiting: stored.waiting,
        })
    }

    pub(super) fn encode(&self) -> Bytes {
        let stored = StoredQueue {
            format: QUEUE_FORMAT,
            generation_id: self.generation_id.clone(),
            next: self.next,
            waiting: self.waiting.clone(),
        };
        Bytes::from(serde_json::to_vec(&stored).expect("texts and numbers are JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    fn numbers(queue: &Queue, now: i64) -> Vec<u64> {
        queue.live(at(now)).map(|waiting| waiting.number).collect()
    }

    #[test]
    fn messages_wait_in_order_until_they_are_taken_out_or_expire() {
        let mut queue = Queue::new("g");
        for (document, expires_at) in [(9, 30), (8, 10), (7, 20)] {
            assert!(queue.push(document, at(expires_at)).is_some());
        }
        assert_eq!(numbers(&queue, 9), [1, 2, 3]);
        assert_eq!(numbers(&queue, 10), [1, 3]);
        assert_eq!(queue.drop_expired(at(10))[0].document, 8);
        assert_eq!(queue.remove(1).unwrap().document, 9);
        assert_eq!(queue.remove(1), None);
        assert_eq!(queue.clear()[0].number, 3);
        assert_eq!(queue.push(1, at(99)), Some(4), "numbers are not used twice");
    }

    #[test]
    fn a_queue_has_a_limited_number_of_places() {
        let mut queue = Queue::new("g");
        for document in 0..50 {
            assert!(!queue.is_full(at(0)));
            assert_eq!(queue.push(document, at(10)), Some(document + 1));
        }
        assert!(queue.is_full(at(9)) && !queue.is_full(at(10)));
        assert_eq!(queue.push(50, at(10)), None);
        queue.drop_expired(at(10));
        assert_eq!(queue.push(50, at(20)), Some(51));
    }

    #[test]
    fn a_message_is_tried_so_often_and_then_given_up() {
        let mut queue = Queue::new("g");
        queue.push(7, at(10));
        for deliveries in 1..=3 {
            assert_eq!(queue.deliver(1, 3), (Delivery::Send, None));
            assert_eq!(queue.live(at(0)).next().unwrap().deliveries, deliveries);
        }
        let (delivery, dead) = queue.deliver(1, 3);
        assert_eq!((delivery, dead.unwrap().document), (Delivery::Gone, 7));
        assert_eq!(queue.deliver(1, 3), (Delivery::Gone, None));
    }

    #[test]
    fn the_first_format_is_read_and_written_as_it_was_and_no_other() {
        let stored = r#"{"format":1,"generationId":"639","next":3,"waiting":[{"number":2,"document":18446744073709551615,"expiresAt":"2026-08-01T10:00:00.0000000Z","deliveries":1}]}"#;
        let queue = Queue::decode(stored.as_bytes()).unwrap();
        assert_eq!(queue.encode(), stored);
        let other = stored.replace("\"format\":1", "\"format\":2");
        assert_eq!(
            Queue::decode(other.as_bytes()).unwrap_err(),
            "it has format 2, this version reads 1"
        );
    }
}
