use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::{Value, json};
use tower_service::Service as _;
use wasm_edge_model::message::Message;

use super::*;
use crate::hub::tests::{hub, hub_with_module, module};
use crate::session::SessionEvent;

async fn send(hub: &Hub, request: Request<Body>) -> Response {
    hub.rest().call(request).await.unwrap()
}

fn request(method: Method, path: &str, if_match: Option<&str>, body: Value) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(etag) = if_match {
        request = request.header(header::IF_MATCH, etag);
    }
    let body = if body.is_null() {
        Body::empty()
    } else {
        Body::from(body.to_string())
    };
    request.body(body).unwrap()
}

async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn ask(hub: &Hub, method: Method, path: &str, body: Value) -> (u16, Value) {
    answer(send(hub, request(method, path, None, body)).await).await
}

async fn get_json(hub: &Hub, path: &str) -> Value {
    let (status, body) = ask(hub, Method::GET, path, Value::Null).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// Asks for an error: status, code's name in the header, and the message behind it.
async fn check_failure(hub: &Hub, request: Request<Body>, expected: (u16, &str, &str)) {
    let path = request.uri().to_string();
    let response = send(hub, request).await;
    let name = response.headers()["iothub-errorcode"]
        .to_str()
        .unwrap()
        .to_owned();
    let (status, body) = answer(response).await;
    let message = body["Message"].as_str().unwrap();
    let prefix = format!("ErrorCode:{name};");
    let text = message
        .strip_prefix(&prefix)
        .unwrap_or_else(|| panic!("{path}: {message}"));
    assert_eq!((status, &*name, text), expected, "{path}");
    assert!(
        body["ExceptionMessage"]
            .as_str()
            .unwrap()
            .starts_with("Tracking ID:")
    );
}

fn get_request(path: &str) -> Request<Body> {
    request(Method::GET, path, None, Value::Null)
}

#[tokio::test]
async fn identities_are_read_and_listed() {
    let (hub, owner) = hub_with_module().await;
    let identity = hub.identity(&owner).await.unwrap();
    let read = get_json(&hub, "/devices/d/modules/m?api-version=2021-04-12").await;
    assert_eq!(read, identity.to_json(hub.view(&identity).await.unwrap()));
    let keys = identity.authentication.symmetric_key.unwrap();
    let shown = &read["authentication"]["symmetricKey"]["primaryKey"];
    assert_eq!(shown, keys.primary.as_base64());
    for path in ["/devices", "/devices/", "/devices?top=5"] {
        assert_eq!(
            get_json(&hub, path).await.as_array().unwrap().len(),
            1,
            "{path}"
        );
    }
    assert_eq!(get_json(&hub, "/devices?top=0").await, json!([]));
    let modules = get_json(&hub, "/devices/d/modules").await;
    let ids: Vec<_> = modules
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["moduleId"])
        .collect();
    assert_eq!(ids, ["$edgeAgent", "$edgeHub", "m"]);
}

#[tokio::test]
async fn ids_in_paths_are_decoded_after_splitting() {
    let (hub, _) = hub_with_module().await;
    for path in [
        "/twins/d/modules/%24edgeAgent",
        "/twins/d/modules/$edgeAgent",
    ] {
        assert_eq!(get_json(&hub, path).await["moduleId"], "$edgeAgent");
    }
    let odd = "/devices/a%25b%23c%3Fd";
    let (status, made) = ask(&hub, Method::PUT, odd, json!({})).await;
    assert_eq!((status, &made["deviceId"]), (200, &json!("a%b#c?d")));
    assert_eq!(get_json(&hub, odd).await["deviceId"], "a%b#c?d");
    let slash = get_request("/devices/a%2Fmodules%2Fb");
    let expected = "the path names no device: ";
    let (status, body) = answer(send(&hub, slash).await).await;
    assert!(
        body["Message"].as_str().unwrap().contains(expected),
        "{status} {body}"
    );
}

