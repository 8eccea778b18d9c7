use std::sync::Arc;

use wasm_edge_model::manifest::{Manifest, Origin};
use wasm_edge_runtime::instance::Gauges;

use super::*;

const STARTED: &str = "2026-01-02T03:04:05Z";

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn agent_desired() -> Map<String, Value> {
    let agent = json!({
        "schemaVersion": "1.1",
        "runtime": { "type": "docker", "settings": {
            "minDockerVersion": "v1.25",
            "registryCredentials": { "r": { "address": "a", "username": "u", "password": "p" } },
        } },
        "systemModules": {
            "edgeAgent": { "type": "docker", "settings": { "image": "i/agent:1", "createOptions": "{}" } },
            "edgeHub": { "type": "docker", "settings": { "image": "i/hub:1" } },
        },
        "modules": { "m": {
            "type": "docker", "version": "1.0", "status": "running", "restartPolicy": "always",
            "startupOrder": 3, "settings": { "image": "r/m:1", "createOptions": "{\"Env\":[]}" },
            "env": { "K": { "value": "v" } },
        } },
    });
    agent.as_object().expect("an object").clone()
}

fn reports() -> Vec<ModuleReport> {
    let text =
        json!({ "modulesContent": { "$edgeAgent": { "properties.desired": agent_desired() } } });
    let manifest = Manifest::check(&text.to_string(), Origin::Hub)
        .expect("valid")
        .value;
    let specs = manifest.modules.into_values();
    specs
        .map(|spec| ModuleReport {
            device: "d.1".parse().expect("valid"),
            spec: Arc::new(spec),
            image_digest: "sha256:1".to_owned(),
            component_digest: "sha256:2".to_owned(),
            takes_messages: true,
            status: RuntimeStatus::Backoff,
            status_description: "trapped".to_owned(),
            ready: false,
            restart_count: 2,
            exit_code: Some(1),
            last_start_time: Some(time("2026-01-02T03:05:00Z")),
            last_exit_time: Some(time("2026-01-02T03:06:00Z")),
            last_exit_reason: None,
            last_restart_time: Some(time("2026-01-02T03:05:00Z")),
            gauges: Arc::new(Gauges::default()),
            runs: crate::supervisor::report::Runs::default(),
        })
        .collect()
}

fn outcome() -> Outcome {
    Outcome {
        agent_version: 4,
        hub_version: 2,
        status: Some(status(DeploymentCode::Applied, &[])),
        agent: agent_desired(),
        changes: 1,
    }
}

#[test]
fn the_agent_reports_in_the_documented_form() {
    let reported = agent(
        &outcome(),
        &reports(),
        time(STARTED),
        Running::Yes,
        Extent::Full,
    );
    let expected = json!({
        "schemaVersion": "1.0",
        "version": { "version": env!("CARGO_PKG_VERSION"), "build": "", "commit": "" },
        "lastDesiredVersion": 4,
        "lastDesiredStatus": { "code": 200, "description": "" },
        "runtime": {
            "type": "docker",
            "platform": {
                "os": std::env::consts::OS, "architecture": std::env::consts::ARCH,
                "version": env!("CARGO_PKG_VERSION"),
            },
            "settings": { "minDockerVersion": "v1.25" },
        },
        "systemModules": {
            "edgeAgent": {
                "type": "docker", "exitCode": 0, "statusDescription": "running",
                "lastStartTimeUtc": "2026-01-02T03:04:05.0000000Z",
                "lastExitTimeUtc": "0001-01-01T00:00:00.0000000Z",
                "runtimeStatus": "running", "imagePullPolicy": "on-create",
                "settings": { "image": "i/agent:1" }, "env": {},
            },
            "edgeHub": {
                "type": "docker", "status": "running", "restartPolicy": "always", "startupOrder": 0,
                "exitCode": 0, "statusDescription": "running",
                "lastStartTimeUtc": "2026-01-02T03:04:05.0000000Z",
                "lastExitTimeUtc": "0001-01-01T00:00:00.0000000Z",
                "restartCount": 0, "lastRestartTimeUtc": "0001-01-01T00:00:00.0000000Z",
                "runtimeStatus": "running", "imagePullPolicy": "on-create",
                "settings": { "image": "i/hub:1" }, "env": {},
            },
        },
        "modules": { "m": {
            "type": "docker", "status": "running", "restartPolicy": "always", "imagePullPolicy": "on-create",
            "version": "1.0", "startupOrder": 3, "env": { "K": { "value": "v" } },
            "settings": { "image": "r/m:1", "imageHash": "sha256:1", "createOptions": "{\"Env\":[]}" },
            "runtimeStatus": "backoff", "exitCode": 1, "statusDescription": "trapped",
            "lastStartTimeUtc": "2026-01-02T03:05:00.0000000Z",
            "lastExitTimeUtc": "2026-01-02T03:06:00.0000000Z",
            "restartCount": 2, "lastRestartTimeUtc": "2026-01-02T03:05:00.0000000Z",
        } },
    });
    assert_eq!(Value::Object(reported), expected);
}

