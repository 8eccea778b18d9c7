//! A registry that does what no honest one does: each test says what it answers to each request, and asks it what it
//! was told by whom.
//!
//! It knows no repository but the one image of [`Artifact`]. Storage behind a registry, whoever gives out tokens, and
//! mirrors are stand-ins of the same kind.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::certificates::Authority;

/// What an endless answer ends at all the same, so that a client that takes all of it fails instead of the machine.
pub const ENDLESS_BYTES: u64 = 512 * 1024 * 1024;

/// The media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// How long an answer that drips waits between two bytes: shorter than any patience.
const DRIP: Duration = Duration::from_millis(10);

/// How much of a request's body is read: those of tests are small.
const BODY_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The stand-in; it listens as long as the process lives.
#[derive(Debug)]
pub struct HostileRegistry {
    port: u16,
    is_tls: bool,
    shared: Arc<Shared>,
}

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `GET`, `PUT`, ...
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    /// How many bytes of a body came.
    pub body_bytes: u64,
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    /// These bytes, after a head that states their length.
    Bytes(Vec<u8>),
    /// These bytes as one chunk, after a head that states no length.
    Chunked(Vec<u8>),
    /// Without end.
    Endless,
    /// A byte now and then.
    Drip,
    /// The head itself has no end.
    EndlessHead,
    /// These bytes after a head that states more, and the connection ends.
    Cut(Vec<u8>, usize),
}

struct Shared {
    answer: Box<dyn Fn(&Asked) -> Reply + Send + Sync>,
    asked: Mutex<Vec<Asked>>,
    sent_bytes: AtomicU64,
}

/// The image that an honest registry would have.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The one layer.
    pub component: Vec<u8>,
    /// The config.
    pub config: Vec<u8>,
    /// The manifest.
    pub manifest: Value,
}

impl Asked {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether this is in its target.
    pub fn is_for(&self, part: &str) -> bool {
        self.target.contains(part)
    }
}

impl Reply {
    /// With a status and a body, whose length is stated as it is.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Bytes(body.into()),
        }
    }

    /// With a status and a body without end.
    pub fn endless(status: u16) -> Self {
        Self {
            body: Body::Endless,
            ..Self::new(status, "")
        }
    }

    /// With a status and a body of which a byte comes now and then.
    pub fn drip(status: u16) -> Self {
        Self {
            body: Body::Drip,
            ..Self::new(status, "")
        }
    }

    /// With a head that does not end.
    pub fn endless_head() -> Self {
        Self {
            body: Body::EndlessHead,
            ..Self::new(200, "")
        }
    }

    /// With a head that states more than comes.
    pub fn cut(status: u16, body: impl Into<Vec<u8>>, stated: usize) -> Self {
        Self {
            body: Body::Cut(body.into(), stated),
            ..Self::new(status, "")
        }
    }

    /// That leads on.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::new(status, "").header("location", location)
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// The same with a body that comes in chunks and states no length.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        if let Body::Bytes(bytes) = self.body {
            self.body = Body::Chunked(bytes);
        }
        self
    }
}

impl Artifact {
    /// With a component of this size that is none, but for its first bytes.
    pub fn of_size(size: usize) -> Self {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        component.extend((component.len()..size).map(|index| (index % 251) as u8));
        let config = br#"{"architecture":"wasm","os":"wasip2"}"#.to_vec();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.wasm.config.v0+json",
                "digest": digest_of(&config),
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/wasm",
                "digest": digest_of(&component),
                "size": component.len(),
            }],
        });
        Self {
            component,
            config,
            manifest,
        }
    }

    /// The digest of the component.
    pub fn component_digest(&self) -> String {
        digest_of(&self.component)
    }

    /// Answers as an honest registry does, with whatever manifest is there now.
    pub fn answer(&self, asked: &Asked) -> Reply {
        let manifest = self.manifest.to_string();
        if asked.is_for("/manifests/") {
            return Reply::new(200, manifest.clone())
                .header("content-type", MANIFEST)
                .header("docker-content-digest", digest_of(manifest.as_bytes()));
        }
        for blob in [&self.component, &self.config] {
            if asked.is_for(&format!("/blobs/{}", digest_of(blob))) {
                return Reply::new(200, blob.clone());
            }
        }
        Reply::new(404, r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#)
    }
}

