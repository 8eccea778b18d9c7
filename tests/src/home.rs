//! A user's home of its own for each test, with a data folder in it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::outcome::Outcome;
use crate::paths;

/// A home folder; it is removed with all that is in it.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// An empty home.
    ///
    /// # Panics
    /// When there is no place for it.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        Self { folder }
    }

    /// The home folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder that tests use.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// What lies under a path in the data folder.
    pub fn in_data(&self, path: &str) -> PathBuf {
        self.data().join(path)
    }

    /// Writes a file in the home folder and answers its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).expect("a file in the home folder can be written");
        path
    }

    /// Writes a file in the home folder that its owner alone can read, and answers its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_secret(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write(name, content);
        let owner_only = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&path, owner_only).expect("it is ours");
        path
    }

    /// Writes messages of `--input`, one a line.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write_lines(&self, name: &str, lines: &[Value]) -> PathBuf {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.write(name, lines)
    }

    /// The binary, in this home and with nothing of this process's environment.
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        self.in_here(Command::new(paths::binary()), args)
    }

    /// Any program, in this home and with nothing of this process's environment but the search path.
    pub fn program<A: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = self.in_here(Command::new(program), args);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
    }

    fn in_here<A: AsRef<OsStr>>(
        &self,
        mut command: Command,
        args: impl IntoIterator<Item = A>,
    ) -> Command {
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("XDG_STATE_HOME", self.path().join("state"))
            .env("XDG_DATA_HOME", self.path().join("share"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the binary to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn verb(&self, args: &[&str]) -> Outcome {
        let output = self.command(args).output();
        output.expect("the binary can be started").into()
    }

    /// Runs the binary to its end, with this on its standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn verb_with_input(&self, args: &[&str], input: &str) -> Outcome {
        let mut command = self.command(args);
        let mut child = command
            .stdin(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let mut stdin = child.stdin.take().expect("standard input is piped");
        // A program that does not read its input to the end is no fault of the test's.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output();
        output.expect("a child of ours can be waited for").into()
    }
}
