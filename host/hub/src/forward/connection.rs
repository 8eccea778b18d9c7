//! One connection to a broker: MQTT 3.1.1, as a client that only publishes.
//!
//! Owns the handshake, keep-alive and the times that the broker may take. A
//! session is a clean one: what has to be sent again this side knows. Leaves
//! what is sent to the caller. Built on the codec alone: a client library
//! keeps a queue of its own, and forgets it where the session is not kept.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use rumqttc::mqttbytes;
use rumqttc::mqttbytes::v4::{Codec, Connect, ConnectReturnCode, Packet, Publish};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::codec::Framed;
use wasm_edge_model::message::MESSAGE_SIZE_MAX_BYTES;

use super::target::ForwardTarget;

/// How long connecting may take, up to the broker's answer.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(15);

/// How long the broker may take to take what is sent.
const SEND_TIME_MAX: Duration = Duration::from_secs(30);

/// How long it may be silent before it is asked whether it is there, and then until it says something.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// What the broker is told as keep-alive: it is asked well before.
const KEEP_ALIVE_SECS: u16 = 60;

/// How long a last word may take.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// The largest packet to the broker: a message written as JSON with every byte escaped, with its topic.
const OUTGOING_MAX_BYTES: usize = 8 * MESSAGE_SIZE_MAX_BYTES;

/// The largest packet of the broker's; it has nothing to say but acknowledgements.
const INCOMING_MAX_BYTES: usize = 1024;

/// Any stream of bytes.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An open connection.
pub(super) struct Connection {
    framed: Framed<Box<dyn Stream>, Codec>,
    /// When the broker will have been silent for too long.
    silent_at: Instant,
    /// Whether it was asked whether it is there.
    asked: bool,
}

/// How forwarding on a connection ended.
pub(super) enum Ended {
    /// It was told to, or the hub closes.
    Stopped,
    /// It is to be tried again.
    Failed(ConnectionError),
}

/// What came from the broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// The message with this packet identifier arrived.
    Acknowledged(u16),
    /// Nothing to act on.
    Nothing,
}

