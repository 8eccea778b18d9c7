use wasm_edge_store::disk::faults::{Fault, SimulatedDisk};

use super::*;
use crate::hub::tests::{
    NOW, after_power_cut, device, device_id, hub, hub_on, hub_with_module, module, module_identity,
};

fn patch(json: Value) -> TwinPatch {
    TwinPatch::from_json(json).unwrap()
}

fn map(json: Value) -> Map<String, Value> {
    json.as_object().unwrap().clone()
}

#[tokio::test]
async fn a_new_twin_looks_as_the_service_shows_it() {
    let (hub, owner) = hub_with_module().await;
    let section = json!({ "$metadata": { "$lastUpdated": NOW }, "$version": 1 });
    let never = "0001-01-01T00:00:00.0000000Z";
    let expected = json!({
        "deviceId": "d", "moduleId": "m", "etag": "AAAAAAAAAAE=", "deviceEtag": "MQ==",
        "status": "enabled", "statusUpdateTime": never, "connectionState": "Disconnected",
        "lastActivityTime": never, "cloudToDeviceMessageCount": 0, "authenticationType": "sas",
        "x509Thumbprint": { "primaryThumbprint": null, "secondaryThumbprint": null },
        "modelId": "", "version": 1, "tags": {},
        "properties": { "desired": section, "reported": section },
    });
    assert_eq!(hub.twin_json(&owner).await.unwrap(), expected);
}

#[tokio::test]
async fn a_device_twin_has_what_devices_alone_have() {
    let (hub, _) = hub_with_module().await;
    let twin = hub.twin_json(&device("d")).await.unwrap();
    assert_eq!(twin["capabilities"], json!({ "iotEdge": true }));
    assert_eq!(twin.get("moduleId"), None);
    let identity = hub.identity(&device("d")).await.unwrap();
    let scope = format!("ms-azure-iot-edge://d-{}", identity.generation_id);
    assert_eq!(twin["deviceScope"], json!(scope));
}

