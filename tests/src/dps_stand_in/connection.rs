//! One connection: who it is, the subscription, and requests until one side goes.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, Packet, PubAck, Publish, SubAck, SubscribeReasonCode,
};
use rumqttc::mqttbytes::{Error, QoS};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

use super::attestation::Registrant;
use super::{Reply, Shared};
use crate::mqtt::{Carrier, WEBSOCKET_PATH};

const ANSWERS: &str = "$dps/registrations/res/#";
const REGISTER: &str = "$dps/registrations/PUT/iotdps-register/?";
const STATUS: &str = "$dps/registrations/GET/iotdps-get-operationstatus/?";

/// Serves a connection to its end.
pub(super) fn serve(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    carrier: Carrier,
    shared: &Shared,
) {
    let Ok(tls) = ServerConnection::new(config) else {
        return;
    };
    let tls = StreamOwned::new(tls, socket);
    let stream = match carrier {
        Carrier::Tls => Stream::Tls(Box::new(tls)),
        Carrier::WebSocket => match tungstenite::accept_hdr(tls, upgrade) {
            Ok(socket) => Stream::WebSocket(Box::new(socket)),
            Err(_) => return,
        },
    };
    let mut connection = Connection {
        stream,
        received: BytesMut::new(),
        shared,
        last_id: 0,
        is_subscribed: false,
    };
    // Clients come and go as they like.
    let _ = connection.serve();
}

/// Lets in those who ask for MQTT at the one path.
#[expect(clippy::result_large_err, reason = "the form is tungstenite's")]
fn upgrade(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let protocol = request.headers().get("sec-websocket-protocol");
    if request.uri().path() != WEBSOCKET_PATH || protocol.is_none_or(|found| found != "mqtt") {
        return Err(ErrorResponse::new(None));
    }
    let protocol = HeaderValue::from_static("mqtt");
    response
        .headers_mut()
        .insert("sec-websocket-protocol", protocol);
    Ok(response)
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

enum Stream {
    Tls(Box<Tls>),
    WebSocket(Box<WebSocket<Tls>>),
}

impl Stream {
    fn tls(&self) -> &Tls {
        match self {
            Self::Tls(tls) => tls,
            Self::WebSocket(socket) => socket.get_ref(),
        }
    }
}

struct Connection<'a> {
    stream: Stream,
    received: BytesMut,
    shared: &'a Shared,
    last_id: u16,
    is_subscribed: bool,
}

/// What becomes of a request.
enum Outcome {
    /// It is answered.
    Answer {
        status: u16,
        retry_after: Option<u64>,
        body: Value,
    },
    /// It is not.
    Silence,
    /// The connection is closed.
    Close,
}