#[tokio::test]
async fn a_device_is_made_changed_and_deleted_as_the_service_sdk_does() {
    let hub = hub();
    let body = json!({ "deviceId": "d", "status": "enabled", "capabilities": { "iotEdge": true },
        "authentication": { "type": "sas",
            "symmetricKey": { "primaryKey": "", "secondaryKey": "" } } });
    let (status, made) = ask(&hub, Method::PUT, "/devices/d", body.clone()).await;
    assert_eq!((status, &made["etag"]), (200, &json!("MQ==")));
    assert_eq!(made["capabilities"]["iotEdge"], true);
    let again = request(Method::PUT, "/devices/d", None, body);
    check_failure(
        &hub,
        again,
        (409, "DeviceAlreadyExists", "`/devices/d` exists already"),
    )
    .await;
    let mut changed = made.clone();
    changed["status"] = json!("disabled");
    let update = |etag: &str| request(Method::PUT, "/devices/d", Some(etag), changed.clone());
    let expected = "`/devices/d` was changed meanwhile: its etag is `MQ==`";
    check_failure(
        &hub,
        update("\"Mg==\""),
        (412, "PreconditionFailed", expected),
    )
    .await;
    let (status, updated) = answer(send(&hub, update("\"MQ==\"")).await).await;
    assert_eq!((status, &updated["status"]), (200, &json!("disabled")));
    assert_eq!(updated["authentication"], made["authentication"]);
    let delete = request(Method::DELETE, "/devices/d", Some("\"*\""), Value::Null);
    assert_eq!(send(&hub, delete).await.status(), StatusCode::NO_CONTENT);
    let gone = get_request("/devices/d");
    check_failure(
        &hub,
        gone,
        (404, "DeviceNotFound", "there is no `/devices/d`"),
    )
    .await;
}

#[tokio::test]
async fn twins_are_read_patched_and_replaced() {
    let (hub, owner) = hub_with_module().await;
    let path = "/twins/d/modules/m";
    let patch = json!({ "tags": { "a": 1 }, "properties": { "desired": { "x": 1, "y": 2 } } });
    let (status, twin) = ask(&hub, Method::PATCH, path, patch).await;
    assert_eq!(
        (status, &twin["properties"]["desired"]["$version"]),
        (200, &json!(2))
    );
    let etag = format!("\"{}\"", twin["etag"].as_str().unwrap());
    let replacement = json!({ "properties": { "desired": { "z": 3 } } });
    let replace = || request(Method::PUT, path, Some(&etag), replacement.clone());
    let (status, twin) = answer(send(&hub, replace()).await).await;
    assert_eq!((status, &twin["tags"]), (200, &json!({})));
    assert_eq!(answer(send(&hub, replace()).await).await.0, 412);
    assert_eq!(
        get_json(&hub, path).await,
        hub.twin_json(&owner).await.unwrap()
    );
}

#[tokio::test]
async fn faults_of_the_caller_are_told_with_code_and_reason() {
    let (hub, _) = hub_with_module().await;
    let get = get_request;
    let patch = |body| request(Method::PATCH, "/twins/d/modules/m", None, body);
    check_failure(
        &hub,
        get("/twins/x"),
        (404, "DeviceNotFound", "there is no `/devices/x`"),
    )
    .await;
    let module = "there is no `/devices/d/modules/x`";
    check_failure(
        &hub,
        get("/twins/d/modules/x"),
        (404, "ModuleNotFound", module),
    )
    .await;
    check_failure(
        &hub,
        get("/nothing"),
        (404, "NotFound", "there is nothing under this path"),
    )
    .await;
    let verb = request(Method::DELETE, "/twins/d", None, Value::Null);
    let expected = (
        405,
        "MethodNotAllowed",
        "this path does not know this method",
    );
    check_failure(&hub, verb, expected).await;
    let reason = "`tags` is not a JSON object";
    check_failure(
        &hub,
        patch(json!({ "tags": 1 })),
        (400, "ArgumentInvalid", reason),
    )
    .await;
    let reason =
        "the twin of `/devices/d/modules/m` cannot be so: the key `tags.a.b` contains a `.`";
    let bad_key = patch(json!({ "tags": { "a.b": 1 } }));
    check_failure(&hub, bad_key, (400, "ArgumentInvalid", reason)).await;
    let empty = request(Method::PATCH, "/twins/d", None, Value::Null);
    let reason = "the body cannot be read: line 1, column 1: the text ends here; expected a value";
    check_failure(&hub, empty, (400, "ArgumentInvalid", reason)).await;
    let reason = "`properties.reported` can be changed by the device only";
    let reported =
        patch(json!({ "properties": { "desired": { "x": 1 }, "reported": { "x": 1 } } }));
    check_failure(&hub, reported, (400, "ArgumentInvalid", reason)).await;
    let twice = r#"{ "properties": { "desired": { "x": 1, "x": 2 } } }"#;
    for method in [Method::PATCH, Method::PUT] {
        let request = Request::builder().method(method).uri("/twins/d/modules/m");
        let reason = "the key `properties.desired.x` occurs twice";
        let request = request.body(Body::from(twice)).unwrap();
        check_failure(&hub, request, (400, "ArgumentInvalid", reason)).await;
    }
    let untouched = get_json(&hub, "/twins/d/modules/m").await;
    assert_eq!(untouched["properties"]["desired"]["$version"], 1);
    let system = request(
        Method::DELETE,
        "/devices/d/modules/%24edgeHub",
        None,
        Value::Null,
    );
    let reason =
        "the module `/devices/d/modules/$edgeHub` belongs to its device and cannot be deleted";
    let expected = (401, "SystemModuleModifyUnauthorizedAccess", reason);
    check_failure(&hub, system, expected).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let (hub, _) = hub_with_module().await;
    let body = |length| json!({ "tags": {}, "pad": "x".repeat(length) });
    let (status, _) = ask(&hub, Method::PATCH, "/twins/d", body(BODY_MAX_BYTES - 100)).await;
    assert_eq!(status, 200);
    let large = request(Method::PATCH, "/twins/d", None, body(BODY_MAX_BYTES));
    let expected = (
        413,
        "RequestEntityTooLarge",
        "the body has more than 1048576 bytes",
    );
    check_failure(&hub, large, expected).await;
}

