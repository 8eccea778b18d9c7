//! Which segments of telemetry go, and when a new one is begun.
//!
//! Pure decisions on what the segments are; carried out by the writer.

use super::{RETENTION_MIN_BYTES, Retention};

/// Into how many segments the allowed bytes and the allowed time are divided: what goes at once.
const PARTS: u32 = 8;

/// The largest segment: what a reader that begins within it reads over at most.
const SEGMENT_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// A segment of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its number in the log.
    pub(super) id: u64,
    /// The position of its first message, if its head can be read.
    pub(super) first: Option<u64>,
    /// For how long the hub had run in all when it was begun.
    pub(super) begun_ms: u64,
}

/// How large a segment becomes.
pub(super) fn segment_bytes(retention: &Retention) -> u32 {
    let part = max_bytes(retention) / u64::from(PARTS);
    u32::try_from(part.min(SEGMENT_MAX_BYTES)).unwrap_or(u32::MAX)
}

/// How old the newest segment with messages may get before the next is begun.
pub(super) fn segment_age_ms(retention: &Retention) -> u64 {
    millis(retention.max_age) / u64::from(PARTS)
}

/// The oldest segment, if it has to go before `incoming` bytes more are written at `now_ms`.
///
/// `segments` are in order with their sizes; the newest always stays.
pub(super) fn to_remove(
    segments: &[(Segment, u64)],
    retention: &Retention,
    incoming: u64,
    now_ms: u64,
) -> Option<u64> {
    let [(oldest, _), (second, _), ..] = segments else {
        return None;
    };
    let bytes: u64 = segments.iter().map(|(_, bytes)| bytes).sum();
    // What is in a segment came before the next one was begun.
    let age = now_ms.saturating_sub(second.begun_ms);
    let goes = bytes + incoming > max_bytes(retention) || age > millis(retention.max_age);
    goes.then_some(oldest.id)
}

fn max_bytes(retention: &Retention) -> u64 {
    retention.max_bytes.max(RETENTION_MIN_BYTES)
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RETENTION: Retention = Retention {
        max_bytes: RETENTION_MIN_BYTES,
        max_age: Duration::from_secs(8),
    };

    /// Segments of a megabyte each, begun at these seconds; how many go, one after the other.
    fn check(begun: &[u64], incoming: u64, now: u64, expected: usize) {
        let mut segments: Vec<_> = (0..)
            .zip(begun)
            .map(|(id, begun)| {
                let segment = Segment {
                    id,
                    first: None,
                    begun_ms: begun * 1000,
                };
                (segment, 1024 * 1024)
            })
            .collect();
        let mut gone = 0;
        while let Some(id) = to_remove(&segments, &RETENTION, incoming, now * 1000) {
            assert_eq!(id, segments.remove(0).0.id);
            gone += 1;
        }
        assert_eq!(gone, expected, "{begun:?} {incoming} {now}");
    }

    #[test]
    fn the_oldest_go_when_they_are_too_old_or_too_many_and_the_newest_stays() {
        check(&[], 0, 100, 0);
        check(&[0], 0, 100, 0);
        check(&[0, 1], 0, 9, 0);
        check(&[0, 1], 0, 10, 1);
        check(&[0, 1, 2, 3], 0, 12, 3);
        check(&[0; 8], 0, 0, 0);
        check(&[0; 8], 1, 0, 1);
        check(&[0; 9], 1, 0, 2);
        check(&[0; 9], u64::MAX / 2, 0, 8);
        // A clock that seems to run backwards drops nothing.
        check(&[5, 6], 0, 1, 0);
    }

    #[test]
    fn a_segment_is_an_eighth_of_what_is_kept() {
        assert_eq!(segment_bytes(&RETENTION), 1024 * 1024);
        assert_eq!(segment_age_ms(&RETENTION), 1000);
        let large = Retention {
            max_bytes: u64::MAX,
            max_age: Duration::MAX,
        };
        assert_eq!(u64::from(segment_bytes(&large)), SEGMENT_MAX_BYTES);
        let none = Retention {
            max_bytes: 0,
            max_age: Duration::ZERO,
        };
        assert_eq!(segment_bytes(&none), 1024 * 1024);
    }
}
