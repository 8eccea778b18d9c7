//! `daemon` at work: the root that builds one device of a hub elsewhere, or of none, and ends it in order.
//!
//! `run --hub` is the same device in the foreground. Signals and threads come from the command; what a service manager
//! is told is in [`notify`], watching over the parts in [`watch`].

pub(crate) mod check;
mod deployment;
mod notify;
pub(crate) mod outside;
mod pid_file;
mod told;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasm_edge_daemon::agent::AgentSettings;
use wasm_edge_daemon::api::socket::ControlSocket;
use wasm_edge_daemon::api::{self, DeviceView};
use wasm_edge_daemon::code::CodeStore;
use wasm_edge_daemon::config::Config;
use wasm_edge_daemon::device::{Device, DeviceConfig};
use wasm_edge_daemon::folder::DataFolder;
use wasm_edge_daemon::images::PRUNE_INTERVAL;
use wasm_edge_daemon::metrics::Metrics;
use wasm_edge_daemon::metrics::serve::MetricsServer;
use wasm_edge_daemon::supervisor::health::HealthChecks;
use wasm_edge_daemon::supervisor::life::RestartWaits;
use wasm_edge_daemon::timekeeping::Timekeeper;

use self::notify::ServiceManager;
use self::outside::Outside;
use self::pid_file::PidFile;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::{data_folder, live, metrics_server, registries, uploads};

/// How long an orderly end may take in all: modules get their grace, and what waits for the hub some seconds.
const STOP_MAX: Duration = Duration::from_secs(30);

/// How long the start may take before the service manager gives up: stores are opened and checked after a power cut.
const START_MAX: Duration = Duration::from_secs(120);

/// Under which name the traffic of uploads is counted.
const UPLOADS_TRAFFIC: &str = "(uploads)";

/// What the command line says beside the configuration.
pub(crate) struct DaemonOptions {
    /// The data folder.
    pub(crate) data_dir: PathBuf,
    /// Where to write the process id.
    pub(crate) pid_file: Option<PathBuf>,
    /// After which time to end in order, counted from when the device runs.
    pub(crate) run_for: Option<Duration>,
    /// Waits between restarts of a module, where its manifest says nothing.
    pub(crate) restart_waits: RestartWaits,
}

/// Runs the device of a configuration until it is told to stop. `started` is told of each device that was started: it is
/// another one when a service has moved it to another hub.
pub(crate) async fn run(
    config: Config,
    options: DaemonOptions,
    output: &Output,
    stop: CancellationToken,
    mut started: impl FnMut(&DeviceView),
) -> anyhow::Result<ExitStatus> {
    // From now on, so that a hangup does not end it.
    let mut hangups = signal(SignalKind::hangup())?;
    let manager = ServiceManager::of_environment();
    manager.starting("starting", START_MAX);
    let folder = Arc::new(data_folder::open(&options.data_dir)?);
    let start = || Running::start(&config, &options, Arc::clone(&folder), &manager, output);
    let mut running = tokio::select! {
        running = start() => running?,
        () = stop.cancelled() => return Ok(ExitStatus::Ok),
    };
    let pid_file = options.pid_file.as_deref().map(PidFile::write);
    let _pid_file = match pid_file.transpose() {
        Ok(pid_file) => pid_file,
        Err(err) => {
            running.stop().await;
            return Err(err.into());
        }
    };
    loop {
        started(running.device.view());
        manager.ready();
        tracing::info!(device = %running.device.view().device, "the device runs");
        let ended = tokio::select! {
            () = stop.cancelled() => Ok(ExitStatus::Ok),
            () = over(options.run_for) => Ok(ExitStatus::Ok),
            failed = watch::over(&running, &manager) => Err(failed.into()),
            () = running.outside.reassigned() => {
                tracing::info!("the device belongs elsewhere now, and starts anew there");
                manager.starting("moving to another hub", STOP_MAX + START_MAX);
                running.stop_in_time().await?;
                running = tokio::select! {
                    running = start() => running?,
                    () = stop.cancelled() => return Ok(ExitStatus::Ok),
                };
                continue;
            }
            () = reload_at(&mut hangups, &config, &running.device, output) => unreachable!("hangups never end"),
        };
        let begun = Instant::now();
        manager.stopping(STOP_MAX);
        match running.stop_in_time().await {
            Ok(()) => tracing::info!(took = ?begun.elapsed(), "ended in order"),
            Err(late) => return ended.and(Err(late.into())),
        }
        return ended;
    }
}

