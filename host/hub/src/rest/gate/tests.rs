use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::Value;
use tower_service::Service as _;
use wasm_edge_model::shared_access::{SharedKey, sign};
use wasm_edge_model::time::Timestamp;

use super::*;
use crate::access::throttle::Tier;
use crate::hub::HubOptions;
use crate::hub::tests::{NOW, device, device_id, hub_with_options, module, module_identity};
use std::sync::Arc;

async fn hub(tier: Tier) -> Hub {
    let hub = hub_with_options(HubOptions {
        clock: Arc::new(|| NOW.parse().unwrap()),
        tier,
        ..HubOptions::new("hub.test")
    });
    for (device, name) in [("d1", "m"), ("d1", "n"), ("d10", "m")] {
        hub.ensure_device(&device_id(device)).await.unwrap();
        let module = module_identity(device, name);
        hub.ensure_module(&module).await.unwrap();
    }
    hub
}

fn token(key: &SharedKey, resource: &str, policy: Option<&str>) -> String {
    let now: Timestamp = NOW.parse().unwrap();
    let expires_at = Timestamp::from_unix_millis(now.unix_millis() + 60_000);
    sign(key, resource, expires_at, policy)
}

async fn of_policy(hub: &Hub, name: &str) -> String {
    let policy = hub.access_policy(name).await.unwrap().unwrap();
    token(&policy.keys.primary, "hub.test", Some(name))
}

async fn of_identity(hub: &Hub, owner: &TwinOwner) -> String {
    let keys = hub.identity(owner).await.unwrap().authentication;
    let path = format!("hub.test{owner}");
    token(&keys.symmetric_key.unwrap().primary, &path, None)
}

fn request(method: Method, path: &str, token: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request = if token.is_empty() {
        request
    } else {
        request.header(AUTHORIZATION, token)
    };
    request.body(Body::empty()).unwrap()
}

async fn send(hub: &Hub, request: Request<Body>) -> Response {
    hub.rest_for_network().call(request).await.unwrap()
}

async fn check(hub: &Hub, method: Method, path: &str, token: &str, expected: u16) {
    let shown = format!("{method} {path} with {token}");
    let response = send(hub, request(method, path, token)).await;
    assert_eq!(response.status().as_u16(), expected, "{shown}");
}

#[tokio::test]
async fn a_policy_may_do_what_its_rights_say() {
    let hub = hub(Tier::Unlimited).await;
    // Read identities, delete one that is not there, read a twin.
    for (policy, reads, writes, twins) in [
        ("iothubowner", 200, 404, 200),
        ("service", 401, 401, 200),
        ("device", 401, 401, 401),
        ("registryRead", 200, 401, 401),
        ("registryReadWrite", 200, 404, 401),
    ] {
        let token = of_policy(&hub, policy).await;
        check(
            &hub,
            Method::GET,
            "/devices?api-version=2021-04-12",
            &token,
            reads,
        )
        .await;
        check(&hub, Method::HEAD, "/devices", &token, reads).await;
        check(&hub, Method::GET, "/devices/d1/modules", &token, reads).await;
        check(&hub, Method::DELETE, "/devices/x", &token, writes).await;
        check(&hub, Method::GET, "/twins/d1", &token, twins).await;
        // Keys of services are shown to nobody.
        check(
            &hub,
            Method::GET,
            "/wasm-edge/v1/access-policies",
            &token,
            401,
        )
        .await;
    }
}

