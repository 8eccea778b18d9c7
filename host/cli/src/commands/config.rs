//! `config`: the configuration of the daemon, written.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use wasm_edge_daemon::config::provisioning::device_string;
use wasm_edge_model::connection_string::CONNECTION_STRING_MAX_BYTES;

use crate::args::config::{ConfigCommand, ConfigNewArgs};
use crate::args::far_hub::Secret;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::text::Text;
use crate::text_file;

/// Room for white space around the connection string of a file.
const FILE_MAX_BYTES: usize = CONNECTION_STRING_MAX_BYTES + 1024;

/// The mode of a file that nobody else is to read.
const SECRET_MODE: u32 = 0o600;

/// What a file that is there may be read by beside its owner: its group, as a service's user.
const KEPT_MODE: u32 = 0o640;

/// Runs one of the commands under `config`.
pub(super) fn execute(command: ConfigCommand, output: &Output) -> anyhow::Result<ExitStatus> {
    match command {
        ConfigCommand::New(args) => new(&args, output),
    }
}

fn new(args: &ConfigNewArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    let secret = read(&args.connection_string)?;
    let connection_string = device_string(secret.trim()).map_err(|err| {
        Failure::new(
            ExitStatus::InvalidInput,
            "`--connection-string` names no device of a hub",
        )
        .hint("`wasm-edge hub connection-string DEVICE` prints one, on the hub's machine")
        .caused_by(err)
    })?;
    let ca_file = args.ca_file.as_deref().map(whole).transpose()?;
    let text = text(&connection_string.reveal(), ca_file.as_deref());
    write(&args.config, text.as_bytes(), args.force)?;
    let path = args.config.display();
    output.note(&Text::new().plain(&format!(
        "wrote `{path}`; `wasm-edge check --config {path}` tries it out"
    )));
    Ok(ExitStatus::Ok)
}

/// The connection string itself, or that of a file.
fn read(secret: &Secret) -> Result<String, Failure> {
    let file = match secret.reveal() {
        "-" => "-",
        text => match text.strip_prefix('@') {
            Some(file) => file,
            None => return Ok(text.to_owned()),
        },
    };
    let text = text_file::read(Path::new(file), FILE_MAX_BYTES);
    let text = text.map_err(|err| err.into_input_failure("cannot read the connection string"))?;
    Ok(text)
}

fn whole(file: &Path) -> Result<String, Failure> {
    let path = crate::component_file::whole_path(file, "`--ca-file` names a file of certificates")?;
    path.into_os_string().into_string().map_err(|path| {
        let what = format!("the path `{}` is no text", path.display());
        Failure::new(ExitStatus::InvalidInput, what)
    })
}

/// The least that a device of a hub needs. A connection string holds nothing that TOML has to escape.
fn text(connection_string: &str, ca_file: Option<&str>) -> String {
    let mut text = format!(
        "# All keys: docs/configuration.md\n[provisioning]\nsource = \"connection-string\"\nconnection_string = {}\n",
        quoted(connection_string)
    );
    if let Some(file) = ca_file {
        text.push_str(&format!("\n[hub]\nca_file = {}\n", quoted(file)));
    }
    text
}

/// A basic string of TOML, whose escapes are those of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Writes beside the old file and then in its place, readable by nobody else.
fn write(path: &Path, bytes: &[u8], force: bool) -> Result<(), Failure> {
    let cannot = |err: io::Error| {
        let what = format!("cannot write `{}`", path.display());
        Failure::new(ExitStatus::Failure, what).caused_by(err)
    };
    let old = fs::metadata(path);
    if old.is_ok() && !force {
        let what = format!("`{}` is there already", path.display());
        return Err(Failure::new(ExitStatus::Failure, what)
            .hint("`--force` replaces it, `--config FILE` writes another one"));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&folder).map_err(cannot)?;
    let mode = old
        .as_ref()
        .map_or(SECRET_MODE, |old| old.mode() & KEPT_MODE);
    let written = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(SECRET_MODE))
        .tempfile_in(&folder)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            if let Ok(old) = &old {
                std::os::unix::fs::fchown(file.as_file(), Some(old.uid()), Some(old.gid()))?;
            }
            file.as_file()
                .set_permissions(fs::Permissions::from_mode(mode))?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|err| err.error)
        });
    written.map(drop).map_err(cannot)
}

#[cfg(test)]
mod tests {
    use wasm_edge_daemon::config::Config;
    use wasm_edge_daemon::config::source::{ConfigFile, Sources};

    use super::*;

    const DEVICE: &str =
        "HostName=h;DeviceId=a'b;SharedAccessKey=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn what_is_written_is_read_without_a_fault() {
        let text = text(DEVICE, Some("/a \"b\"\\c.pem"));
        let file = ConfigFile {
            path: "it.toml".into(),
            text: text.to_string(),
        };
        let config = Config::read(&Sources::new(vec![file], Vec::new())).unwrap();
        assert!(config.holds_secret());
        assert_eq!(config.hub.ca_file.unwrap(), Path::new("/a \"b\"\\c.pem"));
    }

    #[test]
    fn a_file_that_is_there_stays_unless_forced_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in/it.toml");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        write(&path, b"1", false).unwrap();
        assert_eq!(mode(), 0o600);
        assert!(write(&path, b"2", false).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"1");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, b"3", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"3");
        assert_eq!(mode(), 0o640, "others may not read it any more");
    }
}
