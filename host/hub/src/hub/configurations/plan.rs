//! What all configurations together make of one device and its modules.
//!
//! Pure: configurations and stored twins in, changed twins out. Owns who has
//! the last word, and what goes when nobody says anything any more. Leaves
//! reading and writing to the worker.
//!
//! *Settings of devices and modules* are put in the order of priority; of two
//! for the same property, or for one within another, the later has the last
//! word. A configuration all of whose settings were overridden is targeted
//! and not applied. A setting that no configuration makes any more is
//! removed.
//!
//! *Deployments* are for devices that run modules. Of those that say all
//! about `$edgeAgent` the one with the highest priority is the base, of two
//! the newer. Layered deployments of a higher priority are put on it, in the
//! order of priority. What a twin was given by a deployment and is given by
//! none any more goes. Without a base nothing changes: the device goes on as
//! it is, until there is one again.
//!
//! A change that a twin may not have, such as one that makes it too large, is
//! not made; its configurations are targeted and not applied.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use wasm_edge_model::identity::{ModuleId, ModuleIdentity, TwinOwner};
use wasm_edge_model::time::Timestamp;
use wasm_edge_model::twin::{ServiceChange, TwinError, diff};

use super::content::{Content, Setting, remove};
use super::document::Configuration;
use crate::hub::queries::twin::TwinDocument;
use crate::identity::ConnectionView;
use crate::query::Source;
use crate::record::{ConfigurationStatus, Record};

/// A stored twin, with what conditions can ask about it.
pub(super) struct Subject<'a> {
    pub(super) record: &'a Record,
    pub(super) connection: ConnectionView,
}

/// What is to be done about a device.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Modules of a deployment that are not there yet; when they are, plan again.
    pub(super) missing: Vec<ModuleId>,
    /// The twins that change, the agent's last: it refers to the others.
    pub(super) changed: Vec<Record>,
    /// What could not be changed.
    pub(super) refused: Vec<(TwinOwner, TwinError)>,
}

/// The deployments for a device.
struct Deployment<'a> {
    /// What they set at each module; without a base, nothing is known of any.
    modules: Option<BTreeMap<ModuleId, Vec<&'a Setting>>>,
    statuses: BTreeMap<String, ConfigurationStatus>,
}

/// What a twin is to be.
#[derive(Default)]
struct Wanted<'a> {
    statuses: BTreeMap<String, ConfigurationStatus>,
    /// By configurations of devices or modules.
    configured: Vec<&'a Setting>,
    /// By deployments; nothing: what they set stays as it is.
    deployed: Option<Vec<&'a Setting>>,
}

/// Whether the modules of a deployment that are not there yet can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// They can.
    Enough,
    /// They cannot: the device has as many as it may have.
    Full,
}

/// Says what `configurations`, in the order of their ranks, make of a device.
pub(super) fn plan(
    configurations: &[Configuration],
    device: &Subject<'_>,
    modules: &[Subject<'_>],
    room: Room,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    let id = device.record.identity.owner.device();
    let outcome = wanted(configurations, Source::Devices, device).outcome(device.record, now);
    plan.take(TwinOwner::Device(id.clone()), outcome);
    let mut deployment = Deployment::of(configurations, device);
    if room == Room::Full {
        deployment = deployment.put_off();
    }
    let names: BTreeSet<_> = modules.iter().filter_map(Subject::module).collect();
    let wanted_modules = deployment.modules.iter().flat_map(BTreeMap::keys);
    plan.missing = wanted_modules
        .filter(|module| !names.contains(module))
        .cloned()
        .collect();
    let mut outcomes = deployment.outcomes(configurations, modules, now);
    if let Some(refused) = outcomes.iter().find_map(|(_, outcome)| match outcome {
        Outcome::Refused {
            error,
            is_deployed: true,
            ..
        } => Some(error.clone()),
        _ => None,
    }) {
        // A deployment comes whole or not at all.
        outcomes = deployment.put_off().outcomes(configurations, modules, now);
        let agent = ModuleIdentity {
            device: id.clone(),
            module: ModuleId::edge_agent(),
        };
        plan.refused.push((TwinOwner::Module(agent), refused));
    }
    outcomes.sort_by_key(|(owner, _)| is_agent(owner));
    for (owner, outcome) in outcomes {
        plan.take(owner, outcome);
    }
    plan
}

impl Plan {
    fn take(&mut self, owner: TwinOwner, outcome: Outcome) {
        match outcome {
            Outcome::Same => {}
            Outcome::Changed(record) => self.changed.push(*record),
            Outcome::Refused { error, record, .. } => {
                self.refused.push((owner, error));
                self.changed.extend(record.map(|record| *record));
            }
        }
    }
}

impl Subject<'_> {
    fn document(&self) -> TwinDocument<'_> {
        TwinDocument::new(self.record, self.connection)
    }

    fn module(&self) -> Option<&ModuleId> {
        self.record.identity.owner.module()
    }
}

/// The configurations of devices or modules for one twin.
fn wanted<'a>(
    configurations: &'a [Configuration],
    source: Source,
    subject: &Subject<'_>,
) -> Wanted<'a> {
    let document = subject.document();
    let chosen: Vec<_> = configurations
        .iter()
        .filter_map(|configuration| match (&configuration.content, source) {
            (Content::Device(settings), Source::Devices)
            | (Content::Module(settings), Source::Modules) => Some((configuration, settings)),
            _ => None,
        })
        .filter(|(configuration, _)| configuration.target.chooses(&document))
        .collect();
    let mut wanted = Wanted::default();
    for (index, (configuration, settings)) in chosen.iter().enumerate() {
        let later = || {
            chosen[index + 1..]
                .iter()
                .flat_map(|(_, settings)| *settings)
        };
        let has_effect = settings
            .iter()
            .any(|setting| !later().any(|other| setting.path.starts_with(&other.path)));
        let status = match has_effect {
            true => ConfigurationStatus::Applied,
            false => ConfigurationStatus::Targeted,
        };
        let id = configuration.id.as_str().to_owned();
        wanted.statuses.insert(id, status);
        wanted.configured.extend(*settings);
    }
    wanted
}

