//! `route test`: whether a route or a condition takes a message, and why; for one message or a file of cases.
//!
//! What a condition means is the model's; here is what is asked of it and how the answer is told.

mod cases;

use std::path::Path;

use serde::Serialize;
use serde_json::json;
use wasm_edge_model::message::{LINE_MAX_BYTES, Message, MessageSource, read_message};
use wasm_edge_model::route::condition::{
    BodyCache, Compatibility, CompileError, Condition, Facts, Truth,
};
use wasm_edge_model::route::{Route, RouteName, Source};

use super::snippet::Marked;
use crate::args::route::{RouteTestArgs, parse_source};
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::table::{Align, Table};
use crate::output::text::Text;
use crate::text_file::{self, TextFileError};

/// What is asked about: a whole route, or its condition.
#[derive(Clone, Debug)]
enum Asked {
    Route(String),
    Condition(String),
}

/// What was asked about, compiled.
struct Compiled {
    condition: Condition,
    /// The source of the route, if it is one.
    from: Option<Source>,
}

/// Tells whether the message is taken.
///
/// # Errors
/// The route or condition does not compile, or the message or the file of cases cannot be read.
pub(super) fn execute(args: &RouteTestArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    let asked = match (&args.route, &args.condition) {
        (Some(route), _) => Some(Asked::Route(route.clone())),
        (None, Some(condition)) => Some(Asked::Condition(condition.clone())),
        (None, None) => None,
    };
    let compatibility = args.compatibility.into();
    if let Some(file) = &args.cases {
        let given = cases::Given {
            asked,
            source: args.source.clone(),
            compatibility,
        };
        return cases::execute(file, &given, output);
    }
    let (Some(asked), Some(file)) = (asked, &args.message) else {
        unreachable!("clap asks for a route or condition, and for a message");
    };
    let compiled = match asked.compile(compatibility, args.source.as_ref()) {
        Ok(compiled) => compiled,
        Err(error) => return Err(not_compiled(&asked, error, output)?.into()),
    };
    let message = read(file)?;
    let source = args.source.clone().or_else(|| compiled.source());
    one(&compiled, &message, source.as_ref(), args, output)
}

fn one(
    compiled: &Compiled,
    message: &Message,
    source: Option<&MessageSource>,
    args: &RouteTestArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let mut body = BodyCache::new();
    let facts = facts(source);
    let truth = compiled.truth(message, source, &mut body);
    let condition = &compiled.condition;
    let parts = match args.explain {
        true => condition.explain(message, facts, &mut body),
        false => Vec::new(),
    };
    let problem = condition.body_problem(message, facts, &mut body);
    for remark in condition.remarks() {
        output.warn(&format!("column {}: {}", remark.column, remark.text));
    }
    if let Some(problem) = problem {
        output.warn(&format!("the body is not seen: {problem}"));
    }
    let matches = compiled.matches(source);
    if !matches {
        output.note(&Text::new().plain("the source does not match"));
    }
    let shown = parts
        .iter()
        .filter(|part| part.depth == 0 || !part.is_constant);
    let mut table = Table::new(&[("PART", Align::Left), ("VALUE", Align::Left)]);
    for part in shown.clone() {
        table.row([
            format!("{}{}", "  ".repeat(part.depth), part.text),
            part.value.clone(),
        ]);
    }
    if output.is_json() {
        let parts: Vec<_> = parts
            .iter()
            .map(|part| json!({ "depth": part.depth, "text": part.text, "value": part.value }))
            .collect();
        let remarks = condition.remarks().iter();
        let remarks: Vec<_> = remarks
            .map(|remark| json!({ "column": remark.column, "text": remark.text }))
            .collect();
        output.json(&Answer {
            result: truth.to_string(),
            condition: condition.text().to_owned(),
            source_matches: matches,
            body_problem: problem.map(|problem| problem.to_string()),
            remarks,
            parts,
        })?;
    } else {
        if args.explain {
            for line in table.render(false).lines() {
                output.note(&Text::new().plain(line));
            }
        }
        output.line(&Text::new().plain(&truth.to_string()))?;
    }
    Ok(match truth {
        Truth::True => ExitStatus::Ok,
        Truth::False | Truth::Undefined => ExitStatus::NOT_TRUE,
    })
}

