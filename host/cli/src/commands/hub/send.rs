//! `hub send`: messages to a device, which the hub keeps until it is connected or they expire.

use std::time::Duration;

use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::{MessageLine, SystemProperty};
use wasm_edge_model::time::Timestamp;

use super::asked::{AskedHub, document};
use super::identity::explained;
use crate::args::GlobalArgs;
use crate::args::hub::send::HubSendArgs;
use crate::client::Ask;
use crate::client::far::FarHub;
use crate::client::target::Target;
use crate::commands::{message, monitor};
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::lines_file;
use crate::output::text::{Style, Text};
use crate::output::{Output, OutputError, human};

/// What the hub says of a message that it took.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    message_id: String,
    number: u64,
    expires_at: Timestamp,
}

struct Sending<'a> {
    hub: AskedHub,
    owner: TwinOwner,
    target: Target,
    output: &'a Output,
    accepted: usize,
}

/// Sends one message, or those of a file.
pub(super) async fn execute(
    args: HubSendArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let single = match &args.file {
        Some(_) => None,
        None => Some(message::line(
            args.body.as_deref(),
            &args.properties,
            &[
                (SystemProperty::ContentType, args.content_type.as_deref()),
                (SystemProperty::MessageId, args.message_id.as_deref()),
                (
                    SystemProperty::CorrelationId,
                    args.correlation_id.as_deref(),
                ),
            ],
        )?),
    };
    let hub = AskedHub::find(global, &args.far).await?;
    if hub.far().is_some_and(FarHub::is_azure) {
        return Err(monitor::not_over_http("messages are sent to devices"));
    }
    let device = args.device;
    let expiry = args.expires_in.map(|time| from_now(time).to_string());
    let target = Target::own(&["devices", device.as_str(), "messages", "devicebound"])
        .query_if("ack", args.ack.map(|ack| ack.as_str()))
        .query_if("expiry", expiry.as_deref());
    let mut sending = Sending {
        hub,
        owner: TwinOwner::Device(device),
        target,
        output,
        accepted: 0,
    };
    match (single, args.file) {
        (Some(message), _) => sending.send(message.to_string(), None).await?,
        (None, file) => sending.send_file(file.unwrap_or_default()).await?,
    }
    Ok(ExitStatus::Ok)
}

/// So long from now, by this machine's clock.
fn from_now(time: Duration) -> Timestamp {
    Timestamp::from(jiff::Timestamp::now()).after(time)
}

impl Sending<'_> {
    /// Sends one message; `line` is where it stands in the file.
    async fn send(&mut self, message: String, line: Option<u64>) -> anyhow::Result<()> {
        let ask = Ask {
            json: Some(message),
            ..Ask::default()
        };
        let sent = self.hub.ask(Method::POST, &self.target, ask).await;
        let answer = sent.map_err(|err| match line {
            None => explained(err, &self.owner, "send to"),
            Some(line) => {
                let status = crate::failure::exit_status(&err);
                err.context(Failure::new(status, self.stopped(line)))
            }
        })?;
        let receipt: Receipt = document(answer.document)?;
        self.accepted += 1;
        Ok(self.print(&receipt, line)?)
    }

    /// Sends each line of the file, and stops at the first that is not taken.
    async fn send_file(&mut self, path: std::path::PathBuf) -> anyhow::Result<()> {
        lines_file::each(&path, async |number, line| {
            MessageLine::parse(&line).map_err(|err| {
                let failure = Failure::new(ExitStatus::InvalidInput, self.stopped(number));
                failure.caused_by(err)
            })?;
            self.send(line, Some(number)).await
        })
        .await
    }

    fn print(&self, receipt: &Receipt, line: Option<u64>) -> Result<(), OutputError> {
        let device = self.owner.device();
        if self.output.is_json() {
            let mut shown = json!(receipt);
            shown["device"] = json!(device);
            if let Some(line) = line {
                shown["line"] = line.into();
            }
            return self.output.json_line(&shown);
        }
        let place = line.map_or_else(String::new, |line| format!(", line {line}"));
        let expires = human::relative(receipt.expires_at.as_jiff(), jiff::Timestamp::now());
        let text = Text::new()
            .plain(device.as_str())
            .plain(&format!("{place}: message {} waits", receipt.message_id))
            .styled(Style::Dim, &format!("  expires {expires}"));
        self.output.line(&text)
    }

    /// Where a file was stopped.
    fn stopped(&self, line: u64) -> String {
        let before = human::count(self.accepted, "message");
        format!("line {line} was not sent, nor what follows it; {before} before it accepted")
    }
}
