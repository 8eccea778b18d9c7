//! `monitor`: the messages that go upstream: those that a hub has got, from any position on, or, where a device answers
//! alone, those that it accepts.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use wasm_edge_model::route::condition::{Compatibility, Condition};
use wasm_edge_model::time::Timestamp;

use super::route::snippet::Marked;
use super::running::{Running, note_end, print_each};
use crate::args::telemetry_filter::TelemetryFilterArgs;
use crate::args::{GlobalArgs, MonitorArgs};
use crate::client::lines::Lines;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::{Failure, exit_status};
use crate::output::text::{Style, Text};
use crate::output::{Output, OutputError, human};
use crate::run_view::{Names, with_name};

/// The most characters of a body that a line for people shows; JSON output has all of it.
const BODY_SHOWN_MAX: usize = 2048;

/// One line of the hub's telemetry stream: a message, or how many are gone that would have come here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    #[serde(default)]
    position: Option<u64>,
    #[serde(default)]
    lost: Option<u64>,
    #[serde(default)]
    device: String,
    /// None of what a device itself sent.
    #[serde(default)]
    pub(super) module: Option<String>,
    #[serde(default)]
    pub(super) output: Option<String>,
    #[serde(default)]
    enqueued_time: Option<Timestamp>,
    #[serde(default)]
    pub(super) properties: Map<String, Value>,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    body_text: Option<String>,
    #[serde(default)]
    body_base64: Option<String>,
}

/// The header in which the hub tells with which position a stream begins.
const POSITION_HEADER: &str = "wasm-edge-position";

/// How often a device that has ended is looked for.
const RECONNECT_PERIOD: Duration = Duration::from_millis(500);

/// Prints messages until the device ends, or for ever.
pub(super) async fn execute(
    args: MonitorArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    check_condition(args.filter.condition.as_deref())?;
    let running = Running::find_hub(global, &args.far).await?;
    if running.is_azure() {
        return Err(not_over_http("telemetry is read"));
    }
    running.device_if_given(args.filter.device.as_ref())?;
    let telemetry = match running.is_device_alone() {
        true => Target::path(&["v1", "telemetry"]),
        false => Target::own(&["telemetry"]),
    };
    let monitor = Monitor {
        names: running.names(),
        running,
        target: filtered(telemetry, &args.filter),
        output,
    };
    let (mut from, mut next) = (args.from, None);
    let mut lines = monitor.open(&from).await?;
    loop {
        next = lines.number_in_head(POSITION_HEADER).or(next);
        let ended = monitor.print(lines, &mut next).await;
        match ended {
            Err(err) if !args.reconnect || !is_away(&err) => return Err(err),
            Ok(()) if !args.reconnect => break,
            _ => {}
        }
        let text = match monitor.running.is_hub() {
            true => "the hub has ended; waiting for it",
            false => "the device has ended; waiting for it",
        };
        output.note(&Text::new().styled(Style::Dim, text));
        from = next.map_or(from, |next| next.to_string());
        lines = monitor.reopen(&from).await?;
    }
    note_end(output);
    Ok(ExitStatus::Ok)
}

/// Asks for what a filter takes alone.
pub(super) fn filtered(target: Target, filter: &TelemetryFilterArgs) -> Target {
    let mut target = target
        .query_if("device", filter.device.as_ref().map(|id| id.as_str()))
        .query_if("module", filter.module.as_ref().map(|id| id.as_str()));
    for (name, value) in &filter.properties {
        target = target.query("property", &format!("{name}={value}"));
    }
    target.query_if("where", filter.condition.as_deref())
}

/// Whether a condition is one, seen here, where it can be shown with the place of its fault.
///
/// # Errors
/// When it is none.
pub(super) fn check_condition(text: Option<&str>) -> Result<(), Failure> {
    let Some(text) = text else { return Ok(()) };
    match Condition::parse(text, Compatibility::Documented, None) {
        Ok(_) => Ok(()),
        Err(error) => {
            let what = "the condition of `--where` does not compile";
            let fix = error.fix.clone();
            let failure = Failure::new(ExitStatus::InvalidInput, what);
            let failure = failure.caused_by(Marked::new(text, error));
            Err(match fix {
                Some(fix) => failure.hint(format!("write `{fix}`")),
                None => failure,
            })
        }
    }
}

/// That Azure's hub does something by another protocol.
pub(super) fn not_over_http(what: &str) -> anyhow::Error {
    let failure = Failure::new(
        ExitStatus::Failure,
        format!("{what} of Azure IoT Hub by AMQP only, which this command does not speak"),
    );
    failure
        .hint("`az iot hub monitor-events` and the SDKs do; a hub of ours does it over HTTPS")
        .into()
}

/// What is asked of a device, and where it is printed.
struct Monitor<'a> {
    running: Running,
    names: Names,
    target: Target,
    output: &'a Output,
}

