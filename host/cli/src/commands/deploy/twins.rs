//! A device's deployment as the twins at its hub have it, where the device itself is not at hand.
//!
//! What became of a deployment is what `$edgeAgent` reported of it, as devices of IoT Edge do.

use serde_json::{Map, Value, json};
use wasm_edge_daemon::deployment::shown::blank_agent;
use wasm_edge_model::identity::{DeviceId, ModuleId};

use super::super::running::Running;
use super::{Deployments, State};
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure;

/// The codes of `lastDesiredStatus`: all is well, and nothing is known.
const CODE_OK: u64 = 200;
const CODE_UNKNOWN: u64 = 406;
/// The code of a deployment that has no fault and could not be applied.
pub(super) const CODE_FAILED: u64 = 500;

/// Where the device is with its deployment.
pub(super) async fn state(running: &Running, device: &DeviceId) -> anyhow::Result<State> {
    let agent = twin(running, device, ModuleId::edge_agent().as_str()).await?;
    let hub = twin(running, device, ModuleId::edge_hub().as_str()).await?;
    Ok(state_of(&agent, &hub))
}

/// The deployment as a manifest, with passwords blanked, and what the device reported of it.
pub(super) async fn deployments(
    running: &Running,
    device: &DeviceId,
) -> anyhow::Result<Deployments> {
    let agent = twin(running, device, ModuleId::edge_agent().as_str()).await?;
    let hub = twin(running, device, ModuleId::edge_hub().as_str()).await?;
    let mut content = Map::new();
    let mut add = |module: &str, twin: &Value| {
        let mut desired = desired(twin);
        if module == "$edgeAgent" {
            blank_agent(&mut desired);
        }
        content.insert(module.to_owned(), json!({ "properties.desired": desired }));
    };
    add("$edgeAgent", &agent);
    add("$edgeHub", &hub);
    let modules = agent["properties"]["desired"]["modules"].as_object();
    for module in modules.into_iter().flat_map(Map::keys) {
        // One that has no identity yet has no twin; the device makes it.
        match twin(running, device, module).await {
            Ok(twin) if desired(&twin).is_empty() => {}
            Ok(twin) => add(module, &twin),
            Err(err) if failure::exit_status(&err) == ExitStatus::NotFound => {}
            Err(err) => return Err(err),
        }
    }
    let is_set = !desired(&agent).is_empty();
    Ok(Deployments {
        state: state_of(&agent, &hub),
        deployment: match is_set {
            true => json!({ "modulesContent": content }),
            false => Value::Null,
        },
        last_good: Value::Null,
    })
}

async fn twin(running: &Running, device: &DeviceId, module: &str) -> anyhow::Result<Value> {
    running
        .get(&Target::twin(device.as_str(), Some(module)))
        .await
}

fn state_of(agent: &Value, hub: &Value) -> State {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let reported = |twin: &Value| number(&twin["properties"]["reported"]["lastDesiredVersion"]);
    let wanted = number(&agent["properties"]["desired"]["$version"]);
    let status = &agent["properties"]["reported"]["lastDesiredStatus"];
    let code = number(&status["code"]);
    let is_told = reported(agent) >= wanted && reported(agent) > 0;
    let phase = match code {
        _ if desired(agent).is_empty() => "none",
        CODE_OK if is_told => "applied",
        0 | CODE_UNKNOWN => "unknown",
        _ if is_told => "refused",
        _ => "preparing",
    };
    let description = status["description"].as_str().unwrap_or_default();
    State {
        phase: phase.to_owned(),
        code: Some(code),
        reasons: match description {
            "" => Vec::new(),
            text => vec![text.to_owned()],
        },
        agent_version: reported(agent),
        hub_version: reported(hub),
        settled: matches!(phase, "applied" | "refused"),
    }
}

/// The desired properties without what the hub adds.
fn desired(twin: &Value) -> Map<String, Value> {
    let desired = twin["properties"]["desired"].as_object();
    let mut desired = desired.cloned().unwrap_or_default();
    desired.retain(|name, _| !name.starts_with('$'));
    desired
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: u64, reported: Value, expected: &str, settled: bool) {
        let agent = json!({ "properties": {
            "desired": { "schemaVersion": "1.1", "$version": wanted }, "reported": reported,
        } });
        let hub = json!({ "properties": { "reported": { "lastDesiredVersion": 2 } } });
        let state = state_of(&agent, &hub);
        assert_eq!(
            (state.phase.as_str(), state.settled),
            (expected, settled),
            "{reported}"
        );
        assert_eq!(state.hub_version, 2);
    }

    #[test]
    fn what_the_agent_reported_is_the_state() {
        let told = |version: u64, code: u64| {
            json!({
                "lastDesiredVersion": version,
                "lastDesiredStatus": { "code": code, "description": "why" },
            })
        };
        check(4, told(4, 200), "applied", true);
        check(4, told(3, 200), "preparing", false);
        check(4, told(4, 400), "refused", true);
        check(4, told(4, 500), "refused", true);
        check(4, told(4, 406), "unknown", false);
        check(4, json!({}), "unknown", false);
        let nothing = state_of(&json!({}), &json!({}));
        assert_eq!((nothing.phase.as_str(), nothing.settled), ("none", false));
    }
}
