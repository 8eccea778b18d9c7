//! What is put under load, and how it is reached: a hub by its connection string, a broker by its address.
//!
//! Owns addresses, certificates and what is trusted. Leaves starting processes to `server`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use wasm_edge_model::connection_string::{ConnectionString, Party};
use wasm_edge_net::trust;

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

impl Hub {
    /// The hub of a connection string, whose devices connect to `mqtt_port`; it is known by the certificates in `ca`,
    /// or by those that the system trusts.
    pub(super) async fn of_connection_string(
        text: &str,
        mqtt_port: u16,
        ca: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let ConnectionString { host, party, .. } = text.parse()?;
        let Party::Policy { name, key } = party else {
            bail!("the connection string is a device's; the load needs one of a policy");
        };
        let tls = trusting(ca)?;
        let https_port = host.port().unwrap_or(HTTPS_PORT);
        Ok(Self {
            mqtt: endpoint(host.name(), mqtt_port, &tls).await?,
            service: Arc::new(Service {
                endpoint: endpoint(host.name(), https_port, &tls).await?,
                token: service::token(host.name(), &key, Some(&name)),
                host_name: host.name().to_owned(),
            }),
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
    let roots = trust::roots(ca).with_context(|| match ca {
        Some(file) => format!("cannot read certificates of `{}`", file.display()),
        None => "there is no certificate to trust".to_owned(),
    })?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
