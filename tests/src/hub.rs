//! `wasm-edge hub serve` while it runs: where it listens, what its verbs and its sockets say, and how it ends.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::home::Home;
use crate::http;
use crate::outcome::Outcome;
use crate::process::Process;

/// How to start a hub: on free ports of 127.0.0.1, with the host name `localhost`.
#[derive(Clone, Debug)]
pub struct HubOptions {
    args: Vec<OsString>,
    ports: (u16, u16),
    name_space: bool,
}

/// A running hub, whose output is `--output json`; dropping it kills it.
#[derive(Debug)]
pub struct HubServe<'a> {
    home: &'a Home,
    options: HubOptions,
    /// The process.
    pub process: Process,
    /// What it told of itself as it started.
    pub told: Value,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl HubOptions {
    /// On free ports, with a certificate of its local authority.
    pub fn new() -> Self {
        Self {
            args: Vec::new(),
            ports: (0, 0),
            name_space: false,
        }
    }

    /// With these further arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// On these ports of MQTT and HTTPS.
    #[must_use]
    pub fn ports(mut self, mqtt: u16, https: u16) -> Self {
        self.ports = (mqtt, https);
        self
    }

    /// With its default addresses, ports and host name, as in a network namespace of its own.
    #[must_use]
    pub fn on_usual_ports(mut self) -> Self {
        self.name_space = true;
        self
    }

    /// The whole command line behind the program's name.
    pub fn command_line(&self, home: &Home) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["hub".into(), "serve".into()];
        if !self.name_space {
            let (mqtt, https) = self.ports;
            args.extend(["--listen", "127.0.0.1"].map(OsString::from));
            args.extend(["--mqtt-port".into(), mqtt.to_string().into()]);
            args.extend(["--https-port".into(), https.to_string().into()]);
        }
        args.extend(self.args.iter().cloned());
        args.extend(["--output".into(), "json".into()]);
        args.extend(["--data-dir".into(), home.data().into()]);
        args
    }

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// When it ends instead, with all that it printed.
    pub fn start<'a>(&self, home: &'a Home) -> HubServe<'a> {
        self.start_command(home, home.command(self.command_line(home)))
    }

    /// As [`HubOptions::start`], by another command.
    ///
    /// # Panics
    /// When it ends instead, with all that it printed.
    pub fn start_command<'a>(&self, home: &'a Home, command: Command) -> HubServe<'a> {
        let mut process = Process::start(command);
        let told = process
            .stdout
            .find(0, |line| serde_json::from_str(line).ok());
        let Some((told, _)) = told else {
            panic!("the hub does not listen: {:#?}", process.wait());
        };
        HubServe {
            home,
            options: self.clone(),
            process,
            told,
        }
    }

    /// Runs it to its end, which is to come by itself.
    pub fn to_end(&self, home: &Home) -> Outcome {
        Process::start(home.command(self.command_line(home))).wait()
    }
}

impl<'a> HubServe<'a> {
    /// Starts a hub on free ports in this home.
    pub fn start(home: &'a Home) -> Self {
        HubOptions::new().start(home)
    }

    /// The port of MQTT over TLS.
    ///
    /// # Panics
    /// When it has told none.
    pub fn mqtt_port(&self) -> u16 {
        self.port("mqtt")
    }

    /// The port of HTTPS.
    ///
    /// # Panics
    /// When it has told none.
    pub fn https_port(&self) -> u16 {
        self.port("https")
    }

    /// The port of metrics and health.
    ///
    /// # Panics
    /// When it has told none.
    pub fn metrics_port(&self) -> u16 {
        self.port("metrics")
    }

    /// The file of the certificate that clients are to trust.
    ///
    /// # Panics
    /// When it has told none.
    pub fn ca_file(&self) -> PathBuf {
        let file = self.told["caFile"].as_str();
        file.unwrap_or_else(|| panic!("no CA: {}", self.told))
            .into()
    }

    /// The certificate that clients are to trust (PEM).
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn ca_pem(&self) -> String {
        fs::read_to_string(self.ca_file()).expect("the CA's file can be read")
    }

    /// The connection string of a shared access policy, such as `iothubowner`.
    ///
    /// # Panics
    /// When it has told none.
    pub fn connection_string(&self, policy: &str) -> String {
        let text = self.told["connectionStrings"][policy].as_str();
        let text = text.unwrap_or_else(|| panic!("no policy `{policy}`: {}", self.told));
        text.to_owned()
    }

    /// Runs another command on the data folder of this hub.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn verb(&self, args: &[&str]) -> Outcome {
        let mut command = self.home.command(args);
        command.arg("--data-dir").arg(self.home.data());
        let output = command.output();
        output.expect("the binary can be started").into()
    }

    /// What the control socket answers, where no credentials are asked for.
    ///
    /// # Panics
    /// When it does not.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> http::Answer {
        let answer = http::ask(&self.data(), method, path, body);
        answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    /// What the control socket answers to a GET that succeeds.
    ///
    /// # Panics
    /// When it does not.
    pub fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, None);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.home.data()
    }

    /// The home that it runs in.
    pub fn home(&self) -> &'a Home {
        self.home
    }

    /// SIGTERM: ends it in order and answers how it ended.
    pub fn stop(mut self) -> Outcome {
        self.process.signal(Signal::TERM);
        self.process.wait()
    }

    /// Kills it as a power cut would; the answer starts another one on the same ports.
    pub fn kill(mut self) -> HubOptions {
        self.process.signal(Signal::KILL);
        self.process.wait();
        self.same_ports()
    }

    /// Kills it and starts it again on the same ports.
    #[must_use]
    pub fn kill_and_restart(self) -> Self {
        let home = self.home;
        self.kill().start(home)
    }

    /// The options with which another one takes the ports of this one, once this one has ended.
    pub fn same_ports(&self) -> HubOptions {
        let options = self.options.clone();
        options.ports(self.mqtt_port(), self.https_port())
    }

    fn port(&self, face: &str) -> u16 {
        let address = self.told[face][0].as_str().unwrap_or_default();
        let port = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        port.unwrap_or_else(|| panic!("no port of `{face}`: {}", self.told))
    }
}
