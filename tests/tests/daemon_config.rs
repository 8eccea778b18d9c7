//! What `daemon` makes of its configuration: files, variables, faults, and what it needs of the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use wasm_edge_tests::daemon::DaemonOptions;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::wait;

/// A device without a hub that runs `echo`.
fn alone(home: &Home) -> DaemonOptions {
    let manifest = Deployment::new().module(Module::guest("echo")).write(home);
    DaemonOptions::of_file(&manifest).set("deployment", "device_id", "d1")
}

#[test]
fn every_fault_is_told_with_its_source_and_nothing_is_started() {
    let home = Home::new();
    fs::create_dir(home.path().join("config.d")).unwrap();
    home.write("config.d/10-hub.toml", "[hub]\nkeep_alive_secs = 4\n");
    home.write("config.d/notes.txt", "not TOML");
    home.write("config.d/.hidden.toml", "not TOML");
    let outcome = DaemonOptions::new()
        .set("provisioning", "source", "dps")
        .set("log", "level", "loud")
        .env("WASM_EDGE_HUB_TRANSPORT", "amqp")
        .to_end(&home)
        .ended_with(78)
        .says(&[
            "config.toml: line 2, column 9: log.level: `loud` stands here; expected `error`",
            "config.toml: line 3, column 2: provisioning.id_scope: the key is missing",
            "config.toml: line 3, column 2: provisioning.key_file: the key is missing",
            "config.d/10-hub.toml: line 2, column 19: hub.keep_alive_secs: 4 stands here; expected a whole number from 5 to 1177",
            "environment: WASM_EDGE_HUB_TRANSPORT: `amqp` stands here; expected `auto`, `mqtt` or `mqtt-ws`",
            "config.toml` has 6 faults",
        ]);
    assert!(!outcome.stderr.contains("not TOML"), "{outcome:?}");
    assert!(!home.data().exists(), "nothing was started");
}

#[test]
fn a_configuration_that_cannot_be_used_ends_with_the_code_that_stops_restarts() {
    let home = Home::new();
    home.verb(&["daemon", "--config", "nowhere.toml"])
        .ended_with(78)
        .says(&["cannot read the configuration `nowhere.toml`", "hint:"]);
    home.verb(&["daemon"])
        .ended_with(78)
        .says(&["cannot read the configuration `/etc/wasm-edge/config.toml`"]);
    let with_ca = DaemonOptions::new()
        .set("provisioning", "source", "connection-string")
        .set("provisioning", "connection_string_file", "device.txt")
        .set("hub", "ca_file", "ca.pem");
    with_ca
        .to_end(&home)
        .ended_with(78)
        .says(&["cannot read `", "device.txt`", "hint:"]);
    let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    home.write(
        "device.txt",
        format!("HostName=localhost;DeviceId=d1;SharedAccessKey={secret}\n"),
    );
    let outcome = with_ca
        .to_end(&home)
        .ended_with(78)
        .says(&["ca.pem", "hint:"]);
    assert!(!outcome.stderr.contains(secret), "{outcome:?}");
    let outcome = DaemonOptions::of_file(&home.write("deployment.json", "{}"))
        .to_end(&home)
        .ended_with(78);
    assert!(outcome.stderr.contains("deployment.json"), "{outcome:?}");
}

#[test]
fn a_check_says_what_a_configuration_comes_to_and_starts_nothing() {
    let home = Home::new();
    let options = alone(&home).args(["--check"]);
    let outcome = options.to_end(&home).ok();
    assert!(outcome.stdout.contains("no faults"), "{outcome:?}");
    let outcome = options.args(["--output", "json"]).to_end(&home).ok();
    let said = outcome.json();
    assert_eq!(said["provisioning"], "none");
    assert_eq!(said["transport"], "auto");
    assert!(
        said["deployment"]
            .as_str()
            .unwrap()
            .ends_with("deployment.json")
    );
    assert!(!home.data().exists(), "nothing was started");
}

