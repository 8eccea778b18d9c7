//! How a registry is entered: logins from each place where they stand, what is said when one is wrong, and that no
//! password is shown anywhere.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};
use wasm_edge_tests::daemon::DaemonOptions;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::desk::Desk;
use wasm_edge_tests::home::Home;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::paths;
use wasm_edge_tests::process::Process;
use wasm_edge_tests::registry::{self, Door, LOGIN, Registry};
use wasm_edge_tests::run::{DEVICE, Run, RunOptions};

/// A password that is none of a registry's.
const WRONG: &str = "wrong-and-secret-4711";

/// The table of a registry with nothing but how it is trusted.
fn without_login(registry: &Registry) -> String {
    let table = registry.table();
    table.lines().take(2).collect::<Vec<_>>().join("\n")
}

/// The `runtime` of a deployment that has this password for a registry.
fn runtime(address: &str) -> Value {
    let login = json!({ "address": address, "username": LOGIN.0, "password": WRONG });
    json!({ "type": "docker", "settings": { "registryCredentials": { "r": login } } })
}

/// Nowhere in what a command printed.
fn is_silent_of(outcome: &Outcome, secret: &str) {
    let printed = [&outcome.stdout, &outcome.stderr];
    assert!(
        printed.iter().all(|text| !text.contains(secret)),
        "{outcome:?}"
    );
}

#[test]
fn a_malformed_login_of_docker_stops_its_own_registry_alone() {
    let (Some(open), Some(closed)) = (Registry::start(), Registry::behind(Door::Password)) else {
        return;
    };
    let desk = Desk::for_tables(&[open.table(), without_login(&closed)]);
    let image = open.reference("tools/echo:1.0");
    let of_closed = closed.reference("tools/echo:1.0");
    let write = |content: String| desk.home.write(".docker/config.json", content);
    fs::create_dir(desk.home.path().join(".docker")).expect("a folder can be made");
    for entry in [json!({ "auth": WRONG }), json!({ "auth": 7 }), json!("x")] {
        write(json!({ "auths": { closed.host(): entry } }).to_string());
        let told = format!("of `{}`", closed.host());
        let pushed = desk.push(&paths::guest("echo"), &image, &[]).ok();
        assert_eq!(pushed.stderr.matches("warning:").count(), 1, "{pushed:?}");
        is_silent_of(&pushed, WRONG);
        desk.pull(&image).ok();
        let refused = desk.push(&paths::guest("echo"), &of_closed, &[]);
        let refused = refused.ended_with(1).says(&[
            "cannot use the login",
            &closed.host(),
            ".docker/config.json",
        ]);
        assert!(refused.stderr.contains(&told) || entry != json!({ "auth": WRONG }));
        is_silent_of(&refused, WRONG);
    }
    // Nobody asked for this file, and what is no JSON says nothing of any registry.
    write("{".to_owned());
    desk.pull(&image).ok().says(&["warning:", "config.json"]);
    desk.pull(&of_closed)
        .ended_with(1)
        .says(&["somebody without a name"]);
    // For a file that the configuration names it is an error, as for the configuration itself.
    let named = format!(
        "[images]\ndocker_config = \".docker/config.json\"\n{}",
        open.table()
    );
    fs::write(desk.config(), named).expect("a file can be written");
    desk.pull(&image).ended_with(78);
}

