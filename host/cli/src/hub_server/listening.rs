//! Where the server listens, and what a person can do when it cannot.

use std::io;
use std::net::TcpListener;

use wasm_edge_daemon::folder::DataFolder;
use wasm_edge_hub::hub::Hub;
use wasm_edge_hub::server::certificate::CertificateSource;
use wasm_edge_hub::server::{Server, ServerError, ServerOptions};

use crate::args::hub::serve::{HTTPS_PORT, HTTPS_PORT_UNPRIVILEGED, Ipv6, ServeArgs};
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;

/// Listens as the arguments say; where the usual port of HTTPS is not permitted, on another one.
pub(super) async fn bind(
    hub: &Hub,
    folder: &DataFolder,
    args: &ServeArgs,
    output: &Output,
) -> anyhow::Result<Server> {
    let folder = folder.hub()?;
    let ipv6 = ipv6();
    let port = args.https_port.unwrap_or(HTTPS_PORT);
    let mut options = options(args, port, ipv6);
    let bound = Server::bind(hub.clone(), &folder, options.clone()).await;
    let bound = match bound {
        Err(err) if args.https_port.is_none() && is_port_refused(&err) => {
            output.warn(&format!(
                "port {HTTPS_PORT} is not permitted: HTTPS takes {HTTPS_PORT_UNPRIVILEGED}, where SDKs do not look for it"
            ));
            options.https = args.https(HTTPS_PORT_UNPRIVILEGED, ipv6);
            Server::bind(hub.clone(), &folder, options).await
        }
        bound => bound,
    };
    bound.map_err(|err| failure(err).into())
}

fn options(args: &ServeArgs, https_port: u16, ipv6: Ipv6) -> ServerOptions {
    let certificate = match (&args.certificate, &args.key) {
        (Some(chain), Some(key)) => CertificateSource::Files {
            chain: chain.clone(),
            key: key.clone(),
        },
        _ => CertificateSource::Authority {
            names: args.certificate_names(),
        },
    };
    ServerOptions {
        mqtt: args.mqtt(ipv6),
        https: args.https(https_port, ipv6),
        metrics: args.metrics.clone(),
        certificate,
        client_authorities: args.client_authorities.clone(),
        limits: args.limits(),
    }
}

/// Whether this machine has IPv6: containers often have not.
fn ipv6() -> Ipv6 {
    match TcpListener::bind("[::1]:0") {
        Ok(_) => Ipv6::Present,
        Err(_) => Ipv6::Absent,
    }
}

/// Whether the port of HTTPS was refused for want of rights.
fn is_port_refused(err: &ServerError) -> bool {
    matches!(
        err,
        ServerError::Listen { address, source, .. }
            if address.port() == HTTPS_PORT && source.kind() == io::ErrorKind::PermissionDenied
    )
}

fn failure(err: ServerError) -> Failure {
    let what = "cannot serve the hub";
    let (status, hint) = match &err {
        ServerError::Listen { source, .. } => (ExitStatus::Failure, listen_hint(source.kind())),
        ServerError::Certificate(_) | ServerError::ClientAuthorities(_) => {
            (ExitStatus::BadConfig, None)
        }
        _ => (ExitStatus::Failure, None),
    };
    let failure = Failure::new(status, what).caused_by(err);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn listen_hint(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::AddrInUse => Some(
            "another program has the port: `--mqtt-port PORT` and `--https-port PORT` take others, 0 a free one",
        ),
        io::ErrorKind::PermissionDenied => Some(
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE; without it, take others by `--mqtt-port` and `--https-port`",
        ),
        io::ErrorKind::AddrNotAvailable => {
            Some("this machine does not have the address: `--listen ADDRESS` takes another one")
        }
        _ => None,
    }
}
