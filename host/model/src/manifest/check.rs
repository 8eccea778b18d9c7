//! Reads a manifest as a whole.
//!
//! Here is the envelope; its parts are read in [`agent`], [`hub`] and what
//! these use.

mod agent;
mod ends;
mod hub;
mod keeping;
mod options;
mod sandbox;
mod spec;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fault::Findings;
use super::read::{Entry, Fields, Place, shown};
use super::{Checked, Faults, MANIFEST_LIMITS, Manifest, Origin};
use crate::identity::ModuleId;
use crate::json::{self, Content, JsonPath, Node};
use crate::route::condition::Compatibility;
use crate::twin::{SECTION_SIZE_MAX_BYTES, TwinError, check_section};

/// What a key begins with that names one part of the desired properties, in
/// layered deployments.
const LAYER_PREFIX: &str = "properties.desired.";

pub(super) fn manifest(
    text: &str,
    origin: Origin,
    compatibility: Compatibility,
) -> Result<Checked<Manifest>, Faults> {
    let document = json::read(text, MANIFEST_LIMITS)?;
    let mut findings = Findings::default();
    for repeated in &document.repeated_keys {
        findings.fault(
            &repeated.path,
            repeated.position,
            "the key is there twice",
            "each key once",
        );
    }
    match envelope(&mut findings, &document.root, origin, compatibility) {
        Some(manifest) => findings.finish(manifest),
        // What has no value has a fault.
        None => Err(findings.into_faults()),
    }
}

fn envelope(
    findings: &mut Findings,
    root: &Node,
    origin: Origin,
    compatibility: Compatibility,
) -> Option<Manifest> {
    let mut fields = findings.object(&Place::root(root))?;
    // For editors.
    fields.take("$schema");
    if let Some(content) = fields.take("content") {
        findings.without_meaning(fields);
        fields = findings.object(&content)?;
    }
    let modules = findings.required(&mut fields, "modulesContent", "an object");
    findings.without_meaning(fields);
    let mut contents = findings.object(&modules?)?;

    let agent_content = findings.required(
        &mut contents,
        "$edgeAgent",
        "the agent's desired properties",
    );
    let agent = agent_content.and_then(|place| desired(findings, &place, &["modules"]));
    let agent_desired = agent.as_ref().map(|desired| desired.raw.clone());
    let agent_place = agent.as_ref().map(|desired| desired.place.clone());
    let mut agent = agent.and_then(|desired| agent::read(findings, desired, origin));

    let hub_content = contents.take("$edgeHub");
    let hub = hub_content.and_then(|place| desired(findings, &place, &["routes"]));
    let hub_desired = hub
        .as_ref()
        .map(|desired| desired.raw.clone())
        .unwrap_or_default();
    let hub_place = hub.as_ref().map(|desired| desired.place.clone());
    let known = agent.as_mut().map(|agent| {
        let modules = agent.modules.keys().cloned().collect();
        (modules, std::mem::take(&mut agent.route_options))
    });
    let (modules, route_options) = known.unwrap_or_default();
    let around = hub::Around {
        modules,
        route_options,
        compatibility,
    };
    let hub = hub.map(|desired| hub::read(findings, desired, around));
    let hub = hub.unwrap_or_default();

    let module_twins = module_twins(findings, contents, agent.as_ref());
    let (agent, agent_desired) = (agent?, agent_desired?);
    if findings.is_faultless() {
        for (place, raw) in [(agent_place, &agent_desired), (hub_place, &hub_desired)] {
            if let Some(place) = place {
                check_twin(findings, &place, raw);
            }
        }
    }
    Some(Manifest {
        agent: agent.desired,
        modules: agent.modules,
        routes: hub.routes,
        store_and_forward: hub.store_and_forward,
        module_twins,
        registry_credentials: agent.credentials,
        agent_desired,
        hub_desired,
    })
}

/// The desired properties of one module of the envelope.
struct Desired<'a> {
    /// The members, those of layered content included.
    fields: Fields<'a>,
    /// The place of `properties.desired`; of the module's content if there
    /// is only layered content.
    place: Place<'a>,
    /// Whether there is `properties.desired`, not only layered content.
    has_base: bool,
    /// Layered content for the members of a member, by its key.
    layers: BTreeMap<&'a str, Vec<Entry<'a>>>,
    /// All of it, as the twin holds it.
    raw: Map<String, Value>,
}

/// Puts `properties.desired` and layered content together. `parents` are the
/// keys whose members layers may add; any, if there are none.
fn desired<'a>(
    findings: &mut Findings,
    content: &Place<'a>,
    parents: &[&str],
) -> Option<Desired<'a>> {
    let mut members = findings.object(content)?;
    let base = members.take("properties.desired");
    let mut desired = match &base {
        Some(place) => Desired {
            fields: findings.object(place)?,
            place: place.clone(),
            has_base: true,
            layers: BTreeMap::new(),
            raw: raw_properties(place.node),
        },
        None => Desired {
            fields: Fields::empty(content.path.clone(), content.position()),
            place: content.clone(),
            has_base: false,
            layers: BTreeMap::new(),
            raw: Map::new(),
        },
    };
    let mut has_layers = false;
    for (entry, place) in members.rest() {
        let Some(layer) = entry.key.strip_prefix(LAYER_PREFIX) else {
            findings.warning(&place.path, entry.key_position, "has no meaning here");
            continue;
        };
        has_layers = true;
        add_layer(findings, &mut desired, layer, &entry, place, parents);
    }
    if !desired.has_base && !has_layers {
        let path = content.path.key("properties.desired");
        findings.fault(&path, content.position(), "is missing", "an object");
        return None;
    }
    Some(desired)
}

