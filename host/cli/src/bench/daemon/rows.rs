//! The rows of `bench daemon`: what is measured of a device on a network, and in which unit.

use super::super::rows::{Row, Unit, row};

/// All rows, in the order in which they are printed.
pub(super) const ROWS: [Row; 14] = [
    row(
        "day-1",
        "a day of an idle device with 1 module, on the wire",
        Unit::KibibytesPerDay,
    ),
    row(
        "day-1-pings",
        "of it, pings and their answers",
        Unit::KibibytesPerDay,
    ),
    row(
        "day-1-twins",
        "of it, whole reads of the device's own twins",
        Unit::KibibytesPerDay,
    ),
    row(
        "day-1-tokens",
        "of it, connections made anew before tokens expire",
        Unit::KibibytesPerDay,
    ),
    row(
        "day-5",
        "a day of an idle device with 5 modules, on the wire",
        Unit::KibibytesPerDay,
    ),
    row(
        "day-5-pings",
        "of it, pings and their answers, of 5 modules",
        Unit::KibibytesPerDay,
    ),
    row(
        "day-5-twins",
        "of it, whole reads of the device's own twins, of 5 modules",
        Unit::KibibytesPerDay,
    ),
    row(
        "day-5-tokens",
        "of it, connections made anew, of 5 modules",
        Unit::KibibytesPerDay,
    ),
    row("ping", "a ping and its answer", Unit::Bytes),
    row("twin", "a whole read of an own twin", Unit::Bytes),
    row(
        "token",
        "a connection made anew with another token",
        Unit::Bytes,
    ),
    row(
        "reconnect-20-first",
        "20 modules after an outage: from the hub's return to the first session",
        Unit::Milliseconds,
    ),
    row(
        "reconnect-20",
        "from the first session to the last",
        Unit::Milliseconds,
    ),
    row(
        "reconnect-20-bytes",
        "what all of them sent and received for it",
        Unit::Kibibytes,
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
