//! The logins for registries that a person left with `docker login` and its like, which count for commands.
//!
//! Owns which `config.json` that is. Leaves reading it to [`crate::registries`] and the images crate.

use std::path::{Path, PathBuf};

use wasm_edge_daemon::config::Config;
use wasm_edge_images::credentials::{Credentials, DockerConfig, NoLogin};
use wasm_edge_images::reference::Reference;
use wasm_edge_model::error::chain;

use crate::output::Output;
use crate::registries;

/// The configuration with the person's own logins, where it names no others. Nobody asked for these: a file that is
/// none is told, and does without.
pub(crate) fn added_to(mut config: Config, output: &Output) -> Config {
    let named = config.images.docker_config.take();
    let added = || of_person().filter(|path| read(path, output).is_some());
    config.images.docker_config = named.or_else(added);
    config
}

/// The login that the person has for a registry, to be handed to a process that has none; nobody's where there is none,
/// and with a warning where it cannot be had.
pub(crate) fn of_person_for(reference: &Reference, output: &Output) -> Credentials {
    let Some(logins) = of_person().and_then(|path| read(&path, output)) else {
        return Credentials::Anonymous;
    };
    logins.credentials(reference).unwrap_or_else(|none| {
        let host = reference.registry();
        output.warn(&match none {
            NoLogin::Helper(helper) => {
                format!("the login for `{host}` is left to `{helper}`, which is not asked")
            }
            NoLogin::Malformed(fault) => {
                let path = logins.path().display();
                format!("the login for `{host}` in `{path}` cannot be used: {fault}")
            }
        });
        Credentials::Anonymous
    })
}

fn read(path: &Path, output: &Output) -> Option<DockerConfig> {
    registries::logins(path)
        .inspect_err(|failure| output.warn(&chain(failure)))
        .ok()
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
