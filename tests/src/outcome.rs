//! How a command ended and what it printed.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Output};

use serde_json::Value;

/// A command that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code; `None` when a signal ended it.
    pub status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Outcome {
    /// Of what was collected while it ran.
    pub fn new(status: ExitStatus, stdout: String, stderr: String) -> Self {
        Self {
            status: status.code(),
            signal: status.signal(),
            stdout,
            stderr,
        }
    }

    /// Itself, if it ended well.
    ///
    /// # Panics
    /// Else, with all that it printed.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.ended_with(0)
    }

    /// Itself, if it ended with this exit code.
    ///
    /// # Panics
    /// Else, with all that it printed.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.status, Some(code), "{self:#?}");
        self
    }

    /// Its standard output as one JSON value.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|err| panic!("{err}: {self:#?}"))
    }

    /// Itself, if its standard error holds each of these texts.
    ///
    /// # Panics
    /// Else, with all that it printed.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(
                self.stderr.contains(text),
                "`{text}` is not in {}\n{self:?}",
                self.stderr
            );
        }
        self
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self::new(output.status, text(output.stdout), text(output.stderr))
    }
}
