//! The file of `--messages`: messages and steps, one JSON object a line. Pure: text in, steps or faults out.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use wasm_edge_daemon::testbed::Step;
use wasm_edge_daemon::testbed::stub::MethodStub;
use wasm_edge_model::message::{InputName, MessageLine};

use crate::args::test::parse_fault;
use crate::duration;

/// The input of messages that name none.
const INPUT_DEFAULT: &str = "input";

/// Faults of one file that are told; after so many the file is of another kind.
pub(super) const FAULTS_MAX: usize = 20;

/// The keys that make a line a step.
const STEP_KEYS: [&str; 5] = ["advance", "desired", "method", "restart", "fault"];

/// A value with the line it stands in, counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Numbered<T> {
    pub(super) line: usize,
    pub(super) value: T,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LineFault {
    /// The line, counted from 1.
    pub(super) line: usize,
    /// The byte in it, counted from 1, where it is known.
    pub(super) column: Option<usize>,
    /// What is wrong.
    pub(super) text: String,
}

/// A line of the file that is a step.
#[derive(Deserialize)]
#[serde(
    rename_all = "camelCase",
    expecting = "expected a step with one key, such as {\"advance\": \"10s\"}"
)]
enum RawStep {
    Advance(String),
    Desired(Map<String, Value>),
    Method(RawMethod),
    Restart(bool),
    Fault(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMethod {
    name: String,
    #[serde(default)]
    payload: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStub {
    module: Option<String>,
    name: String,
    #[serde(default = "status_ok")]
    status: u32,
    #[serde(default)]
    payload: Value,
    after: Option<String>,
}

fn status_ok() -> u32 {
    200
}

/// Reads messages and steps.
pub(super) fn steps(text: &str) -> Result<Vec<Numbered<Step>>, Vec<LineFault>> {
    each_line(text, step)
}

/// Reads answers to methods.
pub(super) fn stubs(text: &str) -> Result<Vec<MethodStub>, Vec<LineFault>> {
    let read = each_line(text, |line| {
        let raw: RawStub = serde_json::from_str(line).map_err(|err| syntax(&err))?;
        let after = match raw.after.as_deref() {
            Some(after) => duration::parse(after).map_err(|err| at("after", &err))?,
            None => Duration::ZERO,
        };
        Ok(MethodStub {
            module: raw.module,
            name: raw.name,
            status: raw.status,
            payload: raw.payload,
            after,
        })
    })?;
    Ok(read.into_iter().map(|stub| stub.value).collect())
}

/// Reads each line that is not empty; all faults are told together, up to [`FAULTS_MAX`].
pub(super) fn each_line<T>(
    text: &str,
    read: impl Fn(&str) -> Result<T, (Option<usize>, String)>,
) -> Result<Vec<Numbered<T>>, Vec<LineFault>> {
    let (mut values, mut faults) = (Vec::new(), Vec::new());
    let lines = text.lines().enumerate();
    for (index, content) in lines.filter(|(_, content)| !content.trim().is_empty()) {
        let line = index + 1;
        match read(content) {
            Ok(value) => values.push(Numbered { line, value }),
            Err((column, text)) => faults.push(LineFault { line, column, text }),
        }
        if faults.len() == FAULTS_MAX {
            break;
        }
    }
    if faults.is_empty() {
        Ok(values)
    } else {
        Err(faults)
    }
}

/// A fault of JSON, with the column that serde names in its text taken out of it.
pub(super) fn syntax(err: &serde_json::Error) -> (Option<usize>, String) {
    located(err.to_string())
}

fn located(text: String) -> (Option<usize>, String) {
    let place = text.rsplit_once(" at line 1 column ");
    match place.and_then(|(text, column)| Some((text, column.parse().ok()?))) {
        Some((text, column)) => (Some(column), text.to_owned()),
        None => (None, text),
    }
}

fn at(key: &str, text: &str) -> (Option<usize>, String) {
    (None, format!("`{key}`: {text}"))
}

fn step(line: &str) -> Result<Step, (Option<usize>, String)> {
    let FirstKey(first) = serde_json::from_str(line).map_err(|err| syntax(&err))?;
    if !first.is_some_and(|key| STEP_KEYS.contains(&key.as_str())) {
        let read = MessageLine::parse(line).map_err(|err| located(err.to_string()))?;
        if read.output.is_some() {
            let text = "`output` is where messages come out; one that goes in has an `input`";
            return Err((None, text.to_owned()));
        }
        return Ok(Step::Message {
            input: read
                .input
                .unwrap_or_else(|| InputName::new(INPUT_DEFAULT).expect("a valid name")),
            message: read.message,
        });
    }
    let raw = serde_json::from_str(line).map_err(|err| syntax(&err))?;
    Ok(match raw {
        RawStep::Advance(time) => {
            Step::Advance(duration::parse(&time).map_err(|err| at("advance", &err))?)
        }
        RawStep::Desired(patch) => Step::Desired(patch),
        RawStep::Method(RawMethod { name, payload }) => Step::Method {
            name,
            payload: payload.to_string(),
        },
        RawStep::Restart(true) => Step::Restart,
        RawStep::Restart(false) => return Err(at("restart", "expected `true`")),
        RawStep::Fault(fault) if fault == "none" => Step::Mend,
        RawStep::Fault(fault) => Step::Break(
            parse_fault(&fault).map_err(|err| at("fault", &format!("{err}, or `none`")))?,
        ),
    })
}

/// The first key of an object.
struct FirstKey(Option<String>);

impl<'de> Deserialize<'de> for FirstKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FirstKeyVisitor;

        impl<'de> Visitor<'de> for FirstKeyVisitor {
            type Value = FirstKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object such as {\"body\": 1} or {\"advance\": \"10s\"}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<FirstKey, A::Error> {
                let mut first = None;
                while let Some((key, IgnoredAny)) = access.next_entry::<String, IgnoredAny>()? {
                    first.get_or_insert(key);
                }
                Ok(FirstKey(first))
            }
        }

        deserializer.deserialize_map(FirstKeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match steps(text) {
            Ok(steps) => steps
                .iter()
                .map(|step| format!("{}:{:?}", step.line, step.value))
                .collect(),
            Err(faults) => faults
                .iter()
                .map(|fault| format!("{}:{:?}: {}", fault.line, fault.column, fault.text))
                .collect::<Vec<_>>(),
        };
        assert_eq!(shown.join("; "), expected, "for {text}");
    }

    #[test]
    fn steps_are_read() {
        check(
            "\n{\"advance\": \"1m 30s\"}\n{\"restart\": true}\n",
            "2:Advance(90s); 3:Restart",
        );
        check(
            "{\"method\": {\"name\": \"ping\"}}",
            "1:Method { name: \"ping\", payload: \"null\" }",
        );
        check(
            "{\"fault\": \"trap-on=2\"}\n{\"fault\": \"none\"}",
            "1:Break(TrapOn(2)); 2:Mend",
        );
        check("{\"desired\": {\"a\": 1}}", "1:Desired({\"a\": Number(1)})");
    }

    #[test]
    fn messages_are_those_of_run_and_go_to_the_default_input() {
        let read =
            steps("{\"body\": {\"a\": 1}}\n{\"input\": \"x\", \"bodyText\": \"t\"}").unwrap();
        let inputs: Vec<_> = read
            .iter()
            .map(|step| match &step.value {
                Step::Message { input, message } => (input.to_string(), message.body.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(inputs, [("input".to_owned(), 8), ("x".to_owned(), 1)]);
    }

    #[test]
    fn faults_have_line_column_and_key() {
        check(
            "{\"body\": 1}\n{\"bodee\": 2}",
            "2:Some(8): not a message: unknown field `bodee`, expected one of `input`, `output`, `properties`, `systemProperties`, `body`, `bodyText`, `bodyBase64`",
        );
        check("{\"body\": }", "1:Some(10): expected value");
        check(
            "{\"advance\": \"10\"}",
            "1:None: `advance`: expected a number with a unit, such as `20s`, `5m` or `1h30m`",
        );
        check("{\"restart\": false}", "1:None: `restart`: expected `true`");
        check(
            "{\"method\": {\"nam\": 1}}",
            "1:Some(17): unknown field `nam`, expected `name` or `payload`",
        );
        check(
            "{\"output\": \"o\", \"body\": 1}",
            "1:None: `output` is where messages come out; one that goes in has an `input`",
        );
    }

    #[test]
    fn stubs_have_defaults() {
        let read = stubs("{\"name\": \"reset\", \"after\": \"2s\"}").unwrap();
        assert_eq!(read[0].status, 200);
        assert_eq!(read[0].module, None);
        assert_eq!(read[0].after, Duration::from_secs(2));
        let faults = stubs("{\"name\": \"reset\", \"state\": 1}").unwrap_err();
        assert!(faults[0].text.contains("`state`"), "{faults:?}");
    }
}
