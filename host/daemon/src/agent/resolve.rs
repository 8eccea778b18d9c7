//! Reads a deployment: from desired properties, or as it was stored, with the images that it means.

use std::collections::BTreeMap;

use wasm_edge_images::digest::Digest;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::Manifest;

use super::Agent;
use super::assemble::{self, Deployment, Reading, Refusal};
use super::error::{DeployError, ModuleError};
use crate::deployment::sealed::{Sections, StoredDeployment};

impl Agent {
    /// Reads what is desired, and which images it means now.
    pub(super) async fn read(&self, sections: &Sections) -> Result<Deployment, Refusal> {
        let manifest = assemble::assemble(sections, self.reading())?;
        let images = self
            .resolve(&manifest)
            .await
            .map_err(|failed| Refusal::failed(DeployError::Images(failed).reasons()))?;
        Ok(Deployment::new(sections.clone(), manifest, &images))
    }

    fn reading(&self) -> Reading {
        Reading {
            file_images: self.parts.settings.file_images,
            compatibility: self.parts.routing.compatibility,
        }
    }

    async fn resolve(
        &self,
        manifest: &Manifest,
    ) -> Result<BTreeMap<ModuleId, String>, Vec<(ModuleId, ModuleError)>> {
        let mut images = BTreeMap::new();
        let mut failed = Vec::new();
        for spec in manifest.modules.values() {
            match self.images.resolve(spec).await {
                Ok(digest) => drop(images.insert(spec.id.clone(), digest.to_string())),
                Err(err) => failed.push((spec.id.clone(), err)),
            }
        }
        if failed.is_empty() {
            Ok(images)
        } else {
            Err(failed)
        }
    }

    /// Reads a deployment that was stored: with the images that it ran, where this device still has their code.
    pub(super) async fn read_stored(
        &self,
        stored: &StoredDeployment,
    ) -> Result<Deployment, Refusal> {
        let manifest = assemble::assemble(&stored.sections, self.reading())?;
        let mut images = BTreeMap::new();
        for spec in manifest.modules.values() {
            let digest: Option<Digest> = stored
                .images
                .get(&spec.id)
                .and_then(|digest| digest.parse().ok());
            let known = match digest {
                Some(digest) => self.images.find(&digest).await.map(|_| digest),
                None => None,
            };
            let digest = match known {
                Some(digest) => digest,
                None => self.images.resolve(spec).await.map_err(|err| {
                    let failed = DeployError::Images(vec![(spec.id.clone(), err)]);
                    Refusal::failed(failed.reasons())
                })?,
            };
            images.insert(spec.id.clone(), digest.to_string());
        }
        Ok(Deployment::new(stored.sections.clone(), manifest, &images))
    }
}
