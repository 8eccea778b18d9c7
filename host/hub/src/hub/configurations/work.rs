//! What the worker has to do, and what it has counted.
//!
//! Owns the marks that operations leave and the worker takes. Leaves doing it
//! to the worker. Marks are in memory: at a start, and now and then, the
//! worker looks at everything anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use wasm_edge_model::identity::DeviceId;

use super::document::Configuration;

/// Most devices that are marked one by one; with more, all are looked at.
const MARKS_MAX: usize = 10_000;

/// How long somebody waits for metrics to be counted before he gets those of a while ago.
const COUNT_WAIT_MAX: Duration = Duration::from_secs(2);

/// Work to be done.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Written by operations and taken by the worker; short sections only.
    marks: Mutex<Marks>,
    marked: Notify,
    counting: watch::Sender<Counting>,
    /// Written by the worker, read by those who show configurations.
    counts: Mutex<BTreeMap<String, Counts>>,
}

/// What is marked.
#[derive(Debug, Default)]
struct Marks {
    /// Whether twins may have to do with configurations at all: without any, nothing is marked.
    is_active: bool,
    all: bool,
    devices: BTreeSet<DeviceId>,
}

/// Which requests to count were made, and which are answered.
#[derive(Debug, Default, Clone, Copy)]
struct Counting {
    /// Whether there is a worker.
    is_running: bool,
    wanted: u64,
    done: u64,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// All devices.
    All,
    /// These devices.
    Devices(BTreeSet<DeviceId>),
    /// None.
    Nothing,
}

/// The results of a configuration's metrics.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) system: BTreeMap<&'static str, u64>,
    pub(super) own: BTreeMap<String, u64>,
}

impl Work {
    /// Notes that something about a device changed that conditions may ask for.
    pub(crate) fn device(&self, device: &DeviceId) {
        let mut marks = self.marks();
        if !marks.is_active || marks.all {
            return;
        }
        if marks.devices.len() >= MARKS_MAX {
            marks.all = true;
            marks.devices.clear();
        } else {
            marks.devices.insert(device.clone());
        }
        drop(marks);
        self.marked.notify_one();
    }

    /// Notes that all devices have to be looked at.
    pub(super) fn all(&self) {
        let mut marks = self.marks();
        marks.is_active = true;
        marks.all = true;
        marks.devices.clear();
        drop(marks);
        self.marked.notify_one();
    }

    /// Has metrics counted, and waits a moment for it.
    pub(super) async fn count(&self) {
        let mut counting = self.counting.subscribe();
        let wanted = {
            let mut wanted = 0;
            self.counting.send_modify(|counting| {
                counting.wanted += 1;
                wanted = counting.wanted;
            });
            wanted
        };
        let is_over = |counting: &Counting| !counting.is_running || counting.done >= wanted;
        // Too late means: those of a while ago.
        let _ = timeout(COUNT_WAIT_MAX, counting.wait_for(is_over)).await;
    }

    /// What was counted last.
    pub(super) fn counted(&self, configuration: &Configuration) -> Counts {
        let counts = self.counts();
        counts
            .get(configuration.id.as_str())
            .cloned()
            .unwrap_or_default()
    }

    pub(super) fn take(&self) -> Next {
        let mut marks = self.marks();
        let devices = std::mem::take(&mut marks.devices);
        match (std::mem::take(&mut marks.all), devices.is_empty()) {
            (true, _) => Next::All,
            (false, true) => Next::Nothing,
            (false, false) => Next::Devices(devices),
        }
    }

    /// Marks again what was taken and could not be done.
    pub(super) fn give_back(&self, next: Next) {
        let mut marks = self.marks();
        match next {
            Next::All => marks.all = true,
            Next::Devices(devices) => marks.devices.extend(devices),
            Next::Nothing => {}
        }
    }

    /// Notes that there are no configurations and nothing is left of any, unless something has been
    /// marked since.
    pub(super) fn rest(&self) {
        let mut marks = self.marks();
        marks.is_active = marks.all;
        if !marks.is_active {
            marks.devices.clear();
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.marks().is_active
    }

    /// Waits until something is marked.
    pub(super) async fn marked(&self) {
        self.marked.notified().await;
    }

    /// Waits until metrics are wanted; answers up to which request.
    pub(super) async fn count_wanted(&self) -> u64 {
        let mut counting = self.counting.subscribe();
        let wanted = counting
            .wait_for(|counting| counting.wanted > counting.done)
            .await;
        // The sender is here, so that it never ends.
        wanted.map_or(0, |counting| counting.wanted)
    }

    pub(super) fn set_counts(&self, upto: u64, counts: BTreeMap<String, Counts>) {
        *self.counts() = counts;
        self.counting
            .send_modify(|counting| counting.done = counting.done.max(upto));
    }

    pub(super) fn set_running(&self, is_running: bool) {
        self.counting
            .send_modify(|counting| counting.is_running = is_running);
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, Counts>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
