//! Running cargo, and ending it before it is done.
//!
//! Its standard error is this process's own, so that the compiler's words reach the person as they come; its standard
//! output is read here. What is said there is in [`messages`](super::messages).

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

use super::messages::{Outcome, Workspace};

/// Longest line of a build's messages, in bytes: one names the files of one target.
const LINE_MAX_BYTES: u64 = 16 << 20;

/// Largest answer to `metadata`, in bytes: that of a workspace with thousands of members is smaller.
const METADATA_MAX_BYTES: u64 = 256 << 20;

/// Cargo in the folder of a crate.
pub(super) struct Cargo {
    program: OsString,
    folder: PathBuf,
}

/// Ends a running build from another thread; clones end the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopper {
    state: Arc<Mutex<State>>,
}

/// Written by the building thread and by who stops it.
#[derive(Debug, Default)]
struct State {
    stopped: bool,
    /// The group of processes that cargo leads, while it runs.
    group: Option<Pid>,
}

/// Why cargo did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CargoError {
    /// It is not there.
    #[error("`{program}` was not found")]
    NotFound {
        /// The program's name.
        program: String,
    },
    /// It could not be started, or its output not be read.
    #[error("cannot run `{program}`")]
    Run {
        /// The program's name.
        program: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It failed, and has said why on standard error.
    #[error("cargo ended with {status}; what it says is above")]
    Failed {
        /// How it ended.
        status: ExitStatus,
    },
    /// It was ended from here.
    #[error("the build was stopped")]
    Stopped,
    /// It said what nobody understands.
    #[error("cargo's answer is not understood")]
    Answer(#[source] serde_json::Error),
    /// It said more than is taken.
    #[error("cargo's answer has a line of more than {LINE_MAX_BYTES} bytes")]
    TooLong,
}

impl CargoError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotFound { .. } => Some("rustup brings it: https://rustup.rs"),
            _ => None,
        }
    }
}

impl Stopper {
    /// Ends the build that runs, and each that would begin with this stopper.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        if let Some(group) = state.group {
            // One that has just ended by itself is no error. The id is that of our own child, which is waited for only
            // after it has left this state, so that it cannot be another's by now.
            let _ = kill_process_group(group, Signal::TERM);
        }
    }

    fn begin(&self, child: &Child) {
        let mut state = self.lock();
        state.group = Some(Pid::from_child(child));
        if state.stopped {
            let _ = kill_process_group(Pid::from_child(child), Signal::TERM);
        }
    }

    /// Answers whether the build was stopped.
    fn end(&self) -> bool {
        let mut state = self.lock();
        state.group = None;
        state.stopped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cargo {
    /// The cargo that `CARGO` names, else the one on the search path.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self {
            program: std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
            folder: folder.to_owned(),
        }
    }

    /// Asks for the workspace of the crate. Resolves no dependencies, so needs no network.
    pub(super) fn workspace(&self) -> Result<Workspace, CargoError> {
        let answer = self.metadata(Stdio::inherit())?;
        Workspace::of(&answer).map_err(CargoError::Answer)
    }

    /// What cargo says of the crate's workspace; why it does not goes to `stderr`.
    pub(super) fn metadata(&self, stderr: Stdio) -> Result<Vec<u8>, CargoError> {
        let mut command = self.command();
        command
            .args(["metadata", "--format-version", "1", "--no-deps", "--quiet"])
            .stderr(stderr);
        let mut child = self.start(&mut command)?;
        let stdout = child.stdout.take().expect("standard output is piped");
        let mut answer = Vec::new();
        let read = stdout.take(METADATA_MAX_BYTES).read_to_end(&mut answer);
        let status = child.wait();
        read.map_err(|err| self.failed(err))?;
        match status.map_err(|err| self.failed(err))? {
            status if status.success() => Ok(answer),
            status => Err(CargoError::Failed { status }),
        }
    }

    /// Whether the compiler has the standard library of a target.
    pub(super) fn has_target(&self, target: &str) -> bool {
        let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(program);
        command
            .args(["--print", "target-libdir", "--target", target])
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        // A compiler that cannot be asked leaves the word to cargo, which says what is wrong with it.
        let Ok(output) = command.output() else {
            return true;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_std = |name: &str| name.starts_with("libstd-") && name.ends_with(".rlib");
        std::fs::read_dir(text.trim()).is_ok_and(|entries| {
            entries
                .flatten()
                .any(|entry| is_std(&entry.file_name().to_string_lossy()))
        })
    }

    /// Builds, and gathers what came out.
    ///
    /// With a stopper cargo leads a process group of its own, so that its compilers end with it, and a terminal's
    /// Ctrl-C reaches it by the stopper only.
    pub(super) fn build(
        &self,
        args: &[OsString],
        stopper: Option<&Stopper>,
    ) -> Result<Outcome, CargoError> {
        let mut command = self.command();
        command.args(args);
        if stopper.is_some() {
            command.process_group(0);
            command.env("CARGO_TERM_PROGRESS_WHEN", "never");
        }
        let mut child = self.start(&mut command)?;
        if let Some(stopper) = stopper {
            stopper.begin(&child);
        }
        let stdout = child.stdout.take().expect("standard output is piped");
        let outcome = read_messages(BufReader::new(stdout));
        let stopped = stopper.is_some_and(Stopper::end);
        if outcome.is_err() {
            // It would wait for somebody to read on.
            drop(child.kill());
        }
        let status = child.wait().map_err(|err| self.failed(err))?;
        match outcome {
            _ if stopped => Err(CargoError::Stopped),
            Err(ReadError::Io(err)) => Err(self.failed(err)),
            Err(ReadError::Json(err)) => Err(CargoError::Answer(err)),
            Err(ReadError::TooLong) => Err(CargoError::TooLong),
            Ok(_) if !status.success() => Err(CargoError::Failed { status }),
            Ok(mut outcome) => {
                outcome.components.sort();
                Ok(outcome)
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        // A relative one is meant from where the person is, and cargo runs in the crate's folder.
        if let Some(target) = std::env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty())
            && let Ok(target) = std::path::absolute(target)
        {
            command.env("CARGO_TARGET_DIR", target);
        }
        command
    }

    fn start(&self, command: &mut Command) -> Result<Child, CargoError> {
        command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => CargoError::NotFound {
                program: self.name(),
            },
            _ => self.failed(source),
        })
    }

    fn failed(&self, source: io::Error) -> CargoError {
        CargoError::Run {
            program: self.name(),
            source,
        }
    }

    fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }
}

