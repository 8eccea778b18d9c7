use super::*;

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
async fn a_slash_at_the_end_of_a_path_is_passed_over() {
    let (hub, _) = hub_with_module().await;
    for path in [
        "/devices",
        "/devices/d",
        "/devices/d/modules",
        "/twins/d",
        "/twins/d/modules/m",
    ] {
        let plain = get_json(&hub, path).await;
        assert_eq!(get_json(&hub, &format!("{path}/")).await, plain, "{path}");
        assert_eq!(
            get_json(&hub, &format!("{path}/?api-version=1")).await,
            plain,
            "{path}"
        );
    }
    for path in [
        "/devices//",
        "//devices",
        "/devices/d//modules",
        "/twins/./d",
        "/twins/../devices",
    ] {
        let (status, _) = ask(&hub, Method::GET, path, Value::Null).await;
        assert_eq!(status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_api_version_is_taken_whatever_it_is() {
    let (hub, _) = hub_with_module().await;
    for version in [
        "",
        "?api-version",
        "?api-version=",
        "?api-version=2099-01-01",
        "?api-version=%00",
    ] {
        get_json(&hub, &format!("/twins/d{version}")).await;
        get_json(&hub, &format!("/devices{version}")).await;
    }
}

#[tokio::test]
async fn what_this_hub_has_not_answers_so() {
    let (hub, _) = hub_with_module().await;
    for (method, path, what) in [
        (Method::GET, "/jobs", "jobs, imports and exports"),
        (
            Method::POST,
            "/jobs/create?api-version=1",
            "jobs, imports and exports",
        ),
        (Method::PUT, "/jobs/v2/j1", "jobs, imports and exports"),
        (Method::GET, "/jobs/v2/query", "jobs, imports and exports"),
        (Method::GET, "/digitaltwins/d", "digital twins"),
        (Method::PATCH, "/digitaltwins/d", "digital twins"),
        (
            Method::POST,
            "/digitaltwins/d/commands/reboot",
            "digital twins",
        ),
        (
            Method::POST,
            "/devices/d/messages/events",
            "messages of devices over HTTP",
        ),
        (
            Method::GET,
            "/devices/d/messages/devicebound",
            "messages of devices over HTTP",
        ),
        (Method::POST, "/devices/d/files", "uploads of files"),
        (
            Method::GET,
            "/messages/servicebound/feedback",
            "feedback and file notifications",
        ),
        (
            Method::POST,
            "/devices/d/modules/%24edgeHub/getDeviceAndModuleOnBehalfOf",
            "devices behind other devices",
        ),
    ] {
        let reason = format!("this hub has no {what}");
        let request = request(method, path, None, json!({}));
        check_failure(&hub, request, (501, "NotImplemented", &reason)).await;
    }
}
