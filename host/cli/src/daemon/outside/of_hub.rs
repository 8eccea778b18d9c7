//! A device of a hub on the network: who it is there, and the upstream that leads to it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasm_edge_daemon::config::Config;
use wasm_edge_daemon::config::hub::ClockConfig;
use wasm_edge_daemon::config::provisioning::ProvisioningConfig;
use wasm_edge_daemon::folder::DataFolder;
use wasm_edge_daemon::keys::Keyring;
use wasm_edge_daemon::provisioning::Assignment;
use wasm_edge_daemon::provisioning::identities::Identities;
use wasm_edge_daemon::provisioning::provisioner::{Provisioned, Provisioner, ProvisionerOptions};
use wasm_edge_daemon::provisioning::rest::{RestOptions, RestRegistry};
use wasm_edge_daemon::provisioning::source::{Source, SourceError};
use wasm_edge_daemon::timekeeping::{self, CLOCK_TRAFFIC, HubTime};
use wasm_edge_daemon::upstream::Upstream;
use wasm_edge_daemon::upstream::iothub::line::LineSettings;
use wasm_edge_daemon::upstream::iothub::{IotHub, IotHubOptions};
use wasm_edge_daemon::upstream::status::Standing;
use wasm_edge_model::connection_string::HostAddress;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::traffic::Ledger;

use super::line::{self, Dialers};
use super::timely::Timely;
use crate::daemon::notify::ServiceManager;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// Under which names the traffic of what is no module is counted.
const REGISTRY_TRAFFIC: &str = "(identities)";
const PROVISIONING_TRAFFIC: &str = "(provisioning)";

/// How often the service manager is told that the start goes on, while a service is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A device of a hub, and its way there.
pub(in crate::daemon) struct OfHub {
    device: DeviceId,
    ledger: Ledger,
    hub_name: String,
    hub: IotHub,
    provisioner: Provisioner,
    assignment: Assignment,
    upstream: Arc<Timely<IotHub>>,
    standing: watch::Receiver<Standing>,
    /// What waits for the clock; gone once it does.
    waiting: Option<ClockWait>,
}

/// What waits for the clock to be set before a connection is made.
struct ClockWait {
    clock: HubClock,
    config: ClockConfig,
    hub: HubTime,
    set: watch::Sender<bool>,
}

fn line_settings(config: &Config) -> LineSettings {
    LineSettings {
        transport: config.hub.transport,
        keep_alive: config.hub.keep_alive,
        token_life: config.hub.token_life,
        time_from_hub: config.clock.from_hub,
        retry_max: config.hub.retry_max,
    }
}

impl OfHub {
    /// As [`super::Outside::open`].
    pub(super) async fn open(
        provisioning: &ProvisioningConfig,
        config: &Config,
        folder: &Arc<DataFolder>,
        clock: HubClock,
        manager: &ServiceManager,
    ) -> anyhow::Result<Self> {
        let mut source = Source::read(provisioning, &config.hub).map_err(no_credential)?;
        let ledger = Ledger::default();
        let dialers = Dialers::of(config, source.take_certificate(), clock.clone())?;
        let provisioner = Provisioner::new(
            source,
            ProvisionerOptions {
                dialer: dialers.device.clone(),
                clock: clock.clone(),
                counter: ledger.counter(PROVISIONING_TRAFFIC),
                hub: config.hub.clone(),
                folder,
            },
        )?;
        let time_of = |host: &HostAddress, port| {
            let counter = ledger.counter(CLOCK_TRAFFIC);
            HubTime::new(line::https(&dialers.device, host, port, counter))
        };
        let set = async {
            if let ProvisioningConfig::Dps(dps) = provisioning {
                let host = &dps.global_endpoint;
                let hub = time_of(host, host.port().unwrap_or(config.hub.https_port));
                timekeeping::wait_set(&clock, &config.clock, hub).await;
            }
        };
        let provisioned = provision(&provisioner, set, manager).await;
        let Provisioned { assignment, .. } = provisioned;
        let device_folder = folder.device(&assignment.device)?;
        let keys = Keyring::open(&device_folder)?;
        let registry = Arc::new(RestRegistry::new(RestOptions {
            assignment: assignment.clone(),
            credential: provisioned.credential,
            dialer: dialers.device.clone(),
            clock: clock.clone(),
            time_from_hub: config.clock.from_hub,
            counter: ledger.counter(REGISTRY_TRAFFIC),
        }));
        let identities = Identities::open(&assignment, Arc::new(device_folder), &keys, registry);
        let hub = IotHub::new(IotHubOptions {
            assignment: assignment.clone(),
            dialer: dialers.modules.clone(),
            clock: clock.clone(),
            ledger: ledger.clone(),
            settings: line_settings(config),
            identities,
        });
        let (set, is_set) = watch::channel(clock.is_plausible());
        Ok(Self {
            waiting: Some(ClockWait {
                hub: time_of(assignment.address(), assignment.https_port),
                config: config.clock,
                clock,
                set,
            }),
            device: assignment.device.clone(),
            ledger,
            hub_name: assignment.hub.to_string(),
            upstream: Arc::new(Timely::new(hub.clone(), is_set)),
            standing: hub.standing(),
            hub,
            provisioner,
            assignment,
        })
    }

