//! `route test --cases`: many messages, each with what is expected of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use wasm_edge_model::error::chain;
use wasm_edge_model::message::{MessageLineError, MessageSource, read_message};
use wasm_edge_model::route::condition::{BodyCache, Compatibility};

use super::{Asked, ErrorLine, unreadable};
use crate::args::route::parse_source;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::text::{Style, Text};
use crate::output::{Output, OutputError, human};
use crate::text_file;

/// The largest file of cases.
const FILE_SIZE_MAX_BYTES: usize = 64 << 20;

/// What the command line says for lines that say nothing else.
pub(super) struct Given {
    pub(super) asked: Option<Asked>,
    pub(super) source: Option<MessageSource>,
    pub(super) compatibility: Compatibility,
}

/// One line of the file.
struct Case {
    name: Option<String>,
    asked: Asked,
    source: Option<MessageSource>,
    compatibility: Compatibility,
    /// The message as JSON.
    message: String,
    expect: Option<String>,
}

/// What a case came to; the JSON output has one per line.
#[derive(Serialize)]
struct Outcome {
    line: usize,
    name: String,
    /// `true`, `false`, `undefined` or `error`.
    result: String,
    expect: Option<String>,
    /// Whether the two agree, where there is something to agree with.
    agrees: Option<bool>,
    /// Why it does not compile.
    error: Option<ErrorLine>,
}

/// Why a line is no case.
#[derive(Debug, thiserror::Error)]
enum CaseError {
    #[error("not a JSON object: {0}")]
    Syntax(String),
    #[error("`{key}`: {problem}")]
    Key { key: &'static str, problem: String },
    #[error("there is no `route` and no `condition`, and the command names none")]
    NothingAsked,
    #[error(transparent)]
    Message(#[from] MessageLineError),
}

/// The members of a line, as they are written: a number is not to be rounded on the way.
struct Members<'a>(BTreeMap<String, &'a RawValue>);

/// Tests all cases and prints one line for each.
///
/// # Errors
/// The file, or a line of it, cannot be read; a case came to something else than it expects.
pub(super) fn execute(file: &Path, given: &Given, output: &Output) -> anyhow::Result<ExitStatus> {
    let text = text_file::read(file, FILE_SIZE_MAX_BYTES).map_err(unreadable)?;
    let (mut count, mut failed, mut faults) = (0, 0, 0);
    let lines = text.lines().enumerate();
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        count += 1;
        match Case::parse(line, given).and_then(|case| case.outcome(index + 1)) {
            Ok(outcome) => {
                failed += usize::from(outcome.agrees == Some(false));
                outcome.print(output)?;
            }
            Err(err) => {
                faults += 1;
                let line = format!("line {}: {}", index + 1, chain(&err));
                output.note(
                    &Text::new()
                        .styled(Style::Red, "fault:")
                        .plain(" ")
                        .plain(&line),
                );
            }
        }
    }
    let name = text_file::name(file);
    if count == 0 {
        let message = format!("{name} holds no case");
        return Err(Failure::new(ExitStatus::INPUT_UNREADABLE, message).into());
    }
    if faults > 0 {
        let message = format!("{} of {name} cannot be read", human::count(faults, "line"));
        return Err(Failure::new(ExitStatus::INPUT_UNREADABLE, message).into());
    }
    if failed > 0 {
        let message = format!("{failed} of {} failed", human::count(count, "case"));
        return Err(Failure::new(ExitStatus::NOT_TRUE, message).into());
    }
    Ok(ExitStatus::Ok)
}

