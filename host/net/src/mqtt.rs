//! One connection to a broker as a client: MQTT 3.1.1.
//!
//! Owns the handshake, the form of packets, keep-alive, and the times that the broker may take. Knows no session: which
//! packet ids are in use, what is sent again, and what answers mean is the caller's matter. Built on the codec alone,
//! as a client library keeps a queue of its own and forgets it where the session is not kept.
//!
//! What is sent is queued at once and goes out while [`Connection::receive`] or [`Connection::flush`] is awaited, so
//! that two ends that both want to send do not wait for each other.
//!
//! Source: MQTT 3.1.1 (OASIS).

mod error;
pub mod frame;
mod pulse;

use std::fmt;
use std::io;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use rumqttc::mqttbytes::v4::{
    Connect, ConnectReturnCode, Packet, PubAck, Publish, Subscribe, Unsubscribe,
};
use rumqttc::mqttbytes::{QoS, valid_topic};
use tokio::io::{AsyncRead as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use wasm_edge_model::message::MESSAGE_SIZE_MAX_BYTES;
use zeroize::Zeroizing;

pub use error::{MqttError, Refusal};

use self::frame::{Frames, Limits};
use self::pulse::{Due, Pulse};
use crate::stream::Stream;
use crate::traffic::Counter;

/// The longest text that a packet can carry: a topic, an id, a password.
pub const TEXT_MAX_BYTES: usize = 65_535;

/// The longest packet: the largest message, the longest topic, a packet id and what is before them.
pub const PACKET_MAX_BYTES: usize = MESSAGE_SIZE_MAX_BYTES + TEXT_MAX_BYTES + 16;

/// How much waits to be sent before there is no room for more: what a slow line takes in a second or two.
const ROOM_BYTES: usize = 64 * 1024;

/// How much is read at once.
const READ_BYTES: usize = 4 * 1024;

/// What a buffer keeps while nothing goes through it.
const IDLE_BYTES: usize = 1024;

/// How long a last word may take.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// The bytes of a PUBACK.
const ACKNOWLEDGEMENT_BYTES: usize = 4;

/// The number by which a packet and its answer belong together.
pub type PacketId = NonZeroU16;

/// As whom and how to connect.
pub struct ConnectOptions {
    /// Who connects.
    pub client_id: String,
    /// Empty for none.
    pub user_name: String,
    /// Empty for none.
    pub password: Zeroizing<String>,
    /// Whether the broker forgets what it knew of this client.
    pub clean_session: bool,
    /// After which time without a packet from here a ping is sent, shortly before; whole seconds, zero for never.
    pub keep_alive: Duration,
    /// How long the broker may be silent while it owes an answer, or take nothing of what is sent.
    pub answer_timeout: Duration,
    /// The longest packet of the broker's.
    pub incoming_max_bytes: usize,
    /// The longest packet to the broker.
    pub outgoing_max_bytes: usize,
    /// Whether what has this topic is a message, and not the cost of being connected.
    pub is_message: fn(&str) -> bool,
}

/// What is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// The id by which it is acknowledged; none for a message that is sent once and may be lost.
    pub id: Option<PacketId>,
    /// Whether it may have been sent before with this id.
    pub duplicate: bool,
}

/// What came from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Something was published; with an id it is to be acknowledged.
    Published(Publication),
    /// What has this id arrived.
    Acknowledged(PacketId),
    /// The subscription with this id was answered: with a quality of service, or refused.
    Subscribed {
        /// The id.
        id: PacketId,
        /// Whether it was granted.
        granted: bool,
    },
    /// The subscription was ended by the packet with this id.
    Unsubscribed(PacketId),
}

/// An open connection.
pub struct Connection {
    stream: Stream,
    frames: Frames,
    outgoing: BytesMut,
    outgoing_max_bytes: usize,
    is_message: fn(&str) -> bool,
    counter: Counter,
    pulse: Pulse,
    alarm: Pin<Box<Sleep>>,
}