#[test]
fn a_later_file_and_then_a_variable_count_more() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let connection_string = hub.make_device("d1");
    let file = home.write("device.txt", connection_string);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(home.path().join("config.d")).unwrap();
    // Relative to the folder of the file that names it.
    home.write(
        "config.d/90-who.toml",
        "[provisioning]\nsource = \"connection-string\"\nconnection_string_file = \"../device.txt\"\n[hub]\nmqtt_port = 1\n",
    );
    let daemon = DaemonOptions::new()
        .at(&hub)
        .env("WASM_EDGE_HUB_MQTT_PORT", &hub.mqtt_port().to_string())
        .env("WASM_EDGE_HUB_TRANSPORT", "mqtt")
        .start(&home);
    daemon.wait_says(0, "connected to the hub");
    daemon.stop().ok();
}

#[test]
fn a_secret_that_everybody_can_read_is_warned_of() {
    let home = Home::new();
    let secret = "HostName=localhost;DeviceId=d1;SharedAccessKey=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let config = format!(
        "[provisioning]\nsource = \"connection-string\"\nconnection_string = \"{secret}\"\n"
    );
    let file = home.write("open.toml", config);
    let path = file.to_str().unwrap();
    for (mode, warned) in [(0o644, true), (0o640, false), (0o600, false)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let outcome = home.verb(&["daemon", "--check", "--config", path]).ok();
        let told = outcome
            .stderr
            .contains("everybody on this machine can read");
        assert_eq!(told, warned, "{mode:o}: {outcome:?}");
    }
}

#[test]
fn a_second_process_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    let options = alone(&home);
    let daemon = options.start(&home);
    daemon.wait_running();
    options
        .to_end(&home)
        .ended_with(1)
        .says(&["cannot use the data folder", "another process may run it"]);
    let list = daemon.verb(&["list", "--output", "json"]).ok().json();
    assert_eq!(list["modules"][0]["status"], "running");
    daemon.stop().ok();
}

#[test]
fn a_folder_that_cannot_be_used_is_told() {
    let home = Home::new();
    let config = alone(&home).write(&home);
    let config = config.to_str().unwrap();
    let outcome = home
        .verb(&[
            "daemon",
            "--config",
            config,
            "--data-dir",
            "/proc/nowhere/data",
        ])
        .ended_with(1);
    assert!(outcome.stderr.contains("/proc/nowhere"), "{outcome:?}");
}

#[test]
fn the_process_id_is_in_its_file_as_long_as_the_device_runs() {
    let home = Home::new();
    let file = home.path().join("daemon.pid");
    fs::write(&file, "1\n").unwrap();
    let options = alone(&home).args(["--pid-file".into(), file.clone().into_os_string()]);
    let daemon = options.start(&home);
    let id = format!("{}\n", daemon.process.id());
    wait::until_so("the process id to be there", || {
        fs::read_to_string(&file).is_ok_and(|text| text == id)
    });
    daemon.stop().ok();
    assert!(!file.exists());

    let nowhere = alone(&home).args(["--pid-file", "/proc/daemon.pid"]);
    nowhere
        .to_end(&home)
        .ended_with(1)
        .says(&["cannot write `/proc/daemon.pid`"]);
}

#[test]
fn verbs_find_the_device_without_its_folder_and_what_it_says_can_be_json() {
    let home = Home::new();
    let mut daemon = alone(&home).set("log", "format", "json").start(&home);
    daemon.wait_running();
    let list = home.verb(&["list", "--output", "json"]).ok().json();
    assert_eq!(list["modules"][0]["module"], "echo");
    daemon.process.signal(Signal::HUP);
    let next = daemon.wait_says(0, "the deployment is the one applied last");
    assert!(next > 0);
    daemon.process.signal(Signal::INT);
    let outcome = daemon.process.wait().ok();
    for line in outcome.stderr.lines() {
        let said: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(said["level"].is_string(), "{line}");
    }
}

#[test]
fn a_deployment_file_is_applied_when_it_is_another_one() {
    let home = Home::new();
    let options = alone(&home);
    let daemon = options.start(&home);
    daemon.wait_module("echo", |echo| echo["status"] == "running");
    daemon.stop().ok();
    let other = Deployment::new().module(Module::guest("say").set("status", "stopped"));
    other.write(&home);
    let daemon = options.start(&home);
    daemon.wait_module("say", |say| say["desiredStatus"] == "stopped");
    wait::until_so("the module that left to be gone", || {
        daemon.modules().len() == 1
    });
    daemon.stop().ok();
}