/// Why a connection to a broker was not made, or ended.
#[derive(Debug, Error)]
pub(super) enum ConnectionError {
    #[error("cannot connect to the broker")]
    Connect(#[source] io::Error),
    #[error("the broker is to be reached by TLS, and nothing is known to trust it by")]
    NoTls,
    #[error("the broker's host is no name that a certificate can have")]
    Name,
    #[error("the broker refused the connection: {0}")]
    Refused(&'static str),
    #[error("the broker did not {what} within {} s", limit.as_secs())]
    Timeout { what: &'static str, limit: Duration },
    #[error("the broker sent what is not expected of one: {0}")]
    Violation(&'static str),
    #[error("the broker closed the connection")]
    Closed,
    #[error("the connection to the broker broke")]
    Broken(#[source] mqttbytes::Error),
}

impl Connection {
    /// Connects, and is let in.
    pub(super) async fn open(
        target: &ForwardTarget,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, ConnectionError> {
        let opening = async {
            let stream = connect(target, tls).await?;
            Self::begin(stream, target).await
        };
        let timed = timeout(CONNECT_TIME_MAX, opening).await;
        timed.unwrap_or(Err(ConnectionError::Timeout {
            what: "let us in",
            limit: CONNECT_TIME_MAX,
        }))
    }

    async fn begin(
        stream: Box<dyn Stream>,
        target: &ForwardTarget,
    ) -> Result<Self, ConnectionError> {
        let codec = Codec {
            max_incoming_size: INCOMING_MAX_BYTES,
            max_outgoing_size: OUTGOING_MAX_BYTES,
        };
        let mut connection = Self {
            framed: Framed::new(stream, codec),
            silent_at: Instant::now() + SILENCE_MAX,
            asked: false,
        };
        let mut connect = Connect::new(client_id());
        connect.keep_alive = KEEP_ALIVE_SECS;
        if let Some(login) = target.login() {
            connect.set_login(&login.user, &login.password);
        }
        connection.put(Packet::Connect(connect)).await?;
        connection.flush().await?;
        match connection.packet().await? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => Ok(connection),
            Packet::ConnAck(answer) => Err(ConnectionError::Refused(refusal(answer.code))),
            _ => Err(ConnectionError::Violation(
                "something before the answer to CONNECT",
            )),
        }
    }

    /// Sends a message; it goes with [`Self::flush`] at the latest.
    pub(super) async fn publish(&mut self, publish: Publish) -> Result<(), ConnectionError> {
        self.put(Packet::Publish(publish)).await
    }

    /// Sees to it that all that was sent is on its way.
    pub(super) async fn flush(&mut self) -> Result<(), ConnectionError> {
        in_time(self.framed.flush()).await
    }

    /// What comes from the broker; an error when it is silent for too long.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn receive(&mut self) -> Result<Received, ConnectionError> {
        let packet = tokio::select! {
            packet = self.framed.next() => packet,
            () = sleep_until(self.silent_at) => {
                if self.asked {
                    let (what, limit) = ("answer a ping", SILENCE_MAX);
                    return Err(ConnectionError::Timeout { what, limit });
                }
                self.put(Packet::PingReq).await?;
                self.asked = true;
                self.silent_at = Instant::now() + SILENCE_MAX;
                self.flush().await?;
                return Ok(Received::Nothing);
            }
        };
        self.asked = false;
        self.silent_at = Instant::now() + SILENCE_MAX;
        match taken(packet)? {
            Packet::PubAck(acknowledgement) => Ok(Received::Acknowledged(acknowledgement.pkid)),
            Packet::PingResp => Ok(Received::Nothing),
            _ => Err(ConnectionError::Violation("neither PUBACK nor PINGRESP")),
        }
    }

    /// Says that it ends; whether the broker hears it does not matter.
    pub(super) async fn close(mut self) {
        let ending = async {
            self.put(Packet::Disconnect).await?;
            self.flush().await
        };
        drop(timeout(CLOSE_TIME_MAX, ending).await);
    }

    async fn put(&mut self, packet: Packet) -> Result<(), ConnectionError> {
        in_time(self.framed.feed(packet)).await
    }

    async fn packet(&mut self) -> Result<Packet, ConnectionError> {
        taken(self.framed.next().await)
    }
}

async fn connect(
    target: &ForwardTarget,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Box<dyn Stream>, ConnectionError> {
    let address = (target.host(), target.port());
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(ConnectionError::Connect)?;
    stream.set_nodelay(true).map_err(ConnectionError::Connect)?;
    if !target.is_tls() {
        return Ok(Box::new(stream));
    }
    let config = tls.ok_or(ConnectionError::NoTls)?;
    let name = ServerName::try_from(target.host().to_owned()).map_err(|_| ConnectionError::Name)?;
    let shaken = TlsConnector::from(config).connect(name, stream).await;
    Ok(Box::new(shaken.map_err(ConnectionError::Connect)?))
}

async fn in_time(
    sending: impl Future<Output = Result<(), mqttbytes::Error>>,
) -> Result<(), ConnectionError> {
    let sent = timeout(SEND_TIME_MAX, sending).await;
    sent.map_err(|_| ConnectionError::Timeout {
        what: "take what is sent",
        limit: SEND_TIME_MAX,
    })?
    .map_err(ConnectionError::Broken)
}

fn taken(packet: Option<Result<Packet, mqttbytes::Error>>) -> Result<Packet, ConnectionError> {
    match packet {
        Some(packet) => packet.map_err(ConnectionError::Broken),
        None => Err(ConnectionError::Closed),
    }
}

/// One that nobody else has: two with one would throw each other out.
fn client_id() -> String {
    let mut random = [0; 8];
    // Without randomness the process is the difference.
    let _ = SystemRandom::new().fill(&mut random);
    format!(
        "wasm-edge-{}-{:016x}",
        std::process::id(),
        u64::from_le_bytes(random)
    )
}

fn refusal(code: ConnectReturnCode) -> &'static str {
    match code {
        ConnectReturnCode::Success => "it did not",
        ConnectReturnCode::RefusedProtocolVersion => "it does not speak MQTT 3.1.1",
        ConnectReturnCode::BadClientId => "it does not take the client id",
        ConnectReturnCode::ServiceUnavailable => "it is not available",
        ConnectReturnCode::BadUserNamePassword => "user name or password are wrong",
        ConnectReturnCode::NotAuthorized => "user name or password have no right",
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::mqttbytes::v4::ConnAck;
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    type Broker = Framed<DuplexStream, Codec>;

    async fn open(code: ConnectReturnCode) -> (Result<Connection, ConnectionError>, Broker) {
        let (ours, theirs) = duplex(64 * 1024);
        let target = "mqtt://u:p@b".parse().unwrap();
        let codec = Codec {
            max_incoming_size: 64 * 1024,
            max_outgoing_size: 64 * 1024,
        };
        let mut broker = Framed::new(theirs, codec);
        let letting_in = async {
            let Packet::Connect(connect) = broker.next().await.unwrap().unwrap() else {
                panic!("no CONNECT");
            };
            let login = connect.login.unwrap();
            assert_eq!(
                (login.username.as_str(), login.password.as_str()),
                ("u", "p")
            );
            let answer = Packet::ConnAck(ConnAck::new(code, false));
            broker.send(answer).await.unwrap();
        };
        let (opened, ()) = tokio::join!(Connection::begin(Box::new(ours), &target), letting_in);
        (opened, broker)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_broker_is_asked_and_then_given_up() {
        let (connection, mut broker) = open(ConnectReturnCode::Success).await;
        let mut connection = connection.unwrap();
        for _ in 0..3 {
            assert_eq!(connection.receive().await.unwrap(), Received::Nothing);
            assert_eq!(broker.next().await.unwrap().unwrap(), Packet::PingReq);
            broker.send(Packet::PingResp).await.unwrap();
            assert_eq!(connection.receive().await.unwrap(), Received::Nothing);
        }
        assert_eq!(connection.receive().await.unwrap(), Received::Nothing);
        let given_up = connection.receive().await;
        let what = "answer a ping";
        assert!(
            matches!(given_up, Err(ConnectionError::Timeout { what: found, .. }) if found == what)
        );
        connection.close().await;
        assert_eq!(broker.next().await.unwrap().unwrap(), Packet::PingReq);
        assert_eq!(broker.next().await.unwrap().unwrap(), Packet::Disconnect);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_takes_nothing_is_given_up() {
        let (connection, _broker) = open(ConnectReturnCode::Success).await;
        let mut connection = connection.unwrap();
        let body = bytes::Bytes::from(vec![0; 256 * 1024]);
        let packet = Publish::from_bytes("t", mqttbytes::QoS::AtMostOnce, body);
        connection.publish(packet).await.unwrap();
        let given_up = connection.flush().await;
        assert!(matches!(given_up, Err(ConnectionError::Timeout { .. })));
    }

    #[tokio::test]
    async fn a_refusal_says_why() {
        let (refused, _broker) = open(ConnectReturnCode::BadUserNamePassword).await;
        let err = refused.err().unwrap().to_string();
        let expected = "the broker refused the connection: user name or password are wrong";
        assert_eq!(err, expected);
    }

    #[tokio::test]
    async fn what_a_client_does_not_expect_ends_the_connection() {
        let (connection, mut broker) = open(ConnectReturnCode::Success).await;
        broker.send(Packet::PingReq).await.unwrap();
        let ended = connection.unwrap().receive().await;
        assert!(matches!(ended, Err(ConnectionError::Violation(_))));
        let (connection, broker) = open(ConnectReturnCode::Success).await;
        drop(broker);
        let ended = connection.unwrap().receive().await;
        assert!(matches!(ended, Err(ConnectionError::Closed)));
    }
}
