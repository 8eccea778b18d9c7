//! A process that goes on while the test looks at it.

use std::fs;
use std::io::Write;
use std::process::{Child, ChildStdin, Command};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::lines::Lines;
use crate::outcome::Outcome;
use crate::wait;

/// A running process with its output; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Its standard output; empty where the command does not pipe it.
    pub stdout: Lines,
    /// Its standard error; empty where the command does not pipe it.
    pub stderr: Lines,
    readers: Vec<JoinHandle<()>>,
    ended: bool,
}

impl Process {
    /// Starts it; the streams that the command pipes are read.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the process can be started");
        let mut readers = Vec::new();
        let mut stdout = Lines::default();
        if let Some(stream) = child.stdout.take() {
            let (lines, reader) = Lines::collect(stream);
            stdout = lines;
            readers.push(reader);
        }
        let mut stderr = Lines::default();
        if let Some(stream) = child.stderr.take() {
            let (lines, reader) = Lines::collect(stream);
            stderr = lines;
            readers.push(reader);
        }
        let stdin = child.stdin.take();
        Self {
            child,
            stdin,
            stdout,
            stderr,
            readers,
            ended: false,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// When its input is not piped, or it does not read any more.
    pub fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is piped");
        writeln!(stdin, "{line}").expect("the process reads its input");
    }

    /// Ends its standard input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) {
        let sent = kill_process(self.pid(), signal);
        assert!(
            sent.is_ok() && !self.ended,
            "the process has ended before the signal"
        );
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// When it is no child of this process.
    pub fn has_ended(&mut self) -> bool {
        let state = self.child.try_wait();
        state.expect("a child of ours can be asked").is_some()
    }

    /// Waits until it has ended, at most [`wait::LIMIT`].
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait(&mut self) -> Outcome {
        let status = wait::until("the process to end", || {
            self.child.try_wait().expect("a child of ours can be asked")
        });
        self.ended = true;
        for reader in self.readers.drain(..) {
            reader.join().expect("reading lines does not panic");
        }
        Outcome::new(status, self.stdout.text(), self.stderr.text())
    }

    /// The most memory that it ever had, without what it maps of files that others map too, in bytes.
    ///
    /// # Panics
    /// When it has ended.
    pub fn peak_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes = kilobytes.and_then(|text| text.parse::<u64>().ok());
        kilobytes.expect("a number") * 1024
    }

    /// Waits for a line of standard output that is a JSON value with what `look` finds, from line `from` on.
    ///
    /// # Panics
    /// When there is none, with all that the process printed.
    pub fn find_json<T>(
        &self,
        what: &str,
        from: usize,
        mut look: impl FnMut(&Value) -> Option<T>,
    ) -> (T, usize) {
        self.find_line(what, from, |line| {
            look(&serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line}")))
        })
    }

    /// Waits for a line of standard output with what `look` finds, from line `from` on.
    ///
    /// # Panics
    /// When there is none, with all that the process printed.
    pub fn find_line<T>(
        &self,
        what: &str,
        from: usize,
        look: impl FnMut(&str) -> Option<T>,
    ) -> (T, usize) {
        self.stdout.find(from, look).unwrap_or_else(|| {
            panic!(
                "waited in vain: {what}\n{}\n{}",
                self.stdout.text(),
                self.stderr.text()
            )
        })
    }

    /// The processes that it has started and that still run.
    fn children(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id()));
        let tasks = tasks.into_iter().flatten().flatten();
        tasks
            .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
            .flat_map(|text| {
                text.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended && !self.has_ended() {
            let children = self.children();
            self.child.kill().expect("a child of ours can be killed");
            self.child
                .wait()
                .expect("a child of ours can be waited for");
            if !std::thread::panicking() {
                assert!(
                    children.is_empty(),
                    "it left processes behind: {children:?}"
                );
            }
        }
        self.close_input();
        for reader in self.readers.drain(..) {
            // What it says is of no use any more.
            let _ = reader.join();
        }
    }
}
