//! A stand-in of Azure's blob storage, for what devices upload: it takes `Put Blob` over TLS and keeps what came.
//!
//! It knows no signatures and no containers. What it is told to answer first, it answers first.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::wait;

/// The storage; it listens as long as the process lives.
#[derive(Debug)]
pub struct BlobStandIn {
    port: u16,
    ca_pem: String,
    state: Arc<Mutex<State>>,
}

/// A blob that was put.
#[derive(Clone, Debug)]
pub struct Blob {
    /// The whole target of the request, with the query.
    pub target: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub content: Vec<u8>,
}

/// What is answered instead of success.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// A status with the storage's own code of an error.
    Status(u16, &'static str),
    /// The connection ends in the middle of the request.
    HangUp,
}

#[derive(Debug, Default)]
struct State {
    blobs: Vec<Blob>,
    troubles: VecDeque<Trouble>,
    requests: usize,
}

impl Blob {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl BlobStandIn {
    /// Starts one on a free port of this machine.
    ///
    /// # Panics
    /// When it cannot.
    pub fn start() -> Self {
        let names = vec!["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).expect("a certificate can be made");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("known versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("they belong together");
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (state, config) = (Arc::new(Mutex::new(State::default())), Arc::new(config));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, config) = (Arc::clone(&shared), Arc::clone(&config));
                // A client that goes away in the middle is one of the cases that are tried.
                std::thread::spawn(move || serve(stream, config, &state));
            }
        });
        Self {
            port,
            ca_pem: cert.pem(),
            state,
        }
    }

    /// The address of a container, with this query as its signature.
    pub fn container(&self, query: &str) -> String {
        format!("https://localhost:{}/account/logs?{query}", self.port)
    }

    /// Its certificate, to be trusted.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Answers the next requests so, one after the other, before it takes anything again.
    pub fn trouble(&self, troubles: &[Trouble]) {
        self.lock().troubles.extend(troubles);
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.lock().requests
    }

    /// Waits until so many blobs are there.
    pub fn wait(&self, count: usize) -> Vec<Blob> {
        wait::until("blobs to be uploaded", || {
            let state = self.lock();
            (state.blobs.len() >= count).then(|| state.blobs.clone())
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, state: &Mutex<State>) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    while let Some(blob) = request(&mut stream, state)? {
        let trouble = {
            let mut state = state.lock().expect("nobody panics while holding it");
            state.troubles.pop_front()
        };
        let (status, code) = match trouble {
            None => (201, "None"),
            Some(Trouble::Status(status, code)) => (status, code),
            Some(Trouble::HangUp) => return Ok(()),
        };
        if status == 201 {
            let mut state = state.lock().expect("nobody panics while holding it");
            state.blobs.push(blob);
        }
        let answer = format!(
            "HTTP/1.1 {status} Said\r\nx-ms-error-code: {code}\r\nContent-Length: 0\r\n\r\n"
        );
        stream.get_mut().write_all(answer.as_bytes())?;
        stream.get_mut().flush()?;
    }
    Ok(())
}

/// The next request on a connection; `None` when there is none any more. One that is to be hung up on is read in
/// part only.
fn request(stream: &mut impl BufRead, state: &Mutex<State>) -> io::Result<Option<Blob>> {
    let mut first = String::new();
    if stream.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    state
        .lock()
        .expect("nobody panics while holding it")
        .requests += 1;
    let mut words = first.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next());
    assert_eq!(method, "PUT", "{first}");
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut blob = Blob {
        target: target.expect("a target").to_owned(),
        headers,
        content: Vec::new(),
    };
    let length = blob.header("content-length").expect("a length");
    let mut length: u64 = length.parse().expect("a number");
    let next = state
        .lock()
        .expect("nobody panics while holding it")
        .troubles
        .front()
        .copied();
    if let Some(Trouble::HangUp) = next {
        length /= 2;
    }
    stream.take(length).read_to_end(&mut blob.content)?;
    Ok(Some(blob))
}
