//! `method` and `hub method`: call a direct method of a module or a device and print the answer.
//!
//! It is called over the hub's REST face, or at the device itself where that answers alone.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::running::Running;
use crate::args::GlobalArgs;
#[cfg(feature = "hub")]
use crate::args::hub::method::HubMethodArgs;
use crate::args::module::{MethodArgs, MethodCallArgs};
use crate::client::ClientError;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::{self, Failure};
use crate::output::Output;
use crate::output::text::{Style, Text};
use crate::text_file;

/// The longest payload that is read; the hub takes 128 KiB of it, written without spaces.
const PAYLOAD_TEXT_MAX_BYTES: usize = 512 << 10;

/// How much longer than the method itself the hub may take to say that it took too long.
const ANSWER_MARGIN: Duration = Duration::from_secs(10);

/// The answer of a module or a device.
#[derive(Debug, Deserialize)]
struct Answer {
    status: i64,
    #[serde(default)]
    payload: Value,
}

/// Calls a method of a module.
pub(super) async fn execute(
    args: MethodArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let payload = read_payload(args.call.payload.as_deref())?;
    let running = Running::find_hub(global, &args.call.far).await?;
    let device = running.device(args.device.as_ref())?;
    let target = match running.is_device_alone() {
        true => Target::path(&["v1", "methods", device.as_str(), args.module.as_str()]),
        false => Target::methods(device.as_str(), Some(args.module.as_str())),
    };
    let hint = "see with `wasm-edge list` what runs; `--connect-timeout 30s` waits for a module that is about to";
    let callee = Callee {
        kind: "module",
        id: args.module.as_str(),
        hint,
    };
    call(&running, target, callee, &args.call, payload, output).await
}

/// Calls a method of a device.
#[cfg(feature = "hub")]
pub(super) async fn execute_of_device(
    args: HubMethodArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let payload = read_payload(args.call.payload.as_deref())?;
    let running = Running::find_hub(global, &args.call.far).await?;
    let target = Target::methods(args.device.as_str(), None);
    let hint = "see with `wasm-edge hub device show` whether it is connected; `--connect-timeout 30s` waits for it";
    let callee = Callee {
        kind: "device",
        id: args.device.as_str(),
        hint,
    };
    call(&running, target, callee, &args.call, payload, output).await
}

/// Whose method is called.
#[derive(Clone, Copy)]
struct Callee<'a> {
    /// `module` or `device`.
    kind: &'static str,
    id: &'a str,
    /// What to do where it is not found.
    hint: &'static str,
}

/// Calls, prints the payload, and ends by the status of the answer.
async fn call(
    running: &Running,
    target: Target,
    callee: Callee<'_>,
    args: &MethodCallArgs,
    payload: Value,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let call = json!({
        "methodName": args.name,
        "payload": payload,
        "responseTimeoutInSeconds": args.timeout.as_secs(),
        "connectTimeoutInSeconds": args.connect_timeout.as_secs(),
    });
    let time_max = args
        .timeout
        .saturating_add(args.connect_timeout)
        .saturating_add(ANSWER_MARGIN);
    let answer = running
        .post(&target, Some(call.to_string()), time_max)
        .await
        .map_err(|err| explained(err, callee, args))?;
    let answer: Answer =
        serde_json::from_value(answer).map_err(|err| Failure::from(ClientError::NotJson(err)))?;
    print(&answer, callee, args, output)?;
    Ok(match answer.status {
        200..=299 => ExitStatus::Ok,
        _ => ExitStatus::Declined,
    })
}

fn print(
    answer: &Answer,
    callee: Callee<'_>,
    args: &MethodCallArgs,
    output: &Output,
) -> anyhow::Result<()> {
    if output.is_json() {
        let Answer { status, payload } = answer;
        output.json(&json!({ "status": status, "payload": payload }))?;
        return Ok(());
    }
    output.json(&answer.payload)?;
    if !(200..=299).contains(&answer.status) {
        let said = format!(" answered `{}` with status {}", args.name, answer.status);
        output.note(
            &Text::new()
                .styled(Style::of_module(callee.id), callee.id)
                .plain(&said),
        );
    }
    Ok(())
}

/// What could not be done, and what to do about it.
fn explained(err: anyhow::Error, callee: Callee<'_>, args: &MethodCallArgs) -> anyhow::Error {
    let status = failure::exit_status(&err);
    let Callee { kind, id, hint } = callee;
    let cannot = format!("cannot call `{}` of the {kind} `{id}`", args.name);
    let failure = Failure::new(status, cannot);
    match status {
        ExitStatus::NotFound => err.context(failure.hint(hint)),
        ExitStatus::TryLater | ExitStatus::InvalidInput | ExitStatus::Failure => {
            err.context(failure)
        }
        _ => err,
    }
}

/// A payload given as JSON text, as `@FILE`, or as `-` for standard input; `null` if none is given.
fn read_payload(given: Option<&str>) -> Result<Value, Failure> {
    let Some(given) = given else {
        return Ok(Value::Null);
    };
    let text = match text_file::named_by(given) {
        None => given.to_owned(),
        Some(file) => text_file::read(file, PAYLOAD_TEXT_MAX_BYTES)
            .map_err(|err| err.into_input_failure("cannot read the payload"))?,
    };
    serde_json::from_str(&text).map_err(|err| {
        Failure::new(ExitStatus::InvalidInput, "the payload is not JSON")
            .caused_by(err)
            .hint("a text is JSON with its quotes: '\"on\"'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: Option<&str>, expected: Result<Value, ExitStatus>) {
        let found = read_payload(given).map_err(|err| failure::exit_status(&err.into()));
        assert_eq!(found, expected, "{given:?}");
    }

    #[test]
    fn a_payload_is_json_from_the_argument_or_a_file() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("payload.json");
        std::fs::write(&file, "[1, 2]\n").unwrap();
        check(None, Ok(Value::Null));
        check(Some("{\"on\": true}"), Ok(json!({ "on": true })));
        check(Some("-5"), Ok(json!(-5)));
        check(Some(&format!("@{}", file.display())), Ok(json!([1, 2])));
        check(Some("on"), Err(ExitStatus::InvalidInput));
        check(Some(""), Err(ExitStatus::InvalidInput));
        check(Some("@/no/such"), Err(ExitStatus::NotFound));
    }
}