/// The digest of bytes as images have it.
pub fn digest_of(bytes: &[u8]) -> String {
    let value = digest(&SHA256, bytes);
    let hex: String = value
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

impl HostileRegistry {
    /// Starts one on a free port of this machine: with a certificate of this authority for `localhost`, or without
    /// TLS.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start(
        authority: Option<&Authority>,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let config = authority.map(|authority| Arc::new(tls(authority)));
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let is_tls = config.is_some();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            asked: Mutex::default(),
            sent_bytes: AtomicU64::new(0),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, shared) = (config.clone(), Arc::clone(&serving));
                // A client that goes away in the middle is one of the cases that are tried.
                thread::spawn(move || match config {
                    Some(config) => {
                        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
                        serve(StreamOwned::new(connection, stream), &shared)
                    }
                    None => serve(stream, &shared),
                });
            }
        });
        Self {
            port,
            is_tls,
            shared,
        }
    }

    /// As references name it.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// An address there.
    pub fn url(&self, target: &str) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{target}", self.host())
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        let asked = &self.shared.asked;
        asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many bytes of bodies and endless heads it got rid of; what lies in buffers counts.
    pub fn sent_bytes(&self) -> u64 {
        self.shared.sent_bytes.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

fn tls(authority: &Authority) -> ServerConfig {
    let (certificate, key) = authority.issue_server("localhost");
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("it is PEM");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("it is PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together")
}

fn serve(stream: impl io::Read + Write, shared: &Shared) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(asked) = request(&mut stream)? {
        let reply = (shared.answer)(&asked);
        let is_head = asked.method == "HEAD";
        let mut list = shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(asked);
        drop(list);
        let goes_on = send(stream.get_mut(), &reply, is_head, shared)?;
        if !goes_on {
            break;
        }
    }
    Ok(())
}

/// Sends an answer; whether another one may follow.
fn send(
    stream: &mut impl Write,
    reply: &Reply,
    is_head: bool,
    shared: &Shared,
) -> io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} Said\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let count = |bytes: usize| shared.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    match &reply.body {
        Body::Bytes(bytes) => {
            head += &format!("content-length: {}\r\n\r\n", bytes.len());
            stream.write_all(head.as_bytes())?;
            if !is_head {
                stream.write_all(bytes)?;
                count(bytes.len());
            }
            stream.flush()?;
            Ok(true)
        }
        Body::Chunked(bytes) => {
            head += &format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", bytes.len());
            stream.write_all(head.as_bytes())?;
            stream.write_all(bytes)?;
            stream.write_all(b"\r\n0\r\n\r\n")?;
            count(bytes.len());
            stream.flush()?;
            Ok(true)
        }
        Body::Endless | Body::EndlessHead => {
            if matches!(reply.body, Body::Endless) {
                head += "\r\n";
            }
            stream.write_all(head.as_bytes())?;
            let line = match reply.body {
                Body::Endless => "x".repeat(64 * 1024),
                _ => format!("x-more: {}\r\n", "x".repeat(64)),
            };
            while shared.sent_bytes.load(Ordering::Relaxed) < ENDLESS_BYTES {
                stream.write_all(line.as_bytes())?;
                count(line.len());
            }
            Ok(false)
        }
        Body::Drip => {
            stream.write_all(format!("{head}\r\n").as_bytes())?;
            // Until the client goes, which is what is waited for.
            loop {
                stream.write_all(b"x")?;
                stream.flush()?;
                count(1);
                thread::sleep(DRIP);
            }
        }
        Body::Cut(bytes, stated) => {
            head += &format!("content-length: {stated}\r\n\r\n");
            stream.write_all(head.as_bytes())?;
            stream.write_all(bytes)?;
            stream.flush()?;
            count(bytes.len());
            Ok(false)
        }
    }
}

/// The next request on a connection; `None` when there is none any more.
fn request(stream: &mut impl BufRead) -> io::Result<Option<Asked>> {
    let mut first = String::new();
    if stream.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut words = first.split_whitespace().map(str::to_owned);
    let mut asked = Asked {
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        headers: Vec::new(),
        body_bytes: 0,
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let header = (name.to_ascii_lowercase(), value.trim().to_owned());
        asked.headers.push(header);
    }
    let length = asked.header("content-length").unwrap_or("0");
    let length: u64 = length.parse().map_err(io::Error::other)?;
    let mut body = io::Read::take(stream, length.min(BODY_MAX_BYTES));
    asked.body_bytes = io::copy(&mut body, &mut io::sink())?;
    Ok(Some(asked))
}
