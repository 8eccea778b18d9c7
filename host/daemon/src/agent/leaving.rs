//! Clears away what is left of modules that left the deployment: session, identity, twin, log and files.
//!
//! Only once the deployment without them is healthy, so that a rollback finds them as they were, and only once
//! what they sent is at the hub or expired, since it goes out under their identities. Each step is safe to
//! repeat, and the list of those that leave is on disk until the last one is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::route::condition::Compatibility;

use super::assemble::{self, Deployment, Reading};
use super::{Agent, follow::Link};
use crate::deployment::sealed::{Leaving, Stored};
use crate::upstream::UpstreamError;

/// How often is looked whether a module can be cleared away that cannot yet.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// The modules that leave with a deployment: those known before that it does not have, and those that left
/// before and did not come back.
pub(super) fn leaving(before: &Stored, deployment: &Deployment) -> BTreeMap<ModuleId, Leaving> {
    let mut leaving = before.leaving.clone();
    for (id, keep_data) in before.current.iter().flat_map(known) {
        leaving.insert(id, Leaving { keep_data });
    }
    leaving.retain(|id, _| !id.is_system() && !deployment.desired.modules.contains_key(id));
    leaving
}

/// The modules of a stored deployment, and whether their data stays when they leave.
fn known(stored: &crate::deployment::sealed::StoredDeployment) -> Vec<(ModuleId, bool)> {
    let reading = Reading {
        file_images: true,
        // No other reading takes a route that this one does not.
        compatibility: Compatibility::Documented,
    };
    let manifest = assemble::assemble(&stored.sections, reading);
    let ids: BTreeSet<&ModuleId> = stored.images.keys().collect();
    ids.into_iter()
        .map(|id| {
            // What cannot be read any more is kept rather than lost.
            let keep = manifest.as_ref().map_or(true, |manifest| {
                manifest
                    .modules
                    .get(id)
                    .is_none_or(|module| module.keep_data)
            });
            (id.clone(), keep)
        })
        .collect()
}

impl Agent {
    /// Whether modules have to be cleared away and may be.
    pub(super) fn has_to_clear(&self) -> bool {
        self.healthy && !self.ledger.stored().leaving.is_empty()
    }

    /// Clears away all that can be now.
    pub(super) async fn clear_away(&mut self) {
        let leaving: Vec<(ModuleId, Leaving)> = self
            .ledger
            .stored()
            .leaving
            .iter()
            .map(|(id, leaving)| (id.clone(), *leaving))
            .collect();
        for (id, leaving) in leaving {
            if self.parts.router.waiting_upstream_of(&id) == 0 {
                self.clear(&id, leaving).await;
            }
        }
    }

    async fn clear(&mut self, id: &ModuleId, leaving: Leaving) {
        if let Some(link) = self.links.remove(id) {
            Link::close(link).await;
        }
        match self.parts.upstream.deprovision(self.identity(id)).await {
            Ok(()) => {}
            Err(UpstreamError::Unreachable { cause }) => {
                tracing::debug!(module = %id, cause, "the identity of a module that left cannot be deleted yet");
                return;
            }
            Err(err @ UpstreamError::Refused { .. }) => {
                tracing::warn!(module = %id, %err, "the identity of a module that left stays at the hub");
            }
        }
        let (twins, folder, module) = (
            self.parts.twins.clone(),
            Arc::clone(&self.parts.folder),
            id.clone(),
        );
        let removed = tokio::task::spawn_blocking(move || -> Result<(), String> {
            twins.forget(&module).map_err(|err| err.to_string())?;
            if leaving.keep_data {
                return Ok(());
            }
            folder.remove_module(&module).map_err(|err| err.to_string())
        });
        let removed = removed
            .await
            .expect("the store does not panic, and the runtime outlives the device");
        if let Err(err) = removed {
            tracing::error!(module = %id, err, "what a module that left has kept cannot be removed yet");
            return;
        }
        if !leaving.keep_data
            && let Err(err) = self.parts.logs.forget(id).await
        {
            tracing::warn!(module = %id, %err, "the log of a module that left cannot be removed");
        }
        let kept = self.ledger.change(|all| {
            all.leaving.remove(id);
            all.credentials.remove(id);
        });
        if let Err(err) = kept.await {
            tracing::error!(module = %id, %err, "it cannot be recorded that a module has left");
        }
        tracing::info!(module = %id, keep_data = leaving.keep_data, "the module has left; its identity is deleted");
    }
}

#[cfg(test)]
mod tests;
