//! A hub as devices and services reach it: MQTT 3.1.1 and HTTPS over TLS, as few bytes as the load needs.
//!
//! Everything that goes wrong is an `io::Error`: the other end is killed again and again.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use wasm_edge_tests::tokens::Token;

/// How long the hub may say nothing before a connection is given up.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// First bytes of packets (MQTT 3.1.1, section 2.2).
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBLISH_QOS_1: u8 = 0x32;
const DUPLICATE: u8 = 0x08;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;

/// A hub's addresses, certificate, and the right to call its service.
#[derive(Clone)]
pub(crate) struct Far {
    mqtt_port: u16,
    https_port: u16,
    tls: Arc<ClientConfig>,
    policy: String,
    key: String,
}

/// Who connects or is connected, such as `d` or `d/modules/m`, and with which key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    /// The device and its module, as a path.
    pub(crate) path: String,
    /// The key, in base64.
    pub(crate) key: String,
}

/// An MQTT connection past its CONNACK.
pub(crate) struct Wire {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// What was published with this identifier is the hub's now.
    PubAck(u16),
    /// A message, with its identifier if it is to be acknowledged.
    Publish {
        /// Its topic.
        topic: String,
        /// Its identifier.
        id: Option<u16>,
        /// Its body.
        body: Vec<u8>,
    },
    /// Anything else.
    Other(u8),
}

impl Far {
    /// The hub with these ports, the certificate in the file, and a connection string of the service.
    pub(crate) fn new(mqtt_port: u16, https_port: u16, ca: &Path, connection_string: &str) -> Self {
        let pem = fs::read(ca).expect("the hub's certificate can be read");
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(&pem).expect("it is a certificate");
        roots.add(certificate).expect("it can be trusted");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the usual versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let field = |name: &str| {
            let mut fields = connection_string
                .split(';')
                .filter_map(|it| it.split_once('='));
            let found = fields.find(|(key, _)| *key == name);
            found.unwrap_or_else(|| panic!("no `{name}`")).1
        };
        Self {
            mqtt_port,
            https_port,
            tls: Arc::new(tls),
            policy: field("SharedAccessKeyName").to_owned(),
            key: field("SharedAccessKey").to_owned(),
        }
    }

    /// Makes a call of the service: status and body.
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
        let mut stream = self.open(self.https_port)?;
        let token = Token::new(&self.key, "localhost")
            .of_policy(&self.policy)
            .text();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: {token}\r\n\
             Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        stream.flush()?;
        let mut answer = Vec::new();
        // A hub that closes without TLS's own good-bye may have been cut off; the length tells.
        let ended = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let Some((head, body)) = answer.split_once("\r\n\r\n") else {
            return Err(ended.err().unwrap_or_else(cut_off));
        };
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status: u16 = status.ok_or_else(cut_off)?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().ok())?
        });
        match length {
            Some(length) if length != body.len() => Err(cut_off()),
            None if status == 200 => Err(cut_off()),
            _ if body.is_empty() => Ok((status, Value::Null)),
            _ => Ok((status, serde_json::from_str(body)?)),
        }
    }

    /// Connects as a device or module whose session lasts.
    pub(crate) fn connect(&self, identity: &Identity) -> io::Result<Wire> {
        let mut wire = Wire {
            stream: self.open(self.mqtt_port)?,
        };
        let client = identity.path.replace("/modules/", "/");
        let user = format!("localhost/{client}/?api-version=2021-04-12");
        let resource = format!("localhost/devices/{}", identity.path);
        let password = Token::new(&identity.key, &resource).text();
        let mut body = Vec::new();
        push_text(&mut body, "MQTT");
        body.extend([4, 0xC0, 0, 60]);
        for text in [&client, &user, &password] {
            push_text(&mut body, text);
        }
        wire.send(CONNECT, &body)?;
        wire.flush()?;
        match wire.read()? {
            (CONNACK, body) if body.get(1) == Some(&0) => Ok(wire),
            // The hub is there and ends, or has just begun.
            (CONNACK, body) if body.get(1) == Some(&3) => Err(cut_off()),
            packet => panic!("`{client}` is not let in: {packet:?}"),
        }
    }

    fn open(&self, port: u16) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").expect("it is a name");
        let session = ClientConnection::new(Arc::clone(&self.tls), name);
        let session = session.map_err(io::Error::other)?;
        Ok(StreamOwned::new(session, stream))
    }
}

impl Wire {
    /// Adds a message of QoS 1 to what is sent next.
    pub(crate) fn publish(
        &mut self,
        topic: &str,
        id: u16,
        again: bool,
        body: &[u8],
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        push_text(&mut bytes, topic);
        bytes.extend(id.to_be_bytes());
        bytes.extend(body);
        let duplicate = if again { DUPLICATE } else { 0 };
        self.send(PUBLISH_QOS_1 | duplicate, &bytes)
    }

    /// Adds a message of QoS 0 to what is sent next.
    pub(crate) fn publish_once(&mut self, topic: &str, body: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::new();
        push_text(&mut bytes, topic);
        bytes.extend(body);
        self.send(PUBLISH, &bytes)
    }

    /// Adds the acknowledgement of a message to what is sent next.
    pub(crate) fn acknowledge(&mut self, id: u16) -> io::Result<()> {
        self.send(PUBACK, &id.to_be_bytes())
    }

    /// Subscribes and waits until it is granted; what comes meanwhile is given back.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) -> io::Result<Vec<Packet>> {
        let mut body = vec![0, 1];
        push_text(&mut body, filter);
        body.push(qos);
        self.send(SUBSCRIBE, &body)?;
        self.flush()?;
        let mut before = Vec::new();
        loop {
            match self.receive()? {
                Packet::Other(SUBACK) => return Ok(before),
                packet => before.push(packet),
            }
        }
    }

    /// Sends what was added.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }

    /// The next packet.
    pub(crate) fn receive(&mut self) -> io::Result<Packet> {
        let (first, body) = self.read()?;
        let number = |at: usize| {
            let bytes = body.get(at..at + 2).ok_or_else(cut_off)?;
            Ok::<_, io::Error>(u16::from_be_bytes([bytes[0], bytes[1]]))
        };
        Ok(match first & 0xF0 {
            PUBACK => Packet::PubAck(number(0)?),
            PUBLISH => {
                let mut at = 2 + usize::from(number(0)?);
                let topic = String::from_utf8_lossy(body.get(2..at).ok_or_else(cut_off)?);
                let topic = topic.into_owned();
                let mut id = None;
                if first & 0x06 != 0 {
                    id = Some(number(at)?);
                    at += 2;
                }
                let body = body.get(at..).ok_or_else(cut_off)?.to_vec();
                Packet::Publish { topic, id, body }
            }
            _ => Packet::Other(first),
        })
    }

    fn send(&mut self, first: u8, body: &[u8]) -> io::Result<()> {
        let mut packet = vec![first];
        let mut left = body.len();
        loop {
            let digit = u8::try_from(left % 128).expect("a digit is below 128");
            left /= 128;
            packet.push(if left > 0 { digit | 0x80 } else { digit });
            if left == 0 {
                break;
            }
        }
        packet.extend(body);
        self.stream.write_all(&packet)
    }

    fn read(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let first = self.read_byte()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let digit = self.read_byte()?;
            length |= usize::from(digit & 0x7F) << shift;
            shift += 7;
            if digit & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((first, body))
    }

    fn read_byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("texts are short");
    bytes.extend(length.to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn cut_off() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}
