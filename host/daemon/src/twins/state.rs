//! A twin in memory: what the module sees, and what a change makes of it.
//!
//! Pure. Leaves storing a change, and telling of it, to the twin.

use serde_json::{Map, Value};
use wasm_edge_model::twin::diff;

use super::local::{self, LocalChange};
use super::record::Record;

/// What is known of a twin.
pub(super) struct State {
    pub(super) record: Record,
    /// What was changed on the device.
    pub(super) local: Option<LocalChange>,
    /// The patch that led to the present revision, if one did.
    pub(super) last_patch: Option<Map<String, Value>>,
    pub(super) revision: u64,
    /// Whether what was changed on the device holds on when the hub is there.
    pub(super) keeps: bool,
    /// Whether the record is the hub's twin, over a session that is open.
    pub(super) at_hub: bool,
}

/// What a change makes of a twin.
pub(super) struct Draft {
    pub(super) record: Record,
    pub(super) local: Option<LocalChange>,
    pub(super) keeps: bool,
    pub(super) at_hub: bool,
}

/// What leads to new desired properties.
pub(super) enum By {
    /// A patch of the hub.
    Patch(Map<String, Value>),
    /// A change on the device.
    Local,
    /// The hub's whole twin.
    Whole,
}

impl State {
    /// The desired properties that the module sees.
    pub(super) fn seen(&self) -> Map<String, Value> {
        local::merged(&self.record.desired, self.local.as_ref())
    }

    pub(super) fn draft(&self) -> Draft {
        Draft {
            record: self.record.clone(),
            local: self.local.clone(),
            keeps: self.keeps,
            at_hub: self.at_hub,
        }
    }

    /// Takes what was stored, and notes what the module is to hear of it.
    pub(super) fn take(&mut self, draft: Draft, by: By) {
        let (before, version) = (self.seen(), self.record.desired_version);
        let is_local = self.local.is_some() || draft.local.is_some();
        self.record = draft.record;
        self.local = draft.local;
        (self.keeps, self.at_hub) = (draft.keeps, draft.at_hub);
        let after = self.seen();
        if version == self.record.desired_version && before == after {
            return;
        }
        self.revision += 1;
        self.last_patch = match by {
            By::Whole => None,
            By::Patch(patch) if !is_local => Some(patch),
            By::Patch(_) | By::Local => Some(diff(&before, &after)),
        };
    }
}
