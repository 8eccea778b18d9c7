//! Reads a file of lines that the person named, or as `-` standard input: one after the other, bounded.
//!
//! For `run --input`, `send --file` and `hub send --file`; what a line means is theirs to know.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use tokio::sync::mpsc;

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// Longest line in bytes: a message's largest body in base64, with room for its properties.
const LINE_MAX_BYTES: u64 = 1 << 20;

/// Lines that are read ahead.
const AHEAD_MAX: usize = 16;

/// Hands over each line with its number, until the end or until nobody takes them; blank ones are passed over.
///
/// Blocks, so that it belongs on a thread for blocking work.
///
/// # Errors
/// Those of reading; a line of more than [`LINE_MAX_BYTES`].
pub(crate) fn read(path: &Path, lines: &mpsc::Sender<(u64, String)>) -> io::Result<()> {
    let reader: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path)?)
    };
    let mut reader = BufReader::new(reader);
    for number in 1.. {
        let mut line = Vec::new();
        let length = reader
            .by_ref()
            .take(LINE_MAX_BYTES)
            .read_until(b'\n', &mut line)?;
        if length == 0 {
            break;
        }
        if !line.ends_with(b"\n") && length as u64 == LINE_MAX_BYTES {
            let what = format!("line {number} has more than {LINE_MAX_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        if !line.is_empty() && lines.blocking_send((number, line.to_owned())).is_err() {
            break;
        }
    }
    Ok(())
}

/// Hands over each line with its number, one at a time, until one is not taken.
///
/// # Errors
/// [`failure`] where the file cannot be read; what `take` failed with.
pub(crate) async fn each(
    path: &Path,
    mut take: impl AsyncFnMut(u64, String) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (sender, mut lines) = mpsc::channel(AHEAD_MAX);
    let reading = tokio::task::spawn_blocking({
        let path = path.to_owned();
        move || read(&path, &sender)
    });
    while let Some((number, line)) = lines.recv().await {
        take(number, line).await?;
    }
    let read = reading.await.expect("reading lines does not panic");
    Ok(read.map_err(|err| failure(path, err))?)
}

/// The failure of a command whose file could not be read.
pub(crate) fn failure(path: &Path, err: io::Error) -> Failure {
    let status = match err.kind() {
        io::ErrorKind::NotFound => ExitStatus::NotFound,
        _ => ExitStatus::InvalidInput,
    };
    Failure::new(status, format!("cannot read `{}`", path.display())).caused_by(err)
}
