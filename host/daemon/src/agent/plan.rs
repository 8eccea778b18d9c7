//! What has to be done to get from the modules that are there to those that a deployment wants: a pure value.
//!
//! Steps that can fail come first (images, fit, identities), so that nothing which runs is touched for a
//! deployment that cannot be had. What changed is stopped, latest start order first; then routes are swapped,
//! and what is new or changed is made and started, earliest start order first. A step that is not carried out
//! leaves a state from which the next plan goes on.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::{DesiredStatus, ModuleSpec};
use wasm_edge_model::route::Route;

use crate::deployment::sealed::ImageDigests;

/// A module with the image that it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// What the manifest says of it.
    pub spec: ModuleSpec,
    /// The image.
    pub image: ImageDigests,
}

/// A module that is on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Here {
    /// As what it was made.
    pub placed: Placed,
    /// Whether it was started and not stopped since; how its instance is meanwhile is the supervisor's matter.
    pub started: bool,
    /// Whether its identity was made anew at the hub since, so that it has to be made under that one.
    pub identity_replaced: bool,
}

/// How messages go between modules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wiring {
    /// The routes.
    pub routes: Vec<Route>,
    /// For messages whose route says nothing of it; none is for ever.
    pub time_to_live: Option<Duration>,
    /// What messages may take in the store; none leaves it to the device.
    pub store_max_bytes: Option<u64>,
}

/// What is on the device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Current {
    /// The modules.
    pub modules: BTreeMap<ModuleId, Here>,
    /// The routes that are in use; none before the first deployment.
    pub wiring: Option<Wiring>,
}

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// The modules.
    pub modules: BTreeMap<ModuleId, Placed>,
    /// The routes.
    pub wiring: Wiring,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Get the images of these, verified and ready to run.
    FetchImages(Vec<ModuleId>),
    /// Check that what all modules may take together is there.
    CheckFit,
    /// Make sure of the identities of these at the hub.
    ProvisionIdentities(Vec<ModuleId>),
    /// Stop a module that goes or is to be replaced.
    StopModule(ModuleId),
    /// Let a stopped module go.
    RemoveModule(ModuleId),
    /// Swap the routes.
    ApplyRoutes,
    /// Change in place what does not alter how a module runs.
    ChangeSettings(ModuleId),
    /// Change in place whether a module is to run; one that is not is stopped.
    ChangeStatus(ModuleId, DesiredStatus),
    /// Take a module on.
    CreateModule(ModuleId),
    /// Put another code or other settings in a stopped module's place; its queue stays.
    UpdateModule(ModuleId),
    /// Start these, which have one start order, and wait for them.
    StartModules(Vec<ModuleId>),
}

/// How a module that stays differs from what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    None,
    /// In what can be changed while it runs.
    Settings,
    /// In whether it is to run, and at most in settings beside.
    Status,
    /// In how it runs.
    Run,
}

/// The steps from `current` to `desired`, in order. None where nothing differs.
pub fn plan(current: &Current, desired: &Desired) -> Vec<Command> {
    let new: Vec<&Placed> = desired
        .modules
        .values()
        .filter(|placed| !current.modules.contains_key(&placed.spec.id))
        .collect();
    let staying: Vec<(&Here, &Placed, Difference)> = desired
        .modules
        .values()
        .filter_map(|placed| {
            let here = current.modules.get(&placed.spec.id)?;
            let difference = match here.identity_replaced {
                true => Difference::Run,
                false => difference(&here.placed, placed),
            };
            Some((here, placed, difference))
        })
        .collect();
    let updated: Vec<&Placed> = staying
        .iter()
        .filter(|(_, _, difference)| *difference == Difference::Run)
        .map(|(_, placed, _)| *placed)
        .collect();

    let mut commands = before_anything_is_touched(&new, &updated);
    commands.extend(stops(current, desired, &staying));
    if current.wiring.as_ref() != Some(&desired.wiring) {
        commands.push(Command::ApplyRoutes);
    }
    commands.extend(staying.iter().filter_map(|(_, placed, difference)| {
        let id = placed.spec.id.clone();
        match (difference, placed.spec.status) {
            (Difference::Settings, _) => Some(Command::ChangeSettings(id)),
            (Difference::Status, status @ DesiredStatus::Running) => {
                Some(Command::ChangeStatus(id, status))
            }
            _ => None,
        }
    }));
    commands.extend(ids(&new).map(Command::CreateModule));
    commands.extend(ids(&updated).map(Command::UpdateModule));
    commands.extend(starts(&new, &staying));
    commands
}

