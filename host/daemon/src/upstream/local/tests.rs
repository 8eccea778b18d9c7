//! A device's own twins over a database on disk.

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde_json::json;
use wasm_edge_store::keys::MasterKey;

use super::*;
use crate::twins::Twins;

fn open(temp: &tempfile::TempDir) -> LocalHub {
    let folder = Dir::open_ambient_dir(temp.path(), ambient_authority()).expect("it opens");
    let keys = Keyring::new(&MasterKey::open(&folder).expect("made"));
    let twins = Twins::open(&folder, &keys).expect("opened");
    LocalHub::open(twins.database(), &keys).expect("opened")
}

fn id(module: &str) -> ModuleId {
    ModuleId::new(module).expect("valid")
}

fn identity(module: &str) -> ModuleIdentity {
    format!("/devices/d/modules/{module}")
        .parse()
        .expect("valid")
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

fn sections(agent: Value, module: Value) -> BTreeMap<ModuleId, Map<String, Value>> {
    [(ModuleId::edge_agent(), map(agent)), (id("m"), map(module))].into()
}

const ANY: Interest = Interest { methods: true };

#[tokio::test]
async fn identities_and_twins_are_the_same_after_a_restart() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let hub = open(&temp);
    let before = hub.provision(identity("m")).await.expect("made");
    hub.apply(sections(json!({"a": 1}), json!({"interval": 5})))
        .await
        .expect("applied");
    let session = hub.connect(identity("m"), ANY).await.expect("opened");
    let version = session.calls.report(map(json!({"on": true}))).await;
    assert_eq!(version.expect("taken"), Some(2));
    let (twin, generation) = (
        session.calls.twin().await.expect("read"),
        hub.generation_id(),
    );
    drop((session, hub));

    let hub = open(&temp);
    assert_eq!(hub.generation_id(), generation);
    let after = hub.provision(identity("m")).await.expect("known");
    assert_eq!(
        (after.generation_id, after.primary_key),
        (before.generation_id, before.primary_key)
    );
    let session = hub.connect(identity("m"), ANY).await.expect("opened");
    assert_eq!(session.calls.twin().await.expect("read"), twin);
    assert_eq!(twin.desired, map(json!({"interval": 5})));
    assert_eq!((twin.desired_version, twin.reported_version), (2, 2));
}

#[tokio::test]
async fn an_identity_that_was_deleted_is_another_one_when_it_comes_back() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let hub = open(&temp);
    let before = hub.provision(identity("m")).await.expect("made");
    let mut session = hub.connect(identity("m"), ANY).await.expect("opened");
    hub.deprovision(identity("m")).await.expect("deleted");
    assert!(session.events.recv().await.is_none());
    assert!(session.calls.twin().await.is_err());
    assert!(matches!(
        hub.connect(identity("m"), ANY).await,
        Err(UpstreamError::Refused { .. })
    ));
    hub.deprovision(identity("m"))
        .await
        .expect("safe to repeat");
    let after = hub.provision(identity("m")).await.expect("made");
    assert_ne!(after.generation_id, before.generation_id);
    assert_ne!(after.primary_key, before.primary_key);
}

#[tokio::test]
async fn applying_again_leaves_alone_what_is_as_it_was_but_for_the_agent() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let hub = open(&temp);
    let given = sections(json!({"a": 1}), json!({"b": 1}));
    hub.apply(given.clone()).await.expect("applied");
    let mut module = hub.connect(identity("m"), ANY).await.expect("opened");
    let mut agent = hub
        .connect(identity("$edgeAgent"), ANY)
        .await
        .expect("opened");
    hub.apply(given).await.expect("applied");
    assert!(matches!(agent.events.recv().await, Some(SessionEvent::Gap)));
    assert!(module.events.try_recv().is_err());
    assert_eq!(agent.calls.twin().await.expect("read").desired_version, 3);
    assert_eq!(module.calls.twin().await.expect("read").desired_version, 2);
}

