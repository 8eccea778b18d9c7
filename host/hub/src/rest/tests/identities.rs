use super::*;

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
async fn a_change_leaves_alone_what_it_does_not_name() {
    let hub = hub();
    let full = json!({ "status": "disabled", "statusReason": "lost",
        "capabilities": { "iotEdge": true } });
    let (_, made) = ask(&hub, Method::PUT, "/devices/d", full).await;
    let change = async |body: Value| {
        let request = request(Method::PUT, "/devices/d", Some("\"*\""), body);
        answer(send(&hub, request).await).await
    };
    let (status, changed) = change(json!({ "deviceId": "d" })).await;
    assert_eq!((status, &changed["etag"]), (200, &json!("Mg==")));
    for key in ["status", "statusReason", "capabilities", "authentication"] {
        assert_eq!(changed[key], made[key], "{key}");
    }
    let (_, changed) = change(json!({ "statusReason": null, "status": "enabled" })).await;
    assert_eq!(changed["statusReason"], Value::Null);
    assert_eq!(changed["status"], "enabled");
    let empty = json!({ "authentication": { "type": "sas",
        "symmetricKey": { "primaryKey": "", "secondaryKey": "" } } });
    let (_, changed) = change(empty).await;
    assert_ne!(changed["authentication"], made["authentication"]);
    let missing = request(Method::PUT, "/devices/x", Some("*"), json!({}));
    let expected = (404, "DeviceNotFound", "there is no `/devices/x`");
    check_failure(&hub, missing, expected).await;
}

#[tokio::test]
async fn a_device_manages_its_modules_as_the_identity_service_does() {
    let (hub, _) = hub_with_module().await;
    let path = "/devices/d/modules/new?api-version=2017-11-08-preview";
    let body = json!({ "moduleId": "new", "deviceId": "d" });
    let (status, made) = ask(&hub, Method::PUT, path, body.clone()).await;
    assert_eq!((status, &made["managedBy"]), (200, &Value::Null));
    assert!(made["generationId"].is_string(), "{made}");
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let keys = json!({ "primaryKey": key, "secondaryKey": key });
    let mut with_keys = body;
    with_keys["authentication"] = json!({ "symmetricKey": keys, "type": "sas" });
    for module in ["new", "%24edgeAgent"] {
        let path = format!("/devices/d/modules/{module}?api-version=2017-11-08-preview");
        let before = get_json(&hub, &path).await;
        with_keys["moduleId"] = before["moduleId"].clone();
        let put = request(Method::PUT, &path, Some("*"), with_keys.clone());
        let (status, after) = answer(send(&hub, put).await).await;
        assert_eq!(
            (status, &after["generationId"]),
            (200, &before["generationId"])
        );
        assert_eq!(after["authentication"]["symmetricKey"], keys);
    }
    let modules = get_json(&hub, "/devices/d/modules?api-version=2017-11-08-preview").await;
    assert_eq!(modules.as_array().unwrap().len(), 4);
    let delete = request(Method::DELETE, path, Some("*"), Value::Null);
    assert_eq!(send(&hub, delete).await.status(), 204);
}

#[tokio::test]
async fn statistics_count_devices_and_those_that_are_connected() {
    let (hub, _) = hub_with_module().await;
    ask(
        &hub,
        Method::PUT,
        "/devices/e",
        json!({ "status": "disabled" }),
    )
    .await;
    let devices =
        json!({ "totalDeviceCount": 2, "enabledDeviceCount": 1, "disabledDeviceCount": 1 });
    assert_eq!(get_json(&hub, "/statistics/devices").await, devices);
    let connected =
        async || get_json(&hub, "/statistics/service").await["connectedDeviceCount"].clone();
    assert_eq!(connected().await, 0);
    let device = hub.connect(&crate::hub::tests::device("d")).await.unwrap();
    let _module = hub.connect(&module("d", "m")).await.unwrap();
    assert_eq!(connected().await, 1);
    drop(device);
    assert_eq!(connected().await, 0);
}

#[tokio::test]
async fn an_edge_hub_is_told_who_belongs_to_its_device() {
    let (hub, _) = hub_with_module().await;
    ask(&hub, Method::PUT, "/devices/other", json!({})).await;
    let base = "/devices/d/modules/%24edgeHub";
    let all = format!(
        "{base}/devicesAndModulesInDeviceScope?deviceCount=100&continuationToken=&api-version=2018-08-30-preview"
    );
    let all = get_json(&hub, &all).await;
    assert_eq!(all["devices"], json!([get_json(&hub, "/devices/d").await]));
    assert_eq!(all["modules"], get_json(&hub, "/devices/d/modules").await);
    assert_eq!(all["continuationLink"], Value::Null);
    for (target, expected) in [
        ("targetDeviceId=d&targetModuleId=m", (1, 1)),
        ("targetDeviceId=d&targetModuleId=", (1, 0)),
        ("targetDeviceId=d&targetModuleId=x", (1, 0)),
        ("targetDeviceId=other", (0, 0)),
    ] {
        let one = format!("{base}/deviceAndModuleInDeviceScope?{target}");
        let one = get_json(&hub, &one).await;
        let length = |key: &str| one[key].as_array().unwrap().len();
        assert_eq!((length("devices"), length("modules")), expected, "{target}");
    }
    let nobody = get_request(&format!("{base}/deviceAndModuleInDeviceScope"));
    assert_eq!(send(&hub, nobody).await.status(), 400);
    let module = get_request("/devices/d/modules/m/devicesAndModulesInDeviceScope");
    let expected = (400, "ArgumentInvalid", "`$edgeHub` alone has a scope");
    check_failure(&hub, module, expected).await;
}

