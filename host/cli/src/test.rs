//! `test` at work: runs a component on a test bed over a script, and compares what comes out.
//!
//! [`run`] does what the arguments say. Reading the files (`script`, `compare`) and comparing are pure; the device
//! that the module runs on is the daemon's.

mod came_out;
mod compare;
mod folder;
mod script;

use std::path::Path;

use serde_json::json;
use wasm_edge_daemon::testbed::outcome::Outcome;
use wasm_edge_daemon::testbed::stub::MethodStub;
use wasm_edge_daemon::testbed::{Step, Testbed, TestbedConfig, TestbedError};
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_model::route::condition::Compatibility;

use crate::args::test::TestArgs;
use crate::component_file;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::text::{Style, Text};
use crate::run::target::{self, Component};
use crate::text_file::{self, TextFileError};
use came_out::{CameOut, Group};
use compare::{Difference, Expected, Kind, Strictness};
use folder::Folders;
use script::{FAULTS_MAX, LineFault, Numbered};

/// The device that a module under test is on.
const DEVICE: &str = "testbed";

/// Largest file of messages, expectations or answers, in bytes.
const FILE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Differences that are told; what is beyond them is counted.
const DIFFERENCES_SHOWN_MAX: usize = 20;

/// What came of a script.
struct Ran {
    came_out: Vec<CameOut>,
    messages: u64,
    /// The step that did not come to its end, by its place, and why.
    failed: Option<Failure>,
}

/// Runs the test.
pub(crate) fn run(args: &TestArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    let steps = read(&args.messages, output, script::steps)?;
    let stubs = match &args.methods {
        Some(file) => read(file, output, script::stubs)?,
        None => Vec::new(),
    };
    // Read before the module runs, so that a fault in it costs nothing; one that is to be written may be anything.
    let expected = match &args.expect {
        Some(file) if !args.bless => Some(read(file, output, compare::expectations)?),
        Some(_) | None => None,
    };
    let folders = Folders::open()?;
    let ran = play(args, &steps, stubs, &folders, output)?;
    drop(folders);
    match (&args.expect, expected) {
        (Some(file), None) => bless(file, ran, args.exact, output),
        (_, Some(expected)) => judge(args, &expected, ran, output),
        (None, None) => {
            for line in &ran.came_out {
                output.json_line(&line.json)?;
            }
            ran.failed
                .map_or(Ok(ExitStatus::Ok), |failed| Err(failed.into()))
        }
    }
}

fn read<T>(
    file: &Path,
    output: &Output,
    parse: impl Fn(&str) -> Result<T, Vec<LineFault>>,
) -> anyhow::Result<T> {
    let text = text_file::read(file, FILE_MAX_BYTES).map_err(TextFileError::into_failure)?;
    parse(&text).map_err(|faults| {
        let file = file.display();
        for LineFault { line, column, text } in &faults {
            let column = column.map_or(String::new(), |column| format!("{column}:"));
            output.warn(&format!("{file}:{line}:{column} {text}"));
        }
        let (count, more) = match faults.len() {
            1 => ("1 fault".to_owned(), ""),
            FAULTS_MAX => (format!("{FAULTS_MAX} faults"), " or more"),
            count => (format!("{count} faults"), ""),
        };
        let what = format!("`{file}` has {count}{more}, and nothing was run");
        Failure::new(ExitStatus::InvalidInput, what).into()
    })
}

/// Runs the script on a test bed. What came out is given back also when a step fails.
fn play(
    args: &TestArgs,
    steps: &[Numbered<Step>],
    stubs: Vec<MethodStub>,
    folders: &Folders,
    output: &Output,
) -> anyhow::Result<Ran> {
    let mut testbed = start(args, stubs, folders, output)?;
    let mut came_out = Vec::new();
    let mut failed = None;
    gather(&testbed, &mut came_out, output);
    for fault in &args.faults {
        testbed.step(Step::Break(fault.clone()))?;
    }
    for step in steps {
        let done = testbed.step(step.value.clone());
        gather(&testbed, &mut came_out, output);
        if let Err(err) = done {
            let place = format!("{}:{}", args.messages.display(), step.line);
            failed = Some(Failure::new(ExitStatus::Failure, format!("{place}: {err}")));
            break;
        }
    }
    let finished = testbed.finish();
    gather(&testbed, &mut came_out, output);
    if let (Err(err), None) = (finished, &failed) {
        let what = format!("at the end of `{}`: {err}", args.messages.display());
        failed = Some(Failure::new(ExitStatus::Failure, what));
    }
    Ok(Ran {
        came_out,
        messages: testbed.messages(),
        failed,
    })
}

fn start(
    args: &TestArgs,
    stubs: Vec<MethodStub>,
    folders: &Folders,
    output: &Output,
) -> anyhow::Result<Testbed> {
    let file = component_file::whole_path(&args.component, "give a component (.wasm)")?;
    let name = target::component_name(&file, args.name.as_ref())?;
    let component = Component {
        env: &args.env,
        args: &args.args,
        grants: &args.grants,
        twin: args.twin.as_deref(),
    };
    let text = target::component_manifest(&format!("file:{}", file.display()), &name, &component)?;
    let manifest = target::check(&text, &args.component, Compatibility::default(), output)?;
    let device = DeviceId::new(DEVICE).expect("a valid id");
    let own_folder = std::fs::canonicalize(folders.data().path())?;
    let started = std::time::Instant::now();
    let testbed = Testbed::start(TestbedConfig {
        folder: folders.data().device(&device)?,
        device,
        own_folder,
        cache: folders.cache().to_owned(),
        manifest,
        image_folder: file.parent().map(Path::to_owned).unwrap_or_default(),
        stubs,
        seed: args.seed,
    })
    .map_err(|err| not_started(err, &args.component))?;
    if testbed.was_compiled() {
        let took = started.elapsed().as_secs_f64();
        output.note(&Text::new().plain(&format!("compiled {name} in {took:.1} s")));
    }
    Ok(testbed)
}