impl Monitor<'_> {
    async fn open(&self, from: &str) -> anyhow::Result<Lines> {
        self.running
            .stream(&self.target.clone().query("from", from))
            .await
    }

    /// As [`Self::open`], as soon as the device is there again.
    async fn reopen(&self, from: &str) -> anyhow::Result<Lines> {
        let mut period = tokio::time::interval(RECONNECT_PERIOD);
        loop {
            period.tick().await;
            match self.open(from).await {
                Err(err) if is_away(&err) => {}
                opened => return opened,
            }
            if self.output.reader_is_gone() {
                return Err(OutputError::ReaderGone.into());
            }
        }
    }

    /// Prints what comes and notes in `next` the position behind it.
    async fn print(&self, lines: Lines, next: &mut Option<u64>) -> anyhow::Result<()> {
        let output = self.output;
        if output.is_json() {
            return print_each(lines, output, |line: Value| {
                let (position, lost) = (line["position"].as_u64(), line["lost"].as_u64());
                *next = behind(position, lost, *next);
                output.json_line(&line)
            })
            .await;
        }
        print_each(lines, output, |line: Line| {
            *next = behind(line.position, line.lost, *next);
            if let (Some(lost), true) = (line.lost, self.running.is_device_alone()) {
                output.warn(&format!("{lost} messages came too quickly to be shown"));
                return Ok(());
            }
            print(&line, self.names, output)
        })
        .await
    }
}

/// The position behind a line of the stream, when that before it was `next`.
fn behind(position: Option<u64>, lost: Option<u64>, next: Option<u64>) -> Option<u64> {
    match (position, lost, next) {
        (Some(position), ..) => Some(position.saturating_add(1)),
        (None, Some(lost), Some(next)) => Some(next.saturating_add(lost)),
        _ => next,
    }
}

fn is_away(err: &anyhow::Error) -> bool {
    exit_status(err) == ExitStatus::NotRunning
}

pub(super) fn print(line: &Line, names: Names, output: &Output) -> Result<(), OutputError> {
    if let Some(lost) = line.lost {
        output.warn(&format!(
            "{lost} messages are gone: the hub keeps so many, for so long"
        ));
        return Ok(());
    }
    let time = line
        .enqueued_time
        .map_or("-".to_owned(), |time| human::time_of_day(time.as_jiff()));
    let text = Text::new().styled(Style::Dim, &time).plain(" ");
    let module = line.module.as_deref().unwrap_or_default();
    let text = with_name(text, names, &line.device, module);
    let text = match &line.output {
        Some(name) => text.plain(" ").plain(name),
        None => text,
    };
    let text = text.plain(": ").plain(&body_text(line));
    output.line(&text.styled(Style::Dim, &properties_text(&line.properties)))
}

pub(super) fn body_text(line: &Line) -> String {
    let text = match (&line.body, &line.body_text, &line.body_base64) {
        (Some(body), ..) => body.to_string(),
        (None, Some(text), _) => text.clone(),
        (None, None, Some(bytes)) => format!("base64:{bytes}"),
        (None, None, None) => String::new(),
    };
    match text.char_indices().nth(BODY_SHOWN_MAX) {
        Some((end, _)) => format!(
            "{}… ({} in all)",
            &text[..end],
            human::size(text.len() as u64)
        ),
        None => text,
    }
}

pub(super) fn properties_text(properties: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (name, value) in properties {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        write!(text, " {name}={value}").expect("a String takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::tests::captured;
    use crate::output::{Format, Verbosity};

    fn check(line: Value, expected_data: &str, expected_messages: &str) {
        let (output, data, messages) = captured(Format::Text, false, Verbosity::Normal);
        print(
            &serde_json::from_value(line).unwrap(),
            Names::Modules,
            &output,
        )
        .unwrap();
        assert_eq!(data.text(), expected_data);
        assert_eq!(messages.text(), expected_messages);
    }

    #[test]
    fn a_message_is_one_line_whatever_its_body() {
        let message = |body: Value| {
            let mut line = json!({"device": "d", "module": "filter", "output": "alerts",
                "enqueuedTime": "2026-08-01T10:00:00.5000000Z", "properties": {"level": "high"},
                "systemProperties": {"contentType": "application/json"}});
            line.as_object_mut()
                .unwrap()
                .extend(body.as_object().unwrap().clone());
            line
        };
        let check = |body, expected: &str| {
            check(
                message(body),
                &format!("10:00:00.500Z filter alerts: {expected} level=high\n"),
                "",
            );
        };
        check(json!({"body": {"load": 0.5}}), "{\"load\":0.5}");
        check(
            json!({"bodyText": "two\nlines\x1b[2J"}),
            "two\\nlines\\u{1b}[2J",
        );
        check(json!({"bodyBase64": "/w=="}), "base64:/w==");
        check(json!({}), "");
    }

    #[test]
    fn a_long_body_is_cut_for_people() {
        let line = Line {
            body_text: Some("é".repeat(3000)),
            ..serde_json::from_value(json!({})).unwrap()
        };
        let text = body_text(&line);
        assert!(text.ends_with("é… (5.85 KiB in all)"), "{text}");
        assert_eq!(text.chars().filter(|c| *c == 'é').count(), BODY_SHOWN_MAX);
    }

    #[test]
    fn lost_messages_are_told_apart_from_data() {
        let warning = "warning: 7 messages are gone: the hub keeps so many, for so long\n";
        check(json!({"lost": 7}), "", warning);
    }
}
