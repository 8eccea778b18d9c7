//! The image store, read as a whole, and the registries, asked whether they answer.
//!
//! The store is looked at without being held. No more is asked of a registry than its version, with the login that the
//! configuration has for it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;
use wasm_edge_daemon::config::Config;
use wasm_edge_daemon::folder::{DataFolderView, FolderError};
use wasm_edge_images::reference::{Reference, RegistryHost};
use wasm_edge_images::registry::Registry;
use wasm_edge_images::registry::error::RegistryError;
use wasm_edge_images::registry::probe::Reception;
use wasm_edge_images::store::{ImageStore, Usage};
use wasm_edge_model::error::chain;

use super::ModuleFact;
use super::service::Configured;
use crate::registries;

/// How long a registry may take in all: somebody waits.
const PROBE_TIME_MAX: Duration = Duration::from_secs(10);

/// Registries that are asked, all at once.
const PROBES_MAX: usize = 20;

/// What is in the image store.
pub(in crate::commands::check) enum Images {
    /// It was not looked at, or there is none.
    None,
    /// It cannot be read.
    Closed { problem: String },
    /// It was read.
    Found {
        usage: Usage,
        /// What was found when its list was read.
        notes: Vec<String>,
        /// Of each image that cannot be used, its name and what is wrong.
        faults: Vec<(String, String)>,
    },
}

/// What became of asking registries.
#[derive(Default)]
pub(in crate::commands::check) struct Registries {
    /// Whether there is a configuration that says how they are asked.
    pub(in crate::commands::check) is_configured: bool,
    /// How many were left out.
    pub(in crate::commands::check) left_out: usize,
    pub(in crate::commands::check) asked: Vec<Asked>,
}

/// What a registry said.
pub(in crate::commands::check) struct Asked {
    pub(in crate::commands::check) host: String,
    pub(in crate::commands::check) answer: Answer,
}

/// How it answered.
pub(in crate::commands::check) enum Answer {
    /// As a registry.
    Registry(Reception),
    /// As something else, as who gives out tokens for one.
    Other,
    /// Not as it should, or not at all.
    Failed { problem: String, hint: String },
}

/// Reads all of the store in a data folder.
pub(in crate::commands::check) async fn gather(
    data_folder: &Path,
    configured: &Configured,
) -> Images {
    let path = data_folder.to_owned();
    let max_bytes = configured.config().map(|config| config.images.max_bytes);
    let reading = tokio::task::spawn_blocking(move || read(&path));
    let read = reading
        .await
        .expect("reading does not panic, and the runtime outlives the command");
    match read {
        Ok(Some(mut read)) => {
            let usage = &mut read.usage;
            usage.max_bytes = max_bytes.unwrap_or(usage.max_bytes);
            Images::Found {
                usage: read.usage,
                notes: read.notes,
                faults: read.faults,
            }
        }
        Ok(None) => Images::None,
        Err(err) => Images::Closed {
            problem: format!("{err:#}"),
        },
    }
}

/// What is in a store.
struct Read {
    usage: Usage,
    notes: Vec<String>,
    faults: Vec<(String, String)>,
}

fn read(path: &Path) -> anyhow::Result<Option<Read>> {
    let view = match DataFolderView::open(path) {
        // What is wrong with the folder is told by another check.
        Err(FolderError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(FolderError::Foreign { .. } | FolderError::Format { .. }) => return Ok(None),
        view => view?,
    };
    let Some(images) = view.images()? else {
        return Ok(None);
    };
    let store = ImageStore::look(images.try_clone()?)?;
    let mut faults = Vec::new();
    for image in store.list() {
        if let Err(err) = store.verify(&image) {
            let digest = image.manifest_digest;
            let name = image.names.first().cloned();
            faults.push((
                digest,
                name.unwrap_or_else(|| digest.to_string()),
                chain(&err),
            ));
        }
    }
    if !faults.is_empty() {
        // One that was removed meanwhile is not damaged.
        let now = ImageStore::look(images)?;
        let is_there = |digest| {
            now.list()
                .iter()
                .any(|image| image.manifest_digest == digest)
        };
        faults.retain(|(digest, ..)| is_there(*digest));
    }
    let faults = faults.into_iter().map(|(_, name, fault)| (name, fault));
    Ok(Some(Read {
        usage: store.usage(),
        notes: store.notes(),
        faults: faults.collect(),
    }))
}

/// Asks the registries that the configuration names, and those of modules.
pub(in crate::commands::check) async fn ask(
    configured: &Configured,
    modules: &[ModuleFact],
) -> Registries {
    let is_configured = configured.config().is_some();
    let config = match configured {
        Configured::None => Config::default(),
        Configured::Faulty { .. } => return Registries::default(),
        Configured::Good { config, .. } => (**config).clone(),
    };
    let mut hosts: BTreeMap<RegistryHost, ()> = BTreeMap::new();
    for (host, settings) in &config.registries {
        hosts.insert(host.clone(), ());
        let mirrors = settings.mirrors.iter();
        hosts.extend(mirrors.map(|mirror| (mirror.host.clone(), ())));
    }
    let images = modules
        .iter()
        .filter(|module| !module.image.starts_with("file:"));
    let images = images.filter_map(|module| module.image.parse::<Reference>().ok());
    hosts.extend(images.map(|image| (image.registry().clone(), ())));
    let registry = match registries::quietly(&config) {
        Ok(registry) => registry,
        // Told by the check of the configuration, or of the files that it names.
        Err(failure) => {
            let failed = |host: &RegistryHost| Asked {
                host: host.to_string(),
                answer: Answer::Failed {
                    problem: chain(&failure),
                    hint: "correct the configuration".to_owned(),
                },
            };
            return Registries {
                is_configured,
                left_out: 0,
                asked: hosts.keys().take(PROBES_MAX).map(failed).collect(),
            };
        }
    };
    let left_out = hosts.len().saturating_sub(PROBES_MAX);
    let mut probes = JoinSet::new();
    for host in hosts.into_keys().take(PROBES_MAX) {
        probes.spawn(probe(registry.clone(), host));
    }
    let mut asked = probes.join_all().await;
    asked.sort_by(|a, b| a.host.cmp(&b.host));
    Registries {
        is_configured,
        left_out,
        asked,
    }
}

async fn probe(registry: Registry, host: RegistryHost) -> Asked {
    let probed = tokio::time::timeout(PROBE_TIME_MAX, registry.probe(&host)).await;
    let answer = match probed {
        Ok(Ok(reception)) => Answer::Registry(reception),
        Ok(Err(RegistryError::NotFound { .. })) => Answer::Other,
        Ok(Err(err)) => Answer::Failed {
            hint: err.hint(),
            problem: chain(&err),
        },
        Err(_) => Answer::Failed {
            problem: format!("no answer within {} s", PROBE_TIME_MAX.as_secs()),
            hint: "check the name of the registry and the way to it".to_owned(),
        },
    };
    Asked {
        host: host.to_string(),
        answer,
    }
}
