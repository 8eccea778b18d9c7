//! Somebody between a device and its hub who ends TLS on both sides and meddles with what the hub says: he answers
//! twice, answers what nobody asked, says rubbish, and makes the device wait. He also says what a test puts in his mouth.
//!
//! He is no thief: what he acknowledges by a number of his own is on its way under no such number.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, Connection, ServerConfig, ServerConnection};

use crate::hub::HubServe;
use crate::soak::Chance;
use crate::tls::TlsClient;
use crate::wait;

/// How often is looked whether it is over.
const LOOK_EVERY: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// How long he makes a device wait.
const WAIT: Duration = Duration::from_millis(150);

/// The packet id that he adds where he takes a wrong one: far from those that are in use.
const WRONG_ID: u16 = 0x4000;

const REPORTS: &str = "$iothub/twin/PATCH/properties/reported/?$rid=";

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;

/// Meddles with all connections to its port; dropping it ends them.
#[derive(Debug)]
pub struct Meddler {
    port: u16,
    ca_pem: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    hub_port: u16,
    near: Arc<ServerConfig>,
    far: Arc<ClientConfig>,
    meddles: AtomicBool,
    over: AtomicBool,
    chance: Mutex<Chance>,
    done: Mutex<BTreeMap<&'static str, u64>>,
    /// The end towards each client, by its id; of those that came last.
    clients: Mutex<BTreeMap<String, Arc<End>>>,
    /// The topics of what clients published, but for messages.
    published: Mutex<Vec<String>>,
    /// What reports may not hold to get to the hub; they are answered with status 400.
    refused: Mutex<Option<String>>,
}

/// One end of what passes through.
#[derive(Debug)]
struct End {
    socket: TcpStream,
    tls: Mutex<Connection>,
    /// Held while something is sent, so that nothing comes in between.
    sending: Mutex<()>,
}

impl Meddler {
    /// Between a hub's port of MQTT and those who trust his authority.
    ///
    /// # Panics
    /// When there is no port for him.
    pub fn before(hub: &HubServe<'_>) -> Self {
        Self::named(hub, "localhost")
    }

