//! The way to a hub on the network: its REST face, with a token made for each request.
//!
//! Owns what a connection string, a file of trusted certificates and the environment's proxy come to. The key never leaves it: no error and no
//! debug output has it. Leaves connecting to the crate for what goes out, and HTTP, limits and times to the client.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use rustls::RootCertStore;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use wasm_edge_model::connection_string::{
    ConnectionString, ConnectionStringError, HostAddress, Party,
};
use wasm_edge_model::shared_access::{self, SharedKey};
use wasm_edge_model::time::Timestamp;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::dial::{DialError, Dialer, DialerOptions, Security};
use wasm_edge_net::proxy::{Proxy, ProxyError};
use wasm_edge_net::stream::Stream;
use wasm_edge_net::traffic::Counter;
use wasm_edge_net::trust::{self, TrustError};

use super::CONNECT_TIME_MAX_FAR;

/// The port of a hub whose connection string names none.
const HTTPS_PORT: u16 = 443;

/// How long a token is good for: as long as a request may take to arrive, with a clock that is wrong by minutes.
const TOKEN_LIFE: Duration = Duration::from_secs(10 * 60);

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
    dialer: Dialer,
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
    /// Nothing is known to trust the hub by.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The environment's proxy cannot be one.
    #[error("the proxy of the environment is wrong")]
    Proxy(#[from] ProxyError),
}

impl FarHub {
    /// The hub that a connection string leads to, trusted by the certificates of `ca`, else by those of the system.
    ///
    /// # Errors
    /// Any [`FarHubError`].
    pub(crate) fn open(connection_string: &str, ca: Option<&Path>) -> Result<Self, FarHubError> {
        Self::trusting(connection_string, trust::roots(ca)?, Proxy::from_env()?)
    }

    fn trusting(
        connection_string: &str,
        roots: RootCertStore,
        proxy: Option<Proxy>,
    ) -> Result<Self, FarHubError> {
        let connection_string: ConnectionString = connection_string.parse()?;
        let address = connection_string.address().clone();
        let ConnectionString { host, party, .. } = connection_string;
        let Party::Policy { name: policy, key } = party else {
            return Err(FarHubError::OfDevice);
        };
        ServerName::try_from(address.bare())?;
        Ok(Self {
            dialer: Dialer::new(DialerOptions {
                roots: Arc::new(roots),
                proxy,
                identity: None,
                clock: HubClock::new(None),
                connect_timeout: CONNECT_TIME_MAX_FAR,
            })?,
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

    /// Opens a connection.
    ///
    /// # Errors
    /// Any [`DialError`].
    pub(crate) async fn connect(&self) -> Result<Stream, DialError> {
        let port = self.address.port().unwrap_or(HTTPS_PORT);
        let counter = Counter::default();
        let dialing = self
            .dialer
            .dial(&self.address, port, Security::Tls, &counter);
        dialing.await
    }

    /// The value of `Authorization` for a request made at `now`.
    pub(crate) fn authorization(&self, now: Timestamp) -> HeaderValue {
        let end = now.after(TOKEN_LIFE);
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

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

    fn hub(host: &str) -> FarHub {
        let text = format!("HostName={host};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}");
        FarHub::trusting(&text, RootCertStore::empty(), None).unwrap()
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
            let err = FarHub::trusting(text, RootCertStore::empty(), None).unwrap_err();
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
}