#[test]
fn a_configuration_made_from_a_connection_string_is_checked_and_run() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let connection_string = hub.make_device("d1");
    let file = home.path().join("etc/config.toml");
    let path = file.to_str().unwrap();
    let ca = hub.ca_file();
    let new = |connection_string: &str| {
        let arguments = [
            "config",
            "new",
            "--connection-string",
            connection_string,
            "--ca-file",
            ca.to_str().unwrap(),
            "--config",
            path,
        ];
        home.verb(&arguments)
    };
    let service = hub.connection_string("service");
    let outcome = new(&service)
        .ended_with(7)
        .says(&["the connection string is a service's"]);
    assert!(!outcome.stderr.contains(service.rsplit_once('=').unwrap().0));
    home.write("device.txt", &connection_string);
    new("@device.txt").ok();
    new("@device.txt")
        .ended_with(1)
        .says(&["is there already", "--force"]);
    let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    fs::create_dir(home.path().join("etc/config.d")).unwrap();
    home.write(
        "etc/config.d/ports.toml",
        format!("[hub]\nhttps_port = {}\n", hub.https_port()),
    );
    let mqtt_port = hub.mqtt_port().to_string();
    let check = |mqtt_port: &str, code: i32| {
        let mut command = home.command(["check", "--output", "json", "--config", path]);
        command.env("WASM_EDGE_HUB_MQTT_PORT", mqtt_port);
        let output = command.output().expect("the binary can be started");
        let outcome = wasm_edge_tests::outcome::Outcome::from(output).ended_with(code);
        let report = outcome.json();
        let checks = report["checks"].as_array().unwrap().clone();
        move |id: &str| {
            let found = checks.iter().find(|check| check["id"] == id);
            found.expect(id)["result"].as_str().unwrap().to_owned()
        }
    };
    let result = check(&mqtt_port, 0);
    for id in [
        "service",
        "certificates",
        "hub-name",
        "hub-port",
        "hub-access",
    ] {
        assert_eq!(result(id), "ok", "{id}");
    }
    hub.verb(&["hub", "device", "update", "d1", "--status", "disabled"])
        .ok();
    let result = check(&mqtt_port, 1);
    assert_eq!(result("hub-port"), "ok");
    assert_eq!(result("hub-access"), "error");
    hub.stop().ok();
    let result = check(&mqtt_port, 1);
    assert_eq!(result("hub-name"), "ok");
    assert_eq!(result("hub-port"), "error");
    assert_eq!(result("hub-access"), "skipped");
}

#[test]
fn run_takes_the_device_of_a_hub_elsewhere_and_no_file() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let connection_string = hub.make_device("d1");
    hub.apply("d1", &Deployment::new().module(Module::guest("say")));
    let ca = hub.ca_file();
    let arguments = [
        "run",
        "--hub",
        &connection_string,
        "--hub-ca",
        ca.to_str().unwrap(),
        "--for",
        "60s",
    ];
    home.verb(&[&arguments[..], &["deployment.json"]].concat())
        .ended_with(2)
        .says(&["`FILE` does not go with `--hub`", "hint:"]);
    let service = hub.connection_string("service");
    home.verb(&["run", "--hub", &service])
        .ended_with(7)
        .says(&["`--hub` names no device of a hub", "hint:"]);

    let mut command = home.command(arguments);
    // The connection string of this hub names no port: hubs have their usual ones.
    command.env("WASM_EDGE_HUB_MQTT_PORT", hub.mqtt_port().to_string());
    command.env("WASM_EDGE_HUB_HTTPS_PORT", hub.https_port().to_string());
    command.env("WASM_EDGE_DEPLOYMENT_FILE_IMAGES", "true");
    let mut process = wasm_edge_tests::process::Process::start(command);
    hub.wait_deployed("d1");
    let list = home.verb(&["list", "--output", "json"]).ok().json();
    assert_eq!(list["modules"][0]["status"], "running", "{list}");
    // What its modules say is printed, as without `--hub`.
    let said = home.verb(&["send", "say", "good morning", "--wait"]);
    said.ok();
    process.find_line("what the module says", 0, |line| {
        (line.contains("say") && line.contains("good morning")).then_some(())
    });
    process.signal(Signal::INT);
    process.wait().ok();
}
