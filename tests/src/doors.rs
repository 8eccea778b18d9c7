//! Knocking at a hub's doors: MQTT, MQTT over WebSocket and REST, and whether one gets in.
//!
//! It writes the bytes of a CONNECT itself, so that it can write wrong ones.

use serde_json::json;
use std::io::{Read, Write};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

use crate::certificates::ClientCertificate;
use crate::hub::HubServe;
use crate::tls::{TlsClient, TlsStream};
use request::Request;

pub mod bed;
pub mod request;

/// A way into a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// MQTT over TLS.
    Mqtt,
    /// MQTT over WebSocket.
    WebSocket,
    /// REST.
    Rest,
}

/// Those over which a connection stays.
pub const STAYING: [Door; 2] = [Door::Mqtt, Door::WebSocket];

/// All doors.
pub const DOORS: [Door; 3] = [Door::Mqtt, Door::WebSocket, Door::Rest];

/// Who says to be whom, and what he shows.
#[derive(Clone, Debug)]
pub struct Knock<'a> {
    /// MQTT's client id.
    pub client_id: String,
    /// MQTT's user name.
    pub user_name: String,
    /// A token: MQTT's password, REST's `Authorization`.
    pub token: Option<String>,
    /// A client certificate.
    pub certificate: Option<&'a ClientCertificate>,
    /// Headers of the WebSocket's request.
    pub headers: Vec<(&'static str, String)>,
}

impl<'a> Knock<'a> {
    /// As the device `d` or the module `d/m`, with nothing to show.
    pub fn of(id: &str) -> Self {
        Self {
            client_id: id.to_owned(),
            user_name: format!("localhost/{id}/?api-version=2021-04-12"),
            token: None,
            certificate: None,
            headers: Vec::new(),
        }
    }

    /// The same with this token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The same with this certificate.
    #[must_use]
    pub fn certificate(mut self, certificate: &'a ClientCertificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// The request that only somebody with these credentials may make: a device lists its modules,
    /// a module calls a direct method of its own, which is not online.
    fn request(&self) -> Request {
        let version = "api-version=2017-11-08-preview";
        let request = match self.client_id.split_once('/') {
            None => Request::new(
                "GET",
                &format!("/devices/{}/modules?{version}", self.client_id),
            ),
            Some((device, module)) => {
                let path = format!("/twins/{device}/modules/{module}/methods?{version}");
                Request::new("POST", &path)
                    .header("x-ms-edge-moduleId", &self.client_id)
                    .body(json!({ "methodName": "x", "payload": null }))
            }
        };
        match &self.token {
            Some(token) => request.header("Authorization", token),
            None => request,
        }
    }

    /// MQTT's first packet.
    fn connect(&self) -> Vec<u8> {
        let password = self.token.as_ref();
        let mut body = Vec::new();
        text(&mut body, b"MQTT");
        body.push(4);
        body.push(if password.is_some() { 0xC0 } else { 0x80 });
        body.extend([0, 60]);
        text(&mut body, self.client_id.as_bytes());
        text(&mut body, self.user_name.as_bytes());
        if let Some(password) = password {
            text(&mut body, password.as_bytes());
        }
        let mut packet = vec![0x10];
        let mut length = body.len();
        loop {
            let digit = (length % 128) as u8;
            length /= 128;
            packet.push(if length > 0 { digit | 0x80 } else { digit });
            if length == 0 {
                break;
            }
        }
        packet.extend(body);
        packet
    }
}

/// MQTT's form of a text: its length before it.
fn text(packet: &mut Vec<u8>, text: &[u8]) {
    let length = u16::try_from(text.len()).expect("texts of MQTT have at most 65,535 bytes");
    packet.extend(length.to_be_bytes());
    packet.extend(text);
}

/// What became of a knock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In.
    LetIn,
    /// Not in; what the hub said, empty if it just closed.
    Refused(String),
}

/// A hub, seen from outside.
#[derive(Debug)]
pub struct Doors {
    mqtt_port: u16,
    https_port: u16,
    ca_pem: String,
}

/// Somebody who got in over MQTT or WebSocket.
#[derive(Debug)]
pub enum Guest {
    /// Over TLS.
    Tls(Box<TlsStream>),
    /// Over WebSocket.
    WebSocket(Box<WebSocket<TlsStream>>),
}

impl Doors {
    /// Those of this hub.
    pub fn of(hub: &HubServe<'_>) -> Self {
        Self {
            mqtt_port: hub.mqtt_port(),
            https_port: hub.https_port(),
            ca_pem: hub.ca_pem(),
        }
    }

