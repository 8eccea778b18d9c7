//! `queue peek`: messages of one queue, without taking them.

use serde::Deserialize;
use serde_json::Value;

use super::super::monitor::{self, Line};
use super::super::running::Running;
use super::{target, with_list_hint};
use crate::args::GlobalArgs;
use crate::args::queue::QueuePeekArgs;
use crate::client::ClientError;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::text::{Style, Text};
use crate::output::{Output, human};

/// What is said of a message beside what `monitor` shows of it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Note {
    id: String,
    tries: u64,
    age_ms: u64,
    reason: Option<String>,
    detail: Option<String>,
}

/// Prints messages that wait, the next one first, or those that were put aside, the oldest first.
pub(super) async fn execute(
    args: QueuePeekArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find(global).await?;
    let device = running.device(args.device.as_ref())?;
    let part = if args.aside { "aside" } else { "waiting" };
    let target = target(&device, "messages", &args.endpoint)
        .query("part", part)
        .query("limit", &args.limit.to_string());
    let mut answer = running.get(&target).await.map_err(with_list_hint)?;
    let messages = match answer["messages"].take() {
        Value::Array(messages) => messages,
        _ => Vec::new(),
    };
    for message in messages {
        match output.is_json() {
            true => output.json_line(&message)?,
            false => print(message, output)?,
        }
    }
    Ok(ExitStatus::Ok)
}

fn print(message: Value, output: &Output) -> anyhow::Result<()> {
    let failed = |err| Failure::from(ClientError::NotJson(err));
    let note: Note = serde_json::from_value(message.clone()).map_err(failed)?;
    let line: Line = serde_json::from_value(message).map_err(failed)?;
    output.line(&Text::new().plain(&note.text(&line)))?;
    let body = Text::new().plain("  ").plain(&monitor::body_text(&line));
    output.line(&body.styled(Style::Dim, &monitor::properties_text(&line.properties)))?;
    Ok(())
}

impl Note {
    fn text(&self, line: &Line) -> String {
        let age = human::duration(self.age_ms / 1000);
        let module = line.module.as_deref().unwrap_or_default();
        let mut text = format!("{}  from {module}", self.id);
        if let Some(name) = &line.output {
            text.push_str(&format!(" {name}"));
        }
        text.push_str(&format!(", {age} old"));
        match self.tries {
            0 => {}
            1 => text.push_str(", 1 failed try"),
            tries => text.push_str(&format!(", {tries} failed tries")),
        }
        if let Some(reason) = &self.reason {
            text.push_str(&format!(": {reason}"));
        }
        match self.detail.as_deref() {
            None | Some("") => text,
            Some(detail) => format!("{text}: {detail}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::tests::captured;
    use crate::output::{Format, Verbosity};

    fn check(message: Value, expected: &str) {
        let (output, data, _) = captured(Format::Text, false, Verbosity::Normal);
        print(message, &output).unwrap();
        assert_eq!(data.text(), expected);
    }

    #[test]
    fn a_message_is_two_lines_whatever_it_holds() {
        let waiting = json!({
            "id": "000000ab-0000000000000007", "sequence": 7, "priority": 0, "module": "sensor", "output": "high",
            "ageMs": 61_000, "tries": 0, "expiresInMs": null, "body": { "load": 1 }, "properties": { "p": "1" },
        });
        check(
            waiting,
            "000000ab-0000000000000007  from sensor high, 1m 1s old\n  {\"load\":1} p=1\n",
        );
        let aside = json!({
            "id": "x", "module": "sensor", "ageMs": 900, "tries": 5, "reason": "tries-exhausted",
            "detail": "trapped\u{1b}[2J\n", "bodyText": "two\nlines",
        });
        check(
            aside,
            "x  from sensor, 0s old, 5 failed tries: tries-exhausted: trapped\\u{1b}[2J\\n\n  two\\nlines\n",
        );
    }
}
