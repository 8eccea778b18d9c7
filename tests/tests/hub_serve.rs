//! `hub serve` and `hub ca`: what listens, with which certificate, what is told, and how it ends.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::{HubOptions, HubServe};
use wasm_edge_tests::process::Process;
use wasm_edge_tests::tls::TlsClient;
use wasm_edge_tests::tokens::Token;
use wasm_edge_tests::wait;

/// What a hub says by HTTPS to somebody without credentials: enough to know that it serves.
fn answers_by_https(hub: &HubServe<'_>, client: &TlsClient) {
    let answer = client.ask(hub.https_port(), "GET", "/devices", &[], None);
    assert_eq!(answer.status, 401, "{answer:?}");
}

/// A certificate for `localhost` that signs itself, and its key (PEM).
fn self_signed() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_hub_that_started_tells_where_it_is_and_ends_in_order() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    assert_eq!(hub.get("/health/ready")["status"], "ready");
    let info = hub.get("/v1/info");
    assert_eq!(info["pid"], hub.process.id());
    assert_eq!(info["mqtt"], hub.told["mqtt"]);
    assert!(info.get("connectionStrings").is_none(), "{info}");
    let owner = hub.connection_string("iothubowner");
    let https = hub.https_port();
    let expected = format!("HostName=localhost:{https};SharedAccessKeyName=iothubowner;");
    assert!(owner.starts_with(&expected), "{owner}");
    let ended = hub.stop().ok();
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_person_is_told_the_owners_connection_string_at_the_first_start_alone() {
    let home = Home::new();
    let start = || {
        let args = [
            "hub",
            "serve",
            "--listen",
            "127.0.0.1",
            "--mqtt-port",
            "0",
            "--https-port",
            "0",
        ];
        let mut command = home.command(args);
        command.arg("--data-dir").arg(home.data());
        let mut process = Process::start(command);
        let listens = process.stderr.find(0, |line| {
            (line.contains("hub connection-string") || line.contains("the owner connects"))
                .then_some(())
        });
        assert!(listens.is_some(), "{}", process.stderr.text());
        process.signal(Signal::TERM);
        process.wait().ok()
    };
    let first = start();
    assert!(first.stdout.starts_with("HostName=localhost:"), "{first:?}");
    assert_eq!(first.stdout.lines().count(), 1);
    assert!(first.stderr.contains("hub/pki/ca.pem"), "{first:?}");
    let second = start();
    assert_eq!(second.stdout, "");
    assert!(!second.stderr.contains("SharedAccessKey"), "{second:?}");
}

#[test]
fn tls_of_both_versions_is_spoken_on_both_ports() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    for version in [&TLS12, &TLS13] {
        let client = TlsClient::of(&hub).only(version);
        answers_by_https(&hub, &client);
        let stream = client.connect(hub.mqtt_port()).unwrap();
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
    }
}

#[test]
fn a_client_that_looks_for_another_name_or_authority_turns_away() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    let client = TlsClient::of(&hub);
    answers_by_https(&hub, &client.clone().server_name("127.0.0.1"));
    let refused = |client: TlsClient| client.connect(hub.mqtt_port()).unwrap_err().to_string();
    let err = refused(client.server_name("hub.test"));
    assert!(err.contains("not valid for name"), "{err}");
    let err = refused(TlsClient::new(self_signed().0));
    assert!(err.contains("UnknownIssuer"), "{err}");
}

#[test]
fn names_that_are_asked_for_are_in_the_certificate_also_later() {
    let home = Home::new();
    let first = HubServe::start(&home);
    let ca = first.ca_pem();
    first.stop().ok();
    let names = ["--host-name", "hub.test", "--host-name", "192.0.2.1"];
    let hub = HubOptions::new().args(names).start(&home);
    assert_eq!(hub.ca_pem(), ca);
    for name in ["hub.test", "192.0.2.1", "localhost", "127.0.0.1", "::1"] {
        answers_by_https(&hub, &TlsClient::of(&hub).server_name(name));
    }
    assert_eq!(hub.get("/v1/info")["hubHostName"], "hub.test");
}