/// Ends after this time, if there is one.
async fn over(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Takes over the deployment of a device without a hub at each hangup, if its file is another one now. All else is read
/// at the start alone.
async fn reload_at(hangups: &mut Signal, config: &Config, device: &Device, output: &Output) {
    while hangups.recv().await.is_some() {
        match deployment::read(config, output) {
            Ok(Some(deployment)) => {
                if let Err(err) = deployment.apply(device).await {
                    tracing::error!(
                        err = format!("{err:#}"),
                        "the deployment's file changes nothing"
                    );
                }
            }
            Ok(None) => {
                tracing::info!("the configuration is read at the start: a restart reads it again")
            }
            Err(err) => {
                tracing::error!(
                    err = format!("{err:#}"),
                    "the deployment's file changes nothing"
                );
            }
        }
    }
    std::future::pending().await
}

/// The running device.
struct Running {
    device: Device,
    outside: Outside,
    socket: ControlSocket,
    metrics: Option<MetricsServer>,
    announcement: Option<live::Announcement>,
    /// What goes on beside the device: keeping the time, waiting for the clock.
    tasks: TaskTracker,
    stop_tasks: CancellationToken,
}

impl Running {
    async fn start(
        config: &Config,
        options: &DaemonOptions,
        folder: Arc<DataFolder>,
        manager: &ServiceManager,
        output: &Output,
    ) -> anyhow::Result<Self> {
        let timekeeper = Timekeeper::open(Arc::clone(&folder));
        let (tasks, stop_tasks) = (TaskTracker::new(), CancellationToken::new());
        let deployment = deployment::read(config, output)?;
        let mut outside = Outside::open(config, &folder, timekeeper.clock(), manager).await?;
        let (clock, proxies) = (timekeeper.clock(), config.proxy.clone());
        let proxy = move || Ok(outside::line::proxy(&proxies)?);
        let code = CodeStore::open(&folder.precompiled()?)?;
        let own_folder = std::fs::canonicalize(folder.path())?;
        let id = outside.device().clone();
        let ledger = outside.ledger();
        let counter = ledger.counter(UPLOADS_TRAFFIC);
        let images_counter = ledger.counter(registries::IMAGES_TRAFFIC);
        let registry = registries::open(config, clock.clone(), images_counter, output)?;
        let images = registries::supply(&folder, config, registry)?;
        let device = Device::start(DeviceConfig {
            device: id.clone(),
            folder: folder.device(&id)?,
            own_folder: own_folder.clone(),
            upstream: outside.way(),
            code: code.clone(),
            images: images.clone(),
            restart_waits: options.restart_waits,
            health_checks: HealthChecks::default(),
            agent: agent_settings(config),
            router: config.router,
            uploads: uploads::through(folder.path(), proxy, clock, counter),
            ledger: Some(ledger),
        });
        let device = device.with_context(|| format!("cannot start the device `{id}`"))?;
        tasks.spawn(told::log(device.agent().progress(), stop_tasks.clone()));
        if let Some(deployment) = deployment {
            deployment.apply(&device).await?;
        }
        device.agent().follow();
        let router = api::router(
            vec![device.view().clone()],
            outside.host_name(),
            &own_folder,
            code,
        )
        .merge(api::images::router(images.clone()));
        let socket =
            ControlSocket::serve(&folder, router).context("cannot open the control socket")?;
        let view = vec![device.view().clone()];
        let counted = Metrics::new(view, outside.host_name(), folder.path());
        let metrics = metrics_server::start(&config.metrics, counted).await?;
        let announcement = live::announce_service(folder.path());
        tasks.spawn(timekeeper.keep(stop_tasks.clone()));
        tasks.spawn(images.keep(PRUNE_INTERVAL, stop_tasks.clone()));
        outside.spawn(&tasks, &stop_tasks);
        tasks.close();
        Ok(Self {
            device,
            outside,
            socket,
            metrics,
            announcement,
            tasks,
            stop_tasks,
        })
    }

    /// Ends in order, within [`STOP_MAX`].
    ///
    /// # Errors
    /// What goes on after that time.
    async fn stop_in_time(self) -> Result<(), Failure> {
        let stopped = tokio::time::timeout(STOP_MAX, self.stop()).await;
        stopped.map_err(|_| {
            let what = format!("not everything ended within {} s", STOP_MAX.as_secs());
            Failure::new(ExitStatus::Failure, what)
        })
    }

    /// Ends in order: the device, which lets its modules finish; the way to the hub; the socket.
    async fn stop(self) {
        let Self {
            device,
            outside,
            socket,
            metrics,
            announcement,
            tasks,
            stop_tasks,
        } = self;
        drop(announcement);
        if let Some(metrics) = metrics {
            metrics.close().await;
        }
        device.stop().await;
        stop_tasks.cancel();
        outside.close().await;
        tasks.wait().await;
        socket.close().await;
    }
}

fn agent_settings(config: &Config) -> AgentSettings {
    let default = AgentSettings::default();
    let deployment = &config.deployment;
    AgentSettings {
        file_images: deployment.allows_file_images(),
        ready_timeout: deployment.ready_timeout.unwrap_or(default.ready_timeout),
        health_timeout: deployment.health_timeout.unwrap_or(default.health_timeout),
        memory_max_bytes: config.policy.memory_max_bytes,
        twin_refresh: config.hub.refresh,
        retry_max: config.hub.retry_max,
    }
}
