//! The rows of `bench`: what is measured, in which unit, and what it should come to.
//!
//! A closed table. A name is a promise to whoever keeps the figures: one is never given another meaning.

/// What a figure counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Time until something is done; less is better.
    Milliseconds,
    /// Time that one of many takes; less is better.
    Microseconds,
    /// Time that one of very many takes; less is better.
    Nanoseconds,
    /// Rate at the receiver; more is better.
    MessagesPerSecond,
    /// New connections; more is better.
    ConnectionsPerSecond,
    /// Changes of twins; more is better.
    PatchesPerSecond,
    /// Requests with their answers; more is better.
    CallsPerSecond,
    /// Memory, binary kilobytes; less is better.
    Kibibytes,
    /// Bytes of one message; less is better.
    Bytes,
    /// What a day costs on a network, binary kilobytes; less is better.
    KibibytesPerDay,
}

impl Unit {
    /// As it is printed.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::Nanoseconds => "ns",
            Self::MessagesPerSecond => "messages/s",
            Self::ConnectionsPerSecond => "connections/s",
            Self::PatchesPerSecond => "patches/s",
            Self::CallsPerSecond => "calls/s",
            Self::Kibibytes => "KiB",
            Self::Bytes => "B",
            Self::KibibytesPerDay => "KiB/day",
        }
    }

    /// Whether a larger number is the better one.
    pub(super) fn more_is_better(self) -> bool {
        matches!(
            self,
            Self::MessagesPerSecond
                | Self::ConnectionsPerSecond
                | Self::PatchesPerSecond
                | Self::CallsPerSecond
        )
    }
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    /// Its name.
    pub(super) id: &'static str,
    /// What is measured, in a few words.
    pub(super) what: &'static str,
    /// What it counts in.
    pub(super) unit: Unit,
    /// What it should come to, if anything was promised.
    pub(super) budget: Option<f64>,
}

pub(super) const fn row(id: &'static str, what: &'static str, unit: Unit) -> Row {
    Row {
        id,
        what,
        unit,
        budget: None,
    }
}

pub(super) const fn promised(id: &'static str, what: &'static str, unit: Unit, budget: f64) -> Row {
    Row {
        id,
        what,
        unit,
        budget: Some(budget),
    }
}

