//! `deploy apply`: gives a manifest to a running device, by way of the twins at its hub, and waits for what becomes of
//! it.
//!
//! The device tries it out first, so that one that cannot run changes no twin.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use wasm_edge_model::identity::DeviceId;
use wasm_edge_model::manifest::Manifest;
use wasm_edge_model::route::condition::Compatibility;

use super::super::running::Running;
use super::{Deployments, State, target, twins};
use crate::args::GlobalArgs;
use crate::args::deploy::DeployApplyArgs;
use crate::client::target::Target;
use crate::deployment_file;
use crate::exit_codes::ExitStatus;
use crate::failure::{self, Failure};
use crate::output::Output;
use crate::output::text::Text;
use crate::text_file::{self, TextFileError};

/// More than the manifest's own limit, so that a larger one is refused by the check.
const FILE_SIZE_MAX_BYTES: usize = 8 << 20;

/// How long the device may take to load and compile all images.
const CHECK_TIME_MAX: Duration = Duration::from_secs(600);

/// How long the hub may take to set the twins.
const APPLY_TIME_MAX: Duration = Duration::from_secs(60);

/// How often the device is asked how it stands.
const ASK_PERIOD: Duration = Duration::from_millis(100);

/// How often a hub is asked what the device reported.
const ASK_HUB_PERIOD: Duration = Duration::from_secs(1);

/// Versions of the desired properties that make a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Versions {
    agent: u64,
    hub: u64,
}

/// Applies the manifest and prints what became of it.
pub(super) async fn execute(
    args: DeployApplyArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let manifest = read(&args.file, output)?;
    let content = Value::Object(deployment_file::content(&manifest));
    let running = Running::find_hub(global, &args.far).await?;
    let device = running.device(args.device.as_ref())?;
    if running.is_device_alone() {
        let what = "a device takes its deployment from its hub, or from the file that its configuration names";
        return Err(Failure::new(ExitStatus::InvalidInput, what)
            .hint("name the hub with `--hub`, or change the file: the daemon takes it over at SIGHUP and at its start")
            .into());
    }
    // At a hub the device is not at hand; what it makes of the deployment it reports.
    if !running.is_hub() {
        try_out(&running, &device, &deployment_file::as_manifest(&manifest)).await?;
    }
    let versions = set_twins(&running, &device, &content).await?;
    if args.no_wait {
        let text = "the hub has it; `wasm-edge deploy show` tells what becomes of it";
        output.note(&Text::new().plain(text));
        return Ok(ExitStatus::Ok);
    }
    let state = settled(&running, &device, versions, args.timeout, output).await?;
    report(&device, &state, output)
}

fn read(file: &Path, output: &Output) -> anyhow::Result<Manifest> {
    let text = text_file::read(file, FILE_SIZE_MAX_BYTES).map_err(TextFileError::into_failure)?;
    let manifest = deployment_file::checked(&text, file, Compatibility::default(), output)?;
    let folder = folder_of(file)?;
    Ok(deployment_file::with_absolute_images(manifest, &folder)?)
}

/// Where `file:` images start: the folder of the file, or this one for standard input.
fn folder_of(file: &Path) -> anyhow::Result<PathBuf> {
    if file == Path::new("-") {
        return std::env::current_dir().context("cannot tell the current folder");
    }
    let file = std::fs::canonicalize(file)
        .with_context(|| format!("cannot find the folder of `{}`", file.display()))?;
    Ok(file.parent().unwrap_or(Path::new("/")).to_owned())
}

async fn try_out(running: &Running, device: &DeviceId, manifest: &Value) -> anyhow::Result<()> {
    let check = target(device, &["check"]);
    // The version that it is about to have: what is tried out now is what runs then. Where there is none yet, or another
    // one comes in between, the device asks for its images again.
    let before = agent_version(running, device).await.ok();
    let next = before.map(|version| version.saturating_add(1).to_string());
    let check = check.query_if("agentVersion", next.as_deref());
    let tried = running
        .post(&check, Some(manifest.to_string()), CHECK_TIME_MAX)
        .await;
    tried.map(drop).map_err(|err| {
        let status = match failure::exit_status(&err) {
            ExitStatus::NotRunning => return err,
            ExitStatus::InvalidInput => ExitStatus::BadConfig,
            status => status,
        };
        err.context(
            Failure::new(status, "the deployment was not applied")
                .hint("nothing was changed; what runs goes on"),
        )
    })
}

