//! The verbs that operate a hub: on its machine by the control socket, and from elsewhere by `--hub`.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::mqtt::Mqtt;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::process::Process;
use wasm_edge_tests::wait;

/// A key of 32 bytes that no hub has made.
const OTHER_KEY: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=";

/// The part of it that nothing may print.
const OTHER_KEY_PART: &str = "c2VjcmV0";

/// Checks of what this machine is like, which is no matter of these tests.
const OF_MACHINE: &str = "clock,disk,memory,open-files,kernel,address-space,configuration";

/// Runs a verb on a hub over the network, in a home that knows no process of this machine.
fn far(hub: &HubServe<'_>, policy: &str, args: &[&str]) -> Outcome {
    with(hub, &hub.connection_string(policy), args)
}

fn with(hub: &HubServe<'_>, connection_string: &str, args: &[&str]) -> Outcome {
    let ca = hub.ca_file();
    let ca = ca.to_str().expect("the path is text");
    let options = ["--hub", connection_string, "--hub-ca", ca];
    Home::new().verb(&[args, &options].concat())
}

fn key_of(connection_string: &str) -> &str {
    let key = connection_string.split("SharedAccessKey=").nth(1);
    key.expect("there is a key")
        .split(';')
        .next()
        .unwrap_or_default()
}

#[test]
fn a_device_is_made_shown_changed_and_deleted_from_elsewhere_and_on_the_hubs_machine() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    let made = far(
        &hub,
        "iothubowner",
        &["hub", "device", "create", "d1", "--edge"],
    )
    .ok();
    let connection_string = made.stdout.trim_end();
    assert!(
        connection_string.starts_with("HostName=localhost;DeviceId=d1;SharedAccessKey="),
        "{made:?}"
    );
    let near = hub.verb(&["hub", "connection-string", "d1"]).ok();
    assert_eq!(near.stdout.trim_end(), connection_string);
    let shown = hub
        .verb(&["hub", "device", "show", "d1", "--output", "json"])
        .ok()
        .json();
    assert_eq!(shown["capabilities"]["iotEdge"], true);
    let primary = shown["authentication"]["symmetricKey"]["primaryKey"].as_str();
    assert_eq!(primary, Some(key_of(connection_string)));
    // People see no key.
    let text = far(&hub, "iothubowner", &["hub", "device", "show", "d1"])
        .ok()
        .stdout;
    assert!(
        text.contains("enabled") && !text.contains(key_of(connection_string)),
        "{text}"
    );

    let changed = far(
        &hub,
        "iothubowner",
        &[
            "hub",
            "device",
            "update",
            "d1",
            "--new-keys",
            "--disabled",
            "--status-reason",
            "moved",
        ],
    );
    let changed = changed.ok();
    assert_ne!(key_of(changed.stdout.trim_end()), key_of(connection_string));
    let shown = hub
        .verb(&["hub", "device", "show", "d1", "--output", "json"])
        .ok()
        .json();
    assert_eq!(shown["status"], "disabled");
    assert_eq!(shown["statusReason"], "moved");
    assert_eq!(shown["capabilities"]["iotEdge"], true);
    let again = [
        "hub", "device", "update", "d1", "--status", "enabled", "--etag", "MQ==",
    ];
    far(&hub, "iothubowner", &again)
        .ended_with(6)
        .says(&["cannot change the device `d1`"]);

    let twice = hub.verb(&["hub", "device", "create", "d1"]).ended_with(1);
    twice.says(&["cannot create the device `d1`", "(DeviceAlreadyExists)"]);
    far(&hub, "iothubowner", &["hub", "device", "delete", "d1"]).ok();
    let gone = hub.verb(&["hub", "device", "show", "d1"]).ended_with(4);
    gone.says(&["cannot show the device `d1`", "(DeviceNotFound)"]);
    hub.stop().ok();
}

