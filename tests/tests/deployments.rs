//! What a device runs follows the twins of its `$edgeAgent` and `$edgeHub`, whoever changes them.

use std::path::Path;

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, RunOptions};
use wasm_edge_tests::{http, paths, wait};

const AGENT: &str = "$edgeAgent";

/// The device's deployment, as its management API has it.
fn shown(run: &Run<'_>) -> Value {
    run.get("/v1/deployments/d1")
}

/// Waits until the device has looked at this version of the agent's desired properties and nothing more comes of
/// it; answers its state.
fn settled(run: &Run<'_>, version: &Value) -> Value {
    wait::until("the deployment to settle", || {
        let state = shown(run)["state"].clone();
        let is_so = state["settled"] == true && state["agentVersion"] == *version;
        is_so.then_some(state)
    })
}

/// Changes the agent's desired properties; answers their new version.
fn patch(run: &Run<'_>, patch: &Value) -> Value {
    run.patch(AGENT, patch)["properties"]["desired"]["$version"].clone()
}

/// Waits until the agent reports this code about this version; answers what it says beside.
fn outcome(run: &Run<'_>, version: &Value, code: u16) -> String {
    let twin = run.wait_twin(AGENT, |twin| {
        let reported = &twin["properties"]["reported"];
        reported["lastDesiredVersion"] == *version && reported["lastDesiredStatus"]["code"] == code
    });
    let description = &twin["properties"]["reported"]["lastDesiredStatus"]["description"];
    description.as_str().expect("a text").to_owned()
}

/// When a module's instance was started, and how often it was since.
fn instance(run: &Run<'_>, module: &str) -> (Value, Value) {
    let module = run.module(module);
    (
        module["lastStartTime"].clone(),
        module["restartCount"].clone(),
    )
}

fn image(file: &Path) -> String {
    format!("file:{}", file.display())
}

/// `echo`, which passes on what `feed` is told to send.
fn feed_and_echo() -> Deployment {
    Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("echo"))
        .pass("feed/out", "echo/in")
        .upstream("echo")
}

fn module_patch(module: &str, change: &Value) -> Value {
    json!({ "modules": { module: change } })
}

#[test]
fn a_patch_of_the_agent_s_twin_changes_what_runs_and_nothing_else() {
    let home = Home::new();
    let manifest = feed_and_echo()
        .module(Module::guest("twin-echo"))
        .write(&home);
    let run = Run::of(&home, &manifest);
    let others = ["feed", "echo"].map(|module| instance(&run, module));
    let before = instance(&run, "twin-echo");

    // Other settings: this one alone is made anew.
    let change = json!({ "env": { "A": { "value": "1" } } });
    let version = patch(&run, &module_patch("twin-echo", &change));
    assert_eq!(settled(&run, &version)["phase"], "applied");
    assert_ne!(instance(&run, "twin-echo").0, before.0);
    assert_eq!(outcome(&run, &version, 200), "");

    // Its desired status alone: its instance ends, and nothing is made anew.
    let started = instance(&run, "twin-echo");
    let version = patch(
        &run,
        &module_patch("twin-echo", &json!({ "status": "stopped" })),
    );
    settled(&run, &version);
    run.wait_module("twin-echo", |module| module["status"] == "stopped");
    assert_eq!(instance(&run, "twin-echo").0, started.0);
    let version = patch(
        &run,
        &module_patch("twin-echo", &json!({ "status": "running" })),
    );
    settled(&run, &version);
    run.wait_module("twin-echo", |module| module["ready"] == true);

    // What is only for those who look after it changes in place.
    let started = instance(&run, "twin-echo");
    let version = patch(
        &run,
        &module_patch("twin-echo", &json!({ "restartPolicy": "never" })),
    );
    settled(&run, &version);
    let module = run.module("twin-echo");
    assert_eq!(module["restartPolicy"], "never", "{module}");
    assert_eq!(instance(&run, "twin-echo"), started);

    // A new module, and other routes.
    let say =
        json!({ "type": "wasm", "settings": { "image": image(&paths::guest("counter-state")) } });
    let version = patch(&run, &module_patch("count", &say));
    settled(&run, &version);
    run.wait_module("count", |module| module["ready"] == true);
    let route = "FROM /messages/modules/feed/outputs/out INTO BrokeredEndpoint(\"/modules/count/inputs/in\")";
    let up = "FROM /messages/modules/count/* INTO $upstream";
    run.patch(
        "$edgeHub",
        &json!({ "routes": { "count": route, "countUp": up } }),
    );
    wait::until_so("a message to go the new way", || {
        run.send(&json!([{}]));
        !run.all_upstream("count").is_empty()
    });
    assert_eq!(
        ["feed", "echo"].map(|module| instance(&run, module)),
        others
    );
    run.interrupt().ok();
}

