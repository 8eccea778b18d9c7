//! What `$edgeAgent` and `$edgeHub` report of the device: pure.
//!
//! Owns the form of both sections, which IoT Edge's tools read. Leaves sending the differences to the reporter.
//!
//! Source: IoT Edge, properties of the IoT Edge agent and hub module twins.

use serde_json::{Map, Value, json};
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::status::{
    DeploymentCode, DeploymentStatus, ModuleStatus, ModuleStatusSettings, REPORTED_SCHEMA_VERSION,
    RuntimeStatus,
};
use wasm_edge_model::time::Timestamp;

use crate::supervisor::report::ModuleReport;

/// The longest description in a report, in characters: a text in a twin has at most 4 KiB.
const DESCRIPTION_MAX_CHARS: usize = 1000;

/// What is said when the agent ends.
const NOT_RUNNING: &str = "Agent is not running";

/// What the agent tells of the deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// The version of `$edgeAgent`'s desired properties that this is about.
    pub(super) agent_version: u64,
    /// The same of `$edgeHub`.
    pub(super) hub_version: u64,
    /// How it went; none as long as nothing was looked at.
    pub(super) status: Option<DeploymentStatus>,
    /// The desired properties of `$edgeAgent` that are in force.
    pub(super) agent: Map<String, Value>,
    /// Counts changes of which modules there are.
    pub(super) changes: u64,
}

/// How much of it is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All.
    Full,
    /// Without `createOptions` and `env`, and without the times of clients.
    Less,
    /// How the deployment went and nothing else.
    Least,
}

/// Whether the agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Running {
    /// It does.
    Yes,
    /// It ends now.
    Ends,
}

/// The status of a deployment with a description that fits into a twin.
pub(super) fn status(code: DeploymentCode, reasons: &[String]) -> DeploymentStatus {
    DeploymentStatus {
        code,
        description: cut(&reasons.join("; ")),
    }
}

/// The reported properties of `$edgeAgent`.
pub(super) fn agent(
    outcome: &Outcome,
    modules: &[ModuleReport],
    started: Timestamp,
    running: Running,
    extent: Extent,
) -> Map<String, Value> {
    let mut reported = common(outcome.agent_version, outcome, running);
    if extent == Extent::Least {
        let failed = status(
            DeploymentCode::Failed,
            &["the whole report is larger than a twin may be".to_owned()],
        );
        reported.insert("lastDesiredStatus".to_owned(), json!(failed));
        return reported;
    }
    reported.insert("runtime".to_owned(), runtime(&outcome.agent));
    reported.insert(
        "systemModules".to_owned(),
        system_modules(&outcome.agent, started, running),
    );
    let modules: Map<String, Value> = modules
        .iter()
        .map(|report| {
            (
                report.module().to_string(),
                module(report, &outcome.agent, running, extent),
            )
        })
        .collect();
    reported.insert("modules".to_owned(), Value::Object(modules));
    reported
}

/// The reported properties of `$edgeHub`. A module is its client while an instance of it runs.
pub(super) fn hub(
    device: &DeviceId,
    outcome: &Outcome,
    modules: &[ModuleReport],
    running: Running,
    extent: Extent,
) -> Map<String, Value> {
    let mut reported = common(outcome.hub_version, outcome, running);
    if extent == Extent::Least {
        return reported;
    }
    let clients: Map<String, Value> = modules
        .iter()
        .map(|report| {
            let connected = running == Running::Yes && report.has_instance();
            let mut client = json!({
                "status": if connected { "Connected" } else { "Disconnected" },
            });
            if extent == Extent::Full {
                let time = |time: Option<Timestamp>| json!(time.unwrap_or(Timestamp::UNSET));
                client["lastConnectedTimeUtc"] = time(report.last_start_time);
                client["lastDisconnectedTimeUtc"] = time(report.last_exit_time);
            }
            (client_key(device, report.module()), client)
        })
        .collect();
    reported.insert("clients".to_owned(), Value::Object(clients));
    reported
}

fn common(version: u64, outcome: &Outcome, running: Running) -> Map<String, Value> {
    let unknown = DeploymentStatus {
        code: DeploymentCode::Unknown,
        description: NOT_RUNNING.to_owned(),
    };
    let status = match running {
        Running::Yes => outcome.status.clone().unwrap_or(unknown),
        Running::Ends => unknown,
    };
    let mut reported = Map::new();
    reported.insert(
        "schemaVersion".to_owned(),
        Value::from(REPORTED_SCHEMA_VERSION),
    );
    reported.insert(
        "version".to_owned(),
        json!({ "version": env!("CARGO_PKG_VERSION"), "build": "", "commit": "" }),
    );
    reported.insert("lastDesiredVersion".to_owned(), Value::from(version));
    reported.insert("lastDesiredStatus".to_owned(), json!(status));
    reported
}