fn add_layer<'a>(
    findings: &mut Findings,
    desired: &mut Desired<'a>,
    layer: &'a str,
    entry: &Entry<'a>,
    place: Place<'a>,
    parents: &[&str],
) {
    let parts: Vec<&str> = layer.split('.').collect();
    let position = entry.key_position;
    if !parents.is_empty() && parts[0] == "systemModules" {
        let expected = "modules and routes only";
        findings.fault(
            &place.path,
            position,
            "a layered deployment cannot change system modules",
            expected,
        );
        return;
    }
    let is_known = match parts[..] {
        [_] => true,
        [parent, _] => parents.is_empty() || parents.contains(&parent),
        _ => parents.is_empty(),
    };
    if !is_known {
        let expected = format!("`{LAYER_PREFIX}{}.NAME`", parents.join(", "));
        findings.fault(
            &place.path,
            position,
            "there is no such place for a layer",
            expected,
        );
        return;
    }
    if !insert_at(&mut desired.raw, &parts, place.node.to_value()) {
        findings.fault(
            &place.path,
            position,
            "the place of this layer is taken",
            "each place once",
        );
        return;
    }
    let layered = |key| Entry {
        key,
        own_path: Some(place.path.clone()),
        ..entry.clone()
    };
    match parts[..] {
        [key] => desired.fields.push(layered(key)),
        [parent, key] => desired.layers.entry(parent).or_default().push(layered(key)),
        // Only in content that is read as a whole, from `raw`.
        _ => {}
    }
}

/// Puts a value at a path, unless something is there or in the way.
fn insert_at(map: &mut Map<String, Value>, parts: &[&str], value: Value) -> bool {
    let [key, inner @ ..] = parts else {
        return false;
    };
    if inner.is_empty() {
        return !map.contains_key(*key) && map.insert((*key).into(), value).is_none();
    }
    match map.entry(*key).or_insert_with(|| Map::new().into()) {
        Value::Object(members) => insert_at(members, inner, value),
        _ => false,
    }
}

/// The properties of a section, without what a hub adds.
fn raw_properties(node: &Node) -> Map<String, Value> {
    let mut raw = match &node.content {
        Content::Object(members) => json::to_map(members),
        _ => Map::new(),
    };
    raw.remove("$version");
    raw.remove("$metadata");
    raw
}

fn module_twins(
    findings: &mut Findings,
    contents: Fields<'_>,
    agent: Option<&agent::Agent>,
) -> BTreeMap<ModuleId, Map<String, Value>> {
    let mut twins = BTreeMap::new();
    for (entry, place) in contents.rest() {
        let Some(id) = module_id(findings, &entry, &place.path) else {
            continue;
        };
        let Some(desired) = desired(findings, &place, &[]) else {
            continue;
        };
        check_twin(findings, &desired.place, &desired.raw);
        if agent.is_some_and(|agent| !agent.modules.contains_key(&id)) {
            let problem = format!("the deployment runs no module `{id}`");
            findings.warning(&place.path, entry.key_position, problem);
        }
        twins.insert(id, desired.raw);
    }
    twins
}

/// The name of a module, which is also a key of twins.
fn module_id(findings: &mut Findings, entry: &Entry<'_>, path: &JsonPath) -> Option<ModuleId> {
    let problem = match ModuleId::new(entry.key) {
        Ok(id) if !entry.key.contains(['.', '$', '#']) => return Some(id),
        Ok(_) => format!("`{}` contains a `.`, `$` or `#`", shown(entry.key)),
        Err(error) => error.to_string(),
    };
    let expected = "the name of a module: up to 128 letters, digits, `-` and `_`";
    findings.fault(path, entry.key_position, problem, expected);
    None
}

/// Checks properties against the rules for twins.
fn check_twin(findings: &mut Findings, place: &Place<'_>, properties: &Map<String, Value>) {
    let Err(error) = check_section(properties, SECTION_SIZE_MAX_BYTES) else {
        return;
    };
    let expected = match &error {
        TwinError::Key { .. } => "keys without `.`, `$`, `#`, spaces and control characters".into(),
        TwinError::IntegerOutOfRange { .. } => "a smaller number, or a text".into(),
        TwinError::NullInArray { .. } => "an array without null".into(),
        TwinError::KeyTooLong { limit, .. } | TwinError::TextTooLong { limit, .. } => {
            format!("at most {limit} bytes")
        }
        TwinError::TooDeep { limit, .. } => format!("at most {limit} levels"),
        TwinError::TooLarge { limit_bytes, .. } => format!("at most {limit_bytes} bytes"),
        _ => "what twins can hold".into(),
    };
    let place = located(place, error.path());
    findings.fault(&place.path, place.position(), error.to_string(), expected);
}

/// The place below another that a twin's dotted path leads to, as far as it
/// can be followed.
fn located<'a>(place: &Place<'a>, path: &str) -> Place<'a> {
    let Content::Object(members) = &place.node.content else {
        return place.clone();
    };
    let follow = |key: &str| {
        path.strip_prefix(key)
            .filter(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let found = members
        .iter()
        .filter(|member| !member.key.is_empty() && follow(&member.key).is_some());
    match found.max_by_key(|member| member.key.len()) {
        None => place.clone(),
        Some(member) => {
            let rest = follow(&member.key)
                .unwrap_or_default()
                .trim_start_matches('.');
            let inner = Place {
                node: &member.value,
                path: place.path.key(&member.key),
            };
            located(&inner, rest)
        }
    }
}
