//! One run of the binary, in an environment of its own.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A user's home, in which devices are announced and found.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the running devices.
    pub(crate) fn live(&self) -> std::path::PathBuf {
        self.path().join("state/wasm-edge/live")
    }

    /// Writes the entry that a running process leaves.
    pub(crate) fn announce(&self, name: &str, data_folder: &Path) {
        std::fs::create_dir_all(self.live()).unwrap();
        let line = format!("{}\n", data_folder.display());
        std::fs::write(self.live().join(name), line).unwrap();
    }

    /// The binary with nothing of this process's environment, in the home folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wasm-edge"));
        command.args(args).current_dir(self.path()).env_clear();
        command
            .env("HOME", self.path())
            .env("XDG_STATE_HOME", self.path().join("state"))
            .env("TERM", "xterm");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs to the end.
    pub(crate) fn run(&self, args: &[&str]) -> Ending {
        Ending::of(self.command(args).output().unwrap())
    }

    /// Runs to the end with this on standard input.
    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Ending {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        Ending::of(child.wait_with_output().unwrap())
    }

    /// Starts a command that goes on.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }
}

/// How a run ended and what it printed.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ending {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Compares all three.
    #[track_caller]
    pub(crate) fn is(&self, code: i32, stdout: &str, stderr: &str) {
        let found = (self.code, self.stdout.as_str(), self.stderr.as_str());
        assert_eq!(
            found,
            (Some(code), stdout, stderr),
            "\n{}\n{}",
            self.stdout,
            self.stderr
        );
    }
}