#[test]
fn a_wrong_login_is_told_with_the_place_where_it_stands() {
    let Some(registry) = Registry::behind(Door::Password) else {
        return;
    };
    let image = registry.reference("tools/echo:1.0");
    let trusted = without_login(&registry);
    let check = |desk: &Desk, place: &str| {
        for outcome in [
            desk.pull(&image),
            desk.push(&paths::guest("echo"), &image, &[]),
        ] {
            let outcome = outcome.ended_with(1).says(&["the user `board`", place]);
            is_silent_of(&outcome, WRONG);
        }
    };
    let (user, _) = LOGIN;
    let in_config = format!("{trusted}\nusername = \"{user}\"\npassword = \"{WRONG}\"\n");
    check(
        &Desk::for_tables(&[in_config]),
        "that of `[registries.\"HOST\"]` of the configuration, or",
    );
    let in_file = format!("{trusted}\nusername = \"{user}\"\npassword_file = \"password\"\n");
    let desk = Desk::for_tables(&[in_file]);
    let file = desk.home.write_secret("password", WRONG);
    check(&desk, &format!("password file `{}`", file.display()));
    let desk = Desk::for_tables(std::slice::from_ref(&trusted));
    let docker = desk.home.path().join(".docker");
    let file = registry::docker_config(&docker, &registry.host(), (user, WRONG));
    check(&desk, &format!("Docker's `{}`", file.display()));

    // A process that runs is handed the login of who asks, and says where that has it from.
    let home = Home::new();
    let config = home.write_secret("config.toml", &trusted);
    let config = config.to_str().expect("a path of tests is text");
    let idle = Deployment::new().module(Module::guest("echo")).write(&home);
    let run = RunOptions::new(&idle)
        .args(["--config", config])
        .start(&home);
    let file = registry::docker_config(
        &home.path().join(".docker"),
        &registry.host(),
        (user, WRONG),
    );
    let outcome = run.verb(&["image", "pull", &image]);
    let outcome = outcome.ended_with(1).says(&[
        "the user `board`",
        &format!("Docker's `{}`", file.display()),
    ]);
    is_silent_of(&outcome, WRONG);
    fs::remove_file(&file).expect("it is there");
    drop(run);

    let mut manifest = Deployment::new()
        .module(Module::image("echo", &image))
        .json();
    let agent = &mut manifest["modulesContent"]["$edgeAgent"]["properties.desired"];
    agent["runtime"] = runtime(&registry.host());
    let manifest = home.write("other.json", manifest.to_string());
    let ended = RunOptions::new(&manifest)
        .args(["--config", config])
        .to_end(&home)
        .says(&[
            "the user `board`",
            "`registryCredentials` of the deployment",
        ]);
    is_silent_of(&ended, WRONG);
}

#[test]
fn a_login_in_the_name_of_an_image_is_refused_and_never_repeated() {
    let home = Home::new();
    let data = home.data();
    let data = data.to_str().expect("a path of tests is text");
    let image = format!("joe:{WRONG}@registry.example.org/tools/echo:1.0");
    let echo = paths::guest("echo");
    let echo = echo.to_str().expect("a path of tests is text");
    let manifest = Deployment::new().module(Module::image("echo", &image));
    let manifest = manifest.write(&home);
    let manifest = manifest.to_str().expect("a path of tests is text");
    for args in [
        &["image", "pull", &image, "--data-dir", data][..],
        &["image", "push", echo, &image],
        &["image", "load", "x.tar", "--as", &image, "--data-dir", data],
        &["run", &image],
        &["run", &format!("https://{image}")],
        &["run", manifest],
        &["deploy", "check", manifest],
        &["precompile", manifest, "--data-dir", data],
    ] {
        for output in ["text", "json"] {
            let outcome = home.verb(&[&["-vv", "--output", output], args].concat());
            let place = "a login is no part of an image's name: it stands in `registryCredentials`";
            let printed = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(printed.contains(place), "{args:?}: {outcome:?}");
            assert_ne!(outcome.status, Some(0), "{outcome:?}");
            is_silent_of(&outcome, WRONG);
        }
    }
    for verb in ["inspect", "remove"] {
        let outcome = home.verb(&["image", verb, &image, "--data-dir", data]);
        is_silent_of(&outcome.ended_with(4), WRONG);
    }
}

#[test]
fn a_registry_that_is_met_in_a_wrong_way_is_told_from_one_that_is_away() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let host = registry.host();
    let desk = Desk::for_tables(&[format!("[registries.\"{host}\"]\nplain_http = true\n")]);
    desk.pull(&registry.reference("a/b:1"))
        .ended_with(1)
        .says(&["speaks TLS", "leave `plain_http` out"]);
    let by_address = format!("127.0.0.1:{}", registry.port());
    let desk = Desk::for_tables(&[registry.table_as(&by_address)]);
    desk.pull(&format!("{by_address}/a/b:1"))
        .ended_with(1)
        .says(&[
            "it is for another name",
            "the registry's certificate is for `localhost`",
        ]);
    let desk = Desk::for_tables(&[]);
    desk.pull(&registry.reference("a/b:1"))
        .ended_with(1)
        .says(&["no authority that is trusted", "`ca_file`"]);
    let Some(plain) = Registry::start_with(registry::RegistryOptions {
        tls: false,
        ..Default::default()
    }) else {
        return;
    };
    desk.pull(&plain.reference("a/b:1"))
        .says(&["cannot agree on TLS", "`plain_http = true`"]);
}

