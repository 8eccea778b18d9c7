//! A real registry of images: Debian's `docker-registry` on a free port of this machine, with TLS by an authority of its
//! own, with a password or with tokens, and with what it says of each request.
//!
//! What other clients do with it is in `oci_clients`; what no honest registry does is for a stand-in.

mod realm;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificates::Authority;
use crate::debian;
use crate::process::Process;
use crate::registry::realm::Realm;
use crate::wait;

/// The user name and the password of registries that want them.
pub const LOGIN: (&str, &str) = ("board", "open-sesame");

/// [`LOGIN`] as a line of a password file, by bcrypt at its lowest cost.
const PASSWORD_LINE: &str = "board:$2b$04$K8Tlt/ICL/UN5CDlNQ4yc.OhnEhpWGFcSOO9S9yiOTDBjbka0Bi22";

/// Whom a registry lets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// Everybody.
    #[default]
    Open,
    /// Those with [`LOGIN`] in each request.
    Password,
    /// Those with a token, which everybody gets for pulling and those with [`LOGIN`] for pushing.
    Token,
}

/// What a registry is like.
#[derive(Clone, Copy, Debug)]
pub struct RegistryOptions {
    /// Whom it lets in.
    pub door: Door,
    /// Whether it speaks TLS; plain HTTP without.
    pub tls: bool,
}

/// The ways in which registries are met.
pub const WAYS: [RegistryOptions; 4] = [
    RegistryOptions {
        door: Door::Open,
        tls: true,
    },
    RegistryOptions {
        door: Door::Open,
        tls: false,
    },
    RegistryOptions {
        door: Door::Password,
        tls: true,
    },
    RegistryOptions {
        door: Door::Token,
        tls: true,
    },
];

/// A running registry; dropping it ends it and removes what it holds.
#[derive(Debug)]
pub struct Registry {
    process: Option<Process>,
    options: RegistryOptions,
    port: u16,
    folder: TempDir,
    authority: Authority,
    realm: Option<Realm>,
    /// What processes that have ended said.
    said: Vec<String>,
}

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// `GET`, `PUT`, ...
    pub method: String,
    /// The target, as `/v2/tools/sensor/manifests/1.0`.
    pub target: String,
    /// The status.
    pub status: u64,
    /// How many bytes of a body were sent.
    pub sent_bytes: u64,
}

impl Default for RegistryOptions {
    /// With TLS, open to everybody.
    fn default() -> Self {
        Self {
            door: Door::Open,
            tls: true,
        }
    }
}

