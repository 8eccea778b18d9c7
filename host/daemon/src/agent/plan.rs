//! What has to be done to get from the modules that are there to those that a manifest wants: a pure value.

use std::collections::BTreeMap;

use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::{DesiredStatus, ModuleSpec};

/// A module with the image that it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// What the manifest says of it.
    pub spec: ModuleSpec,
    /// Digest of its image.
    pub image_digest: String,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop a module and let it go.
    RemoveModule(ModuleId),
    /// Take a module on.
    CreateModule(ModuleId),
    /// Start these, which have one start order, and wait for them.
    StartModules(Vec<ModuleId>),
}

/// The steps from `current` to `desired`, in order: what goes or changes is stopped, latest start order
/// first; what is new is made; then all that is to run is started, by start order.
pub fn plan(
    current: &BTreeMap<ModuleId, Placed>,
    desired: &BTreeMap<ModuleId, Placed>,
) -> Vec<Command> {
    let changed = |id: &ModuleId| current.get(id) != desired.get(id);
    let mut removed: Vec<&Placed> = current
        .values()
        .filter(|placed| changed(&placed.spec.id))
        .collect();
    removed.sort_by_key(|placed| std::cmp::Reverse(placed.spec.startup_order));
    let mut created: Vec<&Placed> = desired
        .values()
        .filter(|placed| changed(&placed.spec.id))
        .collect();
    created.sort_by_key(|placed| placed.spec.startup_order);

    let mut commands: Vec<Command> = removed
        .iter()
        .map(|placed| Command::RemoveModule(placed.spec.id.clone()))
        .collect();
    commands.extend(
        created
            .iter()
            .map(|placed| Command::CreateModule(placed.spec.id.clone())),
    );
    let running: Vec<&Placed> = created
        .into_iter()
        .filter(|placed| placed.spec.status == DesiredStatus::Running)
        .collect();
    let groups = running.chunk_by(|a, b| a.spec.startup_order == b.spec.startup_order);
    commands.extend(groups.map(|group| {
        Command::StartModules(group.iter().map(|placed| placed.spec.id.clone()).collect())
    }));
    commands
}

#[cfg(test)]
mod tests;
