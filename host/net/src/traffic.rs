//! What goes over the wire, counted where it leaves the device: below TLS, without the headers of TCP and IP.
//!
//! Owns the counters of each name (an identity, or what else goes out). Written by the streams, read by the
//! management API and the metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Most names that are counted apart; all beyond share one. More than a device has modules.
const NAMES_MAX: usize = 256;

/// The name that those beyond [`NAMES_MAX`] share.
const OTHERS: &str = "(others)";

/// The counters of all names; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    counters: Arc<Mutex<BTreeMap<String, Counter>>>,
}

/// What went over the wire under one name; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    inner: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    message_bytes: AtomicU64,
    connections: AtomicU64,
}

/// What was counted up to a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that were sent, with TLS.
    pub sent_bytes: u64,
    /// Bytes that were received, with TLS.
    pub received_bytes: u64,
    /// Of both, the MQTT packets that carried messages and acknowledged them: what is left is the cost of being
    /// connected.
    pub message_bytes: u64,
    /// Connections that were begun.
    pub connections: u64,
}

impl Ledger {
    /// The counter of a name.
    pub fn counter(&self, name: &str) -> Counter {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = counters.get(name) {
            return counter.clone();
        }
        let name = if counters.len() < NAMES_MAX {
            name
        } else {
            OTHERS
        };
        counters.entry(name.to_owned()).or_default().clone()
    }

    /// What was counted under each name, in the order of the names.
    pub fn all(&self) -> Vec<(String, Traffic)> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let all = counters.iter();
        all.map(|(name, counter)| (name.clone(), counter.traffic()))
            .collect()
    }
}

impl Counter {
    /// So many bytes were sent.
    pub fn sent(&self, bytes: usize) {
        self.inner
            .sent_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So many bytes were received.
    pub fn received(&self, bytes: usize) {
        self.inner
            .received_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Of what is sent or received, so many bytes are those of a message.
    pub fn message(&self, bytes: usize) {
        self.inner
            .message_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A connection was begun.
    pub fn connected(&self) {
        self.inner.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted up to now.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            sent_bytes: self.inner.sent_bytes.load(Ordering::Relaxed),
            received_bytes: self.inner.received_bytes.load(Ordering::Relaxed),
            message_bytes: self.inner.message_bytes.load(Ordering::Relaxed),
            connections: self.inner.connections.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_own_count_until_there_are_too_many() {
        let ledger = Ledger::default();
        ledger.counter("a").sent(3);
        ledger.counter("a").received(4);
        ledger.counter("b").connected();
        for number in 0..NAMES_MAX + 5 {
            ledger.counter(&format!("n{number}")).message(1);
        }
        let all = ledger.all();
        assert_eq!(all.len(), NAMES_MAX + 1);
        let of = |name: &str| all.iter().find(|(found, _)| found == name).unwrap().1;
        assert_eq!((of("a").sent_bytes, of("a").received_bytes), (3, 4));
        assert_eq!(of("b").connections, 1);
        assert_eq!(of(OTHERS).message_bytes, 7);
    }
}