#[test]
fn a_bad_patch_is_refused_by_name_and_everything_goes_on() {
    let home = Home::new();
    let manifest = feed_and_echo().write(&home);
    let run = Run::of(&home, &manifest);
    let before = ["feed", "echo"].map(|module| instance(&run, module));
    let desired = run.twin(AGENT)["properties"]["desired"].clone();
    let check = |change: &Value, code: u16, text: &str| {
        let version = patch(&run, change);
        let state = settled(&run, &version);
        assert_eq!(state["phase"], "refused", "{state}");
        for said in [state["reasons"].to_string(), outcome(&run, &version, code)] {
            assert!(said.contains(text), "`{text}` is not in {said}");
        }
        let now = ["feed", "echo"].map(|module| instance(&run, module));
        assert_eq!(now, before);
    };
    check(
        &module_patch("echo", &json!({ "restartPolicy": "sometimes" })),
        400,
        "restartPolicy",
    );
    check(
        &module_patch("echo", &json!({ "restartPolicy": "always", "type": 7 })),
        400,
        "modules.echo.type",
    );
    check(
        &json!({ "modules": { "echo": { "type": "wasm" } }, "schemaVersion": "7.0" }),
        412,
        "schemaVersion",
    );
    let absent = home.path().join("absent.wasm");
    let missing = json!({ "type": "wasm", "settings": { "image": image(&absent) } });
    check(
        &json!({ "schemaVersion": "1.1", "modules": { "missing": missing } }),
        500,
        "absent.wasm",
    );
    let registry = json!({ "settings": { "image": "registry.example.com/a:1" } });
    check(&module_patch("missing", &registry), 500, "registry");
    check(
        &json!({ "schemaVersion": null, "modules": null, "runtime": null, "systemModules": null }),
        417,
        "empty",
    );
    // Messages go on as ever.
    run.send(&json!([{ "body": "still here" }]));
    run.upstream("echo", 0, |body| Some(body.clone()));

    // The same as in the beginning is no change.
    let mut again = desired.as_object().unwrap().clone();
    again.retain(|key, _| !key.starts_with('$'));
    let version = patch(&run, &Value::Object(again));
    assert_eq!(settled(&run, &version)["phase"], "applied");
    outcome(&run, &version, 200);
    assert_eq!(
        ["feed", "echo"].map(|module| instance(&run, module)),
        before
    );
    run.interrupt().ok().says(&["is refused", "restartPolicy"]);
}

