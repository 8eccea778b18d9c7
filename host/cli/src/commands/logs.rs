//! `logs`: what modules logged, and, with `--follow`, what they log from now on.

use serde_json::Value;

use super::running::{Running, note_end, print_each, with_modules_hint};
use crate::args::{GlobalArgs, LogsArgs};
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::output::Output;
use crate::run_view::{LogLine, RunView};

/// Prints the lines in the order of the device.
pub(super) async fn execute(
    args: LogsArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find(global).await?;
    // A module's name alone may stand on several devices; without one, all devices are meant.
    let device = match &args.module {
        Some(_) => Some(running.device(args.device.as_ref())?),
        None => running.device_if_given(args.device.as_ref())?,
    };
    let tail = args.tail.map(|tail| tail.to_string());
    let target = Target::path(&["v1", "logs"])
        .query_if("device", device.as_ref().map(|id| id.as_str()))
        .query_if("module", args.module.as_ref().map(|id| id.as_str()))
        .query_if("tail", tail.as_deref())
        .query_if("follow", args.follow.then_some("true"));
    let lines = running.stream(&target).await;
    let lines = lines.map_err(|err| match &args.module {
        Some(module) => with_modules_hint(err, module),
        None => err,
    })?;
    if output.is_json() {
        print_each(lines, output, |line: Value| output.json_line(&line)).await?;
    } else {
        let view = RunView::new(output, running.names());
        print_each(lines, output, |line: LogLine| view.print(&line)).await?;
    }
    if args.follow {
        note_end(output);
    }
    Ok(ExitStatus::Ok)
}
