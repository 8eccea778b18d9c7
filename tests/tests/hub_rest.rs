//! The service API of a hub that was started by `hub serve`, as it stands on the wire, and after the hub was killed.

use serde_json::{Value, json};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::http::{self, Answer};
use wasm_edge_tests::hub::HubServe;

const SEND: &str = "/wasm-edge/v1/devices/d/messages/devicebound";

/// Asks with an `If-Match` header.
fn ask_if(hub: &HubServe<'_>, method: &str, path: &str, etag: &str, body: &Value) -> Answer {
    let header = format!("if-match: {etag}");
    let body = Some(body).filter(|body| !body.is_null());
    http::ask_with(&hub.data(), method, path, &[&header], body).unwrap()
}

/// Checks the status line with its reason, the name of the error, and that the body begins with it.
fn check_error(answer: &Answer, status_line: &str, name: &str) {
    let head = &answer.head;
    assert!(
        head.starts_with(&format!("HTTP/1.1 {status_line}\r\n")),
        "{head}"
    );
    let header = format!("iothub-errorcode: {name}");
    assert!(head.lines().any(|line| line == header), "{head}");
    let message = answer.body["Message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!("ErrorCode:{name};")),
        "{message}"
    );
}

fn statistics(hub: &HubServe<'_>) -> Value {
    hub.get("/statistics/devices")["totalDeviceCount"].clone()
}

fn waiting(hub: &HubServe<'_>) -> Value {
    hub.get("/devices/d")["cloudToDeviceMessageCount"].clone()
}

#[test]
fn identities_are_answered_with_the_codes_and_reasons_that_clients_look_at() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    let path = "/devices/d?api-version=2021-04-12";
    let body = json!({ "deviceId": "d", "status": "enabled",
        "authentication": { "type": "sas", "symmetricKey": { "primaryKey": "", "secondaryKey": "" } } });
    let made = hub.ask("PUT", path, Some(&body));
    assert_eq!(made.status, 200, "{made:?}");
    check_error(
        &hub.ask("PUT", path, Some(&body)),
        "409 Conflict",
        "DeviceAlreadyExists",
    );
    let stale = ask_if(&hub, "PUT", path, "\"Mg==\"", &made.body);
    check_error(&stale, "412 Precondition Failed", "PreconditionFailed");
    for (etag, expected) in [("\"MQ==\"", "Mg=="), ("\"*\"", "Mw=="), ("*", "NA==")] {
        let updated = ask_if(&hub, "PUT", path, etag, &made.body);
        assert_eq!(
            (updated.status, &updated.body["etag"]),
            (200, &json!(expected))
        );
        assert_eq!(updated.body["authentication"], made.body["authentication"]);
    }
    let module = "/devices/d/modules/%24odd%25";
    let made = hub.ask("PUT", module, Some(&json!({})));
    assert_eq!(made.body["moduleId"], "$odd%");
    let again = hub.ask("PUT", module, Some(&json!({})));
    check_error(&again, "409 Conflict", "ModuleAlreadyExistsOnDevice");
    for (path, name) in [
        ("/devices/x", "DeviceNotFound"),
        ("/twins/d/modules/x/", "ModuleNotFound"),
        ("/no/such/path", "NotFound"),
    ] {
        check_error(&hub.ask("GET", path, None), "404 Not Found", name);
    }
    check_error(
        &hub.ask("GET", "/jobs/v2/query", None),
        "501 Not Implemented",
        "NotImplemented",
    );
    check_error(
        &hub.ask("PATCH", "/devices/d", None),
        "405 Method Not Allowed",
        "MethodNotAllowed",
    );
    let large = json!({ "pad": "x".repeat(1024 * 1024) });
    let large = hub.ask("PUT", "/devices/large", Some(&large));
    check_error(&large, "413 Payload Too Large", "RequestEntityTooLarge");
    let deleted = ask_if(&hub, "DELETE", path, "\"*\"", &Value::Null);
    assert!(
        deleted.head.starts_with("HTTP/1.1 204 No Content\r\n"),
        "{deleted:?}"
    );
    check_error(
        &hub.ask("DELETE", path, None),
        "404 Not Found",
        "DeviceNotFound",
    );
}

#[test]
fn what_was_answered_outlives_a_kill() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    let items: Value = (0..99)
        .map(|number| json!({ "id": format!("d{number}"), "tags": { "n": number } }))
        .chain([json!({ "id": "d", "capabilities": { "iotEdge": true } })])
        .collect();
    assert_eq!(hub.ask("POST", "/devices", Some(&items)).status, 200);
    assert_eq!(statistics(&hub), 100);
    for number in 0..50 {
        let sent = hub.ask(
            "POST",
            SEND,
            Some(&json!({ "bodyText": number.to_string() })),
        );
        assert_eq!(
            (sent.status, &sent.body["number"]),
            (201, &json!(number + 1))
        );
    }
    let hub = hub.kill_and_restart();
    assert_eq!((statistics(&hub), waiting(&hub)), (json!(100), json!(50)));
    assert_eq!(hub.get("/twins/d98")["tags"]["n"], 98);
    let full = hub.ask("POST", SEND, Some(&json!({})));
    check_error(&full, "403 Forbidden", "DeviceMaximumQueueDepthExceeded");
    let purged = hub.ask("DELETE", "/devices/d/commands", None);
    assert_eq!(purged.body["totalMessagesPurged"], 50);
    let hub = hub.kill_and_restart();
    assert_eq!(waiting(&hub), 0);
    let sent = hub.ask("POST", SEND, Some(&json!({})));
    assert_eq!(sent.body["number"], 51, "numbers are not used twice");

    // A device takes its messages and modules along, also when the hub is killed right after.
    assert_eq!(hub.ask("DELETE", "/devices/d", None).status, 204);
    let hub = hub.kill_and_restart();
    assert_eq!(statistics(&hub), 99);
    assert_eq!(hub.ask("PUT", "/devices/d", Some(&json!({}))).status, 200);
    assert_eq!(waiting(&hub), 0);
    assert_eq!(hub.get("/devices/d/modules"), json!([]));
    hub.stop().ok();
}
