//! Changes of desired properties that are made on the device, while it is away from its hub.
//!
//! Owns what they lead to, when they are given up, and their stored form. They are kept apart from what the hub says,
//! as the smallest patch that leads from there to what the module sees, and never go to the hub. What a module is told
//! of them is the matter of [`super::Twin`]; who may make them that of the management API.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wasm_edge_model::time::Timestamp;
use wasm_edge_model::twin::{self, SECTION_SIZE_MAX_BYTES, check_section, diff, merge_patch};
use wasm_edge_store::database::{DatabaseError, Table};

use super::{By, Draft, Twin};
use crate::record::RecordError;

/// Their table in the device's database; a key is a module id.
pub(super) const TABLE: Table = Table("local-changes");

/// The version of the stored form.
const VERSION: u32 = 1;

/// Who made a change over the control socket, as the system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Author {
    /// The user.
    pub uid: u32,
    /// The process, where the system tells.
    pub pid: Option<i32>,
}

/// The changes that hold now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalChange {
    /// The merge patch that leads from the hub's desired properties to those that the module sees.
    pub patch: Map<String, Value>,
    /// When it was made or changed last.
    pub time: Timestamp,
    /// By whom.
    pub author: Author,
}

/// Why desired properties were not changed here.
#[derive(Debug, thiserror::Error)]
pub enum LocalChangeError {
    /// The hub is there, and the manifest does not say that changes stay when it is.
    #[error("the device is connected to its hub, whose desired properties hold")]
    Connected,
    /// Those of system modules are the device's deployment.
    #[error(
        "the desired properties of `$edgeAgent` and `$edgeHub` are the deployment, which is not changed locally"
    )]
    System,
    /// It is against the rules of twins.
    #[error("the change is against the rules of twins")]
    Twin(#[source] twin::TwinError),
    /// It cannot be stored.
    #[error("the change cannot be stored")]
    Store(#[source] DatabaseError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    patch: Map<String, Value>,
    time: Timestamp,
    author: Author,
}

impl LocalChange {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let stored: Stored = serde_json::from_slice(bytes)?;
        RecordError::check_version(stored.version, VERSION)?;
        Ok(Self {
            patch: stored.patch,
            time: stored.time,
            author: stored.author,
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let stored = Stored {
            version: VERSION,
            patch: self.patch.clone(),
            time: self.time,
            author: self.author,
        };
        serde_json::to_vec(&stored).expect("maps with text keys always become JSON")
    }

    /// The form of the management API; `desired` is what the hub says.
    pub(crate) fn to_json(&self, desired: &Map<String, Value>) -> Value {
        let mut shown = self.summary();
        shown["desired"] = Value::Object(merged(desired, Some(self)));
        shown
    }

    /// The same without what the module sees.
    pub(crate) fn summary(&self) -> Value {
        json!({
            "changes": self.patch,
            "time": self.time,
            "author": { "uid": self.author.uid, "pid": self.author.pid },
        })
    }
}

/// What a module sees of desired properties, given the changes made here.
pub(super) fn merged(
    desired: &Map<String, Value>,
    local: Option<&LocalChange>,
) -> Map<String, Value> {
    let mut merged = desired.clone();
    if let Some(local) = local {
        merge_patch(&mut merged, &local.patch);
    }
    merged
}

/// The patch that leads from the hub's properties to those after a further change; empty where they are the same.
fn patched(
    desired: &Map<String, Value>,
    local: Option<&LocalChange>,
    patch: &Map<String, Value>,
) -> Result<Map<String, Value>, twin::TwinError> {
    // The patch is checked too: what it deletes must be a key as well.
    check_section(patch, usize::MAX)?;
    let mut changed = merged(desired, local);
    merge_patch(&mut changed, patch);
    check_section(&changed, SECTION_SIZE_MAX_BYTES)?;
    Ok(diff(desired, &changed))
}

impl Draft {
    /// The hub's whole twin is there: changes are given up, unless they are to be kept.
    pub(super) fn arrive(&mut self) {
        self.at_hub = true;
        if !self.keeps {
            self.local = None;
        }
    }

    /// The hub's properties may be others: changes that do not go with them any more, by the rules of twins, are
    /// given up. Answers whether they were.
    pub(super) fn fit(&mut self) -> bool {
        let Some(local) = &self.local else {
            return false;
        };
        let seen = merged(&self.record.desired, Some(local));
        let fits = check_section(&seen, SECTION_SIZE_MAX_BYTES).is_ok();
        !fits && self.local.take().is_some()
    }
}

impl Twin {
    /// Says whether changes made here hold on when the hub is there. Where they do not and it is, they are given up.
    pub(crate) async fn keep_local_changes(&self, keeps: bool) -> Result<(), DatabaseError> {
        self.change(By::Local, |draft| {
            draft.keeps = keeps;
            if draft.at_hub {
                draft.arrive();
            }
        })
        .await
    }

    /// The hub cannot be asked any more.
    pub(crate) fn away(&self) {
        self.lock().at_hub = false;
    }

    /// The changes that hold now.
    pub fn local_change(&self) -> Option<LocalChange> {
        self.lock().local.clone()
    }

    /// Changes what the module sees of its desired properties, by a merge patch; done when it is on disk. A patch that
    /// leads back to what the hub says ends the change.
    ///
    /// # Errors
    /// [`LocalChangeError`]; nothing is changed then.
    pub(crate) async fn change_locally(
        &self,
        patch: &Map<String, Value>,
        author: Author,
        time: Timestamp,
    ) -> Result<(), LocalChangeError> {
        if self.module().is_system() {
            return Err(LocalChangeError::System);
        }
        let mut refused = None;
        let changed = self.change(By::Local, |draft| {
            if draft.at_hub && !draft.keeps {
                refused = Some(LocalChangeError::Connected);
                return;
            }
            match patched(&draft.record.desired, draft.local.as_ref(), patch) {
                Ok(patch) if patch.is_empty() => draft.local = None,
                Ok(patch) => {
                    draft.local = Some(LocalChange {
                        patch,
                        time,
                        author,
                    });
                }
                Err(err) => refused = Some(LocalChangeError::Twin(err)),
            }
        });
        changed.await.map_err(LocalChangeError::Store)?;
        refused.map_or(Ok(()), Err)
    }

    /// Takes back all that was changed here. Answers whether there was anything.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn undo_local_changes(&self) -> Result<bool, DatabaseError> {
        let mut undone = false;
        self.change(By::Local, |draft| undone = draft.local.take().is_some())
            .await?;
        Ok(undone)
    }
}

#[cfg(test)]
mod tests;
