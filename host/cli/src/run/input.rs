//! `--input`: messages from a file or standard input to the single component, one JSON object a line.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use wasm_edge_daemon::injector::Injector;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::{InputName, MessageLine};

use crate::exit_codes::ExitStatus;
use crate::lines_file;
use crate::output::Output;

/// The input of messages that name none.
const INPUT_DEFAULT: &str = "input";

/// Lines read ahead.
const AHEAD_MAX: usize = 16;

/// How often the queues are looked at, once the input is at its end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Feeds all lines and waits until the module has dealt with them and what it sent is at the hub.
///
/// Lines that are not messages are reported with their numbers and passed over; the status tells of them, and
/// of messages that were put aside.
pub(super) async fn feed(
    file: &Path,
    module: &ModuleId,
    injector: &Injector,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let (sender, mut lines) = mpsc::channel(AHEAD_MAX);
    let (name, path) = (file.display().to_string(), file.to_owned());
    let reading = tokio::task::spawn_blocking(move || lines_file::read(&path, &sender));
    let aside_before = injector.pending().set_aside;
    let mut faulty = 0_u64;
    while let Some((number, line)) = lines.recv().await {
        let taken = match MessageLine::parse(&line) {
            Err(err) => Err(err.to_string()),
            Ok(line) => {
                let input = line
                    .input
                    .unwrap_or_else(|| InputName::new(INPUT_DEFAULT).expect("a valid name"));
                injector
                    .inject(module, input, line.message)
                    .await
                    .map_err(|err| err.to_string())
            }
        };
        if let Err(err) = taken {
            faulty += 1;
            output.warn(&format!("{name}:{number}: {err}"));
        }
    }
    reading
        .await
        .expect("reading lines does not panic")
        .map_err(|err| lines_file::failure(file, err))?;
    let mut look = tokio::time::interval(LOOK_EVERY);
    while injector.pending().messages > 0 {
        look.tick().await;
    }
    let aside = injector.pending().set_aside - aside_before;
    if aside > 0 {
        let were = if aside == 1 {
            "message was"
        } else {
            "messages were"
        };
        output.warn(&format!("{aside} {were} put aside; the log says why"));
    }
    Ok(if faulty > 0 {
        ExitStatus::InvalidInput
    } else if aside > 0 {
        ExitStatus::Failure
    } else {
        ExitStatus::Ok
    })
}
