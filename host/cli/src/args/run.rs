//! Arguments of `run`, and the parts of them that need no file to be checked.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use wasm_edge_model::identity::{DeviceId, ModuleId};

use crate::args::far_hub::Secret;
use crate::args::retention::RetentionArgs;
use crate::duration;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// The heading over what names a hub elsewhere.
const HUB: &str = "A hub on the network";

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// A deployment manifest (JSON), a component (WebAssembly), an image of a registry (HOST/NAME:TAG), or the folder of a
    /// crate, which is built first
    #[arg(required_unless_present_any = ["devices", "hub"])]
    pub(crate) file: Option<PathBuf>,

    /// A device to run, by default the host's name; with =FILE one of its own; may be repeated
    #[arg(long = "device", value_name = "ID[=FILE]", value_parser = parse_device)]
    pub(crate) devices: Vec<DeviceArg>,

    /// The module's id; by default the file's name
    #[arg(long, value_name = "ID", help_heading = "A single component")]
    pub(crate) name: Option<ModuleId>,

    /// An environment variable of the module; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_env, help_heading = "A single component")]
    pub(crate) env: Vec<EnvArg>,

    /// An argument of the module's program; may be repeated
    #[arg(
        long = "arg",
        value_name = "TEXT",
        allow_hyphen_values = true,
        help_heading = "A single component"
    )]
    pub(crate) args: Vec<String>,

    /// The module's desired properties, a JSON object
    #[arg(long, value_name = "FILE", help_heading = "A single component")]
    pub(crate) twin: Option<PathBuf>,

    /// Messages for the module, one JSON object per line; `-` reads standard input
    #[arg(long, value_name = "FILE", help_heading = "A single component")]
    pub(crate) input: Option<PathBuf>,

    /// What the module may open: file:PATH or folder:PATH, read-only unless :rw follows; may be repeated
    #[arg(long = "grant", value_name = "GRANT", value_parser = parse_grant, help_heading = "A single component")]
    pub(crate) grants: Vec<GrantArg>,

    /// Apply the manifest even if it is the one that was applied last
    #[arg(long)]
    pub(crate) reapply: bool,

    /// Look at the manifest, its components and a crate's sources, and take over what changes
    #[arg(long)]
    pub(crate) watch: bool,

    /// End in order after this time, such as 20s or 5m, counted from when the deployment runs
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) run_for: Option<Duration>,

    /// The wait before a failed module is started again; it doubles up to 5 minutes
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub(crate) restart_wait: Duration,

    /// How long a deployment has to become healthy before the last good one comes back
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    pub(crate) health_timeout: Duration,

    /// The device's configuration (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Run the device of this connection string, whose hub elsewhere says what it runs; `@FILE` reads it from a file
    #[arg(long, value_name = "STRING|@FILE", help_heading = HUB)]
    pub(crate) hub: Option<Secret>,

    /// Trust that hub by the certificates of this file (PEM) alone, not by those of the system
    #[arg(long, value_name = "FILE", requires = "hub", help_heading = HUB)]
    pub(crate) hub_ca: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) retention: RetentionArgs,

    /// The folder given by `--data-dir`, which is an option of every command.
    #[arg(skip)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// A device of `--device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceArg {
    /// Its id.
    pub(crate) id: DeviceId,
    /// What it runs, if not what the others run.
    pub(crate) file: Option<PathBuf>,
}

/// What one device is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The device; `None` stands for the host's name.
    pub(crate) device: Option<DeviceId>,
    /// A manifest or a component.
    pub(crate) file: PathBuf,
}

/// A variable of `--env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvArg {
    /// Not empty, without `=` and NUL.
    pub(crate) name: String,
    /// Anything without NUL.
    pub(crate) value: String,
}

/// A file or folder of `--grant`; whether it may be granted at all is the manifest check's matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrantArg {
    /// What kind of place.
    pub(crate) kind: GrantKind,
    /// An absolute path, the same inside and outside.
    pub(crate) path: String,
    /// Whether the module may write.
    pub(crate) writable: bool,
}

/// The kinds of `--grant`, by the words of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrantKind {
    /// `file:`
    File,
    /// `folder:`
    Folder,
}

impl RunArgs {
    /// What each device is to run, in the order given.
    ///
    /// # Errors
    /// A usage failure when a device is named twice or has nothing to run, or when FILE would be run by none.
    pub(crate) fn targets(&self) -> Result<Vec<Target>, Failure> {
        if self.devices.is_empty() {
            let file = self
                .file
                .clone()
                .ok_or_else(|| usage("no FILE to run".to_owned()))?;
            return Ok(vec![Target { device: None, file }]);
        }
        let mut targets: Vec<Target> = Vec::with_capacity(self.devices.len());
        for device in &self.devices {
            if targets
                .iter()
                .any(|target| target.device.as_ref() == Some(&device.id))
            {
                return Err(usage(format!("the device `{}` is named twice", device.id)));
            }
            let Some(file) = device.file.clone().or_else(|| self.file.clone()) else {
                let id = &device.id;
                let failure = usage(format!("nothing to run on the device `{id}`"));
                return Err(failure.hint(format!("give a FILE, or `--device {id}=FILE`")));
            };
            targets.push(Target {
                device: Some(device.id.clone()),
                file,
            });
        }
        if let (Some(file), true) = (
            &self.file,
            self.devices.iter().all(|device| device.file.is_some()),
        ) {
            let failure = usage(format!("no device runs `{}`", file.display()));
            return Err(failure.hint(
                "each `--device` has a file of its own: leave FILE away, or add `--device ID`",
            ));
        }
        Ok(targets)
    }