    /// The same, with a certificate for this name.
    ///
    /// # Panics
    /// When there is no port for him.
    pub fn named(hub: &HubServe<'_>, name: &str) -> Self {
        let (near, ca_pem) = server(name);
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            hub_port: hub.mqtt_port(),
            near: Arc::new(near),
            far: Arc::new(TlsClient::of(hub).config()),
            meddles: AtomicBool::new(false),
            over: AtomicBool::new(false),
            chance: Mutex::new(Chance::new()),
            done: Mutex::default(),
            clients: Mutex::default(),
            published: Mutex::default(),
            refused: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // What ends a connection is for its two ends to say.
                thread::spawn(move || drop(shared.pass(stream)));
            }
        });
        Self {
            port,
            ca_pem,
            shared,
        }
    }

    /// The port of 127.0.0.1 where he takes connections.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of his authority.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// From now on he meddles, or passes on what comes.
    pub fn meddle(&self, meddles: bool) {
        self.shared.meddles.store(meddles, Ordering::Relaxed);
    }

    /// Says these bytes to the client of this id in the hub's name, and nothing of the hub's in between. Whether the
    /// client hears all of it is its own matter.
    ///
    /// # Panics
    /// When no such client connects.
    pub fn say(&self, client: &str, bytes: &[u8]) {
        let end = wait::until("a client to connect", || {
            let clients = self.shared.clients.lock();
            let clients = clients.expect("nobody panics with it");
            clients.get(client).cloned()
        });
        // It may close the connection.
        let _ = end.send(bytes);
    }

    /// From now on reports that hold this text do not get to the hub, and are refused in its name.
    ///
    /// # Panics
    /// When he has failed.
    pub fn refuse_reports(&self, text: Option<&str>) {
        let mut refused = self.shared.refused.lock().expect("nobody panics with it");
        *refused = text.map(str::to_owned);
    }

    /// Waits until a client publishes something else than a message to a topic that begins so.
    ///
    /// # Panics
    /// When none does.
    pub fn wait_published(&self, begins: &str) {
        wait::until_so("a client to publish", || {
            let published = self.shared.published.lock();
            let published = published.expect("nobody panics with it");
            published.iter().any(|topic| topic.starts_with(begins))
        });
    }

    /// What he has done, and how often.
    ///
    /// # Panics
    /// When he has failed.
    pub fn done(&self) -> BTreeMap<&'static str, u64> {
        self.shared
            .done
            .lock()
            .expect("nobody panics with it")
            .clone()
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn pass(self: Arc<Self>, stream: TcpStream) -> io::Result<()> {
        let near = ServerConnection::new(self.near.clone()).map_err(io::Error::other)?;
        let name = "localhost".try_into().expect("a name");
        let far = rustls::ClientConnection::new(self.far.clone(), name);
        let far = far.map_err(io::Error::other)?;
        let far_socket = TcpStream::connect(("127.0.0.1", self.hub_port))?;
        let near = Arc::new(End::new(stream, near.into())?);
        let far = Arc::new(End::new(far_socket, far.into())?);
        let up = {
            let (shared, near, far) = (Arc::clone(&self), Arc::clone(&near), Arc::clone(&far));
            thread::spawn(move || {
                let mut packets = Vec::new();
                let _ = shared.pump(&near, &far, |bytes| {
                    packets.extend_from_slice(&bytes);
                    let mut out = Vec::new();
                    while let Some(length) = whole(&packets) {
                        let packet: Vec<u8> = packets.drain(..length).collect();
                        match shared.refusal(&packet) {
                            // It may close the connection.
                            Some(refusal) => drop(near.send(&refusal)),
                            None => shared.hear(&packet, &near, &mut out),
                        }
                    }
                    out
                });
                near.end();
                far.end();
            })
        };
        let mut packets = Vec::new();
        let passed = self.pump(&far, &near, |bytes| {
            packets.extend_from_slice(&bytes);
            let mut out = Vec::new();
            while let Some(length) = whole(&packets) {
                let packet: Vec<u8> = packets.drain(..length).collect();
                self.say(&packet, &mut out);
            }
            out
        });
        near.end();
        far.end();
        let _ = up.join();
        passed
    }

    fn pump(
        &self,
        from: &End,
        to: &End,
        mut change: impl FnMut(Vec<u8>) -> Vec<u8>,
    ) -> io::Result<()> {
        while !self.over.load(Ordering::Relaxed) {
            let Some(bytes) = from.receive()? else {
                continue;
            };
            if bytes.is_empty() {
                continue;
            }
            to.send(&change(bytes))?;
        }
        Ok(())
    }

    /// What is answered in the hub's stead to a report that he does not let through.
    fn refusal(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let id = topic(packet)?.strip_prefix(REPORTS)?;
        let refused = self.refused.lock().expect("nobody panics with it");
        let refused = refused.as_ref()?;
        let holds = |bytes: &[u8]| bytes == refused.as_bytes();
        if !packet.windows(refused.len()).any(holds) {
            return None;
        }
        let answer = format!("$iothub/twin/res/400/?$rid={id}");
        Some(publish(&answer, br#"{"Message":"too deep for this hub"}"#))
    }

    /// Notes who a client is and what it publishes.
    fn hear(&self, packet: &[u8], near: &Arc<End>, out: &mut Vec<u8>) {
        if let Some(client) = client_id(packet) {
            let mut clients = self.clients.lock().expect("nobody panics with it");
            clients.insert(client.to_owned(), Arc::clone(near));
        }
        if let Some(topic) = topic(packet).filter(|topic| topic.starts_with('$')) {
            let mut published = self.published.lock().expect("nobody panics with it");
            published.push(topic.to_owned());
        }
        out.extend_from_slice(packet);
    }

    /// Says to the device what the hub said, or something like it.
    fn say(&self, packet: &[u8], out: &mut Vec<u8>) {
        if !self.meddles.load(Ordering::Relaxed) {
            return out.extend_from_slice(packet);
        }
        let dice = self.chance.lock().expect("nobody panics with it").below(12);
        let topic = topic(packet).unwrap_or_default();
        let answer = topic.starts_with("$iothub/twin/res/");
        let of_twin = answer || topic.starts_with("$iothub/twin/PATCH/");
        let what = match (packet[0] >> 4, dice) {
            (PUBACK, 0 | 1) | (PUBLISH, 0 | 1) => {
                out.extend_from_slice(packet);
                "said twice"
            }
            (PUBACK, 2) => {
                let id = u16::from_be_bytes([packet[2], packet[3]]) ^ WRONG_ID;
                out.extend_from_slice(&[PUBACK << 4, 2]);
                out.extend_from_slice(&id.to_be_bytes());
                "acknowledged what was not sent"
            }
            (PUBLISH, 2) if answer => {
                out.extend_from_slice(&publish("$iothub/twin/res/200/?$rid=nobody's", b"{}"));
                "answered what was not asked"
            }
            (PUBLISH, 3) if of_twin => {
                out.extend_from_slice(&publish(topic, b"{\"desired\": "));
                self.note("said rubbish");
                return;
            }
            (PUBLISH, 4) if of_twin => {
                out.extend_from_slice(&[PUBLISH << 4, 0xff, 0xff, 0xff, 0x7f]);
                "began a packet that is too large"
            }
            (_, 5) => {
                thread::sleep(WAIT);
                "took its time"
            }
            _ => "said as it was",
        };
        self.note(what);
        out.extend_from_slice(packet);
    }

    fn note(&self, what: &'static str) {
        let mut done = self.done.lock().expect("nobody panics with it");
        *done.entry(what).or_default() += 1;
    }
}

impl End {
    fn new(socket: TcpStream, tls: Connection) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let (tls, sending) = (Mutex::new(tls), Mutex::default());
        Ok(Self {
            socket,
            tls,
            sending,
        })
    }

    /// What has come; nothing when it is time to look around, an error at the end.
    fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        if poll(&mut fds, Some(&LOOK_EVERY))? == 0 {
            return Ok(None);
        }
        let mut tls = self.tls.lock().expect("nobody panics with it");
        if tls.read_tls(&mut &self.socket)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let state = tls.process_new_packets().map_err(io::Error::other)?;
        let mut bytes = vec![0; state.plaintext_bytes_to_read()];
        tls.reader().read_exact(&mut bytes)?;
        self.write(&mut tls)?;
        Ok(Some(bytes))
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let _sending = self.sending.lock().expect("nobody panics with it");
        let mut tls = self.tls.lock().expect("nobody panics with it");
        for piece in bytes.chunks(16 * 1024) {
            tls.writer().write_all(piece)?;
            self.write(&mut tls)?;
        }
        Ok(())
    }

    fn write(&self, tls: &mut Connection) -> io::Result<()> {
        while tls.wants_write() {
            tls.write_tls(&mut &self.socket)?;
        }
        Ok(())
    }

    fn end(&self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// A server of this name, and the authority that it is trusted by.
fn server(name: &str) -> (ServerConfig, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key can be made");
    let authority = params.self_signed(&key).expect("it can be signed");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key can be made");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &issuer).expect("it can be signed");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key);
    (config.expect("they belong together"), authority.pem())
}

/// The length of the packet at the beginning, once it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let mut remaining = 0;
    for index in 0..4 {
        let byte = *bytes.get(1 + index)?;
        remaining |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let length = 2 + index + remaining;
            return (bytes.len() >= length).then_some(length);
        }
    }
    panic!("the hub writes lengths in four bytes at most");
}

