//! The content of a configuration: which desired properties it sets.
//!
//! Owns reading `deviceContent`, `moduleContent` and `modulesContent`, and
//! setting properties by paths. Leaves which content comes to which twin to
//! the plan. Also read by deployments to a single device.
//!
//! Source: Azure IoT Hub, "Automatic device and module management"; Azure IoT
//! Edge, "Understand IoT Edge automatic deployments", layered deployment.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::twin::{DEPTH_MAX, SECTION_SIZE_MAX_BYTES, check_section};

/// What the names of settings begin with.
const DESIRED: &str = "properties.desired";

/// A desired property that is set, or all of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    /// Its names, the outermost first; none: all desired properties.
    pub(crate) path: Vec<String>,
    /// What it is set to; an object where the path has no names.
    pub(crate) value: Value,
}

/// What a configuration sets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    /// Properties of devices.
    Device(Vec<Setting>),
    /// Properties of modules.
    Module(Vec<Setting>),
    /// Properties of all modules of a device that runs modules: a deployment.
    Edge {
        modules: BTreeMap<ModuleId, Vec<Setting>>,
        /// Whether it says all about `$edgeAgent`, so that others can be layered on it.
        is_base: bool,
    },
}

impl Content {
    /// Reads an object with one of the three kinds of content; the error says what is wrong.
    pub(crate) fn parse(content: &Map<String, Value>) -> Result<Self, String> {
        let kinds = ["deviceContent", "moduleContent", "modulesContent"];
        let mut found = kinds
            .into_iter()
            .filter_map(|kind| match content.get(kind) {
                None | Some(Value::Null) => None,
                Some(value) => Some((kind, value)),
            });
        let (Some((kind, value)), None) = (found.next(), found.next()) else {
            let expected = "exactly one of `deviceContent`, `moduleContent` and `modulesContent`";
            return Err(format!("`content` has to have {expected}"));
        };
        let members = value
            .as_object()
            .ok_or_else(|| format!("`{kind}` is not an object"))?;
        if members.is_empty() {
            return Err(format!("`{kind}` is empty: it would change nothing"));
        }
        match kind {
            "deviceContent" => settings(kind, members).and_then(checked).map(Self::Device),
            "moduleContent" => settings(kind, members).and_then(checked).map(Self::Module),
            _ => Self::edge(kind, members),
        }
    }

    fn edge(kind: &str, members: &Map<String, Value>) -> Result<Self, String> {
        let mut modules = modules(kind, members)?;
        for settings in modules.values_mut() {
            *settings = checked(std::mem::take(settings))?;
        }
        let agent = modules.get(&ModuleId::edge_agent());
        let is_base =
            agent.is_some_and(|settings| settings.iter().any(|setting| setting.path.is_empty()));
        let system = agent.into_iter().flatten().find(|setting| {
            setting
                .path
                .first()
                .is_some_and(|name| name == "systemModules")
        });
        if let (Some(setting), false) = (system, is_base) {
            return Err(format!(
                "`{kind}['$edgeAgent']['{DESIRED}.{}']`: a layered deployment cannot change `systemModules`",
                setting.path.join(".")
            ));
        }
        Ok(Self::Edge { modules, is_base })
    }

    /// The key under which the content stands.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Device(_) => "deviceContent",
            Self::Module(_) => "moduleContent",
            Self::Edge { .. } => "modulesContent",
        }
    }
}

/// The settings of each module of a `modulesContent`.
pub(crate) fn modules(
    kind: &str,
    members: &Map<String, Value>,
) -> Result<BTreeMap<ModuleId, Vec<Setting>>, String> {
    let mut modules = BTreeMap::new();
    for (name, content) in members {
        let module = ModuleId::new(name)
            .map_err(|err| format!("`{kind}` names the module `{name}`: {err}"))?;
        let place = format!("{kind}['{name}']");
        let content = content
            .as_object()
            .ok_or_else(|| format!("`{place}` is not an object"))?;
        modules.insert(module, settings(&place, content)?);
    }
    Ok(modules)
}

