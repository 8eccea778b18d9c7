//! What only a network can do to a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;
use wasm_edge_daemon::config::hub::TransportChoice;
use wasm_edge_daemon::upstream::iothub::line::LineSettings;
use wasm_edge_daemon::upstream::status::Standing;
use wasm_edge_daemon::upstream::{Interest, SessionEvent, Upstream, UpstreamError};
use wasm_edge_hub::hub::IfMatch;
use wasm_edge_hub::telemetry::{StartAt, TelemetryEvent};
use wasm_edge_model::message::Message;
use wasm_edge_model::time::Timestamp;
use wasm_edge_net::clock::{HubClock, Source};

use super::bed::{Far, Serving, module, object, open, owner, patch_desired, soon};

/// A clock that is wrong by so many milliseconds.
struct WrongClock(AtomicI64);

impl Source for WrongClock {
    fn wall(&self) -> Timestamp {
        let now = jiff::Timestamp::now().as_millisecond();
        Timestamp::from_unix_millis(now + self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

fn message(number: u32) -> Arc<Message> {
    Arc::new(Message {
        body: Bytes::from(number.to_string()),
        ..Message::default()
    })
}

#[tokio::test]
async fn a_session_renews_itself_and_loses_nothing() {
    let serving = Serving::start().await;
    let settings = LineSettings {
        // Renewed again and again while messages go out.
        token_life: Duration::from_millis(300),
        ..LineSettings::default()
    };
    let assignment = serving.assignment();
    let far = Far::with(&serving, assignment, settings, HubClock::new(None)).await;
    let mut session = open(&far.hub, "m", false).await;
    let mut reader = serving.hub.telemetry(StartAt::Earliest).unwrap();
    let mut gaps = 0;
    let mut sent = 0;
    while gaps < 5 {
        let batch = join_all((sent..sent + 20).map(|number| session.calls.send(message(number))));
        let batch = soon("acknowledgements", batch).await;
        assert!(batch.iter().all(Result::is_ok), "{batch:?}");
        sent += 20;
        while let Ok(event) = session.events.try_recv() {
            assert!(matches!(event, SessionEvent::Gap), "{event:?}");
            gaps += 1;
        }
    }
    for number in 0..sent {
        let Some(TelemetryEvent::Message(found)) = soon("a message", reader.next()).await else {
            panic!("a message is missing");
        };
        assert_eq!(found.message.body, number.to_string());
    }
    let status = far.hub.status().unwrap();
    assert!(status.sessions[0].connections > 5, "{status:?}");
    assert!(status.last_failure.is_none(), "{status:?}");
}

#[tokio::test]
async fn an_identity_that_was_deleted_is_made_again_and_is_another_one() {
    let serving = Serving::start().await;
    let far = Far::to(&serving).await;
    let mut session = open(&far.hub, "m", false).await;
    let before = session.generation_id.clone();
    let hub = &serving.hub;
    hub.delete_module(&module("m"), IfMatch::Any).await.unwrap();
    let end = async { while session.events.recv().await.is_some() {} };
    soon("the end of the session", end).await;
    let interest = Interest { methods: false };
    let session = soon("a session", far.hub.connect(module("m"), interest)).await;
    let session = session.unwrap();
    assert_ne!(session.generation_id, before);
    let identity = hub.identity(&owner("m")).await.unwrap();
    assert_eq!(session.generation_id, Some(identity.generation_id.clone()));
    let credentials = far.hub.provision(module("m")).await.unwrap();
    assert_eq!(credentials.generation_id, identity.generation_id);
    session.calls.send(message(1)).await.unwrap();
}

#[tokio::test]
async fn a_blocked_port_is_gone_around_by_a_websocket() {
    let serving = Serving::start().await;
    let blocked = {
        // A port that was just free and that nobody listens on.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut assignment = serving.assignment();
    assignment.mqtt_port = blocked;
    let clock = HubClock::new(None);
    let far = Far::with(
        &serving,
        assignment.clone(),
        LineSettings::default(),
        clock.clone(),
    )
    .await;
    let mut session = open(&far.hub, "m", true).await;
    session.calls.send(message(1)).await.unwrap();
    patch_desired(&serving.hub, "m", json!({ "a": 1 })).await;
    let event = soon("a change", session.events.recv()).await;
    assert!(
        matches!(event, Some(SessionEvent::Desired { version: 2, .. })),
        "{event:?}"
    );
    assert_eq!(far.hub.status().unwrap().transport, Some("mqtt-ws"));
    let settings = LineSettings {
        transport: TransportChoice::Mqtt,
        ..LineSettings::default()
    };
    let far = Far::with(&serving, assignment, settings, clock).await;
    far.hub.provision(module("m")).await.unwrap();
    let interest = Interest { methods: false };
    let failed = far.hub.connect(module("m"), interest).await;
    assert!(matches!(failed, Err(UpstreamError::Unreachable { .. })));
    let standing = far.hub.standing().borrow().clone();
    let Standing::Unreachable { cause, .. } = standing else {
        panic!("{standing:?}");
    };
    assert!(cause.contains(&format!("localhost:{blocked}")), "{cause}");
}

#[tokio::test]
async fn a_clock_that_is_far_off_is_set_by_the_hub() {
    let serving = Serving::start().await;
    let hour_ms = 60 * 60 * 1000;
    // An hour behind, a token for half an hour has expired when it is made; certificates are still good.
    let wrong = WrongClock(AtomicI64::new(-hour_ms));
    let clock = HubClock::from_source(Box::new(wrong), None);
    let settings = LineSettings {
        token_life: Duration::from_secs(30 * 60),
        time_from_hub: true,
        ..LineSettings::default()
    };
    let assignment = serving.assignment();
    let far = Far::with(&serving, assignment.clone(), settings, clock.clone()).await;
    let session = open(&far.hub, "m", false).await;
    session.calls.twin().await.unwrap();
    let offset_ms = far.clock.offset_ms();
    assert!((offset_ms - hour_ms).abs() < 60_000, "{offset_ms}");
    // Where that is not wanted, the hub's refusal stands.
    let settings = LineSettings {
        time_from_hub: false,
        ..settings
    };
    let wrong = WrongClock(AtomicI64::new(-hour_ms));
    let clock = HubClock::from_source(Box::new(wrong), None);
    let far = Far::with(&serving, assignment, settings, clock).await;
    let refused = far.hub.provision(module("m")).await;
    assert!(matches!(refused, Err(UpstreamError::Refused { .. })));
    assert_eq!(far.clock.offset_ms(), 0);
}

#[tokio::test]
async fn the_hub_is_told_once_what_is_subscribed_to() {
    let serving = Serving::start().await;
    let far = Far::to(&serving).await;
    let mut costs = Vec::new();
    // The first connection is of another cost for TLS, too.
    for methods in [true, true, false, false, true, true] {
        let before = far.ledger.counter("m").traffic().sent_bytes;
        let mut session = open(&far.hub, "m", methods).await;
        costs.push(far.ledger.counter("m").traffic().sent_bytes - before);
        patch_desired(&serving.hub, "m", json!({ "a": costs.len() })).await;
        let event = soon("a change", session.events.recv()).await;
        assert!(
            matches!(event, Some(SessionEvent::Desired { .. })),
            "{event:?}"
        );
    }
    // Said is what changed; else nothing, and what was subscribed to is still heard of.
    assert!(costs[2] > costs[3] + 20, "{costs:?}");
    assert!(costs[4] > costs[5] + 20, "{costs:?}");
    assert!(costs[1] < costs[2], "{costs:?}");
}

#[tokio::test]
async fn what_changed_while_the_device_was_away_is_in_the_twin() {
    let serving = Serving::start().await;
    let far = Far::to(&serving).await;
    let session = open(&far.hub, "m", false).await;
    far.hub.close().await;
    assert!(session.calls.twin().await.is_err());
    patch_desired(&serving.hub, "m", json!({ "a": 1 })).await;
    let far = Far::to(&serving).await;
    let session = open(&far.hub, "m", false).await;
    let twin = session.calls.twin().await.unwrap();
    assert_eq!(twin.desired, object(json!({ "a": 1 })));
    assert_eq!(twin.desired_version, 2);
}

#[tokio::test]
async fn those_who_wait_for_a_hub_that_is_away_share_one_try_and_hear_when_it_is_back() {
    let serving = Serving::start().await;
    let far = Far::to(&serving).await;
    for name in ["a", "b", "c", "d"] {
        far.hub.provision(module(name)).await.unwrap();
    }
    let hub = far.hub.clone();
    let connect = move |name: &str| hub.connect(module(name), Interest { methods: false });
    let place = serving.place();
    let folder = serving.stop().await;
    let failed = soon("failures", join_all(["a", "b", "c", "d"].map(&connect))).await;
    assert!(failed.iter().all(Result::is_err));
    let tries = |far: &Far| -> u64 {
        let all = far.ledger.all();
        let of_modules = all.iter().filter(|(name, _)| !name.starts_with('('));
        of_modules.map(|(_, found)| found.connections).sum()
    };
    // One of them has tried, and found both ports closed.
    assert_eq!(tries(&far), 2);
    assert_eq!(far.hub.standing().borrow().word(), "unreachable");
    let (opened, again) = (far.hub.opened(), far.hub.opened());
    let serving = Serving::serve(folder, place.0, place.1).await;
    let sessions = soon("sessions", join_all(["a", "b"].map(&connect))).await;
    assert!(sessions.iter().all(Result::is_ok));
    soon("word that it is back", async {
        tokio::join!(opened, again)
    })
    .await;
    drop(serving);
}
