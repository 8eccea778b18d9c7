use super::*;

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
async fn a_twin_that_was_read_is_written_back_with_a_change() {
    let (hub, owner) = hub_with_module().await;
    let (session, _events) = hub.connect(&owner).await.unwrap();
    let reported = json!({ "fw": { "major": 1 } });
    session.report(reported.as_object().unwrap()).await.unwrap();
    let path = "/twins/d/modules/m";
    for method in [Method::PATCH, Method::PUT] {
        let mut twin = get_json(&hub, path).await;
        twin["tags"]["by"] = json!(method.as_str());
        twin["properties"]["reported"]["fw"] = json!("not mine to say");
        let (status, written) = ask(&hub, method.clone(), path, twin).await;
        assert_eq!(status, 200, "{written}");
        assert_eq!(written["tags"]["by"], method.as_str());
        assert_eq!(
            written["properties"]["reported"]["fw"],
            json!({ "major": 1 })
        );
    }
}
