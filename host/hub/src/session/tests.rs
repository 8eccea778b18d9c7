use futures_util::FutureExt as _;
use serde_json::json;
use wasm_edge_model::message::{Message, SystemProperty};

use super::*;
use crate::hub::IfMatch;
use crate::hub::tests::{device, device_id, hub_with_module, module, module_identity};
use crate::hub::twins::TwinPatch;
use crate::identity::{IdentitySpec, IdentityStatus};
use crate::telemetry::{StartAt, TelemetryEvent};

fn map(json: Value) -> Map<String, Value> {
    json.as_object().unwrap().clone()
}

async fn patch(hub: &Hub, owner: &TwinOwner, desired: Value) {
    let change = TwinPatch {
        tags: None,
        desired: Some(map(desired)),
    };
    hub.patch_twin(owner, &change, IfMatch::Any).await.unwrap();
}

async fn desired(events: &mut SessionEvents) -> DesiredChange {
    match events.next().await {
        SessionEvent::Desired(change) => change,
        other => panic!("no change but {other:?}"),
    }
}

async fn closed(events: &mut SessionEvents) -> CloseReason {
    match events.next().await {
        SessionEvent::Closed(reason) => reason,
        other => panic!("not closed but {other:?}"),
    }
}

fn change(patch: Value, previous_version: u64, version: u64) -> DesiredChange {
    DesiredChange {
        patch: map(patch),
        replacement: None,
        previous_version,
        version,
    }
}

#[tokio::test]
async fn a_session_reads_its_twin_and_reports() {
    let (hub, owner) = hub_with_module().await;
    patch(&hub, &owner, json!({ "a": 1 })).await;
    let (session, _events) = hub.connect(&owner).await.unwrap();
    assert_eq!(
        session
            .report(&map(json!({ "x": 1, "y": 2 })))
            .await
            .unwrap(),
        2
    );
    assert_eq!(session.report(&map(json!({ "x": null }))).await.unwrap(), 3);
    let twin = session.twin().await.unwrap();
    let expected = SessionTwin {
        desired: map(json!({ "a": 1 })),
        desired_version: 2,
        reported: map(json!({ "y": 2 })),
        reported_version: 3,
    };
    assert_eq!(twin, expected);
    let service = hub.twin_json(&owner).await.unwrap();
    assert_eq!(service["properties"]["reported"]["y"], 2);
    assert_eq!(service["etag"], "AAAAAAAAAAI=");
}

#[tokio::test]
async fn a_report_against_the_limits_is_refused_and_the_session_goes_on() {
    let (hub, owner) = hub_with_module().await;
    let (session, _events) = hub.connect(&owner).await.unwrap();
    let err = session.report(&map(json!({ "a$": 1 }))).await.unwrap_err();
    let SessionError::Twin(source) = err else {
        panic!("{err}")
    };
    assert_eq!(source.to_string(), "the key `reported.a$` contains a `$`");
    assert_eq!(session.twin().await.unwrap().reported_version, 1);
}

#[tokio::test]
async fn desired_changes_are_told_as_patches_with_versions() {
    let (hub, owner) = hub_with_module().await;
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    patch(&hub, &owner, json!({ "a": { "b": 1, "c": 2 } })).await;
    let told = desired(&mut events).await;
    assert_eq!(told, change(json!({ "a": { "b": 1, "c": 2 } }), 1, 2));
    patch(&hub, &owner, json!({ "a": { "b": null } })).await;
    assert_eq!(
        desired(&mut events).await,
        change(json!({ "a": { "b": null } }), 2, 3)
    );
    let other = TwinPatch {
        tags: None,
        desired: Some(map(json!({ "d": 4 }))),
    };
    hub.replace_twin(&owner, &other, IfMatch::Any)
        .await
        .unwrap();
    let replaced = desired(&mut events).await;
    let expected = DesiredChange {
        replacement: Some(map(json!({ "d": 4 }))),
        ..change(json!({ "a": null, "d": 4 }), 3, 4)
    };
    assert_eq!(replaced, expected);
    assert_eq!(
        Value::Object(replaced.notification()),
        json!({ "d": 4, "$version": 4 })
    );
    patch(&hub, &owner, json!({ "d": 4, "gone": null })).await;
    assert_eq!(
        desired(&mut events).await,
        change(json!({ "d": 4, "gone": null }), 4, 5)
    );
    assert_eq!(session.twin().await.unwrap().desired_version, 5);
}

