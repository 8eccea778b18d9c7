//! What is put under load, and how it is reached: a hub by its connection string, a broker by its address.
//!
//! Owns addresses, certificates and what is trusted. Leaves starting processes to `server`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::connection::Endpoint;
use super::service::{self, Service};

/// The port of MQTT over TLS.
const MQTT_PORT: u16 = 8883;

/// The port of HTTPS.
const HTTPS_PORT: u16 = 443;

/// A hub: where devices connect, and its service.
pub(super) struct Hub {
    pub(super) mqtt: Endpoint,
    pub(super) service: Arc<Service>,
}

/// The parts of a service connection string.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ConnectionString {
    host_name: String,
    https_port: u16,
    policy: String,
    key: Vec<u8>,
}

impl Hub {
    /// The hub of a connection string, whose devices connect to `mqtt_port`; it is known by the certificates in `ca`,
    /// or by those that the system trusts.
    pub(super) async fn of_connection_string(
        text: &str,
        mqtt_port: u16,
        ca: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let ConnectionString {
            host_name,
            https_port,
            policy,
            key,
        } = ConnectionString::parse(text)?;
        let tls = trusting(ca)?;
        Ok(Self {
            mqtt: endpoint(&host_name, mqtt_port, &tls).await?,
            service: Arc::new(Service {
                endpoint: endpoint(&host_name, https_port, &tls).await?,
                token: service::token(&host_name, &key, Some(&policy))?,
                host_name,
            }),
        })
    }
}

impl ConnectionString {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let field = |name: &str| {
            let mut fields = text.trim().split(';').filter_map(|it| it.split_once('='));
            let found = fields.find(|(key, _)| *key == name);
            found
                .map(|(_, value)| value)
                .with_context(|| format!("the connection string has no `{name}`"))
        };
        let host = field("HostName")?;
        let (host_name, https_port) = match host.rsplit_once(':') {
            Some((name, port)) => (name, port.parse().context("`HostName` has no port")?),
            None => (host, HTTPS_PORT),
        };
        let key = BASE64.decode(field("SharedAccessKey")?);
        Ok(Self {
            host_name: host_name.to_owned(),
            https_port,
            policy: field("SharedAccessKeyName")?.to_owned(),
            key: key.context("`SharedAccessKey` is no base64")?,
        })
    }
}

/// A broker at `HOST:PORT`, or at the usual port.
pub(super) async fn broker(address: &str, ca: Option<&Path>) -> anyhow::Result<Endpoint> {
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) => {
            let port = port.parse();
            (
                host,
                port.with_context(|| format!("`{address}` has no port"))?,
            )
        }
        None => (address, MQTT_PORT),
    };
    endpoint(host, port, &trusting(ca)?).await
}

async fn endpoint(host: &str, port: u16, tls: &Arc<ClientConfig>) -> anyhow::Result<Endpoint> {
    let addresses = tokio::net::lookup_host((host, port))
        .await
        .with_context(|| format!("`{host}` is not known"))?;
    // The first one that listens; `localhost` may have two of which one does.
    let mut address = None;
    for next in addresses {
        address = Some(next);
        if tokio::net::TcpStream::connect(next).await.is_ok() {
            break;
        }
    }
    Ok(Endpoint {
        address: address.with_context(|| format!("`{host}` has no address"))?,
        name: ServerName::try_from(host.to_owned())?,
        tls: Arc::clone(tls),
    })
}

/// TLS as a client has it that was never here before: nothing of an earlier session is used.
fn trusting(ca: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(file) => {
            let found = CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .with_context(|| format!("cannot read certificates of `{}`", file.display()))?;
            for certificate in found {
                roots.add(certificate)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    ensure!(!roots.is_empty(), "there is no certificate to trust");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_names_host_port_policy_and_key() {
        let check = |text: &str, expected: Result<(&str, u16), &str>| {
            let parsed = ConnectionString::parse(text);
            let parsed = parsed.map(|it| (it.host_name, it.https_port));
            match (parsed, expected) {
                (Ok((name, port)), Ok(expected)) => assert_eq!((name.as_str(), port), expected),
                (Err(err), Err(expected)) => assert!(err.to_string().contains(expected), "{err}"),
                (parsed, expected) => panic!("{parsed:?}, not {expected:?}"),
            }
        };
        let key = "SharedAccessKeyName=service;SharedAccessKey=a2V5";
        check(&format!("HostName=h;{key}"), Ok(("h", 443)));
        check(&format!("HostName=h:9443;{key}\n"), Ok(("h", 9443)));
        check(&format!("HostName=h:x;{key}"), Err("no port"));
        check(key, Err("no `HostName`"));
        check(
            "HostName=h;SharedAccessKey=a2V5",
            Err("SharedAccessKeyName"),
        );
        check(
            "HostName=h;SharedAccessKeyName=s;SharedAccessKey=!",
            Err("no base64"),
        );
    }
}