impl Case {
    /// Reads a line: `name`, `route` or `condition`, `source`, `compatibility`, `expect`, `why` and `message`, or in
    /// the place of `message` its members.
    fn parse(line: &str, given: &Given) -> Result<Self, CaseError> {
        let members = serde_json::from_str(line);
        let mut members = Members(members.map_err(|err| CaseError::Syntax(err.to_string()))?);
        let name = members.text("name")?;
        members.text("why")?;
        let asked = match (members.text("route")?, members.text("condition")?) {
            (Some(_), Some(_)) => return Err(key("route", "there is a `condition` too")),
            (Some(route), None) => Some(Asked::Route(route)),
            (None, Some(condition)) => Some(Asked::Condition(condition)),
            (None, None) => given.asked.clone(),
        };
        let source = match members.text("source")? {
            Some(source) => Some(parse_source(&source).map_err(|err| key("source", err))?),
            None => given.source.clone(),
        };
        let compatibility = match members.text("compatibility")?.as_deref() {
            None => given.compatibility,
            Some("documented") => Compatibility::Documented,
            Some("edgehub") => Compatibility::EdgeHub,
            Some(_) => return Err(key("compatibility", "expected `documented` or `edgehub`")),
        };
        let expect = members.expect()?;
        Ok(Self {
            name,
            asked: asked.ok_or(CaseError::NothingAsked)?,
            source,
            compatibility,
            message: members.message()?,
            expect,
        })
    }

    fn outcome(self, line: usize) -> Result<Outcome, CaseError> {
        let message = read_message(&self.message)?;
        let compiled = self.asked.compile(self.compatibility, self.source.as_ref());
        let (result, error) = match compiled {
            Ok(compiled) => {
                let source = self.source.or_else(|| compiled.source());
                let mut body = BodyCache::new();
                let truth = compiled.truth(&message, source.as_ref(), &mut body);
                (truth.to_string(), None)
            }
            Err(error) => ("error".to_owned(), Some(ErrorLine::from(error))),
        };
        Ok(Outcome {
            line,
            agrees: self.expect.as_ref().map(|expect| *expect == result),
            name: self.name.unwrap_or_else(|| self.asked.text().to_owned()),
            expect: self.expect,
            error,
            result,
        })
    }
}

impl Outcome {
    fn print(&self, output: &Output) -> Result<(), OutputError> {
        if output.is_json() {
            return output.json_line(self);
        }
        let text = match self.agrees {
            Some(true) => Text::new().plain("ok    "),
            Some(false) => Text::new().styled(Style::Red, "FAILED"),
            None => Text::new().styled(Style::Dim, "-     "),
        };
        let place = format!("  line {}: ", self.line);
        let mut text = text.plain(&place).styled(Style::Bold, &self.result);
        if let (Some(false), Some(expect)) = (self.agrees, &self.expect) {
            text = text.plain(", expected ").plain(expect);
        }
        text = text.plain(": ").plain(&self.name);
        if let Some(error) = &self.error {
            text = text.plain(&format!(" (column {}: {})", error.column, error.problem));
        }
        output.line(&text)
    }
}

impl Members<'_> {
    fn text(&mut self, name: &'static str) -> Result<Option<String>, CaseError> {
        let Some(value) = self.0.remove(name) else {
            return Ok(None);
        };
        let text = serde_json::from_str(value.get());
        text.map(Some).map_err(|_| key(name, "expected a text"))
    }

    /// What is expected: `true` and `false` may stand without quotes.
    fn expect(&mut self) -> Result<Option<String>, CaseError> {
        let Some(value) = self.0.remove("expect") else {
            return Ok(None);
        };
        let written = match serde_json::from_str(value.get()) {
            Ok(Value::String(text)) => text,
            Ok(Value::Bool(value)) => value.to_string(),
            _ => String::new(),
        };
        match written.as_str() {
            "true" | "false" | "undefined" | "error" => Ok(Some(written)),
            _ => Err(key(
                "expect",
                "expected `true`, `false`, `undefined` or `error`",
            )),
        }
    }

    /// The message, or what is left as its members.
    fn message(mut self) -> Result<String, CaseError> {
        match (self.0.remove("message"), self.0.keys().next()) {
            (Some(message), None) => Ok(message.get().to_owned()),
            (Some(_), Some(other)) => {
                Err(key("message", format!("there is a `{other}` beside it")))
            }
            (None, _) => {
                serde_json::to_string(&self.0).map_err(|err| CaseError::Syntax(err.to_string()))
            }
        }
    }
}

fn key(key: &'static str, problem: impl Into<String>) -> CaseError {
    let problem = problem.into();
    CaseError::Key { key, problem }
}
