//! `restart`: a module's instance is stopped and another one started.

use std::time::Duration;

use serde_json::json;

use super::running::{Running, device_and_module, with_cannot};
use crate::args::GlobalArgs;
use crate::args::module::RestartArgs;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::output::Output;

/// How long the device may take to say that it will.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Asks for the restart, and says so.
pub(super) async fn execute(
    args: RestartArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find(global).await?;
    let device = running.device(args.device.as_ref())?;
    let module = &args.module;
    let target = Target::path(&["v1", "modules", device.as_str(), module.as_str(), "restart"]);
    running
        .post(&target, None, ANSWER_TIME_MAX)
        .await
        .map_err(|err| with_cannot(err, format!("cannot restart the module `{module}`")))?;
    if output.is_json() {
        output.json(&json!({ "device": device, "module": module }))?;
    } else {
        output.line(&device_and_module(&device, module).plain(": restarting"))?;
    }
    Ok(ExitStatus::Ok)
}
