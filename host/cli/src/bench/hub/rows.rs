//! The rows of `bench hub`: what is measured of a hub, in which unit, and what it should come to.

use super::super::rows::{Row, Unit, promised, row};

/// All rows, in the order in which they are printed.
pub(super) const ROWS: [Row; 17] = [
    row(
        "connect",
        "new connections: TCP, TLS, CONNECT with a token",
        Unit::ConnectionsPerSecond,
    ),
    row(
        "connect-p50",
        "a connection from TCP to CONNACK, the middle one",
        Unit::Milliseconds,
    ),
    row(
        "connect-p99",
        "a connection from TCP to CONNACK, 99 of 100",
        Unit::Milliseconds,
    ),
    promised(
        "memory",
        "anonymous memory of the server's process for each idle connection",
        Unit::Kibibytes,
        20.0,
    ),
    promised(
        "telemetry",
        "durable telemetry, until its PUBACK, several in flight",
        Unit::MessagesPerSecond,
        20_000.0,
    ),
    row(
        "telemetry-p50",
        "a message until its PUBACK, the middle one",
        Unit::Milliseconds,
    ),
    row(
        "telemetry-p99",
        "a message until its PUBACK, 99 of 100",
        Unit::Milliseconds,
    ),
    row(
        "telemetry-cpu",
        "processor time of the server for a message",
        Unit::Microseconds,
    ),
    row(
        "all",
        "durable telemetry of all connections, one in flight each",
        Unit::MessagesPerSecond,
    ),
    row(
        "all-p50",
        "a message of those until its PUBACK, the middle one",
        Unit::Milliseconds,
    ),
    row(
        "all-p99",
        "a message of those until its PUBACK, 99 of 100",
        Unit::Milliseconds,
    ),
    row(
        "patch",
        "reported patches, until their answer with the version",
        Unit::PatchesPerSecond,
    ),
    row(
        "patch-p50",
        "a reported patch until its answer, the middle one",
        Unit::Milliseconds,
    ),
    row(
        "patch-p99",
        "a reported patch until its answer, 99 of 100",
        Unit::Milliseconds,
    ),
    row(
        "rest",
        "twins read by the service over HTTPS, connections kept",
        Unit::CallsPerSecond,
    ),
    row(
        "rest-p50",
        "a twin read until its answer, the middle one",
        Unit::Milliseconds,
    ),
    row(
        "rest-p99",
        "a twin read until its answer, 99 of 100",
        Unit::Milliseconds,
    ),
];

#[cfg(test)]
mod tests {
    use super::super::super::rows::check_documented;
    use super::*;

    #[test]
    fn every_row_is_documented() {
        check_documented(&ROWS);
    }
}
