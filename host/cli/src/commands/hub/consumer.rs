//! The commands under `hub consumer`: who reads the telemetry under a name, and how far.

use hyper::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::asked::AskedHub;
use crate::args::GlobalArgs;
use crate::args::hub::events::{ConsumerCommand, ConsumerDeleteArgs, ConsumerListArgs};
use crate::client::Ask;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::output::table::{Align, Table};
use crate::output::text::Text;
use crate::output::{Output, human};

/// Runs a command under `hub consumer`.
pub(super) async fn execute(
    command: ConsumerCommand,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    match command {
        ConsumerCommand::List(args) => list(args, global, output).await,
        ConsumerCommand::Delete(args) => delete(args, global, output).await,
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Row {
    name: String,
    position: String,
    updated_time: Option<wasm_edge_model::time::Timestamp>,
}

async fn list(
    args: ConsumerListArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let hub = AskedHub::find(global, &args.far).await?;
    let consumers: Vec<Value> = hub.get(&Target::own(&["consumers"])).await?;
    if output.is_json() {
        output.json(&consumers)?;
        return Ok(ExitStatus::Ok);
    }
    let mut table = Table::new(&[
        ("CONSUMER", Align::Left),
        ("POSITION", Align::Right),
        ("MOVED", Align::Left),
    ]);
    for consumer in consumers {
        let row: Row = serde_json::from_value(consumer).unwrap_or_default();
        let moved = row
            .updated_time
            .map(|time| human::relative(time.as_jiff(), Timestamp::now()));
        table.row([row.name, row.position, moved.unwrap_or_default()]);
    }
    output.table(&table)?;
    Ok(ExitStatus::Ok)
}

async fn delete(
    args: ConsumerDeleteArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let hub = AskedHub::find(global, &args.far).await?;
    let target = Target::own(&["consumers", &args.name]);
    hub.ask(Method::DELETE, &target, Ask::default()).await?;
    output.note(&Text::new().plain(&format!("the consumer `{}` is forgotten", args.name)));
    Ok(ExitStatus::Ok)
}
