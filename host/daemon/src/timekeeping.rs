//! The wall clock of a board: what it was over restarts, and waiting until it is set.
//!
//! Tokens and certificates are good for a time only, and a board without a battery begins in the past. The latest time
//! that was seen is kept in the data folder; a clock before it is not believed. Then the system's time service is
//! waited for, and where that does not come, the hub is asked. Leaves what is plausible to [`HubClock`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use wasm_edge_model::error::chain;
use wasm_edge_model::time::Timestamp;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::http::{HttpClient, HttpError, HttpOptions, HttpRequest};
use wasm_edge_store::file;
use wasm_edge_store::folder::DataFolder;

use crate::config::hub::ClockConfig;

/// The file in the data folder.
const FILE: &str = "clock.json";

/// The form of that file.
const VERSION: u64 = 1;

/// More than the file has.
const FILE_SIZE_MAX_BYTES: u64 = 1024;

/// How often the time is written, for the sake of the flash.
const WRITE_EVERY: Duration = Duration::from_secs(3600);

/// How often is looked whether the clock was set.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often is said that the clock is waited for, and how often the hub is asked.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// How long a hub may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The answer itself is not read.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Under which name the traffic of asking a hub for the time is counted.
pub const CLOCK_TRAFFIC: &str = "(clock)";

/// How far a hub's time may be from ours before that is why it refuses a token; hubs allow for as much themselves.
const DIFFERENCE_MAX_MS: u64 = 5 * 60 * 1000;

/// The wall clock, kept over restarts.
pub struct Timekeeper {
    clock: HubClock,
    folder: Arc<DataFolder>,
    written: Option<Timestamp>,
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    version: u64,
    latest_time: Timestamp,
}

impl Timekeeper {
    /// Reads the latest time that was seen. Blocks; a file that cannot be read counts as absent, and is logged.
    pub fn open(folder: Arc<DataFolder>) -> Self {
        let written = read(&folder).unwrap_or_else(|err| {
            tracing::warn!(err = %chain(&err), "the latest time that was seen cannot be read");
            None
        });
        Self {
            clock: HubClock::new(written),
            folder,
            written,
        }
    }

    /// The clock.
    pub fn clock(&self) -> HubClock {
        self.clock.clone()
    }

    /// Writes the latest time once an hour until it is told to stop.
    pub async fn keep(mut self, stop: CancellationToken) {
        loop {
            if let Some(latest) = self.clock.latest().filter(|latest| self.is_due(*latest)) {
                let folder = Arc::clone(&self.folder);
                let written = tokio::task::spawn_blocking(move || write(&folder, latest)).await;
                match written {
                    Ok(Ok(())) => self.written = Some(latest),
                    Ok(Err(err)) => {
                        tracing::warn!(%err, "the latest time that was seen cannot be written");
                    }
                    Err(err) => tracing::error!(%err, "writing the time failed"),
                }
            }
            // A clock that is not set yet is written when it is.
            let wait = match self.clock.is_plausible() {
                true => WRITE_EVERY,
                false => SAY_EVERY,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = wasm_edge_clock::sleep(wait) => {}
            }
        }
    }

    fn is_due(&self, latest: Timestamp) -> bool {
        self.written.is_none_or(|written| {
            let passed_ms = latest.unix_millis().saturating_sub(written.unix_millis());
            u64::try_from(passed_ms)
                .is_ok_and(|passed_ms| Duration::from_millis(passed_ms) >= WRITE_EVERY)
        })
    }
}

/// What a hub is asked the time with.
pub struct HubTime {
    client: HttpClient,
}

impl HubTime {
    /// Connects when it is asked, whatever a certificate says of the time while the clock is not set; time and size of
    /// an answer are limited here, whatever the options say.
    pub fn new(options: HttpOptions) -> Self {
        Self {
            client: HttpClient::new(HttpOptions {
                dialer: options.dialer.to_ask_the_time(),
                answer_timeout: ANSWER_TIMEOUT,
                answer_max_bytes: ANSWER_MAX_BYTES,
                ..options
            }),
        }
    }

