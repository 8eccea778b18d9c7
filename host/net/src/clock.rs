//! The wall clock that tokens and certificates are judged by: that of the system, corrected by what a hub said.
//!
//! Owns whether the time can be right, and the correction. Durations are not measured by it. Leaves asking a hub, and
//! keeping the latest time that was seen over restarts, to the callers.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use wasm_edge_model::time::Timestamp;

/// No build of this source is older: 2026-11-01.
const BUILT_UNIX_MS: i64 = 1_793_491_200_000;

/// How far the clock may be behind the latest time that was seen: what a correction of a running clock comes to.
const BACKWARD_MAX_MS: i64 = 5 * 60 * 1000;

/// How far the system's clock may run from the monotonic one between two looks before it was set; half a second in a
/// quarter of an hour is what a correction by slewing comes to.
const JUMP_MIN_MS: i64 = 5_000;

/// How near to what a hub said the system's clock has to be to be believed instead.
const AGREES_MAX_MS: i64 = 60_000;

/// Where the system's time and the time that passes come from.
pub trait Source: Send + Sync {
    /// The system's wall clock.
    fn wall(&self) -> Timestamp;

    /// Time that passes, whatever the wall clock does.
    fn monotonic(&self) -> Instant;
}

/// The wall clock; clones share it.
#[derive(Clone)]
pub struct HubClock {
    shared: Arc<Shared>,
}

struct Shared {
    source: Box<dyn Source>,
    /// Written and read by whoever asks for the time, for a moment.
    state: Mutex<State>,
}

/// What is known of the time.
#[derive(Debug, Clone, Copy)]
struct State {
    /// What is added to the system's clock.
    offset_ms: i64,
    /// Whether a hub said so, and the system's clock has not come to agree since.
    adopted: bool,
    /// The latest time that was seen.
    latest_unix_ms: i64,
    /// The last look at both clocks.
    wall_unix_ms: i64,
    monotonic: Instant,
}

/// The clocks of this machine.
struct Machine;

impl Source for Machine {
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        });
        Timestamp::from_unix_millis(millis)
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

impl HubClock {
    /// The clock of this machine, of which `latest` is the latest time that was seen before, if that is known.
    pub fn new(latest: Option<Timestamp>) -> Self {
        Self::from_source(Box::new(Machine), latest)
    }

    /// The same with clocks of the caller's.
    pub fn from_source(source: Box<dyn Source>, latest: Option<Timestamp>) -> Self {
        let state = State {
            offset_ms: 0,
            adopted: false,
            latest_unix_ms: latest.map_or(BUILT_UNIX_MS, Timestamp::unix_millis),
            wall_unix_ms: source.wall().unix_millis(),
            monotonic: source.monotonic(),
        };
        Self {
            shared: Arc::new(Shared {
                source,
                state: Mutex::new(state),
            }),
        }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.look(|state| state.now_unix_ms()))
    }

    /// Whether it can be the time: not before this program was built, and not before what was seen already.
    pub fn is_plausible(&self) -> bool {
        self.look(|state| state.is_plausible())
    }

    /// Takes over what a hub said so long ago, whatever was seen before, since a hub judges tokens by its own clock;
    /// false, and nothing is changed, if it cannot be the time.
    pub fn adopt(&self, said: Timestamp, ago: Duration) -> bool {
        if said.unix_millis() < BUILT_UNIX_MS {
            return false;
        }
        let ago_ms = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        let time_unix_ms = said.unix_millis().saturating_add(ago_ms);
        self.look(|state| state.adopt(time_unix_ms));
        true
    }

    /// What is added to the system's clock, in milliseconds.
    pub fn offset_ms(&self) -> i64 {
        self.look(|state| state.offset_ms)
    }

    /// The latest time that was seen, to be kept over restarts; none before the clock is plausible.
    pub fn latest(&self) -> Option<Timestamp> {
        self.look(|state| {
            let plausible = state.is_plausible();
            plausible.then(|| Timestamp::from_unix_millis(state.latest_unix_ms))
        })
    }

    /// Looks at the clocks, and then at what is known.
    fn look<T>(&self, and: impl FnOnce(&mut State) -> T) -> T {
        let wall_unix_ms = self.shared.source.wall().unix_millis();
        let monotonic = self.shared.source.monotonic();
        let mut state = self
            .shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.see(wall_unix_ms, monotonic);
        and(&mut state)
    }
}

impl State {
    /// Follows the clocks; when the system's was set, it is believed if it agrees with what a hub said, else the hub.
    fn see(&mut self, wall_unix_ms: i64, monotonic: Instant) {
        let passed = monotonic.saturating_duration_since(self.monotonic);
        let passed_ms = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let jump_ms = wall_unix_ms
            .saturating_sub(self.wall_unix_ms)
            .saturating_sub(passed_ms);
        let expected_unix_ms = self.now_unix_ms().saturating_add(passed_ms);
        self.wall_unix_ms = wall_unix_ms;
        self.monotonic = monotonic;
        if self.adopted && jump_ms.saturating_abs() >= JUMP_MIN_MS {
            self.offset_ms = expected_unix_ms.saturating_sub(wall_unix_ms);
            if self.offset_ms.saturating_abs() <= AGREES_MAX_MS {
                self.offset_ms = 0;
                self.adopted = false;
            }
        }
        self.latest_unix_ms = self.latest_unix_ms.max(self.now_unix_ms());
    }

    fn adopt(&mut self, time_unix_ms: i64) {
        self.offset_ms = time_unix_ms.saturating_sub(self.wall_unix_ms);
        self.adopted = true;
        self.latest_unix_ms = time_unix_ms;
    }

    fn now_unix_ms(&self) -> i64 {
        self.wall_unix_ms.saturating_add(self.offset_ms)
    }

    fn is_plausible(&self) -> bool {
        let now_unix_ms = self.now_unix_ms();
        let seen = self.latest_unix_ms.saturating_sub(BACKWARD_MAX_MS);
        self.adopted || (now_unix_ms >= BUILT_UNIX_MS && now_unix_ms >= seen)
    }
}

impl fmt::Debug for HubClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubClock").finish_non_exhaustive()
    }
}

impl TimeProvider for HubClock {
    /// The time now; as long as that cannot be right, the latest that was seen, so that a hub can be asked the time by
    /// TLS: it cannot be earlier.
    fn current_time(&self) -> Option<UnixTime> {
        let unix_ms = self.look(|state| match state.is_plausible() {
            true => state.now_unix_ms(),
            false => state.latest_unix_ms.max(BUILT_UNIX_MS),
        });
        let millis = u64::try_from(unix_ms).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(millis)))
    }
}

#[cfg(test)]
mod tests;