/// A deployment with the password of a registry, and one of a name.
fn with_password(home: &Home) -> std::path::PathBuf {
    let mut manifest = Deployment::new().module(Module::guest("echo")).json();
    let agent = &mut manifest["modulesContent"]["$edgeAgent"]["properties.desired"];
    agent["runtime"] = runtime("registry.example.org");
    home.write("deployment.json", manifest.to_string())
}

/// The commands that show what a device is to run.
const SHOWING: [&[&str]; 6] = [
    &["twin", "get", "$edgeAgent"],
    &["twin", "get", "$edgeAgent", "--desired"],
    &["twin", "get", "$edgeAgent", "--output", "json"],
    &["twin", "get", "$edgeAgent", "--desired", "--output", "json"],
    &["deploy", "show"],
    &["deploy", "show", "--output", "json"],
];

fn check_showing(verb: impl Fn(&[&str]) -> Outcome) {
    for args in SHOWING {
        let outcome = verb(args).ok();
        assert!(outcome.stdout.contains("*****"), "{args:?}: {outcome:?}");
        is_silent_of(&outcome, WRONG);
    }
    for args in [&["list"][..], &["inspect", "echo"]] {
        let printed = verb(args).ok();
        is_silent_of(&printed, WRONG);
    }
}

/// What `twin watch` prints first.
fn check_watch(process: Process) {
    let first = process.stdout.find(0, |line| Some(line.to_owned()));
    let (first, _) = first.expect("a line");
    assert!(first.contains("*****") && !first.contains(WRONG), "{first}");
    process.signal(Signal::INT);
}

#[test]
fn a_laptop_shows_no_password_of_a_deployment() {
    let home = Home::new();
    let run = Run::of(&home, &with_password(&home));
    run.wait_running();
    check_showing(|args| run.verb(args));
    let patched = [
        "twin",
        "patch",
        "$edgeAgent",
        r#"{"x":1}"#,
        "--output",
        "json",
    ];
    is_silent_of(&run.verb(&patched).ok(), WRONG);
    for watch in [
        &["twin", "watch", "$edgeAgent"][..],
        &["twin", "watch", "$edgeAgent", "--output", "json"],
    ] {
        check_watch(run.verb_process(watch));
    }
    // The hub in the same process has to tell it to the device.
    let twin = run.get(&format!(
        "/twins/{DEVICE}/modules/%24edgeAgent?api-version=2021-04-12"
    ));
    let credentials = &twin["properties"]["desired"]["runtime"]["settings"]["registryCredentials"];
    assert_eq!(credentials["r"]["password"], WRONG);
    let ended = run.interrupt();
    is_silent_of(&ended, WRONG);
}

#[test]
fn a_device_shows_no_password_of_its_deployment() {
    let home = Home::new();
    let manifest = with_password(&home);
    let daemon = DaemonOptions::of_file(&manifest)
        .set("deployment", "device_id", "board-1")
        .args(["-vv"])
        .start(&home);
    daemon.wait_running();
    check_showing(|args| daemon.verb(args));
    check_watch(daemon.verb_process(&["twin", "watch", "$edgeAgent"]));
    let twin = daemon.get("/v1/twins/board-1/$edgeAgent");
    let desired = &twin["properties"]["desired"];
    let shown = &desired["runtime"]["settings"]["registryCredentials"]["r"];
    assert_eq!(
        *shown,
        json!({ "address": "registry.example.org", "username": LOGIN.0, "password": "*****" })
    );
    is_silent_of(&daemon.stop(), WRONG);
}
