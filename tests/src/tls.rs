//! TLS as a client of a hub speaks it: which versions, whom it trusts, and the certificate that it shows.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use serde_json::Value;

use crate::http::{self, Answer};
use crate::hub::HubServe;
use crate::wait;

/// A connection after its handshake.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// How a client connects.
#[derive(Clone, Debug)]
pub struct TlsClient {
    ca_pem: String,
    server_name: String,
    versions: Vec<&'static SupportedProtocolVersion>,
    identity: Option<(String, String)>,
}

impl TlsClient {
    /// Trusts this certificate (PEM) and asks for `localhost`, by TLS 1.2 or 1.3.
    pub fn new(ca_pem: impl Into<String>) -> Self {
        Self {
            ca_pem: ca_pem.into(),
            server_name: "localhost".to_owned(),
            versions: vec![&rustls::version::TLS13, &rustls::version::TLS12],
            identity: None,
        }
    }

    /// Trusts the authority of this hub.
    pub fn of(hub: &HubServe<'_>) -> Self {
        Self::new(hub.ca_pem())
    }

    /// Asks for another name or address.
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.server_name);
        self
    }

    /// Speaks this version alone.
    #[must_use]
    pub fn only(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    /// Shows a certificate, given with its key (PEM).
    #[must_use]
    pub fn identity(mut self, certificate_pem: &str, key_pem: &str) -> Self {
        self.identity = Some((certificate_pem.to_owned(), key_pem.to_owned()));
        self
    }

    /// The settings for rustls.
    ///
    /// # Panics
    /// When what it trusts or shows cannot be read.
    pub fn config(&self) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let trusted = CertificateDer::from_pem_slice(self.ca_pem.as_bytes());
        roots
            .add(trusted.expect("a certificate"))
            .expect("a certificate that can be trusted");
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .expect("known versions")
            .with_webpki_verifier(verifier.build().expect("something is trusted"));
        match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
                let chain = chain.collect::<Result<_, _>>().expect("certificates");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder
                    .with_client_auth_cert(chain, key)
                    .expect("they belong together")
            }
        }
    }

    /// Connects to a port of this machine and does the handshake; a read waits [`wait::LIMIT`] at most.
    ///
    /// # Errors
    /// What the other end, or the check of its certificate, says.
    ///
    /// # Panics
    /// When the server's name is none.
    pub fn connect(&self, port: u16) -> io::Result<TlsStream> {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(wait::LIMIT))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(self.server_name.clone()).expect("a name or address");
        let connection = ClientConnection::new(Arc::new(self.config()), name);
        let mut connection = connection.map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(connection, socket))
    }

    /// Asks by HTTPS, on a connection of its own; `headers` are whole lines without their ends.
    ///
    /// # Panics
    /// When it cannot connect, or what answers does not speak HTTP.
    pub fn ask(
        &self,
        port: u16,
        method: &str,
        path: &str,
        headers: &[&str],
        body: Option<&Value>,
    ) -> Answer {
        let mut stream = self.connect(port).expect("the hub can be connected to");
        let request = http::request_text(method, path, headers, body);
        stream.write_all(request.as_bytes()).expect("the hub reads");
        let mut answer = Vec::new();
        // A server may close the connection without a farewell; the head tells the length.
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(err) => panic!("{method} {path}: {err}"),
        }
        http::answer(answer).expect("an answer")
    }
}
