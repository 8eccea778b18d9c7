//! The way to a hub on the network: TLS to its REST face, with a token made for each request.
//!
//! Owns what a connection string and a file of trusted certificates come to. The key never leaves it: no error and no
//! debug output has it. Leaves HTTP, limits and times to the client.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::header::HeaderValue;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wasm_edge_model::connection_string::{
    ConnectionString, ConnectionStringError, HostAddress, Party,
};
use wasm_edge_model::shared_access::{self, SharedKey};
use wasm_edge_model::time::Timestamp;

use super::ClientError;
use crate::text_file::{self, TextFileError};

/// The port of a hub whose connection string names none.
const HTTPS_PORT: u16 = 443;

/// How long a token is good for: as long as a request may take to arrive, with a clock that is wrong by minutes.
const TOKEN_LIFE_MS: i64 = 10 * 60 * 1000;

/// The largest file of trusted certificates: some hundreds of them.
const CA_SIZE_MAX_BYTES: usize = 1 << 20;

/// What the host names of Azure's hubs end in, in all of its clouds.
const AZURE_SUFFIXES: [&str; 4] = [
    ".azure-devices.net",
    ".azure-devices.us",
    ".azure-devices.cn",
    ".azure-devices.de",
];

/// A hub on the network, and what opens it.
pub(crate) struct FarHub {
    /// By the name that the hub knows itself by.
    host: HostAddress,
    /// Where to connect: the same, or a gateway.
    address: HostAddress,
    policy: String,
    key: SharedKey,
    name: ServerName<'static>,
    tls: TlsConnector,
}