#[test]
fn identities_have_the_keys_and_certificates_that_are_given() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    let authentication = |id: &str, args: &[&str]| {
        hub.verb(&[&["hub", "device", "create", id], args].concat())
            .ok();
        let shown = hub
            .verb(&["hub", "device", "show", id, "--output", "json"])
            .ok();
        shown.json()["authentication"].clone()
    };
    let file = home.write("key", format!("{OTHER_KEY}\n"));
    let file = format!("@{}", file.display());
    let keys = authentication(
        "keys",
        &["--primary-key", &file, "--secondary-key", OTHER_KEY],
    );
    assert_eq!(keys["symmetricKey"]["primaryKey"], OTHER_KEY);
    assert_eq!(keys["type"], "sas");
    let (first, second) = ("AB".repeat(32), "CD".repeat(20));
    let by_thumbprint = ["--x509-thumbprint", &first, "--x509-thumbprint", &second];
    let thumbprints = authentication("self-signed", &by_thumbprint);
    assert_eq!(thumbprints["type"], "selfSigned");
    assert_eq!(thumbprints["x509Thumbprint"]["primaryThumbprint"], first);
    assert_eq!(thumbprints["x509Thumbprint"]["secondaryThumbprint"], second);
    let by_authority = authentication("by-authority", &["--x509-ca"]);
    assert_eq!(by_authority["type"], "certificateAuthority");
    let text = hub
        .verb(&["hub", "connection-string", "by-authority"])
        .ok()
        .stdout;
    assert_eq!(text, "HostName=localhost;DeviceId=by-authority;x509=true\n");
    let wrong = [
        "hub",
        "device",
        "create",
        "x",
        "--primary-key",
        "c2VjcmV0",
        "--secondary-key",
        "c2VjcmV0",
    ];
    let wrong = hub
        .verb(&wrong)
        .ended_with(7)
        .says(&["`--primary-key` is no key"]);
    assert!(!wrong.stderr.contains(OTHER_KEY_PART), "{wrong:?}");
    hub.stop().ok();
}

#[test]
fn modules_are_made_listed_and_deleted() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    hub.verb(&["hub", "device", "create", "d1"]).ok();
    let made = hub
        .verb(&["hub", "module", "create", "d1", "m1", "--managed-by", "me"])
        .ok();
    let expected = "HostName=localhost;DeviceId=d1;ModuleId=m1;SharedAccessKey=";
    assert!(made.stdout.starts_with(expected), "{made:?}");
    let key = made.stdout.clone();
    let changed = hub
        .verb(&["hub", "module", "update", "d1", "m1", "--new-keys"])
        .ok();
    assert_ne!(changed.stdout, key);
    let listed = far(&hub, "registryRead", &["hub", "module", "list", "d1"]).ok();
    let expected = "MODULE  CONNECTION    AUTHENTICATION  MANAGED BY\nm1      Disconnected  sas             me\n";
    assert_eq!(listed.stdout, expected);
    hub.verb(&["hub", "module", "delete", "d1", "m1"]).ok();
    hub.verb(&["hub", "module", "show", "d1", "m1"])
        .ended_with(4);
    hub.verb(&["hub", "module", "list", "none"])
        .ended_with(4)
        .says(&["cannot list the modules of the device `none`"]);
    hub.stop().ok();
}

#[test]
fn a_list_is_sorted_and_says_when_there_may_be_more() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    for id in ["c", "a", "b"] {
        hub.verb(&["hub", "device", "create", id]).ok();
    }
    let listed = hub.verb(&["hub", "device", "list"]).ok();
    let ids: Vec<&str> = listed
        .stdout
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(ids, ["DEVICE", "a", "b", "c"]);
    assert_eq!(listed.stderr, "");
    hub.verb(&["hub", "device", "list", "--top", "2"])
        .ok()
        .says(&["there may be more than these 2"]);
    // By the twins, in pages.
    let all = far(
        &hub,
        "iothubowner",
        &["hub", "device", "list", "--top", "5000", "--output", "json"],
    )
    .ok();
    let all = all.json();
    let ids: Vec<&Value> = all
        .as_array()
        .expect("a list")
        .iter()
        .map(|device| &device["deviceId"])
        .collect();
    assert_eq!(ids, [&json!("a"), &json!("b"), &json!("c")]);
    hub.stop().ok();
}