    pub(super) fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    pub(super) fn device(&self) -> &DeviceId {
        &self.device
    }

    pub(super) fn upstream(&self) -> Arc<dyn Upstream> {
        self.upstream.clone()
    }

    /// Ends when the provisioning service has assigned another hub or device.
    pub(super) async fn reassigned(&self) {
        let standing = self.standing.clone();
        self.provisioner
            .reassigned(&self.assignment, standing)
            .await;
    }

    /// How it stands, in a line.
    pub(super) fn status(&self) -> String {
        let standing = match &*self.standing.borrow() {
            Standing::Connecting => "connecting".to_owned(),
            Standing::Connected { .. } => "connected".to_owned(),
            Standing::Unreachable { cause, .. } => format!("not connected: {cause}"),
            Standing::Refused { cause, .. } => format!("refused: {cause}"),
        };
        format!(
            "device `{}` of `{}`: {standing}",
            self.device, self.hub_name
        )
    }

    pub(super) fn spawn(&mut self, tasks: &TaskTracker, stop: &CancellationToken) {
        if let Some(waiting) = self.waiting.take() {
            let stop = stop.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = timekeeping::wait_set(&waiting.clock, &waiting.config, waiting.hub) => {
                        waiting.set.send_replace(true);
                    }
                }
            });
        }
        let (standing, hub) = (self.standing.clone(), self.hub_name.clone());
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = narrate(standing, &hub) => {}
            }
        });
    }

    pub(super) async fn close(&self) {
        self.hub.close().await;
    }
}

/// Says each time that the way to the hub is another, as long as there is one.
async fn narrate(mut standing: watch::Receiver<Standing>, hub: &str) {
    let mut last = "";
    loop {
        {
            let now = standing.borrow_and_update();
            let is_new = last != now.word();
            last = now.word();
            match &*now {
                Standing::Connected { .. } if is_new => tracing::info!(hub, "connected to the hub"),
                Standing::Unreachable { cause, .. } if is_new => {
                    tracing::warn!(
                        hub,
                        cause,
                        "the hub cannot be reached; the device goes on without it"
                    );
                }
                Standing::Refused { cause, .. } if is_new => {
                    tracing::warn!(
                        hub,
                        cause,
                        "the hub refuses the device, which goes on without it"
                    );
                }
                _ => {}
            }
        }
        if standing.changed().await.is_err() {
            return;
        }
    }
}

/// Asks which hub the device belongs to, until there is an answer. Meanwhile the clock is waited for, and the service
/// manager told why the start takes its time.
async fn provision(
    provisioner: &Provisioner,
    set: impl Future<Output = ()>,
    manager: &ServiceManager,
) -> Provisioned {
    let set = async {
        set.await;
        std::future::pending::<()>().await
    };
    let waiting = async {
        loop {
            tokio::time::sleep(PATIENCE).await;
            manager.starting("waiting for the provisioning service", PATIENCE * 3);
        }
    };
    tokio::select! {
        provisioned = provisioner.provision() => provisioned,
        () = set => unreachable!("it goes on for ever"),
        () = waiting => unreachable!("it goes on for ever"),
    }
}

fn no_credential(err: SourceError) -> Failure {
    let what = "the device does not know who it is";
    Failure::new(ExitStatus::BadConfig, what)
        .hint("`[provisioning]` in the configuration names what is read")
        .caused_by(err)
}
