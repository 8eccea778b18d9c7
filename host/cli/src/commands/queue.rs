//! The commands under `queue`: what waits at a device, what was put aside, and what to do about it.

mod list;
mod peek;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_edge_model::identity::DeviceId;

use super::running::Running;
use super::wait;
use crate::args::GlobalArgs;
use crate::args::queue::{QueueCommand, QueuePurgeArgs, QueueRetryArgs};
use crate::client::ClientError;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::{self, Failure};
use crate::output::text::Text;
use crate::output::{Output, human};

/// How long the device may take to do what it is asked.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// What came of `retry` and `purge`: the device's answer.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    messages: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    without_room: Option<usize>,
}

/// Runs a command under `queue`.
pub(super) fn execute(
    command: QueueCommand,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    match command {
        QueueCommand::List(args) => wait(list::execute(args, global, output)),
        QueueCommand::Peek(args) => wait(peek::execute(args, global, output)),
        QueueCommand::Retry(args) => wait(retry(args, global, output)),
        QueueCommand::Purge(args) => wait(purge(args, global, output)),
    }
}

async fn retry(
    args: QueueRetryArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find(global).await?;
    let device = running.device(args.device.as_ref())?;
    let target = target(&device, "retry", &args.endpoint).query_if("id", args.which.id.as_deref());
    let done = post(&running, &target).await?;
    if output.is_json() {
        output.json(&done)?;
    } else {
        let waits = format!("{} again", verb(done.messages, "waits", "wait"));
        let count = human::count(done.messages, "message");
        output.line(&Text::new().plain(&format!("{count} {waits}")))?;
    }
    match done.without_room.unwrap_or_default() {
        0 => Ok(ExitStatus::Ok),
        left => {
            let what = format!(
                "{} {} aside: there is no room",
                human::count(left, "message"),
                verb(left, "stays", "stay")
            );
            Err(Failure::new(ExitStatus::TryLater, what).into())
        }
    }
}

async fn purge(
    args: QueuePurgeArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let part = match (args.aside, args.waiting) {
        (true, _) => Some("aside"),
        (_, true) => Some("waiting"),
        _ => None,
    };
    if !args.yes {
        let which = match part {
            Some("aside") => "the messages that were put aside",
            Some(_) => "the messages that wait",
            None => "the messages that wait and those that were put aside",
        };
        let what = format!("`purge` throws {which} at `{}` away", args.endpoint);
        let failure = Failure::new(ExitStatus::Usage, what);
        return Err(failure.hint("add `--yes` to do it").into());
    }
    let running = Running::find(global).await?;
    let device = running.device(args.device.as_ref())?;
    let target = target(&device, "purge", &args.endpoint).query_if("part", part);
    let done = post(&running, &target).await?;
    if output.is_json() {
        output.json(&done)?;
    } else {
        let was = verb(done.messages, "was", "were");
        let count = human::count(done.messages, "message");
        output.line(&Text::new().plain(&format!("{count} {was} thrown away")))?;
    }
    Ok(ExitStatus::Ok)
}

/// What is asked of one queue.
fn target(device: &DeviceId, what: &str, endpoint: &str) -> Target {
    Target::path(&["v1", "queues", device.as_str(), what]).query("endpoint", endpoint)
}

async fn post(running: &Running, target: &Target) -> anyhow::Result<Done> {
    let answer = running.post(target, None, ANSWER_TIME_MAX).await;
    let answer: Value = answer.map_err(with_list_hint)?;
    Ok(serde_json::from_value(answer).map_err(|err| Failure::from(ClientError::NotJson(err)))?)
}

/// The hint that follows when a queue is not there, or its name cannot be one.
fn with_list_hint(err: anyhow::Error) -> anyhow::Error {
    let status = failure::exit_status(&err);
    match status {
        ExitStatus::NotFound | ExitStatus::InvalidInput if failure::hint(&err).is_none() => err
            .context(
                Failure::new(status, "the queue cannot be used")
                    .hint("see which there are with `wasm-edge queue list`"),
            ),
        _ => err,
    }
}

fn verb<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}
