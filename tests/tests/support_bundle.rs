//! The support bundle: what somebody needs who is asked for help, and no secret.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{DEVICE, Run};
use zip::ZipArchive;

const PASSWORD: &str = "registry-pässword-4711";
const ENVIRONMENT: &str = "environment-secret-4712";
const OPTION: &str = "option-secret-4713";
const ARGUMENT: &str = "argument-secret-4714";
const BODY: &str = "body-secret-4715";
const IN_TWIN: &str = "twin-secret-4716";
const SIGNATURE: &str = "c2lnbmF0dXJlNDcxNw";

/// The files of a bundle by name.
fn unpacked(path: &Path) -> BTreeMap<String, String> {
    let mut zip = ZipArchive::new(File::open(path).expect("the bundle")).expect("a zip");
    let mut files = BTreeMap::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).expect("a file");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("text");
        let name = file.name().expect("a name").into_owned();
        files.insert(name, text);
    }
    files
}

fn json_in(files: &BTreeMap<String, String>, name: &str) -> Value {
    let text = files
        .get(name)
        .unwrap_or_else(|| panic!("no `{name}` in {:?}", files.keys()));
    serde_json::from_str(text).expect("JSON")
}

/// A deployment with a secret in every place that may hold one. Its module logs what it should not.
fn manifest(home: &Home) -> std::path::PathBuf {
    let modules = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("reject-on"))
        .module(
            Module::guest("chatter")
                .env("TOKEN_OF_SOMETHING", ENVIRONMENT)
                .env("MODE", "plain-setting-4718")
                .wasm("args", json!([format!("--password={ARGUMENT}")]))
                .desired(json!({ "password": IN_TWIN, "threshold": 12 })),
        )
        .module(Module::guest("whoami"))
        .pass("feed/out", "reject-on/in");
    let mut manifest = modules.json();
    let agent = &mut manifest["modulesContent"]["$edgeAgent"]["properties.desired"];
    agent["runtime"] = json!({ "type": "docker", "settings": { "registryCredentials": {
        "factory": { "address": "registry.example.com", "username": "device", "password": PASSWORD },
    } } });
    let whoami = &mut agent["modules"]["whoami"];
    whoami["type"] = json!("docker");
    whoami["settings"]["createOptions"] =
        json!(json!({ "Env": [format!("X={OPTION}")] }).to_string());
    whoami["settings"]
        .as_object_mut()
        .expect("an object")
        .remove("wasm");
    home.write("deployment.json", manifest.to_string())
}

/// All keys and tokens that lie in the hub and on the device.
fn keys(home: &Home, run: &Run) -> Vec<String> {
    let mut keys = Vec::new();
    for path in [
        format!("/devices/{DEVICE}"),
        format!("/devices/{DEVICE}/modules/chatter"),
        format!("/devices/{DEVICE}/modules/%24edgeAgent"),
    ] {
        let symmetric = run.get(&path)["authentication"]["symmetricKey"].clone();
        for key in ["primaryKey", "secondaryKey"] {
            keys.push(symmetric[key].as_str().expect("a key").to_owned());
        }
    }
    for file in [
        format!("devices/{DEVICE}/keys/master.key"),
        "precompiled/master.key".to_owned(),
    ] {
        keys.push(STANDARD.encode(fs::read(home.in_data(&file)).expect("a key file")));
    }
    keys
}

fn assert_no_secret(files: &BTreeMap<String, String>, secrets: &[String]) {
    for secret in secrets {
        for (name, text) in files {
            for form in [secret.clone(), STANDARD.encode(secret)] {
                assert!(
                    !text.contains(&form),
                    "`{form}` is in {name}:\n{text:.2000}"
                );
            }
        }
    }
}

