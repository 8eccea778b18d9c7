//! Forwarding of telemetry to the brokers of `--forward`, beside the hub that is served.
//!
//! Addresses hold passwords: what is wrong with one is told without it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::RootCertStore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wasm_edge_hub::forward::Forwarder;
use wasm_edge_hub::forward::target::{ForwardTarget, TARGET_MAX_BYTES};
use wasm_edge_hub::hub::Hub;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::dial::{Dialer, DialerOptions};
use wasm_edge_net::trust;

use crate::args::far_hub::Secret;
use crate::args::hub::serve::ServeArgs;
use crate::client::CONNECT_TIME_MAX_FAR;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::text_file;

/// Most brokers: each reads the telemetry for itself.
const FORWARDS_MAX: usize = 8;

/// Room for white space around the address of a file.
const FILE_MAX_BYTES: usize = TARGET_MAX_BYTES + 1024;

/// Where to forward to, as far as arguments tell.
pub(super) struct Forwards {
    targets: Vec<ForwardTarget>,
    dialer: Dialer,
}

/// Forwarders at work.
pub(super) struct Forwarding {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Forwards {
    /// Reads the addresses, and the certificates by which brokers are trusted where one is to be.
    ///
    /// # Errors
    /// What is wrong with an address or a certificate.
    pub(super) fn read(args: &ServeArgs) -> Result<Self, Failure> {
        let mut targets: Vec<ForwardTarget> = Vec::new();
        for given in &args.forward {
            let target = address(given)?.parse::<ForwardTarget>().map_err(|err| {
                let failure = Failure::new(ExitStatus::InvalidInput, "`--forward` names no broker");
                failure.caused_by(err)
            })?;
            if targets
                .iter()
                .any(|other| other.to_string() == target.to_string())
            {
                return Err(refused(format!("`--forward` names `{target}` twice")));
            }
            targets.push(target);
        }
        if targets.len() > FORWARDS_MAX {
            return Err(refused(format!(
                "`--forward` is given more than {FORWARDS_MAX} times"
            )));
        }
        let needs_tls = targets.iter().any(ForwardTarget::is_tls);
        let roots = match needs_tls {
            true => roots(args.forward_ca.as_deref())?,
            false => RootCertStore::empty(),
        };
        let dialer = Dialer::new(DialerOptions {
            roots: Arc::new(roots),
            // Brokers are not behind one: what a proxy is for is the way to HTTPS.
            proxy: None,
            identity: None,
            clock: HubClock::new(None),
            connect_timeout: CONNECT_TIME_MAX_FAR,
        })
        .expect("without a certificate of one's own nothing can be wrong with it");
        Ok(Self { targets, dialer })
    }

    /// Notes where each stands, so that nothing is missed that comes from now on, and begins.
    ///
    /// # Errors
    /// When the hub cannot note it.
    pub(super) async fn start(
        self,
        hub: &Hub,
        stop: &CancellationToken,
    ) -> anyhow::Result<Forwarding> {
        let mut tasks = JoinSet::new();
        let stop = stop.child_token();
        for target in self.targets {
            let shown = target.to_string();
            let forwarder = Forwarder::open(hub.clone(), target, self.dialer.clone()).await;
            let forwarder = forwarder.with_context(|| format!("cannot forward to `{shown}`"))?;
            tasks.spawn(forwarder.run(stop.clone()));
        }
        Ok(Forwarding { tasks, stop })
    }
}

impl Forwarding {
    /// Ends them; how far each got is on disk then.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if ended.is_err() {
                tracing::error!("a task that forwards telemetry failed");
            }
        }
    }
}

/// The address itself, or that of the file after `@`.
fn address(given: &Secret) -> Result<String, Failure> {
    let Some(file) = given.reveal().strip_prefix('@') else {
        return Ok(given.reveal().to_owned());
    };
    let read = text_file::read(Path::new(file), FILE_MAX_BYTES);
    let text = read.map_err(|err| err.into_input_failure("cannot read the address of a broker"))?;
    Ok(text.trim().to_owned())
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, Failure> {
    trust::roots(ca).map_err(|err| {
        Failure::new(ExitStatus::InvalidInput, "brokers cannot be trusted").caused_by(err)
    })
}

fn refused(what: String) -> Failure {
    Failure::new(ExitStatus::InvalidInput, what)
}
