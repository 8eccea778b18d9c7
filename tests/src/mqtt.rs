//! MQTT as a client of a hub speaks it, over TLS and over WebSocket.
//!
//! It reads and writes packets with a codec, and whole bytes where a test wants to break the rules.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, Packet, PubAck, Publish, Subscribe,
};
use rumqttc::mqttbytes::{Error, QoS};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

use crate::hub::HubServe;
use crate::tls::{TlsClient, TlsStream};
use crate::tokens::Token;

/// Answers about the twin.
pub const TWIN_ANSWERS: &str = "$iothub/twin/res/#";

/// Changes of desired properties.
pub const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";

/// Direct methods.
pub const METHODS: &str = "$iothub/methods/POST/#";

/// Where MQTT over WebSocket is served.
pub const WEBSOCKET_PATH: &str = "/$iothub/websocket";

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// TLS, by itself.
    Tls,
    /// WebSocket over TLS.
    WebSocket,
}

/// A client's end of a connection to a hub.
#[derive(Debug)]
pub struct Mqtt {
    stream: Stream,
    received: BytesMut,
    /// Messages that came while something else was waited for.
    messages: VecDeque<Publish>,
    last_id: u16,
}

#[derive(Debug)]
enum Stream {
    Tls(Box<TlsStream>),
    WebSocket(Box<WebSocket<TlsStream>>),
}

/// A CONNECT of the device `d` or the module `d/m` by its own key, whose session is kept.
///
/// # Panics
/// When the hub has no such identity.
pub fn connect(hub: &HubServe<'_>, id: &str) -> Connect {
    let path = id.replace('/', "/modules/");
    let identity = hub.get(&format!("/devices/{path}"));
    let key = identity["authentication"]["symmetricKey"]["primaryKey"].as_str();
    let key = key.unwrap_or_else(|| panic!("no key: {identity}"));
    let mut connect = Connect::new(id);
    connect.clean_session = false;
    connect.keep_alive = 60;
    let token = Token::new(key, &format!("localhost/devices/{path}")).text();
    connect.set_login(format!("localhost/{id}/?api-version=2019-10-01"), token);
    connect
}

impl Mqtt {
    /// Connects the device `d` or the module `d/m` over TLS.
    ///
    /// # Panics
    /// When it is not let in.
    pub fn open(hub: &HubServe<'_>, id: &str) -> Self {
        Self::open_over(Carrier::Tls, hub, id)
    }

    /// As [`Mqtt::open`], over this carrier.
    ///
    /// # Panics
    /// When it is not let in.
    pub fn open_over(carrier: Carrier, hub: &HubServe<'_>, id: &str) -> Self {
        let (client, _) = Self::with(carrier, hub, connect(hub, id));
        client
    }

    /// Connects by this CONNECT; and says whether its session was kept.
    ///
    /// # Panics
    /// When it is not let in.
    pub fn with(carrier: Carrier, hub: &HubServe<'_>, connect: Connect) -> (Self, bool) {
        let mut client = Self::silent(carrier, hub);
        let ack = client.greet(connect);
        assert_eq!(ack.code, ConnectReturnCode::Success);
        (client, ack.session_present)
    }

    /// A connection on which nothing was said yet.
    ///
    /// # Panics
    /// When the hub does not listen.
    pub fn silent(carrier: Carrier, hub: &HubServe<'_>) -> Self {
        let client = TlsClient::of(hub);
        let connect = |port| client.connect(port).expect("the hub can be connected to");
        let stream = match carrier {
            Carrier::Tls => Stream::Tls(Box::new(connect(hub.mqtt_port()))),
            Carrier::WebSocket => {
                let stream = connect(hub.https_port());
                let socket = upgrade(stream, WEBSOCKET_PATH, Some("mqtt"));
                Stream::WebSocket(Box::new(socket.expect("the hub takes the WebSocket")))
            }
        };
        Self {
            stream,
            received: BytesMut::new(),
            messages: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Sends a CONNECT and reads the answer.
    ///
    /// # Panics
    /// When there is none.
    pub fn greet(&mut self, connect: Connect) -> ConnAck {
        self.send(&Packet::Connect(connect));
        match self.receive() {
            Packet::ConnAck(ack) => ack,
            other => panic!("no answer to a CONNECT: {other:?}"),
        }
    }

    /// Sends a packet.
    ///
    /// # Panics
    /// When the hub has closed the connection.
    pub fn send(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).expect("a packet");
        self.write(&bytes).expect("the hub reads");
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// When the hub has closed the connection.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Stream::WebSocket(socket) => socket
                .send(Message::binary(bytes.to_vec()))
                .map_err(io::Error::other),
        }
    }