impl Connection<'_> {
    fn serve(&mut self) -> io::Result<()> {
        let Packet::Connect(connect) = self.receive()? else {
            return Ok(());
        };
        let Some(registrant) = self.admitted(&connect) else {
            self.shared.note("refused", &connect.client_id);
            let refusal = ConnAck::new(ConnectReturnCode::NotAuthorized, false);
            return self.send(&Packet::ConnAck(refusal));
        };
        let welcome = ConnAck::new(ConnectReturnCode::Success, false);
        self.send(&Packet::ConnAck(welcome))?;
        loop {
            match self.receive()? {
                Packet::Subscribe(subscribe) => {
                    // The service closes the connection for any other.
                    if subscribe.filters.len() != 1 || subscribe.filters[0].path != ANSWERS {
                        return Ok(());
                    }
                    self.is_subscribed = true;
                    let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
                    let ack = SubAck::new(subscribe.pkid, vec![granted]);
                    self.send(&Packet::SubAck(ack))?;
                }
                Packet::Publish(publish) => {
                    if publish.qos == QoS::AtLeastOnce {
                        self.send(&Packet::PubAck(PubAck::new(publish.pkid)))?;
                    }
                    if !self.request(&registrant, &publish)? {
                        return Ok(());
                    }
                }
                Packet::PingReq => self.send(&Packet::PingResp)?,
                Packet::PubAck(_) => {}
                // Also what only a server sends.
                _ => return Ok(()),
            }
        }
    }

    /// Who connects, if he has shown that it is he: a token comes first, as everywhere.
    fn admitted(&self, connect: &Connect) -> Option<Registrant> {
        let login = connect.login.as_ref()?;
        let registrant = Registrant::read(self.shared, &connect.client_id, &login.username)?;
        let is_shown = if login.password.is_empty() {
            let certificates = self.stream.tls().conn.peer_certificates();
            let certificate = certificates.and_then(<[_]>::first);
            certificate.is_some_and(|certificate| registrant.is_certified(certificate))
        } else {
            registrant.is_signed(self.shared, &login.password)
        };
        is_shown.then_some(registrant)
    }

    /// Answers a request; false when the connection is to be closed.
    fn request(&mut self, registrant: &Registrant, publish: &Publish) -> io::Result<bool> {
        let id = &registrant.registration_id;
        let (what, query) = match (
            publish.topic.strip_prefix(REGISTER),
            publish.topic.strip_prefix(STATUS),
        ) {
            (Some(query), _) => ("register", query),
            (_, Some(query)) => ("status", query),
            _ => return Ok(false),
        };
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find_map(|(key, value)| (key == name).then_some(value))
        };
        let (Some(request_id), true) = (parameter("$rid"), self.is_subscribed) else {
            return Ok(false);
        };
        self.shared.note(what, id);
        let body: Value = serde_json::from_slice(&publish.payload).unwrap_or_default();
        let is_right = match what {
            "register" => body["registrationId"] == id.as_str(),
            _ => parameter("operationId") == Some(&operation(id)),
        };
        let outcome = match is_right {
            true => self.outcome(id),
            false => error(400, 400_004, "Bad request"),
        };
        match outcome {
            Outcome::Close => Ok(false),
            Outcome::Silence => Ok(true),
            Outcome::Answer {
                status,
                retry_after,
                body,
            } => {
                let after = retry_after.map(|seconds| format!("&retry-after={seconds}"));
                let after = after.unwrap_or_default();
                let topic = format!("$dps/registrations/res/{status}/?$rid={request_id}{after}");
                self.publish(topic, &body).map(|()| true)
            }
        }
    }

    /// The next reply that was given, else an assignment.
    fn outcome(&self, id: &str) -> Outcome {
        let mut state = self.shared.state();
        match state.replies.pop_front() {
            Some(Reply::Assigning { retry_after }) => Outcome::Answer {
                status: 202,
                retry_after,
                body: json!({ "operationId": operation(id), "status": "assigning" }),
            },
            Some(Reply::Error {
                status,
                code,
                message,
            }) => error(status, code, message),
            Some(Reply::Ended(how)) => Outcome::Answer {
                status: 200,
                retry_after: None,
                body: json!({
                    "operationId": operation(id),
                    "status": how,
                    "registrationState": { "registrationId": id, "status": how,
                        "errorCode": 400_209, "errorMessage": "As the test says" },
                }),
            },
            Some(Reply::Silence) => Outcome::Silence,
            Some(Reply::Close) => Outcome::Close,
            None => {
                let (hub, device) = &state.assignment;
                Outcome::Answer {
                    status: 200,
                    retry_after: None,
                    body: json!({
                        "operationId": operation(id),
                        "status": "assigned",
                        "registrationState": {
                            "registrationId": id,
                            "createdDateTimeUtc": "2026-01-01T00:00:00.0000000Z",
                            "assignedHub": hub,
                            "deviceId": device.as_deref().unwrap_or(id),
                            "status": "assigned",
                            "substatus": "initialAssignment",
                            "lastUpdatedDateTimeUtc": "2026-01-01T00:00:00.0000000Z",
                            "etag": "MA==",
                            "symmetricKey": {},
                        },
                    }),
                }
            }
        }
    }

    fn publish(&mut self, topic: String, body: &Value) -> io::Result<()> {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, body.to_string());
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        publish.pkid = self.last_id;
        self.send(&Packet::Publish(publish))
    }

    fn send(&mut self, packet: &Packet) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).expect("a packet");
        match &mut self.stream {
            Stream::Tls(tls) => tls.write_all(&bytes).and_then(|()| tls.flush()),
            Stream::WebSocket(socket) => {
                let sent = socket.send(Message::binary(bytes.freeze()));
                sent.map_err(io::Error::other)
            }
        }
    }

    fn receive(&mut self) -> io::Result<Packet> {
        loop {
            match Packet::read(&mut self.received, usize::MAX) {
                Ok(packet) => return Ok(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(err) => return Err(io::Error::other(err)),
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tls(tls) => {
                let mut bytes = [0; 4096];
                match tls.read(&mut bytes)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => self.received.extend_from_slice(&bytes[..count]),
                }
            }
            Stream::WebSocket(socket) => {
                if let Message::Binary(bytes) = socket.read().map_err(io::Error::other)? {
                    self.received.extend_from_slice(&bytes);
                }
            }
        }
        Ok(())
    }
}

/// The id of the one operation of a registration.
fn operation(registration_id: &str) -> String {
    format!("4.d0a671905ea5b2c8.{registration_id}")
}

fn error(status: u16, code: u32, message: &str) -> Outcome {
    Outcome::Answer {
        status,
        retry_after: None,
        body: json!({ "errorCode": code, "trackingId": "stand-in", "message": message,
            "timestampUtc": "2026-01-01T00:00:00.0000000Z" }),
    }
}
