//! One connection: bytes between its stream and the protocol, and what the protocol demands.
//!
//! Owns the loop of a connection and its end; the client in `client.rs` owns
//! what its session has under way. Leaves every decision about MQTT and every
//! limit to the protocol, and what takes time to the worker. One task per
//! connection, one event at a time.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Sleep, sleep_until, timeout};

use super::admission::{Admitted, admit};
use super::connect::Refusal;
use super::protocol::{Demand, Overdue, Protocol};
use super::transfer::{Moved, Transfer};
use super::{Ended, Peer};
use crate::hub::Hub;
use crate::session::CloseReason;

mod client;

use client::{Client, ClientEvent};

/// How long a client that is turned away, or whose session ended, may take to hear of it.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Looked at again by then, whatever happens.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// A connection.
pub(super) struct Connection<S> {
    hub: Hub,
    peer: Peer,
    stream: S,
    transfer: Transfer,
    protocol: Protocol,
    stage: Stage,
    timer: Pin<Box<Sleep>>,
}

/// How far its client is.
enum Stage {
    /// It has not said who it is.
    Unknown,
    /// It is being decided.
    Deciding(BoxFuture<'static, Result<Box<Admitted>, Refusal>>),
    /// It has a session.
    Open(Box<Client>),
}

/// What happens to a connection.
enum Event {
    Moved(io::Result<Moved>),
    Decided(Result<Box<Admitted>, Refusal>),
    Client(ClientEvent),
    Closing,
    Time,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) fn new(hub: Hub, stream: S, peer: Peer) -> Self {
        let connect_by = now() + peer.connect_timeout;
        Self {
            hub,
            stream,
            transfer: Transfer::default(),
            protocol: Protocol::new(connect_by),
            stage: Stage::Unknown,
            timer: Box::pin(sleep_until(connect_by.into())),
            peer,
        }
    }

    /// Serves the client until the connection ends.
    pub(super) async fn run(&mut self) -> Ended {
        loop {
            if let Some(ended) = self.turn() {
                return ended;
            }
            let event = self.next().await;
            if let Some(ended) = self.handle(event) {
                return ended;
            }
        }
    }

    /// Says goodbye: what was left to be sent is sent, the session ends, the stream is closed.
    pub(super) async fn finish(mut self, ended: &Ended) {
        let will = self.protocol.take_will();
        if let Stage::Open(client) = std::mem::replace(&mut self.stage, Stage::Unknown) {
            let session = client.session().clone();
            // The session ends here, before the will: a client that comes back finds its place.
            drop(client);
            if let Some(will) =
                will.filter(|_| !matches!(ended, Ended::Session(CloseReason::HubClosed)))
                && let Err(err) = Box::pin(self.hub.send_will(
                    session.owner(),
                    session.generation_id(),
                    *will,
                ))
                .await
            {
                tracing::debug!(owner = %session.owner(), ?err, "a will was not sent");
            }
        }
        if matches!(ended, Ended::Lost | Ended::Unread) {
            return;
        }
        let farewell = async {
            let written = self.stream.write_all(self.protocol.output()).await;
            written.and(self.stream.shutdown().await)
        };
        // Whether the client hears of it or not, the connection is over.
        let _ = timeout(FAREWELL_MAX, farewell).await;
    }

    /// Meets what is demanded, as far as it can be now.
    fn turn(&mut self) -> Option<Ended> {
        loop {
            if let Stage::Open(client) = &mut self.stage {
                if let Err(ended) = client.go_on(&self.hub, &self.protocol) {
                    return Some(ended);
                }
                if client.is_held() {
                    return None;
                }
            }
            let demand = match self.protocol.next(now()) {
                Ok(Some(demand)) => demand,
                Ok(None) => return None,
                Err(violation) => return Some(Ended::Violation(violation)),
            };
            if let Err(ended) = self.meet(demand) {
                return Some(ended);
            }
        }
    }