#[test]
fn an_update_that_does_not_become_healthy_gives_way_to_the_last_good_one() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("echo").named("m").env("REASON", "no"))
        .module(Module::guest("say"))
        .write(&home);
    let options =
        RunOptions::new(&manifest).args(["--health-timeout", "2s", "--restart-wait", "50ms"]);
    let run = options.start(&home);
    run.wait_running();
    let first = shown(&run)["state"]["agentVersion"].clone();
    settled(&run, &first);
    let (good, other) = (
        run.module("m")["imageDigest"].clone(),
        instance(&run, "say"),
    );

    let bad = json!({ "settings": { "image": image(&paths::guest("init-fails")) } });
    let rejected = patch(&run, &module_patch("m", &bad));
    let state = settled(&run, &rejected);
    assert_eq!(state["phase"], "rolled-back", "{state}");
    assert!(
        state["reasons"].to_string().contains("module `m`"),
        "{state}"
    );
    outcome(&run, &rejected, 500);
    run.wait_module("m", |module| {
        module["ready"] == true && module["imageDigest"] == good
    });
    assert_eq!(instance(&run, "say"), other);
    run.interrupt().ok().says(&["rolled back", "module `m`"]);

    // It is remembered: a restart begins with the good one and does not try the other again.
    let run = options.start(&home);
    run.wait_running();
    assert_eq!(settled(&run, &rejected)["phase"], "rolled-back");
    let module = run.module("m");
    assert_eq!(
        (&module["imageDigest"], &module["restartCount"]),
        (&good, &json!(0))
    );

    let fixed = json!({ "settings": { "image": image(&paths::guest("twin-echo")) } });
    let version = patch(&run, &module_patch("m", &fixed));
    assert_eq!(settled(&run, &version)["phase"], "applied");
    assert_ne!(run.module("m")["imageDigest"], good);
    let ended = run.interrupt().ok();
    assert!(!ended.stderr.contains("is not ready"), "{}", ended.stderr);
}

#[test]
fn a_file_that_was_overwritten_does_not_keep_the_old_code_from_coming_back() {
    let home = Home::new();
    let file = home.write("m.wasm", std::fs::read(paths::guest("echo")).unwrap());
    let manifest = Deployment::new()
        .module(Module::of("m", &file).env("REASON", "no"))
        .module(Module::guest("say"))
        .write(&home);
    let options =
        RunOptions::new(&manifest).args(["--health-timeout", "2s", "--restart-wait", "50ms"]);
    let run = options.start(&home);
    run.wait_running();
    let first = shown(&run)["state"]["agentVersion"].clone();
    settled(&run, &first);
    let good = run.module("m")["imageDigest"].clone();

    std::fs::write(&file, std::fs::read(paths::guest("init-fails")).unwrap()).unwrap();
    let version = patch(&run, &module_patch("say", &json!({ "startupOrder": 1 })));
    assert_eq!(settled(&run, &version)["phase"], "rolled-back");
    run.wait_module("m", |module| {
        module["ready"] == true && module["imageDigest"] == good
    });
    run.interrupt().ok();

    // The code is kept, so that a restart finds it too.
    let run = options.start(&home);
    run.wait_running();
    assert_eq!(run.module("m")["imageDigest"], good);
    run.interrupt().ok();
}

#[test]
fn without_a_last_good_one_an_unhealthy_deployment_stays_and_says_so() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("init-fails").env("REASON", "no"))
        .module(Module::guest("echo"))
        .write(&home);
    let run = RunOptions::new(&manifest)
        .args(["--health-timeout", "1s", "--restart-wait", "50ms"])
        .start(&home);
    let state = wait::until("the deployment to settle", || {
        let state = shown(&run)["state"].clone();
        (state["settled"] == true).then_some(state)
    });
    assert_eq!(state["phase"], "unhealthy", "{state}");
    outcome(&run, &state["agentVersion"], 500);
    let restarts = run.module("init-fails")["restartCount"].as_u64();
    run.wait_module("init-fails", |module| {
        module["restartCount"].as_u64() > restarts
    });
    run.wait_module("echo", |module| module["ready"] == true);
    run.interrupt().ok().says(&["is unhealthy"]);
}

