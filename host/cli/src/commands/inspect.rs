//! `inspect`: everything the device knows about one module.
//!
//! Asks for the module and, for people, its twin's versions; how it looks is in `page`.

mod page;

use jiff::Timestamp;
use serde_json::Value;

use self::page::{Module, TwinVersions};
use super::running::{Running, with_modules_hint};
use crate::args::{GlobalArgs, InspectArgs};
use crate::client::ClientError;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;

/// Prints the module's status, its queues and the messages set aside.
pub(super) async fn execute(
    args: InspectArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find(global).await?;
    let device = running.device(args.device.as_ref())?;
    let module = args.module.as_str();
    let answer = running
        .get(&Target::path(&["v1", "modules", device.as_str(), module]))
        .await
        .map_err(|err| with_modules_hint(err, &args.module))?;
    if output.is_json() {
        output.json(&answer)?;
        return Ok(ExitStatus::Ok);
    }
    let shown: Module =
        serde_json::from_value(answer).map_err(|err| Failure::from(ClientError::NotJson(err)))?;
    // The hub may have deleted the identity of a module that runs; all else is worth showing then, too.
    let twin = running
        .get(&match running.is_device_alone() {
            true => Target::device_twin(device.as_str(), module, &[]),
            false => Target::twin(device.as_str(), Some(module)),
        })
        .await;
    let twin = twin.ok().map(|twin| versions(&twin));
    page::print(&shown, twin, Timestamp::now(), output)?;
    Ok(ExitStatus::Ok)
}

fn versions(twin: &Value) -> TwinVersions {
    let of = |section: &str| {
        twin.pointer(&format!("/properties/{section}/$version"))?
            .as_u64()
    };
    TwinVersions {
        desired: of("desired"),
        reported: of("reported"),
    }
}