/// Why a hub on the network cannot be asked, before it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FarHubError {
    /// The text is no connection string.
    #[error("the connection string of the hub is wrong")]
    ConnectionString(#[from] ConnectionStringError),
    /// It opens a device, not the hub.
    #[error("the connection string is that of a device: one of a policy has `SharedAccessKeyName`")]
    OfDevice,
    /// The host cannot be one.
    #[error("the connection string's `HostName` is no name of a host")]
    Host(#[from] InvalidDnsNameError),
    /// The file of certificates cannot be read.
    #[error("cannot read the certificates to trust")]
    CaFile(#[source] TextFileError),
    /// The file holds something else.
    #[error("`{}` holds no certificate in the PEM form that can be trusted", path.display())]
    CaContent {
        /// The file.
        path: PathBuf,
    },
    /// The system has no certificates.
    #[error("this system trusts no certificates")]
    NoRoots,
}

impl FarHub {
    /// The hub that a connection string leads to, trusted by the certificates of `ca`, else by those of the system.
    ///
    /// # Errors
    /// Any [`FarHubError`].
    pub(crate) fn open(connection_string: &str, ca: Option<&Path>) -> Result<Self, FarHubError> {
        Self::trusting(connection_string, roots(ca)?)
    }

    fn trusting(connection_string: &str, roots: RootCertStore) -> Result<Self, FarHubError> {
        let connection_string: ConnectionString = connection_string.parse()?;
        let address = connection_string.address().clone();
        let ConnectionString { host, party, .. } = connection_string;
        let Party::Policy { name: policy, key } = party else {
            return Err(FarHubError::OfDevice);
        };
        Ok(Self {
            name: ServerName::try_from(bare(&address).to_owned())?,
            tls: TlsConnector::from(Arc::new(tls_config(roots))),
            host,
            address,
            policy,
            key,
        })
    }

    /// The hub's name, with its port if that is not the usual one.
    pub(crate) fn host(&self) -> &HostAddress {
        &self.host
    }

    /// Whether it is Azure's, which offers less over HTTP than a hub of ours.
    pub(crate) fn is_azure(&self) -> bool {
        let host = self.host.name().to_ascii_lowercase();
        AZURE_SUFFIXES.iter().any(|suffix| host.ends_with(suffix))
    }

    /// Opens a connection. The time is the caller's to bound.
    ///
    /// # Errors
    /// [`ClientError::FarConnect`], [`ClientError::Untrusted`], [`ClientError::Handshake`].
    pub(crate) async fn connect(&self) -> Result<TlsStream<TcpStream>, ClientError> {
        let port = self.address.port().unwrap_or(HTTPS_PORT);
        let address = || format!("{}:{port}", self.address.name());
        let failed = |source| ClientError::FarConnect {
            address: address(),
            source,
        };
        let stream = TcpStream::connect((bare(&self.address), port))
            .await
            .map_err(failed)?;
        // Requests are small and each waits for its answer.
        stream.set_nodelay(true).map_err(failed)?;
        let shaken = self.tls.connect(self.name.clone(), stream).await;
        shaken.map_err(|source| match certificate_error(&source) {
            Some(certificate) => ClientError::Untrusted {
                address: address(),
                source: certificate,
            },
            None => ClientError::Handshake {
                address: address(),
                source,
            },
        })
    }

    /// The value of `Authorization` for a request made at `now`.
    pub(crate) fn authorization(&self, now: Timestamp) -> HeaderValue {
        let end = Timestamp::from_unix_millis(now.unix_millis().saturating_add(TOKEN_LIFE_MS));
        let token = shared_access::sign(&self.key, self.host.name(), end, Some(&self.policy));
        let mut value = HeaderValue::try_from(token).expect("everything in a token is encoded");
        value.set_sensitive(true);
        value
    }
}

/// Without the key.
impl fmt::Debug for FarHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FarHub")
            .field("host", &self.host)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// TLS towards a server that these certificates lead to.
pub(crate) fn tls_config(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The certificates to trust: those of a file, else those of the system.
///
/// # Errors
/// [`FarHubError::CaFile`], [`FarHubError::CaContent`], [`FarHubError::NoRoots`].
pub(crate) fn roots(ca: Option<&Path>) -> Result<RootCertStore, FarHubError> {
    match ca {
        Some(path) => roots_of_file(path),
        None => roots_of_system(),
    }
}

/// An IPv6 address without its brackets.
fn bare(address: &HostAddress) -> &str {
    let name = address.name();
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    bare.unwrap_or(name)
}

/// What TLS has against the hub's certificate, if that is why the handshake failed.
fn certificate_error(err: &io::Error) -> Option<rustls::Error> {
    let inner = err.get_ref()?.downcast_ref::<rustls::Error>()?;
    matches!(inner, rustls::Error::InvalidCertificate(_)).then(|| inner.clone())
}

fn roots_of_file(path: &Path) -> Result<RootCertStore, FarHubError> {
    let pem = text_file::read_bytes(path, CA_SIZE_MAX_BYTES).map_err(FarHubError::CaFile)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate.map(|certificate| roots.add(certificate));
        if !matches!(added, Ok(Ok(()))) {
            roots = RootCertStore::empty();
            break;
        }
    }
    match roots.is_empty() {
        true => Err(FarHubError::CaContent {
            path: path.to_owned(),
        }),
        false => Ok(roots),
    }
}

/// Those that cannot be read or used are passed over, as other programs do.
fn roots_of_system() -> Result<RootCertStore, FarHubError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(FarHubError::NoRoots),
        false => Ok(roots),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

    fn hub(host: &str) -> FarHub {
        let text = format!("HostName={host};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}");
        FarHub::trusting(&text, RootCertStore::empty()).unwrap()
    }

    #[test]
    fn a_token_is_signed_as_the_service_sdks_sign_theirs() {
        let value =
            hub("hub.test:8443").authorization(Timestamp::from_unix_millis(1_000_000_000_000));
        assert!(value.is_sensitive());
        assert_eq!(
            value.to_str().unwrap(),
            "SharedAccessSignature sr=hub.test&sig=b5Y2cZJy0bwQaHLtMEIQZskU96jyXNQqj0FZKmly0jk%3D&se=1000000600&skn=iothubowner"
        );
    }

    #[test]
    fn azures_hubs_are_known_by_their_names() {
        let check = |host, expected| assert_eq!(hub(host).is_azure(), expected, "{host}");
        check("contoso.azure-devices.net", true);
        check("Contoso.Azure-Devices.CN", true);
        check("azure-devices.net.example.com", false);
        check("localhost", false);
    }

    #[test]
    fn neither_an_error_nor_debug_output_has_the_key() {
        let check = |text: &str, expected: &str| {
            let err = FarHub::trusting(text, RootCertStore::empty()).unwrap_err();
            let shown = format!("{:#}", anyhow::Error::from(err));
            assert!(shown.contains(expected), "{shown}");
            assert!(
                !shown.contains("Njc4") && !shown.contains("secret"),
                "{shown}"
            );
        };
        check(
            &format!("HostName=h;DeviceId=d;SharedAccessKey={KEY}"),
            "is that of a device",
        );
        check(
            &format!("SharedAccessKeyName=p;SharedAccessKey={KEY}"),
            "`HostName`",
        );
        check(
            "HostName=h;SharedAccessKeyName=p;SharedAccessKey=secret!",
            "`SharedAccessKey`",
        );
        check("HostName=h;SharedAccessKeyName=p", "`SharedAccessKey`");
        check(
            &format!("HostName=-;SharedAccessKeyName=p;SharedAccessKey={KEY}"),
            "`HostName`",
        );
        assert!(!format!("{:?}", hub("h")).contains("Njc4"));
    }

    #[test]
    fn a_file_without_certificates_is_no_trust() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("ca.pem");
        for content in [
            "",
            "no pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            std::fs::write(&file, content).unwrap();
            let found = roots_of_file(&file);
            assert!(
                matches!(found, Err(FarHubError::CaContent { .. })),
                "{content}"
            );
        }
        let missing = roots_of_file(&folder.path().join("none"));
        assert!(matches!(missing, Err(FarHubError::CaFile(_))));
    }
}