    /// The WebSocket, to send whatever frames.
    ///
    /// # Panics
    /// When the connection is another one.
    pub fn websocket(&mut self) -> &mut WebSocket<TlsStream> {
        match &mut self.stream {
            Stream::WebSocket(socket) => socket,
            Stream::Tls(_) => panic!("no WebSocket"),
        }
    }

    /// The next packet.
    ///
    /// # Panics
    /// When the hub has closed the connection, or nothing comes.
    pub fn receive(&mut self) -> Packet {
        self.try_receive().expect("the hub closed the connection")
    }

    /// The next packet; nothing when the hub has closed the connection.
    ///
    /// # Panics
    /// When nothing comes, or something that is no packet.
    pub fn try_receive(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.received, usize::MAX) {
                Ok(packet) => return Some(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(err) => panic!("the hub sent no packet: {err}"),
            }
            let bytes = self.read()?;
            self.received.extend_from_slice(&bytes);
        }
    }

    fn read(&mut self) -> Option<Vec<u8>> {
        match &mut self.stream {
            Stream::Tls(stream) => {
                let mut bytes = vec![0; 16 * 1024];
                match stream.read(&mut bytes) {
                    Ok(0) => None,
                    Ok(count) => Some(bytes[..count].to_vec()),
                    Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                        panic!("waited in vain for a packet")
                    }
                    Err(_) => None,
                }
            }
            Stream::WebSocket(socket) => match socket.read() {
                Ok(Message::Binary(bytes)) => Some(bytes.to_vec()),
                Ok(Message::Close(_)) => None,
                Ok(_) => Some(Vec::new()),
                Err(tungstenite::Error::Io(err)) if err.kind() == io::ErrorKind::WouldBlock => {
                    panic!("waited in vain for a packet")
                }
                Err(_) => None,
            },
        }
    }

    /// The next message, acknowledged if it is to be.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    pub fn message(&mut self) -> Publish {
        let message = self.unacknowledged();
        if message.qos != QoS::AtMostOnce {
            self.send(&Packet::PubAck(PubAck::new(message.pkid)));
        }
        message
    }

    /// The next message, which is not acknowledged.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    pub fn unacknowledged(&mut self) -> Publish {
        if let Some(message) = self.messages.pop_front() {
            return message;
        }
        match self.receive() {
            Packet::Publish(publish) => publish,
            other => panic!("no message but {other:?}"),
        }
    }

    /// Publishes at least once and waits for the acknowledgement.
    ///
    /// # Panics
    /// When there is none.
    pub fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        let packet_id = self.begin_publish(topic, payload);
        let ack = self.answer();
        assert_eq!(ack, Packet::PubAck(PubAck::new(packet_id)));
    }

    /// Publishes at least once and does not wait; answers the packet id.
    ///
    /// # Panics
    /// When the hub has closed the connection.
    pub fn begin_publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) -> u16 {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload);
        publish.pkid = self.next_id();
        let packet_id = publish.pkid;
        self.send(&Packet::Publish(publish));
        packet_id
    }

    /// Subscribes at least once and waits for the acknowledgement.
    ///
    /// # Panics
    /// When there is none.
    pub fn subscribe(&mut self, filter: &str) {
        let mut subscribe = Subscribe::new(filter, QoS::AtLeastOnce);
        subscribe.pkid = self.next_id();
        let packet_id = subscribe.pkid;
        self.send(&Packet::Subscribe(subscribe));
        match self.answer() {
            Packet::SubAck(ack) => assert_eq!(ack.pkid, packet_id),
            other => panic!("no answer to a SUBSCRIBE: {other:?}"),
        }
    }

    /// Waits until the hub closes the connection; what comes before is passed over.
    ///
    /// # Panics
    /// When it does not.
    pub fn until_closed(mut self) {
        while self.try_receive().is_some() {}
    }

    /// The next packet that is no message; messages before it are kept.
    fn answer(&mut self) -> Packet {
        loop {
            match self.receive() {
                Packet::Publish(publish) => self.messages.push_back(publish),
                other => return other,
            }
        }
    }

    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

/// Asks for a WebSocket on an established connection; else the status of the answer.
///
/// # Errors
/// The status.
///
/// # Panics
/// When what answers does not speak HTTP.
pub fn upgrade(
    stream: TlsStream,
    path: &str,
    sub_protocol: Option<&'static str>,
) -> Result<WebSocket<TlsStream>, u16> {
    let request = format!("wss://localhost{path}").into_client_request();
    let mut request = request.expect("a request");
    if let Some(sub_protocol) = sub_protocol {
        let value = HeaderValue::from_static(sub_protocol);
        request
            .headers_mut()
            .insert("sec-websocket-protocol", value);
    }
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
            Err(answer.status().as_u16())
        }
        Err(err) => panic!("no answer to the request for a WebSocket: {err}"),
    }
}
