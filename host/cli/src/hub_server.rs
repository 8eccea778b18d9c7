//! `hub serve` at work: the root that builds a hub on the network and ends it in order.
//!
//! Signals come from the command; a hangup lets the server read its certificate again.

mod folder;
mod forwarding;
mod info;
mod listening;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use wasm_edge_daemon::api::socket::ControlSocket;
use wasm_edge_hub::error::HubError;
use wasm_edge_hub::hub::Hub;
use wasm_edge_hub::server::{Certificates, Ending};
use wasm_edge_hub::store::embedded::DATABASE_FILE;
use wasm_edge_model::error::chain;

use crate::args::hub::serve::ServeArgs;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::{data_folder, live};

pub(crate) use folder::of as hub_folder;
use forwarding::Forwards;

/// How long an orderly end may take in all.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Serves a hub until it is told to stop.
pub(crate) async fn serve(
    args: &ServeArgs,
    data_dir: Option<PathBuf>,
    output: &Output,
    stop: CancellationToken,
) -> anyhow::Result<ExitStatus> {
    let forwards = Forwards::read(args)?;
    // From now on, so that a hangup while it starts does not end it.
    let hangups = signal(SignalKind::hangup())?;
    let folder = data_folder::open(&folder::of(data_dir)?)?;
    let hub_folder = folder.hub()?;
    let first_start = hub_folder.entries()?.next().is_none();
    let hub = Hub::open(&hub_folder, args.hub_options()).await;
    let hub = hub.map_err(|err| not_opened(err, folder.path()))?;
    let forwarding = forwards.start(&hub, &stop).await?;
    let server = listening::bind(&hub, &folder, args, output).await?;
    let certificates = server.certificates();
    let path = std::fs::canonicalize(folder.path())?;
    let policies = hub.access_policies().await?;
    let info = info::Info::of(&hub, &server, args, &path);
    let router = hub.rest().merge(hub.operations()).merge(info.route());
    let socket = ControlSocket::serve(&folder, router).context("cannot open the control socket")?;
    let announcement = live::announce(folder.path(), output);
    let mut serving = tokio::spawn(server.run(stop.clone()));
    let told = info.tell(&policies, first_start, output);
    if told.is_err() {
        stop.cancel();
    }
    let begun = tokio::select! {
        begun = stopped(&stop) => begun,
        () = reload_at(hangups, &certificates) => unreachable!("hangups never end"),
    };
    drop(announcement);
    let ending = async {
        let ending = (&mut serving).await.context("the server failed");
        forwarding.stop().await;
        socket.close().await;
        hub.ended().await;
        ending
    };
    let ended = tokio::time::timeout(STOP_MAX, ending).await;
    told?;
    let Ok(ended) = ended else {
        let what = format!("not everything ended within {} s", STOP_MAX.as_secs());
        return Err(Failure::new(ExitStatus::Failure, what).into());
    };
    match ended? {
        Ending::Orderly => tracing::info!(took = ?begun.elapsed(), "ended in order"),
        Ending::Cut(connections) => {
            tracing::info!(took = ?begun.elapsed(), connections, "ended in order; connections were cut off");
        }
    }
    Ok(ExitStatus::Ok)
}

/// Why the hub does not open; where its database is damaged, what to do about it.
fn not_opened(err: HubError, folder: &Path) -> anyhow::Error {
    if !err.is_damage() {
        return err.into();
    }
    let file = folder.join("hub").join(DATABASE_FILE);
    let what = format!("the hub's database `{}` cannot be used", file.display());
    Failure::new(ExitStatus::BadConfig, what)
        .hint("put a copy of it back; moved away by hand, the hub begins anew, without devices and with other keys")
        .caused_by(err)
        .into()
}

/// Waits for the end to begin; answers when that was.
async fn stopped(stop: &CancellationToken) -> Instant {
    stop.cancelled().await;
    Instant::now()
}

/// Reads the certificate again at each hangup.
async fn reload_at(mut hangups: Signal, certificates: &Certificates) {
    while hangups.recv().await.is_some() {
        match certificates.reload().await {
            Ok(()) => tracing::info!("the certificate was read again"),
            Err(err) => {
                let error = chain(&err);
                tracing::error!(
                    error,
                    "the certificate was not read again, and the old one stays"
                );
            }
        }
    }
    std::future::pending().await
}
