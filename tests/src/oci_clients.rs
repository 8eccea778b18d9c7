//! Clients of registries that are not ours: `skopeo` and `oras`, both of Debian.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::debian;
use crate::home::Home;
use crate::outcome::Outcome;
use crate::registry::Registry;

/// Where `oras` is looked for, since Debian 12 has none.
const ORAS_SUITE: &str = "trixie";

/// `skopeo`, which copies images between registries, folders and archives.
#[derive(Debug)]
pub struct Skopeo<'a> {
    home: &'a Home,
}

/// `oras`, which pushes and pulls any files as artifacts.
#[derive(Debug)]
pub struct Oras<'a> {
    home: &'a Home,
}

/// Where an image is that `skopeo` reads or writes.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// In a registry, by name and tag or digest there.
    Registry(&'a Registry, &'a str),
    /// In a folder of the OCI image layout, by the name that its index gives it.
    Folder(&'a Path, &'a str),
    /// In a tar of the OCI image layout, by the name that its index gives it.
    Archive(&'a Path, &'a str),
}

impl<'a> Skopeo<'a> {
    /// The program, with this home. Nothing, and loudly, where it is not to be had.
    ///
    /// # Panics
    /// When what unpacks it fails.
    pub fn find(home: &'a Home) -> Option<Self> {
        debian::program("skopeo", "/usr/bin/skopeo").map(|_| Self { home })
    }

    /// Copies an image as it is.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn copy(&self, from: Place<'_>, to: Place<'_>) -> Outcome {
        let mut command = self.command();
        command.args(["copy", "--preserve-digests"]);
        from.add_options(&mut command, "src-");
        to.add_options(&mut command, "dest-");
        command.args([from.name(), to.name()]);
        ended(command)
    }

    /// What it says of an image's manifest, as it is in the registry or layout.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn raw_manifest(&self, place: Place<'_>) -> Outcome {
        let mut command = self.command();
        command.args(["inspect", "--raw"]);
        place.add_options(&mut command, "");
        command.arg(place.name());
        ended(command)
    }

    /// The program, for what else it can do; policies are left out, as a fresh machine has none.
    ///
    /// # Panics
    /// When it is gone.
    pub fn command(&self) -> Command {
        let command = debian::program("skopeo", "/usr/bin/skopeo");
        let mut command = in_home(command.expect("it was found"), self.home);
        command.arg("--insecure-policy");
        command
    }
}

impl<'a> Oras<'a> {
    /// The program, with this home. Nothing, and loudly, where it is not to be had.
    ///
    /// # Panics
    /// When what unpacks it fails.
    pub fn find(home: &'a Home) -> Option<Self> {
        debian::program_of_suite(Some(ORAS_SUITE), "oras", "/usr/bin/oras").map(|_| Self { home })
    }

    /// Runs one of its verbs with an image of a registry: `oras VERB OPTIONS REFERENCE ARGS`, in its home.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn run(&self, verb: &[&str], registry: &Registry, name: &str, args: &[&str]) -> Outcome {
        let command = debian::program_of_suite(Some(ORAS_SUITE), "oras", "/usr/bin/oras");
        let mut command = in_home(command.expect("it was found"), self.home);
        command.args(verb);
        // It takes `localhost` for a place without TLS if nothing is said.
        command.arg(format!("--plain-http={}", !registry.has_tls()));
        if registry.has_tls() {
            command.arg("--ca-file").arg(registry.ca_file());
        }
        if let Some((user, password)) = registry.login() {
            command.args(["--username", user, "--password", password]);
        }
        command.arg(registry.reference(name)).args(args);
        ended(command)
    }
}

impl Place<'_> {
    fn name(&self) -> String {
        match self {
            Self::Registry(registry, name) => format!("docker://{}", registry.reference(name)),
            Self::Folder(path, tag) => format!("oci:{}:{tag}", path.display()),
            Self::Archive(path, tag) => format!("oci-archive:{}:{tag}", path.display()),
        }
    }

    fn add_options(&self, command: &mut Command, side: &str) {
        let Self::Registry(registry, _) = self else {
            return;
        };
        if registry.has_tls() {
            command
                .arg(format!("--{side}cert-dir"))
                .arg(registry.ca_folder());
        } else {
            command.arg(format!("--{side}tls-verify=false"));
        }
        if let Some((user, password)) = registry.login() {
            command.arg(format!("--{side}creds={user}:{password}"));
        }
    }
}

/// Nothing of this process's environment but the search path and where its libraries are.
fn in_home(found: Command, home: &Home) -> Command {
    let mut command = Command::new(found.get_program());
    command.env_clear();
    for (name, value) in found.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("XDG_RUNTIME_DIR", home.path())
        .env("TMPDIR", home.path())
        .stdin(Stdio::null());
    command
}

fn ended(mut command: Command) -> Outcome {
    let output = command.output();
    output.expect("the program can be started").into()
}
