//! The way to registries, as the configuration says.
//!
//! Owns how the configuration becomes settings of the registry client and of the image store. Leaves what is said to
//! registries to the images crate.

use std::path::Path;
use std::time::Duration;

use wasm_edge_daemon::config::Config;
use wasm_edge_daemon::folder::DataFolder;
use wasm_edge_daemon::images::{ImageSupply, OpenError};
use wasm_edge_images::credentials::{DOCKER_CONFIG_BYTES_MAX, DockerConfig};
#[cfg(feature = "compiler")]
use wasm_edge_images::registry::error::RegistryError;
use wasm_edge_images::registry::{Registry, RegistryOptions};
use wasm_edge_images::store::StoreLimits;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::traffic::Counter;

use crate::daemon::outside::line;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::text_file::{self, TextFileError};

/// Under which name the traffic of pulls is counted.
pub(crate) const IMAGES_TRAFFIC: &str = "(images)";

/// How long connecting to a registry may take, with TLS.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(30);

/// What asks registries, as the configuration says. Entries of Docker's file that cannot be used are told, since only
/// who needs them has to stop.
///
/// # Errors
/// A file that the configuration names cannot be used.
pub(crate) fn open(
    config: &Config,
    clock: HubClock,
    counter: Counter,
    output: &Output,
) -> Result<Registry, Failure> {
    let docker = docker(config)?;
    if let Some(docker) = &docker {
        for fault in docker.faults() {
            output.warn(&format!("`{}`: {fault}", docker.path().display()));
        }
    }
    asking(config, docker, clock, counter)
}

/// The same for a command that looks only: nothing is told.
///
/// # Errors
/// As [`open`].
pub(crate) fn quietly(config: &Config) -> Result<Registry, Failure> {
    let (clock, counter) = (HubClock::new(None), Counter::default());
    asking(config, docker(config)?, clock, counter)
}

fn docker(config: &Config) -> Result<Option<DockerConfig>, Failure> {
    let path = config.images.docker_config.as_deref();
    path.map(logins).transpose()
}

fn asking(
    config: &Config,
    docker: Option<DockerConfig>,
    clock: HubClock,
    counter: Counter,
) -> Result<Registry, Failure> {
    Ok(Registry::new(RegistryOptions {
        proxy: line::proxy(&config.proxy)?,
        clock,
        connect_timeout: CONNECT_TIME_MAX,
        hosts: config.registries.clone(),
        allowed: config.policy.registries.clone(),
        docker,
        counter,
    }))
}

/// The images of a data folder, with their way to registries.
///
/// # Errors
/// The store cannot be opened.
pub(crate) fn supply(
    folder: &DataFolder,
    config: &Config,
    registry: Registry,
) -> Result<ImageSupply, Failure> {
    let limits = StoreLimits {
        max_bytes: config.images.max_bytes,
        unused_max: config.images.unused_max,
    };
    ImageSupply::open(folder, limits, registry).map_err(|err| {
        let failure = Failure::new(ExitStatus::Failure, "cannot open the image store");
        let hint = match &err {
            OpenError::Store(err) => err.hint(),
            OpenError::Folder(_) => None,
        };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
        .caused_by(err)
    })
}

/// The logins that Docker's tools keep in a file.
///
/// # Errors
/// It cannot be read, or is no such file.
pub(crate) fn logins(path: &Path) -> Result<DockerConfig, Failure> {
    let text =
        text_file::read(path, DOCKER_CONFIG_BYTES_MAX).map_err(TextFileError::into_failure)?;
    DockerConfig::read(path, &text).map_err(|err| {
        let what = format!("the logins in `{}` cannot be read", path.display());
        Failure::new(ExitStatus::BadConfig, what)
            .hint("correct it, or name another one as `docker_config` in `[images]`, or by its folder in `DOCKER_CONFIG`")
            .caused_by(err)
    })
}

/// What a person is told of a mirror that did not serve an image, which came from elsewhere.
pub(crate) fn mirror_failed(mirror: &str, problem: &str) -> String {
    format!("the mirror `{mirror}` did not serve, and the next place was asked: {problem}")
}

/// Why a registry did not do what a command wanted, as the command's failure.
#[cfg(feature = "compiler")]
pub(crate) fn failure(err: RegistryError, cannot: String) -> Failure {
    let status = match &err {
        err if err.is_missing() => ExitStatus::NotFound,
        err if err.is_passing() => ExitStatus::TryLater,
        _ => ExitStatus::Failure,
    };
    let hint = err.hint();
    Failure::new(status, cannot).hint(hint).caused_by(err)
}