    /// What time the hub says it is, and how long ago it said so; none if it does not say.
    ///
    /// # Errors
    /// [`HttpError`].
    pub(crate) async fn said(&mut self) -> Result<Option<(Timestamp, Duration)>, HttpError> {
        // What the hub answers does not matter: it says the time with each answer.
        let request = HttpRequest::new(Method::GET, "/");
        let answer = self.client.send(request).await?;
        let date = answer.date();
        Ok(date.map(|date| (date, answer.answered_at.elapsed())))
    }

    /// Lets the clock take over the hub's time; whether it did.
    async fn ask(&mut self, clock: &HubClock) -> Result<bool, HttpError> {
        let said = self.said().await?;
        Ok(said.is_some_and(|(said, ago)| clock.adopt(said, ago)))
    }
}

/// Lets the clock take over the time of a hub that refused a token, if they are so far from each other that this may be
/// why; whether it did.
pub(crate) fn correct(clock: &HubClock, said: Timestamp, ago: Duration) -> bool {
    let Some(difference_ms) = difference_ms(said.after(ago), clock.now()) else {
        return false;
    };
    let adopted = clock.adopt(said, ago);
    if adopted {
        tracing::warn!(
            difference_secs = difference_ms / 1000,
            hub_time = %said,
            "the clock of this device is not that of the hub, whose time is used from now on"
        );
    }
    adopted
}

/// How far a hub's time is ahead of ours, if that is more than hubs allow for.
pub(crate) fn difference_ms(theirs: Timestamp, ours: Timestamp) -> Option<i64> {
    let difference_ms = theirs.unix_millis().saturating_sub(ours.unix_millis());
    (difference_ms.unsigned_abs() > DIFFERENCE_MAX_MS).then_some(difference_ms)
}

/// Waits until the clock can be right: the system's is set, or the hub says the time, if it may.
///
/// # Cancel safety
/// Cancel safe.
pub async fn wait_set(clock: &HubClock, config: &ClockConfig, mut hub: HubTime) {
    let begun = wasm_edge_clock::now();
    let mut asked: Option<_> = None;
    let mut said: Option<_> = None;
    while !clock.is_plausible() {
        let now = wasm_edge_clock::now();
        if said.is_none_or(|said| now.duration_since(said) >= SAY_EVERY) {
            said = Some(now);
            let time = clock.now();
            tracing::warn!(%time, "the clock is not set: no connection is made until it is");
        }
        let may_ask = config.from_hub && now.duration_since(begun) >= config.wait;
        if may_ask && asked.is_none_or(|asked| now.duration_since(asked) >= SAY_EVERY) {
            asked = Some(now);
            match hub.ask(clock).await {
                Ok(true) => {
                    let time = clock.now();
                    tracing::info!(%time, "the time is the hub's until the clock is set");
                    return;
                }
                Ok(false) => tracing::warn!("the hub does not say the time"),
                Err(err) => tracing::warn!(err = %chain(&err), "the hub cannot be asked the time"),
            }
        }
        wasm_edge_clock::sleep(LOOK_EVERY).await;
    }
}

fn read(folder: &DataFolder) -> io::Result<Option<Timestamp>> {
    let Some(bytes) = file::read_bounded(folder.dir(), FILE, FILE_SIZE_MAX_BYTES)? else {
        return Ok(None);
    };
    let record: Record = serde_json::from_slice(&bytes)?;
    match record.version {
        VERSION => Ok(Some(record.latest_time)),
        other => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("`{FILE}` has the unknown version {other}"),
        )),
    }
}

fn write(folder: &DataFolder, latest: Timestamp) -> io::Result<()> {
    let record = Record {
        version: VERSION,
        latest_time: latest,
    };
    let bytes = serde_json::to_vec(&record)?;
    file::write_atomic(folder.dir(), FILE, &bytes)
}
