use super::*;
use crate::session::SessionEvent;

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

#[tokio::test]
async fn a_module_that_calls_a_method_is_answered_as_edge_hub_answers() {
    let (hub, owner) = hub_with_module().await;
    let call = |path: &str, body: Value| {
        let mut request = request(Method::POST, path, None, body);
        let caller = header::HeaderValue::from_static("d/%24edgeAgent");
        request.headers_mut().insert("x-ms-edge-moduleId", caller);
        request
    };
    let path = "/twins/d/modules/m/methods?api-version=2019-10-01";
    for (path, body, expected) in [
        (path, json!({ "methodName": "x" }), (404, "is not online")),
        (path, json!({}), (400, "the request is no method call")),
        (
            "/twins/d/modules/x/methods",
            json!({ "methodName": "x" }),
            (404, "there is no"),
        ),
    ] {
        let response = send(&hub, call(path, body)).await;
        assert!(!response.headers().contains_key("iothub-errorcode"));
        let (status, body) = answer(response).await;
        let message = body["message"].as_str().unwrap();
        assert!(
            status == expected.0 && message.contains(expected.1),
            "{status} {body}"
        );
        assert_eq!(body.as_object().unwrap().len(), 1);
    }
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    session.accept_methods(true);
    let target = async {
        let SessionEvent::Method(request) = events.next().await else {
            panic!("a method is called");
        };
        request.respond(404, json!("own")).unwrap();
    };
    let request = call(path, json!({ "methodName": "x", "payload": null }));
    let (response, ()) = tokio::join!(send(&hub, request), target);
    let expected = json!({ "status": 404, "payload": "own" });
    assert_eq!(answer(response).await, (200, expected));
}
