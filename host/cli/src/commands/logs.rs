//! `logs`: what modules logged, and, with `--follow`, what they log from now on.
//!
//! The device filters; one that does not run is read from its files by the same code, here.

use std::ops::ControlFlow;
use std::path::Path;

use serde_json::{Value, json};
use wasm_edge_daemon::logs::entry::level_named;
use wasm_edge_daemon::logs::filter::{LogFilter, Pattern};
use wasm_edge_daemon::logs::folder;
use wasm_edge_daemon::logs::reader::{self, LogSnapshot};
use wasm_edge_model::time::Timestamp;

use super::running::{Running, note_end, print_each, with_modules_hint};
use crate::args::{GlobalArgs, LogsArgs};
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::{self, Failure};
use crate::output::text::Text;
use crate::output::{Output, OutputError};
use crate::run_view::{LogLine, Names, RunView};

/// Prints the lines in the order of the device.
pub(super) async fn execute(
    args: LogsArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    if let Some(pattern) = &args.grep {
        // A device would refuse it, too; told here, it reads the same without one.
        Pattern::new(pattern).map_err(|err| Failure::new(ExitStatus::Usage, err.to_string()))?;
    }
    let running = match Running::find(global).await {
        Ok(running) => running,
        Err(err) => return from_files(&args, global.data_dir.as_deref(), err, output),
    };
    // A module's name alone may stand on several devices; without one, all devices are meant.
    let device = match &args.module {
        Some(_) => Some(running.device(args.device.as_ref())?),
        None => running.device_if_given(args.device.as_ref())?,
    };
    let target = target(&args, device.as_ref().map(|id| id.as_str()));
    let lines = running.stream(&target).await;
    let lines = lines.map_err(|err| match &args.module {
        Some(module) => with_modules_hint(err, module),
        None => err,
    })?;
    let view = RunView::new(output, running.names());
    print_each(lines, output, |line: Value| print(line, &view, output)).await?;
    if args.follow {
        note_end(output);
    }
    Ok(ExitStatus::Ok)
}

fn target(args: &LogsArgs, device: Option<&str>) -> Target {
    let now = Timestamp::from(jiff::Timestamp::now());
    let time = |moment: Option<crate::duration::Moment>| {
        moment.map(|moment| moment.seen_from(now).to_string())
    };
    let tail = args.tail.map(|tail| tail.to_string());
    Target::path(&["v1", "logs"])
        .query_if("device", device)
        .query_if("module", args.module.as_ref().map(|id| id.as_str()))
        .query_if("tail", tail.as_deref())
        .query_if("since", time(args.since).as_deref())
        .query_if("until", time(args.until).as_deref())
        .query_if("level", args.level.map(|level| level.as_str()))
        .query_if("grep", args.grep.as_deref())
        .query_if("follow", args.follow.then_some("true"))
}

/// Prints a line, or what the device says of lines that are not there.
fn print(value: Value, view: &RunView<'_>, output: &Output) -> Result<(), OutputError> {
    if output.is_json() {
        return output.json_line(&value);
    }
    let count = |name: &str| value.get(name).and_then(Value::as_u64);
    if let Some(lost) = count("lost") {
        output.warn(&format!(
            "{lost} lines are not shown: they came faster than they were read"
        ));
    } else if let Some(damaged) = count("damaged") {
        output.warn(&format!(
            "{damaged} damaged records in the logs were passed over"
        ));
    } else if let Some(error) = value.get("error").and_then(Value::as_str) {
        output.warn(error);
    } else {
        match serde_json::from_value::<LogLine>(value) {
            Ok(line) => view.print(&line)?,
            Err(err) => output.warn(&format!("a line of an unknown form is not shown: {err}")),
        }
    }
    Ok(())
}

/// Prints the lines from the files of a device that does not run, or fails as it did not.
fn from_files(
    args: &LogsArgs,
    data_folder: Option<&Path>,
    not_running: anyhow::Error,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let (Some(data_folder), false) = (data_folder, args.follow) else {
        return Err(not_running);
    };
    if failure::exit_status(&not_running) != ExitStatus::NotRunning {
        return Err(not_running);
    }
    let Ok(mut snapshots) = folder::snapshots(data_folder) else {
        return Err(not_running);
    };
    output.note(&Text::new().plain(&format!("{not_running}: its log files are read")));
    if let Some(device) = &args.device {
        snapshots.retain(|snapshot| snapshot.device() == device);
    }
    if let Some(module) = &args.module {
        snapshots.retain(|snapshot| snapshot.modules().any(|known| known == module));
        if snapshots.is_empty() {
            let what = format!("there is no log of the module `{module}`");
            return Err(Failure::new(ExitStatus::NotFound, what).into());
        }
    }
    print_files(args, &snapshots, output)?;
    Ok(ExitStatus::Ok)
}

fn print_files(args: &LogsArgs, snapshots: &[LogSnapshot], output: &Output) -> anyhow::Result<()> {
    let now = Timestamp::from(jiff::Timestamp::now());
    let filter = LogFilter {
        module: args.module.clone(),
        since: args.since.map(|moment| moment.seen_from(now)),
        until: args.until.map(|moment| moment.seen_from(now)),
        level: args.level.and_then(|level| level_named(level.as_str())),
        severity: None,
        pattern: args.grep.as_deref().map(Pattern::new).transpose()?,
    };
    let names = match snapshots.len() {
        0 | 1 => Names::Modules,
        _ => Names::DevicesAndModules,
    };
    let view = RunView::new(output, names);
    let mut printed = Ok(());
    let tail = args.tail.map(|tail| tail as usize);
    let summary = reader::read(snapshots, &filter, tail, |entry| {
        printed = print(entry.to_json(), &view, output);
        match printed {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    printed?;
    let summary = summary.map_err(|err| {
        Failure::new(
            ExitStatus::Failure,
            "the log files cannot be read to their end",
        )
        .caused_by(err)
    })?;
    if summary.damaged > 0 {
        print(json!({ "damaged": summary.damaged }), &view, output)?;
    }
    Ok(())
}