#[test]
fn twins_methods_and_messages_go_to_a_hub_on_the_network() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    hub.verb(&["hub", "device", "create", "d1"]).ok();
    hub.verb(&["hub", "module", "create", "d1", "m1"]).ok();
    let on_d1 = ["--device", "d1"];
    far(
        &hub,
        "service",
        &[&["twin", "patch", "m1", "{\"interval\": 5}"][..], &on_d1].concat(),
    )
    .ok();
    let near = hub
        .verb(&["twin", "get", "m1", "--device", "d1", "--desired"])
        .ok()
        .json();
    assert_eq!(near["interval"], 5);
    let got = far(
        &hub,
        "service",
        &["twin", "get", "m1", "--device", "d1", "--desired"],
    )
    .ok();
    assert_eq!(got.json(), near);
    far(&hub, "service", &["twin", "get", "m1"])
        .ended_with(2)
        .says(&["a hub has many devices", "`--device ID`"]);
    far(&hub, "service", &["method", "m1", "ping", "--device", "d1"])
        .ended_with(4)
        .says(&[
            "the hub answered 404",
            "is not online or takes no direct methods",
        ]);
    let sent = far(
        &hub,
        "service",
        &[
            "hub",
            "send",
            "d1",
            "on",
            "--message-id",
            "7",
            "--output",
            "json",
        ],
    );
    let sent = sent.ok().json();
    assert_eq!(
        (&sent["messageId"], &sent["device"]),
        (&json!("7"), &json!("d1"))
    );
    let shown = hub
        .verb(&["hub", "device", "show", "d1", "--output", "json"])
        .ok()
        .json();
    assert_eq!(shown["cloudToDeviceMessageCount"], 1);
    let lines = home.write_lines("lines", &[json!({"body": 1}), json!({"bodyText": "two"})]);
    let lines = lines.to_str().expect("the path is text");
    hub.verb(&["hub", "send", "d1", "--file", lines, "--expires-in", "2h"])
        .ok();
    let shown = hub
        .verb(&["hub", "device", "show", "d1", "--output", "json"])
        .ok()
        .json();
    assert_eq!(shown["cloudToDeviceMessageCount"], 3);
    hub.verb(&["hub", "send", "none", "x"])
        .ended_with(4)
        .says(&["cannot send to the device `none`"]);
    // A process that is a hub alone runs no modules.
    hub.verb(&["list"])
        .ended_with(4)
        .says(&["is a hub and runs no device"]);
    let checked = hub.verb(&["check", "--dont-run", OF_MACHINE]).ok();
    let socket = checked.stdout.lines().find(|line| line.contains("socket"));
    let expected = "the running process is a hub and runs no device; it answers";
    assert!(
        socket.is_some_and(|line| line.starts_with("ok") && line.contains(expected)),
        "{checked:?}"
    );
    hub.stop().ok();
}

#[test]
fn the_connection_string_may_be_in_the_environment_or_in_a_file() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    hub.verb(&["hub", "device", "create", "d1"]).ok();
    let elsewhere = Home::new();
    let owner = hub.connection_string("iothubowner");
    let verb = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = elsewhere.command(args);
        command.envs(variables.iter().copied());
        Outcome::from(command.output().expect("the binary can be started"))
    };
    let ca = hub.ca_file().display().to_string();
    let named = [
        ("WASM_EDGE_HUB_CONNECTION_STRING", owner.as_str()),
        ("WASM_EDGE_HUB_CA", ca.as_str()),
    ];
    let show = ["hub", "device", "show", "d1"];
    verb(&show, &named).ok();
    let file = elsewhere.write("hub", format!("{owner}\n"));
    let file = format!("@{}", file.display());
    verb(
        &[&show[..], &["--hub", &file, "--hub-ca", &ca]].concat(),
        &[],
    )
    .ok();
    // What the command line says counts first, and help shows no secret.
    let folder = home.data().display().to_string();
    let wrong = [("WASM_EDGE_HUB_CONNECTION_STRING", "wrong")];
    verb(&[&show[..], &["--data-dir", &folder]].concat(), &wrong).ok();
    let both = [&show[..], &["--data-dir", &folder, "--hub", &owner]].concat();
    verb(&both, &[]).ended_with(2).says(&["one of them"]);
    let help = verb(&["hub", "device", "show", "--help"], &named).ok();
    assert!(!help.stdout.contains(key_of(&owner)), "{}", help.stdout);
    hub.stop().ok();
}