/// All rows, in the order in which they are measured and printed.
pub(super) const ROWS: [Row; 41] = [
    row(
        "start-cold",
        "process start to first message upstream, code to be compiled",
        Unit::Milliseconds,
    ),
    promised(
        "start-warm",
        "process start to first message upstream, code compiled before",
        Unit::Milliseconds,
        20.0,
    ),
    row(
        "instance",
        "an orderly restart: the old instance ends, the new one has run its init",
        Unit::Microseconds,
    ),
    promised(
        "restart",
        "a trap until the next instance has run its init, no back-off",
        Unit::Microseconds,
        1000.0,
    ),
    row(
        "call",
        "a message through queue and handler that does nothing",
        Unit::Nanoseconds,
    ),
    promised(
        "pair-64B",
        "module → route → module, 64 B",
        Unit::MessagesPerSecond,
        300_000.0,
    ),
    row(
        "pair-64B-process",
        "the same, each message written before it counts as sent",
        Unit::MessagesPerSecond,
    ),
    row(
        "pair-64B-power",
        "the same, each message synced before it counts as sent",
        Unit::MessagesPerSecond,
    ),
    row(
        "pair-1KB",
        "module → route → module, 1 KB",
        Unit::MessagesPerSecond,
    ),
    row(
        "pair-64KB",
        "module → route → module, 64 KB",
        Unit::MessagesPerSecond,
    ),
    row(
        "forward-64B",
        "module → forwarding module → module, 64 B",
        Unit::MessagesPerSecond,
    ),
    row(
        "forward-1KB",
        "module → forwarding module → module, 1 KB",
        Unit::MessagesPerSecond,
    ),
    row(
        "forward-64KB",
        "module → forwarding module → module, 64 KB",
        Unit::MessagesPerSecond,
    ),
    row(
        "filter-64B",
        "module → JSON filter → module, 64 B",
        Unit::MessagesPerSecond,
    ),
    row(
        "filter-1KB",
        "module → JSON filter → module, 1 KB",
        Unit::MessagesPerSecond,
    ),
    row(
        "filter-64KB",
        "module → JSON filter → module, 64 KB",
        Unit::MessagesPerSecond,
    ),
    row(
        "routes-1",
        "module → 1 route with a condition → module, 64 B",
        Unit::MessagesPerSecond,
    ),
    row(
        "routes-10",
        "module → 10 routes with conditions, of which one is true → module",
        Unit::MessagesPerSecond,
    ),
    row(
        "routes-100",
        "module → 100 routes with conditions, of which one is true → module",
        Unit::MessagesPerSecond,
    ),
    row(
        "modules-1",
        "messages to 1 module, all of the load",
        Unit::MessagesPerSecond,
    ),
    row(
        "modules-10",
        "messages to 10 modules, the same load in all",
        Unit::MessagesPerSecond,
    ),
    row(
        "modules-100",
        "messages to 100 modules, the same load in all",
        Unit::MessagesPerSecond,
    ),
    row(
        "store-1",
        "256 B into the message store until synced, one at a time",
        Unit::MessagesPerSecond,
    ),
    row(
        "store-32",
        "256 B into the message store until synced, 32 at a time",
        Unit::MessagesPerSecond,
    ),
    promised(
        "store-256",
        "256 B into the message store until synced, 256 at a time",
        Unit::MessagesPerSecond,
        50_000.0,
    ),
    row(
        "drain-1",
        "256 B out of the message store again, one at a time",
        Unit::MessagesPerSecond,
    ),
    row(
        "drain-32",
        "256 B out of the message store again, 32 at a time",
        Unit::MessagesPerSecond,
    ),
    row(
        "drain-256",
        "256 B out of the message store again, 256 at a time",
        Unit::MessagesPerSecond,
    ),
    row(
        "written-1",
        "written to the disk for a message of 256 B, in and out, one at a time",
        Unit::Bytes,
    ),
    row(
        "written-32",
        "written to the disk for a message of 256 B, in and out, 32 at a time",
        Unit::Bytes,
    ),
    row(
        "written-256",
        "written to the disk for a message of 256 B, in and out, 256 at a time",
        Unit::Bytes,
    ),
    row(
        "store-p50",
        "a lone message of 256 B until it is synced, the middle one",
        Unit::Microseconds,
    ),
    row(
        "store-p99",
        "a lone message of 256 B until it is synced, 99 of 100",
        Unit::Microseconds,
    ),
    promised(
        "pss-idle",
        "device and hub, no module",
        Unit::Kibibytes,
        5.0 * 1024.0,
    ),
    promised(
        "pss-demo",
        "device and hub with the deployment of --demo",
        Unit::Kibibytes,
        8.0 * 1024.0,
    ),
    row("pss-1", "with 1 module", Unit::Kibibytes),
    row("pss-50", "with 50 modules of one image", Unit::Kibibytes),
    row("pss-100", "with 100 modules of one image", Unit::Kibibytes),
    row("pss-200", "with 200 modules of one image", Unit::Kibibytes),
    row(
        "pss-waiting",
        "with 1 module whose messages of 256 B wait for the hub, 200,000 of them",
        Unit::Kibibytes,
    ),
    promised(
        "pss-instance",
        "each further module of one image, from 1 to the most",
        Unit::Kibibytes,
        100.0,
    ),
];

/// The row of this name.
#[cfg(test)]
pub(super) fn find(id: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.id == id)
}

/// Each row stands in the tables of `docs/benchmarks.md`, with what it measures and its unit.
#[cfg(test)]
pub(super) fn check_documented(rows: &[Row]) {
    const DOCS: &str = include_str!("../../../../docs/benchmarks.md");
    for row in rows {
        let line = format!("| `{}` | {} | {} |", row.id, row.what, row.unit.as_str());
        assert!(DOCS.contains(&line), "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        for (index, row) in ROWS.iter().enumerate() {
            assert_eq!(
                ROWS.iter().position(|other| other.id == row.id),
                Some(index),
                "{}",
                row.id
            );
        }
    }

    #[test]
    fn every_row_is_documented() {
        const DOCS: &str = include_str!("../../../../docs/benchmarks.md");
        for row in &ROWS {
            assert!(DOCS.contains(&format!("| `{}` |", row.id)), "{}", row.id);
        }
    }
}