impl<'a> Deployment<'a> {
    fn of(configurations: &'a [Configuration], device: &Subject<'_>) -> Self {
        let document = device.document();
        let chosen: Vec<_> = configurations
            .iter()
            .filter(|_| device.record.identity.edge)
            .filter_map(|configuration| match &configuration.content {
                Content::Edge { modules, is_base } => Some((configuration, modules, *is_base)),
                _ => None,
            })
            .filter(|(configuration, ..)| configuration.target.chooses(&document))
            .collect();
        let mut statuses = BTreeMap::new();
        for (configuration, ..) in &chosen {
            let id = configuration.id.as_str().to_owned();
            statuses.insert(id, ConfigurationStatus::Targeted);
        }
        let Some((base, ..)) = chosen.iter().rev().find(|(.., is_base)| *is_base) else {
            return Self {
                modules: None,
                statuses,
            };
        };
        let layers = chosen.iter().filter(|(configuration, _, is_base)| {
            let is_above = configuration.priority() > base.priority();
            configuration.id == base.id || (is_above && !is_base)
        });
        let mut all: BTreeMap<ModuleId, Vec<&Setting>> = BTreeMap::new();
        for (configuration, modules, _) in layers {
            let id = configuration.id.as_str().to_owned();
            statuses.insert(id, ConfigurationStatus::Applied);
            for (module, settings) in *modules {
                all.entry(module.clone()).or_default().extend(settings);
            }
        }
        Self {
            modules: Some(all),
            statuses,
        }
    }

    /// The deployments, none of which can be applied.
    fn put_off(mut self) -> Self {
        self.modules = None;
        let statuses = self.statuses.values_mut();
        statuses.for_each(|status| *status = ConfigurationStatus::Targeted);
        self
    }

    fn outcomes(
        &self,
        configurations: &[Configuration],
        modules: &[Subject<'_>],
        now: Timestamp,
    ) -> Vec<(TwinOwner, Outcome)> {
        let outcomes = modules.iter().filter_map(|subject| {
            let module = subject.module()?;
            let mut wanted = wanted(configurations, Source::Modules, subject);
            wanted.deployed = self
                .modules
                .as_ref()
                .map(|modules| modules.get(module).cloned().unwrap_or_default());
            if *module == ModuleId::edge_agent() {
                wanted.statuses.extend(self.statuses.clone());
            }
            let owner = subject.record.identity.owner.clone();
            Some((owner, wanted.outcome(subject.record, now)))
        });
        outcomes.collect()
    }
}

/// What becomes of a twin.
enum Outcome {
    Same,
    Changed(Box<Record>),
    Refused {
        error: TwinError,
        /// Whether a deployment has a part in it.
        is_deployed: bool,
        /// With the statuses that say so, unless these are there already.
        record: Option<Box<Record>>,
    },
}

impl Wanted<'_> {
    fn outcome(&self, record: &Record, now: Timestamp) -> Outcome {
        let mut changed = record.clone();
        changed.statuses_and_paths(self);
        let mut desired = record.twin.desired.properties().clone();
        self.apply(record, &mut desired);
        let patch = diff(record.twin.desired.properties(), &desired);
        if !patch.is_empty() {
            let change = ServiceChange {
                tags: None,
                desired: Some(&patch),
            };
            if let Err(error) = changed.twin.patch(change, now) {
                return self.refused(record, error);
            }
        }
        match changed == *record {
            true => Outcome::Same,
            false => Outcome::Changed(Box::new(changed)),
        }
    }

    fn refused(&self, record: &Record, error: TwinError) -> Outcome {
        let mut changed = record.clone();
        changed.configurations = self.statuses.clone();
        let statuses = changed.configurations.values_mut();
        statuses.for_each(|status| *status = ConfigurationStatus::Targeted);
        let is_deployed = self
            .deployed
            .as_ref()
            .is_some_and(|settings| !settings.is_empty());
        Outcome::Refused {
            error,
            is_deployed,
            record: (changed != *record).then(|| Box::new(changed)),
        }
    }

    fn apply(&self, record: &Record, desired: &mut Map<String, Value>) {
        for path in &record.configured {
            remove(desired, path);
        }
        if let Some(deployed) = &self.deployed {
            for path in &record.deployed {
                remove(desired, path);
            }
            deployed.iter().for_each(|setting| setting.apply(desired));
        }
        self.configured
            .iter()
            .for_each(|setting| setting.apply(desired));
    }
}

impl Record {
    fn statuses_and_paths(&mut self, wanted: &Wanted<'_>) {
        self.configurations.clone_from(&wanted.statuses);
        self.configured = paths(&wanted.configured);
        if let Some(deployed) = &wanted.deployed {
            self.deployed = paths(deployed);
        }
    }
}

/// The paths of settings, without those that lie within others.
fn paths(settings: &[&Setting]) -> Vec<Vec<String>> {
    let paths: BTreeSet<_> = settings.iter().map(|setting| &setting.path).collect();
    let mut outermost: Vec<Vec<String>> = Vec::new();
    for path in paths {
        if !outermost.iter().any(|outer| path.starts_with(outer)) {
            outermost.push(path.clone());
        }
    }
    outermost
}

fn is_agent(owner: &TwinOwner) -> bool {
    owner
        .module()
        .is_some_and(|module| *module == ModuleId::edge_agent())
}

#[cfg(test)]
mod tests;