#[tokio::test]
async fn many_changes_come_as_one_and_none_is_left_out() {
    let (hub, owner) = hub_with_module().await;
    let (_session, mut events) = hub.connect(&owner).await.unwrap();
    // More than a feed keeps.
    for number in 0..100 {
        patch(
            &hub,
            &owner,
            json!({ "n": number, format!("k{}", number % 3): true }),
        )
        .await;
    }
    let all = json!({ "n": 99, "k0": true, "k1": true, "k2": true });
    assert_eq!(desired(&mut events).await, change(all, 1, 101));
    assert!(events.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_few_changes_at_once_are_told_one_by_one_as_they_were_made() {
    let (hub, owner) = hub_with_module().await;
    let (_session, mut events) = hub.connect(&owner).await.unwrap();
    patch(&hub, &owner, json!({ "a": { "x": 1, "y": 2 }, "b": 1 })).await;
    patch(&hub, &owner, json!({ "b": 1 })).await;
    let other = TwinPatch {
        tags: None,
        desired: Some(map(json!({ "a": { "x": 1 } }))),
    };
    hub.replace_twin(&owner, &other, IfMatch::Any)
        .await
        .unwrap();
    patch(&hub, &owner, json!({ "a": null })).await;
    let first = json!({ "a": { "x": 1, "y": 2 }, "b": 1 });
    assert_eq!(desired(&mut events).await, change(first, 1, 2));
    assert_eq!(desired(&mut events).await, change(json!({ "b": 1 }), 2, 3));
    let replaced = DesiredChange {
        replacement: Some(map(json!({ "a": { "x": 1 } }))),
        ..change(json!({ "a": { "x": 1, "y": null }, "b": null }), 3, 4)
    };
    assert_eq!(desired(&mut events).await, replaced);
    assert_eq!(
        desired(&mut events).await,
        change(json!({ "a": null }), 4, 5)
    );
    assert!(events.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_change_by_another_process_is_told_as_a_difference() {
    let (hub, owner) = hub_with_module().await;
    let (_session, mut events) = hub.connect(&owner).await.unwrap();
    patch(&hub, &owner, json!({ "a": 1 })).await;
    let theirs = map(json!({ "a": 1, "b": null, "c": 2 }));
    hub.change(&owner, |record| {
        let change = wasm_edge_model::twin::ServiceChange {
            tags: None,
            desired: Some(&theirs),
        };
        record.twin.patch(change, hub.now()).unwrap();
        Ok(((), crate::hub::documents::Write::Record))
    })
    .await
    .unwrap();
    let both = change(json!({ "a": 1, "c": 2 }), 1, 3);
    assert_eq!(desired(&mut events).await, both);
}

#[tokio::test]
async fn a_change_that_was_refused_is_not_told() {
    let (hub, owner) = hub_with_module().await;
    let (_session, mut events) = hub.connect(&owner).await.unwrap();
    let change_of = |desired| TwinPatch {
        tags: None,
        desired: Some(map(desired)),
    };
    let stale = IfMatch::Etag("stale".into());
    let lost = change_of(json!({ "lost": 1 }));
    hub.patch_twin(&owner, &lost, stale).await.unwrap_err();
    patch(&hub, &owner, json!({ "a": 1 })).await;
    assert_eq!(desired(&mut events).await, change(json!({ "a": 1 }), 1, 2));
}

#[tokio::test]
async fn a_device_is_told_once_to_look_for_messages() {
    let (hub, _) = hub_with_module().await;
    let (_session, mut events) = hub.connect(&device("d")).await.unwrap();
    let event = events.next().await;
    assert!(matches!(event, SessionEvent::Commands), "{event:?}");
    assert!(events.next().now_or_never().is_none());
    hub.send_command(&device_id("d"), Message::default(), Default::default())
        .await
        .unwrap();
    let event = events.next().await;
    assert!(matches!(event, SessionEvent::Commands), "{event:?}");
}

#[tokio::test]
async fn what_was_read_is_not_told_again() {
    let (hub, owner) = hub_with_module().await;
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    patch(&hub, &owner, json!({ "a": 1 })).await;
    session.twin().await.unwrap();
    patch(&hub, &owner, json!({ "b": 2 })).await;
    assert_eq!(desired(&mut events).await, change(json!({ "b": 2 }), 2, 3));
}

#[tokio::test]
async fn other_changes_are_not_told() {
    let (hub, owner) = hub_with_module().await;
    hub.ensure_module(&module_identity("d", "other"))
        .await
        .unwrap();
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    patch(&hub, &module("d", "other"), json!({ "a": 1 })).await;
    patch(&hub, &device("d"), json!({ "a": 1 })).await;
    session.report(&map(json!({ "a": 1 }))).await.unwrap();
    let tags = TwinPatch {
        tags: Some(map(json!({ "t": 1 }))),
        desired: None,
    };
    hub.patch_twin(&owner, &tags, IfMatch::Any).await.unwrap();
    patch(&hub, &owner, json!({ "mine": 1 })).await;
    assert_eq!(
        desired(&mut events).await,
        change(json!({ "mine": 1 }), 1, 2)
    );
}

#[tokio::test]
async fn a_dropped_wait_loses_no_change() {
    let (hub, owner) = hub_with_module().await;
    let (_session, mut events) = hub.connect(&owner).await.unwrap();
    for number in 0..50 {
        patch(&hub, &owner, json!({ "n": number })).await;
        // Polled once, so that the change is noticed, and dropped before it is read; now and then
        // it is read at once.
        let change = match events.next().now_or_never() {
            Some(SessionEvent::Desired(change)) => change,
            Some(other) => panic!("no change but {other:?}"),
            None => desired(&mut events).await,
        };
        assert_eq!(change.version, number + 2);
    }
}

#[tokio::test]
async fn the_newer_session_wins() {
    let (hub, owner) = hub_with_module().await;
    let (old, mut old_events) = hub.connect(&owner).await.unwrap();
    let (new, _new_events) = hub.connect(&owner).await.unwrap();
    assert_eq!(closed(&mut old_events).await, CloseReason::Replaced);
    assert_eq!(closed(&mut old_events).await, CloseReason::Replaced);
    let err = old.report(&Map::new()).await.unwrap_err();
    assert!(
        matches!(err, SessionError::Closed(CloseReason::Replaced)),
        "{err}"
    );
    drop(old_events);
    new.report(&map(json!({ "a": 1 }))).await.unwrap();
    assert_eq!(
        hub.twin_json(&owner).await.unwrap()["connectionState"],
        "Connected"
    );
}

#[tokio::test]
async fn identity_and_twin_show_who_is_connected() {
    let (hub, owner) = hub_with_module().await;
    let (session, events) = hub.connect(&owner).await.unwrap();
    let twin = hub.twin_json(&owner).await.unwrap();
    assert_eq!(twin["connectionState"], "Connected");
    assert_eq!(twin["lastActivityTime"], crate::hub::tests::NOW);
    let view = hub.connections().view(&owner);
    assert_eq!(
        hub.identity(&owner).await.unwrap().to_json(view)["connectionState"],
        "Connected"
    );
    drop(events);
    let twin = hub.twin_json(&owner).await.unwrap();
    assert_eq!(twin["connectionState"], "Disconnected");
    assert_eq!(twin["lastActivityTime"], crate::hub::tests::NOW);
    let err = session.twin().await.unwrap_err();
    assert!(
        matches!(err, SessionError::Closed(CloseReason::Abandoned)),
        "{err}"
    );
}

#[tokio::test]
async fn a_session_ends_with_its_identity() {
    let (hub, owner) = hub_with_module().await;
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    hub.delete_module(&module_identity("d", "m"), IfMatch::Any)
        .await
        .unwrap();
    assert_eq!(closed(&mut events).await, CloseReason::IdentityDeleted);
    hub.ensure_module(&module_identity("d", "m")).await.unwrap();
    session.report(&map(json!({ "a": 1 }))).await.unwrap_err();
    assert_eq!(hub.twin_json(&owner).await.unwrap()["version"], 1);
}

#[tokio::test]
async fn a_session_ends_with_its_device() {
    let (hub, owner) = hub_with_module().await;
    let (_session, mut events) = hub.connect(&owner).await.unwrap();
    hub.delete_device(&device_id("d"), IfMatch::Any)
        .await
        .unwrap();
    assert_eq!(closed(&mut events).await, CloseReason::IdentityDeleted);
}

#[tokio::test]
async fn a_session_that_another_hub_ends_notices_by_the_feed() {
    let (hub, owner) = hub_with_module().await;
    let (_session, mut events) = hub.connect(&owner).await.unwrap();
    let spec = IdentitySpec {
        status: IdentityStatus::Disabled,
        ..IdentitySpec::default()
    };
    // Past the connections of this process, as from another one.
    hub.change(&device("d"), |record| {
        record.identity.status = spec.status;
        Ok(((), crate::hub::documents::Write::Record))
    })
    .await
    .unwrap();
    assert_eq!(closed(&mut events).await, CloseReason::IdentityDisabled);
}

#[tokio::test]
async fn a_closed_hub_ends_sessions_and_takes_no_new_ones() {
    let (hub, owner) = hub_with_module().await;
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    hub.close();
    assert_eq!(closed(&mut events).await, CloseReason::HubClosed);
    session.send(Message::default()).await.unwrap_err();
    assert!(matches!(hub.connect(&owner).await, Err(HubError::Closed)));
}

#[tokio::test]
async fn telemetry_carries_the_sender_that_the_hub_knows() {
    let (hub, owner) = hub_with_module().await;
    let mut reader = hub.telemetry(StartAt::Latest).unwrap();
    let (session, _events) = hub.connect(&owner).await.unwrap();
    let mut message = Message {
        body: "21.5".into(),
        ..Message::default()
    };
    message
        .system
        .set(SystemProperty::ConnectionModuleId, "somebody-else");
    message.system.set(SystemProperty::InputName, "in");
    message.system.set(SystemProperty::OutputName, "out");
    message.properties.set("unit", "C");
    session.send(message).await.unwrap();
    let Some(TelemetryEvent::Message(telemetry)) = reader.next().await else {
        panic!("the message was sent");
    };
    assert_eq!(telemetry.source, owner);
    let now = crate::hub::tests::NOW;
    let expected = json!({
        "position": 0, "device": "d", "module": "m", "enqueuedTime": now, "output": "out",
        "properties": { "unit": "C" }, "bodyText": "21.5",
        "systemProperties": {
            "connectionDeviceId": "d", "connectionModuleId": "m", "enqueuedTime": now,
        },
    });
    assert_eq!(telemetry.to_json(), expected);
}

#[tokio::test]
async fn a_message_too_large_is_refused() {
    let (hub, owner) = hub_with_module().await;
    let (session, _events) = hub.connect(&owner).await.unwrap();
    let limit = wasm_edge_model::message::MESSAGE_SIZE_MAX_BYTES;
    session
        .send(Message {
            body: vec![0; limit].into(),
            ..Message::default()
        })
        .await
        .unwrap();
    let large = Message {
        body: vec![0; limit + 1].into(),
        ..Message::default()
    };
    let err = session.send(large).await.unwrap_err();
    assert!(matches!(err, SessionError::Message(_)), "{err}");
}