fn secrets() -> Vec<String> {
    [
        PASSWORD,
        ENVIRONMENT,
        OPTION,
        ARGUMENT,
        BODY,
        IN_TWIN,
        SIGNATURE,
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn all_that_helps_is_in_a_bundle_and_no_secret() {
    let home = Home::new();
    let run = Run::of(&home, &manifest(&home));
    run.send(&json!([{ "properties": { "reject": "no reason", "p": BODY }, "body": BODY }]));
    run.wait_module("reject-on", |module| module["messagesSetAside"] == 1);
    for text in [
        format!("connecting with {ENVIRONMENT}"),
        format!("and in base64 {}", STANDARD.encode(ENVIRONMENT)),
        format!("SharedAccessSignature sr=hub&sig={SIGNATURE}&se=1"),
        format!("pulled with {PASSWORD}"),
        "a harmless line".to_owned(),
    ] {
        assert_eq!(run.call("chatter", "log", &json!({ "text": text })).0, 200);
    }
    let path = home.path().join("bundle.zip");
    let outcome = run.verb(&["support-bundle", "-o", "bundle.zip"]).ok();
    assert_eq!(outcome.stdout.trim(), "bundle.zip");
    let mode = fs::metadata(&path)
        .expect("the bundle")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let files = unpacked(&path);
    let about = json_in(&files, "bundle.json");
    assert_eq!((&about["missing"], &about["cut"]), (&json!([]), &json!([])));

    let mut all = secrets();
    all.extend(keys(&home, &run));
    all.push("plain-setting-4718".to_owned());
    assert_no_secret(&files, &all);

    assert!(files["logs/d1/chatter.ndjson"].contains("a harmless line"));
    assert!(files["logs/d1/chatter.ndjson"].contains("connecting with [blanked]"));
    assert_eq!(
        json_in(&files, "modules.json")["modules"]
            .as_array()
            .map(Vec::len),
        Some(4)
    );
    let rejected = json_in(&files, "modules/d1/reject-on.json");
    assert_eq!(rejected["setAside"][0]["reason"], "rejected");
    let twin = json_in(&files, "twins/d1/chatter.json");
    let desired = &twin["properties"]["desired"];
    assert_eq!(
        (&desired["threshold"], &desired["password"]),
        (&json!(12), &json!("[blanked]"))
    );
    let agent = files
        .get("twins/d1/%24edgeAgent.json")
        .expect("the agent's twin");
    assert!(agent.contains("registry.example.com") && agent.contains("MODE"));
    assert!(files["deployments/d1.json"].contains("chatter"));
    assert!(json_in(&files, "check.json")["checks"].is_array());
    assert!(files["system/meminfo"].contains("MemTotal"));
    assert!(files["process/status"].contains("VmRSS"));
    assert!(
        files["data-folder.json"].contains("master.key"),
        "its name, not its content"
    );

    // What was asked for is in; what names itself a secret is not.
    run.verb(&["support-bundle", "-o", "env.zip", "--include-env"])
        .ok();
    let files = unpacked(&home.path().join("env.zip"));
    assert!(files["twins/d1/%24edgeAgent.json"].contains("plain-setting-4718"));
    assert_no_secret(
        &files,
        &[PASSWORD, ENVIRONMENT, ARGUMENT, IN_TWIN, SIGNATURE].map(str::to_owned),
    );

    run.verb(&["support-bundle", "-o", "bundle.zip"])
        .ended_with(1)
        .says(&["cannot write `bundle.zip`"]);
    run.verb(&["support-bundle", "--device", "nobody"])
        .ended_with(4);
    run.interrupt().ok();
}

#[test]
fn a_bundle_of_a_device_that_does_not_run_is_made_from_its_folder() {
    let home = Home::new();
    let run = Run::of(&home, &manifest(&home));
    assert_eq!(
        run.call("chatter", "log", &json!({ "text": "last words" }))
            .0,
        200
    );
    let keys = keys(&home, &run);
    run.interrupt().ok();
    let data = home.data();
    let data = data.to_str().expect("UTF-8");
    let outcome = home
        .verb(&["support-bundle", "-o", "bundle.zip", "--data-dir", data])
        .ok();
    let outcome = outcome.says(&["made from its data folder"]);
    assert_eq!(outcome.stdout.trim(), "bundle.zip");
    let files = unpacked(&home.path().join("bundle.zip"));
    assert!(files["logs/d1/chatter.ndjson"].contains("last words"));
    assert!(json_in(&files, "check.json")["checks"].is_array());
    let about = json_in(&files, "bundle.json");
    assert_eq!(about["from"], "data folder");
    assert!(!about["missing"].as_array().expect("a list").is_empty());
    let mut all = secrets();
    all.extend(keys);
    assert_no_secret(&files, &all);
    home.verb(&["support-bundle"]).ended_with(3);
}

#[test]
fn a_bundle_goes_to_standard_output_as_it_is() {
    let home = Home::new();
    let run = Run::of(&home, &manifest(&home));
    let mut command = home.command(["support-bundle", "-o", "-", "--since", "1h", "--data-dir"]);
    let output = command
        .arg(home.data())
        .output()
        .expect("the binary can be started");
    assert!(output.status.success());
    let path = home.write("piped.zip", &output.stdout);
    assert!(unpacked(&path).contains_key("bundle.json"));
    run.interrupt().ok();
}