fn not_started(err: TestbedError, component: &Path) -> anyhow::Error {
    let hint = match &err {
        TestbedError::Image(err) => Some(err.hint()),
        _ => None,
    };
    let status = match &err {
        TestbedError::Image(_) | TestbedError::Code(_) => ExitStatus::BadConfig,
        _ => ExitStatus::Failure,
    };
    let what = format!("cannot test `{}`", component.display());
    let failure = Failure::new(status, what).caused_by(err);
    match hint {
        Some(hint) => failure.hint(hint).into(),
        None => failure.into(),
    }
}

/// Takes what came out; where a guest failed, the places in it are told as they are of no use in a comparison.
fn gather(testbed: &Testbed, came_out: &mut Vec<CameOut>, output: &Output) {
    for outcome in testbed.take_outcomes() {
        if let Outcome::Ended {
            reason, backtrace, ..
        } = &outcome
            && !backtrace.is_empty()
        {
            let mut text = Text::new().plain(reason);
            for function in backtrace {
                text = text.plain(&format!(", at {function}"));
            }
            output.note(&text);
        }
        came_out.push(CameOut::of(outcome));
    }
}

fn bless(file: &Path, ran: Ran, exact: bool, output: &Output) -> anyhow::Result<ExitStatus> {
    if let Some(failed) = ran.failed {
        let hint = format!("`{}` was left as it is", file.display());
        return Err(failed.hint(hint).into());
    }
    let kept = ran
        .came_out
        .iter()
        .filter(|line| exact || line.group != Group::Log);
    let lines: Vec<String> = kept.map(|line| format!("{}\n", line.json)).collect();
    std::fs::write(file, lines.concat()).map_err(|err| {
        let what = format!("cannot write `{}`", file.display());
        Failure::new(ExitStatus::Failure, what).caused_by(err)
    })?;
    let count = plural(lines.len() as u64, "line");
    output.note(&Text::new().plain(&format!("wrote {count} to `{}`", file.display())));
    Ok(ExitStatus::Ok)
}

fn judge(
    args: &TestArgs,
    expected: &[Numbered<Expected>],
    ran: Ran,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let strictness = if args.exact {
        Strictness::Exact
    } else {
        Strictness::Named
    };
    let differences = compare::compare(expected, &ran.came_out, strictness);
    let passed = differences.is_empty() && ran.failed.is_none();
    if output.is_json() {
        output.json(&json!({
            "passed": passed,
            "messages": ran.messages,
            "expected": expected.len(),
            "differences": differences.iter().map(Difference::to_json).collect::<Vec<_>>(),
            "error": ran.failed.as_ref().map(|failed| chain(failed)),
        }))?;
    } else {
        tell(args, &differences, output)?;
        if passed {
            let text = format!(
                "{} in, {} expected, all as expected",
                plural(ran.messages, "message"),
                plural(expected.len() as u64, "line")
            );
            output.line(
                &Text::new()
                    .styled(Style::Bold, "passed")
                    .plain(": ")
                    .plain(&text),
            )?;
        }
    }
    if let Some(failed) = ran.failed {
        return Err(failed.into());
    }
    if passed {
        return Ok(ExitStatus::Ok);
    }
    let what = format!(
        "`{}` did not do what was expected: {}",
        args.component.display(),
        plural(differences.len() as u64, "difference")
    );
    Err(Failure::new(ExitStatus::Failure, what)
        .hint("where what came out is right, `--bless` writes it into the file of `--expect`")
        .into())
}

fn tell(args: &TestArgs, differences: &[Difference], output: &Output) -> anyhow::Result<()> {
    let file = args.expect.as_deref().unwrap_or(Path::new("-"));
    for difference in differences.iter().take(DIFFERENCES_SHOWN_MAX) {
        let place = match difference.line {
            Some(line) => format!("{}:{line}: ", file.display()),
            None => String::new(),
        };
        let head = format!("{place}{}, number {}", difference.group, difference.number);
        output.line(
            &Text::new()
                .styled(Style::Red, "differs")
                .plain(": ")
                .plain(&head),
        )?;
        let nothing = || "nothing".to_owned();
        let lines = match &difference.kind {
            Kind::Differs {
                path,
                wanted,
                found,
                expected,
                got,
            } => {
                let wanted = wanted.as_ref().map_or_else(nothing, ToString::to_string);
                let found = found.as_ref().map_or_else(nothing, ToString::to_string);
                vec![
                    format!("  at `{path}`: expected {wanted}, got {found}"),
                    format!("  expected: {expected}"),
                    format!("  got:      {got}"),
                ]
            }
            Kind::Missing { expected } => {
                vec![
                    format!("  expected: {expected}"),
                    "  got:      nothing".to_owned(),
                ]
            }
            Kind::Unexpected { got } => {
                vec![
                    "  expected: nothing".to_owned(),
                    format!("  got:      {got}"),
                ]
            }
        };
        for line in lines {
            output.line(&Text::new().plain(&line))?;
        }
    }
    let more = differences.len().saturating_sub(DIFFERENCES_SHOWN_MAX);
    if more > 0 {
        output.line(&Text::new().plain(&format!(
            "and {}",
            plural(more as u64, "further difference")
        )))?;
    }
    Ok(())
}

fn plural(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}