/// The settings of one twin: those under `properties.desired`, which come first, and those that are
/// given one by one under `properties.desired.a.b`, outer ones before inner ones.
fn settings(place: &str, content: &Map<String, Value>) -> Result<Vec<Setting>, String> {
    let mut settings = Vec::new();
    for (key, value) in content {
        let place = format!("`{place}['{key}']`");
        let Some(path) = path(key) else {
            return Err(format!("{place} is not known: expected `{DESIRED}`"));
        };
        if path.len() > DEPTH_MAX {
            return Err(format!("{place} is deeper than {DEPTH_MAX} levels"));
        }
        if path.is_empty() && !value.is_object() {
            return Err(format!("{place} is not an object"));
        }
        let value = value.clone();
        settings.push(Setting { path, value });
    }
    settings.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(settings)
}

fn path(key: &str) -> Option<Vec<String>> {
    let rest = key.strip_prefix(DESIRED)?;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    let names: Vec<_> = rest
        .strip_prefix('.')?
        .split('.')
        .map(str::to_owned)
        .collect();
    names.iter().all(|name| !name.is_empty()).then_some(names)
}

/// The settings, if a twin could have them.
fn checked(settings: Vec<Setting>) -> Result<Vec<Setting>, String> {
    let mut properties = Map::new();
    for setting in &settings {
        setting.apply(&mut properties);
    }
    check_section(&properties, SECTION_SIZE_MAX_BYTES)
        .map_err(|err| err.within("desired").to_string())?;
    Ok(settings)
}

impl Setting {
    /// The name on the way of the path that has a value which is no object.
    pub(crate) fn obstacle(&self, properties: &Map<String, Value>) -> Option<&str> {
        let (_, outer) = self.path.split_last()?;
        let mut members = properties;
        for name in outer {
            match members.get(name)? {
                Value::Object(inner) => members = inner,
                _ => return Some(name),
            }
        }
        None
    }

    /// Sets the property; what stands in the way of its path gives way, and null deletes.
    pub(crate) fn apply(&self, properties: &mut Map<String, Value>) {
        match self.path.split_last() {
            None => {
                *properties = self.value.as_object().cloned().unwrap_or_default();
            }
            Some((last, outer)) => {
                let mut members = properties;
                for name in outer {
                    let inner = members.entry(name.as_str()).or_insert(Value::Null);
                    if !inner.is_object() {
                        *inner = Value::Object(Map::new());
                    }
                    members = inner
                        .as_object_mut()
                        .expect("it was seen to be an object, or made one");
                }
                match &self.value {
                    Value::Null => drop(members.remove(last)),
                    value => drop(members.insert(last.clone(), value.clone())),
                }
            }
        }
    }
}