#[test]
fn the_authority_outlives_a_kill_and_the_ports_are_taken_again() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    let (ca, mqtt) = (hub.ca_pem(), hub.mqtt_port());
    let owner = hub.connection_string("iothubowner");
    let client = TlsClient::of(&hub);
    // A connection that the kill breaks off leaves the port in the system's memory for a while.
    let _stream = client.connect(mqtt).unwrap();
    let hub = hub.kill_and_restart();
    assert_eq!((hub.ca_pem(), hub.mqtt_port()), (ca.clone(), mqtt));
    assert_eq!(hub.connection_string("iothubowner"), owner);
    answers_by_https(&hub, &client);
    assert_eq!(hub.verb(&["hub", "ca"]).ok().stdout, ca);
    for file in ["authority.key", "ca.pem", "server.pem"] {
        assert_eq!(mode(&home.in_data("hub/pki").join(file)), 0o600, "{file}");
    }
}

#[test]
fn an_authority_that_is_damaged_is_not_replaced() {
    let home = Home::new();
    HubServe::start(&home).stop().ok();
    let file = home.in_data("hub/pki/authority.key");
    fs::write(&file, "wasm-edge hub authority 1\n").unwrap();
    let ended = HubOptions::new().to_end(&home);
    ended
        .ended_with(78)
        .says(&["`pki/authority.key` is damaged"]);
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "wasm-edge hub authority 1\n"
    );
}

#[test]
fn a_database_that_is_damaged_or_of_a_later_format_is_not_replaced() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    hub.verb(&["hub", "device", "create", "d1"]).ok();
    hub.stop().ok();
    let file = home.in_data("hub/hub.redb");
    let whole = fs::read(&file).unwrap();
    let cut = whole[..whole.len() - 1].to_vec();
    let mut later = whole.clone();
    later[64] = 131;
    for damaged in [cut, later] {
        fs::write(&file, &damaged).unwrap();
        HubOptions::new()
            .to_end(&home)
            .ended_with(78)
            .says(&["hub.redb` cannot be used", "put a copy of it back"]);
        assert!(fs::read(&file).unwrap() == damaged, "it was changed");
    }
    fs::write(&file, &whole).unwrap();
    let hub = HubServe::start(&home);
    hub.verb(&["hub", "device", "show", "d1"]).ok();
    hub.stop().ok();
}

#[test]
fn a_given_certificate_is_shown_and_read_again_at_a_hangup() {
    let home = Home::new();
    let (first, second) = (self_signed(), self_signed());
    let write = |(certificate, key): &(String, String)| {
        (
            home.write("hub.pem", certificate),
            home.write("hub.key", key),
        )
    };
    let (certificate, key) = write(&first);
    let args = [
        "--certificate".into(),
        certificate.into(),
        "--key".into(),
        key.into_os_string(),
    ];
    let hub = HubOptions::new()
        .args::<std::ffi::OsString>(args)
        .start(&home);
    assert_eq!(hub.told["caFile"], Value::Null);
    answers_by_https(&hub, &TlsClient::new(&first.0));
    write(&second);
    hub.process.signal(Signal::HUP);
    wait::until_so("the new certificate to be shown", || {
        TlsClient::new(&second.0).connect(hub.mqtt_port()).is_ok()
    });
    assert!(TlsClient::new(&first.0).connect(hub.mqtt_port()).is_err());
    // One that cannot be used changes nothing.
    home.write("hub.key", &first.1);
    hub.process.signal(Signal::HUP);
    let told = hub.process.stderr.find(0, |line| {
        line.contains("the certificate was not read again")
            .then_some(())
    });
    assert!(told.is_some(), "{}", hub.process.stderr.text());
    answers_by_https(&hub, &TlsClient::new(&second.0));
    let ended = hub.stop().ok();
    assert!(!ended.stderr.contains("PRIVATE"), "{ended:?}");
}

#[test]
fn a_certificate_that_cannot_be_used_is_a_wrong_configuration() {
    let home = Home::new();
    let (certificate, _) = self_signed();
    let file = home.write("hub.pem", certificate);
    let other_key = home.write("hub.key", self_signed().1);
    let check = |key: &Path, expected: &str| {
        let args = [
            "--certificate".as_ref(),
            file.as_os_str(),
            "--key".as_ref(),
            key.as_os_str(),
        ];
        let ended = HubOptions::new().args(args).to_end(&home);
        ended.ended_with(78).says(&[expected]);
    };
    check(&other_key, "cannot be used");
    check(&file, "holds no private key");
    check(Path::new("/none.key"), "cannot read `/none.key`");
}

#[test]
fn a_port_in_use_is_an_error_with_a_way_out() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let ended = HubOptions::new().ports(address.port(), 0).to_end(&home);
    let cannot = format!("cannot listen on `{address}` for MQTT");
    ended
        .ended_with(1)
        .says(&[&cannot, "hint: ", "--mqtt-port PORT"]);
}

