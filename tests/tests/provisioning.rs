//! How a device comes to its hub: connection strings, keys and certificates in files, the provisioning service, and
//! the identities of its modules. The service is the stand-in of the tests.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use wasm_edge_tests::certificates::{Authority, ClientCertificate};
use wasm_edge_tests::daemon::{Daemon, DaemonOptions};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::dps_stand_in::{DpsStandIn, Face, Reply};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::{HubOptions, HubServe};
use wasm_edge_tests::management::Management;
use wasm_edge_tests::mqtt::Carrier;
use wasm_edge_tests::process::Process;
use wasm_edge_tests::{http, wait};

const SCOPE: &str = "0ne00000001";

/// Keys of 16 and more bytes, in base64.
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const OTHER_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of tests is text")
}

fn deployment() -> Deployment {
    Deployment::new().module(Module::guest("twin-echo").desired(json!({ "x": 5 })))
}

/// Makes an identity that may run modules, as the service does.
fn make(hub: &HubServe<'_>, device: &str, authentication: &Value) {
    hub.make_device_with(device, authentication);
    hub.apply(device, &deployment());
}

fn keyed(key: &str) -> Value {
    json!({ "type": "sas", "symmetricKey": { "primaryKey": key, "secondaryKey": key } })
}

fn at(hub: &HubServe<'_>) -> DaemonOptions {
    DaemonOptions::new()
        .at(hub)
        .set("deployment", "file_images", true)
}

/// The device runs what its hub deployed.
fn runs(hub: &HubServe<'_>, device: &str) {
    hub.wait_deployed(device);
    hub.wait_reported(device, "twin-echo", "/x", &json!(5));
}

/// A hub, a stand-in that assigns to it, and a home for a device that trusts both.
struct Service<'a> {
    hub: HubServe<'a>,
    dps: DpsStandIn,
}

impl<'a> Service<'a> {
    fn start(hub_home: &'a Home) -> Self {
        let hub = HubServe::start(hub_home);
        let dps = DpsStandIn::start(SCOPE, "localhost");
        Self { hub, dps }
    }

    /// Of a device that registers by the key in a file.
    fn options(&self, home: &Home, registration_id: &str, key: &str) -> DaemonOptions {
        let key = home.write_secret("registration.key", key);
        self.trusting(home)
            .set("provisioning", "registration_id", registration_id)
            .set("provisioning", "key_file", text(&key))
    }

    fn trusting(&self, home: &Home) -> DaemonOptions {
        let both = format!("{}{}", self.hub.ca_pem(), self.dps.ca_pem());
        let both = home.write("ca.pem", both);
        at(&self.hub)
            .set("hub", "ca_file", text(&both))
            .set("provisioning", "source", "dps")
            .set("provisioning", "id_scope", SCOPE)
            .set(
                "provisioning",
                "global_endpoint",
                format!("localhost:{}", self.dps.port()),
            )
    }
}

#[test]
fn a_connection_string_and_a_key_may_lie_in_files() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    make(&hub, "d1", &keyed(KEY));
    let told = hub.verb(&["hub", "connection-string", "d1"]).ok();
    let connection_string = home.write_secret("connection-string", &told.stdout);
    let options = at(&hub)
        .set("provisioning", "source", "connection-string")
        .set(
            "provisioning",
            "connection_string_file",
            text(&connection_string),
        );
    let daemon = options.start(&home);
    runs(&hub, "d1");
    let outcome = daemon.stop().ok();
    assert!(!outcome.stderr.contains("can read"), "{}", outcome.stderr);

    let key = home.write_secret("device.key", format!("{KEY}\n"));
    fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("it is ours");
    let options = at(&hub)
        .set("provisioning", "source", "sas-key-file")
        .set("provisioning", "host_name", "localhost")
        .set("provisioning", "device_id", "d1")
        .set("provisioning", "key_file", text(&key));
    let daemon = options.start(&home);
    daemon.wait_says(0, "connected to the hub");
    let outcome = daemon.stop().ok();
    assert!(
        outcome
            .stderr
            .contains("everybody on this machine can read"),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains(KEY), "{}", outcome.stderr);
}