enum ReadError {
    Io(io::Error),
    Json(serde_json::Error),
    TooLong,
}

/// Lines that begin no JSON object are not cargo's: build scripts of dependencies may write there.
fn read_messages(mut reader: impl BufRead) -> Result<Outcome, ReadError> {
    let mut outcome = Outcome::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = (&mut reader)
            .take(LINE_MAX_BYTES)
            .read_until(b'\n', &mut line)
            .map_err(ReadError::Io)?;
        match line.first() {
            None => return Ok(outcome),
            Some(_) if length as u64 >= LINE_MAX_BYTES => return Err(ReadError::TooLong),
            Some(b'{') => outcome.take(&line).map_err(ReadError::Json)?,
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_to_their_end_and_no_longer_than_is_bearable() {
        let lines = b"{\"reason\":\"build-finished\"}\nnoise\n{\"reason\":\"x\"}";
        let read = read_messages(&lines[..]);
        assert!(matches!(read, Ok(outcome) if outcome == Outcome::default()));
        let read = read_messages(&b"{]\n"[..]);
        assert!(matches!(read, Err(ReadError::Json(_))));
        let endless = BufReader::new(io::repeat(b'{'));
        assert!(matches!(read_messages(endless), Err(ReadError::TooLong)));
    }

    #[test]
    fn a_build_is_stopped_before_and_while_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let cargo = Cargo {
            program: "sleep".into(),
            folder: folder.path().to_owned(),
        };
        let stopper = Stopper::default();
        let building = {
            let stopper = stopper.clone();
            std::thread::spawn(move || cargo.build(&["600".into()], Some(&stopper)).unwrap_err())
        };
        // Whether it has begun by now or not, it ends.
        stopper.stop();
        assert!(matches!(building.join().unwrap(), CargoError::Stopped));
    }

    #[test]
    fn a_cargo_that_is_not_there_is_named() {
        let cargo = Cargo {
            program: "no-such-cargo".into(),
            folder: "/".into(),
        };
        let err = cargo.workspace().unwrap_err();
        assert_eq!(err.to_string(), "`no-such-cargo` was not found");
        assert!(err.hint().is_some());
    }
}
