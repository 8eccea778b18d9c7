//! Deployments: setting the twins of a device's modules as a manifest says.
//!
//! Owns reading `modulesContent` as far as twins are concerned and the order
//! of writes. Leaves checking what the deployment means to the device, which
//! finds it in the desired properties of `$edgeAgent` and `$edgeHub`.
//!
//! Source: Azure IoT Hub, REST reference, "Apply on edge device".

use serde_json::{Map, Value};
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};
use wasm_edge_model::twin::DEPTH_MAX;

use super::Hub;
use super::twins::Same;
use crate::error::HubError;

const DESIRED: &str = "properties.desired";

/// The desired properties that a deployment gives its modules, in the order in which they are set.
#[derive(Debug, PartialEq)]
struct Configuration(Vec<(ModuleId, Map<String, Value>)>);

impl Hub {
    /// Makes the modules of a deployment and replaces their desired properties by the given ones.
    ///
    /// `content` is the deployment manifest, an object with `modulesContent`.
    /// A module that is not named is left alone, and so is one whose desired
    /// properties are as given already: after a crash in between, applying a
    /// content again completes the rest. The agent's properties come last,
    /// when what they refer to is in place, and get a new version each time:
    /// whoever applies a content again wants the device to try it again.
    ///
    /// # Errors
    /// [`HubError::InvalidConfiguration`] with nothing changed;
    /// [`HubError::NotFound`] without the device, [`HubError::TooManyModules`],
    /// [`HubError::Twin`], [`HubError::Store`] and its kin, with some modules
    /// changed.
    pub async fn apply_configuration(
        &self,
        device: &DeviceId,
        content: &Map<String, Value>,
    ) -> Result<(), HubError> {
        let configuration = Configuration::parse(content)?;
        // Without the device nothing must be made.
        self.identity(&TwinOwner::Device(device.clone())).await?;
        for (module, desired) in configuration.0 {
            let module = ModuleIdentity {
                device: device.clone(),
                module,
            };
            self.ensure_module(&module).await?;
            let same = if module.module == ModuleId::edge_agent() {
                Same::NewVersion
            } else {
                Same::LeftAlone
            };
            self.set_desired(&TwinOwner::Module(module), &desired, same)
                .await?;
        }
        Ok(())
    }
}

impl Configuration {
    fn parse(content: &Map<String, Value>) -> Result<Self, HubError> {
        let modules = content
            .get("modulesContent")
            .and_then(Value::as_object)
            .ok_or_else(|| invalid("`modulesContent` is missing or not an object".to_owned()))?;
        let mut parsed = Vec::new();
        for (name, content) in modules {
            let module = ModuleId::new(name).map_err(|err| {
                invalid(format!("`modulesContent` names the module `{name}`: {err}"))
            })?;
            let content = content
                .as_object()
                .ok_or_else(|| invalid(format!("`modulesContent['{name}']` is not an object")))?;
            parsed.push((module, desired(name, content)?));
        }
        parsed.sort_by_key(|(module, _)| (*module == ModuleId::edge_agent(), module.clone()));
        Ok(Self(parsed))
    }
}

/// The desired properties: those under `properties.desired`, and those that are given one by one
/// under `properties.desired.a.b`, as layered deployments do.
fn desired(module: &str, content: &Map<String, Value>) -> Result<Map<String, Value>, HubError> {
    let place = |key: &str| format!("`modulesContent['{module}']['{key}']`");
    let mut desired = match content.get(DESIRED) {
        None => Map::new(),
        Some(Value::Object(members)) => members.clone(),
        Some(_) => return Err(invalid(format!("{} is not an object", place(DESIRED)))),
    };
    for (key, value) in content.iter().filter(|(key, _)| *key != DESIRED) {
        let path = key
            .strip_prefix(DESIRED)
            .and_then(|rest| rest.strip_prefix('.'));
        let Some(path) = path.filter(|path| path.split('.').all(|step| !step.is_empty())) else {
            let problem = format!("{} is not known: expected `{DESIRED}`", place(key));
            return Err(invalid(problem));
        };
        if path.split('.').count() > DEPTH_MAX {
            let problem = format!("{} is deeper than {DEPTH_MAX} levels", place(key));
            return Err(invalid(problem));
        }
        insert(&mut desired, path, value.clone())
            .map_err(|step| invalid(format!("{}: `{step}` is not an object", place(key))))?;
    }
    Ok(desired)
}

/// Sets the value at `path`; the error is the step that is in the way.
fn insert<'a>(
    members: &mut Map<String, Value>,
    path: &'a str,
    value: Value,
) -> Result<(), &'a str> {
    let Some((step, rest)) = path.split_once('.') else {
        members.insert(path.to_owned(), value);
        return Ok(());
    };
    let inner = members
        .entry(step)
        .or_insert_with(|| Value::Object(Map::new()));
    insert(inner.as_object_mut().ok_or(step)?, rest, value)
}

fn invalid(problem: String) -> HubError {
    HubError::InvalidConfiguration { problem }
}

#[cfg(test)]
mod tests;