#[tokio::test]
async fn a_patch_reaches_the_session_and_a_bad_one_nobody() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let hub = open(&temp);
    hub.provision(identity("m")).await.expect("made");
    let mut session = hub.connect(identity("m"), ANY).await.expect("opened");
    let etag = hub.twin(&id("m")).expect("there").etag();
    hub.patch_desired(&id("m"), &map(json!({"a": 1, "b": null})), Some(&etag))
        .await
        .expect("taken");
    let Some(SessionEvent::Desired { patch, version }) = session.events.recv().await else {
        panic!("no patch");
    };
    assert_eq!((patch, version), (map(json!({"a": 1, "b": null})), 2));
    let late = hub
        .patch_desired(&id("m"), &map(json!({"a": 2})), Some(&etag))
        .await;
    assert!(matches!(late, Err(LocalHubError::Changed { .. })));
    let bad = hub
        .patch_desired(&id("m"), &map(json!({"a.b": 2})), None)
        .await;
    assert!(matches!(bad, Err(LocalHubError::Twin { .. })));
    let nobody = hub
        .patch_desired(&id("n"), &map(json!({"a": 2})), None)
        .await;
    assert!(matches!(nobody, Err(LocalHubError::NotFound { .. })));
    assert!(session.events.try_recv().is_err());
    assert_eq!(session.calls.twin().await.expect("read").desired_version, 2);
}

#[tokio::test]
async fn a_session_that_does_not_listen_ends_and_the_next_one_has_all() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let hub = open(&temp);
    hub.provision(identity("m")).await.expect("made");
    let mut session = hub.connect(identity("m"), ANY).await.expect("opened");
    for n in 0..=EVENTS_MAX {
        hub.patch_desired(&id("m"), &map(json!({ "n": n })), None)
            .await
            .expect("taken");
    }
    for _ in 0..EVENTS_MAX {
        assert!(session.events.recv().await.is_some());
    }
    assert!(session.events.recv().await.is_none());
    let next = hub.connect(identity("m"), ANY).await.expect("opened");
    let twin = next.calls.twin().await.expect("read");
    assert_eq!(twin.desired, map(json!({ "n": EVENTS_MAX })));
}

#[tokio::test]
async fn a_later_session_ends_the_one_before_and_messages_are_not_taken() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let hub = open(&temp);
    hub.provision(identity("m")).await.expect("made");
    let mut first = hub.connect(identity("m"), ANY).await.expect("opened");
    let second = hub.connect(identity("m"), ANY).await.expect("opened");
    assert!(first.events.recv().await.is_none());
    assert!(first.calls.report(map(json!({"a": 1}))).await.is_err());
    assert!(second.calls.twin().await.is_ok());
    assert!(!second.calls.takes_messages());
    let sent = second.calls.send(Arc::new(Message::default())).await;
    assert!(matches!(sent, Err(UpstreamError::Unreachable { .. })));
}

#[tokio::test]
async fn there_are_no_more_modules_than_a_hub_takes() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let hub = open(&temp);
    for n in 0..MODULES_MAX {
        hub.provision(identity(&format!("m{n}")))
            .await
            .expect("made");
    }
    assert!(matches!(
        hub.provision(identity("more")).await,
        Err(UpstreamError::Refused { .. })
    ));
    hub.provision(identity("m0")).await.expect("it is there");
}

#[tokio::test]
async fn nothing_of_it_can_be_read_on_the_disk() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let hub = open(&temp);
    let secret = json!({"runtime": {"settings": {"registryCredentials": "hunter-two"}}});
    hub.apply(sections(secret, json!({})))
        .await
        .expect("applied");
    drop(hub);
    let bytes = std::fs::read(temp.path().join("device.redb")).expect("it is there");
    let found = bytes.windows(10).any(|part| part == b"hunter-two");
    assert!(!found, "a password lies open");
}
