//! Deployments: setting the twins of a device's modules as a manifest says.
//!
//! Owns reading `modulesContent` as far as twins are concerned and the order
//! of writes. Leaves checking what the deployment means to the device, which
//! finds it in the desired properties of `$edgeAgent` and `$edgeHub`.
//!
//! Source: Azure IoT Hub, REST reference, "Apply on edge device".

use serde_json::{Map, Value};
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};

use super::Hub;
use super::configurations::content::{self, Setting};
use super::twins::Same;
use crate::error::HubError;

const MODULES: &str = "modulesContent";

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
            .get(MODULES)
            .and_then(Value::as_object)
            .ok_or_else(|| invalid(format!("`{MODULES}` is missing or not an object")))?;
        let mut parsed = Vec::new();
        for (module, settings) in content::modules(MODULES, modules).map_err(invalid)? {
            let desired = desired(settings).map_err(|(path, step)| {
                let key = [&["properties.desired".to_owned()][..], &path]
                    .concat()
                    .join(".");
                let place = format!("`{MODULES}['{module}']['{key}']`");
                invalid(format!("{place}: `{step}` is not an object"))
            })?;
            parsed.push((module, desired));
        }
        parsed.sort_by_key(|(module, _)| (*module == ModuleId::edge_agent(), module.clone()));
        Ok(Self(parsed))
    }
}

/// The properties that settings make; the error is the path and the step of it that has no place.
fn desired(settings: Vec<Setting>) -> Result<Map<String, Value>, (Vec<String>, String)> {
    let mut desired = Map::new();
    for setting in settings {
        if let Some(step) = setting.obstacle(&desired) {
            let step = step.to_owned();
            return Err((setting.path, step));
        }
        setting.apply(&mut desired);
    }
    Ok(desired)
}

fn invalid(problem: String) -> HubError {
    HubError::InvalidConfiguration { problem }
}

#[cfg(test)]
mod tests;
