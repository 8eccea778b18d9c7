//! One MQTT connection of the load: TLS, the codec, and buffers.
//!
//! Owns the bytes; knows no topics. Packets are pushed and go out together with [`Connection::flush`], so that a window
//! of messages costs one write. Used by the loads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{
    Connect, ConnectReturnCode, Packet, Publish, SubAck, Subscribe, SubscribeFilter,
    SubscribeReasonCode,
};
use rumqttc::mqttbytes::{Error as CodecError, QoS};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The largest packet that is taken: a twin and its header.
const PACKET_MAX_BYTES: usize = 256 * 1024;

/// How long the other side may say nothing while something is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than any load, and the longest that the hub heeds: no connection has to ping.
const KEEP_ALIVE_S: u16 = 1177;

/// The packet identifier of SUBSCRIBE; nothing else is in flight then.
const SUBSCRIBE_ID: u16 = 1;

/// Where to connect to, and how to know that it is there.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    pub(super) name: ServerName<'static>,
    pub(super) tls: Arc<rustls::ClientConfig>,
}

/// Who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    /// The client id, which is the device's id.
    pub(super) client: String,
    /// User name and password, where they are asked for.
    pub(super) secret: Option<(String, String)>,
}

/// An open connection, past CONNACK.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    incoming: BytesMut,
    outgoing: BytesMut,
}

impl Endpoint {
    /// TCP and TLS, as a client does that was never here before.
    pub(super) async fn open(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("cannot connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let opened = connector.connect(self.name.clone(), stream).await;
        opened.with_context(|| format!("no TLS with {}", self.address))
    }
}

impl Connection {
    /// Connects and waits for the CONNACK. The session lasts, as those of devices do.
    pub(super) async fn open(endpoint: &Endpoint, login: &Login) -> anyhow::Result<Self> {
        let mut connection = Self {
            stream: endpoint.open().await?,
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
        };
        let mut connect = Connect::new(login.client.as_str());
        connect.clean_session = false;
        connect.keep_alive = KEEP_ALIVE_S;
        if let Some((user, password)) = &login.secret {
            connect.set_login(user.as_str(), password.as_str());
        }
        connect.write(&mut connection.outgoing)?;
        connection.flush().await?;
        match connection.next().await? {
            Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => Ok(connection),
            Packet::ConnAck(ack) => bail!("`{}` is refused: {:?}", login.client, ack.code),
            packet => bail!("no CONNACK but {packet:?}"),
        }
    }

    /// Subscribes to all of these with one packet and waits until they are granted.
    pub(super) async fn subscribe(&mut self, filters: &[String], qos: QoS) -> anyhow::Result<()> {
        let filters = filters
            .iter()
            .map(|path| SubscribeFilter::new(path.clone(), qos));
        let mut subscribe = Subscribe::new_many(filters);
        subscribe.pkid = SUBSCRIBE_ID;
        subscribe.write(&mut self.outgoing)?;
        self.flush().await?;
        loop {
            match self.next().await? {
                Packet::SubAck(SubAck { return_codes, .. }) => {
                    let is_refused = |code: &_| *code == SubscribeReasonCode::Failure;
                    if return_codes.iter().any(is_refused) {
                        bail!("a subscription is refused");
                    }
                    return Ok(());
                }
                // What waited for this session may come first.
                Packet::Publish(_) => {}
                packet => bail!("no SUBACK but {packet:?}"),
            }
        }
    }

    /// Adds a message to what goes out next.
    pub(super) fn push(&mut self, publish: &Publish) -> anyhow::Result<()> {
        publish.write(&mut self.outgoing)?;
        Ok(())
    }

    /// Adds a message to what goes out next, already encoded.
    pub(super) fn push_encoded(&mut self, message: &Encoded, id: u16) {
        let at = self.outgoing.len() + message.id_at;
        self.outgoing.extend_from_slice(&message.bytes);
        self.outgoing[at..at + 2].copy_from_slice(&id.to_be_bytes());
    }

    /// Sends what was pushed, if anything was.
    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        if !self.outgoing.is_empty() {
            self.stream.write_all(&self.outgoing).await?;
            self.stream.flush().await?;
            self.outgoing.clear();
        }
        Ok(())
    }

    /// The next packet, waited for.
    pub(super) async fn next(&mut self) -> anyhow::Result<Packet> {
        loop {
            if let Some(packet) = self.next_read()? {
                return Ok(packet);
            }
            let read = self.stream.read_buf(&mut self.incoming);
            let read = tokio::time::timeout(PATIENCE, read)
                .await
                .with_context(|| format!("the server says nothing for {PATIENCE:?}"))??;
            if read == 0 {
                bail!("the server closed the connection");
            }
        }
    }

    /// The next packet of those that were read already.
    pub(super) fn next_read(&mut self) -> anyhow::Result<Option<Packet>> {
        match Packet::read(&mut self.incoming, PACKET_MAX_BYTES) {
            Ok(packet) => Ok(Some(packet)),
            Err(CodecError::InsufficientBytes(_)) => Ok(None),
            Err(err) => Err(err.into()),
        }
    }

    /// Gives back what was used for buffers; for a connection that is idle from now on.
    pub(super) fn rest(&mut self) {
        self.incoming = BytesMut::new();
        self.outgoing = BytesMut::new();
    }

    /// Says that it leaves, and leaves.
    pub(super) async fn close(mut self) -> anyhow::Result<()> {
        Packet::Disconnect.write(&mut self.outgoing, PACKET_MAX_BYTES)?;
        self.flush().await?;
        self.stream.shutdown().await?;
        Ok(())
    }
}

/// A message of QoS 1 that is sent often, encoded once.
pub(super) struct Encoded {
    bytes: BytesMut,
    id_at: usize,
}

impl Encoded {
    pub(super) fn new(topic: &str, body: &[u8]) -> anyhow::Result<Self> {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, body);
        publish.pkid = 1;
        let mut bytes = BytesMut::new();
        publish.write(&mut bytes)?;
        Ok(Self {
            id_at: bytes.len() - body.len() - 2,
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identifier_of_an_encoded_message_is_where_it_is_put() {
        let message = Encoded::new("devices/d/messages/events/", &[0; 256]).unwrap();
        let mut bytes = message.bytes.clone();
        bytes[message.id_at..message.id_at + 2].copy_from_slice(&0x1234u16.to_be_bytes());
        match Packet::read(&mut bytes, PACKET_MAX_BYTES).unwrap() {
            Packet::Publish(publish) => {
                assert_eq!((publish.pkid, publish.payload.len()), (0x1234, 256));
            }
            packet => panic!("{packet:?}"),
        }
    }
}
