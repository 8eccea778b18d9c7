//! Forwarding: telemetry goes on to topics of a plain MQTT broker, at least once and in order.
//!
//! Owns one broker: where the forwarding stands, durable under a consumer's
//! name of the hub's own, the messages that are on their way, and when to try
//! again. The position moves when the broker has acknowledged a message and
//! all before it; after a restart what came behind it is sent again. Leaves
//! the broker's address to `target.rs`, topics to `topic.rs`, what is on its
//! way to `window.rs`, connecting to `connection.rs`, and MQTT to the crate for
//! what goes out. Started by whoever serves the hub.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;
use wasm_edge_model::error::chain;
use wasm_edge_net::dial::Dialer;
use wasm_edge_net::mqtt::{Connection, Incoming, MqttError, PacketId, Publication};

use crate::error::HubError;
use crate::hub::Hub;
use crate::telemetry::consumer::ConsumerName;
use crate::telemetry::{StartAt, Telemetry, TelemetryEvent, TelemetryReader};

mod connection;
pub mod target;
mod topic;
mod window;

use connection::{Ended, ForwardError};
use target::{ForwardTarget, Payload};
use window::Window;

/// How long is waited after a failure, at first and at most; the wait doubles and a random half of it is left out.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(500);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(60);

/// How often the position is written while messages go: what goes again after a crash.
const SAVE_PERIOD: Duration = Duration::from_secs(1);

/// A connection that was open so long is a good one: the waits begin anew.
const GOOD_AFTER: Duration = Duration::from_secs(30);

/// What forwards to one broker.
pub struct Forwarder {
    hub: Hub,
    target: ForwardTarget,
    dialer: Dialer,
    name: ConsumerName,
    window: Window,
    /// Nothing until it could be opened; it stands behind all that is in the window.
    reader: Option<TelemetryReader>,
    /// The position that is on disk.
    saved: u64,
    /// The position behind all that was acknowledged.
    done: u64,
}

impl Forwarder {
    /// What forwards to `target` all that the hub accepts from the first call for it on, over restarts;
    /// `dialer` connects to it.
    ///
    /// # Errors
    /// [`HubError::TooManyConsumers`], [`HubError::Store`] and others of [`Hub::set_consumer`].
    pub async fn open(hub: Hub, target: ForwardTarget, dialer: Dialer) -> Result<Self, HubError> {
        let name = target.consumer();
        let position = match hub.consumer(&name).await {
            Ok(consumer) => consumer.position,
            Err(HubError::NoSuchConsumer { .. }) => {
                hub.set_consumer(&name, StartAt::Latest).await?.position
            }
            Err(err) => return Err(err),
        };
        let status = hub.telemetry_status();
        let known = position <= status.next;
        if !known {
            tracing::warn!(%target, "the telemetry that was forwarded is not that which is kept; all of that is forwarded");
        }
        let done = if known { position } else { status.earliest };
        Ok(Self {
            hub,
            target,
            dialer,
            name,
            window: Window::new(),
            reader: None,
            saved: position,
            done,
        })
    }

