//! A module as a page for people: what it is, how it is, what it takes of what it may, and its messages.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use wasm_edge_model::manifest::STARTUP_ORDER_DEFAULT;

use super::super::store::Store;
use crate::output::table::{Align, Table};
use crate::output::text::{Style, Text};
use crate::output::{Output, OutputError, human};

/// Columns that a field's name gets.
const NAME_WIDTH: usize = 10;

/// Messages put aside that are shown; the JSON form has all of them.
const ASIDE_SHOWN_MAX: usize = 20;

/// Characters of a body that are shown.
const BODY_SHOWN_MAX: usize = 200;

/// What the device answers about a module; what a device of another version leaves out reads as empty or zero.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Module {
    device: String,
    module: String,
    desired_status: String,
    status: String,
    status_description: Option<String>,
    ready: bool,
    restart_count: u64,
    restart_policy: Option<String>,
    startup_order: Option<u32>,
    image: Option<String>,
    image_digest: Option<String>,
    exit_code: Option<i64>,
    last_start_time: Option<wasm_edge_model::time::Timestamp>,
    last_exit_time: Option<wasm_edge_model::time::Timestamp>,
    last_exit_reason: Option<String>,
    last_restart_time: Option<wasm_edge_model::time::Timestamp>,
    memory_bytes: u64,
    memory_limit_bytes: u64,
    host_memory_bytes: u64,
    messages_handled: u64,
    messages_failed: u64,
    messages_queued: u64,
    messages_set_aside: u64,
    upstream_disconnected: bool,
    local_changes: Option<LocalChanges>,
    warnings: Vec<String>,
    queues: Vec<Queue>,
    sent: Option<Sent>,
    set_aside: Vec<Aside>,
    store: Option<Store>,
    session: Option<Session>,
    traffic: Option<Traffic>,
}

/// How the sessions of the module's identity with the hub fare.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Session {
    connected: bool,
    connected_time: Option<wasm_edge_model::time::Timestamp>,
    reconnects: u64,
}

/// What they have cost on the network.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Traffic {
    sent_bytes: u64,
    received_bytes: u64,
    message_bytes: u64,
    connections: u64,
}

/// Desired properties that are others on the device than at the hub.
#[derive(Deserialize)]
struct LocalChanges {
    time: wasm_edge_model::time::Timestamp,
    author: Author,
}

