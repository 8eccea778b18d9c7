//! Changes made on the device, through a twin over a database on disk.

use wasm_edge_model::identity::ModuleId;
use wasm_edge_runtime::events::DesiredUpdate;

use super::*;
use crate::twins::tests::{map, open, reopen};
use crate::upstream::TwinDocument;

const AUTHOR: Author = Author {
    uid: 1000,
    pid: Some(77),
};

fn from_hub(desired: Value, version: u64) -> TwinDocument {
    TwinDocument {
        desired: map(desired),
        desired_version: version,
        ..TwinDocument::default()
    }
}

async fn changed(twin: &Twin, patch: Value) -> Result<(), LocalChangeError> {
    twin.change_locally(&map(patch), AUTHOR, Timestamp::UNSET)
        .await
}

fn patch_of(twin: &Twin) -> Option<Value> {
    twin.local_change().map(|local| Value::Object(local.patch))
}

fn seen(twin: &Twin) -> Value {
    serde_json::from_str(&twin.desired_text()).expect("JSON")
}

#[test]
fn a_change_is_the_smallest_patch_to_what_the_module_sees() {
    let check = |desired: Value, patches: &[Value], expected: Value| {
        let desired = map(desired);
        let mut local: Option<LocalChange> = None;
        for patch in patches {
            let patch =
                patched(&desired, local.as_ref(), &map(patch.clone())).expect("within the rules");
            local = Some(LocalChange {
                patch,
                time: Timestamp::UNSET,
                author: AUTHOR,
            });
        }
        let patch = local.map(|local| Value::Object(local.patch));
        assert_eq!(patch, Some(expected));
    };
    check(json!({"a": 1}), &[json!({"a": 2})], json!({"a": 2}));
    check(
        json!({"a": 1}),
        &[json!({"a": 2}), json!({"a": 1})],
        json!({}),
    );
    check(
        json!({"a": {"b": 1, "c": 1}}),
        &[json!({"a": 5}), json!({"a": {"c": 2}})],
        json!({"a": {"b": null, "c": 2}}),
    );
    check(
        json!({"a": 1}),
        &[json!({"a": null, "no": null})],
        json!({"a": null}),
    );
    check(
        json!({}),
        &[json!({"a": {"b": 1}}), json!({"a": {"b": null}})],
        json!({"a": {}}),
    );
}

