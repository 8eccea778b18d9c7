//! `deploy show`: the deployment of a running device, and what became of it.

use serde_json::Value;

use super::super::running::Running;
use super::{Deployments, target, twins};
use crate::args::GlobalArgs;
use crate::args::deploy::DeployShowArgs;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::text::Text;

/// Prints the manifest to standard output and the state to standard error, so that the first can go into a file; as
/// JSON both are one document.
pub(super) async fn execute(
    args: DeployShowArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find_hub(global, &args.far).await?;
    let device = running.device(args.device.as_ref())?;
    let answer = match running.is_hub() {
        true => serde_json::to_value(twins::deployments(&running, &device).await?)?,
        false => running.get(&target(&device, &[])).await?,
    };
    if output.is_json() {
        output.json(&answer)?;
        return Ok(ExitStatus::Ok);
    }
    let deployments: Deployments = serde_json::from_value(answer)?;
    let state = &deployments.state;
    output.note(&state.text(Text::new().plain(device.as_str()).plain(": ")));
    for reason in &state.reasons {
        output.note(&Text::new().plain("  ").plain(reason));
    }
    if args.last_good && running.is_hub() {
        let what = "what was healthy last the device knows alone, and a hub was asked";
        return Err(Failure::new(ExitStatus::Declined, what).into());
    }
    let (manifest, what) = match args.last_good {
        true => (&deployments.last_good, "no deployment was healthy on"),
        false => (&deployments.deployment, "no deployment runs on"),
    };
    if *manifest == Value::Null {
        let failure = Failure::new(ExitStatus::NotFound, format!("{what} `{device}` yet"));
        return Err(failure
            .hint("`wasm-edge deploy apply FILE` gives it one")
            .into());
    }
    output.json(manifest)?;
    Ok(ExitStatus::Ok)
}
