//! `upstream`: a device's way to its hub is shown, taken away and given back.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_model::time::Timestamp;

use super::running::Running;
use crate::args::GlobalArgs;
use crate::args::upstream::UpstreamCommand;
use crate::client::ClientError;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::human::relative;
use crate::output::table::{Align, Table};
use crate::output::text::Text;
use crate::output::{Output, OutputError};

/// How long the device may take to say that it did.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// The way of one device, as the device tells it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Way {
    device: String,
    disconnected: bool,
    messages_queued: u64,
    messages_set_aside: u64,
    messages_sent: u64,
    /// Of a hub on the network, how the way to it is.
    standing: Option<String>,
    since: Option<Timestamp>,
    cause: Option<String>,
    transport: Option<String>,
}

#[derive(Deserialize)]
struct Ways {
    upstream: Vec<Way>,
}

/// Runs one of the commands under `upstream`.
pub(super) async fn execute(
    command: UpstreamCommand,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find(global).await?;
    match command {
        UpstreamCommand::Status(args) => status(&running, args.device.as_ref(), output).await,
        UpstreamCommand::Disconnect(args) => {
            switch(&running, args.device.as_ref(), "disconnect", output).await
        }
        UpstreamCommand::Connect(args) => {
            switch(&running, args.device.as_ref(), "connect", output).await
        }
    }
}

async fn status(
    running: &Running,
    device: Option<&DeviceId>,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let device = running.device_if_given(device)?;
    let target =
        Target::path(&["v1", "upstream"]).query_if("device", device.as_ref().map(DeviceId::as_str));
    let answer = running.get(&target).await?;
    if output.is_json() {
        output.json(&answer)?;
        return Ok(ExitStatus::Ok);
    }
    let ways: Ways = read(answer)?;
    print(&ways.upstream, output)?;
    Ok(ExitStatus::Ok)
}

async fn switch(
    running: &Running,
    device: Option<&DeviceId>,
    verb: &str,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let device = running.device(device)?;
    let target = Target::path(&["v1", "upstream", device.as_str(), verb]);
    let answer = running.post(&target, None, ANSWER_TIME_MAX).await?;
    if output.is_json() {
        output.json(&answer)?;
        return Ok(ExitStatus::Ok);
    }
    let way: Way = read(answer)?;
    output.line(&Text::new().plain(&format!("{}: {}", way.device, way.state())))?;
    Ok(ExitStatus::Ok)
}

impl Way {
    fn state(&self) -> &str {
        match (self.disconnected, &self.standing) {
            (true, _) => "disconnected",
            (false, Some(standing)) => standing,
            (false, None) => "connected",
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|err| ClientError::NotJson(err).into())
}

fn print(ways: &[Way], output: &Output) -> Result<(), OutputError> {
    let is_far = ways.iter().any(|way| way.standing.is_some());
    let mut columns = vec![("DEVICE", Align::Left), ("UPSTREAM", Align::Left)];
    if is_far {
        columns.extend([("BY", Align::Left), ("SINCE", Align::Right)]);
    }
    columns.extend([
        ("QUEUED", Align::Right),
        ("SET ASIDE", Align::Right),
        ("SENT", Align::Right),
    ]);
    if is_far {
        columns.push(("CAUSE", Align::Left));
    }
    let mut table = Table::new(&columns);
    let now = jiff::Timestamp::now();
    for way in ways {
        let mut row = vec![way.device.clone(), way.state().to_owned()];
        if is_far {
            row.push(way.transport.clone().unwrap_or_default());
            let since = way.since.map(|since| relative(since.as_jiff(), now));
            row.push(since.unwrap_or_default());
        }
        let numbers = [
            way.messages_queued,
            way.messages_set_aside,
            way.messages_sent,
        ];
        row.extend(numbers.map(|number| number.to_string()));
        if is_far {
            row.push(way.cause.clone().unwrap_or_default());
        }
        table.row(row);
    }
    output.table(&table)
}