/// The runtime as it was asked for, without the passwords of registries.
fn runtime(agent: &Map<String, Value>) -> Value {
    let asked = agent.get("runtime");
    let kind = asked.and_then(|runtime| runtime.get("type"));
    let settings = asked.and_then(|runtime| runtime.get("settings"));
    let mut settings = settings
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    settings.remove("registryCredentials");
    json!({
        "type": kind.and_then(Value::as_str).unwrap_or("docker"),
        "platform": {
            "os": std::env::consts::OS,
            "architecture": std::env::consts::ARCH,
            "version": env!("CARGO_PKG_VERSION"),
        },
        "settings": settings,
    })
}

/// Agent and hub are in this process: they run as long as it does.
fn system_modules(agent: &Map<String, Value>, started: Timestamp, running: Running) -> Value {
    let asked = |name: &str, key: &str| {
        let module = agent.get("systemModules").and_then(|all| all.get(name));
        module.and_then(|module| module.get(key)).cloned()
    };
    let common = |name: &str| {
        let image = asked(name, "settings").and_then(|settings| settings.get("image").cloned());
        let mut settings = Map::new();
        settings.extend(image.map(|image| ("image".to_owned(), image)));
        let runtime_status = runtime_status(RuntimeStatus::Running, running);
        json!({
            "type": asked(name, "type").unwrap_or_else(|| Value::from("docker")),
            "exitCode": 0,
            "statusDescription": runtime_status.to_string(),
            "lastStartTimeUtc": started,
            "lastExitTimeUtc": Timestamp::UNSET,
            "runtimeStatus": runtime_status,
            "imagePullPolicy": asked(name, "imagePullPolicy").unwrap_or_else(|| Value::from("on-create")),
            "settings": settings,
            "env": {},
        })
    };
    let mut hub = common("edgeHub");
    hub["status"] = Value::from("running");
    hub["restartPolicy"] = Value::from("always");
    hub["startupOrder"] = Value::from(0);
    hub["restartCount"] = Value::from(0);
    hub["lastRestartTimeUtc"] = json!(Timestamp::UNSET);
    json!({ "edgeAgent": common("edgeAgent"), "edgeHub": hub })
}

fn module(
    report: &ModuleReport,
    agent: &Map<String, Value>,
    running: Running,
    extent: Extent,
) -> Value {
    let spec = &report.spec;
    let unset = |time: Option<Timestamp>| time.unwrap_or(Timestamp::UNSET);
    let env = spec.env.iter().map(|(name, value)| {
        let value = json!({ "value": cut(value) });
        (name.clone(), value)
    });
    let description = match (running, spec.warnings.as_slice()) {
        (Running::Ends, _) | (_, []) => report.status_description.clone(),
        (Running::Yes, warnings) => {
            format!(
                "{} (warnings: {})",
                report.status_description,
                warnings.join("; ")
            )
        }
    };
    let status = ModuleStatus {
        module_type: spec.module_type.to_string(),
        status: spec.status,
        restart_policy: spec.restart_policy,
        image_pull_policy: spec.pull_policy,
        version: cut(&spec.version),
        env: match extent {
            Extent::Full => env.collect(),
            Extent::Less | Extent::Least => Map::new(),
        },
        settings: ModuleStatusSettings {
            image: cut(&spec.image.to_string()),
            image_hash: Some(report.image_digest.clone()),
        },
        runtime_status: runtime_status(report.status, running),
        exit_code: report.exit_code.map_or(0, i64::from),
        status_description: cut(&description),
        last_start_time_utc: unset(report.last_start_time),
        last_exit_time_utc: unset(report.last_exit_time),
        restart_count: u32::try_from(report.restart_count).unwrap_or(u32::MAX),
        last_restart_time_utc: unset(report.last_restart_time),
    };
    let mut reported = serde_json::to_value(status).expect("a status always becomes JSON");
    reported["startupOrder"] = Value::from(spec.startup_order);
    if extent == Extent::Full {
        let settings = agent
            .get("modules")
            .and_then(|modules| modules.get(spec.id.as_str()))
            .and_then(|module| module.get("settings"))
            .and_then(Value::as_object);
        let options = settings.into_iter().flatten();
        for (key, value) in options.filter(|(key, _)| key.starts_with("createOptions")) {
            reported["settings"][key] = value.clone();
        }
    }
    reported
}

fn runtime_status(status: RuntimeStatus, running: Running) -> RuntimeStatus {
    match running {
        Running::Yes => status,
        Running::Ends => RuntimeStatus::Unknown,
    }
}

/// `device/module` with what a key of a twin may not hold encoded.
fn client_key(device: &DeviceId, module: &ModuleId) -> String {
    format!("{device}/{module}")
        .replace('.', "%2E")
        .replace('$', "%24")
        .replace(' ', "%20")
}

fn cut(text: &str) -> String {
    text.chars().take(DESCRIPTION_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests;
