//! The commands under `hub device`: identities of devices.

use serde::Deserialize;
use serde_json::{Value, json};
use wasm_edge_model::identity::TwinOwner;

use super::asked::AskedHub;
use super::identity::{self, Authentication, Match};
use super::query::{self, PAGE_MAX};
use crate::args::GlobalArgs;
use crate::args::hub::device::{
    DeviceCommand, DeviceCreateArgs, DeviceDeleteArgs, DeviceListArgs, DeviceShowArgs,
    DeviceUpdateArgs,
};
use crate::args::hub::identity::StatusArg;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::output::Output;
use crate::output::table::{Align, Table};
use crate::output::text::Text;

/// Runs a command under `hub device`.
pub(super) async fn execute(
    command: DeviceCommand,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    match command {
        DeviceCommand::Create(args) => create(*args, global, output).await,
        DeviceCommand::List(args) => list(args, global, output).await,
        DeviceCommand::Show(args) => show(args, global, output).await,
        DeviceCommand::Update(args) => update(*args, global, output).await,
        DeviceCommand::Delete(args) => delete(args, global, output).await,
    }
}

/// Of a device's identity or twin, what a row shows; what is left out reads as empty.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Row {
    device_id: String,
    status: String,
    connection_state: String,
    authentication: Authentication,
    /// In twins, in place of the former.
    authentication_type: Option<String>,
    capabilities: Capabilities,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Capabilities {
    iot_edge: bool,
}

async fn create(
    args: DeviceCreateArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let authentication = identity::authentication(&args.authentication)?;
    let hub = AskedHub::find(global, &args.far).await?;
    let status = match args.disabled {
        true => StatusArg::Disabled,
        false => args.status,
    };
    let body = identity::body(json!({
        "deviceId": args.device,
        "status": status.as_str(),
        "statusReason": args.status_reason,
        "capabilities": { "iotEdge": args.edge },
        "authentication": authentication.unwrap_or_else(identity::new_keys),
    }));
    let owner = TwinOwner::Device(args.device);
    let made = identity::write(&hub, &owner, &body, Match::New).await?;
    identity::tell(&hub, &owner, made, " is made", output).await
}

async fn show(
    args: DeviceShowArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let hub = AskedHub::find(global, &args.far).await?;
    let found = identity::read(&hub, &TwinOwner::Device(args.device)).await?;
    identity::show(&found, output)
}

async fn update(
    args: DeviceUpdateArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let mut authentication = identity::authentication(&args.authentication)?;
    if args.new_keys {
        authentication = Some(identity::new_keys());
    }
    let status = match args.disabled {
        true => Some(StatusArg::Disabled),
        false => args.status,
    };
    let hub = AskedHub::find(global, &args.far).await?;
    let owner = TwinOwner::Device(args.device);
    let etag = args.etag.as_ref().map(|etag| etag.as_header());
    let changed = identity::update(&hub, &owner, etag, |identity| {
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                identity.insert(name.to_owned(), value);
            }
        };
        set("status", status.map(|status| status.as_str().into()));
        set("statusReason", args.status_reason.map(Value::from));
        set(
            "capabilities",
            args.edge.map(|edge| json!({ "iotEdge": edge })),
        );
        set("authentication", authentication);
    });
    identity::tell(&hub, &owner, changed.await?, " is changed", output).await
}

async fn delete(
    args: DeviceDeleteArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let hub = AskedHub::find(global, &args.far).await?;
    let etag = args.etag.as_ref().map(|etag| etag.as_header());
    identity::delete(&hub, &TwinOwner::Device(args.device), etag, output).await
}

async fn list(
    args: DeviceListArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let hub = AskedHub::find(global, &args.far).await?;
    let top = usize::try_from(args.top).unwrap_or(usize::MAX);
    let mut devices = match top <= PAGE_MAX {
        true => {
            let target = Target::devices().query("top", &top.to_string());
            hub.get::<Vec<Value>>(&target).await?
        }
        // More than the registry lists at once: by their twins.
        false => {
            query::pages(&hub, "SELECT * FROM devices", top)
                .await?
                .items
        }
    };
    let more = devices.len() >= top;
    devices.sort_by(|a, b| a["deviceId"].as_str().cmp(&b["deviceId"].as_str()));
    if output.is_json() {
        output.json(&devices)?;
    } else {
        output.table(&table(devices))?;
    }
    if more {
        let text = format!("there may be more than these {top}: `--top` says how many are shown");
        output.note(&Text::new().plain(&text));
    }
    Ok(ExitStatus::Ok)
}

fn table(devices: Vec<Value>) -> Table {
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
            row.authentication_type.unwrap_or(row.authentication.kind),
            edge.to_owned(),
        ]);
    }
    table
}
