//! Images of a registry on a device: pulled before anything stops, kept whole whatever happens, and there without network.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use wasm_edge_tests::daemon::{Daemon, DaemonOptions};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::line::{Conduct, Line};
use wasm_edge_tests::oci_clients::{Oras, Place, Skopeo};
use wasm_edge_tests::padding;
use wasm_edge_tests::paths;
use wasm_edge_tests::registry::{Door, Registry, RegistryOptions};
use wasm_edge_tests::run::{Run, RunOptions};
use wasm_edge_tests::soak::{self, Chance};
use wasm_edge_tests::wait;

/// The device of daemons.
const DEVICE: &str = "board-1";

/// How often a pull is killed.
const KILLS: u64 = 20;

/// What is pulled while it is killed, in bytes.
const LARGE_BYTES: usize = 8 * 1024 * 1024;

/// A registry with what fills it.
struct Bed {
    home: Home,
    registry: Registry,
}

impl Bed {
    /// One behind this door; nothing where a program is not to be had.
    fn new(door: Door) -> Option<Self> {
        let home = Home::new();
        let options = RegistryOptions { door, tls: true };
        let registry = Registry::start_with(options)?;
        Oras::find(&home)?;
        Skopeo::find(&home)?;
        Some(Self { home, registry })
    }

    /// Pushes a component under a name; answers the digests of the manifest and of the component.
    fn push(&self, name: &str, component: &Path) -> (String, String) {
        let oras = Oras::find(&self.home).expect("it was found");
        let skopeo = Skopeo::find(&self.home).expect("it was found");
        let pushed = self.home.path().join("pushed.wasm");
        fs::copy(component, pushed).expect("a file can be copied");
        self.home.write("wasm-config.json", "{}");
        let config = "wasm-config.json:application/vnd.wasm.config.v0+json";
        let verb = ["push", "--config", config];
        let files = ["pushed.wasm:application/wasm"];
        oras.run(&verb, &self.registry, name, &files).ok();
        let manifest = skopeo.raw_manifest(Place::Registry(&self.registry, name));
        let text = manifest.ok().stdout;
        let manifest: Value = serde_json::from_str(&text).expect("a manifest");
        let component = manifest["layers"][0]["digest"].as_str().expect("a layer");
        (sha256(text.as_bytes()), component.to_owned())
    }

    /// The file of a padded component.
    fn padded(&self, guest: &str, size_bytes: usize, seed: u64) -> PathBuf {
        let component = padding::padded(guest, size_bytes, seed);
        self.home.write("padded.wasm", component)
    }

    fn push_guest(&self, name: &str, guest: &str) -> (String, String) {
        self.push(name, &paths::guest(guest))
    }

    fn module(&self, module: &str, image: &str) -> Module {
        Module::image(module, &self.registry.reference(image))
    }

    /// A daemon that knows the registry under this name of a host.
    fn options_as(&self, host: &str, deployment: &Deployment) -> DaemonOptions {
        let section = format!("registries.\"{host}\"");
        let ca_file = self.registry.ca_file();
        DaemonOptions::of_file(&deployment.write(&self.home))
            .set("deployment", "device_id", DEVICE)
            .set(&section, "ca_file", ca_file.to_str().expect("text"))
    }

    fn options(&self, deployment: &Deployment) -> DaemonOptions {
        self.options_as(&self.registry.host(), deployment)
    }

