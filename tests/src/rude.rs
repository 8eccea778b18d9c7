//! A server behind TLS that answers every request of HTTP with whatever it is told to, and may never come to an end.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certificates::Authority;

/// The most that it says to one request.
const SAID_MAX_BYTES: usize = 64 << 20;

/// The server; it listens on 127.0.0.1 as long as the process lives.
#[derive(Debug)]
pub struct Rude {
    port: u16,
    ca_pem: String,
    manners: Arc<Mutex<Manners>>,
}

/// How it answers.
#[derive(Clone, Debug, Default)]
struct Manners {
    begins: Vec<u8>,
    /// Said again and again after that; nothing ends the answer.
    goes_on: Vec<u8>,
}

impl Rude {
    /// Starts one as `localhost`.
    ///
    /// # Panics
    /// When there is no port for it.
    pub fn start() -> Self {
        let authority = Authority::new("rude");
        let (certificate, key) = authority.issue_server("localhost");
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("known versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.expect("a certificate")], key);
        let config = Arc::new(config.expect("they belong together"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let manners = Arc::new(Mutex::new(Manners::default()));
        let shared = Arc::clone(&manners);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (manners, config) = (Arc::clone(&shared), Arc::clone(&config));
                // A client that goes away is what is waited for.
                std::thread::spawn(move || drop(serve(stream, config, &manners)));
            }
        });
        Self {
            port,
            ca_pem: authority.pem().to_owned(),
            manners,
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it is trusted by.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// From now on it answers so, and then with `goes_on` again and again, if that is something.
    ///
    /// # Panics
    /// When it has failed.
    pub fn answer(&self, begins: &str, goes_on: &str) {
        *self.manners.lock().expect("nobody panics with it") = Manners {
            begins: begins.into(),
            goes_on: goes_on.into(),
        };
    }
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    manners: &Mutex<Manners>,
) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
    }
    let Manners { begins, goes_on } = manners.lock().expect("nobody panics with it").clone();
    stream.get_mut().write_all(&begins)?;
    let mut said = 0;
    while !goes_on.is_empty() && said < SAID_MAX_BYTES {
        stream.get_mut().write_all(&goes_on)?;
        said += goes_on.len();
    }
    stream.get_mut().flush()?;
    stream.get_mut().conn.send_close_notify();
    stream.get_mut().flush()
}
