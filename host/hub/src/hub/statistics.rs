//! How many devices there are, without reading them all each time.
//!
//! Owns a count that is taken once by a scan (2.7 s for 100,000 devices in a
//! debug build, against 0.1 µs for looking at it afterwards), then kept in step with every
//! device that this process makes, changes or deletes, and taken again now
//! and then: other processes may change devices too. Leaves the devices to
//! the registry, which tells of its changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasm_edge_model::identity::DeviceId;

use super::Hub;
use crate::error::HubError;
use crate::identity::IdentityStatus;
use crate::store::Collection;

/// After how long the devices are counted again.
const RECOUNT_AFTER: Duration = Duration::from_secs(10 * 60);

/// The shortest wait before they are counted again, when some changed while they were counted; it
/// is longer where counting takes long, so that counting takes a tenth of the time at most.
const RECOUNT_AFTER_MIN: Duration = Duration::from_secs(1);

/// How many devices are read at once.
const PAGE: usize = 1000;

/// How many devices there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceStatistics {
    /// Those that may connect.
    pub enabled: u64,
    /// Those that may not.
    pub disabled: u64,
}

impl DeviceStatistics {
    /// The count as the service API shows it.
    pub fn to_json(self) -> Value {
        json!({
            "totalDeviceCount": self.enabled + self.disabled,
            "enabledDeviceCount": self.enabled,
            "disabledDeviceCount": self.disabled,
        })
    }

    fn of(&mut self, status: IdentityStatus) -> &mut u64 {
        match status {
            IdentityStatus::Enabled => &mut self.enabled,
            IdentityStatus::Disabled => &mut self.disabled,
        }
    }
}

/// The count of a hub.
#[derive(Debug)]
pub(super) struct Census {
    /// Written by those who change devices and by who counts; short sections only.
    state: Mutex<State>,
    /// Held by the one who counts.
    counting: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    /// The count, and until when it is good enough.
    known: Option<(DeviceStatistics, Instant)>,
    /// Whether devices changed since counting began: the count may have them twice or not at all.
    stirred: bool,
}

impl Default for Census {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            counting: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Census {
    /// A device changed: from this status to that; nothing stands for one that is not there.
    pub(super) fn note(&self, before: Option<IdentityStatus>, after: Option<IdentityStatus>) {
        if before == after {
            return;
        }
        let mut state = self.state();
        state.stirred = true;
        let Some((count, _)) = &mut state.known else {
            return;
        };
        if let Some(before) = before {
            let less = count.of(before);
            *less = less.saturating_sub(1);
        }
        if let Some(after) = after {
            *count.of(after) += 1;
        }
    }

    fn known(&self) -> Option<(DeviceStatistics, Instant)> {
        self.state().known
    }

    fn begin(&self) {
        self.state().stirred = false;
    }

    fn counted(&self, count: DeviceStatistics, began: Instant, now: Instant) {
        let mut state = self.state();
        let wait = if state.stirred {
            RECOUNT_AFTER_MIN.max((now - began) * 10)
        } else {
            RECOUNT_AFTER
        };
        state.known = Some((count, now + wait));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of a device's document is counted.
#[derive(Deserialize)]
struct Counted {
    identity: CountedIdentity,
}

#[derive(Deserialize)]
struct CountedIdentity {
    status: IdentityStatus,
}

impl Hub {
    /// How many devices there are; exact for what this process does, and for others at most
    /// ten minutes old.
    ///
    /// # Errors
    /// [`HubError::Store`] and its kin.
    pub async fn device_statistics(&self) -> Result<DeviceStatistics, HubError> {
        let census = self.census();
        let fresh = |known: Option<(DeviceStatistics, Instant)>| {
            known.filter(|(_, until)| Instant::now() < *until)
        };
        if let Some((count, _)) = fresh(census.known()) {
            return Ok(count);
        }
        let counting = Arc::clone(&census.counting);
        let _permit = match (counting.clone().try_acquire_owned(), census.known()) {
            (Ok(permit), _) => permit,
            // Another counts already: what is known is good enough for so long.
            (Err(_), Some((count, _))) => return Ok(count),
            (Err(_), None) => counting
                .acquire_owned()
                .await
                .expect("the semaphore of a hub is never closed"),
        };
        if let Some((count, _)) = fresh(census.known()) {
            return Ok(count);
        }
        census.begin();
        let began = Instant::now();
        let count = self.count_devices().await?;
        census.counted(count, began, Instant::now());
        Ok(count)
    }

    /// How many devices are connected to this process.
    pub fn connected_devices(&self) -> usize {
        self.connections().connected_devices()
    }

    async fn count_devices(&self) -> Result<DeviceStatistics, HubError> {
        let mut count = DeviceStatistics::default();
        let mut after = None;
        loop {
            let page = self
                .store()
                .scan(&Collection::Devices, after.as_ref(), PAGE)
                .await?;
            for (key, document) in page.documents {
                match serde_json::from_slice::<Counted>(&document.content) {
                    Ok(counted) => *count.of(counted.identity.status) += 1,
                    // It is there, and whoever asks for it is told what is wrong with it.
                    Err(err) => tracing::warn!(
                        device = key.device().map(DeviceId::new).and_then(Result::ok).map(|device| device.to_string()),
                        %err, "a device cannot be counted"
                    ),
                }
                after = Some(key);
            }
            if !page.more {
                return Ok(count);
            }
        }
    }
}

#[cfg(test)]
mod tests;
