//! Hub and devices in this process, as `run` has them, for the rows that are too quick to be seen from outside.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tempfile::TempDir;
use wasm_edge_daemon::agent::AgentSettings;
use wasm_edge_daemon::agent::handle::Phase;
use wasm_edge_daemon::api::DeviceView;
use wasm_edge_daemon::code::CodeStore;
use wasm_edge_daemon::config::RouterConfig;
use wasm_edge_daemon::device::{Device, DeviceConfig};
use wasm_edge_daemon::folder::DataFolder;
use wasm_edge_daemon::images::ImageSupply;
use wasm_edge_daemon::supervisor::health::HealthChecks;
use wasm_edge_daemon::supervisor::life::RestartWaits;
use wasm_edge_daemon::uploads::Uploads;
use wasm_edge_daemon::upstream::Way;
use wasm_edge_hub::hub::{Hub, HubOptions};
use wasm_edge_hub::method::MethodCall;
use wasm_edge_hub::telemetry::{StartAt, TelemetryEvent, TelemetryReader};
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};
use wasm_edge_model::manifest::{Manifest, Origin};
use wasm_edge_model::route::Durability;

use super::Components;
use crate::deployment_file;
use crate::run::upstream::HubUpstream;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long a method may take, and how long a module that is being restarted is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// A module that is trapped on purpose is started again at once.
const NO_WAITS: RestartWaits = RestartWaits {
    first: Duration::ZERO,
    max: Duration::ZERO,
    forgiven_after: Duration::ZERO,
};

/// A hub with devices that run a manifest each.
pub(super) struct Setting {
    hub: Hub,
    upstream: HubUpstream,
    devices: Vec<Device>,
    telemetry: TelemetryReader,
    code: CodeStore,
    images: ImageSupply,
    _folder: (DataFolder, TempDir),
}

impl Setting {
    /// Starts a device for each manifest, which keeps messages so, and waits until all modules are ready.
    pub(super) async fn start(
        components: &Components,
        manifests: &[Value],
        durability: Durability,
    ) -> anyhow::Result<Self> {
        let temporary = tempfile::tempdir()?;
        let folder = DataFolder::open(temporary.path())?;
        let hub = Hub::open(&folder.hub()?, HubOptions::new("localhost")).await?;
        let upstream = HubUpstream::new(hub.clone());
        let telemetry = hub.telemetry(StartAt::Latest)?;
        let mut setting = Self {
            hub,
            upstream,
            devices: Vec::new(),
            telemetry,
            code: components.code.clone(),
            images: components.images.clone(),
            _folder: (folder, temporary),
        };
        for manifest in manifests {
            setting.start_device(manifest, durability).await?;
        }
        Ok(setting)
    }

    async fn start_device(
        &mut self,
        manifest: &Value,
        durability: Durability,
    ) -> anyhow::Result<()> {
        let device = device_id(self.devices.len())?;
        self.hub.ensure_device(&device).await?;
        let (folder, _) = &self._folder;
        let running = Device::start(DeviceConfig {
            device: device.clone(),
            folder: folder.device(&device)?,
            own_folder: folder.path().to_owned(),
            upstream: Way::Embedded(Arc::new(self.upstream.clone())),
            code: self.code.clone(),
            images: self.images.clone(),
            restart_waits: NO_WAITS,
            health_checks: HealthChecks::default(),
            agent: AgentSettings {
                file_images: true,
                ..AgentSettings::default()
            },
            router: RouterConfig {
                durability: Some(durability),
                ..RouterConfig::default()
            },
            uploads: Uploads::default(),
            ledger: None,
        })?;
        let checked = Manifest::check(&manifest.to_string(), Origin::LocalFile)?;
        let content = deployment_file::content(&checked.value);
        self.hub.apply_configuration(&device, &content).await?;
        running.agent().follow();
        let state = running.agent().started(0).await;
        if let Phase::Refused { reasons, .. } = state.phase {
            bail!("the deployment is refused: {}", reasons.join("; "));
        }
        self.devices.push(running);
        Ok(())
    }

    /// Waits until the modules of all devices have handled so many messages together; answers with how many it were.
    pub(super) async fn handled(&self, messages: u64) -> u64 {
        let mut pause = tokio::time::interval(Duration::from_millis(1));
        loop {
            let reports = self
                .devices
                .iter()
                .flat_map(|device| device.view().supervisor.reports());
            let handled = reports.map(|report| report.gauges.messages_handled()).sum();
            if handled >= messages {
                return handled;
            }
            pause.tick().await;
        }
    }

    /// What the management API shows of a device.
    pub(super) fn view(&self, device: usize) -> &DeviceView {
        self.devices[device].view()
    }

    /// Calls a method of a module of the first device, which has to answer well.
    pub(super) async fn call(
        &self,
        module: &str,
        method: &str,
        payload: Value,
    ) -> anyhow::Result<Value> {
        let identity = ModuleIdentity {
            device: device_id(0)?,
            module: ModuleId::new(module)?,
        };
        let call = MethodCall::new(method, payload)?.with_timeouts(ANSWER_MAX, CONNECT_MAX)?;
        let answer = self
            .hub
            .invoke_method(&TwinOwner::Module(identity), call)
            .await?;
        if answer.status != 200 {
            bail!("`{module}` answered {} to `{method}`", answer.status);
        }
        Ok(answer.payload)
    }

    /// The body of the next message upstream of a module; what others send meanwhile is passed over.
    pub(super) async fn upstream(&mut self, module: &str) -> anyhow::Result<Value> {
        let found = async {
            while let Some(event) = self.telemetry.next().await {
                let TelemetryEvent::Message(telemetry) = event else {
                    bail!("messages upstream were lost");
                };
                let source = telemetry.source.module();
                if source.is_some_and(|source| source.as_str() == module) {
                    return Ok(serde_json::from_slice(&telemetry.message.body)?);
                }
            }
            bail!("the hub ended")
        };
        patiently(found).await?
    }

    /// Ends all.
    pub(super) async fn stop(self) {
        futures_util::future::join_all(self.devices.into_iter().map(Device::stop)).await;
        drop(self.telemetry);
        self.hub.close();
        self.upstream.ended().await;
        self.hub.ended().await;
    }
}

/// Waits for something that does not take long.
pub(super) async fn patiently<T>(what: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(PATIENCE, what)
        .await
        .with_context(|| format!("waited {} s in vain", PATIENCE.as_secs()))
}

fn device_id(index: usize) -> anyhow::Result<DeviceId> {
    Ok(DeviceId::new(&format!("bench{index}"))?)
}
