//! Reads a deployment: from desired properties, or as it was stored, with the images that it means.
//!
//! Owns when a tag is asked of its registry: once for each deployment, when it is new. What a deployment meant is
//! remembered, by this process and on disk, so that neither a restart nor another try asks again.

use std::collections::BTreeMap;

use wasm_edge_images::digest::Digest;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::{ImageReference, Manifest, ModuleSpec};

use super::Agent;
use super::assemble::{self, Deployment, Reading, Refusal, Unread};
use super::error::{DeployError, ModuleError};
use super::images::{Asking, Meant};
use super::progress::Progress;
use crate::deployment::sealed::{ImageDigests, Sections, StoredDeployment};

/// Which images of registries desired properties mean, as far as that is known.
#[derive(Default)]
pub(super) struct Resolved {
    sections: Sections,
    images: BTreeMap<ModuleId, Meant>,
}

impl Resolved {
    fn manifest_digests(&self) -> impl Iterator<Item = Digest> {
        let images = self.images.values();
        images.filter_map(|meant| meant.digests.manifest)
    }
}

impl Agent {
    /// Reads what is desired, and which images it means. All images of registries are in the store then, but for those
    /// whose code is here.
    ///
    /// # Cancel safety
    /// What was found out is remembered.
    pub(super) async fn read(&mut self, sections: &Sections) -> Result<Deployment, Unread> {
        let manifest = assemble::assemble(sections, self.reading())?;
        if !self.resolved.sections.says_the_same(sections) {
            self.resolved = Resolved {
                sections: sections.clone(),
                images: BTreeMap::new(),
            };
        }
        self.take_over_tried(sections, &manifest).await;
        let before = self.before(sections);
        let mut images = BTreeMap::new();
        let mut failed = Vec::new();
        for spec in manifest.modules.values() {
            let before = before.as_ref().and_then(|before| before.digests(&spec.id));
            match self.resolve(spec, before, &manifest).await {
                Ok(meant) => drop(images.insert(spec.id.clone(), meant)),
                Err(err) => failed.push((spec.id.clone(), err)),
            }
        }
        if !failed.is_empty() {
            return Err(unread(failed));
        }
        Ok(deployment(sections, manifest, images))
    }

    /// Remembers what was tried out for these desired properties, in place of what they meant until now.
    async fn take_over_tried(&mut self, sections: &Sections, manifest: &Manifest) {
        let Some(tried) = self.shared.take_tried(sections.agent_version) else {
            return;
        };
        for (id, (image, meant)) in tried {
            let named = manifest.modules.get(&id).map(|spec| &spec.image);
            if named == Some(&image) {
                self.resolved.images.insert(id, meant);
            }
        }
        // Who tried them out holds them no more.
        self.hold_images().await;
    }

    /// What these desired properties meant before this process.
    fn before(&self, sections: &Sections) -> Option<StoredDeployment> {
        let mut stored = self.ledger.deployments();
        stored
            .find(|stored| stored.sections.says_the_same(sections))
            .cloned()
    }

    async fn resolve(
        &mut self,
        spec: &ModuleSpec,
        before: Option<ImageDigests>,
        manifest: &Manifest,
    ) -> Result<Meant, ModuleError> {
        let tell = |progress: Progress| self.shared.tell(progress);
        let asking = Asking::new(&manifest.registry_credentials, &tell);
        // The owner of a file changes it in place: it is looked at each time.
        if let ImageReference::File { .. } = spec.image {
            return self.images.resolve(spec, asking).await;
        }
        let known = self.resolved.images.get(&spec.id).cloned();
        let meant = match (&known, before) {
            (Some(known), _) => {
                let again = self
                    .images
                    .resolve_again(spec, known.digests, asking)
                    .await?;
                Meant {
                    warning: again.warning.or_else(|| known.warning.clone()),
                    ..again
                }
            }
            (None, Some(before)) => self.images.resolve_again(spec, before, asking).await?,
            (None, None) => self.images.resolve(spec, asking).await?,
        };
        self.resolved.images.insert(spec.id.clone(), meant.clone());
        Ok(meant)
    }

    fn reading(&self) -> Reading {
        Reading {
            file_images: self.parts.settings.file_images,
            compatibility: self.parts.routing.compatibility,
        }
    }

    /// Reads a deployment that was stored: with the images that it ran, where this device still has them or their code.
    pub(super) async fn read_stored(
        &self,
        stored: &StoredDeployment,
    ) -> Result<Deployment, Refusal> {
        let manifest = assemble::assemble(&stored.sections, self.reading())?;
        let tell = |progress: Progress| self.shared.tell(progress);
        let asking = Asking::new(&manifest.registry_credentials, &tell);
        let mut images = BTreeMap::new();
        for spec in manifest.modules.values() {
            let meant = match stored.digests(&spec.id) {
                Some(before) => self.images.resolve_again(spec, before, asking).await,
                None => self.images.resolve(spec, asking).await,
            };
            let meant = meant.map_err(|err| unread(vec![(spec.id.clone(), err)]).refusal)?;
            images.insert(spec.id.clone(), meant);
        }
        Ok(deployment(&stored.sections, manifest, images))
    }

    /// Holds the images of all that runs or may come to run: others may be let go. Takes note of what ran.
    pub(super) async fn hold_images(&self) {
        self.images.note_ran(self.ledger.deployments());
        let in_memory = [&self.running, &self.last_good].into_iter().flatten();
        let on_disk = self.ledger.deployments();
        let manifests = in_memory
            .flat_map(Deployment::manifest_digests)
            .chain(self.resolved.manifest_digests())
            .chain(on_disk.flat_map(StoredDeployment::manifest_digests));
        self.images.hold(manifests.collect()).await;
    }
}

/// Puts a deployment together; what is worth telling of an image is a warning of its module.
fn deployment(
    sections: &Sections,
    mut manifest: Manifest,
    images: BTreeMap<ModuleId, Meant>,
) -> Deployment {
    for (id, meant) in &images {
        if let Some(spec) = manifest.modules.get_mut(id) {
            spec.warnings.extend(meant.warning.clone());
        }
    }
    let images = images.into_iter().map(|(id, meant)| (id, meant.digests));
    Deployment::new(sections.clone(), manifest, &images.collect())
}

fn unread(failed: Vec<(ModuleId, ModuleError)>) -> Unread {
    let err = DeployError::Images(failed);
    Unread {
        is_passing: err.is_passing(),
        refusal: Refusal::failed(err.reasons()),
    }
}
