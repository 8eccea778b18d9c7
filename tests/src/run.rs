//! `wasm-edge run` while it runs: what it prints, what its verbs and its socket say, and how it ends.

use std::ffi::OsString;
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::deployment::Deployment;
use crate::home::Home;
use crate::http;
use crate::lines::Lines;
use crate::management::{self, Management};
use crate::outcome::Outcome;
use crate::process::Process;
use crate::wait;

/// The device of tests that name none.
pub const DEVICE: &str = "d1";

/// How to start a run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    args: Vec<OsString>,
    devices: Vec<String>,
    feed: bool,
}

/// A running `wasm-edge run`, whose output is `--output json`; dropping it kills it.
#[derive(Debug)]
pub struct Run<'a> {
    management: Management<'a>,
    /// The process.
    pub process: Process,
}

/// Messages that go upstream, one after the other.
#[derive(Debug)]
pub struct Telemetry {
    lines: Lines,
    next: usize,
}

impl Telemetry {
    /// Of a stream of a control socket.
    pub fn open(data: &Path, path: &str) -> Self {
        let lines = http::stream(data, path);
        Self { lines, next: 0 }
    }

    /// The next message of a module.
    ///
    /// # Panics
    /// When there is none.
    pub fn next(&mut self, module: &str) -> Value {
        self.find(|message| message["module"] == module)
    }

    /// The next message that is so; those before it are passed over.
    ///
    /// # Panics
    /// When there is none.
    pub fn find(&mut self, mut is_so: impl FnMut(&Value) -> bool) -> Value {
        let found = self.lines.find(self.next, |line| {
            let message: Value = serde_json::from_str(line).expect("each line is JSON");
            assert!(message.get("lost").is_none(), "{message}");
            is_so(&message).then_some(message)
        });
        let (message, next) =
            found.unwrap_or_else(|| panic!("waited in vain for a message\n{}", self.lines.text()));
        self.next = next;
        message
    }
}

/// The body of a message of [`Telemetry`] as JSON.
///
/// # Panics
/// When it is none.
pub fn body(message: &Value) -> Value {
    if let Some(body) = message.get("body") {
        return body.clone();
    }
    let text = message["bodyText"].as_str();
    let text = text.unwrap_or_else(|| panic!("no text: {message}"));
    serde_json::from_str(text).unwrap_or_else(|err| panic!("{err}: {message}"))
}

impl RunOptions {
    /// Of a manifest or a component, on the device [`DEVICE`].
    pub fn new(file: &Path) -> Self {
        Self {
            args: vec![file.into()],
            devices: vec![DEVICE.to_owned()],
            feed: false,
        }
    }

    /// Of devices that have a manifest each.
    pub fn of_devices(devices: &[(&str, &Path)]) -> Self {
        let with_file = |(device, file): &(&str, &Path)| format!("{device}={}", file.display());
        Self {
            args: Vec::new(),
            devices: devices.iter().map(with_file).collect(),
            feed: false,
        }
    }

    /// With these further arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// On these devices instead.
    #[must_use]
    pub fn devices(mut self, devices: &[&str]) -> Self {
        self.devices = devices.iter().map(|device| (*device).to_owned()).collect();
        self
    }

    /// With the test's lines as messages: [`Run::feed`].
    #[must_use]
    pub fn fed(mut self) -> Self {
        self.feed = true;
        self.args(["--input", "-"])
    }

    /// The whole command line behind the program's name.
    pub fn command_line(&self, home: &Home) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["run".into()];
        args.extend(self.args.iter().cloned());
        for device in &self.devices {
            args.extend(["--device".into(), device.into()]);
        }
        args.extend(["--output".into(), "json".into()]);
        args.extend(["--data-dir".into(), home.data().into()]);
        args
    }

    /// Starts it and waits until its socket answers.
    pub fn start<'a>(&self, home: &'a Home) -> Run<'a> {
        self.start_command(home, home.command(self.command_line(home)))
    }

    /// Runs it to its end, which is to come by itself.
    pub fn to_end(&self, home: &Home) -> Outcome {
        Process::start(home.command(self.command_line(home))).wait()
    }

    /// As [`RunOptions::start`], by another command.
    ///
    /// # Panics
    /// When it ends before its socket answers.
    pub fn start_command<'a>(&self, home: &'a Home, mut command: Command) -> Run<'a> {
        if self.feed {
            command.stdin(Stdio::piped());
        }
        let mut process = Process::start(command);
        let management = Management::of(home);
        management.wait_answers(&mut process);
        Run {
            management,
            process,
        }
    }
}

impl<'a> Deref for Run<'a> {
    type Target = Management<'a>;

    fn deref(&self) -> &Management<'a> {
        &self.management
    }
}