#[test]
fn a_bad_connection_string_is_told_by_its_key_and_never_shown() {
    let home = Home::new();
    let check = |text: &str, expected: &[&str]| {
        let outcome = home
            .verb(&["hub", "device", "list", "--hub", text])
            .ended_with(7)
            .says(expected);
        assert!(!outcome.stderr.contains(OTHER_KEY_PART), "{outcome:?}");
    };
    let key = OTHER_KEY;
    check("", &["`--hub` names no hub"]);
    check("nonsense", &["not of the form `key=value`"]);
    check(
        &format!("SharedAccessKeyName=p;SharedAccessKey={key}"),
        &["`HostName` is missing"],
    );
    check(
        &format!("HostName=a b;SharedAccessKeyName=p;SharedAccessKey={key}"),
        &["`HostName`"],
    );
    check(
        &format!("HostName=h;SharedAccessKey={key}"),
        &["`SharedAccessKeyName` is missing"],
    );
    check(
        "HostName=h;SharedAccessKeyName=p",
        &["`SharedAccessKey` is missing"],
    );
    check(
        &format!("HostName=h;SharedAccessKeyName=p;SharedAccessKey={key}!"),
        &["`SharedAccessKey`", "base64"],
    );
    check(
        &format!("HostName=h;SharedAccesKey={key}"),
        &["unknown key `SharedAccesKey`"],
    );
    check(&format!("HostName=h;{key}"), &["part 2"]);
    check(
        &format!("HostName=h;SharedAccessKeyName=p;SharedAccessKey={key};SharedAccessKey={key}"),
        &["`SharedAccessKey` occurs twice"],
    );
    check(
        &format!("HostName=h;DeviceId=d;SharedAccessKey={key}"),
        &["is that of a device"],
    );
    home.verb(&["hub", "device", "list", "--hub", "@/no/such/file"])
        .ended_with(4)
        .says(&["cannot read the connection string from `/no/such/file`"]);
}

#[test]
fn who_has_no_right_or_no_trust_or_nobody_to_ask_is_told_so() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    let create = ["hub", "device", "create", "d1"];
    for policy in ["registryRead", "device", "service"] {
        let refused = far(&hub, policy, &create).ended_with(1);
        refused.says(&["answered 401", "lacks the right"]);
    }
    let owner = hub.connection_string("iothubowner");
    let other_key = owner.replace(key_of(&owner), OTHER_KEY);
    let refused = with(&hub, &other_key, &create)
        .ended_with(1)
        .says(&["answered 401"]);
    assert!(!refused.stderr.contains(OTHER_KEY_PART), "{refused:?}");
    hub.verb(&["hub", "device", "show", "d1"]).ended_with(4);

    // By the system's certificates, and by those of another authority.
    let elsewhere = Home::new();
    let other =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let other = elsewhere.write("other.pem", other.cert.pem());
    let other = other.to_str().expect("the path is text");
    let untrusted = elsewhere.verb(&[&create[..], &["--hub", &owner, "--hub-ca", other]].concat());
    untrusted
        .ended_with(1)
        .says(&["is not trusted", "`--hub-ca FILE`"]);
    let no_pem = elsewhere.write("no.pem", "no certificate");
    let no_pem = no_pem.to_str().expect("the path is text");
    let no_pem = elsewhere.verb(&[&create[..], &["--hub", &owner, "--hub-ca", no_pem]].concat());
    no_pem.ended_with(7).says(&["holds no certificate"]);
    // The right certificate of another name.
    let other_name = owner.replace("localhost", "localhost.localdomain");
    let ca = hub.ca_file();
    let ca = ca.to_str().expect("the path is text").to_owned();
    let outcome = elsewhere.verb(&[&create[..], &["--hub", &other_name, "--hub-ca", &ca]].concat());
    assert!(matches!(outcome.status, Some(1 | 3)), "{outcome:?}");
    // The port of MQTT is none of HTTPS, and once it has ended nobody is there.
    let port = |port: u16| owner.replace(&hub.https_port().to_string(), &port.to_string());
    let wrong_port = with(&hub, &port(hub.mqtt_port()), &create);
    assert!(wrong_port.status != Some(0), "{wrong_port:?}");
    hub.stop().ok();
    let away = elsewhere.verb(&[&create[..], &["--hub", &owner, "--hub-ca", &ca]].concat());
    away.ended_with(3)
        .says(&["cannot reach the hub", "cannot connect to `localhost:"]);
}

