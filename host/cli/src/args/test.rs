//! Arguments of `test`, and how its faults are written.

use std::path::PathBuf;

use clap::Args;
use wasm_edge_daemon::testbed::faults::{Fault, MethodFailure};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::OutputName;

use super::run::{EnvArg, GrantArg, parse_env, parse_grant};

/// Arguments of `test`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TestArgs {
    /// The component (WebAssembly) to test
    pub(crate) component: PathBuf,

    /// What happens to it: messages and steps, one JSON object per line; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) messages: PathBuf,

    /// What has to come out, one JSON object per line; without it, what came out is printed in this form
    #[arg(long, value_name = "FILE")]
    pub(crate) expect: Option<PathBuf>,

    /// What came out has nothing beside what is expected: no further keys, no other log lines
    #[arg(long, requires = "expect")]
    pub(crate) exact: bool,

    /// Write what came out into the file of `--expect`, in place of what is there
    #[arg(long, visible_alias = "update", requires = "expect")]
    pub(crate) bless: bool,

    /// The module's desired properties at the start, a JSON object
    #[arg(long, value_name = "FILE")]
    pub(crate) twin: Option<PathBuf>,

    /// Answers to the direct methods that the module calls, one JSON object per line
    #[arg(long, value_name = "FILE")]
    pub(crate) methods: Option<PathBuf>,

    /// What is broken from the start: offline, queue-full[=OUTPUT], method-failure[=404|timeout|busy|STATUS],
    /// trap-on=N, deadline-on=N; may be repeated
    #[arg(long = "fault", value_name = "FAULT", value_parser = parse_fault)]
    pub(crate) faults: Vec<Fault>,

    /// What the module's random numbers come from
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// The module's id; by default the file's name
    #[arg(long, value_name = "ID")]
    pub(crate) name: Option<ModuleId>,

    /// An environment variable of the module; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_env)]
    pub(crate) env: Vec<EnvArg>,

    /// An argument of the module's program; may be repeated
    #[arg(long = "arg", value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,

    /// What the module may open: file:PATH or folder:PATH, read-only unless :rw follows; may be repeated
    #[arg(long = "grant", value_name = "GRANT", value_parser = parse_grant)]
    pub(crate) grants: Vec<GrantArg>,
}

/// Reads a fault as it is written on the command line and in steps.
///
/// # Errors
/// A sentence fragment that says what was expected.
pub(crate) fn parse_fault(text: &str) -> Result<Fault, String> {
    let (word, value) = match text.split_once('=') {
        Some((word, value)) => (word, Some(value)),
        None => (text, None),
    };
    match (word, value) {
        ("offline", None) => Ok(Fault::Offline),
        ("queue-full", None) => Ok(Fault::QueueFull(None)),
        ("queue-full", Some(output)) => match OutputName::new(output) {
            Ok(output) => Ok(Fault::QueueFull(Some(output))),
            Err(err) => Err(err.to_string()),
        },
        ("method-failure", value) => Ok(Fault::Method(parse_method_failure(value)?)),
        ("trap-on", Some(number)) => Ok(Fault::TrapOn(parse_number(number)?)),
        ("deadline-on", Some(number)) => Ok(Fault::DeadlineOn(parse_number(number)?)),
        _ => Err(
            "expected `offline`, `queue-full[=OUTPUT]`, `method-failure[=404|timeout|busy|STATUS]`, `trap-on=N` or `deadline-on=N`"
                .to_owned(),
        ),
    }
}

fn parse_method_failure(value: Option<&str>) -> Result<MethodFailure, String> {
    match value {
        None | Some("404") => Ok(MethodFailure::NotFound),
        Some("timeout") => Ok(MethodFailure::Timeout),
        Some("busy") => Ok(MethodFailure::Busy),
        Some(status) => match status.parse() {
            Ok(status) => Ok(MethodFailure::Status(status)),
            Err(_) => Err(format!(
                "`{status}` is neither `404`, `timeout`, `busy` nor the status of an answer"
            )),
        },
    }
}

fn parse_number(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        Ok(_) | Err(_) => Err(format!(
            "`{text}` is not the number of a message, counted from 1"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_words_with_or_without_a_value() {
        let check = |text: &str, expected: Fault| assert_eq!(parse_fault(text), Ok(expected));
        check("offline", Fault::Offline);
        check("queue-full", Fault::QueueFull(None));
        let alerts = OutputName::new("alerts").expect("a name");
        check("queue-full=alerts", Fault::QueueFull(Some(alerts)));
        check("method-failure", Fault::Method(MethodFailure::NotFound));
        check(
            "method-failure=timeout",
            Fault::Method(MethodFailure::Timeout),
        );
        check(
            "method-failure=503",
            Fault::Method(MethodFailure::Status(503)),
        );
        check("trap-on=3", Fault::TrapOn(3));
        check("deadline-on=1", Fault::DeadlineOn(1));
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for text in [
            "",
            "off",
            "offline=1",
            "trap-on",
            "trap-on=0",
            "trap-on=x",
            "queue-full=",
            "method-failure=never",
        ] {
            assert!(parse_fault(text).is_err(), "{text}");
        }
    }
}
