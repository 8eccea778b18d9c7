//! `inspect`: everything the device knows about one module.

use serde_json::{Map, Value};

use super::running::{Running, with_modules_hint};
use crate::args::{GlobalArgs, InspectArgs};
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::output::human;
use crate::output::text::{Style, Text};
use crate::output::{Output, OutputError};

/// Columns that a field's name gets.
const NAME_WIDTH: usize = 20;

/// Prints the module's status, its queues and the messages set aside.
pub(super) async fn execute(
    args: InspectArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find(global).await?;
    let device = running.device(args.device.as_ref())?;
    let target = Target::path(&["v1", "modules", device.as_str(), args.module.as_str()]);
    let answer = running
        .get(&target)
        .await
        .map_err(|err| with_modules_hint(err, &args.module))?;
    match &answer {
        Value::Object(fields) if !output.is_json() => print_fields(fields, output)?,
        _ => output.json(&answer)?,
    }
    Ok(ExitStatus::Ok)
}

/// Fields in the order of the answer, lists of objects as sections at the end.
fn print_fields(fields: &Map<String, Value>, output: &Output) -> Result<(), OutputError> {
    let is_section = |value: &Value| matches!(value, Value::Array(_) | Value::Object(_));
    for (name, value) in fields.iter().filter(|(_, value)| !is_section(value)) {
        output.line(
            &Text::new()
                .styled(Style::Dim, &words(name))
                .pad_to(NAME_WIDTH)
                .plain(&shown(name, value)),
        )?;
    }
    for (name, value) in fields.iter().filter(|(_, value)| is_section(value)) {
        let items = match value {
            Value::Array(items) => items.as_slice(),
            other => std::slice::from_ref(other),
        };
        if items.is_empty() {
            continue;
        }
        output.line(&Text::new())?;
        output.line(&Text::new().styled(Style::Bold, &words(name)))?;
        for item in items {
            output.line(&Text::new().plain("  ").plain(&item_text(item)))?;
        }
    }
    Ok(())
}

/// One element of a list on one line.
fn item_text(item: &Value) -> String {
    match item {
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| format!("{} {}", words(name), shown(name, value)))
                .collect();
            fields.join(", ")
        }
        other => shown("", other),
    }
}

/// A value with the unit that its name carries.
fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if name.ends_with("Bytes") => match number.as_u64() {
            Some(bytes) => human::size(bytes),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// A JSON name as words: `memoryLimitBytes` is `memory limit`; the unit stands with the value.
fn words(name: &str) -> String {
    let name = name.strip_suffix("Bytes").unwrap_or(name);
    let mut text = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::tests::captured;
    use crate::output::{Format, Verbosity};

    #[test]
    fn fields_are_words_and_lists_are_sections() {
        let answer = json!({
            "module": "filter", "status": "running", "exitCode": null, "ready": true, "memoryLimitBytes": 16_777_216,
            "warnings": [], "setAside": [{"input": "in\u{7}", "reason": "rejected", "tries": 5, "bodySizeBytes": 2048}],
            "queues": ["in"],
        });
        let (output, data, _) = captured(Format::Text, false, Verbosity::Normal);
        print_fields(answer.as_object().unwrap(), &output).unwrap();
        for line in [
            "module              filter\n",
            "exit code           -\n",
            "ready               yes\n",
            "memory limit        16.0 MiB\n",
            "\nset aside\n  ",
            "\nqueues\n  in\n",
        ] {
            assert!(
                data.text().contains(line),
                "`{line}` is not in:\n{}",
                data.text()
            );
        }
        for part in [
            "input in\\u{7}",
            "reason rejected",
            "tries 5",
            "body size 2.00 KiB",
        ] {
            assert!(
                data.text().contains(part),
                "`{part}` is not in:\n{}",
                data.text()
            );
        }
        assert!(!data.text().contains("warnings"));
    }
}
