//! How `run` lets its devices run what they are to run: images are had and tried, then the twins are set at the hub.
//!
//! Owns when tags are asked for: once for a deployment that is set, and not for one that is as it was. Leaves all that
//! follows from twins to the agents, and what becomes of deployments is told by the narrator.

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use wasm_edge_daemon::agent::error::DeployError;
use wasm_edge_daemon::agent::handle::{Phase, Tags, TriedOut};
use wasm_edge_daemon::api;
use wasm_edge_daemon::deployment::AppliedManifest;
use wasm_edge_daemon::device::Device;
use wasm_edge_hub::hub::Hub;
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};

use super::Running;
use super::target::Loaded;
use crate::args::run::RunArgs;
use crate::client::answer;
use crate::deployment_file;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::text::Text;

/// How far applying came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// The twins are as they are to be.
    Set,
    /// It was told to stop before any twin was set.
    Interrupted,
}

/// Whether the twins of a device were set from its manifest just now, or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twins {
    SetNow,
    SetBefore,
}

/// A manifest that was tried out on a device, and is to be set.
pub(super) struct Trial {
    twins: Twins,
    /// What is remembered of it.
    applied: AppliedManifest,
    tried: TriedOut,
}

/// Lets each device run what it is to run; done when all was started.
pub(super) async fn apply(
    running: &Running,
    targets: &[Loaded],
    args: &RunArgs,
    output: &Output,
    stop: &CancellationToken,
) -> anyhow::Result<Applied> {
    // All of them before the first twin is set: where one cannot run, none is started.
    let mut trials = Vec::with_capacity(targets.len());
    for (target, device) in targets.iter().zip(&running.devices) {
        let trial = tokio::select! {
            trial = Trial::of(&running.hub, device, target, args, output) => trial?,
            () = stop.cancelled() => {
                output.note(&Text::new().plain(
                    "stopped before anything was applied; what came of images is there the next time",
                ));
                return Ok(Applied::Interrupted);
            }
        };
        trials.push(trial);
    }
    let mut set = Vec::with_capacity(targets.len());
    for ((target, device), trial) in targets.iter().zip(&running.devices).zip(trials) {
        let twins = trial.twins;
        set.push((
            trial.set(&running.hub, device, target, output).await?,
            twins,
        ));
    }
    for device in &running.devices {
        device.agent().follow();
    }
    for (device, (version, twins)) in running.devices.iter().zip(set) {
        tokio::select! {
            started = started(device, version, twins) => started?,
            () = stop.cancelled() => return Ok(Applied::Set),
        }
    }
    let code = running.code.clone();
    if let Err(err) = tokio::task::spawn_blocking(move || code.drop_unused()).await? {
        tracing::warn!(err = %chain(&err), "code that nothing uses could not be removed");
    }
    Ok(Applied::Set)
}

impl Trial {
    /// Finds out whether the manifest can be applied; changes nothing.
    pub(super) async fn of(
        hub: &Hub,
        device: &Device,
        target: &Loaded,
        args: &RunArgs,
        output: &Output,
    ) -> anyhow::Result<Self> {
        let identity = hub.ensure_device(&target.device).await?;
        let applied = AppliedManifest {
            manifest_sha256: target.digest.clone(),
            device_generation_id: identity.generation_id,
        };
        let is_unchanged = device.applied()?.as_ref() == Some(&applied) && !args.reapply;
        let (twins, tags) = match is_unchanged {
            true => (Twins::SetBefore, Tags::AsBefore),
            false => (Twins::SetNow, Tags::Anew),
        };
        let tried = device.agent().try_out(&target.manifest, tags).await;
        Ok(Self {
            twins,
            applied,
            tried: tried.map_err(|err| failed(err, output))?,
        })
    }

    /// What was tried out.
    pub(super) fn tried(&self) -> &TriedOut {
        &self.tried
    }

    /// Sets the twins of the deployment, unless they were set from the same manifest before: changes made since then
    /// stay. What the deployment needs is there at this point, so that a bad one changes no twin. Answers the version
    /// of the desired properties of `$edgeAgent`.
    pub(super) async fn set(
        self,
        hub: &Hub,
        device: &Device,
        target: &Loaded,
        output: &Output,
    ) -> anyhow::Result<u64> {
        match self.twins {
            Twins::SetBefore => output.note(&Text::new().plain(
                "the deployment is the one applied last; twins and images stay as they are (--reapply sets them anew)",
            )),
            Twins::SetNow => {
                let content = deployment_file::content(&target.manifest);
                let set = hub.apply_configuration(&target.device, &content).await;
                set.with_context(|| {
                    let device = &target.device;
                    format!("the hub does not take the deployment for `{device}`")
                })?;
                let recorded = device.record_applied(&self.applied);
                recorded.context("cannot record the deployment")?;
            }
        }
        let version = agent_version(hub, &target.device).await?;
        device.agent().means(version, self.tried);
        Ok(version)
    }
}

/// The version of the desired properties of `$edgeAgent` at the hub.
async fn agent_version(hub: &Hub, device: &DeviceId) -> anyhow::Result<u64> {
    let agent = TwinOwner::Module(ModuleIdentity {
        device: device.clone(),
        module: ModuleId::edge_agent(),
    });
    let twin = hub.twin_json(&agent).await?;
    let version = twin["properties"]["desired"]["$version"].as_u64();
    Ok(version.unwrap_or_default())
}

/// Waits until all modules of a device were started. What became of its deployment is told by the narrator.
async fn started(device: &Device, version: u64, twins: Twins) -> anyhow::Result<()> {
    let state = device.agent().started(version).await;
    match (state.phase, twins) {
        // A patch made since the manifest was applied is not the manifest's fault.
        (Phase::Refused { is_passing, .. }, Twins::SetNow) => {
            let status = match is_passing {
                true => ExitStatus::TryLater,
                false => ExitStatus::BadConfig,
            };
            Err(Failure::new(status, "the deployment was not applied").into())
        }
        _ => Ok(()),
    }
}

/// Tells why a deployment cannot be applied, module by module.
pub(super) fn failed(err: DeployError, output: &Output) -> anyhow::Error {
    let mut hint = None;
    if let DeployError::Images(modules) = &err {
        for (module, err) in modules {
            output.warn(&format!("{module}: {:#}", chain(err)));
            hint = hint.or_else(|| err.hint());
        }
    }
    let failure = Failure::new(exit_status(&err), "the deployment was not applied").caused_by(err);
    match hint {
        Some(hint) => failure.hint(hint).into(),
        None => failure.into(),
    }
}

/// Why a deployment cannot be applied, of what [`failed`] made of it.
pub(super) fn cause(err: &anyhow::Error) -> Option<&DeployError> {
    err.chain().find_map(|cause| cause.downcast_ref())
}

/// What a deployment that cannot be applied ends with: the same as where a process is asked to try it out.
fn exit_status(err: &DeployError) -> ExitStatus {
    answer::exit_status_of_deployment(api::deployments::status_of(err))
}
