//! From desired properties to a deployment that was checked, or to all that is wrong with them: pure.

use std::collections::BTreeMap;
use std::path::Path;

use ring::digest::{Context, SHA256};
use serde_json::{Map, Value};
use wasm_edge_images::digest::Digest;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::{Fault, ImageReference, Manifest, Origin, RegistryCredential};
use wasm_edge_model::route::condition::Compatibility;
use wasm_edge_model::status::DeploymentCode;

use super::plan::{Desired, Placed, Wiring};
use crate::deployment::sealed::{ImageDigests, Sections, StoredDeployment};

/// A deployment that may be applied, with the digest of each image.
#[derive(Clone, Debug)]
pub(super) struct Deployment {
    pub(super) sections: Sections,
    pub(super) desired: Desired,
    /// With which registries are asked for its images.
    pub(super) registry_credentials: Vec<RegistryCredential>,
}

/// Why desired properties are no deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// For `lastDesiredStatus`.
    pub(super) code: DeploymentCode,
    /// All that was found.
    pub(super) reasons: Vec<String>,
}

impl Refusal {
    pub(super) fn failed(reasons: Vec<String>) -> Self {
        Self {
            code: DeploymentCode::Failed,
            reasons,
        }
    }
}

/// By what a device reads desired properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Whether it lets a hub name files of it as images.
    pub(super) file_images: bool,
    /// Whose behaviour the conditions of routes have.
    pub(super) compatibility: Compatibility,
}

/// A deployment that could not be read or applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unread {
    /// What is told of it.
    pub(super) refusal: Refusal,
    /// Whether the same may work later.
    pub(super) is_passing: bool,
}

impl From<Refusal> for Unread {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            is_passing: false,
        }
    }
}

/// Reads desired properties as a manifest.
///
/// # Errors
/// [`Refusal`]: empty ones, another schema version, faults.
pub(super) fn assemble(sections: &Sections, reading: Reading) -> Result<Manifest, Refusal> {
    if is_empty(&sections.agent) {
        return Err(Refusal {
            code: DeploymentCode::Empty,
            reasons: vec!["the desired properties of `$edgeAgent` are empty".to_owned()],
        });
    }
    let origin = if reading.file_images {
        Origin::LocalFile
    } else {
        Origin::Hub
    };
    let text = sections.to_manifest().to_string();
    let checked = Manifest::check_with(&text, origin, reading.compatibility);
    let checked = checked.map_err(|faults| Refusal {
        code: code_of(&faults.0),
        reasons: faults.0.iter().map(told).collect(),
    })?;
    let manifest = checked.value;
    let relative = relative_files(&manifest);
    if relative.is_empty() {
        Ok(manifest)
    } else {
        Err(Refusal {
            code: DeploymentCode::Faulty,
            reasons: relative,
        })
    }
}

impl Deployment {
    /// Puts a manifest and the digests of its images together.
    pub(super) fn new(
        sections: Sections,
        manifest: Manifest,
        images: &BTreeMap<ModuleId, ImageDigests>,
    ) -> Self {
        let modules = manifest.modules.into_iter().filter_map(|(id, spec)| {
            let image = *images.get(&id)?;
            Some((id, Placed { spec, image }))
        });
        let desired = Desired {
            modules: modules.collect(),
            wiring: Wiring {
                routes: manifest.routes,
                time_to_live: manifest.store_and_forward.time_to_live,
                store_max_bytes: manifest.store_and_forward.size_max_bytes,
            },
        };
        Self {
            sections,
            desired,
            registry_credentials: manifest.registry_credentials,
        }
    }

    /// Names what it says and which images it runs; the same for the same.
    pub(super) fn digest(&self) -> String {
        digest(&self.to_stored())
    }

    /// The manifests of all its images that are of registries.
    pub(super) fn manifest_digests(&self) -> impl Iterator<Item = Digest> {
        let modules = self.desired.modules.values();
        modules.filter_map(|placed| placed.image.manifest)
    }

    /// The form that is stored.
    pub(super) fn to_stored(&self) -> StoredDeployment {
        let images = || self.desired.modules.iter();
        let manifest = |(id, placed): (&ModuleId, &Placed)| {
            Some((id.clone(), placed.image.manifest?.to_string()))
        };
        StoredDeployment {
            sections: self.sections.clone(),
            images: images()
                .map(|(id, placed)| (id.clone(), placed.image.component.to_string()))
                .collect(),
            manifests: images().filter_map(manifest).collect(),
        }
    }
}

/// SHA-256 of what a deployment says and of the images that it runs, 64 hexadecimal digits. Its versions do not
/// count.
pub(super) fn digest(stored: &StoredDeployment) -> String {
    let mut context = Context::new(&SHA256);
    // Keys are sorted, and no text of JSON has a line feed.
    context.update(stored.sections.to_manifest().to_string().as_bytes());
    for (module, image) in &stored.images {
        context.update(format!("\n{module} {image}").as_bytes());
    }
    context
        .finish()
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Whether there are no properties but those that a hub adds.
fn is_empty(section: &Map<String, Value>) -> bool {
    section.keys().all(|key| key.starts_with('$'))
}

fn code_of(faults: &[Fault]) -> DeploymentCode {
    let of_version = |fault: &Fault| fault.path.ends_with("schemaVersion");
    if faults.iter().any(of_version) {
        DeploymentCode::SchemaVersion
    } else {
        DeploymentCode::Faulty
    }
}

/// A fault without line and column: the text that they count in is this device's own.
fn told(fault: &Fault) -> String {
    format!(
        "{}: {}; expected {}",
        fault.path, fault.problem, fault.expected
    )
}

fn relative_files(manifest: &Manifest) -> Vec<String> {
    let relative = |image: &ImageReference| match image {
        ImageReference::File { path } => Path::new(path).is_relative(),
        ImageReference::Registry { .. } => false,
    };
    manifest
        .modules
        .values()
        .filter(|spec| relative(&spec.image))
        .map(|spec| {
            format!(
                "the image `{}` of module `{}` is relative; expected `file:` and an absolute path",
                spec.image, spec.id
            )
        })
        .collect()
}

#[cfg(test)]
mod tests;