async fn set_twins(
    running: &Running,
    device: &DeviceId,
    content: &Value,
) -> anyhow::Result<Versions> {
    let apply = Target::apply_configuration(device.as_str());
    running
        .post(&apply, Some(content.to_string()), APPLY_TIME_MAX)
        .await
        .context("the hub does not take the deployment")?;
    Ok(Versions {
        agent: agent_version(running, device).await?,
        hub: version(running, device, "$edgeHub").await?,
    })
}

async fn agent_version(running: &Running, device: &DeviceId) -> anyhow::Result<u64> {
    version(running, device, "$edgeAgent").await
}

/// The version of the desired properties of a module at the hub.
async fn version(running: &Running, device: &DeviceId, module: &str) -> anyhow::Result<u64> {
    let twin = running
        .get(&Target::twin(device.as_str(), Some(module)))
        .await?;
    let version = twin["properties"]["desired"]["$version"].as_u64();
    version.with_context(|| format!("the twin of `{module}` has no version"))
}

async fn state(running: &Running, device: &DeviceId) -> anyhow::Result<State> {
    if running.is_hub() {
        return twins::state(running, device).await;
    }
    let answer = running.get(&target(device, &[])).await?;
    let deployments: Deployments = serde_json::from_value(answer)?;
    Ok(deployments.state)
}

/// Waits until nothing more comes of these versions, and tells of each phase.
async fn settled(
    running: &Running,
    device: &DeviceId,
    versions: Versions,
    patience: Duration,
    output: &Output,
) -> anyhow::Result<State> {
    let deadline = Instant::now() + patience;
    let mut told = None;
    loop {
        let state = state(running, device).await?;
        if state.is_of(versions) {
            if state.settled {
                return Ok(state);
            }
            if told.as_ref() != Some(&state.phase) {
                output.note(&state.text(Text::new()));
                told = Some(state.phase.clone());
            }
        }
        if Instant::now() >= deadline {
            let what = format!(
                "the deployment is not settled after {} s: {}",
                patience.as_secs(),
                state.phase
            );
            return Err(Failure::new(ExitStatus::TryLater, what)
                .hint("`wasm-edge deploy show` tells what becomes of it")
                .into());
        }
        tokio::time::sleep(match running.is_hub() {
            true => ASK_HUB_PERIOD,
            false => ASK_PERIOD,
        })
        .await;
    }
}

fn report(device: &DeviceId, state: &State, output: &Output) -> anyhow::Result<ExitStatus> {
    if output.is_json() {
        output.json(&json!({
            "device": device,
            "phase": state.phase,
            "reasons": state.reasons,
            "agentVersion": state.agent_version,
            "hubVersion": state.hub_version,
        }))?;
    } else {
        output.line(&state.text(Text::new().plain(device.as_str()).plain(": ")))?;
    }
    let Some(failure) = failure_of(state) else {
        return Ok(ExitStatus::Ok);
    };
    match state.reasons.is_empty() {
        true => Err(failure.into()),
        false => Err(failure
            .caused_by(anyhow::Error::msg(state.reasons.join("\n")))
            .into()),
    }
}

fn failure_of(state: &State) -> Option<Failure> {
    let what = match state.phase.as_str() {
        "applied" => return None,
        "refused" if state.code == Some(twins::CODE_FAILED) => {
            let what = "the device could not apply the deployment";
            let hint = "where time may help, as when a registry is away, the device tries again by itself: \
                        `wasm-edge deploy show` tells how that went";
            return Some(Failure::new(ExitStatus::Failure, what).hint(hint));
        }
        "refused" => {
            return Some(Failure::new(
                ExitStatus::BadConfig,
                "the deployment was refused",
            ));
        }
        "rolled-back" => "the deployment was not healthy within its time and was rolled back",
        _ => "the deployment is not healthy, and there is none to go back to",
    };
    let hint = "`wasm-edge list` and `wasm-edge logs` show why";
    Some(Failure::new(ExitStatus::Declined, what).hint(hint))
}

impl State {
    /// Whether it is about these versions, or later ones.
    fn is_of(&self, versions: Versions) -> bool {
        self.agent_version >= versions.agent && self.hub_version >= versions.hub
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_earlier_twins_is_not_waited_for() {
        let state = |agent_version, hub_version| State {
            phase: "applied".to_owned(),
            reasons: Vec::new(),
            code: None,
            agent_version,
            hub_version,
            settled: true,
        };
        let wanted = Versions { agent: 4, hub: 2 };
        let check = |agent, hub, expected| {
            assert_eq!(state(agent, hub).is_of(wanted), expected, "{agent} {hub}");
        };
        check(4, 2, true);
        check(5, 2, true);
        check(3, 2, false);
        check(4, 1, false);
    }
}
