use super::*;

async fn bulk(hub: &Hub, items: Value) -> (u16, Value) {
    ask(hub, Method::POST, "/devices?api-version=2021-04-12", items).await
}

/// The errors of an answer that has some: device, module, operation, code.
fn errors(answer: (u16, Value)) -> Vec<[String; 4]> {
    let (status, body) = answer;
    assert_eq!(
        (status, &body["isSuccessful"]),
        (400, &json!(false)),
        "{body}"
    );
    assert_eq!(body["warnings"], json!([]));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let errors = body["errors"].as_array().unwrap().iter();
    errors
        .map(|error| {
            assert!(!text(&error["errorStatus"]).is_empty(), "{error}");
            ["deviceId", "moduleId", "operation", "errorCode"].map(|key| text(&error[key]))
        })
        .collect()
}

#[tokio::test]
async fn many_identities_are_made_changed_and_deleted_in_one_request() {
    let hub = hub();
    let well = (
        200,
        json!({ "isSuccessful": true, "errors": [], "warnings": [] }),
    );
    let items = json!([
        { "id": "a", "importMode": "create", "capabilities": { "iotEdge": true },
            "authentication": { "type": "sas", "symmetricKey": {} },
            "tags": { "site": "north" }, "properties": { "desired": { "x": 1 } } },
        { "id": "b", "status": "disabled", "tags": null },
        { "id": "a", "moduleId": "m", "importMode": "create" },
    ]);
    assert_eq!(bulk(&hub, items).await, well);
    let twin = get_json(&hub, "/twins/a").await;
    assert_eq!(
        (&twin["tags"], &twin["properties"]["desired"]["x"]),
        (&json!({ "site": "north" }), &json!(1))
    );
    assert_eq!(
        get_json(&hub, "/devices/a/modules")
            .await
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(get_json(&hub, "/devices/b").await["status"], "disabled");
    let etag = |path: &'static str| {
        let hub = hub.clone();
        async move { get_json(&hub, path).await["etag"].clone() }
    };
    let items = json!([
        { "id": "b", "importMode": "update", "status": "enabled" },
        { "id": "a", "eTag": etag("/devices/a").await, "importMode": "updateIfMatchETag",
            "statusReason": "why" },
        { "id": "a", "importMode": "updateTwin", "tags": { "site": null, "room": 1 } },
        { "id": "a", "moduleId": "m", "importMode": "updateTwinIfMatchETag",
            "twinETag": etag("/twins/a/modules/m").await,
            "properties": { "desired": { "y": 2 } } },
    ]);
    assert_eq!(bulk(&hub, items).await, well);
    assert_eq!(get_json(&hub, "/devices/b").await["status"], "enabled");
    let device = get_json(&hub, "/devices/a").await;
    assert_eq!(
        (&device["statusReason"], &device["capabilities"]["iotEdge"]),
        (&json!("why"), &json!(true))
    );
    assert_eq!(
        get_json(&hub, "/twins/a").await["tags"],
        json!({ "room": 1 })
    );
    let desired = &get_json(&hub, "/twins/a/modules/m").await["properties"]["desired"];
    assert_eq!(desired["y"], 2);
    let items = json!([
        { "id": "a", "moduleId": "m", "importMode": "delete" },
        { "id": "a", "importMode": "deleteIfMatchETag", "eTag": etag("/devices/a").await },
        { "id": "b", "importMode": "deleteIfMatchETag", "eTag": "*" },
    ]);
    assert_eq!(bulk(&hub, items).await, well);
    assert_eq!(get_json(&hub, "/devices").await, json!([]));
}