#[tokio::test]
async fn a_deployment_is_applied() {
    let (hub, _) = hub_with_module().await;
    let path = "/devices/d/applyConfigurationContent";
    let content = json!({ "modulesContent": { "m": { "properties.desired": { "x": 1 } } } });
    assert_eq!(
        ask(&hub, Method::POST, path, content).await,
        (204, Value::Null)
    );
    assert_eq!(
        get_json(&hub, "/twins/d/modules/m").await["properties"]["desired"]["x"],
        1
    );
    let bad = request(Method::POST, path, None, json!({}));
    let reason = "`modulesContent` is missing or not an object";
    check_failure(&hub, bad, (400, "InvalidConfigurationContent", reason)).await;
}

#[tokio::test]
async fn a_method_is_called() {
    let (hub, owner) = hub_with_module().await;
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    session.accept_methods(true);
    let target = async {
        let SessionEvent::Method(request) = events.next().await else {
            panic!("a method is called");
        };
        let echo = request.payload.clone();
        request.respond(201, echo).unwrap();
    };
    let call = json!({ "methodName": "echo", "payload": [1], "responseTimeoutInSeconds": 5 });
    let path = "/twins/d/modules/m/methods";
    let (answer, ()) = tokio::join!(ask(&hub, Method::POST, path, call), target);
    assert_eq!(answer, (200, json!({ "status": 201, "payload": [1] })));
}

/// Checks a failure in the form of direct methods: status, name and number of the code, start of the message, and
/// the time in its `info`.
async fn check_method_failure(
    hub: &Hub,
    body: Value,
    expected: (u16, &str, u32, &str, Option<&str>),
) {
    let path = "/twins/d/modules/m/methods";
    let response = send(hub, request(Method::POST, path, None, body)).await;
    assert_eq!(response.headers()["iothub-errorcode"], expected.1);
    let (status, body) = answer(response).await;
    let inner: Value = serde_json::from_str(body["Message"].as_str().unwrap()).unwrap();
    assert_eq!(status, expected.0, "{inner}");
    assert_eq!(inner["errorCode"], expected.2, "{inner}");
    let message = inner["message"].as_str().unwrap();
    assert!(message.contains(expected.3), "{message}");
    assert_eq!(inner["info"]["timeout"].as_str(), expected.4, "{inner}");
    assert!(inner["trackingId"].is_string() && inner["timestampUtc"].is_string());
    assert_eq!(body["ExceptionMessage"], "");
}

