//! The commands under `deploy`: checking a manifest, giving it to a device, showing what a device has.

mod apply;
mod check;
mod show;
mod twins;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_edge_model::identity::DeviceId;

use super::wait;
use crate::args::GlobalArgs;
use crate::args::deploy::DeployCommand;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::output::Output;
use crate::output::text::{Style, Text};

/// Runs a command under `deploy`.
pub(super) fn execute(
    command: DeployCommand,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    match command {
        DeployCommand::Check(args) => wait(check::execute(args, global, output)),
        DeployCommand::Apply(args) => wait(apply::execute(args, global, output)),
        DeployCommand::Show(args) => wait(show::execute(args, global, output)),
    }
}

/// Of the answer of `GET /v1/deployments/{device}`, what these commands need.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Deployments {
    state: State,
    #[serde(default)]
    deployment: Value,
    #[serde(default)]
    last_good: Value,
}

/// Where a device is with its deployment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    phase: String,
    #[serde(default)]
    reasons: Vec<String>,
    /// That of `lastDesiredStatus`, where a hub is all that tells.
    #[serde(skip)]
    code: Option<u64>,
    agent_version: u64,
    hub_version: u64,
    settled: bool,
}

impl State {
    /// Goes on with it in a few words, in the colour of how it is.
    fn text(&self, begun: Text) -> Text {
        let (style, words) = match self.phase.as_str() {
            "applied" => (Style::Bold, "applied and healthy"),
            "unhealthy" => (Style::Red, "applied, and not healthy"),
            "refused" => (Style::Red, "refused: what ran before runs"),
            "rolled-back" => (Style::Red, "rolled back: the last good one runs"),
            "preparing" => (Style::Yellow, "being prepared: what ran before runs"),
            "applying" => (Style::Yellow, "being applied"),
            "watching" => (Style::Yellow, "started: whether it stays well is watched"),
            "none" => (Style::Dim, "none"),
            "unknown" => (Style::Dim, "not told by the device"),
            other => (Style::Dim, other),
        };
        begun.styled(style, words)
    }
}

/// The path of a device's deployment in the management API, or of what is below it.
fn target(device: &DeviceId, below: &[&str]) -> Target {
    let segments = [&["v1", "deployments", device.as_str()], below].concat();
    Target::path(&segments)
}