#[tokio::test]
async fn a_device_behind_another_is_told_to_its_edge_hub() {
    let (hub, _) = hub_with_module().await;
    let scope = get_json(&hub, "/devices/d").await["deviceScope"].clone();
    let put = async |path: &str, if_match: Option<&str>, body: Value| {
        answer(send(&hub, request(Method::PUT, path, if_match, body)).await).await
    };
    let (status, leaf) = put("/devices/leaf", None, json!({ "deviceScope": scope })).await;
    assert_eq!((status, &leaf["deviceScope"]), (200, &scope));
    assert_eq!(leaf["parentScopes"], json!([scope]));
    let twin = get_json(&hub, "/twins/leaf").await;
    assert_eq!(
        (&twin["deviceScope"], &twin["parentScopes"]),
        (&scope, &json!([scope]))
    );
    let nested = json!({ "capabilities": { "iotEdge": true }, "parentScopes": [scope] });
    let (_, nested) = put("/devices/nested", None, nested).await;
    assert_ne!(nested["deviceScope"], scope);
    assert_eq!(nested["parentScopes"], json!([scope]));
    let all = "/devices/d/modules/%24edgeHub/devicesAndModulesInDeviceScope";
    let all = get_json(&hub, all).await;
    let ids = |list: &Value, key: &str| -> Vec<Value> {
        let list = list.as_array().unwrap().iter();
        list.map(|one| one[key].clone()).collect()
    };
    assert_eq!(ids(&all["devices"], "deviceId"), ["d", "leaf", "nested"]);
    let modules = ids(&all["modules"], "deviceId");
    assert_eq!(modules, ["d", "d", "d", "nested", "nested"]);
    let one = "/devices/d/modules/%24edgeHub/deviceAndModuleInDeviceScope?targetDeviceId=leaf";
    assert_eq!(get_json(&hub, one).await["devices"], json!([leaf]));
    // What was read is written back without a change, also when it says nothing of its parent.
    for body in [leaf.clone(), json!({})] {
        let (status, again) = put("/devices/leaf", Some("*"), body).await;
        assert_eq!((status, &again["deviceScope"]), (200, &scope));
    }
    let (_, again) = put("/devices/nested", Some("*"), nested.clone()).await;
    assert_eq!(again["deviceScope"], nested["deviceScope"]);
    assert_eq!(again["parentScopes"], nested["parentScopes"]);
    let alone = json!({ "deviceScope": null, "parentScopes": [] });
    let (_, alone) = put("/devices/leaf", Some("*"), alone).await;
    assert_eq!(
        (alone.get("deviceScope"), &alone["parentScopes"]),
        (None, &json!([]))
    );
    for scope in ["x", "ms-azure-iot-edge://d-1", "ms-azure-iot-edge://x-1"] {
        let reason = format!(
            "`/devices/other` cannot be so: there is no device that runs modules with the scope `{scope}`"
        );
        let body = json!({ "deviceScope": scope });
        let make = request(Method::PUT, "/devices/other", None, body);
        check_failure(&hub, make, (400, "ArgumentInvalid", &reason)).await;
    }
}

#[tokio::test]
async fn who_is_behind_a_device_is_told_in_pages() {
    let (hub, _) = hub_with_module().await;
    let scope = get_json(&hub, "/devices/d").await["deviceScope"].clone();
    for number in 0..=1000 {
        let parent = if number % 500 == 0 {
            scope.clone()
        } else {
            Value::Null
        };
        let path = format!("/devices/z%25{number:04}");
        let (status, _) = ask(&hub, Method::PUT, &path, json!({ "deviceScope": parent })).await;
        assert_eq!(status, 200);
    }
    let mut link =
        json!("/devices/d/modules/%24edgeHub/devicesAndModulesInDeviceScope?deviceCount=10");
    let mut found = Vec::new();
    let mut pages = 0;
    while let Some(path) = link.as_str() {
        let page = get_json(&hub, path).await;
        let devices = page["devices"].as_array().unwrap().iter();
        found.extend(devices.map(|device| device["deviceId"].clone()));
        link = page["continuationLink"].clone();
        pages += 1;
    }
    assert_eq!(found, ["d", "z%0000", "z%0500", "z%1000"]);
    assert_eq!(pages, 2);
}

#[tokio::test]
async fn a_list_is_not_taken_for_an_object() {
    let hub = hub();
    let check = async |method: Method, path: &str, body: Value| {
        let expected = (400, "ArgumentInvalid", "the body is no JSON object");
        check_failure(&hub, request(method, path, None, body), expected).await;
    };
    check(Method::PUT, "/devices/c1", json!([])).await;
    check(Method::PUT, "/devices/c1", json!(["c1"])).await;
    check(
        Method::POST,
        "/devices/query",
        json!(["SELECT * FROM devices"]),
    )
    .await;
    let path = "/configurations/testQueries";
    check(Method::POST, path, json!(["*", {}])).await;
    let members = json!([null, null, null, {}, "*", 1, null]);
    check(Method::PUT, "/configurations/c", members).await;
    let (status, told) = ask(&hub, Method::POST, "/devices", json!([["c1"]])).await;
    assert_eq!(status, 400, "{told}");
    let expected = "the item: no JSON object";
    assert_eq!(told["errors"][0]["errorStatus"], expected, "{told}");
    assert_eq!(get_json(&hub, "/devices").await, json!([]));
    let (status, _) = ask(&hub, Method::PUT, "/devices/c1", json!({})).await;
    assert_eq!(status, 200);
}
