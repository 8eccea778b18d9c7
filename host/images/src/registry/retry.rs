//! When a registry is asked again.
//!
//! Pure: what failed and a number for the jitter in, a wait out. Many devices get the same deployment in the same
//! second: what they ask again is spread over half of each wait.

use std::time::Duration;

use wasm_edge_model::time::Timestamp;
use wasm_edge_net::http::date;

/// How often something is asked again that does not go on.
const RETRIES_MAX: u32 = 5;

/// The first wait; each further one is twice as long.
const WAIT_FIRST: Duration = Duration::from_millis(500);

/// The longest wait that a registry is granted. Who is told to wait for longer gives up, and says so.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// How much has to have come for a transfer to count as one that goes on.
const PROGRESS_BYTES: u64 = 64 * 1024;

/// How often something failed since it last went on.
#[derive(Debug, Default)]
pub(super) struct Retry {
    failed: u32,
}

impl Retry {
    /// Something failed after so many bytes more had come: how long to wait before it is tried again, `jitter` being
    /// from 0 to 1; none to give up. `wanted` is what the registry asked for.
    pub(super) fn wait(
        &mut self,
        moved_bytes: u64,
        wanted: Option<Duration>,
        jitter: f64,
    ) -> Option<Duration> {
        if moved_bytes >= PROGRESS_BYTES {
            self.failed = 0;
        }
        if self.failed == RETRIES_MAX || wanted.is_some_and(|wanted| wanted > RETRY_AFTER_MAX) {
            return None;
        }
        let wait = WAIT_FIRST * 2_u32.pow(self.failed);
        self.failed += 1;
        let spread = wait / 2 + (wait / 2).mul_f64(jitter.clamp(0.0, 1.0));
        Some(spread.max(wanted.unwrap_or_default()))
    }
}

/// Reads a header `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date that is compared with that of the
/// answer.
pub(super) fn retry_after(value: &str, answered: Option<Timestamp>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // What is beyond all numbers is still a time: for ever.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = date::parse(value)?.unix_millis();
    let wait = until.saturating_sub(answered?.unix_millis());
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_with_jitter_and_end() {
        let check = |jitter: f64, expected: &[u128]| {
            let mut retry = Retry::default();
            let waits: Vec<_> = std::iter::from_fn(|| retry.wait(0, None, jitter))
                .map(|wait| wait.as_millis())
                .collect();
            assert_eq!(waits, expected);
        };
        check(1.0, &[500, 1000, 2000, 4000, 8000]);
        check(0.0, &[250, 500, 1000, 2000, 4000]);
        check(7.0, &[500, 1000, 2000, 4000, 8000]);
        check(f64::NEG_INFINITY, &[250, 500, 1000, 2000, 4000]);
    }

    #[test]
    fn what_goes_on_is_tried_for_ever_and_what_drips_is_not() {
        let mut retry = Retry::default();
        for _ in 0..100 {
            assert_eq!(
                retry.wait(PROGRESS_BYTES, None, 0.0),
                Some(Duration::from_millis(250))
            );
        }
        let dripping = (0..100).take_while(|_| retry.wait(PROGRESS_BYTES - 1, None, 0.0).is_some());
        assert_eq!(dripping.count(), 4);
    }

    #[test]
    fn a_registry_is_granted_some_time_and_no_more() {
        let check = |secs: u64, expected: Option<u128>| {
            let wait = Retry::default().wait(0, Some(Duration::from_secs(secs)), 0.0);
            assert_eq!(wait.map(|wait| wait.as_millis()), expected);
        };
        check(0, Some(250));
        check(7, Some(7000));
        check(60, Some(60_000));
        check(61, None);
        check(u64::MAX, None);
    }

    #[test]
    fn the_time_that_a_registry_asks_for_is_read() {
        let answered = "2026-08-01T10:00:00Z".parse().ok();
        let check = |value: &str, expected: Option<u64>| {
            let found = retry_after(value, answered);
            assert_eq!(found.map(|wait| wait.as_secs()), expected, "{value}");
        };
        check("0", Some(0));
        check(" 120 ", Some(120));
        check("99999999999999999999999999", Some(u64::MAX));
        check("Sat, 01 Aug 2026 10:00:30 GMT", Some(30));
        check("Sat, 01 Aug 2026 09:00:00 GMT", Some(0));
        check("Wed, 01 Jan 9000 00:00:00 GMT", Some(220_059_813_600));
        for wrong in ["", "-1", "1.5", "+3", "soon", "10 s"] {
            check(wrong, None);
        }
        assert_eq!(retry_after("Sat, 01 Aug 2026 10:00:30 GMT", None), None);
    }
}
