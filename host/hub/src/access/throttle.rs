//! Throttles: how often something may be done, as one unit of IoT Hub's tier S1 allows.
//!
//! Owns the rates. Leaves to the faces what becomes of what came too often:
//! they answer 429, refuse the connection, or wait.
//!
//! Source: Azure IoT Hub, "IoT Hub quotas and throttling".

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

/// Size of the unit in which methods are counted.
const METHOD_METER_BYTES: usize = 4 * 1024;

/// What the hub lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tier {
    /// Whatever comes.
    #[default]
    Unlimited,
    /// As much as one unit of IoT Hub's tier S1.
    S1,
}

/// Something that is throttled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A read, list, write or deletion of identities.
    Identity,
    /// A new connection of a device or module.
    Connection,
    /// A message of a device or module.
    Telemetry,
    /// A read of a twin.
    TwinRead,
    /// A change of a twin, its reported properties included.
    TwinUpdate,
    /// A query.
    Query,
    /// A direct method with a payload of so many bytes.
    Method {
        /// The length of the payload.
        bytes: usize,
    },
    /// A read or write of configurations, and their application to a device.
    Configuration,
}

impl Operation {
    /// The operation as figures name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Connection => "connection",
            Self::Telemetry => "telemetry",
            Self::TwinRead => "twin_read",
            Self::TwinUpdate => "twin_update",
            Self::Query => "query",
            Self::Method { .. } => "method",
            Self::Configuration => "configuration",
        }
    }
}

/// Something came too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too much is asked at once; there is room again in {} ms", retry_after.as_millis())]
pub struct Throttled {
    /// After how long there is room again.
    pub retry_after: Duration,
}

/// The throttles of a hub.
#[derive(Debug)]
pub(crate) struct Throttles(Option<[Mutex<Bucket>; 8]>);

impl Throttles {
    pub(crate) fn new(tier: Tier, now: Instant) -> Self {
        let second = Duration::from_secs(1);
        let minute = Duration::from_secs(60);
        let bucket = |limit, period| Mutex::new(Bucket::new(limit, period, now));
        Self(match tier {
            Tier::Unlimited => None,
            Tier::S1 => Some([
                bucket(100, minute),
                bucket(100, second),
                bucket(100, second),
                bucket(100, second),
                bucket(50, second),
                bucket(20, minute),
                // 160 KB each second.
                bucket(40, second),
                bucket(20, minute),
            ]),
        })
    }

    /// Takes room for an operation, or says when there will be some.
    pub(crate) fn take(&self, operation: Operation, now: Instant) -> Result<(), Throttled> {
        let Some(buckets) = &self.0 else {
            return Ok(());
        };
        let (index, units) = match operation {
            Operation::Identity => (0, 1),
            Operation::Connection => (1, 1),
            Operation::Telemetry => (2, 1),
            Operation::TwinRead => (3, 1),
            Operation::TwinUpdate => (4, 1),
            Operation::Query => (5, 1),
            Operation::Method { bytes } => (6, bytes.div_ceil(METHOD_METER_BYTES).max(1)),
            Operation::Configuration => (7, 1),
        };
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let mut bucket = buckets[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        bucket.take(units, now)
    }
}

/// So many units in a period, all at once if none came before; room comes back evenly.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    limit: u32,
    /// How long one unit takes to come back.
    step: Duration,
    /// When the bucket is full again: behind `now` if it is.
    full_at: Instant,
}

impl Bucket {
    /// A full bucket. `limit` is not 0.
    pub(crate) fn new(limit: u32, period: Duration, now: Instant) -> Self {
        Self {
            limit,
            step: period / limit,
            full_at: now,
        }
    }

    /// Takes `units`, never more than there can be.
    pub(crate) fn take(&mut self, units: u32, now: Instant) -> Result<(), Throttled> {
        let units = units.min(self.limit);
        let full_at = self.full_at.max(now) + self.step * units;
        let missing = full_at.saturating_duration_since(now + self.step * self.limit);
        if !missing.is_zero() {
            return Err(Throttled {
                retry_after: missing,
            });
        }
        self.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tier: Tier, operation: Operation, at_once: u32, step_ms: u64) {
        let start = Instant::now();
        let throttles = Throttles::new(tier, start);
        for number in 0..at_once {
            assert_eq!(throttles.take(operation, start), Ok(()), "{number}");
        }
        let Err(throttled) = throttles.take(operation, start) else {
            panic!("{operation:?} was let through");
        };
        assert_eq!(throttled.retry_after, Duration::from_millis(step_ms));
        let later = start + throttled.retry_after;
        assert_eq!(throttles.take(operation, later), Ok(()));
        assert!(throttles.take(operation, later).is_err());
        // However long nothing came, no more than the limit passes at once.
        let much_later = start + Duration::from_secs(3600);
        for _ in 0..at_once {
            assert_eq!(throttles.take(operation, much_later), Ok(()));
        }
        assert!(throttles.take(operation, much_later).is_err());
    }

    #[test]
    fn a_unit_of_s1_lets_through_what_it_is_sold_for() {
        check(Tier::S1, Operation::Identity, 100, 600);
        check(Tier::S1, Operation::Connection, 100, 10);
        check(Tier::S1, Operation::Telemetry, 100, 10);
        check(Tier::S1, Operation::TwinRead, 100, 10);
        check(Tier::S1, Operation::TwinUpdate, 50, 20);
        check(Tier::S1, Operation::Query, 20, 3000);
        check(Tier::S1, Operation::Method { bytes: 0 }, 40, 25);
        check(Tier::S1, Operation::Method { bytes: 4096 }, 40, 25);
        check(Tier::S1, Operation::Method { bytes: 4097 }, 20, 50);
        check(Tier::S1, Operation::Configuration, 20, 3000);
    }

    #[test]
    fn a_method_larger_than_all_there_is_waits_for_all_of_it() {
        check(Tier::S1, Operation::Method { bytes: usize::MAX }, 1, 1000);
    }

    #[test]
    fn without_a_tier_all_is_let_through() {
        let now = Instant::now();
        let throttles = Throttles::new(Tier::Unlimited, now);
        for _ in 0..1000 {
            assert_eq!(throttles.take(Operation::Query, now), Ok(()));
        }
    }

    #[test]
    fn operations_do_not_use_up_each_others_room() {
        let now = Instant::now();
        let throttles = Throttles::new(Tier::S1, now);
        while throttles.take(Operation::Query, now).is_ok() {}
        assert_eq!(throttles.take(Operation::Configuration, now), Ok(()));
        assert_eq!(throttles.take(Operation::TwinRead, now), Ok(()));
    }
}
