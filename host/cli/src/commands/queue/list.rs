//! `queue list`: the queues of the running devices, and the space of their stores.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::running::Running;
use super::super::store::Store;
use crate::args::GlobalArgs;
use crate::args::queue::QueueListArgs;
use crate::client::ClientError;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::table::{Align, Table};
use crate::output::text::Text;
use crate::output::{Output, OutputError, human};
use crate::run_view::Names;

/// The counters of messages that are gone without having been dealt with, in the order in which they are told.
const LOSSES: [(&str, &str); 8] = [
    ("expired", "expired"),
    ("removed", "removed"),
    ("droppedOldest", "dropped-oldest"),
    ("droppedNewest", "dropped-newest"),
    ("thinnedOut", "thinned-out"),
    ("purged", "purged"),
    ("damaged", "damaged"),
    ("asideDropped", "aside-dropped"),
];

/// The answer of `GET /v1/queues`; what a device of another version leaves out reads as empty or zero.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Queues {
    queues: Vec<Queue>,
    stores: Vec<Store>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Queue {
    device: String,
    endpoint: String,
    queued_messages: u64,
    in_hand_messages: u64,
    aside_messages: u64,
    bytes: u64,
    priorities: Vec<Priority>,
    counters: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Priority {
    priority: u32,
    messages: u64,
    oldest_ms: Option<u64>,
}

/// Prints the queues, by device and endpoint.
pub(super) async fn execute(
    args: QueueListArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find(global).await?;
    let device = running.device_if_given(args.device.as_ref())?;
    let target =
        Target::path(&["v1", "queues"]).query_if("device", device.as_ref().map(|id| id.as_str()));
    let answer = running.get(&target).await?;
    if output.is_json() {
        output.json(&answer)?;
        return Ok(ExitStatus::Ok);
    }
    let answer: Queues =
        serde_json::from_value(answer).map_err(|err| Failure::from(ClientError::NotJson(err)))?;
    print(&answer, running.names(), output)?;
    Ok(ExitStatus::Ok)
}

fn print(answer: &Queues, names: Names, output: &Output) -> Result<(), OutputError> {
    output.table(&table(&answer.queues, names))?;
    if !answer.stores.is_empty() {
        output.line(&Text::new())?;
    }
    for store in &answer.stores {
        let of = match names {
            Names::Modules => String::new(),
            Names::DevicesAndModules => format!(" of {}", store.device),
        };
        let line = format!("store{of}: {}", store.text());
        output.line(&Text::new().plain(&line))?;
        if store.is_failing() {
            output.warn(&format!(
                "the store{of} cannot be written now; messages are not acknowledged until it can"
            ));
        }
    }
    Ok(())
}

fn table(queues: &[Queue], names: Names) -> Table {
    let columns = [
        ("QUEUE", Align::Left),
        ("WAITING", Align::Right),
        ("OLDEST", Align::Right),
        ("IN HAND", Align::Right),
        ("ASIDE", Align::Right),
        ("SIZE", Align::Right),
        ("DELIVERED", Align::Right),
        ("LOST", Align::Left),
    ];
    let mut table = Table::of_devices(&columns, names == Names::DevicesAndModules);
    for queue in queues {
        table.row_of(&queue.device, queue.row());
        if queue.priorities.len() > 1 {
            for priority in &queue.priorities {
                table.row_of(&queue.device, priority.row());
            }
        }
    }
    table
}

impl Queue {
    fn row(&self) -> Vec<String> {
        let oldest = self.priorities.iter().filter_map(|line| line.oldest_ms);
        vec![
            self.name(),
            self.queued_messages.to_string(),
            age(oldest.max()),
            self.in_hand_messages.to_string(),
            self.aside_messages.to_string(),
            human::size(self.bytes),
            self.count("delivered").to_string(),
            self.losses(),
        ]
    }

    /// As it is typed: `module/input`.
    fn name(&self) -> String {
        let parts = self
            .endpoint
            .strip_prefix("/modules/")
            .and_then(|rest| rest.split_once("/inputs/"));
        match parts {
            Some((module, input)) => format!("{module}/{input}"),
            None => self.endpoint.clone(),
        }
    }

    fn count(&self, counter: &str) -> u64 {
        let count = self.counters.get(counter).and_then(Value::as_u64);
        count.unwrap_or_default()
    }

    fn losses(&self) -> String {
        let losses = LOSSES
            .iter()
            .map(|(counter, name)| (self.count(counter), name));
        let losses = losses.filter(|(count, _)| *count > 0);
        let losses: Vec<_> = losses
            .map(|(count, name)| format!("{count} {name}"))
            .collect();
        losses.join(", ")
    }
}

impl Priority {
    /// A row below its queue's, of what is known by priority.
    fn row(&self) -> Vec<String> {
        let name = match self.priority {
            0..10 => format!("  priority {}", self.priority),
            _ => "  no priority".to_owned(),
        };
        let mut row = vec![name, self.messages.to_string(), age(self.oldest_ms)];
        row.resize(8, String::new());
        row
    }
}

fn age(oldest_ms: Option<u64>) -> String {
    oldest_ms.map_or(String::new(), |millis| human::duration(millis / 1000))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::tests::captured;
    use crate::output::{Format, Verbosity};

    fn check(answer: Value, names: Names, expected: &str, warnings: &str) {
        let answer: Queues = serde_json::from_value(answer).unwrap();
        let (output, data, messages) = captured(Format::Text, false, Verbosity::Normal);
        print(&answer, names, &output).unwrap();
        assert_eq!(data.text(), expected, "\n{}", data.text());
        assert_eq!(messages.text(), warnings);
    }

    fn answer() -> Value {
        json!({
            "queues": [
                { "device": "d", "endpoint": "$upstream", "queuedMessages": 7, "inHandMessages": 64, "asideMessages": 0,
                  "bytes": 18_432, "priorities": [
                      { "priority": 0, "messages": 2, "oldestMs": 1_500 },
                      { "priority": 2_000_000_000_u32, "messages": 5, "oldestMs": 200_000 },
                  ], "counters": { "taken": 90, "delivered": 12, "expired": 3, "droppedOldest": 8, "new": "x" } },
                { "device": "d", "endpoint": "/modules/filter/inputs/in", "asideMessages": 1,
                  "priorities": [{ "priority": 4, "messages": 0 }], "counters": {} },
            ],
            "stores": [{ "device": "d", "space": { "fileBytes": 1_048_576, "maxBytes": 268_435_456, "isFailing": true },
                "figures": { "messages": 90, "writtenBytes": 40_960 } }],
        })
    }

    #[test]
    fn priorities_stand_below_their_queue_and_losses_have_reasons() {
        let expected = "\
QUEUE          WAITING  OLDEST  IN HAND  ASIDE      SIZE  DELIVERED  LOST
$upstream            7  3m 20s       64      0  18.0 KiB         12  3 expired, 8 dropped-oldest
  priority 0         2      1s        -      -         -          -  -
  no priority        5  3m 20s        -      -         -          -  -
filter/in            0       -        0      1       0 B          0  -

store: 1.00 MiB of 256 MiB; 40.0 KiB written for 90 messages
";
        let warning = "warning: the store cannot be written now; messages are not acknowledged until it can\n";
        check(answer(), Names::Modules, expected, warning);
    }

    #[test]
    fn a_device_of_another_version_is_shown_as_far_as_it_tells() {
        check(
            json!({ "queues": [{ "device": "d", "endpoint": "odd" }], "new": 1 }),
            Names::DevicesAndModules,
            "\
DEVICE  QUEUE  WAITING  OLDEST  IN HAND  ASIDE  SIZE  DELIVERED  LOST
d       odd          0       -        0      0   0 B          0  -
",
            "",
        );
    }
}