    /// Forwards until `stop`, or until the hub closes.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut wait = RETRY_WAIT_MIN;
        loop {
            let begun = Instant::now();
            let ended = self.forward(&stop).await;
            self.save().await;
            match ended {
                Ended::Stopped => return,
                Ended::Failed(err) => {
                    if begun.elapsed() >= GOOD_AFTER {
                        wait = RETRY_WAIT_MIN;
                    }
                    let pause = with_jitter(wait);
                    let err = chain(&err);
                    tracing::warn!(target = %self.target, %err, wait_ms = pause.as_millis(), "forwarding is tried again");
                    wait = (wait * 2).min(RETRY_WAIT_MAX);
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = stop.cancelled() => return,
                        () = self.hub.closing().clone().cancelled_owned() => return,
                    }
                }
            }
        }
    }

    /// Forwards on one connection.
    async fn forward(&mut self, stop: &CancellationToken) -> Ended {
        let opening = connection::open(&self.target, &self.dialer);
        let mut connection = tokio::select! {
            opened = opening => match opened {
                Ok(connection) => connection,
                Err(err) => return Ended::Failed(err),
            },
            () = stop.cancelled() => return Ended::Stopped,
        };
        tracing::info!(target = %self.target, position = self.done, "forwarding");
        match self.pump(&mut connection, stop).await {
            Ok(()) => {
                connection.close().await;
                Ended::Stopped
            }
            Err(err) => Ended::Failed(err),
        }
    }

    async fn pump(
        &mut self,
        connection: &mut Connection,
        stop: &CancellationToken,
    ) -> Result<(), ForwardError> {
        for publication in self.window.again() {
            publish(connection, publication).await?;
        }
        connection.flush().await?;
        let mut saving = interval(SAVE_PERIOD);
        saving.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if self.reader.is_none() {
                self.reader = self.reader();
            }
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                received = connection.receive() => Event::Received(received?),
                event = next(&mut self.reader), if self.window.has_room() => Event::Telemetry(event),
                _ = saving.tick() => Event::Save,
            };
            match event {
                Event::Received(Incoming::Acknowledged(id)) => self.acknowledged(id),
                Event::Received(_) => {
                    let problem = "something that was not asked for";
                    return Err(MqttError::Violation(problem).into());
                }
                Event::Telemetry(None) => return Ok(()),
                Event::Telemetry(Some(event)) => self.send(event, connection).await?,
                Event::Save => self.save().await,
            }
        }
    }

    /// Sends a message, and with it those that are at hand.
    async fn send(
        &mut self,
        event: TelemetryEvent,
        connection: &mut Connection,
    ) -> Result<(), ForwardError> {
        let mut next_event = Some(event);
        while let Some(event) = next_event {
            match event {
                TelemetryEvent::Lost(lost) => {
                    tracing::warn!(target = %self.target, lost, "telemetry is gone that was not forwarded yet");
                    self.hub.metrics().forwarded("lost", lost);
                }
                TelemetryEvent::Message(telemetry) => {
                    let behind = telemetry.position + 1;
                    let publication = self.window.push(behind, self.outgoing(*telemetry));
                    publish(connection, publication).await?;
                }
            }
            let at_hand = self.reader.as_mut().filter(|_| self.window.has_room());
            next_event = at_hand.and_then(TelemetryReader::at_hand);
        }
        Ok(connection.flush().await?)
    }

    fn outgoing(&self, telemetry: Telemetry) -> window::Outgoing {
        let topic = topic::of(self.target.prefix(), &telemetry);
        let payload = match self.target.payload() {
            Payload::Body => telemetry.message.body,
            Payload::Json => telemetry.to_json().to_string().into(),
        };
        window::Outgoing { topic, payload }
    }

    fn acknowledged(&mut self, id: PacketId) {
        let (count, behind) = self.window.acknowledge(id);
        self.hub.metrics().forwarded("acknowledged", count);
        if let Some(behind) = behind {
            self.done = behind;
        }
    }

    /// Writes the position; what fails is tried again at the next time.
    async fn save(&mut self) {
        if self.saved == self.done {
            return;
        }
        let at = StartAt::Position(self.done);
        match self.hub.set_consumer(&self.name, at).await {
            Ok(_) => self.saved = self.done,
            Err(err) => {
                tracing::warn!(target = %self.target, err = %chain(&err), "how far was forwarded cannot be written");
            }
        }
    }

    /// Goes on behind the window; nothing when as many read as may.
    fn reader(&self) -> Option<TelemetryReader> {
        let from = self.window.behind().unwrap_or(self.done);
        match self.hub.telemetry(StartAt::Position(from)) {
            Ok(reader) => Some(reader),
            Err(err) => {
                tracing::warn!(target = %self.target, err = %chain(&err), "telemetry cannot be read");
                None
            }
        }
    }
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarder")
            .field("target", &self.target.to_string())
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

/// What the loop waits for.
enum Event {
    Received(Incoming),
    /// Nothing when the hub closes.
    Telemetry(Option<TelemetryEvent>),
    Save,
}

/// Sends a message, when there is room for it; it goes with the next flush at the latest.
async fn publish(
    connection: &mut Connection,
    publication: Publication,
) -> Result<(), ForwardError> {
    if !connection.has_room() {
        connection.flush().await?;
    }
    Ok(connection.publish(publication)?)
}

/// The next event; without a reader none comes, and the loop looks for one at its next turn.
async fn next(reader: &mut Option<TelemetryReader>) -> Option<TelemetryEvent> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}

/// Between half of it and all of it, so that many who failed together do not come back together.
fn with_jitter(wait: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness it is the whole wait, and no harm.
    let _ = SystemRandom::new().fill(&mut random);
    wait - (wait / 2).mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
