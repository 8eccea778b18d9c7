//! `wasm-edge daemon` while it runs: its configuration, what its verbs and its socket say, and how it ends.
//!
//! A test has two homes then: that of the hub, which is another process, and that of the device.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::home::Home;
use crate::hub::HubServe;
use crate::management::Management;
use crate::outcome::Outcome;
use crate::process::Process;

/// How to start a daemon.
#[derive(Clone, Debug, Default)]
pub struct DaemonOptions {
    /// Keys by section.
    config: BTreeMap<String, BTreeMap<String, Value>>,
    args: Vec<OsString>,
    environment: Vec<(String, String)>,
}

/// A running `wasm-edge daemon`; dropping it kills it.
#[derive(Debug)]
pub struct Daemon<'a> {
    management: Management<'a>,
    /// The process.
    pub process: Process,
}

impl DaemonOptions {
    /// With an empty configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of a device of this hub, which has this connection string. Its deployments may name files as images.
    pub fn of_hub(hub: &HubServe<'_>, connection_string: &str) -> Self {
        Self::new()
            .set("provisioning", "source", "connection-string")
            .set("provisioning", "connection_string", connection_string)
            .at(hub)
            .set("deployment", "file_images", true)
    }

    /// Of a device without a hub, with the deployment in a file.
    pub fn of_file(manifest: &Path) -> Self {
        let file = manifest.to_str().expect("a path of tests is text");
        Self::new().set("deployment", "file", file)
    }

    /// With the ports of this hub, and the certificate that it is trusted by.
    #[must_use]
    pub fn at(self, hub: &HubServe<'_>) -> Self {
        let ca = hub.ca_file();
        self.set(
            "hub",
            "ca_file",
            ca.to_str().expect("a path of tests is text"),
        )
        .set("hub", "mqtt_port", hub.mqtt_port())
        .set("hub", "https_port", hub.https_port())
    }

    /// With this key in its configuration.
    #[must_use]
    pub fn set(mut self, section: &str, key: &str, value: impl Into<Value>) -> Self {
        let section = self.config.entry(section.to_owned()).or_default();
        section.insert(key.to_owned(), value.into());
        self
    }

    /// Without this key in its configuration.
    #[must_use]
    pub fn unset(mut self, section: &str, key: &str) -> Self {
        if let Some(section) = self.config.get_mut(section) {
            section.remove(key);
        }
        self
    }

    /// With these further arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// With this variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The text of the configuration.
    pub fn config(&self) -> String {
        let mut text = String::new();
        for (section, keys) in &self.config {
            text += &format!("[{section}]\n");
            for (key, value) in keys {
                // What is used here is written in TOML as it is in JSON.
                text += &format!("{key} = {value}\n");
            }
        }
        text
    }

    /// Writes the configuration as `config.toml` in the home folder.
    pub fn write(&self, home: &Home) -> PathBuf {
        home.write("config.toml", self.config())
    }

    /// The command, after the configuration was written.
    pub fn command(&self, home: &Home) -> Command {
        let mut args: Vec<OsString> = vec!["daemon".into(), "--config".into()];
        args.push(self.write(home).into());
        args.extend(["--data-dir".into(), home.data().into()]);
        args.extend(self.args.iter().cloned());
        let mut command = home.command(args);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it and waits until its socket answers.
    pub fn start<'a>(&self, home: &'a Home) -> Daemon<'a> {
        self.start_command(home, self.command(home))
    }

    /// As [`DaemonOptions::start`], by another command.
    ///
    /// # Panics
    /// When it ends before its socket answers.
    pub fn start_command<'a>(&self, home: &'a Home, command: Command) -> Daemon<'a> {
        let mut process = Process::start(command);
        let management = Management::of(home);
        management.wait_answers(&mut process);
        Daemon {
            management,
            process,
        }
    }

    /// Runs it to its end, which is to come by itself.
    pub fn to_end(&self, home: &Home) -> Outcome {
        Process::start(self.command(home)).wait()
    }
}

impl<'a> Deref for Daemon<'a> {
    type Target = Management<'a>;

    fn deref(&self) -> &Management<'a> {
        &self.management
    }
}

impl Daemon<'_> {
    /// Waits for a line of what it says of itself that holds a text, from line `from` on; answers the number of the
    /// line after it.
    ///
    /// # Panics
    /// When it does not say so.
    pub fn wait_says(&self, from: usize, text: &str) -> usize {
        let found = self
            .process
            .stderr
            .find(from, |line| line.contains(text).then_some(()));
        let found = found
            .unwrap_or_else(|| panic!("it did not say `{text}`:\n{}", self.process.stderr.text()));
        found.1
    }

    /// SIGTERM: ends it in order and answers how it ended.
    pub fn stop(mut self) -> Outcome {
        self.process.signal(Signal::TERM);
        self.process.wait()
    }

    /// Kills it as a power cut would.
    pub fn kill(mut self) -> Outcome {
        self.process.signal(Signal::KILL);
        self.process.wait()
    }
}
