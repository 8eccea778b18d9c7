//! Changes of desired properties that are made on a device, while it is away from its hub: `twin patch --local` and
//! `twin reset`.

use serde_json::{Map, Value, json};

use super::{Owner, TwinView, with_owner};
use crate::args::{GlobalArgs, TwinPatchArgs, TwinResetArgs};
use crate::client::target::Target;
use crate::commands::running::Running;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::text::Text;

/// Changes them.
pub(super) async fn patch(
    args: TwinPatchArgs,
    properties: Map<String, Value>,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find_hub(global, &args.far).await?;
    if running.is_hub() {
        return Err(Failure::new(
            ExitStatus::Usage,
            "`--local` changes a twin on its device, and a hub is asked",
        )
        .hint("run it on the device, without `--hub`")
        .into());
    }
    let Some(module) = &args.module else {
        return Err(only_a_hub("has the twin of the device itself").into());
    };
    let device = running.device(args.device.as_ref())?;
    let target = Target::device_twin(device.as_str(), module.as_str(), &[]).query("local", "true");
    let owner = Owner {
        device,
        module: args.module,
        at_device: true,
    };
    let body = json!({ "properties": { "desired": properties } });
    let answer = running
        .patch(&target, &body, None)
        .await
        .map_err(|err| owner.hint(err))?;
    if output.is_json() {
        output.json(&answer)?;
        return Ok(ExitStatus::Ok);
    }
    let version = TwinView(&answer).version("desired").unwrap_or_default();
    let text = match answer.get("local").filter(|local| !local.is_null()) {
        Some(_) => format!(": desired changed on the device; the hub's version stays {version}"),
        None => format!(": desired is what the hub says, version {version}"),
    };
    output.line(&with_owner(Text::new(), &owner).plain(&text))?;
    Ok(ExitStatus::Ok)
}

/// Takes them back.
pub(super) async fn reset(
    args: TwinResetArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find(global).await?;
    let owner = Owner {
        device: running.device(args.device.as_ref())?,
        module: Some(args.module.clone()),
        at_device: true,
    };
    let (device, module) = (owner.device.as_str(), args.module.as_str());
    let answer = running
        .delete(&Target::device_twin(device, module, &["local"]))
        .await
        .map_err(|err| owner.hint(err))?;
    let undone = answer.get("undone") == Some(&Value::Bool(true));
    let twin = answer.get("twin").cloned().unwrap_or_default();
    if output.is_json() {
        output.json(&twin)?;
        return Ok(ExitStatus::Ok);
    }
    let version = TwinView(&twin).version_text("desired");
    let text = match undone {
        true => format!(": local changes taken back; {version}"),
        false => format!(": nothing was changed locally; {version}"),
    };
    output.line(&with_owner(Text::new(), &owner).plain(&text))?;
    Ok(ExitStatus::Ok)
}

/// What was changed on the device, taken out of its answer; where a hub answered, its device is asked besides.
pub(super) async fn take(answer: &mut Value, running: &Running, owner: &Owner) -> Option<Value> {
    let of_device = match (&owner.module, owner.at_device || running.is_hub()) {
        (Some(module), false) => {
            let target = Target::device_twin(owner.device.as_str(), module.as_str(), &[]);
            // A hub knows modules that do not run on the device; they have no changes there.
            &mut running.get(&target).await.unwrap_or_default()
        }
        _ => answer,
    };
    let local = of_device.as_object_mut()?.remove("local")?;
    (!local.is_null()).then_some(local)
}

/// Puts it beside the sections, where there is any.
pub(super) fn put(mut shown: Value, local: Option<Value>) -> Value {
    if let (Some(local), Some(shown)) = (local, shown.as_object_mut()) {
        shown.insert("local".to_owned(), local);
    }
    shown
}

/// That a device does not do something by itself.
pub(super) fn only_a_hub(does: &str) -> Failure {
    Failure::new(ExitStatus::InvalidInput, format!("only a hub {does}"))
        .hint("name a module, or the hub with `--hub`")
}