#[test]
fn identity_twin_and_data_of_a_module_that_left_are_cleared_away() {
    let home = Home::new();
    let count = |name: &str| Module::guest("counter-state").named(name);
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(count("stays"))
        .module(count("goes"))
        .module(count("kept").wasm("keepData", true))
        .pass("feed/stays", "stays/in")
        .pass("feed/goes", "goes/in")
        .pass("feed/kept", "kept/in")
        .upstream("stays")
        .upstream("goes")
        .upstream("kept")
        .write(&home);
    let run = Run::of(&home, &manifest);
    run.send(&json!([{ "output": "stays" }, { "output": "goes" }, { "output": "kept" }]));
    for module in ["stays", "goes", "kept"] {
        run.upstream(module, 0, |body| (body["data"] == 1).then_some(()));
    }
    let data = |module: &str| home.in_data(&format!("devices/d1/modules/{module}/data/count"));
    assert!(
        ["stays", "goes", "kept"]
            .iter()
            .all(|module| data(module).exists())
    );

    let version = patch(&run, &json!({ "modules": { "goes": null, "kept": null } }));
    assert_eq!(settled(&run, &version)["phase"], "applied");
    let status = |path: &str| {
        let answer = http::ask(&home.data(), "GET", path, None);
        answer.expect("the run answers").status
    };
    for module in ["goes", "kept"] {
        wait::until_so("the identity to be deleted", || {
            status(&format!("/devices/d1/modules/{module}")) == 404
        });
        assert_eq!(status(&format!("/twins/d1/modules/{module}")), 404);
    }
    wait::until_so("the data to be removed", || !data("goes").exists());
    assert!(data("kept").exists() && data("stays").exists());
    assert_eq!(status("/devices/d1/modules/stays"), 200);
    for system in ["%24edgeAgent", "%24edgeHub"] {
        assert_eq!(status(&format!("/devices/d1/modules/{system}")), 200);
    }
    let names: Vec<Value> = run
        .modules()
        .iter()
        .map(|it| it["module"].clone())
        .collect();
    assert_eq!(names, ["feed", "stays"]);
    run.interrupt().ok();
}

#[test]
fn a_module_that_left_while_nothing_ran_is_cleared_away_at_the_next_start() {
    let home = Home::new();
    let both = Deployment::new()
        .module(Module::guest("echo"))
        .module(Module::guest("say"));
    let manifest = both.write(&home);
    let run = Run::of(&home, &manifest);
    let version = shown(&run)["state"]["agentVersion"].clone();
    settled(&run, &version);
    run.kill();
    Deployment::new().module(Module::guest("echo")).write(&home);
    let run = Run::of(&home, &manifest);
    wait::until_so("the identity to be deleted", || {
        let answer = http::ask(&home.data(), "GET", "/devices/d1/modules/say", None);
        answer.expect("the run answers").status == 404
    });
    wait::until_so("its folder to be removed", || {
        !home.in_data("devices/d1/modules/say").exists()
    });
    run.interrupt().ok();
}

/// A deployment of modules whose settings name a round.
fn round(number: u64) -> Deployment {
    let module = |name: &str, order: u64| {
        Module::guest("echo")
            .named(name)
            .set("startupOrder", order)
            .env("ROUND", number.to_string())
    };
    let one_more = format!("only{}", number % 2);
    Deployment::new()
        .module(module("a", 1))
        .module(module("b", 2))
        .module(module("c", 2))
        .module(module(&one_more, 3))
        .upstream("a")
}

