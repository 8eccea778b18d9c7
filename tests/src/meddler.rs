//! Somebody between a device and its hub who ends TLS on both sides and meddles with what the hub says: he answers
//! twice, answers what nobody asked, says rubbish, and makes the device wait.
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

/// How often is looked whether it is over.
const LOOK_EVERY: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// How long he makes a device wait.
const WAIT: Duration = Duration::from_millis(150);

/// The packet id that he adds where he takes a wrong one: far from those that are in use.
const WRONG_ID: u16 = 0x4000;

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
}

/// One end of what passes through.
struct End {
    socket: TcpStream,
    tls: Mutex<Connection>,
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
                let _ = shared.pump(&near, &far, |bytes| bytes);
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
        let tls = Mutex::new(tls);
        Ok(Self { socket, tls })
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
    if packet[0] >> 4 != PUBLISH {
        return None;
    }
    let length = packet[1..].iter().position(|byte| byte & 0x80 == 0)? + 1;
    let (size, rest) = packet[1 + length..].split_first_chunk()?;
    let topic = rest.get(..usize::from(u16::from_be_bytes(*size)))?;
    std::str::from_utf8(topic).ok()
}

/// A PUBLISH at most once, of less than 128 bytes.
fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    let remaining = 2 + topic.len() + payload.len();
    let remaining = u8::try_from(remaining).ok().filter(|length| *length < 0x80);
    let remaining = remaining.expect("it is short");
    let size = u8::try_from(topic.len()).expect("it is short");
    [
        &[PUBLISH << 4, remaining, 0, size],
        topic.as_bytes(),
        payload,
    ]
    .concat()
}