impl Registry {
    /// Starts one with TLS that is open to everybody. Nothing, and loudly, where there is no `docker-registry`.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn start() -> Option<Self> {
        Self::start_with(RegistryOptions::default())
    }

    /// Starts one with TLS and this door.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn behind(door: Door) -> Option<Self> {
        Self::start_with(RegistryOptions { door, tls: true })
    }

    /// Starts one like this.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn start_with(options: RegistryOptions) -> Option<Self> {
        debian::program("docker-registry", "/usr/bin/docker-registry")?;
        let authority = Authority::new("registry of tests");
        let realm = (options.door == Door::Token).then(|| Realm::start(&authority));
        let mut registry = Self {
            process: None,
            options,
            port: 0,
            folder: TempDir::new().expect("a temporary folder can be made"),
            authority,
            realm,
            said: Vec::new(),
        };
        let (certificate, key) = registry.authority.issue_server("localhost");
        registry.write("certificate.pem", &certificate);
        registry.write("key.pem", &key);
        registry.write("ca.crt", registry.authority.pem());
        registry.write("passwords", PASSWORD_LINE);
        registry.start_again();
        Some(registry)
    }

    /// Ends it; what it holds stays.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            let lines = process.stderr.clone();
            // Its readers are done when it is dropped.
            drop(process);
            self.said.extend(lines.all());
        }
    }

    /// Starts it again after [`Registry::stop`], at the same port.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn start_again(&mut self) {
        self.stop();
        let config = self.write("config.yml", &self.config().to_string());
        let command = debian::program("docker-registry", "/usr/bin/docker-registry");
        let mut command = command.expect("it was there when this one was made");
        command
            .arg("serve")
            .arg(config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let process = Process::start(command);
        let listening = process.stderr.find(0, |line| {
            let said = json_line(line)?;
            let said = said["msg"].as_str()?.strip_prefix("listening on ")?;
            let address = said.split(',').next()?;
            address.rsplit(':').next()?.parse().ok()
        });
        let Some((port, _)) = listening else {
            panic!("the registry does not listen: {}", process.stderr.text());
        };
        self.port = port;
        self.process = Some(process);
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As references name it: `localhost:5000`.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The reference of what is called so there, as `tools/sensor:1.0`.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }

    /// Whether it speaks TLS.
    pub fn has_tls(&self) -> bool {
        self.options.tls
    }

    /// The user name and the password that it wants, if it does.
    pub fn login(&self) -> Option<(&'static str, &'static str)> {
        (self.options.door != Door::Open).then_some(LOGIN)
    }

    /// The certificate of its authority (PEM).
    pub fn ca_pem(&self) -> &str {
        self.authority.pem()
    }

    /// A file with [`Registry::ca_pem`].
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// A folder with no certificate but its authority's, named as clients of Docker's look for it.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn ca_folder(&self) -> PathBuf {
        let folder = self.folder.path().join("trusted");
        fs::create_dir_all(&folder).expect("a folder can be made");
        fs::copy(self.ca_file(), folder.join("ca.crt")).expect("a file can be copied");
        folder
    }

    /// The table of a configuration of ours for it, under this name of a host.
    pub fn table_as(&self, host: &str) -> String {
        let mut table = format!("[registries.\"{host}\"]\n");
        if self.options.tls {
            table += &format!("ca_file = \"{}\"\n", self.ca_file().display());
        } else {
            table += "plain_http = true\n";
        }
        if let Some((user, password)) = self.login() {
            table += &format!("username = \"{user}\"\npassword = \"{password}\"\n");
        }
        table
    }

    /// The table of a configuration of ours for it.
    pub fn table(&self) -> String {
        self.table_as(&self.host())
    }

    /// The table of a configuration of ours for who gives its tokens, if somebody does.
    pub fn realm_table(&self) -> Option<String> {
        let port = self.realm.as_ref()?.port();
        let ca_file = self.ca_file();
        Some(format!(
            "[registries.\"localhost:{port}\"]\nca_file = \"{}\"\n",
            ca_file.display()
        ))
    }

    /// All requests that it has answered. It ends in order for that, when it has told of each, and is started again: a
    /// client has its answer before the registry tells of it.
    ///
    /// # Panics
    /// When it does not listen again.
    pub fn all_answered(&mut self) -> Vec<Answered> {
        if let Some(process) = &mut self.process {
            process.signal(Signal::TERM);
            process.wait();
        }
        self.start_again();
        self.answered()
    }

    /// Those of them whose target has this in it.
    ///
    /// # Panics
    /// When it does not listen again.
    pub fn all_answered_with(&mut self, part: &str) -> Vec<Answered> {
        let mut all = self.all_answered();
        all.retain(|answered| answered.target.contains(part));
        all
    }

    /// The requests that it has told of so far.
    pub fn answered(&self) -> Vec<Answered> {
        let current = self.process.iter().flat_map(|process| process.stderr.all());
        let lines = self.said.iter().cloned().chain(current);
        lines.filter_map(|line| answered(&line)).collect()
    }

    /// Those of them whose target has this in it.
    pub fn answered_with(&self, part: &str) -> Vec<Answered> {
        let mut all = self.answered();
        all.retain(|answered| answered.target.contains(part));
        all
    }

    /// Waits until one with this method and this part of the target was answered; a client may have its answer before
    /// the registry says so.
    ///
    /// # Panics
    /// When there is none.
    pub fn wait_answered(&self, method: &str, part: &str) -> Answered {
        wait::until(&format!("{method} of `{part}` to be answered"), || {
            let mut found = self.answered_with(part).into_iter();
            found.find(|answered| answered.method == method)
        })
    }

    /// How often a token was asked for: the account, or `-` for nobody's, and the scope.
    pub fn token_requests(&self) -> Vec<(String, String)> {
        self.realm.as_ref().map(Realm::asked).unwrap_or_default()
    }

    /// Where it keeps the content of a digest, as `sha256:...`.
    ///
    /// # Panics
    /// When that is no digest.
    pub fn blob_file(&self, digest: &str) -> PathBuf {
        let (algorithm, hex) = digest.split_once(':').expect("a digest");
        let blobs = self.folder.path().join("data/docker/registry/v2/blobs");
        blobs.join(algorithm).join(&hex[..2]).join(hex).join("data")
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("a temporary folder can be written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
        path
    }

    /// Its configuration; what is JSON is YAML.
    fn config(&self) -> Value {
        let path = |name: &str| self.folder.path().join(name);
        let mut config = json!({
            "version": 0.1,
            "log": { "level": "info", "formatter": "json", "accesslog": { "disabled": true } },
            "storage": {
                "filesystem": { "rootdirectory": path("data") },
                "delete": { "enabled": true },
            },
            "http": { "addr": format!("127.0.0.1:{}", self.port), "draintimeout": "30s" },
        });
        if self.options.tls {
            config["http"]["tls"] =
                json!({ "certificate": path("certificate.pem"), "key": path("key.pem") });
        }
        match self.options.door {
            Door::Open => {}
            Door::Password => {
                config["auth"] = json!({ "htpasswd": {
                    "realm": "registry of tests",
                    "path": path("passwords"),
                } });
            }
            Door::Token => {
                let realm = self.realm.as_ref().expect("made with this door");
                config["auth"] = json!({ "token": {
                    "realm": realm.url(),
                    "service": realm::SERVICE,
                    "issuer": realm::ISSUER,
                    "rootcertbundle": path("ca.crt"),
                } });
            }
        }
        config
    }
}

/// A file of logins as Docker's clients keep it, with one for this registry.
///
/// # Panics
/// When it cannot be written.
pub fn docker_config(folder: &Path, host: &str, (user, password): (&str, &str)) -> PathBuf {
    let login = STANDARD.encode(format!("{user}:{password}"));
    let config = json!({ "auths": { host: { "auth": login } } });
    let path = folder.join("config.json");
    fs::create_dir_all(folder).expect("a folder can be made");
    fs::write(&path, config.to_string()).expect("a file can be written");
    path
}

fn answered(line: &str) -> Option<Answered> {
    let said = json_line(line)?;
    if said["msg"] != "response completed" {
        return None;
    }
    Some(Answered {
        method: said["http.request.method"].as_str()?.to_owned(),
        target: said["http.request.uri"].as_str()?.to_owned(),
        status: said["http.response.status"].as_u64()?,
        sent_bytes: said["http.response.written"].as_u64()?,
    })
}

fn json_line(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}