#[test]
fn what_provisioning_names_and_cannot_be_used_ends_the_start_without_a_secret() {
    let home = Home::new();
    let check = |file: &str, content: &str, expected: &str| {
        let file = home.write_secret(file, content);
        let options = DaemonOptions::new()
            .set("provisioning", "source", "sas-key-file")
            .set("provisioning", "host_name", "localhost")
            .set("provisioning", "device_id", "d1")
            .set("provisioning", "key_file", text(&file));
        let outcome = options.to_end(&home);
        assert_eq!(outcome.status, Some(78), "{outcome:?}");
        assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("c2VjcmV0"), "{}", outcome.stderr);
    };
    check("short.key", "c2VjcmV0", "a key is base64 of 16 to 64 bytes");
    check("long.key", &"c2VjcmV0".repeat(1000), "file too large");
}

#[test]
fn a_device_is_known_by_its_certificate_and_its_modules_by_keys() {
    let (hub_home, home) = (Home::new(), Home::new());
    let factory = Authority::new("factory");
    let file = hub_home.write("client-ca.pem", factory.pem());
    let hub = HubOptions::new()
        .args(["--client-ca", text(&file)])
        .start(&hub_home);
    let own = ClientCertificate::self_signed("whoever", (2020, 2099));
    let thumbprints = json!({ "primaryThumbprint": own.sha256(), "secondaryThumbprint": "" });
    let by_thumbprint = json!({ "type": "selfSigned", "x509Thumbprint": thumbprints });
    make(&hub, "x1", &by_thumbprint);
    make(&hub, "x2", &json!({ "type": "certificateAuthority" }));
    let issued = factory.issue("x2", (2020, 2099));
    let options = |home: &Home, certificate: &ClientCertificate| {
        let key = home.write_secret("device-key.pem", certificate.key_pem());
        let certificate = home.write("device.pem", certificate.pem());
        at(&hub)
            .set("provisioning", "certificate_file", text(&certificate))
            .set("provisioning", "private_key_file", text(&key))
    };
    let x509 = |device: &str, certificate: &ClientCertificate| {
        options(&home, certificate)
            .set("provisioning", "source", "x509")
            .set("provisioning", "host_name", "localhost")
            .set("provisioning", "device_id", device)
    };
    let daemon = x509("x1", &own).start(&home);
    runs(&hub, "x1");
    daemon.stop().ok();

    let other_home = Home::new();
    let daemon = options(&other_home, &issued)
        .set("provisioning", "source", "connection-string")
        .set(
            "provisioning",
            "connection_string",
            "HostName=localhost;DeviceId=x2;x509=true",
        )
        .start(&other_home);
    runs(&hub, "x2");
    let module = hub.get("/devices/x2/modules/twin-echo");
    assert_eq!(module["authentication"]["type"], "sas", "{module}");
    daemon.stop().ok();

    // Somebody else's certificate opens nothing.
    let home = Home::new();
    let daemon = options(&home, &issued)
        .set("provisioning", "source", "x509")
        .set("provisioning", "host_name", "localhost")
        .set("provisioning", "device_id", "x1")
        .start(&home);
    daemon.wait_says(0, "401 IotHubUnauthorizedAccess");
}

#[test]
fn a_registered_device_starts_without_the_service_and_without_its_hub() {
    let (hub_home, home) = (Home::new(), Home::new());
    let service = Service::start(&hub_home);
    service.dps.enrol("board-1", KEY);
    make(&service.hub, "board-1", &keyed(KEY));
    let retry_after = Some(1);
    service.dps.reply([
        Reply::Assigning { retry_after },
        Reply::Assigning { retry_after: None },
    ]);
    let options = service.options(&home, "board-1", KEY);
    let daemon = options.start(&home);
    runs(&service.hub, "board-1");
    assert_eq!(service.dps.times("register board-1"), 1);
    assert_eq!(service.dps.times("status board-1"), 2);
    daemon.kill();

    let hub = service.hub.kill();
    let daemon = options.start(&home);
    daemon.wait_running();
    assert_eq!(service.dps.times("register board-1"), 1);
    let hub = hub.start(&hub_home);
    hub.patch("board-1", "twin-echo", &json!({ "x": 6 }));
    hub.wait_reported("board-1", "twin-echo", "/x", &json!(6));
    daemon.stop().ok();

    // Whatever lies there: the service is asked where it makes no sense.
    let kept = home.in_data("provisioning/assignment.enc");
    let good = fs::read(&kept).expect("the assignment is kept");
    fs::write(&kept, &good[..good.len() / 2]).expect("it is ours");
    let daemon = options.start(&home);
    daemon.wait_says(0, "the stored assignment cannot be read");
    daemon.wait_says(0, "connected to the hub");
    assert_eq!(service.dps.times("register board-1"), 2);
    daemon.stop().ok();
}

