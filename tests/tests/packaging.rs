//! What is installed on a board: the Debian package, the unit of systemd, and the script for plain init systems.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;
use wasm_edge_tests::daemon::DaemonOptions;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::package::{Package, as_ordinary_user};
use wasm_edge_tests::paths::{self, example};
use wasm_edge_tests::wait;

/// Runs a command to its end.
fn run(mut command: Command) -> Outcome {
    command.output().expect("the program can be started").into()
}

/// A file of `packaging/`.
fn packaging(path: &str) -> PathBuf {
    paths::repository().join("packaging").join(path)
}

#[test]
fn the_package_runs_its_device_against_a_hub_as_the_unit_says() {
    let (hub_home, home) = (Home::new(), Home::new());
    let package = Package::unpack(&home);
    check_content(&package);

    let hub = HubServe::start(&hub_home);
    let connection_string = hub.make_device("board-1");
    let deployment = Deployment::new()
        .module(
            Module::of("heartbeat", &example("heartbeat")).desired(json!({ "interval_ms": 50 })),
        )
        .upstream("heartbeat");
    hub.apply("board-1", &deployment);
    let config = package.root().join("etc/wasm-edge");
    let ca = fs::read(hub.ca_file()).unwrap();
    fs::write(config.join("hub-ca.pem"), ca).unwrap();
    fs::write(config.join("connection-string"), connection_string).unwrap();
    let settings = DaemonOptions::new()
        .set("provisioning", "source", "connection-string")
        .set(
            "provisioning",
            "connection_string_file",
            "connection-string",
        )
        .set("hub", "ca_file", "hub-ca.pem")
        .set("hub", "mqtt_port", hub.mqtt_port())
        .set("hub", "https_port", hub.https_port())
        .set("deployment", "file_images", true);
    fs::write(config.join("config.toml"), settings.config()).unwrap();

    // A service manager that hears what the device says of itself.
    let socket = home.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(wait::LIMIT)).unwrap();
    fs::create_dir_all(package.state()).unwrap();
    let mut service = package.service(&home);
    service.env("NOTIFY_SOCKET", &socket);
    let mut process = wasm_edge_tests::process::Process::start(as_ordinary_user(&home, &service));
    let mut told = String::new();
    while !told.contains("READY=1") {
        let mut datagram = [0; 4096];
        let length = manager.recv(&mut datagram).unwrap_or_else(|err| {
            panic!("it is not ready: {err}; {told}\n{}", process.stderr.text())
        });
        told += &String::from_utf8_lossy(&datagram[..length]);
    }
    hub.wait_deployed("board-1");
    hub.telemetry().next("heartbeat");
    process.signal(rustix::process::Signal::TERM);
    process.wait().ok();
}

/// What a board needs is there, and as it has to be.
fn check_content(package: &Package) {
    let content = package.tool(&["-c", "FILE"]);
    for path in [
        "./usr/bin/wasm-edge",
        "./usr/lib/systemd/system/wasm-edge.service",
        "./usr/lib/sysusers.d/wasm-edge.conf",
        "./etc/init.d/wasm-edge",
        "./usr/share/man/man1/wasm-edge-daemon.1.gz",
        "./usr/share/bash-completion/completions/wasm-edge",
        "./usr/share/doc/wasm-edge/copyright",
        "./usr/share/doc/wasm-edge/NOTICES.gz",
        "./usr/share/doc/wasm-edge/docs/board.md",
    ] {
        let is_there = content.lines().any(|line| line.ends_with(path));
        assert!(is_there, "`{path}` is missing:\n{content}");
    }
    // Secrets come in here.
    let config = content
        .lines()
        .find(|line| line.ends_with("./etc/wasm-edge/config.toml"));
    assert!(config.is_some_and(|line| line.starts_with("-rw-r----- root/root")));
    let conffiles = package.tool(&["-I", "FILE", "conffiles"]);
    assert_eq!(
        conffiles,
        "/etc/init.d/wasm-edge\n/etc/wasm-edge/config.toml\n"
    );
    let control = package.tool(&["-I", "FILE", "control"]);
    assert!(control.contains("\nDepends: libc6"), "{control}");
    assert_eq!(package.unit("Type"), ["notify"]);
    assert_eq!(package.unit("RestartPreventExitStatus"), ["78"]);
    assert_eq!(package.unit("User"), ["wasm-edge"]);
    assert_eq!(package.unit("StateDirectory"), ["wasm-edge"]);
    // Compiled code could not be mapped with it.
    assert_eq!(package.unit("MemoryDenyWriteExecute"), [""; 0]);
}