    fn meet(&mut self, demand: Demand) -> Result<(), Ended> {
        let (client, demand) = match (&mut self.stage, demand) {
            (stage, Demand::Admit(greeting)) => {
                let certificate = self.peer.certificate.clone();
                let deciding = admit(self.hub.clone(), greeting, certificate);
                *stage = Stage::Deciding(Box::pin(deciding));
                return Ok(());
            }
            (_, Demand::Refused(refusal)) => {
                self.hub.metrics().refused(refusal.reason());
                return Err(Ended::Refused(refusal));
            }
            (_, Demand::Disconnect) => return Err(Ended::Disconnected),
            (Stage::Open(client), demand) => (client, demand),
            // The protocol demands nothing else before its client was let in.
            (_, _) => return Err(Ended::HubFailed),
        };
        client.meet(demand, &self.hub)
    }

    /// Waits for the next event.
    async fn next(&mut self) -> Event {
        let deadline = self.deadline();
        if deadline < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(deadline);
        }
        let Self {
            hub,
            stream,
            transfer,
            protocol,
            stage,
            timer,
            ..
        } = self;
        let takes_events = protocol.wants_events();
        let reads = !matches!(stage, Stage::Open(client) if client.is_held());
        let moved = poll_fn(|ctx| transfer.poll(stream, protocol, reads, ctx));
        match stage {
            Stage::Unknown => tokio::select! {
                moved = moved => Event::Moved(moved),
                () = hub.closing().cancelled() => Event::Closing,
                () = timer => Event::Time,
            },
            Stage::Deciding(deciding) => tokio::select! {
                decided = deciding => Event::Decided(decided),
                moved = moved => Event::Moved(moved),
                () = timer => Event::Time,
            },
            Stage::Open(client) => tokio::select! {
                event = client.next(takes_events) => Event::Client(event),
                moved = moved => Event::Moved(moved),
                () = timer => Event::Time,
            },
        }
    }

    fn deadline(&self) -> tokio::time::Instant {
        let mut deadline = self.protocol.deadline();
        if let Stage::Open(client) = &self.stage {
            deadline = [deadline, client.deadline()].into_iter().flatten().min();
        }
        deadline.unwrap_or_else(|| now() + FAR).into()
    }

    fn handle(&mut self, event: Event) -> Option<Ended> {
        match (event, &mut self.stage) {
            (Event::Moved(Ok(Moved::Bytes)), _) => None,
            (Event::Moved(Ok(Moved::End) | Err(_)), _) => Some(Ended::Lost),
            (Event::Decided(decided), _) => self.decided(decided),
            (Event::Closing, _) => Some(Ended::Session(CloseReason::HubClosed)),
            (Event::Time, _) => self.overdue(),
            (Event::Client(event), Stage::Open(client)) => client.handle(event, &mut self.protocol),
            (Event::Client(_), _) => None,
        }
    }

    fn decided(&mut self, decided: Result<Box<Admitted>, Refusal>) -> Option<Ended> {
        let admitted = match decided {
            Ok(admitted) => admitted,
            Err(refusal) => {
                self.protocol.refuse(refusal, now());
                return Some(Ended::Refused(refusal));
            }
        };
        let client = Client::open(&self.hub, *admitted, &mut self.protocol);
        self.stage = Stage::Open(Box::new(client));
        None
    }

    fn overdue(&mut self) -> Option<Ended> {
        let now = now();
        if let Stage::Open(client) = &self.stage
            && client.is_expired(now)
        {
            return Some(Ended::Expired);
        }
        if matches!(&self.stage, Stage::Open(client) if client.is_held()) {
            self.protocol.not_listened(now);
        }
        self.protocol.overdue(now).map(|overdue| match overdue {
            Overdue::Connect => Ended::NoConnect,
            Overdue::Silent => Ended::Silent,
            Overdue::Unread => Ended::Unread,
        })
    }
}

/// The time as tests can stop it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