/// The binary in a network of its own in which it may not listen on ports below 1024.
fn without_privileges(home: &Home, args: &[&str]) -> Process {
    let mut command = home.program("unshare", ["--user", "--map-root-user", "--net"]);
    command.args([
        "setpriv",
        "--bounding-set",
        "-net_bind_service",
        "--inh-caps",
        "-net_bind_service",
    ]);
    command.arg(wasm_edge_tests::paths::binary());
    command.args(["hub", "serve", "--listen", "0.0.0.0", "--output", "json"]);
    command.args(args).arg("--data-dir").arg(home.data());
    Process::start(command)
}

#[test]
fn https_takes_another_port_where_443_is_not_permitted() {
    let home = Home::new();
    let mut hub = without_privileges(&home, &[]);
    let found = hub
        .stdout
        .find(0, |line| serde_json::from_str::<Value>(line).ok());
    let Some((told, _)) = found else {
        panic!("the hub does not listen: {:#?}", hub.wait());
    };
    assert_eq!(told["https"], json!(["0.0.0.0:8443"]));
    assert_eq!(told["mqtt"], json!(["0.0.0.0:8883"]));
    hub.signal(Signal::TERM);
    hub.wait()
        .ok()
        .says(&["warning: port 443 is not permitted: HTTPS takes 8443"]);
}

#[test]
fn a_port_that_was_asked_for_and_is_not_permitted_is_an_error() {
    let home = Home::new();
    let ended = without_privileges(&home, &["--https-port", "443"]).wait();
    let texts = [
        "cannot listen on `0.0.0.0:443` for HTTPS",
        "CAP_NET_BIND_SERVICE",
    ];
    ended.ended_with(1).says(&texts);
}

#[test]
fn a_second_signal_ends_at_once() {
    let home = Home::new();
    let mut hub = HubServe::start(&home);
    let policy = "service";
    let connection_string = hub.connection_string(policy);
    let (_, key) = connection_string
        .split_once("SharedAccessKey=")
        .expect("the connection string has a key");
    let token = Token::new(key, "localhost").of_policy(policy).text();
    let mut busy = TlsClient::of(&hub).connect(hub.https_port()).unwrap();
    // A request whose body never comes keeps the orderly end waiting; that the hub waits for the body it says.
    let request = format!(
        "POST /devices/query HTTP/1.1\r\nhost: localhost\r\nauthorization: {token}\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
    );
    busy.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 12];
    busy.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    let port = hub.mqtt_port();
    hub.process.signal(Signal::TERM);
    wait::until_so("the listener to close", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err()
    });
    hub.process.signal(Signal::TERM);
    let ended = hub.process.wait();
    assert!(matches!(ended.status, Some(130)), "{ended:?}");
}

#[test]
fn a_certificate_for_a_device_is_issued_with_the_hub_running_or_not() {
    let home = Home::new();
    let issue = |device: &str| {
        home.verb(&[
            "hub",
            "ca",
            "issue",
            device,
            "--output",
            "json",
            "--data-dir",
            "data",
        ])
    };
    let first = issue("d1").ok().json();
    assert_eq!(first["certificateFile"], "./d1.cert.pem");
    assert_eq!(mode(&home.path().join("d1.key.pem")), 0o600);
    assert_eq!(first["sha1Thumbprint"].as_str().unwrap().len(), 40);
    assert_eq!(first["sha256Thumbprint"].as_str().unwrap().len(), 64);
    issue("d1")
        .ended_with(1)
        .says(&["cannot write `./d1.key.pem`", "--dir DIR"]);
    let args = [
        "hub",
        "ca",
        "issue",
        "d1",
        "$m",
        "--output",
        "json",
        "--data-dir",
        "data",
    ];
    let of_module = home.verb(&args).ok().json();
    assert_eq!(of_module["commonName"], "d1/$m");
    assert_eq!(of_module["keyFile"], "./d1.%24m.key.pem");
    let hub = HubServe::start(&home);
    issue("d/2").ended_with(2);
    issue("d:2").ok();
    let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap();
    let client = TlsClient::of(&hub).identity(&read("d%3A2.cert.pem"), &read("d%3A2.key.pem"));
    answers_by_https(&hub, &client);
    // Without `--data-dir` it is the hub that runs.
    let file = home.path().join("exported.pem");
    let ended = home
        .verb(&["hub", "ca", "--output-file", file.to_str().unwrap()])
        .ok();
    assert_eq!(ended.stdout, "");
    assert_eq!(fs::read_to_string(&file).unwrap(), hub.ca_pem());
}
