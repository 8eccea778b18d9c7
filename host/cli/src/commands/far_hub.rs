//! The hub on the network that arguments or environment name.
//!
//! Owns which of the two counts, and that no error has a part of the secret. `running` and `hub` ask here first.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use wasm_edge_model::connection_string::CONNECTION_STRING_MAX_BYTES;
use wasm_edge_net::trust::TrustError;

use crate::args::GlobalArgs;
use crate::args::far_hub::{FarHubArgs, Secret};
use crate::client::Client;
use crate::client::far::{FarHub, FarHubError};
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::text_file;

/// The variable with a connection string, in place of `--hub`.
const CONNECTION_STRING_VARIABLE: &str = "WASM_EDGE_HUB_CONNECTION_STRING";

/// The variable with a file of certificates, in place of `--hub-ca`.
const CA_VARIABLE: &str = "WASM_EDGE_HUB_CA";

/// Room for white space around the connection string of a file.
const FILE_MAX_BYTES: usize = CONNECTION_STRING_MAX_BYTES + 1024;

/// A client of the hub on the network, if one is named: by `--hub`, else by the environment, unless `--data-dir` names a
/// process of this machine.
///
/// # Errors
/// When the connection string or the certificates are no good, or hub and data folder are named both.
pub(super) fn client(global: &GlobalArgs, far: &FarHubArgs) -> anyhow::Result<Option<Client>> {
    let named = named(
        far.hub.as_ref(),
        global.data_dir.is_some(),
        std::env::var_os(CONNECTION_STRING_VARIABLE),
    )?;
    let Some((secret, origin)) = named else {
        return match far.hub_ca {
            Some(_) => Err(usage("`--hub-ca` says how to trust a hub, and none is named").into()),
            None => Ok(None),
        };
    };
    let connection_string = read(&secret)?;
    let from_environment = || std::env::var_os(CA_VARIABLE).filter(|path| !path.is_empty());
    let ca = far
        .hub_ca
        .clone()
        .or_else(|| from_environment().map(PathBuf::from));
    let hub = FarHub::open(connection_string.reveal(), ca.as_deref());
    Ok(Some(Client::of_hub(
        hub.map_err(|err| explained(err, origin))?,
    )))
}

/// Which connection string counts, with the name of where it stands.
fn named(
    given: Option<&Secret>,
    has_data_dir: bool,
    variable: Option<OsString>,
) -> Result<Option<(Secret, &'static str)>, Failure> {
    match (given, has_data_dir) {
        (Some(_), true) => Err(usage(
            "`--hub` names a hub on the network and `--data-dir` a process of this machine: one of them",
        )),
        (Some(secret), false) => Ok(Some((secret.clone(), "--hub"))),
        (None, true) => Ok(None),
        (None, false) => {
            let Some(text) = variable.filter(|text| !text.is_empty()) else {
                return Ok(None);
            };
            let text = text.into_string().map_err(|_| {
                let what = format!("`{CONNECTION_STRING_VARIABLE}` is not text");
                Failure::new(ExitStatus::InvalidInput, what)
            })?;
            Ok(Some((Secret::new(text), CONNECTION_STRING_VARIABLE)))
        }
    }
}

/// The connection string itself, or that of the file after `@`.
///
/// # Errors
/// The file cannot be read.
pub(super) fn read(secret: &Secret) -> Result<Secret, Failure> {
    let Some(file) = secret.reveal().strip_prefix('@') else {
        return Ok(secret.clone());
    };
    text_file::read(Path::new(file), FILE_MAX_BYTES)
        .map(Secret::new)
        .map_err(|err| err.into_input_failure("cannot read the connection string"))
}

fn explained(err: FarHubError, origin: &str) -> Failure {
    let cannot = match err {
        FarHubError::Trust(_) => "the hub cannot be trusted".to_owned(),
        FarHubError::Proxy(_) => "there is no way to the hub".to_owned(),
        _ => format!("`{origin}` names no hub"),
    };
    let hint = match err {
        FarHubError::Trust(TrustError::NoRoots) => {
            "name the certificates to trust with `--hub-ca FILE`"
        }
        FarHubError::Trust(_) => "`wasm-edge hub ca` prints those of a hub, on its machine",
        FarHubError::Proxy(_) => "`https_proxy` is of the form `http://user:password@host:port`",
        _ => "`wasm-edge hub connection-string` prints one, on the hub's machine",
    };
    let missing = match &err {
        FarHubError::Trust(TrustError::Read { source, .. }) => {
            source.kind() == io::ErrorKind::NotFound
        }
        _ => false,
    };
    let status = match missing {
        true => ExitStatus::NotFound,
        false => ExitStatus::InvalidInput,
    };
    Failure::new(status, cannot).caused_by(err).hint(hint)
}

fn usage(what: &str) -> Failure {
    Failure::new(ExitStatus::Usage, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_on_the_command_line_counts_before_the_environment() {
        let check = |given: Option<&str>, has_data_dir, variable: Option<&str>, expected| {
            let given = given.map(Secret::new);
            let found = named(given.as_ref(), has_data_dir, variable.map(Into::into));
            let found = found.map(|named| named.map(|(secret, _)| secret.reveal().to_owned()));
            assert_eq!(found.ok(), expected);
        };
        let text = |text: &str| Some(Some(text.to_owned()));
        check(None, false, None, Some(None));
        check(Some("a"), false, Some("b"), text("a"));
        check(None, false, Some("b"), text("b"));
        check(None, false, Some(""), Some(None));
        check(None, true, Some("b"), Some(None));
        check(Some("a"), true, None, None);
    }

    #[test]
    fn a_connection_string_may_lie_in_a_file() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("hub");
        std::fs::write(&file, "HostName=h\n").unwrap();
        let named = Secret::new(format!("@{}", file.display()));
        assert_eq!(read(&named).unwrap().reveal(), "HostName=h\n");
        assert_eq!(
            read(&Secret::new("HostName=h")).unwrap().reveal(),
            "HostName=h"
        );
        let err = read(&Secret::new("@/no/such")).unwrap_err();
        let expected = "cannot read the connection string from `/no/such`";
        assert_eq!(err.to_string(), expected);
    }
}