/// The topic of a PUBLISH.
fn topic(packet: &[u8]) -> Option<&str> {
    (packet[0] >> 4 == PUBLISH).then(|| text(body(packet)))?
}

/// The id of who sends a CONNECT of MQTT 3.1.1.
fn client_id(packet: &[u8]) -> Option<&str> {
    const BEFORE: usize = 10;
    (packet[0] >> 4 == CONNECT).then(|| text(body(packet).get(BEFORE..)?))?
}

/// What comes behind the fixed header.
fn body(packet: &[u8]) -> &[u8] {
    let length = packet[1..].iter().position(|byte| byte & 0x80 == 0);
    &packet[2 + length.expect("it is whole")..]
}

/// The text at the beginning, behind its length.
fn text(bytes: &[u8]) -> Option<&str> {
    let (size, rest) = bytes.split_first_chunk()?;
    str::from_utf8(rest.get(..usize::from(u16::from_be_bytes(*size)))?).ok()
}

/// A PUBLISH at most once.
///
/// # Panics
/// When the topic is too long.
pub fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    let size = u16::try_from(topic.len()).expect("the topic is short");
    let mut packet = vec![PUBLISH << 4];
    let mut remaining = 2 + topic.len() + payload.len();
    while remaining >= 0x80 {
        packet.push((remaining % 0x80) as u8 | 0x80);
        remaining /= 0x80;
    }
    packet.push(remaining as u8);
    packet.extend_from_slice(&size.to_be_bytes());
    packet.extend_from_slice(topic.as_bytes());
    packet.extend_from_slice(payload);
    packet
}
