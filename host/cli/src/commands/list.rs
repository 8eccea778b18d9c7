//! `list`: the modules of the running devices, with what they take and do.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::running::Running;
use crate::args::{GlobalArgs, ListArgs};
use crate::client::ClientError;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::table::{Align, Table};
use crate::output::{Output, human};
use crate::run_view::Names;

/// The answer of `GET /v1/modules`.
#[derive(Deserialize)]
struct Modules {
    modules: Vec<Module>,
}

/// Of a module's status, what a row shows.
///
/// What a device of another version leaves out reads as empty or zero.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Module {
    device: String,
    module: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    status_description: Option<String>,
    #[serde(default)]
    restart_count: u64,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    last_start_time: Option<wasm_edge_model::time::Timestamp>,
    #[serde(default)]
    memory_bytes: u64,
    #[serde(default)]
    messages_handled: u64,
    #[serde(default)]
    messages_failed: u64,
    #[serde(default)]
    messages_set_aside: u64,
    #[serde(default)]
    messages_queued: u64,
    #[serde(default)]
    warnings: Vec<String>,
}

/// Prints the modules, sorted by device and name.
pub(super) async fn execute(
    args: ListArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find(global).await?;
    let device = running.device_if_given(args.device.as_ref())?;
    let target =
        Target::path(&["v1", "modules"]).query_if("device", device.as_ref().map(|id| id.as_str()));
    let mut answer = running.get(&target).await?;
    if let Some(Value::Array(modules)) = answer.get_mut("modules") {
        modules.sort_by_cached_key(|module| (text_of(module, "device"), text_of(module, "module")));
    }
    if output.is_json() {
        output.json(&answer)?;
        return Ok(ExitStatus::Ok);
    }
    let answer: Modules =
        serde_json::from_value(answer).map_err(|err| Failure::from(ClientError::NotJson(err)))?;
    output.table(&table(&answer.modules, running.names(), Timestamp::now()))?;
    for module in answer.modules.iter().filter(|module| module.needs_a_look()) {
        let description = module
            .status_description
            .as_deref()
            .unwrap_or(&module.status);
        output.warn(&format!(
            "`{}` has status {}: {description}",
            module.module, module.status
        ));
    }
    for module in &answer.modules {
        for warning in &module.warnings {
            output.warn(&format!("`{}`: {warning}", module.module));
        }
    }
    Ok(ExitStatus::Ok)
}

impl Module {
    fn needs_a_look(&self) -> bool {
        matches!(
            self.status.as_str(),
            "failed" | "backoff" | "unhealthy" | "dead"
        )
    }

    fn row(&self, now: Timestamp) -> Vec<String> {
        let started = self
            .last_start_time
            .filter(|time| *time != wasm_edge_model::time::Timestamp::UNSET);
        vec![
            self.module.clone(),
            self.status.clone(),
            started.map_or(String::new(), |time| human::relative(time.as_jiff(), now)),
            self.restart_count.to_string(),
            human::size(self.memory_bytes),
            self.messages_handled.to_string(),
            self.messages_failed.to_string(),
            self.messages_set_aside.to_string(),
            self.messages_queued.to_string(),
            self.image.clone().unwrap_or_default(),
        ]
    }
}

fn table(modules: &[Module], names: Names, now: Timestamp) -> Table {
    let columns = [
        ("MODULE", Align::Left),
        ("STATUS", Align::Left),
        ("STARTED", Align::Left),
        ("RESTARTS", Align::Right),
        ("MEMORY", Align::Right),
        ("HANDLED", Align::Right),
        ("FAILED", Align::Right),
        ("ASIDE", Align::Right),
        ("QUEUED", Align::Right),
        ("IMAGE", Align::Left),
    ];
    let mut table = Table::of_devices(&columns, names == Names::DevicesAndModules);
    for module in modules {
        table.row_of(&module.device, module.row(now));
    }
    table
}

fn text_of(value: &Value, key: &str) -> String {
    value
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_has_units_and_relative_times() {
        let modules: Modules = serde_json::from_value(json!({"modules": [
            {"device": "d", "module": "sensor", "status": "running", "restartCount": 2, "image": "file:sensor.wasm",
             "lastStartTime": "2026-01-10T11:59:18.0000000Z", "memoryBytes": 1_572_864, "messagesHandled": 41,
             "messagesFailed": 1, "messagesSetAside": 0, "messagesQueued": 7, "unknown": true},
            {"device": "d", "module": "x", "status": "stopped", "lastStartTime": "0001-01-01T00:00:00.0000000Z",
             "image": null},
        ]}))
        .unwrap();
        let now = "2026-01-10T12:00:00Z".parse().unwrap();
        let expected = "\
MODULE  STATUS   STARTED  RESTARTS    MEMORY  HANDLED  FAILED  ASIDE  QUEUED  IMAGE
sensor  running  42s ago         2  1.50 MiB       41       1      0       7  file:sensor.wasm
x       stopped  -               0       0 B        0       0      0       0  -
";
        assert_eq!(
            table(&modules.modules, Names::Modules, now).render(false),
            expected
        );
        let with_devices = table(&modules.modules, Names::DevicesAndModules, now).render(false);
        assert!(
            with_devices.starts_with("DEVICE  MODULE  STATUS"),
            "{with_devices}"
        );
    }
}