fn before_anything_is_touched(new: &[&Placed], updated: &[&Placed]) -> Vec<Command> {
    let changed: Vec<ModuleId> = ids(new).chain(ids(updated)).collect();
    if changed.is_empty() {
        return Vec::new();
    }
    vec![
        Command::FetchImages(changed.clone()),
        Command::CheckFit,
        Command::ProvisionIdentities(changed),
    ]
}

/// Stops what goes, what is replaced and what is not to run any more, latest start order first; then lets go
/// what goes.
fn stops(
    current: &Current,
    desired: &Desired,
    staying: &[(&Here, &Placed, Difference)],
) -> Vec<Command> {
    let gone: Vec<&Here> = current
        .modules
        .values()
        .filter(|here| !desired.modules.contains_key(&here.placed.spec.id))
        .collect();
    let mut stops: Vec<(&Here, Command)> = Vec::new();
    for here in gone.iter().filter(|here| here.started) {
        stops.push((here, Command::StopModule(here.placed.spec.id.clone())));
    }
    for (here, placed, difference) in staying {
        let id = placed.spec.id.clone();
        match difference {
            Difference::Run if here.started => stops.push((here, Command::StopModule(id))),
            Difference::Status if placed.spec.status == DesiredStatus::Stopped => {
                stops.push((here, Command::ChangeStatus(id, DesiredStatus::Stopped)));
            }
            _ => {}
        }
    }
    stops.sort_by_key(|(here, _)| Reverse(here.placed.spec.startup_order));
    let removed = gone
        .iter()
        .map(|here| Command::RemoveModule(here.placed.spec.id.clone()));
    stops
        .into_iter()
        .map(|(_, command)| command)
        .chain(removed)
        .collect()
}

/// Starts what is to run and does not, in groups of one start order.
fn starts(new: &[&Placed], staying: &[(&Here, &Placed, Difference)]) -> Vec<Command> {
    let not_started = staying
        .iter()
        .filter(|(here, _, difference)| !here.started || *difference == Difference::Run)
        .map(|(_, placed, _)| *placed);
    let mut starting: Vec<&Placed> = new
        .iter()
        .copied()
        .chain(not_started)
        .filter(|placed| placed.spec.status == DesiredStatus::Running)
        .collect();
    starting.sort_by_key(|placed| (placed.spec.startup_order, &placed.spec.id));
    starting
        .chunk_by(|a, b| a.spec.startup_order == b.spec.startup_order)
        .map(|group| Command::StartModules(ids(group).collect()))
        .collect()
}

fn difference(from: &Placed, to: &Placed) -> Difference {
    if from == to {
        return Difference::None;
    }
    let (spec, wanted) = (&from.spec, &to.spec);
    // A version is free text: whoever changes it wants the module made anew, as IoT Edge does.
    let runs_alike = spec.runs_as(wanted)
        && spec.version == wanted.version
        && from.image.component == to.image.component;
    if !runs_alike {
        Difference::Run
    } else if spec.status != wanted.status {
        Difference::Status
    } else {
        Difference::Settings
    }
}

fn ids<'a>(placed: &'a [&'a Placed]) -> impl Iterator<Item = ModuleId> + 'a {
    placed.iter().map(|placed| placed.spec.id.clone())
}

#[cfg(test)]
mod tests;
