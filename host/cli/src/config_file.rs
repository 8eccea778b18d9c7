//! The device's configuration: the file that the person named, those in `config.d` beside it, and the environment.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use wasm_edge_daemon::config::source::{ConfigFaults, ConfigFile, Source, Sources};
use wasm_edge_daemon::config::{CONFIG_FILES_MAX, CONFIG_SIZE_MAX_BYTES, Config};

use wasm_edge_model::error::chain;

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::{Output, human};
use crate::text_file::{self, TextFileError};

/// The folder beside a configuration whose files count after it.
const FOLDER: &str = "config.d";

/// What files of that folder end with; others are left alone.
const EXTENSION: &str = "toml";

/// Reads a configuration and prints all its faults; without a file, what the environment does not say is as by
/// default.
///
/// # Errors
/// A file cannot be read, or how many faults there are.
pub(crate) fn read(file: Option<&Path>, output: &Output) -> Result<Config, Failure> {
    let sources = sources(file)?;
    let config = Config::read(&sources).map_err(|faults| tell(&faults, file, output))?;
    if config.holds_secret() {
        let exposed = sources.files.iter().filter(|file| is_exposed(&file.path));
        for file in exposed {
            let path = file.path.display();
            output.warn(&format!(
                "everybody on this machine can read or change `{path}`, and the configuration holds a secret: set the file's mode to 600"
            ));
        }
    }
    Ok(config)
}

/// Reads a configuration and prints nothing.
///
/// # Errors
/// All that is wrong with it, a text each.
pub(crate) fn quietly(file: &Path) -> Result<Config, Vec<String>> {
    let sources = sources(Some(file)).map_err(|failure| vec![chain(&failure)])?;
    Config::read(&sources).map_err(|faults| faults.to_string().lines().map(str::to_owned).collect())
}

/// Whether everybody may read or write the file.
fn is_exposed(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o006 != 0)
}

/// Reads the configuration of a service, which has to be there: a service without one is not to be started again and
/// again.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_service(file: &Path, output: &Output) -> Result<Config, Failure> {
    if let Err(err) = std::fs::metadata(file) {
        let what = format!("cannot read the configuration `{}`", file.display());
        let hint = match err.kind() {
            io::ErrorKind::NotFound => {
                "make it, or name another one with `--config FILE`; docs/configuration.md has all keys"
            }
            _ => "run it as the user whose file it is, or name another one with `--config FILE`",
        };
        return Err(Failure::new(ExitStatus::BadConfig, what)
            .hint(hint)
            .caused_by(err));
    }
    read(Some(file), output)
}

/// The files that count with this one, if there is one, and the environment.
fn sources(file: Option<&Path>) -> Result<Sources, Failure> {
    let files = match file {
        Some(file) => files(file)?,
        None => Vec::new(),
    };
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    Ok(Sources::new(files, environment))
}

/// The file, and then those of its `config.d` in the order of their names.
fn files(file: &Path) -> Result<Vec<ConfigFile>, Failure> {
    let mut paths = vec![file.to_owned()];
    let folder = file.parent().unwrap_or(Path::new("")).join(FOLDER);
    paths.extend(listed(&folder).map_err(|err| {
        let what = format!("cannot list `{}`", folder.display());
        Failure::new(ExitStatus::BadConfig, what).caused_by(err)
    })?);
    if paths.len() > CONFIG_FILES_MAX {
        let what = format!(
            "`{}` has more than {} files",
            folder.display(),
            CONFIG_FILES_MAX - 1
        );
        return Err(Failure::new(ExitStatus::BadConfig, what));
    }
    let read = |path: PathBuf| {
        let text = text_file::read(&path, CONFIG_SIZE_MAX_BYTES)?;
        Ok(ConfigFile { path, text })
    };
    let files = paths.into_iter().map(read);
    files
        .collect::<Result<_, _>>()
        .map_err(TextFileError::into_failure)
}

fn listed(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path
            .extension()
            .is_some_and(|extension| extension == EXTENSION)
            && !is_hidden
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn tell(faults: &ConfigFaults, file: Option<&Path>, output: &Output) -> Failure {
    let mut count = 0;
    for (source, faults) in &faults.0 {
        let name = match source {
            Source::File(path) => path.clone(),
            Source::Environment => PathBuf::from("environment"),
        };
        output.faults(&name, &faults.0);
        count += faults.0.len();
    }
    let count = human::count(count, "fault");
    let what = match file {
        Some(file) => format!("the configuration `{}` has {count}", file.display()),
        None => format!("the configuration in the environment has {count}"),
    };
    Failure::new(ExitStatus::BadConfig, what)
        .hint("correct what is named; docs/configuration.md has all keys")
}