#[tokio::test(start_paused = true)]
async fn failures_of_methods_hold_json_in_their_message() {
    let (hub, owner) = hub_with_module().await;
    let call = || json!({ "methodName": "x" });
    let offline = |info| (404, "DeviceNotOnline", 404_103, "is not online", Some(info));
    check_method_failure(&hub, call(), offline("00:00:00")).await;
    let patient = json!({ "methodName": "x", "connectTimeoutInSeconds": 90 });
    check_method_failure(&hub, patient, offline("00:01:30")).await;
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    session.accept_methods(true);
    let (kept_now, mut kept_then) = tokio::sync::watch::channel(0);
    let target = tokio::spawn(async move {
        let silent = events.next().await;
        let thrown_away = events.next().await;
        drop(thrown_away);
        let mut kept = vec![silent];
        loop {
            kept.push(events.next().await);
            kept_now.send_replace(kept.len());
        }
    });
    let silent = (
        504,
        "GatewayTimeout",
        504_101,
        "did not answer",
        Some("00:00:30"),
    );
    check_method_failure(&hub, call(), silent).await;
    let thrown_away = (504, "GatewayTimeout", 504_101, "threw the call away", None);
    check_method_failure(&hub, call(), thrown_away).await;
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let (hub, owner) = (hub.clone(), owner.clone());
            let call = crate::method::MethodCall::from_json(br#"{"methodName":"x"}"#).unwrap();
            tokio::spawn(async move { hub.invoke_method(&owner, call).await })
        })
        .collect();
    kept_then.wait_for(|kept| *kept == 17).await.unwrap();
    let name = "DeviceMaximumActiveDirectMethodInvocationsExceeded";
    let too_many = (403, name, 403_800, "16 direct methods under way", None);
    check_method_failure(&hub, call(), too_many).await;
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    target.abort();
}

#[tokio::test]
async fn a_method_that_cannot_be_called_is_told_before_anything_happens() {
    let (hub, _) = hub_with_module().await;
    let invalid = |problem| (400, "ArgumentInvalid", 400_004, problem, None);
    for timeout in [json!(4), json!(301), json!(-1), json!(5.5)] {
        let call = json!({ "methodName": "x", "responseTimeoutInSeconds": timeout });
        check_method_failure(&hub, call, invalid("is not from 5 to 300")).await;
    }
    let call = json!({ "methodName": "x", "connectTimeoutInSeconds": 301 });
    check_method_failure(&hub, call, invalid("is not from 0 to 300")).await;
    let call = json!({ "methodName": "x".repeat(101) });
    check_method_failure(&hub, call, invalid("1 to 100 characters")).await;
    let call = json!({ "methodName": "x", "payload": "x".repeat(128 * 1024) });
    check_method_failure(&hub, call, invalid("more than 131072 bytes")).await;
    check_method_failure(&hub, json!([]), invalid("no method call")).await;
    let call = || json!({ "methodName": "x" });
    for (path, expected) in [
        (
            "/twins/x/methods",
            (404, "DeviceNotFound", "there is no `/devices/x`"),
        ),
        (
            "/twins/d/modules/x/methods",
            (404, "ModuleNotFound", "there is no `/devices/d/modules/x`"),
        ),
    ] {
        let missing = request(Method::POST, path, None, call());
        check_failure(&hub, missing, expected).await;
    }
}

/// Reads a stream of JSON lines.
struct Lines(axum::body::BodyDataStream);

impl Lines {
    async fn open(hub: &Hub, path: &str) -> Self {
        let response = send(hub, get_request(path)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/x-ndjson"
        );
        Self(response.into_body().into_data_stream())
    }

    /// The next line; each comes as a piece of its own, so that it is seen at once.
    async fn next(&mut self) -> Option<Value> {
        let piece = self.0.next().await?.unwrap();
        let line = piece.strip_suffix(b"\n").expect("a line has an end");
        assert!(!line.contains(&b'\n'));
        Some(serde_json::from_slice(line).unwrap())
    }

    fn is_waiting(&mut self) -> bool {
        self.0.next().now_or_never().is_none()
    }
}

#[tokio::test]
async fn telemetry_is_streamed_by_device_and_module() {
    let (hub, owner) = hub_with_module().await;
    let (session, _events) = hub.connect(&owner).await.unwrap();
    let (agent, _agent_events) = hub.connect(&module("d", "$edgeAgent")).await.unwrap();
    let mut all = Lines::open(&hub, TELEMETRY_PATH).await;
    let mut mine = Lines::open(&hub, "/wasm-edge/v1/telemetry?device=d&module=m").await;
    let mut others = Lines::open(&hub, "/wasm-edge/v1/telemetry?device=other").await;
    let text = |text: &'static str| Message {
        body: text.into(),
        ..Message::default()
    };
    agent.send(text("1")).await.unwrap();
    session.send(text("2")).await.unwrap();
    assert_eq!(all.next().await.unwrap()["module"], "$edgeAgent");
    assert_eq!(all.next().await.unwrap()["bodyText"], "2");
    let line = mine.next().await.unwrap();
    assert_eq!(
        (&line["device"], &line["bodyText"]),
        (&json!("d"), &json!("2"))
    );
    assert!(mine.is_waiting() && others.is_waiting());
    hub.close();
    assert_eq!(
        (all.next().await, mine.next().await, others.next().await),
        (None, None, None)
    );
}