#[test]
fn policies_are_told_on_the_hubs_machine_only() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    let text = hub
        .verb(&["hub", "connection-string", "--policy", "service"])
        .ok()
        .stdout;
    assert_eq!(text.trim_end(), hub.connection_string("service"));
    let second = hub
        .verb(&[
            "hub",
            "connection-string",
            "--policy",
            "service",
            "--secondary",
        ])
        .ok();
    assert_ne!(second.stdout, text);
    with(
        &hub,
        second.stdout.trim_end(),
        &["twin", "get", "--device", "none"],
    )
    .ended_with(4);
    far(&hub, "iothubowner", &["hub", "connection-string"])
        .ended_with(8)
        .says(&["on the hub's machine only"]);
    hub.verb(&["hub", "connection-string", "--policy", "none"])
        .ended_with(4)
        .says(&["no shared access policy `none`", "iothubowner"]);
    hub.stop().ok();
}

#[test]
fn what_azure_has_by_amqp_only_says_so() {
    let home = Home::new();
    let text = format!(
        "HostName=contoso.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey={OTHER_KEY}"
    );
    // So that it does not matter which certificates this machine has.
    let ca = rcgen::generate_simple_self_signed(["contoso".to_owned()]).expect("a certificate");
    let ca = home.write("ca.pem", ca.cert.pem());
    let ca = ca.to_str().expect("the path is text");
    for verb in [
        &["monitor"][..],
        &["hub", "send", "d1", "x"],
        &["hub", "events", "--consumer", "c"],
    ] {
        let outcome = home.verb(&[verb, &["--hub", &text, "--hub-ca", ca]].concat());
        outcome.ended_with(1).says(&["by AMQP only"]);
    }
    home.verb(&["monitor", "--where", "level ="])
        .ended_with(7)
        .says(&["does not compile", "^"]);
}

/// A verb on a hub over the network that goes on, in a home of its own.
fn far_process(elsewhere: &Home, hub: &HubServe<'_>, args: &[&str]) -> Process {
    let (owner, ca) = (hub.connection_string("iothubowner"), hub.ca_file());
    let ca = ca.to_str().expect("the path is text");
    let options = ["--hub", &owner, "--hub-ca", ca, "--output", "json"];
    Process::start(elsewhere.command([args, &options].concat()))
}

#[test]
fn what_arrives_and_what_changes_is_seen_from_elsewhere() {
    let (home, elsewhere) = (Home::new(), Home::new());
    let hub = HubServe::start(&home);
    hub.verb(&["hub", "device", "create", "d1"]).ok();
    let mut device = Mqtt::open(&hub, "d1");
    for (number, level) in [(0, "low"), (1, "high"), (2, "high")] {
        let topic = format!("devices/d1/messages/events/level={level}");
        device.publish(&topic, number.to_string());
    }
    let high = ["--from", "earliest", "--where", "level = 'high'"];
    let monitor = far_process(&elsewhere, &hub, &[&["monitor"][..], &high].concat());
    let (first, next) = monitor.find_json("a message", 0, |event| Some(event["bodyText"].clone()));
    let (second, _) = monitor.find_json("a message", next, |event| Some(event["bodyText"].clone()));
    assert_eq!((first, second), (json!("1"), json!("2")));
    let args = [
        &["hub", "events", "--consumer", "c", "--output", "json"][..],
        &high,
    ]
    .concat();
    let events = far(&hub, "service", &args).ok();
    assert_eq!(events.stdout.lines().count(), 2);
    assert_eq!(far(&hub, "service", &args[..6]).ok().stdout, "");
    far(&hub, "registryRead", &args[..6])
        .ended_with(1)
        .says(&["answered 401"]);

    let watch = far_process(&elsewhere, &hub, &["twin", "watch", "--device", "d1"]);
    let (_, next) = watch.find_json("the twin", 0, |twin| twin["deviceId"].as_str().map(drop));
    hub.verb(&["twin", "patch", "{\"interval\": 5}", "--device", "d1"])
        .ok();
    let desired = |twin: &Value| twin["properties"]["desired"]["interval"].as_u64();
    assert_eq!(watch.find_json("the change", next, desired).0, 5);
    hub.stop().ok();
}