impl Run<'_> {
    /// Starts a deployment whose failed modules are started again soon, and waits until all modules run.
    pub fn with_quick_restarts<'a>(home: &'a Home, deployment: &Deployment) -> Run<'a> {
        let run = RunOptions::new(&deployment.write(home))
            .args(["--restart-wait", "50ms"])
            .start(home);
        run.wait_running();
        run
    }

    /// Starts a manifest or a component on [`DEVICE`] and waits until all its modules that are to run do.
    pub fn of<'a>(home: &'a Home, file: &Path) -> Run<'a> {
        let run = RunOptions::new(file).start(home);
        run.wait_running();
        run
    }

    /// Hands a message to the single component: one line of `--input`.
    pub fn feed(&mut self, line: &Value) {
        self.process.write_line(&line.to_string());
    }

    /// Calls a direct method of a module of [`DEVICE`] from the service side; answers status and payload.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn call(&self, module: &str, method: &str, payload: &Value) -> (Value, Value) {
        self.call_on(DEVICE, module, method, payload)
    }

    /// As [`Run::call`], of a module of another device.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn call_on(
        &self,
        device: &str,
        module: &str,
        method: &str,
        payload: &Value,
    ) -> (Value, Value) {
        management::call(&self.home().data(), device, module, method, payload)
    }

    /// Lets the guest `feed` on [`DEVICE`] send these messages; done when the device has taken them.
    ///
    /// # Panics
    /// When one is not taken.
    pub fn send(&self, messages: &Value) {
        self.send_on(DEVICE, messages);
    }

    /// As [`Run::send`], on another device.
    ///
    /// # Panics
    /// When one is not taken.
    pub fn send_on(&self, device: &str, messages: &Value) {
        let answer = self.call_on(device, "feed", "send", messages);
        assert_eq!(answer.0, 200, "{answer:?}");
    }

    /// The messages that go upstream from now on, whole, as `monitor` has them.
    pub fn telemetry(&self) -> Telemetry {
        Telemetry::open(&self.home().data(), "/wasm-edge/v1/telemetry")
    }

    /// A module's twin, as the service side sees it.
    pub fn twin(&self, module: &str) -> Value {
        self.verb(&["twin", "get", module, "--output", "json"])
            .ok()
            .json()
    }

    /// Changes a module's desired properties from the service side; answers the new twin.
    pub fn patch(&self, module: &str, patch: &Value) -> Value {
        let args = [
            "twin",
            "patch",
            module,
            &patch.to_string(),
            "--output",
            "json",
        ];
        self.verb(&args).ok().json()
    }

    /// Restarts a module of [`DEVICE`].
    ///
    /// # Panics
    /// When it is refused.
    pub fn restart(&self, module: &str) {
        let path = format!("/v1/modules/{DEVICE}/{module}/restart");
        let answer = http::ask(&self.home().data(), "POST", &path, None);
        let answer = answer.expect("the run answers on its socket");
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Waits until a module's twin is so, and answers it.
    pub fn wait_twin(&self, module: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait::until(&format!("the twin of `{module}` to be so"), || {
            Some(self.twin(module)).filter(&is_so)
        })
    }

    /// Waits until a reported property of a module, by its JSON pointer, is this one; answers the twin.
    pub fn wait_reported(&self, module: &str, pointer: &str, value: &Value) -> Value {
        self.wait_twin(module, |twin| {
            twin["properties"]["reported"].pointer(pointer) == Some(value)
        })
    }

    /// Waits for a message upstream from line `from` of the output on: JSON that `look` takes.
    ///
    /// Answers it with the number of the next line.
    pub fn upstream<T>(
        &self,
        module: &str,
        from: usize,
        mut look: impl FnMut(&Value) -> Option<T>,
    ) -> (T, usize) {
        let what = format!("a message of `{module}` to go upstream");
        self.process
            .find_json(&what, from, |line| look(&upstream_body(line, module)?))
    }

    /// All bodies that a module has sent upstream so far; one that is no JSON is a text.
    pub fn all_upstream(&self, module: &str) -> Vec<Value> {
        bodies(&self.process.stdout.all(), module)
    }

    /// Waits for a log line of a module, from the guest or the host, that holds a text; answers it.
    pub fn wait_log(&self, module: &str, text: &str) -> Value {
        let what = format!("`{text}` in the log of `{module}`");
        let found = self.process.find_json(&what, 0, |line| {
            let of_module = line["module"] == module;
            let said = line["text"].as_str().unwrap_or_default();
            (of_module && said.contains(text)).then(|| line.clone())
        });
        found.0
    }

    /// Ctrl-C: ends it in order and answers how it ended.
    pub fn interrupt(mut self) -> Outcome {
        self.process.signal(Signal::INT);
        self.process.wait()
    }

    /// Kills it as a power cut would.
    pub fn kill(mut self) -> Outcome {
        self.process.signal(Signal::KILL);
        self.process.wait()
    }
}

/// All bodies that a module sent upstream, of the lines that a run has printed.
pub fn bodies(lines: &[String], module: &str) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).expect("each line is JSON");
    lines
        .iter()
        .filter_map(|line| upstream_body(&parse(line), module))
        .collect()
}

/// The body in a line about a message that went upstream.
fn upstream_body(line: &Value, module: &str) -> Option<Value> {
    if line["module"] != module || line["stream"] != "upstream" {
        return None;
    }
    let body = line["text"].as_str()?;
    Some(serde_json::from_str(body).unwrap_or_else(|_| Value::from(body)))
}
