//! `run` at work: the root that builds the hub and its devices in one process, and ends them in order.
//!
//! [`run`] waits for signals and knows the operating system; the parts below do not.

mod apply;
pub(crate) mod console;
mod folder;
mod input;
mod narrator;
mod source;
pub(crate) mod target;
pub(crate) mod upstream;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasm_edge_daemon::agent::AgentSettings;
use wasm_edge_daemon::api;
use wasm_edge_daemon::api::socket::ControlSocket;
use wasm_edge_daemon::code::CodeStore;
use wasm_edge_daemon::config::Config;
use wasm_edge_daemon::device::{Device, DeviceConfig};
use wasm_edge_daemon::folder::DataFolder;
use wasm_edge_daemon::images::PRUNE_INTERVAL;
use wasm_edge_daemon::metrics::Metrics;
use wasm_edge_daemon::metrics::serve::MetricsServer;
use wasm_edge_daemon::supervisor::health::HealthChecks;
use wasm_edge_daemon::supervisor::life::RestartWaits;
use wasm_edge_daemon::upstream::Way;
use wasm_edge_hub::hub::{Hub, HubOptions};
use wasm_edge_hub::telemetry::StartAt;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::traffic::Counter;

use crate::args::run::RunArgs;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::live;
use crate::output::Output;
use crate::{config_file, data_folder, logins, metrics_server, registries, uploads};
use apply::Applied;
use console::Console;
use narrator::Narrator;
use target::Loaded;
use upstream::HubUpstream;
use watch::Watch;

/// The name by which devices know the hub in this process.
const HUB_HOST_NAME: &str = "localhost";

/// How long an orderly end may take in all.
const STOP_MAX: Duration = Duration::from_secs(10);

/// A running hub with its devices.
struct Running {
    hub: Hub,
    /// Carries out the hub's configurations; ends when the hub is closed.
    configurations: JoinHandle<()>,
    /// Lets images go that nobody uses, and what ends it.
    pruning: (JoinHandle<()>, CancellationToken),
    upstream: HubUpstream,
    devices: Vec<Device>,
    socket: ControlSocket,
    metrics: Option<MetricsServer>,
    _announcement: Option<live::Announcement>,
    code: CodeStore,
    _folder: Arc<DataFolder>,
}

/// Runs what the arguments name until it is told to stop.
pub(crate) async fn run(
    args: RunArgs,
    output: &Output,
    stop: CancellationToken,
) -> anyhow::Result<ExitStatus> {
    let config = logins::added_to(config_file::read(args.config.as_deref(), output)?, output);
    let compatibility = config.router.compatibility;
    let mut targets = Vec::new();
    let mut watched = Vec::new();
    for target in args.targets()? {
        let (target, source) = match source::built(target, &args, output, &stop).await? {
            Some(built) => built,
            None => return Ok(ExitStatus::Interrupted),
        };
        targets.push(Loaded::read(target.clone(), &args, compatibility, output)?);
        watched.push((target, source));
    }
    if args.watch && targets.iter().all(|target| target.is_image) {
        return Err(target::nothing_to_watch().into());
    }
    let path = folder::of(&args, &targets)?;
    let folder = Arc::new(data_folder::open(&path)?);
    let (running, console) = start(folder, &targets, &args, &config, output, stop.clone()).await?;
    let narrator = Narrator::open(&running.devices, output);
    let applied = apply::apply(&running, &targets, &args, output, &stop).await;
    let ended = match applied {
        Ok(Applied::Interrupted) => Ok(ExitStatus::Interrupted),
        Ok(Applied::Set) => {
            let watch = args
                .watch
                .then(|| Watch::new(watched, &targets, &running, &args, output));
            let watching = watch::run(watch);
            tokio::select! {
                ended = wait(&running, &targets, &args, output, &stop) => ended,
                failed = watching => Err(failed),
            }
        }
        Err(err) => Err(err),
    };
    let begun = Instant::now();
    let orderly = tokio::time::timeout(STOP_MAX, running.stop()).await.is_ok();
    narrator.close().await;
    console.close().await;
    if !orderly {
        let what = format!("not everything ended within {} s", STOP_MAX.as_secs());
        return ended.and(Err(Failure::new(ExitStatus::Failure, what).into()));
    }
    tracing::info!(took = ?begun.elapsed(), "ended in order");
    ended
}