#[tokio::test]
async fn patches_merge_and_count_exactly() {
    let (hub, owner) = hub_with_module().await;
    let first = json!({ "tags": { "site": "north" }, "properties": { "desired": { "a": { "b": 1, "c": 2 } } } });
    let twin = hub
        .patch_twin(&owner, &patch(first), IfMatch::Any)
        .await
        .unwrap();
    assert_eq!(
        (&twin["version"], &twin["etag"]),
        (&json!(2), &json!("AAAAAAAAAAI="))
    );
    let second = json!({ "properties": { "desired": { "a": { "b": null }, "d": [1] } } });
    let twin = hub
        .patch_twin(&owner, &patch(second), IfMatch::Any)
        .await
        .unwrap();
    let desired = &twin["properties"]["desired"];
    assert_eq!(
        (&desired["a"], &desired["d"]),
        (&json!({ "c": 2 }), &json!([1]))
    );
    assert_eq!(
        (&desired["$version"], &twin["version"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(desired["$metadata"]["a"]["$lastUpdatedVersion"], 3);
    assert_eq!(twin["tags"], json!({ "site": "north" }));
    assert_eq!(hub.twin_json(&owner).await.unwrap(), twin);
}

#[tokio::test]
async fn an_empty_patch_changes_nothing() {
    let (hub, owner) = hub_with_module().await;
    let twin = hub
        .patch_twin(&owner, &patch(json!({})), IfMatch::Any)
        .await
        .unwrap();
    assert_eq!(twin["version"], 1);
}

#[tokio::test]
async fn a_replacement_empties_what_it_does_not_name() {
    let (hub, owner) = hub_with_module().await;
    let first = json!({ "tags": { "a": 1 }, "properties": { "desired": { "x": 1 } } });
    hub.patch_twin(&owner, &patch(first), IfMatch::Any)
        .await
        .unwrap();
    let other = json!({ "properties": { "desired": { "y": 2 }, "reported": { "z": 3 } } });
    let twin = hub
        .replace_twin(&owner, &patch(other), IfMatch::Any)
        .await
        .unwrap();
    assert_eq!(twin["tags"], json!({}));
    let desired = &twin["properties"]["desired"];
    assert_eq!(
        (desired.get("x"), &desired["y"], &desired["$version"]),
        (None, &json!(2), &json!(3))
    );
    assert_eq!(twin["properties"]["reported"].get("z"), None);
}

#[tokio::test]
async fn a_change_needs_the_present_etag() {
    let (hub, owner) = hub_with_module().await;
    let change = patch(json!({ "tags": { "a": 1 } }));
    let etag = |etag: &str| IfMatch::Etag(etag.to_owned());
    let err = hub
        .patch_twin(&owner, &change, etag("AAAAAAAAAAI="))
        .await
        .unwrap_err();
    assert!(matches!(err, HubError::PreconditionFailed { .. }), "{err}");
    hub.patch_twin(&owner, &change, etag("AAAAAAAAAAE="))
        .await
        .unwrap();
    hub.replace_twin(&owner, &change, etag("AAAAAAAAAAE="))
        .await
        .unwrap_err();
    hub.replace_twin(&owner, &change, etag("AAAAAAAAAAI="))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_change_against_the_limits_changes_nothing() {
    let (hub, owner) = hub_with_module().await;
    let bad = json!({ "tags": { "good": 1 }, "properties": { "desired": { "a": { "b.c": 1 } } } });
    let err = hub
        .patch_twin(&owner, &patch(bad), IfMatch::Any)
        .await
        .unwrap_err();
    let HubError::Twin { source, .. } = err else {
        panic!("{err}")
    };
    assert_eq!(source.to_string(), "the key `desired.a.b.c` contains a `.`");
    let twin = hub.twin_json(&owner).await.unwrap();
    assert_eq!((&twin["version"], &twin["tags"]), (&json!(1), &json!({})));
}

#[test]
fn bodies_of_another_form_are_refused() {
    for (body, expected) in [
        (json!([]), "the twin is not a JSON object"),
        (json!({ "tags": null }), "`tags` is not a JSON object"),
        (
            json!({ "properties": 1 }),
            "`properties` is not a JSON object",
        ),
        (
            json!({ "properties": { "desired": [] } }),
            "`properties.desired` is not a JSON object",
        ),
    ] {
        assert_eq!(
            TwinPatch::from_json(body).unwrap_err().to_string(),
            expected
        );
    }
}

#[test]
fn a_patch_leaves_what_the_device_reports_alone() {
    let check = |properties: Value, is_taken: bool| {
        let body = json!({ "properties": properties });
        assert_eq!(TwinPatch::from_patch(body).is_ok(), is_taken);
    };
    check(json!({ "desired": { "x": 1 } }), true);
    check(json!({ "reported": {} }), true);
    check(
        json!({ "reported": { "$version": 3, "$metadata": {} } }),
        true,
    );
    // As it was read.
    check(json!({ "reported": { "x": 1, "$version": 3 } }), true);
    check(json!({ "reported": { "x": 1 } }), false);
    check(json!({ "reported": { "x": null } }), false);
    check(json!({ "reported": null }), false);
    assert!(TwinPatch::from_patch(json!({ "reported": { "x": 1 } })).is_err());
}

#[tokio::test]
async fn two_devices_with_the_same_modules_have_twins_of_their_own() {
    let hub = hub();
    for name in ["d1", "d2"] {
        hub.ensure_device(&device_id(name)).await.unwrap();
        hub.ensure_module(&module_identity(name, "m"))
            .await
            .unwrap();
    }
    let change = patch(json!({ "properties": { "desired": { "x": 1 } } }));
    hub.patch_twin(&module("d1", "m"), &change, IfMatch::Any)
        .await
        .unwrap();
    let other = hub.twin_json(&module("d2", "m")).await.unwrap();
    assert_eq!(other["version"], 1);
    let keys = async |owner| hub.identity(&owner).await.unwrap().authentication;
    assert_ne!(keys(module("d1", "m")).await, keys(module("d2", "m")).await);
}

#[tokio::test]
async fn a_power_cut_leaves_what_was_answered_with_the_same_versions() {
    let disk = SimulatedDisk::new(Vec::new(), Fault::None);
    let before = hub_on(disk.clone());
    before.ensure_device(&device_id("d")).await.unwrap();
    before
        .ensure_module(&module_identity("d", "m"))
        .await
        .unwrap();
    let owner = module("d", "m");
    for number in 0..3 {
        let change =
            json!({ "tags": { "n": number }, "properties": { "desired": { "n": number } } });
        before
            .patch_twin(&owner, &patch(change), IfMatch::Any)
            .await
            .unwrap();
    }
    let generation = before.identity(&owner).await.unwrap().generation_id;
    before
        .report((&owner, &generation), &map(json!({ "r": true })), None)
        .await
        .unwrap();
    let twin = before.twin_json(&owner).await.unwrap();
    assert_eq!(twin["properties"]["reported"]["$version"], 2);
    // The first hub still runs: nothing is written in an orderly way.
    let after = hub_on(after_power_cut(&disk));
    assert_eq!(after.twin_json(&owner).await.unwrap(), twin);
    assert_eq!(
        after.identity(&owner).await.unwrap(),
        before.identity(&owner).await.unwrap()
    );
}