impl Connection {
    /// Introduces itself over a stream, and is let in; also says whether the broker still knows the session.
    ///
    /// # Errors
    /// Any [`MqttError`].
    pub async fn open(
        stream: Stream,
        options: ConnectOptions,
        counter: Counter,
    ) -> Result<(Self, bool), MqttError> {
        let limit = options.answer_timeout;
        let now = Instant::now();
        let mut connection = Self {
            stream,
            frames: Frames::new(Limits {
                packet_max_bytes: options.incoming_max_bytes,
            }),
            outgoing: BytesMut::new(),
            outgoing_max_bytes: options.outgoing_max_bytes,
            is_message: options.is_message,
            counter,
            pulse: Pulse::new(options.keep_alive, limit, now),
            alarm: Box::pin(sleep_until(now)),
        };
        connection.put(&connect(options)?)?;
        let letting_in = connection.let_in();
        let let_in = timeout(limit, letting_in).await;
        let present = let_in.map_err(|_| MqttError::Timeout {
            what: "let us in",
            limit,
        })??;
        Ok((connection, present))
    }

    /// Whether there is room for more to send; what is queued beyond it costs memory.
    pub fn has_room(&self) -> bool {
        self.outgoing.len() < ROOM_BYTES
    }

    /// Queues a message.
    ///
    /// # Errors
    /// [`MqttError::TooLarge`] and [`MqttError::Topic`], after which the connection goes on.
    pub fn publish(&mut self, publication: Publication) -> Result<(), MqttError> {
        let Publication {
            topic,
            payload,
            id,
            duplicate,
        } = publication;
        check_topic(&topic)?;
        let is_message = (self.is_message)(&topic);
        let qos = match id {
            Some(_) => QoS::AtLeastOnce,
            None => QoS::AtMostOnce,
        };
        let mut publish = Publish::from_bytes(topic, qos, payload);
        publish.pkid = id.map_or(0, PacketId::get);
        publish.dup = duplicate && id.is_some();
        let size_bytes = self.put(&Packet::Publish(publish))?;
        if is_message {
            self.counter.message(size_bytes);
        }
        if id.is_some() {
            self.pulse.asked(Instant::now());
        }
        Ok(())
    }

    /// Queues a subscription to one filter, at least once or at most once.
    ///
    /// # Errors
    /// [`MqttError::TooLarge`], after which the connection goes on.
    pub fn subscribe(
        &mut self,
        id: PacketId,
        filter: &str,
        at_least_once: bool,
    ) -> Result<(), MqttError> {
        check_text(filter)?;
        let qos = match at_least_once {
            true => QoS::AtLeastOnce,
            false => QoS::AtMostOnce,
        };
        let mut subscribe = Subscribe::new(filter, qos);
        subscribe.pkid = id.get();
        self.put(&Packet::Subscribe(subscribe))?;
        self.pulse.asked(Instant::now());
        Ok(())
    }

    /// Queues the end of a subscription.
    ///
    /// # Errors
    /// [`MqttError::TooLarge`], after which the connection goes on.
    pub fn unsubscribe(&mut self, id: PacketId, filter: &str) -> Result<(), MqttError> {
        check_text(filter)?;
        let mut unsubscribe = Unsubscribe::new(filter);
        unsubscribe.pkid = id.get();
        self.put(&Packet::Unsubscribe(unsubscribe))?;
        self.pulse.asked(Instant::now());
        Ok(())
    }

    /// Queues the acknowledgement of what was published with this id.
    ///
    /// # Errors
    /// None of its own.
    pub fn acknowledge(&mut self, id: PacketId) -> Result<(), MqttError> {
        let size_bytes = self.put(&Packet::PubAck(PubAck::new(id.get())))?;
        self.counter.message(size_bytes);
        Ok(())
    }