    /// Knocks and goes away again.
    pub fn knock(&self, door: Door, knock: &Knock<'_>) -> Outcome {
        if door != Door::Rest {
            return match self.enter(door, knock) {
                Ok(_) => Outcome::LetIn,
                Err(said) => Outcome::Refused(said),
            };
        }
        let (status, said) = self.ask(&knock.request(), knock.certificate);
        match status {
            // 404: the method's target is not online.
            200 | 404 => Outcome::LetIn,
            _ => Outcome::Refused(format!("{status} {}", without_numbers(&said))),
        }
    }

    /// Sends a request: status, and all behind it.
    pub fn ask(&self, request: &Request, certificate: Option<&ClientCertificate>) -> (u16, String) {
        request.send(self.https_port, &self.client(certificate))
    }

    /// Connects over MQTT or WebSocket and stays; else what the hub said.
    ///
    /// # Errors
    /// The bytes of its answer, in words.
    ///
    /// # Panics
    /// When the hub does not listen, or the door is REST.
    pub fn enter(&self, door: Door, knock: &Knock<'_>) -> Result<Guest, String> {
        let client = self.client(knock.certificate);
        let mut guest = match door {
            Door::Mqtt => Guest::Tls(Box::new(connect(&client, self.mqtt_port)?)),
            Door::WebSocket => Guest::WebSocket(Box::new(self.upgrade(&client, &knock.headers)?)),
            Door::Rest => panic!("nobody stays at REST"),
        };
        guest.send(knock.connect());
        match *guest.read(4) {
            [0x20, 2, _, 0] => Ok(guest),
            ref other => Err(format!("{other:02x?}")),
        }
    }

    fn client(&self, certificate: Option<&ClientCertificate>) -> TlsClient {
        let client = TlsClient::new(&*self.ca_pem);
        match certificate {
            Some(own) => client.identity(own.pem(), own.key_pem()),
            None => client,
        }
    }

    fn upgrade(
        &self,
        client: &TlsClient,
        headers: &[(&'static str, String)],
    ) -> Result<WebSocket<TlsStream>, String> {
        let stream = connect(client, self.https_port)?;
        let url = format!("wss://localhost:{}/$iothub/websocket", self.https_port);
        let mut request = url.into_client_request().expect("it is a request");
        let protocol = HeaderValue::from_static("mqtt");
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", protocol);
        for (name, value) in headers {
            let value = value.parse().expect("it can be in a header");
            request.headers_mut().insert(*name, value);
        }
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(socket),
            Err(err) => Err(err.to_string()),
        }
    }
}

impl Guest {
    /// Sends bytes; that nobody takes them any more is seen when reading.
    pub fn send(&mut self, bytes: Vec<u8>) {
        match self {
            Self::Tls(stream) => drop(stream.write_all(&bytes)),
            Self::WebSocket(socket) => drop(socket.send(Message::Binary(bytes.into()))),
        }
    }

    /// Reads so many bytes, fewer when the hub closes before.
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Tls(stream) => {
                let _ = stream.take(length as u64).read_to_end(&mut bytes);
            }
            Self::WebSocket(socket) => {
                while bytes.len() < length {
                    match socket.read() {
                        Ok(Message::Binary(more)) => bytes.extend_from_slice(&more),
                        Ok(Message::Close(_)) | Err(_) => break,
                        Ok(_) => {}
                    }
                }
            }
        }
        bytes
    }

    /// Waits until the hub closes the connection, which is to send nothing before.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_for_close(mut self) {
        let begun = std::time::Instant::now();
        let read = self.read(1);
        assert_eq!(read, [] as [u8; 0], "the hub says nothing more");
        assert!(
            begun.elapsed() < crate::wait::LIMIT,
            "the hub did not close the connection"
        );
    }

    /// Whether the hub still serves the connection: it answers a ping.
    pub fn is_served(&mut self) -> bool {
        self.send(vec![0xC0, 0]);
        self.read(2) == [0xD0, 0]
    }
}

fn connect(client: &TlsClient, port: u16) -> Result<TlsStream, String> {
    client.connect(port).map_err(|err| err.to_string())
}

/// An answer of HTTP without what differs each time: the date, the tracking id.
fn without_numbers(answer: &str) -> String {
    let lines = answer
        .lines()
        .filter(|line| !line.to_lowercase().starts_with("date:"));
    let text = lines.collect::<Vec<_>>().join("\n");
    match text.split_once("Tracking ID:") {
        Some((before, rest)) => {
            let after = rest.split_once('"').map_or("", |(_, after)| after);
            format!("{before}Tracking ID:\"{after}")
        }
        None => text,
    }
}