    /// `run` with these devices and their deployments.
    fn run<'a>(&'a self, devices: &[(&str, &Deployment)]) -> Run<'a> {
        let config = self.home.write("config.toml", self.registry.table());
        let files: Vec<PathBuf> = devices
            .iter()
            .map(|(device, deployment)| deployment.write_as(&self.home, &format!("{device}.json")))
            .collect();
        let pairs: Vec<(&str, &Path)> = devices
            .iter()
            .zip(&files)
            .map(|((device, _), file)| (*device, file.as_path()))
            .collect();
        let config = config.to_str().expect("text").to_owned();
        RunOptions::of_devices(&pairs)
            .args(["--config".to_owned(), config])
            .start(&self.home)
    }

    /// The names of all files below `images/`, from there.
    fn stored(&self) -> BTreeSet<String> {
        let images = self.home.in_data("images");
        let mut found = BTreeSet::new();
        for folder in ["", "blobs/sha256", "partial"] {
            let entries = fs::read_dir(images.join(folder)).into_iter().flatten();
            for entry in entries.map(|entry| entry.expect("an entry")) {
                if entry.file_type().expect("a type").is_file() {
                    let name = entry.file_name().into_string().expect("text");
                    found.insert(format!("{folder}/{name}"));
                }
            }
        }
        found
    }

    /// Asserts that the store has the blobs of this manifest, each whole, and nothing else.
    fn assert_holds_only(&self, manifest_digest: &str) {
        let path = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
        let read = |digest: &str| fs::read(self.home.in_data("images").join(path(digest)));
        let manifest = read(manifest_digest).expect("the manifest is there");
        assert_eq!(sha256(&manifest), manifest_digest);
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        let parts = [
            &manifest["config"]["digest"],
            &manifest["layers"][0]["digest"],
        ];
        let mut expected: BTreeSet<String> =
            ["/index.json", "/oci-layout"].map(str::to_owned).into();
        expected.insert(path(manifest_digest));
        for digest in parts.map(|digest| digest.as_str().expect("a digest")) {
            assert_eq!(sha256(&read(digest).expect("a blob")), digest);
            expected.insert(path(digest));
        }
        assert_eq!(self.stored(), expected);
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let hex: String = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

fn state(daemon: &Daemon<'_>) -> Value {
    daemon.get(&format!("/v1/deployments/{DEVICE}"))["state"].clone()
}

fn agent_reported(daemon: &Daemon<'_>) -> Value {
    let args = ["twin", "get", "$edgeAgent", "--output", "json"];
    daemon.verb(&args).ok().json()["properties"]["reported"].clone()
}

#[test]
fn an_image_behind_a_password_runs_and_its_digest_is_reported() {
    for door in [Door::Password, Door::Token] {
        let Some(bed) = Bed::new(door) else { return };
        let (manifest, component) = bed.push_guest("tools/echo:1.0", "echo");
        let deployment = Deployment::new().module(bed.module("echo", "tools/echo:1.0"));
        let (user, password) = bed.registry.login().expect("it wants one");
        let mut json = deployment.json();
        json["modulesContent"]["$edgeAgent"]["properties.desired"]["runtime"] = json!({
            "type": "docker",
            "settings": { "registryCredentials": { "mine": {
                "address": bed.registry.host(), "username": user, "password": password,
            } } },
        });
        let options = bed.options(&deployment);
        bed.home.write("deployment.json", json.to_string());
        let daemon = options.start(&bed.home);
        daemon.wait_running();
        let module = daemon.module("echo");
        assert_eq!(module["imageDigest"], manifest);
        assert_eq!(module["componentDigest"], component);
        let reported = wait::until("the digest to be reported", || {
            let reported = agent_reported(&daemon);
            let hash = reported["modules"]["echo"]["settings"]["imageHash"].clone();
            (!hash.is_null()).then_some(hash)
        });
        assert_eq!(reported, manifest);
        daemon.stop().ok();
        bed.assert_holds_only(&manifest);
    }
}

#[test]
fn a_device_without_network_starts_from_its_store_with_and_without_compiled_code() {
    let Some(mut bed) = Bed::new(Door::Open) else {
        return;
    };
    let (manifest, _) = bed.push_guest("tools/echo:1.0", "echo");
    let deployment = Deployment::new().module(bed.module("echo", "tools/echo:1.0"));
    let options = bed.options(&deployment);
    let daemon = options.start(&bed.home);
    daemon.wait_running();
    daemon.kill();
    let asked = bed.registry.all_answered_with("manifests").len();
    bed.registry.stop();
    for without_code in [false, true] {
        if without_code {
            fs::remove_dir_all(bed.home.in_data("precompiled")).expect("it is there");
        }
        let daemon = options.start(&bed.home);
        daemon.wait_running();
        assert_eq!(daemon.module("echo")["imageDigest"], manifest);
        assert_eq!(daemon.components_compiled(), u64::from(without_code));
        assert_eq!(daemon.module("echo")["warnings"], json!([]));
        daemon.kill();
    }
    // Nor is the registry asked at a restart when it is there.
    bed.registry.start_again();
    let daemon = options.start(&bed.home);
    daemon.wait_running();
    daemon.stop().ok();
    assert_eq!(bed.registry.all_answered_with("manifests").len(), asked);
}

#[test]
fn a_pull_that_is_killed_at_twenty_random_moments_ends_with_the_right_image_and_no_garbage() {
    let Some(mut bed) = Bed::new(Door::Open) else {
        return;
    };
    let mut chance = Chance::new();
    println!("WASM_EDGE_SOAK_SEED={}", chance.seed());
    let (manifest, _) = bed.push("tools/large:1.0", &bed.padded("echo", LARGE_BYTES, 7));
    let line = Line::to(bed.registry.port());
    line.set(Conduct::Slow(Duration::from_millis(1)));
    let host = format!("localhost:{}", line.port());
    let image = format!("{host}/tools/large:1.0");
    let deployment = Deployment::new().module(Module::image("large", &image));
    let options = bed.options_as(&host, &deployment);
    let kills = soak::amount("WASM_EDGE_PULL_KILLS", KILLS);
    let mut rest = LARGE_BYTES as u64;
    for _ in 0..kills {
        let daemon = options.start(&bed.home);
        let from = line.carried_bytes();
        // A part of what is left, so that the last kill too falls into the pull.
        let bytes = chance.below(rest / 5 + 1);
        wait::until_so("some of the image to come", || {
            line.carried_bytes() - from >= bytes || !daemon.modules().is_empty()
        });
        daemon.kill();
        rest = rest.saturating_sub(bytes);
    }
    let daemon = options.start(&bed.home);
    daemon.wait_running();
    assert_eq!(daemon.module("large")["imageDigest"], manifest);
    daemon.stop().ok();
    bed.assert_holds_only(&manifest);
    let resumed = bed.registry.all_answered_with("blobs");
    let resumed = resumed.iter().filter(|answered| answered.status == 206);
    assert!(resumed.count() > 0, "no pull was gone on with");
}

#[test]
fn two_devices_share_an_image_which_is_pulled_once() {
    let Some(mut bed) = Bed::new(Door::Open) else {
        return;
    };
    let (manifest, component) = bed.push_guest("tools/echo:1.0", "echo");
    let deployment = Deployment::new()
        .module(bed.module("a", "tools/echo:1.0"))
        .module(bed.module("b", "tools/echo:1.0"));
    let run = bed.run(&[("d1", &deployment), ("d2", &deployment)]);
    run.wait_running();
    let digests: Vec<Value> = run
        .modules()
        .iter()
        .map(|module| module["imageDigest"].clone())
        .collect();
    assert_eq!(digests, vec![json!(manifest); 4]);
    run.interrupt();
    assert_eq!(bed.registry.all_answered_with(&component).len(), 1);
    bed.assert_holds_only(&manifest);
}

/// The deployment of these modules as a patch of the agent's desired properties.
fn agent_patch(deployment: &Deployment) -> Value {
    let json = deployment.json();
    let agent = &json["modulesContent"]["$edgeAgent"]["properties.desired"];
    json!({ "modules": agent["modules"] })
}

/// Waits until the device has looked at the desired properties and refused them; answers why.
fn refused(run: &Run<'_>, version: &Value) -> String {
    wait::until("the deployment to be refused", || {
        let state = run.get("/v1/deployments/d1")["state"].clone();
        let is_so = state["agentVersion"] == *version && state["phase"] == "refused";
        is_so.then(|| state["reasons"].to_string())
    })
}

#[test]
fn a_deployment_whose_second_image_is_missing_touches_nothing() {
    let Some(bed) = Bed::new(Door::Open) else {
        return;
    };
    let (first, _) = bed.push_guest("tools/echo:1.0", "echo");
    bed.push_guest("tools/echo:2.0", "feed");
    let deployment = Deployment::new().module(bed.module("a", "tools/echo:1.0"));
    let run = bed.run(&[("d1", &deployment)]);
    run.wait_running();
    let before = run.module("a");
    let wanted = Deployment::new()
        .module(bed.module("a", "tools/echo:2.0"))
        .module(bed.module("b", "tools/none:1.0"));
    let patched = run.patch("$edgeAgent", &agent_patch(&wanted));
    let version = &patched["properties"]["desired"]["$version"];
    let reasons = refused(&run, version);
    assert!(
        reasons.contains("module `b`") && reasons.contains("tools/none:1.0"),
        "{reasons}"
    );
    let after = run.module("a");
    for key in ["imageDigest", "lastStartTime", "restartCount"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(after["imageDigest"], first);
    assert_eq!(run.modules().len(), 1);
    run.interrupt();
}

#[test]
fn a_pull_that_fails_leaves_the_old_deployment_until_the_registry_is_back() {
    let Some(mut bed) = Bed::new(Door::Open) else {
        return;
    };
    bed.push_guest("tools/echo:1.0", "echo");
    let (second, _) = bed.push_guest("tools/echo:2.0", "feed");
    bed.registry.stop();
    bed.registry.start_again();
    let line = Line::to(bed.registry.port());
    let host = format!("localhost:{}", line.port());
    let module = |tag: &str| {
        Deployment::new().module(Module::image("a", &format!("{host}/tools/echo:{tag}")))
    };
    let table = bed.registry.table_as(&host);
    let config = bed.home.write("config.toml", table);
    let file = module("1.0").write(&bed.home);
    let run = RunOptions::of_devices(&[("d1", &file)])
        .args(["--config", config.to_str().expect("text")])
        .start(&bed.home);
    run.wait_running();
    let before = run.module("a");
    line.set(Conduct::Cut);
    let patched = run.patch("$edgeAgent", &agent_patch(&module("2.0")));
    let version = &patched["properties"]["desired"]["$version"];
    let reasons = refused(&run, version);
    assert!(reasons.contains("cannot pull the image"), "{reasons}");
    assert_eq!(run.module("a")["lastStartTime"], before["lastStartTime"]);
    line.set(Conduct::Whole);
    run.wait_module("a", |module| {
        module["imageDigest"] == second && module["ready"] == true
    });
    run.interrupt();
}

#[test]
fn a_tag_is_asked_for_once_and_where_the_registry_is_away_the_image_before_is_taken_with_a_warning()
{
    let Some(mut bed) = Bed::new(Door::Open) else {
        return;
    };
    let (first, _) = bed.push_guest("tools/echo:1.0", "echo");
    let deployment =
        |env: &str| Deployment::new().module(bed.module("a", "tools/echo:1.0").env("A", env));
    let (one, two) = (deployment("1"), deployment("2"));
    let options = bed.options(&one);
    let daemon = options.start(&bed.home);
    daemon.wait_running();
    daemon.stop().ok();
    bed.registry.stop();
    two.write(&bed.home);
    let daemon = options.start(&bed.home);
    daemon.wait_running();
    let module = daemon.module("a");
    assert_eq!(module["imageDigest"], first);
    let warnings = module["warnings"].to_string();
    assert!(warnings.contains("is the one pulled before"), "{warnings}");
    daemon.stop().ok();
}

#[test]
fn an_image_that_is_never_to_be_pulled_has_to_be_in_the_store() {
    let Some(bed) = Bed::new(Door::Open) else {
        return;
    };
    let (manifest, _) = bed.push_guest("tools/echo:1.0", "echo");
    let module = || bed.module("a", "tools/echo:1.0");
    let never = Deployment::new().module(module().set("imagePullPolicy", "never"));
    let options = bed.options(&never);
    let daemon = options.start(&bed.home);
    let reasons = wait::until("the deployment to be refused", || {
        let state = state(&daemon);
        (state["phase"] == "refused").then(|| state["reasons"].to_string())
    });
    assert!(reasons.contains("is not in the image store"), "{reasons}");
    daemon.stop().ok();
    Deployment::new().module(module()).write(&bed.home);
    let daemon = options.start(&bed.home);
    daemon.wait_running();
    daemon.stop().ok();
    never.write(&bed.home);
    let daemon = options.start(&bed.home);
    daemon.wait_running();
    assert_eq!(daemon.module("a")["imageDigest"], manifest);
    daemon.stop().ok();
}

#[test]
fn a_damaged_component_is_pulled_again_by_its_digest_even_if_the_tag_has_moved() {
    let Some(mut bed) = Bed::new(Door::Open) else {
        return;
    };
    let (manifest, component) = bed.push_guest("tools/echo:1.0", "echo");
    let deployment = Deployment::new().module(bed.module("a", "tools/echo:1.0"));
    let options = bed.options(&deployment);
    let daemon = options.start(&bed.home);
    daemon.wait_running();
    daemon.stop().ok();
    bed.push_guest("tools/echo:1.0", "feed");
    let blob = bed
        .home
        .in_data("images/blobs")
        .join(component.replace(':', "/"));
    let mut bytes = fs::read(&blob).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&blob, bytes).expect("it can be written");
    fs::remove_dir_all(bed.home.in_data("precompiled")).expect("it is there");
    let daemon = options.start(&bed.home);
    daemon.wait_running();
    assert_eq!(daemon.module("a")["imageDigest"], manifest);
    daemon.stop().ok();
    assert_eq!(bed.registry.all_answered_with(&component).len(), 2);
}

#[test]
fn a_registry_that_the_policy_does_not_name_is_refused_even_for_an_image_that_is_here() {
    let Some(bed) = Bed::new(Door::Open) else {
        return;
    };
    bed.push_guest("tools/echo:1.0", "echo");
    let deployment = |env: &str| {
        let module = bed.module("a", "tools/echo:1.0").env("A", env);
        Deployment::new().module(module)
    };
    let options = bed.options(&deployment("1"));
    let daemon = options.start(&bed.home);
    daemon.wait_running();
    daemon.stop().ok();
    deployment("2").write(&bed.home);
    let allowed = json!(["registry.example.org"]);
    let daemon = options
        .set("policy", "registries", allowed)
        .start(&bed.home);
    let reasons = wait::until("the deployment to be refused", || {
        let state = state(&daemon);
        (state["phase"] == "refused").then(|| state["reasons"].to_string())
    });
    assert!(reasons.contains("does not allow the registry"), "{reasons}");
    // What ran before is of that registry, too.
    assert_eq!(daemon.modules(), [json!(null); 0]);
    daemon.stop().ok();
}

#[test]
fn what_ran_before_does_not_wait_for_the_images_of_a_new_deployment() {
    let home = Home::new();
    // It takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("it is bound").port();
    let host = format!("localhost:{port}");
    let before = || Deployment::new().module(Module::guest("feed"));
    let options = DaemonOptions::of_file(&before().write(&home))
        .set("deployment", "device_id", DEVICE)
        .set(&format!("registries.\"{host}\""), "plain_http", true);
    let phase = |daemon: &Daemon<'_>| {
        let shown = daemon.get(&format!("/v1/deployments/{DEVICE}"));
        shown["state"]["phase"].as_str().map(str::to_owned)
    };
    let wait_phase = |daemon: &Daemon<'_>, wanted: &str| {
        wait::until_so(wanted, || phase(daemon).as_deref() == Some(wanted));
    };
    let daemon = options.start(&home);
    wait_phase(&daemon, "applied");
    let image = format!("{host}/tools/late:1.0");
    before().module(Module::image("late", &image)).write(&home);
    daemon.process.signal(Signal::HUP);
    wait_phase(&daemon, "preparing");
    daemon.kill();

    let daemon = options.start(&home);
    daemon.wait_module("feed", |module| module["status"] == "running");
    assert_eq!(phase(&daemon).as_deref(), Some("preparing"));
    let started = daemon.module("feed")["lastStartTime"].clone();
    drop(silent);
    wait_phase(&daemon, "refused");
    let feed = daemon.module("feed");
    assert_eq!(feed["status"], "running");
    assert_eq!(feed["lastStartTime"], started, "{feed}");
    daemon.stop().ok();
}
