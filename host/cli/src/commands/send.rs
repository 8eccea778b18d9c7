//! `send`: puts messages into a module's input, past the routes, and tells what becomes of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_model::message::{MessageLine, SystemProperty};

use super::message;
use super::running::{Running, device_and_module, with_cannot};
use crate::args::GlobalArgs;
use crate::args::module::SendArgs;
use crate::client::ClientError;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::{self, Failure};
use crate::lines_file;
use crate::output::text::Text;
use crate::output::{Output, OutputError, human};

/// How much longer than the wait for a message the device may take to answer.
const ANSWER_MARGIN: Duration = Duration::from_secs(30);

/// What became of a message: the device's answer.
#[derive(Debug, Deserialize, Serialize)]
struct Outcome {
    /// `waiting`, `completed`, `set-aside`, `expired` or `removed`.
    outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Puts messages into one module's queue, one after the other.
struct Sending<'a> {
    running: Running,
    device: DeviceId,
    args: &'a SendArgs,
    target: Target,
    output: &'a Output,
    accepted: usize,
    status: ExitStatus,
}

/// Sends one message, or those of a file.
pub(super) async fn execute(
    args: SendArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let single = match &args.file {
        None => Some(message::line(
            args.body.as_deref(),
            &args.properties,
            &[(SystemProperty::ContentType, args.content_type.as_deref())],
        )?),
        Some(_) => None,
    };
    let running = Running::find(global).await?;
    let device = running.device(args.device.as_ref())?;
    let target = Target::path(&[
        "v1",
        "modules",
        device.as_str(),
        args.module.as_str(),
        "messages",
    ]);
    let wait_ms = args.wait.then(|| args.timeout.as_millis().to_string());
    let mut sending = Sending {
        running,
        device,
        target: target
            .query("input", args.input.as_str())
            .query_if("waitMs", wait_ms.as_deref()),
        args: &args,
        output,
        accepted: 0,
        status: ExitStatus::Ok,
    };
    match single {
        Some(message) => sending.send(message.to_string(), None).await?,
        None => sending.send_file().await?,
    }
    Ok(sending.status)
}

impl Sending<'_> {
    /// Sends one message; `line` is where it stands in the file.
    async fn send(&mut self, message: String, line: Option<u64>) -> anyhow::Result<()> {
        let time_max = self.args.timeout.saturating_add(ANSWER_MARGIN);
        let answer = self
            .running
            .post(&self.target, Some(message), time_max)
            .await
            .map_err(|err| self.explained(err, line))?;
        let outcome: Outcome = serde_json::from_value(answer)
            .map_err(|err| Failure::from(ClientError::NotJson(err)))?;
        self.accepted += 1;
        let status = self.ending(&outcome);
        if self.status == ExitStatus::Ok {
            self.status = status;
        }
        Ok(self.print(&outcome, line)?)
    }

    /// Sends each line of the file, and stops at the first that is not taken.
    async fn send_file(&mut self) -> anyhow::Result<()> {
        let path = self.args.file.clone().unwrap_or_default();
        lines_file::each(&path, async |number, line| {
            MessageLine::parse(&line).map_err(|err| {
                let failure = Failure::new(ExitStatus::InvalidInput, self.stopped(number));
                failure.caused_by(err)
            })?;
            self.send(line, Some(number)).await
        })
        .await?;
        if !self.output.is_json() && !self.args.wait {
            let all = human::count(self.accepted, "message");
            self.output
                .line(&self.named().plain(&format!(": {all} accepted")))?;
        }
        Ok(())
    }

    /// What a message's outcome makes of the exit status.
    fn ending(&self, outcome: &Outcome) -> ExitStatus {
        match (outcome.outcome.as_str(), self.args.wait) {
            ("completed", _) | ("waiting", false) => ExitStatus::Ok,
            ("waiting", true) => ExitStatus::TryLater,
            _ => ExitStatus::Declined,
        }
    }

    fn print(&self, outcome: &Outcome, line: Option<u64>) -> Result<(), OutputError> {
        if self.output.is_json() {
            let mut shown = json!({ "device": self.device, "module": self.args.module });
            if let Some(line) = line {
                shown["line"] = line.into();
            }
            let mut outcome = json!(outcome);
            if let (Some(shown), Some(outcome)) = (shown.as_object_mut(), outcome.as_object_mut()) {
                shown.append(outcome);
            }
            return self.output.json_line(&shown);
        }
        if line.is_some() && !self.args.wait {
            // A file without a wait is told of at its end.
            return Ok(());
        }
        let place = line.map_or_else(String::new, |line| format!(", line {line}"));
        let told = told(outcome, self.args);
        self.output
            .line(&self.named().plain(&format!("{place}: {told}")))
    }

    fn explained(&self, err: anyhow::Error, line: Option<u64>) -> anyhow::Error {
        let cannot = match line {
            Some(line) => self.stopped(line),
            None => format!("the module `{}` was sent nothing", self.args.module),
        };
        match failure::exit_status(&err) {
            ExitStatus::NotFound => with_cannot(err, cannot),
            ExitStatus::TryLater => {
                let failure = Failure::new(ExitStatus::TryLater, cannot).hint(format!(
                    "see with `wasm-edge inspect {}` what waits there; with `--wait` each message is waited for",
                    self.args.module
                ));
                err.context(failure)
            }
            status @ (ExitStatus::InvalidInput | ExitStatus::Failure) => {
                err.context(Failure::new(status, cannot))
            }
            _ => err,
        }
    }

    /// Where a file was stopped.
    fn stopped(&self, line: u64) -> String {
        let before = human::count(self.accepted, "message");
        format!("line {line} was not sent, nor what follows it; {before} before it accepted")
    }

    fn named(&self) -> Text {
        device_and_module(&self.device, &self.args.module)
    }
}

/// An outcome in words.
fn told(outcome: &Outcome, args: &SendArgs) -> String {
    match (outcome.outcome.as_str(), args.wait) {
        ("waiting", false) => "accepted".to_owned(),
        ("waiting", true) => {
            let waited = args.timeout.as_secs_f64();
            format!("accepted, and not dealt with within {waited} s; it goes on waiting")
        }
        ("set-aside", _) => {
            let reason = outcome.reason.as_deref().unwrap_or("for no known reason");
            match outcome.detail.as_deref() {
                None | Some("") => format!("put aside, {reason}"),
                Some(detail) => format!("put aside, {reason}: {detail}"),
            }
        }
        (other, _) => other.to_owned(),
    }
}
