//! What a service manager is told (`sd_notify(3)`): that the device is ready, how it is, that it still lives.
//!
//! Without `NOTIFY_SOCKET` nothing is told to nobody. What systemd says back is nothing, so that failures are logged
//! and have no other effect.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;

/// The longest status line: more than a terminal shows.
const STATUS_MAX_CHARACTERS: usize = 200;

/// The service manager; clones tell the same one.
#[derive(Clone, Debug)]
pub(super) struct ServiceManager {
    /// The status that was told last; none where nobody listens.
    told: Option<Arc<Mutex<String>>>,
}

impl ServiceManager {
    /// The one that the environment names, if it names one.
    pub(super) fn of_environment() -> Self {
        let listens = std::env::var_os("NOTIFY_SOCKET").is_some();
        Self {
            told: listens.then(Arc::default),
        }
    }

    /// How long it waits for a sign of life; none where it does not.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.told.as_ref()?;
        sd_notify::watchdog_enabled()
    }

    /// The device runs.
    pub(super) fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// The device lives.
    pub(super) fn alive(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    /// The device ends, which may take so long.
    pub(super) fn stopping(&self, time_max: Duration) {
        self.tell(&[
            NotifyState::Stopping,
            NotifyState::Status("stopping"),
            extend(time_max),
        ]);
    }

    /// The start goes on, for so long at least.
    pub(super) fn starting(&self, status: &str, time_max: Duration) {
        self.status(status);
        self.tell(&[extend(time_max), NotifyState::Watchdog]);
    }

    /// How the device is, in a line; what was told already is not told again.
    pub(super) fn status(&self, status: &str) {
        let Some(told) = &self.told else { return };
        let line: String = status
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(STATUS_MAX_CHARACTERS)
            .collect();
        let is_new = {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = *told != line;
            told.clone_from(&line);
            is_new
        };
        if is_new {
            self.tell(&[NotifyState::Status(&line)]);
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if self.told.is_none() {
            return;
        }
        if let Err(err) = sd_notify::notify(states) {
            tracing::debug!(%err, "the service manager could not be told");
        }
    }
}

fn extend(time: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))
}