#[test]
fn the_hub_reports_each_module_as_a_client() {
    let device = "d.1".parse().expect("valid");
    let reported = hub(&device, &outcome(), &reports(), Running::Yes, Extent::Full);
    assert_eq!(reported["lastDesiredVersion"], 2);
    let expected = json!({ "d%2E1/m": {
        "status": "Disconnected",
        "lastConnectedTimeUtc": "2026-01-02T03:05:00.0000000Z",
        "lastDisconnectedTimeUtc": "2026-01-02T03:06:00.0000000Z",
    } });
    assert_eq!(reported["clients"], expected);
}

#[test]
fn an_agent_that_ends_knows_nothing_of_its_modules_any_more() {
    let reported = agent(
        &outcome(),
        &reports(),
        time(STARTED),
        Running::Ends,
        Extent::Full,
    );
    let expected = json!({ "code": 406, "description": "Agent is not running" });
    assert_eq!(reported["lastDesiredStatus"], expected);
    for pointer in [
        "/modules/m",
        "/systemModules/edgeAgent",
        "/systemModules/edgeHub",
    ] {
        let reported = Value::Object(reported.clone());
        let status = reported.pointer(&format!("{pointer}/runtimeStatus"));
        assert_eq!(status, Some(&json!("unknown")), "{pointer}");
    }
}

#[test]
fn smaller_reports_say_less_and_no_secret_is_in_any() {
    let of = |extent| {
        let reported = agent(&outcome(), &reports(), time(STARTED), Running::Yes, extent);
        Value::Object(reported)
    };
    let less = of(Extent::Less);
    assert_eq!(less["modules"]["m"]["settings"].get("createOptions"), None);
    assert_eq!(less["modules"]["m"]["env"], json!({}));
    let least = of(Extent::Least);
    assert_eq!(least.get("modules"), None);
    assert_eq!(least["lastDesiredStatus"]["code"], 500);
    for reported in [of(Extent::Full), less, least] {
        assert!(!reported.to_string().contains("password"), "{reported}");
    }
}

#[test]
fn fifty_clients_with_the_longest_names_fit_into_the_twin_of_the_hub() {
    let some = reports().remove(0);
    let device = DeviceId::new(&"d-".repeat(64)).expect("the longest");
    let modules: Vec<ModuleReport> = (0..50)
        .map(|number| {
            let mut report = some.clone();
            let mut spec = (*report.spec).clone();
            spec.id =
                ModuleId::new(&format!("{number:02}{}", "m.".repeat(63))).expect("the longest");
            report.spec = Arc::new(spec);
            report.status = RuntimeStatus::Unhealthy;
            report
        })
        .collect();
    let reported = hub(&device, &outcome(), &modules, Running::Yes, Extent::Full);
    let clients = reported["clients"].as_object().expect("an object");
    assert_eq!(clients.len(), modules.len());
    // One whose health check fails runs nonetheless.
    assert!(
        clients
            .values()
            .all(|client| client["status"] == "Connected")
    );
    assert!(Value::from(reported).to_string().len() < 32 * 1024);
    // What does not fit all the same goes without the times.
    let less = hub(&device, &outcome(), &modules, Running::Yes, Extent::Less);
    let mut clients = less["clients"].as_object().expect("an object").values();
    assert!(clients.all(|client| *client == json!({ "status": "Connected" })));
}
