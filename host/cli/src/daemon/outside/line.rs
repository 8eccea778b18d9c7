//! What connects, as the configuration says: whom to trust, through which proxy, as whom.

use std::sync::Arc;

use wasm_edge_daemon::config::Config;
use wasm_edge_daemon::config::hub::{ProxyConfig, ProxySource};
use wasm_edge_model::connection_string::HostAddress;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::dial::{Dialer, DialerOptions, Security};
use wasm_edge_net::http::HttpOptions;
use wasm_edge_net::proxy::{PROXY_MAX_BYTES, Proxy, ProxyError};
use wasm_edge_net::traffic::Counter;
use wasm_edge_net::trust::{self, ClientIdentity};

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::text_file::{self, TextFileError};

/// What connects.
pub(crate) struct Dialers {
    /// The device itself, which may show a certificate.
    pub(crate) device: Dialer,
    /// Its modules, which have keys.
    pub(crate) modules: Dialer,
}

impl Dialers {
    /// As the configuration says. Blocks while it reads files.
    ///
    /// # Errors
    /// What it names cannot be used.
    pub(crate) fn of(
        config: &Config,
        certificate: Option<ClientIdentity>,
        clock: HubClock,
    ) -> Result<Self, Failure> {
        let roots = trust::roots(config.hub.ca_file.as_deref()).map_err(|err| {
            let failure = bad("nothing is known to trust the hub by", err);
            failure.hint("`ca_file` in `[hub]` names a file of certificates (PEM)")
        })?;
        let roots = Arc::new(roots);
        let proxy = proxy(&config.proxy)?;
        let dialer = |identity| {
            let options = DialerOptions {
                roots: Arc::clone(&roots),
                proxy: proxy.clone(),
                identity,
                clock: clock.clone(),
                connect_timeout: config.hub.connect_timeout,
            };
            Dialer::new(options).map_err(|err| bad("the device's certificate cannot be used", err))
        };
        let modules = dialer(None)?;
        let device = match certificate {
            Some(certificate) => dialer(Some(certificate))?,
            None => modules.clone(),
        };
        Ok(Self { device, modules })
    }
}

/// A client of HTTPS; its limits are its user's.
pub(super) fn https(
    dialer: &Dialer,
    host: &HostAddress,
    port: u16,
    counter: Counter,
) -> HttpOptions {
    HttpOptions {
        dialer: dialer.clone(),
        host: host.clone(),
        port,
        security: Security::Tls,
        counter,
        answer_timeout: std::time::Duration::ZERO,
        answer_max_bytes: 0,
    }
}

/// The proxy of the configuration, else that of the environment, if there is one.
///
/// # Errors
/// What is named is no proxy.
pub(crate) fn proxy(config: &ProxyConfig) -> Result<Option<Proxy>, Failure> {
    let proxy = match &config.proxy {
        Some(ProxySource::Inline(proxy)) => Some(proxy.clone()),
        Some(ProxySource::File(path)) => {
            let text =
                text_file::read(path, PROXY_MAX_BYTES + 2).map_err(TextFileError::into_failure)?;
            let proxy = text.trim().parse().map_err(|err: ProxyError| {
                bad(&format!("`{}` holds no proxy", path.display()), err)
            })?;
            Some(proxy)
        }
        None => Proxy::from_env()
            .map_err(|err| bad("the proxy that the environment names cannot be used", err))?,
    };
    Ok(proxy.map(|proxy| match &config.exceptions {
        Some(exceptions) => proxy.except(exceptions.clone()),
        None => proxy,
    }))
}

fn bad(what: &str, err: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::new(ExitStatus::BadConfig, what).caused_by(err)
}