#[derive(Deserialize)]
struct Author {
    uid: u32,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Queue {
    endpoint: String,
    routed: bool,
    queued_messages: u64,
    in_hand_messages: u64,
    staged_messages: u64,
    bytes: u64,
    aside_messages: u64,
    counters: QueueCounters,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct QueueCounters {
    taken: u64,
    delivered: u64,
    failed_tries: u64,
    retries: u64,
    expired: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Sent {
    messages: u64,
    bytes: u64,
    counters: SentCounters,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SentCounters {
    taken: u64,
    no_route: u64,
    would_block: u64,
    invalid: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Aside {
    input: Option<String>,
    from: Option<String>,
    reason: String,
    detail: Option<String>,
    tries: u64,
    age_ms: u64,
    message: Message,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Message {
    body: Option<Value>,
    body_text: Option<String>,
    body_base64: Option<String>,
    properties: Map<String, Value>,
}

/// The versions of a twin's sections at the hub.
pub(super) struct TwinVersions {
    pub(super) desired: Option<u64>,
    pub(super) reported: Option<u64>,
}

/// Prints the page.
pub(super) fn print(
    module: &Module,
    twin: Option<TwinVersions>,
    now: Timestamp,
    output: &Output,
) -> Result<(), OutputError> {
    for (name, text) in module.fields(twin, now) {
        let style = Style::of_module(&module.module);
        let line = Text::new().styled(Style::Dim, name).pad_to(NAME_WIDTH);
        let line = match name {
            "module" => line.styled(style, &text),
            _ => line.plain(&text),
        };
        output.line(&line)?;
    }
    if !module.warnings.is_empty() {
        section("warnings", output)?;
        for warning in &module.warnings {
            output.line(&Text::new().plain("  ").styled(Style::Yellow, warning))?;
        }
    }
    if !module.queues.is_empty() {
        output.line(&Text::new())?;
        output.table(&queues(&module.queues))?;
    }
    if !module.set_aside.is_empty() {
        section("put aside", output)?;
        for aside in module.set_aside.iter().take(ASIDE_SHOWN_MAX) {
            output.line(&Text::new().plain("  ").plain(&aside.what()))?;
            let message = Text::new().plain("    ").plain(&aside.message.body_text());
            output.line(&message.styled(Style::Dim, &aside.message.properties_text()))?;
        }
        let more = module.set_aside.len().saturating_sub(ASIDE_SHOWN_MAX);
        if more > 0 {
            output
                .line(&Text::new().plain(&format!("  and {more} more; `--output json` has all")))?;
        }
    }
    Ok(())
}

fn section(name: &str, output: &Output) -> Result<(), OutputError> {
    output.line(&Text::new())?;
    output.line(&Text::new().styled(Style::Bold, name))
}

impl Module {
    /// The lines at the top: a name and what there is to say.
    fn fields(&self, twin: Option<TwinVersions>, now: Timestamp) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("module", self.module.clone()),
            ("device", self.device.clone()),
            ("status", self.status_text()),
            ("image", self.image.clone().unwrap_or("-".to_owned())),
        ];
        fields.extend(self.image_digest.clone().map(|digest| ("digest", digest)));
        fields.push(("started", when(self.last_start_time, now)));
        if self.last_exit_time.is_some() || self.last_exit_reason.is_some() {
            fields.push(("ended", self.ended_text(now)));
        }
        fields.push(("restarts", self.restarts_text(now)));
        fields.push(("memory", self.memory_text()));
        fields.push((
            "messages",
            format!(
                "{} handled, {} failed, {} waiting, {} put aside",
                self.messages_handled,
                self.messages_failed,
                self.messages_queued,
                self.messages_set_aside
            ),
        ));
        fields.extend(self.sent.as_ref().map(|sent| ("sent", sent.text())));
        fields.extend(self.store.as_ref().map(|store| ("store", store.text())));

        fields.extend(
            self.session
                .as_ref()
                .map(|session| ("session", session.text(now))),
        );
        fields.extend(
            self.traffic
                .as_ref()
                .map(|traffic| ("traffic", traffic.text())),
        );
        if self.upstream_disconnected {
            let text = "taken away by `wasm-edge upstream disconnect`";
            fields.push(("upstream", text.to_owned()));
        }
        let version = |version: Option<u64>| version.map_or("-".to_owned(), |it| it.to_string());
        fields.extend(twin.map(|twin| {
            let (desired, reported) = (version(twin.desired), version(twin.reported));
            (
                "twin",
                format!("desired at version {desired}, reported at version {reported}"),
            )
        }));
        fields.extend(self.local_changes.as_ref().map(|local| {
            let time = human::relative(local.time.as_jiff(), now);
            let user = local.author.uid;
            let text =
                format!("desired properties were changed on the device {time} by user {user}");
            ("local", text)
        }));
        fields
    }

    fn status_text(&self) -> String {
        let mut text = self.status.clone();
        if self.status == "running" {
            text.push_str(if self.ready {
                ", ready"
            } else {
                ", not ready yet"
            });
        }
        // One that waits for its restart is as desired; one that is down though it is to run is not.
        let is_down = matches!(self.status.as_str(), "stopped" | "failed");
        let is_to_be_down = self.desired_status == "stopped";
        if !self.desired_status.is_empty() && is_down != is_to_be_down {
            text.push_str(&format!(", desired {}", self.desired_status));
        }
        match self.status_description.as_deref() {
            None | Some("") => text,
            Some(description) if description == self.status => text,
            Some(description) => format!("{text}: {description}"),
        }
    }

    fn ended_text(&self, now: Timestamp) -> String {
        let mut text = when(self.last_exit_time, now);
        if let Some(code) = self.exit_code {
            text.push_str(&format!(", exit code {code}"));
        }
        match self.last_exit_reason.as_deref() {
            None | Some("") => text,
            Some(reason) => format!("{text}: {reason}"),
        }
    }

    fn restarts_text(&self, now: Timestamp) -> String {
        let mut text = self.restart_count.to_string();
        if self.last_restart_time.is_some() {
            text.push_str(&format!(", the last {}", when(self.last_restart_time, now)));
        }
        if let Some(policy) = &self.restart_policy {
            text.push_str(&format!("; policy {policy}"));
        }
        match self.startup_order {
            None | Some(STARTUP_ORDER_DEFAULT) => text,
            Some(order) => format!("{text}, startup order {order}"),
        }
    }

    fn memory_text(&self) -> String {
        let mut text = human::size(self.memory_bytes);
        if let Some(percent) = (self.memory_bytes * 100).checked_div(self.memory_limit_bytes) {
            let limit = human::size(self.memory_limit_bytes);
            text.push_str(&format!(" of {limit} ({percent} %)"));
        }
        format!(
            "{text}, and the host holds {} for it",
            human::size(self.host_memory_bytes)
        )
    }
}

impl Session {
    fn text(&self, now: Timestamp) -> String {
        let times = match self.reconnects {
            0 => String::new(),
            1 => ", 1 reconnect".to_owned(),
            reconnects => format!(", {reconnects} reconnects"),
        };
        match self.connected {
            true => format!("connected since {}{times}", when(self.connected_time, now)),
            false => format!("not connected{times}"),
        }
    }
}

impl Traffic {
    fn text(&self) -> String {
        format!(
            "{} sent, {} received, of which {} for messages, over {} connections",
            human::size(self.sent_bytes),
            human::size(self.received_bytes),
            human::size(self.message_bytes),
            self.connections
        )
    }
}

impl Sent {
    fn text(&self) -> String {
        let SentCounters {
            taken,
            no_route,
            would_block,
            invalid,
        } = self.counters;
        let mut text = format!(
            "{taken} messages, of which {} wait ({})",
            self.messages,
            human::size(self.bytes)
        );
        for (count, what) in [
            (no_route, "without a route"),
            (would_block, "refused for want of room"),
            (invalid, "refused as not valid"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        text
    }
}

impl Aside {
    fn what(&self) -> String {
        let input = self.input.as_deref().unwrap_or("-");
        let from = self.from.as_deref().unwrap_or("-");
        let age = human::duration(self.age_ms / 1000);
        let reason = self.reason.replace('-', " ");
        let tries = match self.tries {
            0 => String::new(),
            1 => " after 1 failed try".to_owned(),
            tries => format!(" after {tries} failed tries"),
        };
        let text = format!("on {input}, from {from}, {age} old: {reason}{tries}");
        match self.detail.as_deref() {
            None | Some("") => text,
            Some(detail) => format!("{text}: {detail}"),
        }
    }
}

impl Message {
    fn body_text(&self) -> String {
        let text = match (&self.body, &self.body_text, &self.body_base64) {
            (Some(body), ..) => body.to_string(),
            (None, Some(text), _) => text.clone(),
            (None, None, Some(bytes)) => format!("base64:{bytes}"),
            (None, None, None) => String::new(),
        };
        match text.char_indices().nth(BODY_SHOWN_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    fn properties_text(&self) -> String {
        let text = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        self.properties
            .iter()
            .map(|(name, value)| format!(" {name}={}", text(value)))
            .collect()
    }
}

/// A time for people, with the exact one behind it.
fn when(time: Option<wasm_edge_model::time::Timestamp>, now: Timestamp) -> String {
    match time.filter(|time| *time != wasm_edge_model::time::Timestamp::UNSET) {
        None => "-".to_owned(),
        Some(time) => {
            let time = time.as_jiff();
            let exact = time.strftime("%Y-%m-%dT%H:%M:%SZ");
            format!("{} ({exact})", human::relative(time, now))
        }
    }
}

fn queues(queues: &[Queue]) -> Table {
    let mut columns = vec![("INPUT", Align::Left), ("ROUTED", Align::Left)];
    columns.extend(
        [
            "WAITING",
            "IN HAND",
            "STAGED",
            "SIZE",
            "ASIDE",
            "TAKEN",
            "DELIVERED",
            "FAILED",
            "RETRIED",
            "EXPIRED",
        ]
        .map(|name| (name, Align::Right)),
    );
    let mut table = Table::new(&columns);
    for queue in queues {
        let input = queue.endpoint.rsplit("/inputs/").next().unwrap_or_default();
        table.row([
            input.to_owned(),
            if queue.routed { "yes" } else { "no" }.to_owned(),
            queue.queued_messages.to_string(),
            queue.in_hand_messages.to_string(),
            queue.staged_messages.to_string(),
            human::size(queue.bytes),
            queue.aside_messages.to_string(),
            queue.counters.taken.to_string(),
            queue.counters.delivered.to_string(),
            queue.counters.failed_tries.to_string(),
            queue.counters.retries.to_string(),
            queue.counters.expired.to_string(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::tests::captured;
    use crate::output::{Format, Verbosity};

    fn check(answer: Value, twin: Option<TwinVersions>, expected: &str) {
        let module: Module = serde_json::from_value(answer).unwrap();
        let now = "2026-01-10T12:00:00Z".parse().unwrap();
        let (output, data, _) = captured(Format::Text, false, Verbosity::Normal);
        print(&module, twin, now, &output).unwrap();
        assert_eq!(data.text(), expected, "\n{}", data.text());
    }

    #[test]
    fn a_page_has_all_that_is_known() {
        let answer = r#"{
            "device": "Hannover01", "module": "filter", "desiredStatus": "running", "status": "running",
            "statusDescription": "running", "ready": true, "restartCount": 2, "restartPolicy": "always",
            "startupOrder": 1, "image": "file:/m.wasm", "imageDigest": "sha256:cd33", "exitCode": 1,
            "lastStartTime": "2026-01-10T11:59:18.5000000Z", "lastExitTime": "2026-01-10T11:59:08.0000000Z",
            "lastExitReason": "trapped: unreachable\u001b[2J", "lastRestartTime": "2026-01-10T11:59:18.5000000Z",
            "memoryBytes": 1048576, "memoryLimitBytes": 4194304, "hostMemoryBytes": 512, "messagesHandled": 12,
            "messagesFailed": 1, "messagesQueued": 3, "messagesSetAside": 1, "unknown": {"a": 1},
            "warnings": ["`HostConfig.Privileged` has no meaning here"],
            "queues": [{
                "endpoint": "/modules/filter/inputs/in", "routed": true, "queuedMessages": 3, "inHandMessages": 0,
                "stagedMessages": 0, "bytes": 2048, "asideMessages": 1, "priorities": [{"priority": 0}],
                "counters": {"taken": 16, "delivered": 12, "failedTries": 5, "retries": 0, "expired": 0}
            }],
            "session": {"connected": true, "connectedTime": "2026-01-10T11:59:00.0000000Z", "opened": 3, "reconnects": 2},
            "traffic": {"sentBytes": 2048, "receivedBytes": 1024, "messageBytes": 512, "connections": 3},
            "store": {"space": {"fileBytes": 1048576, "maxBytes": 268435456},
                "figures": {"messages": 1, "writtenBytes": 512}},
            "sent": {"messages": 1, "bytes": 300, "counters": {"taken": 9, "noRoute": 2, "wouldBlock": 0, "invalid": 1}},
            "setAside": [{
                "input": "in", "from": "sensor", "reason": "tries-exhausted", "detail": "trapped", "tries": 5,
                "ageMs": 200000, "message": {"body": {"load": 1}, "properties": {"p": "1"}, "systemProperties": {}}
            }]
        }"#;
        let answer = serde_json::from_str(answer).unwrap();
        let twin = TwinVersions {
            desired: Some(4),
            reported: None,
        };
        let expected = "\
module    filter
device    Hannover01
status    running, ready
image     file:/m.wasm
digest    sha256:cd33
started   42s ago (2026-01-10T11:59:18Z)
ended     52s ago (2026-01-10T11:59:08Z), exit code 1: trapped: unreachable\\u{1b}[2J
restarts  2, the last 42s ago (2026-01-10T11:59:18Z); policy always, startup order 1
memory    1.00 MiB of 4.00 MiB (25 %), and the host holds 512 B for it
messages  12 handled, 1 failed, 3 waiting, 1 put aside
sent      9 messages, of which 1 wait (300 B), 2 without a route, 1 refused as not valid
store     1.00 MiB of 256 MiB; 512 B written for 1 message
session   connected since 1m ago (2026-01-10T11:59:00Z), 2 reconnects
traffic   2.00 KiB sent, 1.00 KiB received, of which 512 B for messages, over 3 connections
twin      desired at version 4, reported at version -

warnings
  `HostConfig.Privileged` has no meaning here

INPUT  ROUTED  WAITING  IN HAND  STAGED      SIZE  ASIDE  TAKEN  DELIVERED  FAILED  RETRIED  EXPIRED
in     yes           3        0       0  2.00 KiB      1     16         12       5        0        0

put aside
  on in, from sensor, 3m 20s old: tries exhausted after 5 failed tries: trapped
    {\"load\":1} p=1
";
        check(answer, Some(twin), expected);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let answer = json!({
            "device": "d", "module": "m", "desiredStatus": "running", "status": "failed",
            "statusDescription": "exit code 3", "image": null, "lastStartTime": "0001-01-01T00:00:00Z",
        });
        let expected = "\
module    m
device    d
status    failed, desired running: exit code 3
image     -
started   -
restarts  0
memory    0 B, and the host holds 0 B for it
messages  0 handled, 0 failed, 0 waiting, 0 put aside
";
        check(answer, None, expected);
    }

    #[test]
    fn of_many_messages_the_first_are_shown() {
        let aside = json!({ "reason": "rejected", "message": { "bodyText": "x".repeat(300) } });
        let answer = json!({ "module": "m", "setAside": vec![aside; ASIDE_SHOWN_MAX + 3] });
        let module: Module = serde_json::from_value(answer).unwrap();
        let (output, data, _) = captured(Format::Text, false, Verbosity::Normal);
        print(&module, None, Timestamp::UNIX_EPOCH, &output).unwrap();
        let text = data.text();
        assert!(
            text.ends_with("  and 3 more; `--output json` has all\n"),
            "{text}"
        );
        assert!(
            text.contains(&format!("    {}…\n", "x".repeat(BODY_SHOWN_MAX))),
            "{text}"
        );
    }
}