#[tokio::test]
async fn the_case_of_letters_in_an_import_mode_does_not_matter() {
    let hub = hub();
    let check = async |item: Value| {
        let (status, answer) = bulk(&hub, json!([item])).await;
        assert_eq!((status, &answer["errors"]), (200, &json!([])), "{item}");
    };
    check(json!({ "id": "a", "importMode": "Create" })).await;
    check(json!({ "id": "a", "importMode": "UPDATE", "statusReason": "why" })).await;
    let any = json!("*");
    check(json!({ "id": "a", "importMode": "UpdateIfMatchETag", "eTag": any })).await;
    check(json!({ "id": "a", "importMode": "UpdateTwin", "tags": { "x": 1 } })).await;
    check(json!({ "id": "a", "importMode": "updateTwinIfMatchEtag", "twinETag": any })).await;
    assert_eq!(get_json(&hub, "/devices/a").await["statusReason"], "why");
    assert_eq!(get_json(&hub, "/twins/a").await["tags"], json!({ "x": 1 }));
    check(json!({ "id": "a", "importMode": "Delete" })).await;
    check(json!({ "id": "b" })).await;
    check(json!({ "id": "b", "importMode": "deleteifmatchetag", "eTag": any })).await;
    assert_eq!(get_json(&hub, "/devices").await, json!([]));
}

#[tokio::test]
async fn an_item_that_fails_is_told_and_the_others_are_done() {
    let (hub, _) = hub_with_module().await;
    let items = json!([
        { "id": "d", "importMode": "create" },
        { "id": "new", "importMode": "create" },
        { "id": "x", "importMode": "update" },
        { "id": "d", "moduleId": "x", "importMode": "delete" },
        { "id": "d", "importMode": "updateIfMatchETag", "eTag": "stale" },
        { "id": "d", "importMode": "deleteIfMatchETag" },
        { "id": "d", "importMode": "updateTwinIfMatchETag", "twinETag": "stale", "tags": {} },
        { "id": "d", "importMode": "export" },
        { "id": "d/x", "importMode": "create" },
        { "id": "d", "moduleId": "m", "importMode": "create" },
        { "id": "k", "authentication": { "symmetricKey": { "primaryKey": "!", "secondaryKey": "!" } } },
        { "id": "t", "tags": { "a.b": 1 } },
        { "importMode": "create" },
        7,
    ]);
    let expected = [
        ["d", "", "create", "DeviceAlreadyExists"],
        ["x", "", "update", "DeviceNotFound"],
        ["d", "x", "delete", "ModuleNotFound"],
        ["d", "", "updateIfMatchETag", "PreconditionFailed"],
        ["d", "", "deleteIfMatchETag", "ArgumentInvalid"],
        ["d", "", "updateTwinIfMatchETag", "PreconditionFailed"],
        ["d", "", "export", "ArgumentInvalid"],
        ["d/x", "", "create", "ArgumentInvalid"],
        ["d", "m", "create", "ModuleAlreadyExistsOnDevice"],
        ["k", "", "", "ArgumentInvalid"],
        ["t", "", "", "ArgumentInvalid"],
        ["", "", "create", "ArgumentInvalid"],
        ["", "", "", "ArgumentInvalid"],
    ];
    assert_eq!(errors(bulk(&hub, items).await), expected);
    get_json(&hub, "/devices/new").await;
    for absent in ["/devices/k", "/devices/t"] {
        let (status, _) = ask(&hub, Method::GET, absent, Value::Null).await;
        assert_eq!(status, 404, "{absent}");
    }
}

#[tokio::test]
async fn a_bulk_request_has_a_limit_and_a_form() {
    let hub = hub();
    let items = |count: usize| -> Value {
        let items = (0..count).map(|number| json!({ "id": format!("d{number}") }));
        items.collect()
    };
    let post = |body| request(Method::POST, "/devices", None, body);
    let reason = "the body has 101 items, more than 100";
    check_failure(&hub, post(items(101)), (400, "ArgumentInvalid", reason)).await;
    assert_eq!(get_json(&hub, "/devices").await, json!([]));
    assert_eq!(bulk(&hub, items(100)).await.0, 200);
    let reason = "the body is no JSON array of items";
    check_failure(&hub, post(json!({})), (400, "ArgumentInvalid", reason)).await;
}