#[tokio::test]
async fn a_change_is_seen_and_told_and_survives_a_restart() {
    let (temp, twins, twin) = open();
    twin.take_document(from_hub(json!({"a": 1, "b": 1}), 7))
        .await
        .expect("stored");
    twin.away();
    changed(&twin, json!({"a": 5})).await.expect("taken");
    assert_eq!(seen(&twin), json!({"a": 5, "b": 1, "$version": 7}));
    let (update, revision) = twin.desired_update(Some(1));
    assert_eq!(
        update,
        DesiredUpdate::Patch(r#"{"$version":7,"a":5}"#.to_owned())
    );
    assert_eq!((revision, *twin.watch_desired().borrow()), (2, 2));
    assert_eq!(
        twin.desired().0,
        map(json!({"a": 1, "b": 1})),
        "the hub's are kept apart"
    );
    drop((twins, twin));

    let (_twins, twin) = reopen(&temp);
    assert_eq!(seen(&twin), json!({"a": 5, "b": 1, "$version": 7}));
    let local = twin.local_change().expect("kept");
    assert_eq!((local.patch, local.author), (map(json!({"a": 5})), AUTHOR));
}

#[tokio::test]
async fn when_the_hub_is_back_changes_are_given_up() {
    let (temp, twins, twin) = open();
    changed(&twin, json!({"a": 5})).await.expect("taken");
    twin.take_document(from_hub(json!({"b": 2}), 3))
        .await
        .expect("stored");
    assert_eq!(
        (patch_of(&twin), seen(&twin)),
        (None, json!({"b": 2, "$version": 3}))
    );
    assert!(matches!(
        twin.desired_update(Some(1)).0,
        DesiredUpdate::Full(_)
    ));
    let refused = changed(&twin, json!({"a": 6})).await;
    assert!(matches!(refused, Err(LocalChangeError::Connected)));
    twin.away();
    changed(&twin, json!({"a": 6})).await.expect("taken");
    drop((twins, twin));
    let (_twins, twin) = reopen(&temp);
    assert_eq!(patch_of(&twin), Some(json!({"a": 6})));
}

#[tokio::test]
async fn changes_that_are_kept_lie_over_what_the_hub_says() {
    let (_temp, _twins, twin) = open();
    twin.keep_local_changes(true).await.expect("stored");
    changed(&twin, json!({"a": 5})).await.expect("taken");
    twin.take_document(from_hub(json!({"a": 1, "b": 1}), 3))
        .await
        .expect("stored");
    changed(&twin, json!({"c": 1}))
        .await
        .expect("taken, connected as it is");
    twin.take_desired(map(json!({"a": 2, "b": 2})), 4)
        .await
        .expect("stored");
    assert_eq!(seen(&twin), json!({"a": 5, "b": 2, "c": 1, "$version": 4}));
    let told = twin.desired_update(Some(twin.desired_revision() - 1)).0;
    assert_eq!(
        told,
        DesiredUpdate::Patch(r#"{"$version":4,"b":2}"#.to_owned())
    );
    // A deployment that does not keep them ends them at once, since the hub is there.
    twin.keep_local_changes(false).await.expect("stored");
    assert_eq!(
        (patch_of(&twin), seen(&twin)),
        (None, json!({"a": 2, "b": 2, "$version": 4}))
    );
}

#[tokio::test]
async fn what_is_taken_back_is_told_too() {
    let (_temp, _twins, twin) = open();
    twin.take_document(from_hub(json!({"a": 1}), 3))
        .await
        .expect("stored");
    twin.away();
    changed(&twin, json!({"a": 5, "b": 5}))
        .await
        .expect("taken");
    assert!(twin.undo_local_changes().await.expect("stored"));
    let told = twin.desired_update(Some(twin.desired_revision() - 1)).0;
    assert_eq!(
        told,
        DesiredUpdate::Patch(r#"{"$version":3,"a":1,"b":null}"#.to_owned())
    );
    assert!(
        !twin.undo_local_changes().await.expect("stored"),
        "there is nothing left"
    );
    // So is what leads back by itself.
    changed(&twin, json!({"a": 5})).await.expect("taken");
    changed(&twin, json!({"a": 1})).await.expect("taken");
    assert_eq!(patch_of(&twin), None);
}

#[tokio::test]
async fn the_rules_of_twins_hold_after_merging() {
    let (_temp, _twins, twin) = open();
    let half: Map<String, Value> = (0..5)
        .map(|n| (format!("h{n}"), "x".repeat(4000).into()))
        .collect();
    twin.take_document(from_hub(Value::Object(half.clone()), 3))
        .await
        .expect("stored");
    twin.away();
    let other: Map<String, Value> = (0..5)
        .map(|n| (format!("o{n}"), "x".repeat(4000).into()))
        .collect();
    let refused = changed(&twin, Value::Object(other)).await;
    assert!(matches!(refused, Err(LocalChangeError::Twin(_))));
    let refused = changed(&twin, json!({"a.b": null})).await;
    assert!(matches!(refused, Err(LocalChangeError::Twin(_))));
    assert_eq!(patch_of(&twin), None);

    // What does not go with the hub's properties any more is given up, kept or not.
    twin.keep_local_changes(true).await.expect("stored");
    let some: Map<String, Value> = (0..3)
        .map(|n| (format!("s{n}"), "x".repeat(4000).into()))
        .collect();
    changed(&twin, Value::Object(some)).await.expect("taken");
    let more: Map<String, Value> = (0..8)
        .map(|n| (format!("h{n}"), "x".repeat(4000).into()))
        .collect();
    twin.take_document(from_hub(Value::Object(more), 4))
        .await
        .expect("stored");
    assert_eq!(patch_of(&twin), None);
}

#[tokio::test]
async fn system_modules_are_not_changed_locally() {
    let (_temp, twins, _) = open();
    for id in [ModuleId::edge_agent(), ModuleId::edge_hub()] {
        let twin = twins.of(&id).expect("read");
        let refused = changed(&twin, json!({"a": 1})).await;
        assert!(matches!(refused, Err(LocalChangeError::System)));
    }
}

#[test]
fn version_1_is_read_and_another_one_named() {
    let text = br#"{"version":1,"patch":{"a":null},"time":"2026-08-01T10:00:00.0000000Z","author":{"uid":0,"pid":null}}"#;
    let local = LocalChange::read(text).expect("version 1");
    assert_eq!(local.patch, map(json!({"a": null})));
    assert_eq!(local.write(), text);
    let other = String::from_utf8_lossy(text).replace("\"version\":1", "\"version\":2");
    let err = LocalChange::read(other.as_bytes()).expect_err("unknown");
    assert!(err.to_string().contains("version 2"), "{err}");
}
