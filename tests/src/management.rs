//! What a running device or hub shows on its control socket and by its verbs.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::home::Home;
use crate::http;
use crate::outcome::Outcome;
use crate::process::Process;
use crate::wait;

/// A process in the data folder of a home.
#[derive(Debug)]
pub struct Management<'a> {
    home: &'a Home,
}

impl<'a> Management<'a> {
    /// Of the process that runs in this home, now or later.
    pub fn of(home: &'a Home) -> Self {
        Self { home }
    }

    /// The home that it runs in.
    pub fn home(&self) -> &'a Home {
        self.home
    }

    /// Waits until the socket of this process answers.
    ///
    /// # Panics
    /// When it ends before that.
    pub fn wait_answers(&self, process: &mut Process) {
        let id = process.id();
        wait::until_so("the socket of the process to answer", || {
            if process.has_ended() {
                panic!("the process has ended: {:#?}", process.wait());
            }
            // A stale socket does not answer, and one of another process has another id.
            let info = http::ask(&self.home.data(), "GET", "/v1/info", None);
            info.is_some_and(|info| info.body["pid"] == id)
        });
    }

    /// Runs another command on the data folder of this process.
    pub fn verb(&self, args: &[&str]) -> Outcome {
        let output = self.verb_command(args).output();
        output.expect("the binary can be started").into()
    }

    /// Starts another command on the data folder of this process.
    pub fn verb_process(&self, args: &[&str]) -> Process {
        Process::start(self.verb_command(args))
    }

    fn verb_command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        command.arg("--data-dir").arg(self.home.data());
        command
    }

    /// What the socket answers to a GET.
    ///
    /// # Panics
    /// When it does not.
    pub fn get(&self, path: &str) -> Value {
        let answer = http::ask(&self.home.data(), "GET", path, None);
        let answer = answer.expect("the process answers on its socket");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// How many components this process has compiled.
    ///
    /// # Panics
    /// When the process does not say.
    pub fn components_compiled(&self) -> u64 {
        let info = self.get("/v1/info");
        let compiled = info["componentsCompiled"].as_u64();
        compiled.unwrap_or_else(|| panic!("no number: {info}"))
    }

    /// All modules, as `list` has them.
    ///
    /// # Panics
    /// When `list` fails.
    pub fn modules(&self) -> Vec<Value> {
        let list = self.verb(&["list", "--output", "json"]).ok().json();
        list["modules"].as_array().expect("a list").clone()
    }

    /// A module, as `list` has it.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn module(&self, name: &str) -> Value {
        self.find_module(name)
            .unwrap_or_else(|| panic!("no module `{name}`"))
    }

    /// Of the messages of a module, how many were handled, failed, were set aside and wait.
    ///
    /// # Panics
    /// When it is not there.
    pub fn messages(&self, name: &str) -> Value {
        let module = self.module(name);
        json!([
            module["messagesHandled"],
            module["messagesFailed"],
            module["messagesSetAside"],
            module["messagesQueued"],
        ])
    }

    /// A module as `inspect` has it.
    pub fn inspect(&self, name: &str) -> Value {
        self.verb(&["inspect", name, "--output", "json"])
            .ok()
            .json()
    }

    /// Waits until a module is there and as `is_so` says.
    pub fn wait_module(&self, name: &str, mut is_so: impl FnMut(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        wait::until(&format!("the module `{name}` to be so"), || {
            let seen = self.find_module(name)?;
            if last != seen {
                last.clone_from(&seen);
            }
            is_so(&seen).then_some(seen)
        })
    }

    /// Waits until all modules that are to run do, and are ready.
    pub fn wait_running(&self) {
        wait::until_so("all modules to run", || {
            let (info, list) = (self.get("/v1/info"), self.get("/v1/modules"));
            let modules = list["modules"].as_array().expect("a list");
            let devices = info["devices"].as_array().expect("a list");
            let runs = |module: &Value| {
                module["desiredStatus"] != "running"
                    || (module["status"] == "running" && module["ready"] == true)
            };
            // Devices get their modules one after the other.
            let has_modules =
                |device: &Value| modules.iter().any(|module| module["device"] == *device);
            devices.iter().all(has_modules) && modules.iter().all(runs)
        });
    }

    fn find_module(&self, name: &str) -> Option<Value> {
        let list = self.get("/v1/modules");
        let modules = list["modules"].as_array()?;
        modules
            .iter()
            .find(|module| module["module"] == name)
            .cloned()
    }
}

/// Calls a direct method of a module at the hub whose socket is in this data folder, as the service side does; answers
/// status and payload.
///
/// # Panics
/// When there is no answer.
pub(crate) fn call(
    data: &Path,
    device: &str,
    module: &str,
    method: &str,
    payload: &Value,
) -> (Value, Value) {
    let body = json!({
        "methodName": method, "payload": payload,
        "responseTimeoutInSeconds": 30, "connectTimeoutInSeconds": 30,
    });
    let path = format!("/twins/{device}/modules/{module}/methods");
    let answer = http::ask(data, "POST", &path, Some(&body));
    let answer = answer.expect("the hub answers on its socket");
    assert_eq!(answer.status, 200, "{method}: {answer:?}");
    (
        answer.body["status"].clone(),
        answer.body["payload"].clone(),
    )
}
