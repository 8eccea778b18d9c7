use serde_json::json;

use super::*;
use crate::hub::IfMatch;
use crate::hub::tests::{device_id, hub, hub_with_module, module};
use crate::hub::twins::TwinPatch;

fn content(modules: Value) -> Map<String, Value> {
    json!({ "modulesContent": modules })
        .as_object()
        .unwrap()
        .clone()
}

async fn desired(hub: &Hub, name: &str) -> (Value, u64) {
    let twin = hub.twin_json(&module("d", name)).await.unwrap();
    let mut desired = twin["properties"]["desired"].as_object().unwrap().clone();
    desired.remove("$metadata");
    let version = desired.remove("$version").unwrap().as_u64().unwrap();
    (Value::Object(desired), version)
}

#[tokio::test]
async fn a_deployment_makes_modules_and_replaces_their_desired_properties() {
    let (hub, owner) = hub_with_module().await;
    let old = json!({ "tags": { "keep": 1 }, "properties": { "desired": { "old": 1 } } });
    hub.patch_twin(&owner, &TwinPatch::from_json(old).unwrap(), IfMatch::Any)
        .await
        .unwrap();
    let given = content(json!({
        "$edgeAgent": { "properties.desired": { "schemaVersion": "1.1" } },
        "m": { "properties.desired": { "new": 2 } },
        "made": { "properties.desired": {} },
    }));
    hub.apply_configuration(&device_id("d"), &given)
        .await
        .unwrap();
    assert_eq!(desired(&hub, "m").await, (json!({ "new": 2 }), 3));
    assert_eq!(
        desired(&hub, "$edgeAgent").await,
        (json!({ "schemaVersion": "1.1" }), 2)
    );
    assert_eq!(desired(&hub, "$edgeHub").await, (json!({}), 1));
    assert_eq!(desired(&hub, "made").await.0, json!({}));
    assert_eq!(
        hub.twin_json(&owner).await.unwrap()["tags"],
        json!({ "keep": 1 })
    );
}

#[tokio::test]
async fn applying_the_same_again_changes_nothing() {
    let (hub, _) = hub_with_module().await;
    let given = content(json!({ "m": { "properties.desired": { "a": { "b": 1 } } } }));
    hub.apply_configuration(&device_id("d"), &given)
        .await
        .unwrap();
    hub.apply_configuration(&device_id("d"), &given)
        .await
        .unwrap();
    assert_eq!(desired(&hub, "m").await, (json!({ "a": { "b": 1 } }), 2));
}

#[tokio::test]
async fn the_agent_is_told_again_what_is_applied_again() {
    let (hub, _) = hub_with_module().await;
    let agent = json!({ "schemaVersion": "1.1" });
    let given = content(json!({ "$edgeAgent": { "properties.desired": agent }, "m": {} }));
    for version in [2, 3] {
        hub.apply_configuration(&device_id("d"), &given)
            .await
            .unwrap();
        assert_eq!(desired(&hub, "$edgeAgent").await, (agent.clone(), version));
    }
    assert_eq!(desired(&hub, "m").await.1, 1);
}

#[tokio::test]
async fn properties_given_one_by_one_are_put_in_their_place() {
    let (hub, _) = hub_with_module().await;
    let given = content(json!({ "m": {
        "properties.desired.a.b": 2, "properties.desired": { "a": { "x": 1 } },
        "properties.desired.c": { "d": 3 },
    } }));
    hub.apply_configuration(&device_id("d"), &given)
        .await
        .unwrap();
    let expected = json!({ "a": { "x": 1, "b": 2 }, "c": { "d": 3 } });
    assert_eq!(desired(&hub, "m").await.0, expected);
}

#[test]
fn the_agent_comes_last() {
    let given = content(json!({ "$edgeAgent": {}, "$edgeHub": {}, "a": {}, "z": {} }));
    let order: Vec<_> = Configuration::parse(&given)
        .unwrap()
        .0
        .into_iter()
        .map(|(module, _)| module.to_string())
        .collect();
    assert_eq!(order, ["$edgeHub", "a", "z", "$edgeAgent"]);
}

fn check_refused(given: &Map<String, Value>, expected: &str) {
    assert_eq!(
        Configuration::parse(given).unwrap_err().to_string(),
        expected
    );
}

#[test]
fn a_content_of_another_form_is_refused() {
    check_refused(&Map::new(), "`modulesContent` is missing or not an object");
    check_refused(
        &content(json!({ "m": 1 })),
        "`modulesContent['m']` is not an object",
    );
    let desired = json!({ "m": { "properties.desired": 1 } });
    check_refused(
        &content(desired),
        "`modulesContent['m']['properties.desired']` is not an object",
    );
    let reported = json!({ "m": { "properties.reported": {} } });
    let expected =
        "`modulesContent['m']['properties.reported']` is not known: expected `properties.desired`";
    check_refused(&content(reported), expected);
    let empty = json!({ "m": { "properties.desired.a..b": {} } });
    let expected = "`modulesContent['m']['properties.desired.a..b']` is not known: expected `properties.desired`";
    check_refused(&content(empty), expected);
    let blocked = json!({ "m": { "properties.desired": { "a": 1 }, "properties.desired.a.b": 2 } });
    check_refused(
        &content(blocked),
        "`modulesContent['m']['properties.desired.a.b']`: `a` is not an object",
    );
}

#[test]
fn a_path_of_any_length_is_refused_without_harm() {
    let key = format!("properties.desired{}", ".a".repeat(100_000));
    let err = Configuration::parse(&content(json!({ "m": { key: 1 } }))).unwrap_err();
    assert!(err.to_string().ends_with("is deeper than 10 levels"));
}

#[tokio::test]
async fn nothing_is_made_for_a_device_that_is_missing_or_a_bad_content() {
    let hub = hub();
    let given = content(json!({ "m": {} }));
    let err = hub
        .apply_configuration(&device_id("d"), &given)
        .await
        .unwrap_err();
    assert!(matches!(err, HubError::NotFound { .. }), "{err}");
    let (hub, _) = hub_with_module().await;
    let given = content(json!({ "a": {}, "b": 1 }));
    hub.apply_configuration(&device_id("d"), &given)
        .await
        .unwrap_err();
    hub.identity(&module("d", "a")).await.unwrap_err();
}