#[test]
fn killed_in_the_middle_of_a_deployment_the_next_start_reaches_what_is_desired() {
    let home = Home::new();
    let manifest = round(0).write(&home);
    let apply = |run: &Run<'_>, number: u64| {
        let path = "/devices/d1/applyConfigurationContent";
        let answer = http::ask(&home.data(), "POST", path, Some(&round(number).json()));
        assert_eq!(answer.expect("the run answers").status, 204);
        run.twin(AGENT)["properties"]["desired"]["$version"].clone()
    };
    // Killed as soon as this is seen; the last rounds wait for modules, in the order of their starts.
    let moments = ["", "preparing", "applying", "a", "b", "only", "watching"];
    for (number, moment) in (1..).zip(moments) {
        let run = RunOptions::new(&manifest).start(&home);
        let before = wait::until("the deployment before", || {
            let state = shown(&run)["state"].clone();
            (state["settled"] == true).then_some(state)
        });
        assert_eq!(before["phase"], "applied", "{before}");
        let version = apply(&run, number);
        wait::until_so("the moment", || {
            let state = &shown(&run)["state"];
            let is_over = state["settled"] == true && state["agentVersion"] == version;
            let started = |name: &str| {
                let list = run.get("/v1/modules");
                let modules = list["modules"].as_array().expect("a list");
                modules.iter().any(|module| {
                    let named = module["module"].as_str().unwrap().starts_with(name);
                    named && module["ready"] == true
                })
            };
            match moment {
                "" => true,
                "preparing" | "applying" | "watching" => is_over || state["phase"] == moment,
                name => is_over || started(name),
            }
        });
        run.kill();

        let run = RunOptions::new(&manifest).start(&home);
        assert_eq!(settled(&run, &version)["phase"], "applied", "{moment}");
        let names: Vec<Value> = run
            .modules()
            .iter()
            .map(|it| it["module"].clone())
            .collect();
        let only = format!("only{}", number % 2);
        assert_eq!(names, ["a", "b", "c", &only], "{moment}");
        let modules =
            shown(&run)["deployment"]["modulesContent"][AGENT]["properties.desired"]["modules"]
                .clone();
        let round = number.to_string();
        for name in ["a", "b", "c", &only] {
            assert_eq!(modules[name]["env"]["ROUND"]["value"], round, "{moment}");
        }
        // What left with this round is cleared away, whenever the process was killed.
        let gone = format!("/devices/d1/modules/only{}", (number + 1) % 2);
        wait::until_so("what left to be cleared away", || {
            let answer = http::ask(&home.data(), "GET", &gone, None);
            answer.expect("the run answers").status == 404
        });
        run.kill();
    }
}

#[test]
fn modules_start_in_their_order_at_each_start() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(
            Module::guest("ready-late")
                .env("READY_AFTER_MS", "300")
                .set("startupOrder", 1),
        )
        .module(Module::guest("echo").set("startupOrder", 2))
        .write(&home);
    for _ in 0..2 {
        let ended = Run::of(&home, &manifest).interrupt().ok();
        let ready: Vec<&str> = ended
            .stdout
            .lines()
            .filter(|line| line.contains("\"text\":\"ready\"") && line.contains("\"host\""))
            .collect();
        assert!(ready[0].contains("ready-late"), "{ready:?}");
    }
}

#[test]
fn passwords_of_registries_are_nowhere_on_the_device_s_disk_and_nowhere_shown() {
    let home = Home::new();
    let password = "horse-battery-staple-71";
    let mut manifest = Deployment::new().module(Module::guest("echo")).json();
    manifest["modulesContent"][AGENT]["properties.desired"]["runtime"] = json!({
        "type": "docker",
        "settings": { "registryCredentials": {
            "r": { "address": "registry.example.com", "username": "u", "password": password },
        } },
    });
    let file = home.write("deployment.json", manifest.to_string());
    let run = Run::of(&home, &file);
    let version = shown(&run)["state"]["agentVersion"].clone();
    settled(&run, &version);
    outcome(&run, &version, 200);
    let api = shown(&run).to_string();
    assert!(api.contains("registry.example.com") && !api.contains(password));
    let reported = run.twin(AGENT)["properties"]["reported"].to_string();
    assert!(!reported.contains(password), "{reported}");
    let ended = run.interrupt().ok();
    assert!(!ended.stdout.contains(password) && !ended.stderr.contains(password));
    let mut seen = 0;
    search(&home.in_data("devices"), password.as_bytes(), &mut seen);
    search(&home.in_data("precompiled"), password.as_bytes(), &mut seen);
    assert!(seen > 3, "{seen} files");
}

/// Searches all files below a folder for a secret; counts them.
fn search(folder: &Path, secret: &[u8], seen: &mut usize) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, secret, seen);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            *seen += 1;
            let found = bytes.windows(secret.len()).any(|part| part == secret);
            assert!(!found, "{} holds the secret", path.display());
        }
    }
}