    /// The first argument that was given and has no meaning with `--hub`.
    pub(crate) fn not_with_hub(&self) -> Option<&'static str> {
        let given = [
            (self.file.is_some(), "FILE"),
            (!self.devices.is_empty(), "--device"),
            (self.reapply, "--reapply"),
            (self.watch, "--watch"),
        ];
        let given = given.iter().find(|(given, _)| *given);
        given
            .map(|(_, argument)| *argument)
            .or_else(|| self.component_option())
    }

    /// The first option that was given and applies to a single component only, for the error when FILE is a manifest.
    pub(crate) fn component_option(&self) -> Option<&'static str> {
        let given = [
            (self.name.is_some(), "--name"),
            (!self.env.is_empty(), "--env"),
            (!self.args.is_empty(), "--arg"),
            (self.twin.is_some(), "--twin"),
            (self.input.is_some(), "--input"),
            (!self.grants.is_empty(), "--grant"),
        ];
        given
            .iter()
            .find(|(given, _)| *given)
            .map(|(_, option)| *option)
    }
}

fn usage(message: String) -> Failure {
    Failure::new(ExitStatus::Usage, message)
}

/// Splits at the first `=`, so an id with `=` in it cannot be given here.
fn parse_device(text: &str) -> Result<DeviceArg, String> {
    let (id, file) = match text.split_once('=') {
        Some((_, "")) => return Err("no file after `=`".to_owned()),
        Some((id, file)) => (id, Some(PathBuf::from(file))),
        None => (text, None),
    };
    let id = DeviceId::new(id).map_err(|err| err.to_string())?;
    Ok(DeviceArg { id, file })
}

pub(super) fn parse_env(text: &str) -> Result<EnvArg, String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("expected NAME=VALUE".to_owned());
    };
    if name.is_empty() {
        return Err("the name before `=` is empty".to_owned());
    }
    Ok(EnvArg {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

pub(super) fn parse_grant(text: &str) -> Result<GrantArg, String> {
    let (kind, rest) = match text.split_once(':') {
        Some(("file", rest)) => (GrantKind::File, rest),
        Some(("folder", rest)) => (GrantKind::Folder, rest),
        _ => return Err("expected `file:PATH` or `folder:PATH`".to_owned()),
    };
    let (path, writable) = match rest.strip_suffix(":rw") {
        Some(path) => (path, true),
        None => (rest, false),
    };
    if !path.starts_with('/') {
        return Err("the path is not absolute".to_owned());
    }
    Ok(GrantArg {
        kind,
        path: path.to_owned(),
        writable,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn parse(args: &str) -> RunArgs {
        let args = ["wasm-edge", "run"]
            .into_iter()
            .chain(args.split_whitespace());
        match Cli::try_parse_from(args).unwrap().command {
            Command::Run(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    fn targets(args: &str) -> Result<Vec<String>, String> {
        let name =
            |device: Option<DeviceId>| device.map_or("(host)".to_owned(), |id| id.to_string());
        match parse(args).targets() {
            Ok(targets) => Ok(targets
                .into_iter()
                .map(|t| format!("{}:{}", name(t.device), t.file.display()))
                .collect()),
            Err(failure) => Err(failure.to_string()),
        }
    }

    #[test]
    fn every_device_has_something_to_run() {
        let check = |args, expected: &[&str]| assert_eq!(targets(args).unwrap(), expected);
        check("a.json", &["(host):a.json"]);
        check("a.json --device d1", &["d1:a.json"]);
        check(
            "a.json --device d1 --device d2=b.json",
            &["d1:a.json", "d2:b.json"],
        );
        check(
            "--device d1=a.json --device d2=b=c.json",
            &["d1:a.json", "d2:b=c.json"],
        );
    }

    #[test]
    fn devices_that_do_not_fit_are_refused() {
        let check = |args, expected: &str| assert_eq!(targets(args).unwrap_err(), expected);
        check("--device d1", "nothing to run on the device `d1`");
        check(
            "a.json --device d1 --device d1=b.json",
            "the device `d1` is named twice",
        );
        check("a.json --device d1=b.json", "no device runs `a.json`");
    }

    #[test]
    fn options_of_a_single_component_are_told_apart() {
        let check = |args, expected| assert_eq!(parse(args).component_option(), expected);
        check("a.json --reapply --for 20s --device d", None);
        check("a.wasm --name m", Some("--name"));
        check("a.wasm --arg --flag --input -", Some("--arg"));
        check("a.wasm --grant file:/proc/loadavg", Some("--grant"));
    }

    #[test]
    fn environment_variables_have_a_name() {
        let env = |name: &str, value: &str| {
            Ok(EnvArg {
                name: name.to_owned(),
                value: value.to_owned(),
            })
        };
        assert_eq!(parse_env("A=b=c"), env("A", "b=c"));
        assert_eq!(parse_env("A="), env("A", ""));
        assert!(parse_env("A").is_err());
        assert!(parse_env("=b").is_err());
    }

    #[test]
    fn grants_name_an_absolute_path() {
        let check = |text, expected: Option<(GrantKind, &str, bool)>| {
            let parsed = parse_grant(text).ok();
            assert_eq!(
                parsed
                    .as_ref()
                    .map(|g| (g.kind, g.path.as_str(), g.writable)),
                expected,
                "{text}"
            );
        };
        check(
            "file:/proc/loadavg",
            Some((GrantKind::File, "/proc/loadavg", false)),
        );
        check(
            "folder:/srv/a:b:rw",
            Some((GrantKind::Folder, "/srv/a:b", true)),
        );
        for wrong in [
            "/proc/loadavg",
            "file:",
            "file:rel",
            "folder::rw",
            "device:/dev/null",
        ] {
            check(wrong, None);
        }
    }
}