async fn start(
    folder: Arc<DataFolder>,
    targets: &[Loaded],
    args: &RunArgs,
    config: &Config,
    output: &Output,
    stop: CancellationToken,
) -> anyhow::Result<(Running, Console)> {
    let code = CodeStore::open(&folder.precompiled()?)?;
    let registry = registries::open(config, HubClock::new(None), Counter::default(), output)?;
    let images = registries::supply(&folder, config, registry)?;
    let hub = Hub::open(&folder.hub()?, hub_options(args)).await?;
    let upstream = HubUpstream::new(hub.clone());
    let own_folder = std::fs::canonicalize(folder.path())?;
    let way = Way::Embedded(Arc::new(upstream.clone()));
    let mut devices = Vec::new();
    for target in targets {
        hub.ensure_device(&target.device).await?;
        let device = Device::start(DeviceConfig {
            device: target.device.clone(),
            folder: folder.device(&target.device)?,
            own_folder: own_folder.clone(),
            upstream: way.clone(),
            code: code.clone(),
            images: images.clone(),
            restart_waits: RestartWaits {
                first: args.restart_wait,
                ..RestartWaits::default()
            },
            health_checks: HealthChecks::default(),
            agent: agent_settings(args, config),
            router: config.router,
            uploads: uploads::of(folder.path(), HubClock::new(None)),
            ledger: None,
        });
        let device = device.with_context(|| format!("cannot start the device `{}`", target.device));
        devices.push(device?);
    }
    let views: Vec<_> = devices.iter().map(|device| device.view().clone()).collect();
    let console = Console::open(
        output.clone(),
        &views,
        Some(hub.telemetry(StartAt::Latest)?),
        stop,
    );
    let counted = Metrics::new(views.clone(), HUB_HOST_NAME.to_owned(), folder.path());
    let router = api::router(views, HUB_HOST_NAME.to_owned(), &own_folder, code.clone())
        .merge(api::images::router(images.clone()))
        .merge(hub.rest());
    let socket = ControlSocket::serve(&folder, router).context("cannot open the control socket")?;
    let metrics = metrics_server::start(&config.metrics, counted).await?;
    let announcement = live::announce(folder.path(), output);
    let stop_pruning = CancellationToken::new();
    let pruning = images.keep(PRUNE_INTERVAL, stop_pruning.clone());
    let running = Running {
        configurations: tokio::spawn(carry_out_configurations(hub.clone())),
        hub,
        pruning: (tokio::spawn(pruning), stop_pruning),
        upstream,
        devices,
        socket,
        metrics,
        code,
        _announcement: announcement,
        _folder: folder,
    };
    Ok((running, console))
}

async fn carry_out_configurations(hub: Hub) {
    hub.run_configurations().await;
}

fn agent_settings(args: &RunArgs, config: &Config) -> AgentSettings {
    AgentSettings {
        // Whoever reaches the hub of this process is its user.
        file_images: true,
        health_timeout: args.health_timeout,
        memory_max_bytes: config.policy.memory_max_bytes,
        ..AgentSettings::default()
    }
}

fn hub_options(args: &RunArgs) -> HubOptions {
    HubOptions {
        retention: args.retention.retention(),
        ..HubOptions::new(HUB_HOST_NAME)
    }
}

/// Waits for the end that the arguments ask for.
async fn wait(
    running: &Running,
    targets: &[Loaded],
    args: &RunArgs,
    output: &Output,
    stop: &CancellationToken,
) -> anyhow::Result<ExitStatus> {
    let time_over = async {
        match args.run_for {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    let component = targets
        .iter()
        .zip(&running.devices)
        .find_map(|(target, device)| Some((target.component.as_ref()?, device.injector())));
    let fed = async {
        match (&args.input, component) {
            (Some(file), Some((module, injector))) => {
                let status = input::feed(file, module, &injector, output).await?;
                if args.run_for.is_some() || args.watch {
                    std::future::pending::<()>().await;
                }
                Ok(status)
            }
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stop.cancelled() => Ok(ExitStatus::Ok),
        () = time_over => Ok(ExitStatus::Ok),
        fed = fed => fed,
    }
}

impl Running {
    /// Ends in order: devices, which let their modules finish; the socket; the hub.
    async fn stop(self) {
        let Self {
            hub,
            configurations,
            pruning: (pruning, stop_pruning),
            upstream,
            devices,
            socket,
            metrics,
            code: _,
            _announcement,
            _folder,
        } = self;
        drop(_announcement);
        stop_pruning.cancel();
        if let Some(metrics) = metrics {
            metrics.close().await;
        }
        futures_util::future::join_all(devices.into_iter().map(Device::stop)).await;
        hub.close();
        if let Err(err) = configurations.await {
            tracing::error!(%err, "carrying out configurations failed");
        }
        if let Err(err) = pruning.await {
            tracing::error!(%err, "letting images go failed");
        }
        upstream.ended().await;
        socket.close().await;
        hub.ended().await;
    }
}
