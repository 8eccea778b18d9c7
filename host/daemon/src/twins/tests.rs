use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde_json::json;

use wasm_edge_store::keys::MasterKey;

use super::*;

pub(super) fn open() -> (tempfile::TempDir, Twins, Twin) {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let (twins, twin) = reopen(&temp);
    (temp, twins, twin)
}

pub(super) fn reopen(temp: &tempfile::TempDir) -> (Twins, Twin) {
    let folder = Dir::open_ambient_dir(temp.path(), ambient_authority()).expect("it opens");
    let keys = Keyring::new(&MasterKey::open(&folder).expect("made"));
    let twins = Twins::open(&folder, &keys).expect("opened");
    let twin = twins.of(&ModuleId::new("m").expect("valid")).expect("read");
    (twins, twin)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub(super) fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

#[tokio::test]
async fn what_was_reported_is_there_after_a_restart_and_still_unsent() {
    let (temp, twins, twin) = open();
    twin.report(&map(json!({"a": {"b": 1, "c": 2}})))
        .await
        .expect("stored");
    twin.report(&map(json!({"a": {"b": null}})))
        .await
        .expect("stored");
    drop((twins, twin));
    let (_twins, twin) = reopen(&temp);
    assert_eq!(
        parsed(&twin.reported_text()),
        json!({"a":{"c":2},"$version":0})
    );
    assert_eq!(twin.unsent().expect("unsent"), map(json!({"a": {"c": 2}})));
}

#[tokio::test]
async fn only_the_difference_goes_to_the_hub() {
    let (_temp, _twins, twin) = open();
    twin.report(&map(json!({"a": 1, "b": {"c": 1}})))
        .await
        .expect("stored");
    let unsent = twin.unsent().expect("unsent");
    twin.report(&map(json!({"b": null, "d": 4})))
        .await
        .expect("stored meanwhile");
    twin.sent(&unsent, Some(2)).await.expect("stored");
    assert_eq!(
        twin.unsent().expect("the rest"),
        map(json!({"b": null, "d": 4}))
    );
    let rest = twin.unsent().expect("the rest");
    twin.sent(&rest, Some(3)).await.expect("stored");
    assert!(twin.unsent().is_none());
    assert_eq!(
        parsed(&twin.reported_text()),
        json!({"a":1,"d":4,"$version":3})
    );
}

#[tokio::test]
async fn desired_changes_are_merged_in_order_and_gaps_are_seen() {
    let (_temp, _twins, twin) = open();
    let document = TwinDocument {
        desired: map(json!({"a": 1})),
        desired_version: 4,
        ..TwinDocument::default()
    };
    twin.take_document(document).await.expect("stored");
    assert_eq!(
        twin.desired_update(None),
        (DesiredUpdate::Full(r#"{"$version":4,"a":1}"#.to_owned()), 1)
    );
    assert_eq!(
        twin.take_desired(map(json!({"b": 2})), 4)
            .await
            .expect("read"),
        Taken::Old
    );
    assert_eq!(
        twin.take_desired(map(json!({"b": 2})), 6)
            .await
            .expect("read"),
        Taken::Gap
    );
    assert_eq!(
        twin.take_desired(map(json!({"a": null, "b": 2})), 5)
            .await
            .expect("stored"),
        Taken::Merged
    );
    let patch = r#"{"$version":5,"a":null,"b":2}"#.to_owned();
    assert_eq!(
        twin.desired_update(Some(1)),
        (DesiredUpdate::Patch(patch), 2)
    );
    assert_eq!(
        twin.desired_update(Some(0)),
        (DesiredUpdate::Full(r#"{"$version":5,"b":2}"#.to_owned()), 2)
    );
}

#[tokio::test]
async fn a_report_against_the_rules_changes_nothing() {
    let (_temp, _twins, twin) = open();
    twin.report(&map(json!({"a": 1}))).await.expect("stored");
    let many: Map<String, Value> = (0..16)
        .map(|n| (format!("k{n}"), Value::from("x".repeat(3000))))
        .collect();
    assert!(matches!(twin.report(&many).await, Err(TwinError::Limit(_))));
    assert_eq!(parsed(&twin.reported_text()), json!({"a":1,"$version":0}));
}
