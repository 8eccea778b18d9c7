//! The logins for registries that a person left with `docker login` and its like, which count for commands.
//!
//! Owns which `config.json` that is. Leaves reading it to [`crate::registries`] and the images crate.

use std::path::{Path, PathBuf};

use wasm_edge_daemon::config::Config;
use wasm_edge_images::credentials::Credentials;
use wasm_edge_images::reference::Reference;
use wasm_edge_model::error::chain;

use crate::output::Output;
use crate::registries;

/// The configuration with the person's own logins, where it names no others.
pub(crate) fn added_to(mut config: Config) -> Config {
    config.images.docker_config = config.images.docker_config.or_else(of_person);
    config
}

/// The login that the person has for a registry, to be handed to a process that has none; nobody's where there is none,
/// and with a warning where it cannot be had.
pub(crate) fn of_person_for(reference: &Reference, output: &Output) -> Credentials {
    let Some(path) = of_person() else {
        return Credentials::Anonymous;
    };
    let logins = match registries::logins(&path) {
        Ok(logins) => logins,
        Err(failure) => {
            output.warn(&chain(&failure));
            return Credentials::Anonymous;
        }
    };
    logins.credentials(reference).unwrap_or_else(|helper| {
        output.warn(&format!(
            "the login for `{}` is left to `{}`, which is not asked",
            reference.registry(),
            helper.0
        ));
        Credentials::Anonymous
    })
}

/// `$DOCKER_CONFIG/config.json`, or that of the home, if it is there.
fn of_person() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match named("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(&named("HOME")?).join(".docker"),
    };
    let path = folder.join("config.json");
    path.exists().then_some(path)
}
