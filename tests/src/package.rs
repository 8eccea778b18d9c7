//! The Debian package, made of the binary under test and unpacked into a folder, and its unit as systemd would start it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::home::Home;
use crate::outcome::Outcome;
use crate::paths;

/// The user and group that a root's test starts services as: `nobody` on every Linux.
const ORDINARY_ID: u32 = 65534;

/// A package that lies unpacked in a folder.
#[derive(Debug)]
pub struct Package {
    file: PathBuf,
    root: PathBuf,
}

impl Package {
    /// Makes the package and unpacks it into the folder `board` of a home.
    ///
    /// # Panics
    /// When a tool is missing or fails; Debian has them in `dpkg`, `dpkg-dev` and `binutils`.
    pub fn unpack(home: &Home) -> Self {
        let script = paths::repository().join("scripts/make-deb.sh");
        let output = Command::new(script)
            .arg(paths::binary())
            .arg(home.path().join("package"))
            .env("COMPRESSION", "none")
            .output();
        let made = Outcome::from(output.expect("a script of the repository can be started")).ok();
        let package = Self {
            file: made.stdout.trim().into(),
            root: home.path().join("board"),
        };
        package.tool(&["-x", "FILE", "ROOT"]);
        package
    }

    /// The folder that it was unpacked into: what would be `/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What `dpkg-deb` says, with the package for `FILE` and the folder for `ROOT`.
    ///
    /// # Panics
    /// When it fails.
    pub fn tool(&self, args: &[&str]) -> String {
        let args = args.iter().map(|arg| match *arg {
            "FILE" => self.file.as_os_str(),
            "ROOT" => self.root.as_os_str(),
            arg => arg.as_ref(),
        });
        let output = Command::new("dpkg-deb").args(args).output();
        let output = output.expect("`dpkg-deb` can be started");
        Outcome::from(output).ok().stdout
    }

    /// A file of the package as text, by its path without the `/` in front.
    ///
    /// # Panics
    /// When it is not there.
    pub fn text(&self, path: &str) -> String {
        let path = self.root.join(path);
        fs::read_to_string(&path).unwrap_or_else(|err| panic!("`{}`: {err}", path.display()))
    }

    /// The values of a key of the unit.
    pub fn unit(&self, key: &str) -> Vec<String> {
        let unit = self.text("usr/lib/systemd/system/wasm-edge.service");
        let values = unit.lines().filter_map(|line| line.strip_prefix(key));
        values
            .filter_map(|rest| rest.strip_prefix('=').map(str::to_owned))
            .collect()
    }

    /// The unit's command line in this folder, with its environment and its state folder, in a home as that of the user.
    ///
    /// # Panics
    /// When the unit has not one command.
    pub fn service(&self, home: &Home) -> Command {
        let [line] = &self.unit("ExecStart")[..] else {
            panic!("the unit has one command")
        };
        let here = |word: &str| -> OsString {
            match word.strip_prefix('/') {
                Some(path) => self.root.join(path).into(),
                None => word.into(),
            }
        };
        let words: Vec<OsString> = line.split_whitespace().map(here).collect();
        let data = ["--data-dir".into(), self.state().into()];
        let (program, args) = words.split_first().expect("a command has a program");
        let args = args.iter().cloned().chain(data);
        let mut command = home.program(program.to_str().expect("a path of tests is text"), args);
        for variable in self.unit("Environment") {
            let (name, value) = variable.split_once('=').expect("`NAME=VALUE`");
            command.env(name, value);
        }
        command
    }

    /// The folder that systemd makes for the service.
    pub fn state(&self) -> PathBuf {
        self.root.join("var/lib/wasm-edge")
    }
}

/// A command as an ordinary user, to whom everything in the home belongs from now on; as it is when this user is no root.
///
/// # Panics
/// When the files cannot be given away.
pub fn as_ordinary_user(home: &Home, command: &Command) -> Command {
    let mut ordinary;
    if rustix::process::geteuid().is_root() {
        give_away(home.path());
        ordinary = Command::new("setpriv");
        let id = ORDINARY_ID.to_string();
        ordinary.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]);
        ordinary.arg(command.get_program());
    } else {
        ordinary = Command::new(command.get_program());
    }
    ordinary.args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            ordinary.env(name, value);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        ordinary.current_dir(folder);
    }
    ordinary
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    ordinary
}

fn give_away(path: &Path) {
    let id = Some(ORDINARY_ID);
    std::os::unix::fs::lchown(path, id, id).expect("root may give files away");
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).expect("root may list folders") {
            give_away(&entry.expect("an entry can be read").path());
        }
    }
}