#[test]
fn a_device_is_called_and_what_it_sent_is_shown_to_people() {
    let (home, elsewhere) = (Home::new(), Home::new());
    let hub = HubServe::start(&home);
    hub.verb(&["hub", "device", "create", "d1"]).ok();
    let mut device = Mqtt::open(&hub, "d1");
    device.publish("devices/d1/messages/events/", "21 degrees");
    // One command follows for ever, the other one ends with what there is.
    let events = hub.verb(&["hub", "events", "--consumer", "c", "--from", "earliest"]);
    let events = events.ok().stdout;
    assert!(
        events.contains("d1") && events.contains("21 degrees"),
        "{events}"
    );
    let monitor =
        Process::start(home.command(["monitor", "--from", "earliest", "--color", "never"]));
    monitor.find_line("the message", 0, |line| {
        line.contains("21 degrees").then_some(())
    });

    device.subscribe("$iothub/methods/POST/#");
    let mut call = far_process(
        &elsewhere,
        &hub,
        &["hub", "method", "d1", "reboot", "{\"delay\":5}"],
    );
    let request = device.message();
    assert_eq!(request.payload, r#"{"delay":5}"#);
    let id = request
        .topic
        .strip_prefix("$iothub/methods/POST/reboot/?$rid=");
    let id = id.expect("the topic names the method and the request");
    device.publish(&format!("$iothub/methods/res/202/?$rid={id}"), "true");
    let answer = call.wait().ok().json();
    assert_eq!(answer, json!({ "status": 202, "payload": true }));
    hub.verb(&["hub", "method", "none", "reboot"])
        .ended_with(4)
        .says(&["cannot call `reboot` of the device `none`"]);
    hub.stop().ok();
}

#[test]
fn a_deployment_goes_to_a_device_that_is_elsewhere_and_its_report_is_waited_for() {
    let (home, elsewhere) = (Home::new(), Home::new());
    let hub = HubServe::start(&home);
    hub.verb(&["hub", "device", "create", "d1", "--edge"]).ok();
    let file = Deployment::new()
        .module(Module::guest("feed"))
        .upstream("feed")
        .write(&home);
    let file = file.to_str().expect("the path is text");
    let apply = ["deploy", "apply", file, "--device", "d1"];
    far(&hub, "service", &[&apply[..], &["--no-wait"]].concat())
        .ended_with(1)
        .says(&["the hub does not take the deployment", "answered 401"]);
    far(&hub, "iothubowner", &[&apply[..], &["--no-wait"]].concat()).ok();
    far(
        &hub,
        "iothubowner",
        &[&apply[..], &["--timeout", "1s"]].concat(),
    )
    .ended_with(9)
    .says(&["not settled"]);
    let shown = far(
        &hub,
        "service",
        &["deploy", "show", "--device", "d1", "--output", "json"],
    );
    let shown = shown.ok().json();
    assert_eq!(shown["state"]["phase"], "unknown");
    let agent = &shown["deployment"]["modulesContent"]["$edgeAgent"]["properties.desired"];
    assert!(agent["modules"]["feed"].is_object(), "{shown}");

    let version = || {
        let twin = hub.get("/twins/d1/modules/%24edgeAgent");
        twin["properties"]["desired"]["$version"].as_u64()
    };
    for (code, status, what) in [
        (400, 78, "the deployment was refused"),
        (500, 1, "the device could not apply the deployment"),
    ] {
        let before = version();
        let mut applying = far_process(&elsewhere, &hub, &apply);
        let set = wait::until("the twins to be set", || {
            version().filter(|set| Some(*set) > before)
        });
        let report = json!({
            "lastDesiredVersion": set,
            "lastDesiredStatus": { "code": code, "description": "no such image" },
        });
        for module in ["d1/$edgeHub", "d1/$edgeAgent"] {
            let mut module = Mqtt::open(&hub, module);
            module.publish(
                "$iothub/twin/PATCH/properties/reported/?$rid=1",
                report.to_string(),
            );
        }
        let refused = applying
            .wait()
            .ended_with(status)
            .says(&[what, "no such image"]);
        assert_eq!(refused.json()["phase"], "refused");
    }
    hub.stop().ok();
}
