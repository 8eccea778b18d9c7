//! `monitor`: the messages that go upstream, as they go.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Map, Value};
use wasm_edge_model::time::Timestamp;

use super::running::{Running, note_end, print_each};
use crate::args::{GlobalArgs, MonitorArgs};
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::output::text::{Style, Text};
use crate::output::{Output, OutputError, human};
use crate::run_view::{Names, with_name};

/// The most characters of a body that a line for people shows; JSON output has all of it.
const BODY_SHOWN_MAX: usize = 2048;

/// One line of the hub's telemetry stream: a message, or how many were lost because this command was too slow.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(default)]
    lost: Option<u64>,
    #[serde(default)]
    device: String,
    #[serde(default)]
    module: String,
    #[serde(default)]
    output: Option<String>,
    #[serde(default)]
    enqueued_time: Option<Timestamp>,
    #[serde(default)]
    properties: Map<String, Value>,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    body_text: Option<String>,
    #[serde(default)]
    body_base64: Option<String>,
}

/// Prints messages until the device ends.
pub(super) async fn execute(
    args: MonitorArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find(global).await?;
    let device = running.device_if_given(args.device.as_ref())?;
    let target = Target::path(&["wasm-edge", "v1", "telemetry"])
        .query_if("device", device.as_ref().map(|id| id.as_str()))
        .query_if("module", args.module.as_ref().map(|id| id.as_str()));
    let lines = running.stream(&target).await?;
    if output.is_json() {
        print_each(lines, output, |line: Value| output.json_line(&line)).await?;
    } else {
        let names = running.names();
        print_each(lines, output, |line: Line| print(&line, names, output)).await?;
    }
    note_end(output);
    Ok(ExitStatus::Ok)
}

fn print(line: &Line, names: Names, output: &Output) -> Result<(), OutputError> {
    if let Some(lost) = line.lost {
        output.warn(&format!(
            "{lost} messages were not shown: they came faster than they could be printed"
        ));
        return Ok(());
    }
    let time = line
        .enqueued_time
        .map_or("-".to_owned(), |time| human::time_of_day(time.as_jiff()));
    let text = Text::new().styled(Style::Dim, &time).plain(" ");
    let text = with_name(text, names, &line.device, &line.module);
    let text = match &line.output {
        Some(name) => text.plain(" ").plain(name),
        None => text,
    };
    let text = text.plain(": ").plain(&body_text(line));
    output.line(&text.styled(Style::Dim, &properties_text(&line.properties)))
}

fn body_text(line: &Line) -> String {
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

fn properties_text(properties: &Map<String, Value>) -> String {
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
        let warning =
            "warning: 7 messages were not shown: they came faster than they could be printed\n";
        check(json!({"lost": 7}), "", warning);
    }
}