/// Removes what is at `path`, and the objects around it that are empty then; without names all.
pub(crate) fn remove(properties: &mut Map<String, Value>, path: &[String]) {
    let Some((name, rest)) = path.split_first() else {
        properties.clear();
        return;
    };
    if rest.is_empty() {
        properties.remove(name);
        return;
    }
    if let Some(Value::Object(inner)) = properties.get_mut(name) {
        remove(inner, rest);
        if inner.is_empty() {
            properties.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[track_caller]
    fn check(content: Value, expected: Result<(&str, bool), &str>) {
        let found = Content::parse(&object(content.clone()));
        let found = found.as_ref().map(|content| {
            let is_base = matches!(content, Content::Edge { is_base: true, .. });
            (content.kind(), is_base)
        });
        assert_eq!(found.map_err(String::as_str), expected, "{content}");
    }

    #[test]
    fn a_content_has_one_kind() {
        check(
            json!({ "deviceContent": { "properties.desired.a": 1 } }),
            Ok(("deviceContent", false)),
        );
        check(
            json!({ "moduleContent": { "properties.desired.a.b": {} }, "deviceContent": null }),
            Ok(("moduleContent", false)),
        );
        let agent = json!({ "$edgeAgent": { "properties.desired": { "schemaVersion": "1.1" } } });
        check(
            json!({ "modulesContent": agent }),
            Ok(("modulesContent", true)),
        );
        let layer = json!({ "$edgeAgent": { "properties.desired.modules.m": {} }, "m": {} });
        check(
            json!({ "modulesContent": layer }),
            Ok(("modulesContent", false)),
        );
        let one = "`content` has to have exactly one of `deviceContent`, `moduleContent` and `modulesContent`";
        check(json!({}), Err(one));
        check(
            json!({ "deviceContent": {}, "moduleContent": {} }),
            Err(one),
        );
        check(
            json!({ "deviceContent": {} }),
            Err("`deviceContent` is empty: it would change nothing"),
        );
        check(
            json!({ "modulesContent": 1 }),
            Err("`modulesContent` is not an object"),
        );
    }

    #[test]
    fn what_no_twin_could_have_is_refused() {
        let desired = |key: &str, value: Value| json!({ "deviceContent": { key: value } });
        check(
            desired("tags.a", json!(1)),
            Err("`deviceContent['tags.a']` is not known: expected `properties.desired`"),
        );
        check(
            desired("properties.desired.a..b", json!(1)),
            Err(
                "`deviceContent['properties.desired.a..b']` is not known: expected `properties.desired`",
            ),
        );
        check(
            desired("properties.desired", json!(1)),
            Err("`deviceContent['properties.desired']` is not an object"),
        );
        check(
            desired("properties.desired.a b", json!(1)),
            Err("the key `desired.a b` contains a space"),
        );
        check(
            desired("properties.desired.a", json!(vec!["x".repeat(4000); 10])),
            Err("`desired` would hold 40001 bytes, more than 32768"),
        );
        let deep = format!("properties.desired{}", ".a".repeat(11));
        let expected = format!("`deviceContent['{deep}']` is deeper than 10 levels");
        check(desired(&deep, json!(1)), Err(&expected));
        let layer = json!({ "$edgeAgent": { "properties.desired.systemModules.edgeHub": {} } });
        let expected = "`modulesContent['$edgeAgent']['properties.desired.systemModules.edgeHub']`: a layered deployment cannot change `systemModules`";
        check(json!({ "modulesContent": layer }), Err(expected));
        let err = Content::parse(&object(json!({ "modulesContent": { "a/b": {} } }))).unwrap_err();
        assert!(
            err.starts_with("`modulesContent` names the module `a/b`: "),
            "{err}"
        );
    }

    #[test]
    fn a_setting_takes_the_place_of_what_is_in_its_way() {
        let check = |before: Value, path: &str, value: Value, expected: Value| {
            let mut properties = object(before);
            let path = super::path(path).unwrap();
            Setting { path, value }.apply(&mut properties);
            assert_eq!(Value::Object(properties), expected);
        };
        let (all, ab) = ("properties.desired", "properties.desired.a.b");
        check(json!({ "x": 1 }), all, json!({ "y": 2 }), json!({ "y": 2 }));
        check(json!({}), ab, json!(1), json!({ "a": { "b": 1 } }));
        check(json!({ "a": 5 }), ab, json!(1), json!({ "a": { "b": 1 } }));
        check(
            json!({ "a": { "b": { "c": 1 }, "d": 2 } }),
            ab,
            json!({ "e": 3 }),
            json!({ "a": { "b": { "e": 3 }, "d": 2 } }),
        );
        check(
            json!({ "a": { "b": 1, "c": 2 } }),
            ab,
            Value::Null,
            json!({ "a": { "c": 2 } }),
        );
    }

    #[test]
    fn what_is_removed_leaves_no_empty_objects() {
        let check = |before: Value, path: &str, expected: Value| {
            let mut properties = object(before);
            remove(&mut properties, &super::path(path).unwrap());
            assert_eq!(Value::Object(properties), expected);
        };
        check(
            json!({ "a": { "b": 1 } }),
            "properties.desired.a.b",
            json!({}),
        );
        check(
            json!({ "a": { "b": { "c": 1 } }, "d": {} }),
            "properties.desired.a.b.c",
            json!({ "d": {} }),
        );
        check(
            json!({ "a": { "b": 1, "c": 2 } }),
            "properties.desired.a.b",
            json!({ "a": { "c": 2 } }),
        );
        check(
            json!({ "a": 1 }),
            "properties.desired.a.b",
            json!({ "a": 1 }),
        );
        check(json!({ "a": 1 }), "properties.desired.b", json!({ "a": 1 }));
        check(json!({ "a": 1 }), "properties.desired", json!({}));
    }
}
