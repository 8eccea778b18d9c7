//! The commands under `hub device`: identities of devices.

use serde::Deserialize;
use serde_json::Value;

use super::asked::AskedHub;
use crate::args::GlobalArgs;
use crate::args::hub::device::{DeviceCommand, DeviceListArgs};
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::output::Output;
use crate::output::table::{Align, Table};

/// Runs a command under `hub device`.
pub(super) async fn execute(
    command: DeviceCommand,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    match command {
        DeviceCommand::List(args) => list(args, global, output).await,
    }
}

/// Of a device's identity, what a row shows; what is left out reads as empty.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Row {
    device_id: String,
    status: String,
    connection_state: String,
    authentication: Authentication,
    capabilities: Capabilities,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Authentication {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Capabilities {
    iot_edge: bool,
}

async fn list(
    args: DeviceListArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let hub = AskedHub::find(global, &args.far).await?;
    let target = Target::devices().query("top", &args.top.to_string());
    let mut devices: Vec<Value> = hub.get(&target).await?;
    devices.sort_by(|a, b| a["deviceId"].as_str().cmp(&b["deviceId"].as_str()));
    if output.is_json() {
        output.json(&devices)?;
        return Ok(ExitStatus::Ok);
    }
    let mut table = Table::new(&[
        ("DEVICE", Align::Left),
        ("STATUS", Align::Left),
        ("CONNECTION", Align::Left),
        ("AUTHENTICATION", Align::Left),
        ("EDGE", Align::Left),
    ]);
    for device in devices {
        let row: Row = serde_json::from_value(device).unwrap_or_default();
        let edge = if row.capabilities.iot_edge { "yes" } else { "" };
        table.row([
            row.device_id,
            row.status,
            row.connection_state,
            row.authentication.kind,
            edge.to_owned(),
        ]);
    }
    output.table(&table)?;
    Ok(ExitStatus::Ok)
}