#[test]
fn what_the_configuration_of_the_package_shows_is_right() {
    let home = Home::new();
    let text = fs::read_to_string(packaging("config.toml")).unwrap();
    home.write(
        "connection-string",
        "HostName=h.example;DeviceId=d;SharedAccessKey=c2VjcmV0",
    );
    let secret = home.path().join("connection-string");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
    Deployment::new().write(&home);
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    // The two kinds of device, each for itself, and none of them.
    let (of_hub, alone) = uncommented.rsplit_once("\n[deployment]").unwrap();
    for part in [text, of_hub.to_owned(), format!("[deployment]{alone}")] {
        let config = home.write("config.toml", part);
        let config = config.to_str().unwrap();
        home.verb(&["daemon", "--check", "--config", config]).ok();
    }
}

#[test]
fn the_unit_and_the_scripts_are_ones_that_their_readers_understand() {
    for script in [
        "wasm-edge.init",
        "debian/postinst",
        "debian/prerm",
        "debian/postrm",
    ] {
        let mut shell = Command::new("sh");
        shell.arg("-n").arg(packaging(script));
        let checked = run(shell);
        assert_eq!(
            (checked.status, checked.stderr.as_str()),
            (Some(0), ""),
            "{script}"
        );
    }
    let mut analyze = Command::new("systemd-analyze");
    let home = Home::new();
    let unit = fs::read_to_string(packaging("systemd/wasm-edge.service")).unwrap();
    let unit = unit.replace("/usr/bin/wasm-edge", paths::binary().to_str().unwrap());
    // Its pages are not installed here.
    let unit: String = unit
        .lines()
        .filter(|line| !line.starts_with("Documentation="))
        .map(|line| format!("{line}\n"))
        .collect();
    analyze
        .arg("verify")
        .arg(home.write("wasm-edge.service", unit));
    match analyze.output() {
        Ok(output) => {
            let outcome = Outcome::from(output);
            assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), ""));
        }
        Err(err) => assert_eq!(err.kind(), std::io::ErrorKind::NotFound),
    }
}

#[test]
fn the_init_script_starts_one_device_tells_of_it_and_stops_it() {
    let home = Home::new();
    let manifest = Deployment::new().write(&home);
    DaemonOptions::of_file(&manifest).write(&home);
    let script = |verb: &str| {
        let mut command = Command::new("sh");
        command.arg(packaging("wasm-edge.init")).arg(verb);
        command
            .env("WASM_EDGE_PROGRAM", paths::binary())
            .env("WASM_EDGE_CONFIG", home.path().join("config.toml"))
            .env("WASM_EDGE_DATA", home.data())
            .env("WASM_EDGE_RUN", home.path().join("run"))
            .env("WASM_EDGE_USER", "root")
            .env("HOME", home.path())
            .env("XDG_STATE_HOME", home.path().join("state"))
            .stdin(Stdio::null());
        run(command)
    };
    script("status").ended_with(3);
    script("start").ok();
    script("status").ok();
    let pid_file = home.path().join("run/wasm-edge.pid");
    let first = fs::read_to_string(&pid_file).unwrap();
    script("start").ok();
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), first);
    Deployment::new().module(Module::guest("feed")).write(&home);
    script("reload").ok();
    wait::until_so("the changed deployment to be taken over", || {
        home.verb(&["twin", "get", "feed"]).status == Some(0)
    });
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), first);
    script("restart").ok();
    assert_ne!(fs::read_to_string(&pid_file).unwrap(), first);
    script("stop").ok();
    script("status").ended_with(3);
    script("stop").ok();
    script("reload").ended_with(7);

    // What cannot start is told at once, and not looked for in a log.
    home.write("config.toml", "[hub]\nkeep_alive_secs = 1\n");
    let refused = script("start").ended_with(6);
    assert!(
        refused.stdout.contains("the configuration is wrong"),
        "{refused:?}"
    );
}