#[tokio::test]
async fn telemetry_is_read_from_any_position() {
    let (hub, owner) = hub_with_module().await;
    let (session, _events) = hub.connect(&owner).await.unwrap();
    for _ in 0..3 {
        session.send(Message::default()).await.unwrap();
    }
    for (from, expected) in [
        ("", Some("3")),
        ("?from=2", Some("2")),
        ("?from=earliest", None),
    ] {
        let request = get_request(&format!("{TELEMETRY_PATH}{from}"));
        let response = send(&hub, request).await;
        let position = response.headers().get(crate::rest::POSITION_HEADER);
        assert_eq!(position.map(|value| value.to_str().unwrap()), expected);
    }
    let mut earliest = Lines::open(&hub, "/wasm-edge/v1/telemetry?from=earliest").await;
    let mut second = Lines::open(&hub, "/wasm-edge/v1/telemetry?from=1").await;
    let mut latest = Lines::open(&hub, "/wasm-edge/v1/telemetry?from=latest").await;
    session.send(Message::default()).await.unwrap();
    for (lines, expected) in [(&mut earliest, 0), (&mut second, 1), (&mut latest, 3)] {
        for position in expected..4 {
            assert_eq!(lines.next().await.unwrap()["position"], position);
        }
        assert!(lines.is_waiting());
    }
    let (_, status) = ask(
        &hub,
        Method::GET,
        crate::rest::TELEMETRY_STATUS_PATH,
        Value::Null,
    )
    .await;
    assert!(status["bytes"].as_u64().unwrap() > 500, "{status}");
    let others = ["earliest", "next", "readers", "failing"].map(|key| status[key].clone());
    assert_eq!(others, [json!(0), json!(4), json!(3), json!(false)]);
    for (from, problem) in [
        (
            "5",
            "there is no message at position 5 yet; the next one is 4",
        ),
        (
            "-1",
            "`-1` is no position; expected `earliest`, `latest` or a number",
        ),
    ] {
        let path = format!("/wasm-edge/v1/telemetry?from={from}");
        let expected = (400, "ArgumentInvalid", problem);
        check_failure(&hub, get_request(&path), expected).await;
    }
}

#[tokio::test]
async fn a_twin_is_streamed_at_each_change() {
    let (hub, owner) = hub_with_module().await;
    let mut lines = Lines::open(&hub, "/wasm-edge/v1/twins/d/modules/m/changes").await;
    assert_eq!(
        lines.next().await,
        Some(hub.twin_json(&owner).await.unwrap())
    );
    assert!(lines.is_waiting());
    for number in 1..=100 {
        let patch = json!({ "tags": { "n": number } });
        assert_eq!(
            ask(&hub, Method::PATCH, "/twins/d/modules/m", patch)
                .await
                .0,
            200
        );
    }
    // What was not read in time comes as one.
    assert_eq!(lines.next().await.unwrap()["tags"]["n"], 100);
    assert!(lines.is_waiting());
    let other = json!({ "tags": { "n": 1 } });
    ask(&hub, Method::PATCH, "/twins/d/modules/%24edgeHub", other).await;
    let delete = request(Method::DELETE, "/devices/d/modules/m", None, Value::Null);
    assert_eq!(send(&hub, delete).await.status(), 204);
    assert_eq!(lines.next().await, None);
}

#[tokio::test]
async fn streams_of_twins_are_limited_and_those_of_nobody_refused() {
    let (hub, _) = hub_with_module().await;
    let path = "/wasm-edge/v1/twins/d/changes";
    let missing = get_request("/wasm-edge/v1/twins/x/changes");
    check_failure(
        &hub,
        missing,
        (404, "DeviceNotFound", "there is no `/devices/x`"),
    )
    .await;
    let mut open = Vec::new();
    for _ in 0..crate::hub::TWIN_READERS_MAX {
        open.push(Lines::open(&hub, path).await);
    }
    let reason = "64 readers follow twins already, as many as may";
    check_failure(
        &hub,
        get_request(path),
        (429, "ThrottlingException", reason),
    )
    .await;
    drop(open);
    Lines::open(&hub, path).await;
}
