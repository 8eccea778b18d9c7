//! How long a guest may run: counted in ticks of the engine's epoch, so that only the guest's own
//! running time counts and waits in host calls do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time between two ticks of the epoch.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Counts the ticks of the present call of one instance.
///
/// The epoch callback adds, the start of a call and a program's waits set back; all from the task
/// that owns the store, the atomic only serves to share it with pollables inside the store.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    ticks: Arc<AtomicU64>,
    limit_ticks: u64,
    cpu_limit_millis: Option<u32>,
}

/// What a tick leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Let others run, then go on.
    Yield,
    /// Sleep so long, then go on: the module has a share of the processor only.
    Throttle(Duration),
    /// The time is over.
    Exceeded,
}

impl Deadline {
    /// A call may run for `limit`; `cpu_limit_millis` is the share of one core in thousandths.
    pub(crate) fn new(limit: Duration, cpu_limit_millis: Option<u32>) -> Self {
        let limit_ticks = (limit.as_nanos() / TICK.as_nanos()).max(1);
        Self {
            ticks: Arc::new(AtomicU64::new(0)),
            limit_ticks: u64::try_from(limit_ticks).unwrap_or(u64::MAX),
            cpu_limit_millis: cpu_limit_millis.filter(|share| *share < 1000),
        }
    }

    /// A new call starts, or a program has waited.
    pub(crate) fn restart(&self) {
        self.ticks.store(0, Ordering::Relaxed);
    }

    /// The guest ran into a tick.
    pub(crate) fn tick(&self) -> Verdict {
        if self.ticks.fetch_add(1, Ordering::Relaxed) >= self.limit_ticks {
            return Verdict::Exceeded;
        }
        match self.cpu_limit_millis {
            None => Verdict::Yield,
            Some(share) => {
                let share = share.max(1);
                Verdict::Throttle(TICK * (1000 - share) / share)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_counts_ticks_and_starts_anew() {
        let deadline = Deadline::new(Duration::from_millis(20), None);
        assert_eq!(deadline.tick(), Verdict::Yield);
        assert_eq!(deadline.tick(), Verdict::Yield);
        assert_eq!(deadline.tick(), Verdict::Exceeded);
        deadline.restart();
        assert_eq!(deadline.tick(), Verdict::Yield);
    }

    #[test]
    fn a_share_of_the_processor_sleeps_for_the_rest() {
        let quarter = Deadline::new(Duration::from_secs(1), Some(250));
        assert_eq!(quarter.tick(), Verdict::Throttle(TICK * 3));
        let whole = Deadline::new(Duration::from_secs(1), Some(1000));
        assert_eq!(whole.tick(), Verdict::Yield);
    }
}