/// The JSON output for one message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    result: String,
    condition: String,
    source_matches: bool,
    body_problem: Option<String>,
    remarks: Vec<serde_json::Value>,
    parts: Vec<serde_json::Value>,
}

/// Why something does not compile, as JSON.
#[derive(Serialize)]
struct ErrorLine {
    column: usize,
    width: usize,
    problem: String,
    expected: String,
    fix: Option<String>,
}

impl Asked {
    fn text(&self) -> &str {
        match self {
            Self::Route(text) | Self::Condition(text) => text,
        }
    }

    fn compile(
        &self,
        compatibility: Compatibility,
        source: Option<&MessageSource>,
    ) -> Result<Compiled, CompileError> {
        match self {
            Self::Route(text) => {
                let name = RouteName::new("route").expect("these are letters");
                let route = Route::parse_with(name, text, compatibility)?;
                Ok(Compiled {
                    condition: route.condition,
                    from: Some(route.source),
                })
            }
            Self::Condition(text) => {
                let source = source.map(Source::of);
                Ok(Compiled {
                    condition: Condition::parse(text, compatibility, source.as_ref())?,
                    from: None,
                })
            }
        }
    }
}

impl Compiled {
    /// The source that messages of the route have, where it is one.
    fn source(&self) -> Option<MessageSource> {
        let text = self.from.as_ref()?.text();
        parse_source(text.strip_suffix('*').unwrap_or(text)).ok()
    }

    fn matches(&self, source: Option<&MessageSource>) -> bool {
        match (&self.from, source) {
            (Some(from), Some(source)) => from.matches(source),
            _ => true,
        }
    }

    fn truth(
        &self,
        message: &Message,
        source: Option<&MessageSource>,
        body: &mut BodyCache,
    ) -> Truth {
        match self.matches(source) {
            true => self.condition.evaluate(message, facts(source), body),
            false => Truth::False,
        }
    }
}

fn facts(source: Option<&MessageSource>) -> Facts<'_> {
    Facts {
        source,
        device: None,
        enqueued_time: None,
    }
}

fn read(file: &Path) -> Result<Message, Failure> {
    let text = text_file::read(file, LINE_MAX_BYTES).map_err(unreadable)?;
    read_message(&text).map_err(|err| {
        let message = format!("cannot read the message from {}", text_file::name(file));
        Failure::new(ExitStatus::INPUT_UNREADABLE, message).caused_by(err)
    })
}

fn unreadable(err: TextFileError) -> Failure {
    Failure::new(ExitStatus::INPUT_UNREADABLE, "the input is unreadable").caused_by(err)
}

/// The failure that the route or condition does not compile; as JSON it is data too.
fn not_compiled(asked: &Asked, error: CompileError, output: &Output) -> anyhow::Result<Failure> {
    if output.is_json() {
        let error = ErrorLine::from(error.clone());
        output.json(&json!({ "result": "error", "error": error }))?;
    }
    let what = match asked {
        Asked::Route(_) => "the route does not compile",
        Asked::Condition(_) => "the condition does not compile",
    };
    let fix = error.fix.clone();
    let marked = Marked::new(asked.text(), error);
    let failure = Failure::new(ExitStatus::NOT_COMPILED, what).caused_by(marked);
    Ok(match fix {
        Some(fix) => failure.hint(format!("write `{fix}`")),
        None => failure,
    })
}

impl From<CompileError> for ErrorLine {
    fn from(error: CompileError) -> Self {
        let CompileError {
            column,
            width,
            problem,
            expected,
            fix,
        } = error;
        Self {
            column,
            width,
            problem,
            expected,
            fix,
        }
    }
}