#[test]
fn a_registration_may_have_a_key_of_its_group_or_a_certificate() {
    let (hub_home, home) = (Home::new(), Home::new());
    let factory = Authority::new("factory");
    let hub = HubServe::start(&hub_home);
    let face = Face {
        clients: Some(factory.pem()),
        ..Face::default()
    };
    let dps = DpsStandIn::start_at(face, SCOPE, "localhost");
    let service = Service { hub, dps };
    service.dps.enrol_group(KEY);
    // base64(HMAC-SHA256(KEY, "board-2")), as any tool derives it.
    let derived = "AueCoJGQjpYBlbl+YCly8YAHFnn6uJY9LTSV/2AKo9M=";
    make(&service.hub, "board-2", &keyed(derived));
    let options = service.options(&home, "board-2", KEY);
    let daemon = options
        .clone()
        .set("provisioning", "group", true)
        .start(&home);
    runs(&service.hub, "board-2");
    daemon.stop().ok();

    let own_home = Home::new();
    let daemon = service
        .options(&own_home, "board-2", derived)
        .start(&own_home);
    daemon.wait_says(0, "connected to the hub");
    daemon.stop().ok();

    let certified_home = Home::new();
    let issued = factory.issue("board-3", (2020, 2099));
    let thumbprints = json!({ "primaryThumbprint": issued.sha256(), "secondaryThumbprint": "" });
    let by_thumbprint = json!({ "type": "selfSigned", "x509Thumbprint": thumbprints });
    make(&service.hub, "board-3", &by_thumbprint);
    let key = certified_home.write_secret("key.pem", issued.key_pem());
    let certificate = certified_home.write("cert.pem", issued.pem());
    let daemon = service
        .trusting(&certified_home)
        .set("provisioning", "registration_id", "board-3")
        .set("provisioning", "certificate_file", text(&certificate))
        .set("provisioning", "private_key_file", text(&key))
        .start(&certified_home);
    runs(&service.hub, "board-3");
    daemon.stop().ok();
}

#[test]
fn all_goes_over_websocket_where_that_is_set() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let face = Face {
        carrier: Carrier::WebSocket,
        ..Face::default()
    };
    let dps = DpsStandIn::start_at(face, SCOPE, "localhost");
    let service = Service { hub, dps };
    service.dps.enrol("board-1", KEY);
    make(&service.hub, "board-1", &keyed(KEY));
    let retry_after = Some(1);
    service.dps.reply([Reply::Assigning { retry_after }]);
    // Nobody speaks MQTT without it there.
    let options = service
        .options(&home, "board-1", KEY)
        .set("hub", "transport", "mqtt-ws")
        .set("hub", "mqtt_port", 1);
    let daemon = options.start(&home);
    runs(&service.hub, "board-1");
    daemon.stop().ok();
}

#[test]
fn a_device_without_a_hub_asks_the_service_until_it_has_one() {
    let (hub_home, home) = (Home::new(), Home::new());
    let service = Service::start(&hub_home);
    make(&service.hub, "board-1", &keyed(OTHER_KEY));
    service.dps.enrol("board-1", KEY);
    let options = service.options(&home, "board-1", OTHER_KEY);
    let mut process = Process::start(options.command(&home));
    service.dps.wait_asked("refused board-1", 1);
    service.dps.enrol("board-1", OTHER_KEY);
    service.dps.reply([
        Reply::Close,
        Reply::Error {
            status: 500,
            code: 500_001,
            message: "Internal",
        },
    ]);
    Management::of(&home).wait_answers(&mut process);
    runs(&service.hub, "board-1");
    let said = process.stderr.text();
    assert!(
        said.contains("the provisioning service refuses: the broker refused the connection"),
        "{said}"
    );
    assert!(!said.contains(KEY) && !said.contains(OTHER_KEY), "{said}");
}

