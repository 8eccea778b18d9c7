//! The service side of a hub on the network, over its control socket: devices, deployments, twins, methods, telemetry.

use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::hub::HubServe;
use crate::management;
use crate::run::Telemetry;
use crate::wait;

impl HubServe<'_> {
    /// Makes a device that may run modules; answers its connection string.
    ///
    /// # Panics
    /// When it is refused.
    pub fn make_device(&self, device: &str) -> String {
        self.verb(&["hub", "device", "create", device, "--edge"])
            .ok();
        let told = self.verb(&["hub", "connection-string", device]).ok();
        told.stdout.trim().to_owned()
    }

    /// Makes a device that may run modules and shows who it is in this way, in the form of the identity registry.
    ///
    /// # Panics
    /// When it is refused.
    pub fn make_device_with(&self, device: &str, authentication: &Value) {
        let body = json!({ "authentication": authentication, "capabilities": { "iotEdge": true } });
        let answer = self.ask("PUT", &format!("/devices/{device}"), Some(&body));
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Gives a device its deployment.
    ///
    /// # Panics
    /// When it is refused.
    pub fn apply(&self, device: &str, deployment: &Deployment) {
        let path = format!("/devices/{device}/applyConfigurationContent");
        let answer = self.ask("POST", &path, Some(&deployment.json()));
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// Calls a direct method of a module; answers status and payload.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn call(
        &self,
        device: &str,
        module: &str,
        method: &str,
        payload: &Value,
    ) -> (Value, Value) {
        management::call(&self.data(), device, module, method, payload)
    }

    /// The twin of a module.
    ///
    /// # Panics
    /// When there is none.
    pub fn twin(&self, device: &str, module: &str) -> Value {
        self.get(&format!("/twins/{device}/modules/{module}"))
    }

    /// Changes the desired properties of a module; answers the new twin.
    ///
    /// # Panics
    /// When it is refused.
    pub fn patch(&self, device: &str, module: &str, desired: &Value) -> Value {
        let body = json!({ "properties": { "desired": desired } });
        let path = format!("/twins/{device}/modules/{module}");
        let answer = self.ask("PATCH", &path, Some(&body));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Waits until the twin of a module is so; one that is not there is not.
    ///
    /// # Panics
    /// When it does not become so.
    pub fn wait_twin(
        &self,
        device: &str,
        module: &str,
        mut is_so: impl FnMut(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let path = format!("/twins/{device}/modules/{module}");
        let what = format!("the twin of `{device}/{module}` to be so");
        let found = wait::try_until(|| {
            let answer = self.ask("GET", &path, None);
            last = answer.body;
            (answer.status == 200 && is_so(&last)).then(|| last.clone())
        });
        found.unwrap_or_else(|| panic!("waited in vain: {what}\n{last:#}"))
    }

    /// Waits until a reported property of a module, by its JSON pointer, is this one; answers the twin.
    ///
    /// # Panics
    /// When it does not become so.
    pub fn wait_reported(&self, device: &str, module: &str, pointer: &str, value: &Value) -> Value {
        self.wait_twin(device, module, |twin| {
            twin["properties"]["reported"].pointer(pointer) == Some(value)
        })
    }

    /// Waits until a device has taken the deployment that its hub has now, and all its modules run.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_deployed(&self, device: &str) {
        self.wait_twin(device, "$edgeAgent", |twin| {
            let (desired, reported) = (
                &twin["properties"]["desired"],
                &twin["properties"]["reported"],
            );
            let wanted = desired["modules"].as_object();
            let runs = |name: &String| {
                let status = &desired["modules"][name]["status"];
                let status = status.as_str().unwrap_or("running");
                reported["modules"][name]["runtimeStatus"] == status
            };
            reported["lastDesiredVersion"] == desired["$version"]
                && reported["lastDesiredStatus"]["code"] == 200
                && wanted.is_none_or(|wanted| wanted.keys().all(runs))
        });
    }

    /// The messages that arrive, from the first that is kept on.
    pub fn telemetry(&self) -> Telemetry {
        Telemetry::open(&self.data(), "/wasm-edge/v1/telemetry?from=earliest")
    }
}