#[tokio::test]
async fn who_may_not_hears_the_same_whatever_the_reason() {
    let hub = hub(Tier::Unlimited).await;
    let service = of_policy(&hub, "service").await;
    let owner = of_policy(&hub, "iothubowner").await;
    let own = of_identity(&hub, &device("d1")).await;
    let mut bodies = Vec::new();
    for (path, token) in [
        ("/devices/d1", ""),
        ("/devices/d1", "nonsense"),
        ("/devices/unknown", "nonsense"),
        ("/nothing", "nonsense"),
        ("/nothing", ""),
        ("/devices/d1", &own),
        ("/devices/d1", &service),
        ("/devices/d10/modules", &own),
        ("/devices/unknown/modules", &own),
        ("/twins/d1", &own),
        ("/devices/d1/modules/../../d10/modules", &own),
        ("/devices/d1%2F..%2Fd10/modules", &own),
        ("/devices/d1%2Fmodules", &own),
        ("/devices//d1/modules", &own),
        ("/devices/d1//modules", &own),
        ("//devices/d1/modules", &own),
        ("/devices/%64%310/modules", &own),
        ("/devices/d1%00/modules", &own),
        ("/devices/d1/modules/m/x", &own),
        ("/devices/D1/modules", &own),
        ("/wasm-edge/v1/telemetry", &own),
        ("/wasm-edge/v1/access-policies", &owner),
        ("/devices", &owner.replace("iothubowner", "service")),
        ("/devices", &owner.replace("skn=", "x=")),
    ] {
        let response = send(&hub, request(Method::GET, path, token)).await;
        assert_eq!(
            response.status(),
            StatusCode::UNAUTHORIZED,
            "{path} {token}"
        );
        assert_eq!(
            response.headers()["iothub-errorcode"],
            "IotHubUnauthorizedAccess"
        );
        let mut headers: Vec<_> = response.headers().keys().cloned().collect();
        headers.sort_by_key(ToString::to_string);
        let body = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        // It has a number and a time, each time others.
        assert!(body["ExceptionMessage"].take().is_string());
        bodies.push((headers, body));
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[tokio::test]
async fn a_device_manages_its_own_modules_and_no_others() {
    let hub = hub(Tier::Unlimited).await;
    let own = of_identity(&hub, &device("d1")).await;
    let of_module = of_identity(&hub, &module("d1", "m")).await;
    let old = "?api-version=2017-11-08-preview";
    check(
        &hub,
        Method::GET,
        &format!("/devices/d1/modules{old}"),
        &own,
        200,
    )
    .await;
    check(
        &hub,
        Method::GET,
        &format!("/devices/d1/modules/m{old}"),
        &own,
        200,
    )
    .await;
    check(&hub, Method::GET, "/devices/%64%31/modules", &own, 200).await;
    check(&hub, Method::DELETE, "/devices/d1/modules/n", &own, 204).await;
    let put = |path: &str| {
        let mut request = request(Method::PUT, path, &own);
        *request.body_mut() = Body::from(r#"{"moduleId":"n","deviceId":"d1"}"#);
        request
    };
    assert_eq!(
        send(&hub, put("/devices/d1/modules/n")).await.status(),
        StatusCode::OK
    );
    assert_eq!(
        send(&hub, put("/devices/d10/modules/n")).await.status(),
        StatusCode::UNAUTHORIZED
    );
    for path in ["/devices/d1/modules", "/devices/d1/modules/m"] {
        check(&hub, Method::GET, path, &of_module, 401).await;
    }
    check(&hub, Method::GET, "/devices/d1", &own, 401).await;
    check(&hub, Method::DELETE, "/devices/d1", &own, 401).await;
}

#[tokio::test]
async fn a_module_calls_methods_within_its_own_device() {
    let hub = hub(Tier::Unlimited).await;
    let of_module = of_identity(&hub, &module("d1", "m")).await;
    let of_device = of_identity(&hub, &device("d1")).await;
    let call = |path: &str, caller: Option<&str>, token: &str| {
        let mut request = request(Method::POST, path, token);
        if let Some(caller) = caller {
            request
                .headers_mut()
                .insert(CALLER_HEADER, caller.parse().unwrap());
        }
        *request.body_mut() = Body::from(r#"{"methodName":"x"}"#);
        request
    };
    for (path, caller, token, expected) in [
        ("/twins/d1/modules/n/methods", Some("d1/m"), &of_module, 404),
        ("/twins/d1/modules/n/methods", None, &of_module, 404),
        ("/twins/d1/methods", Some("d1/m"), &of_module, 404),
        ("/twins/d1/methods", Some("d1/n"), &of_device, 404),
        ("/twins/d1/methods", Some("d1/n"), &of_module, 401),
        ("/twins/d1/methods", Some("d1"), &of_device, 401),
        ("/twins/d1/methods", None, &of_device, 401),
        ("/twins/d1/methods", Some("d10/m"), &of_module, 401),
        ("/twins/d10/methods", Some("d1/m"), &of_module, 401),
        ("/twins/d10/modules/m/methods", None, &of_module, 401),
    ] {
        let response = send(&hub, call(path, caller, token)).await;
        assert_eq!(response.status().as_u16(), expected, "{path} {caller:?}");
    }
}

#[tokio::test]
async fn who_is_known_hears_which_paths_there_are() {
    let hub = hub(Tier::Unlimited).await;
    let token = of_policy(&hub, "device").await;
    check(&hub, Method::GET, "/nothing", &token, 404).await;
    check(&hub, Method::DELETE, "/twins/d1", &token, 405).await;
}

#[tokio::test]
async fn one_header_with_one_token_is_asked_for() {
    let hub = hub(Tier::Unlimited).await;
    let token = of_policy(&hub, "iothubowner").await;
    let mut twice = request(Method::GET, "/devices", &token);
    twice
        .headers_mut()
        .append(AUTHORIZATION, token.parse().unwrap());
    assert_eq!(send(&hub, twice).await.status(), StatusCode::UNAUTHORIZED);
    let mut bytes = request(Method::GET, "/devices", "");
    let value = header::HeaderValue::from_bytes(b"SharedAccessSignature \xff").unwrap();
    bytes.headers_mut().insert(AUTHORIZATION, value);
    assert_eq!(send(&hub, bytes).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_comes_too_often_is_told_when_to_come_again() {
    let hub = hub(Tier::S1).await;
    let token = of_policy(&hub, "iothubowner").await;
    for _ in 0..100 {
        check(&hub, Method::GET, "/devices?top=0", &token, 200).await;
    }
    // Others who are let in by nobody use nothing up.
    check(&hub, Method::GET, "/devices", "x", 401).await;
    let response = send(&hub, request(Method::GET, "/devices", &token)).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(
        response.headers()["iothub-errorcode"],
        "ThrottlingException"
    );
    check(&hub, Method::GET, "/twins/d1", &token, 200).await;
    // The control socket is not throttled.
    let response = hub
        .rest()
        .call(request(Method::GET, "/devices", ""))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let throttled = "wasm_edge_hub_throttled_total{operation=\"identity\"} 1\n";
    assert!(hub.metrics_text().contains(throttled));
}