#[test]
fn a_device_that_is_moved_starts_anew_under_its_new_identity() {
    let (hub_home, home) = (Home::new(), Home::new());
    let service = Service::start(&hub_home);
    service.dps.enrol("board-1", KEY);
    make(&service.hub, "board-1", &keyed(KEY));
    let daemon = service.options(&home, "board-1", KEY).start(&home);
    runs(&service.hub, "board-1");
    let process = daemon.get("/v1/info")["pid"].clone();

    make(&service.hub, "moved", &keyed(KEY));
    service.dps.assign("localhost", Some("moved"));
    let deleted = service.hub.ask("DELETE", "/devices/board-1", None);
    assert_eq!(deleted.status, 204, "{deleted:?}");
    runs(&service.hub, "moved");
    let info = wait::until("the device to be another", || {
        let info = http::ask(&home.data(), "GET", "/v1/info", None)?.body;
        (info["devices"] == json!(["moved"])).then_some(info)
    });
    assert_eq!(info["pid"], process, "{info}");
    daemon.wait_says(0, "the device belongs elsewhere now");
    service.hub.patch("moved", "twin-echo", &json!({ "x": 8 }));
    service
        .hub
        .wait_reported("moved", "twin-echo", "/x", &json!(8));
    daemon.stop().ok();
}

#[test]
fn a_device_whose_policy_is_never_stays_where_it_is() {
    let (hub_home, home) = (Home::new(), Home::new());
    let service = Service::start(&hub_home);
    service.dps.enrol("board-1", KEY);
    make(&service.hub, "board-1", &keyed(KEY));
    let options = service.options(&home, "board-1", KEY);
    let never = options.clone().set("provisioning", "reprovision", "never");
    let daemon = never.start(&home);
    runs(&service.hub, "board-1");
    let deleted = service.hub.ask("DELETE", "/devices/board-1", None);
    assert_eq!(deleted.status, 204, "{deleted:?}");
    daemon.wait_says(0, "the hub refuses the device");
    daemon.stop().ok();
    assert_eq!(service.dps.times("register board-1"), 1);

    // At the start it is asked, and what was assigned before holds where it does not answer.
    let at_start = options.set("provisioning", "reprovision", "at-start");
    service.dps.reply([Reply::Ended("disabled")]);
    let daemon = at_start.start(&home);
    daemon.wait_says(0, "the device keeps the hub that it was assigned before");
    assert_eq!(service.dps.times("register board-1"), 2);
    daemon.stop().ok();
}

fn started<'a>(home: &'a Home, hub: &HubServe<'_>, options: &DaemonOptions) -> Daemon<'a> {
    let daemon = options.start(home);
    runs(hub, "d1");
    daemon
}

#[test]
fn identities_are_known_from_disk_and_asked_for_only_when_refused() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let options = DaemonOptions::of_hub(&hub, &hub.make_device("d1"));
    hub.apply("d1", &deployment());
    let daemon = started(&home, &hub, &options);
    let generation = |module: &str| {
        let identity = hub.get(&format!("/devices/d1/modules/{module}"));
        identity["generationId"].as_str().expect("text").to_owned()
    };
    let first = generation("twin-echo");
    daemon.stop().ok();

    // Nobody listens for requests there any more: none is made.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = nowhere.local_addr().expect("it listens").port();
    drop(nowhere);
    let daemon = options.clone().set("hub", "https_port", port).start(&home);
    hub.patch("d1", "twin-echo", &json!({ "x": 6 }));
    hub.wait_reported("d1", "twin-echo", "/x", &json!(6));
    daemon.stop().ok();

    // Another identity of the same name: it is given keys, and the module connects as it.
    let daemon = options.start(&home);
    daemon.wait_running();
    let deleted = hub.ask("DELETE", "/devices/d1/modules/twin-echo", None);
    assert_eq!(deleted.status, 204, "{deleted:?}");
    wait::until_so("the identity to be made again", || {
        hub.ask("GET", "/devices/d1/modules/twin-echo", None).status == 200
    });
    hub.patch("d1", "twin-echo", &json!({ "x": 7 }));
    hub.wait_reported("d1", "twin-echo", "/x", &json!(7));
    assert_ne!(generation("twin-echo"), first);

    // Keys that somebody replaced are set again.
    let path = "/devices/d1/modules/twin-echo";
    let mut identity = hub.get(path);
    identity["authentication"] = keyed(OTHER_KEY);
    let whatever = ["if-match: *"];
    let answer = http::ask_with(&hub.data(), "PUT", path, &whatever, Some(&identity));
    assert_eq!(answer.map(|answer| answer.status), Some(200));
    wait::until_so("the module's own key to be at the hub", || {
        hub.get(path)["authentication"] != identity["authentication"]
    });
    hub.patch("d1", "twin-echo", &json!({ "x": 8 }));
    hub.wait_reported("d1", "twin-echo", "/x", &json!(8));
    daemon.stop().ok();
}