    /// Sees to it that all that is queued is on its way.
    ///
    /// # Errors
    /// [`MqttError::Timeout`], [`MqttError::Broken`].
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn flush(&mut self) -> Result<(), MqttError> {
        std::future::poll_fn(|ctx| {
            let now = Instant::now();
            if self.poll_send(ctx, now)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            loop {
                match self.pulse.stuck(now)? {
                    None => return Poll::Pending,
                    Some(at) => ready!(self.poll_alarm(ctx, at)),
                }
            }
        })
        .await
    }

    /// Sends what is queued and says what comes from the broker; asks it whether it is there when that is due.
    ///
    /// # Errors
    /// Any [`MqttError`]; the connection has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn receive(&mut self) -> Result<Incoming, MqttError> {
        std::future::poll_fn(|ctx| self.poll_receive(ctx)).await
    }

    /// Sends what is queued, says that the connection ends, and ends it; whether the broker hears it does not matter.
    pub async fn close(mut self) {
        let ending = async {
            self.put(&Packet::Disconnect)?;
            self.flush().await?;
            self.stream.shutdown().await.map_err(MqttError::Broken)
        };
        drop(timeout(CLOSE_TIME_MAX, ending).await);
    }

    async fn let_in(&mut self) -> Result<bool, MqttError> {
        match std::future::poll_fn(|ctx| self.poll_packet(ctx)).await? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => {
                self.pulse.answered(Instant::now());
                Ok(answer.session_present)
            }
            Packet::ConnAck(answer) => Err(MqttError::Refused(Refusal::of(answer.code))),
            _ => Err(MqttError::Violation(
                "something before the answer to CONNECT",
            )),
        }
    }

    fn poll_receive(&mut self, ctx: &mut Context<'_>) -> Poll<Result<Incoming, MqttError>> {
        loop {
            let packet = ready!(self.poll_packet(ctx))?;
            if let Some(incoming) = self.taken(packet)? {
                return Poll::Ready(Ok(incoming));
            }
        }
    }

    /// What a packet says to the caller, if it does.
    fn taken(&mut self, packet: Packet) -> Result<Option<Incoming>, MqttError> {
        let now = Instant::now();
        let id = |id| PacketId::new(id).ok_or(MqttError::Violation("a packet id of zero"));
        let incoming = match packet {
            Packet::Publish(publish) => {
                self.pulse.heard(now);
                if (self.is_message)(&publish.topic) {
                    self.counter.message(publish.size());
                }
                return Ok(Some(Incoming::Published(Publication {
                    id: PacketId::new(publish.pkid),
                    duplicate: publish.dup,
                    topic: publish.topic,
                    payload: publish.payload,
                })));
            }
            Packet::PingResp => None,
            Packet::PubAck(ack) => {
                self.counter.message(ACKNOWLEDGEMENT_BYTES);
                Some(Incoming::Acknowledged(id(ack.pkid)?))
            }
            Packet::SubAck(ack) => Some(Incoming::Subscribed {
                id: id(ack.pkid)?,
                granted: frame::is_granted(&ack),
            }),
            Packet::UnsubAck(ack) => Some(Incoming::Unsubscribed(id(ack.pkid)?)),
            _ => {
                return Err(MqttError::Violation(
                    "a packet that is for brokers, or CONNACK again",
                ));
            }
        };
        self.pulse.answered(now);
        Ok(incoming)
    }

    /// The next packet; meanwhile sends, and minds the time.
    fn poll_packet(&mut self, ctx: &mut Context<'_>) -> Poll<Result<Packet, MqttError>> {
        loop {
            let now = Instant::now();
            let _ = self.poll_send(ctx, now)?;
            if let Some(packet) = self.frames.next()? {
                return Poll::Ready(Ok(packet));
            }
            if self.poll_read(ctx)?.is_ready() {
                continue;
            }
            match self.pulse.due(now)? {
                Due::Ping => {
                    self.put(&Packet::PingReq)?;
                    self.pulse.pinged(now);
                }
                Due::At(at) => ready!(self.poll_alarm(ctx, at)),
                Due::Never => return Poll::Pending,
            }
        }
    }

    fn poll_read(&mut self, ctx: &mut Context<'_>) -> Result<Poll<()>, MqttError> {
        let mut bytes = [0; READ_BYTES];
        let mut into = ReadBuf::new(&mut bytes);
        match Pin::new(&mut self.stream).poll_read(ctx, &mut into) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Err(err)) if err.kind() == io::ErrorKind::UnexpectedEof => {
                Err(MqttError::Closed)
            }
            Poll::Ready(Err(err)) => Err(MqttError::Broken(err)),
            Poll::Ready(Ok(())) if into.filled().is_empty() => Err(MqttError::Closed),
            Poll::Ready(Ok(())) => {
                self.frames.push(into.filled());
                Ok(Poll::Ready(()))
            }
        }
    }

    /// Writes what is queued; ready when all of it is on its way.
    fn poll_send(&mut self, ctx: &mut Context<'_>, now: Instant) -> Result<Poll<()>, MqttError> {
        while !self.outgoing.is_empty() {
            match Pin::new(&mut self.stream).poll_write(ctx, &self.outgoing) {
                Poll::Pending => {
                    self.pulse.held_up(now);
                    return Ok(Poll::Pending);
                }
                Poll::Ready(Ok(0)) => return Err(MqttError::Closed),
                Poll::Ready(Ok(written)) => {
                    self.outgoing.advance(written);
                    self.pulse.sent(now);
                }
                Poll::Ready(Err(err)) => return Err(MqttError::Broken(err)),
            }
        }
        if self.outgoing.capacity() > IDLE_BYTES {
            self.outgoing = BytesMut::new();
        }
        match Pin::new(&mut self.stream).poll_flush(ctx) {
            Poll::Pending => {
                self.pulse.held_up(now);
                Ok(Poll::Pending)
            }
            Poll::Ready(Ok(())) => {
                self.pulse.unheld();
                Ok(Poll::Ready(()))
            }
            Poll::Ready(Err(err)) => Err(MqttError::Broken(err)),
        }
    }

    fn poll_alarm(&mut self, ctx: &mut Context<'_>, at: Instant) -> Poll<()> {
        if self.alarm.deadline() != at {
            self.alarm.as_mut().reset(at);
        }
        self.alarm.as_mut().poll(ctx)
    }

    fn put(&mut self, packet: &Packet) -> Result<usize, MqttError> {
        let size_bytes = packet.size();
        let limit = self.outgoing_max_bytes;
        if size_bytes > limit {
            return Err(MqttError::TooLarge { size_bytes, limit });
        }
        let written = packet.write(&mut self.outgoing, limit);
        written.expect("sizes and texts were checked");
        Ok(size_bytes)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Without the password.
impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("client_id", &self.client_id)
            .field("user_name", &self.user_name)
            .field("clean_session", &self.clean_session)
            .field("keep_alive", &self.keep_alive)
            .finish_non_exhaustive()
    }
}

fn connect(options: ConnectOptions) -> Result<Packet, MqttError> {
    for text in [&options.client_id, &options.user_name, &*options.password] {
        check_text(text)?;
    }
    let mut connect = Connect::new(options.client_id);
    let keep_alive_secs = u16::try_from(options.keep_alive.as_secs());
    connect.keep_alive = keep_alive_secs.unwrap_or(u16::MAX);
    connect.clean_session = options.clean_session;
    if !options.user_name.is_empty() {
        connect.set_login(options.user_name, options.password.as_str());
    }
    Ok(Packet::Connect(connect))
}

fn check_topic(topic: &str) -> Result<(), MqttError> {
    if topic.is_empty() || topic.contains('\0') || !valid_topic(topic) {
        return Err(MqttError::Topic);
    }
    check_text(topic)
}

fn check_text(text: &str) -> Result<(), MqttError> {
    let (size_bytes, limit) = (text.len(), TEXT_MAX_BYTES);
    match size_bytes <= limit {
        true => Ok(()),
        false => Err(MqttError::TooLarge { size_bytes, limit }),
    }
}

#[cfg(test)]
mod tests;
