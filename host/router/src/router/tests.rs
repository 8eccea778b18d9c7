//! The handles as the daemon uses them: routes, senders, inboxes and commits, on a paused clock.

mod durable;
mod full;
mod model;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio::time::Instant;
use wasm_edge_model::message::{
    InputName, MESSAGE_SIZE_MAX_BYTES, Message, MessageSource, OutputName, SystemProperty,
};
use wasm_edge_model::route::{PRIORITY_DEFAULT, Route, RouteName};

use super::*;
use crate::aside::AsideReason;
use crate::endpoint::Endpoint;
use crate::limits::{BYTES, ENDPOINT_BYTES, REASON_BYTES_MAX};
use crate::receipt::{Outcome, Receipt};
use crate::sender::StageError;
use crate::snapshot::SenderCounters;
use crate::tap::{BEHIND_MAX, Seen};
use crate::tries::AfterTry;

const TO_FILTER: &str =
    r#"FROM /messages/modules/sensor/* INTO BrokeredEndpoint("/modules/filter/inputs/in")"#;
const TO_FILTER_LOW: &str = r#"FROM /messages/modules/sensor/outputs/low INTO BrokeredEndpoint("/modules/filter/inputs/low")"#;
const UP: &str = "FROM /messages/* INTO $upstream";

fn module(name: &str) -> ModuleId {
    ModuleId::new(name).unwrap()
}

fn device() -> DeviceId {
    DeviceId::new("Hannover01").unwrap()
}

fn output(name: &str) -> Option<OutputName> {
    Some(OutputName::new(name).unwrap())
}

fn message(text: &str) -> Message {
    Message {
        body: Bytes::copy_from_slice(text.as_bytes()),
        ..Message::default()
    }
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.message().body.to_vec()).unwrap()
}

fn filter_input(name: &str) -> Endpoint {
    Endpoint::Module {
        module: module("filter"),
        input: InputName::new(name).unwrap(),
    }
}

/// Routes without a time to live, each with its priority.
fn table(routes: &[(&str, u32)]) -> RouteTable {
    table_with_ttl(routes, None)
}

fn table_with_ttl(routes: &[(&str, u32)], time_to_live: Option<Duration>) -> RouteTable {
    let routes = routes.iter().map(|(text, priority)| {
        let name = RouteName::new("r").unwrap();
        Route {
            priority: *priority,
            ..Route::parse(name, text).unwrap()
        }
    });
    RouteTable::new(&routes.collect::<Vec<_>>(), time_to_live).unwrap()
}

fn router(routes: &[(&str, u32)]) -> Router {
    let router = Router::new(device(), Limits::default());
    router.apply(table(routes));
    router
}

fn stage(sender: &Sender, to: Option<&str>, text: &str) -> Result<Staged, StageError> {
    sender.stage(to.and_then(output), message(text), Instant::now())
}

async fn send(router: &Router, from: &str, to: Option<&str>, text: &str) {
    let staged = stage(&router.sender(&module(from)), to, text).unwrap();
    router.commit(None, vec![staged]).await.unwrap();
}

/// The next message, which must be there already.
async fn next(inbox: &Inbox) -> Delivery {
    tokio::time::timeout(Duration::ZERO, inbox.next())
        .await
        .expect("a message is due")
}

async fn assert_nothing_due(inbox: &Inbox) {
    let taken = tokio::time::timeout(Duration::ZERO, inbox.next()).await;
    assert!(taken.is_err(), "{taken:?}");
}

/// Takes and completes everything that is due.
async fn drain(inbox: &Inbox) -> Vec<String> {
    let mut texts = Vec::new();
    while let Ok(delivery) = tokio::time::timeout(Duration::ZERO, inbox.next()).await {
        texts.push(text(&delivery));
        delivery.complete(Vec::new()).await.unwrap();
    }
    texts
}

#[tokio::test(start_paused = true)]
async fn a_message_reaches_the_input_that_its_route_names() {
    let router = router(&[(TO_FILTER, 0)]);
    send(&router, "sensor", Some("readings"), "21").await;
    let delivery = next(&router.inbox(&module("filter"))).await;
    assert_eq!(text(&delivery), "21");
    assert_eq!(delivery.input().map(InputName::as_str), Some("in"));
    let source = MessageSource::Module {
        module: module("sensor"),
        output: output("readings"),
    };
    assert_eq!(*delivery.source(), source);
    assert_eq!((delivery.previous_tries(), delivery.priority()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_twin_is_a_message_of_the_hub_part_of_the_device() {
    let router = router(&[(
        "FROM /twinChangeNotifications INTO BrokeredEndpoint('/modules/watcher/inputs/twins')",
        0,
    )]);
    let patch = Map::from_iter([("a".to_owned(), Value::Null)]);
    let sender = router.sender(&module("sensor"));
    sender.notify_twin_change(&patch, Instant::now());
    let delivery = next(&router.inbox(&module("watcher"))).await;
    assert_eq!(text(&delivery), r#"{"a":null}"#);
    let source = MessageSource::TwinChange {
        module: module("sensor"),
    };
    assert_eq!(*delivery.source(), source);
    let system = delivery.message().system.iter();
    let system: Vec<_> = system
        .filter(|(property, _)| *property != SystemProperty::EnqueuedTime)
        .map(|(property, value)| (property.name(), value))
        .collect();
    assert_eq!(
        system,
        [
            ("contentType", "application/json"),
            ("contentEncoding", "utf-8"),
            ("messageSchema", "twinChangeNotification"),
            ("connectionDeviceId", "Hannover01"),
            ("connectionModuleId", "$edgeHub"),
            ("messageType", "twinChangeNotification"),
            ("rpSenderDeviceId", "Hannover01"),
            ("rpSenderModuleId", "sensor"),
        ]
    );
    // What the same module sends goes its own ways.
    send(&router, "sensor", None, "reading").await;
    let counters = router.snapshot().senders[0].counters;
    assert_eq!((counters.taken, counters.no_route), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_twin_without_route_is_no_message() {
    let router = router(&[(TO_FILTER, 0)]);
    let sender = router.sender(&module("sensor"));
    sender.notify_twin_change(&Map::new(), Instant::now());
    let counters = router.snapshot().senders[0].counters;
    assert_eq!(counters, SenderCounters::default());
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_twin_without_room_is_dropped_and_counted() {
    let router = router(&[("FROM /* INTO $upstream", 0)]);
    let limits = Limits {
        endpoint_messages: 4,
        ..Limits::default()
    };
    router.set_limits(limits);
    let sender = router.sender(&module("sensor"));
    for _ in 0..5 {
        sender.notify_twin_change(&Map::new(), Instant::now());
    }
    let counters = router.snapshot().senders[0].counters;
    assert_eq!((counters.taken, counters.twin_changes_dropped), (2, 3));
    assert_eq!(counters.would_block, 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_host_says_of_a_message_is_not_taken_from_its_sender() {
    let router = router(&[(UP, 0)]);
    let mut lying = message("x");
    for property in SystemProperty::all() {
        lying.system.set(property, "lie");
    }
    let sender = router.sender(&module("sensor"));
    let staged = sender.stage(output("out"), lying, Instant::now()).unwrap();
    router.commit(None, vec![staged]).await.unwrap();
    let delivery = next(&router.upstream_inbox()).await;
    let system = &delivery.message().system;
    assert_eq!(
        system.get(SystemProperty::ConnectionDeviceId),
        Some("Hannover01")
    );
    assert_eq!(
        system.get(SystemProperty::ConnectionModuleId),
        Some("sensor")
    );
    assert_eq!(system.get(SystemProperty::OutputName), Some("out"));
    assert_eq!(system.get(SystemProperty::InputName), None);
    let enqueued = system.get(SystemProperty::EnqueuedTime).unwrap();
    assert!(
        enqueued.parse::<wasm_edge_model::time::Timestamp>().is_ok(),
        "{enqueued}"
    );
    assert_eq!(system.get(SystemProperty::ContentType), Some("lie"));
}

#[tokio::test(start_paused = true)]
async fn a_message_for_several_endpoints_is_held_once() {
    let router = router(&[(TO_FILTER, 0), (UP, 0)]);
    send(&router, "sensor", None, "both").await;
    assert_eq!(router.snapshot().messages, 1);
    let (filter, upstream) = (router.inbox(&module("filter")), router.upstream_inbox());
    let (below, above) = (next(&filter).await, next(&upstream).await);
    assert!(Arc::ptr_eq(below.message(), above.message()));
    below.complete(Vec::new()).await.unwrap();
    assert_eq!(router.snapshot().messages, 1);
    above.complete(Vec::new()).await.unwrap();
    assert_eq!(
        (router.snapshot().messages, router.snapshot().bytes),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn several_routes_to_one_endpoint_deliver_once_at_the_highest_priority() {
    let router = router(&[
        (UP, PRIORITY_DEFAULT),
        (UP, 3),
        ("FROM /* INTO $upstream", 7),
    ]);
    send(&router, "sensor", None, "x").await;
    let upstream = router.upstream_inbox();
    let delivery = next(&upstream).await;
    assert_eq!(delivery.priority(), 3);
    assert_nothing_due(&upstream).await;
}

#[tokio::test(start_paused = true)]
async fn higher_priorities_come_first_and_then_the_oldest_over_all_inputs() {
    let router = router(&[
        (
            r#"FROM /messages/modules/bulk/* INTO BrokeredEndpoint("/modules/filter/inputs/low")"#,
            5,
        ),
        (TO_FILTER, 5),
        (
            r#"FROM /messages/modules/alarm/* INTO BrokeredEndpoint("/modules/filter/inputs/in")"#,
            0,
        ),
    ]);
    for (from, text) in [
        ("bulk", "1"),
        ("sensor", "2"),
        ("bulk", "3"),
        ("alarm", "4"),
        ("sensor", "5"),
    ] {
        send(&router, from, None, text).await;
    }
    assert_eq!(
        drain(&router.inbox(&module("filter"))).await,
        ["4", "1", "2", "3", "5"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_route_is_counted() {
    let router = router(&[(TO_FILTER, 0)]);
    let staged = stage(&router.sender(&module("other")), None, "x").unwrap();
    assert_eq!(staged.endpoints(), 0);
    router.commit(None, vec![staged]).await.unwrap();
    let senders = router.snapshot().senders;
    let counters = senders
        .iter()
        .map(|sender| (sender.counters.taken, sender.counters.no_route));
    assert_eq!(counters.collect::<Vec<_>>(), [(1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_staged_goes_out_with_the_completion_or_not_at_all() {
    let router = router(&[
        (TO_FILTER, 0),
        ("FROM /messages/modules/filter/* INTO $upstream", 0),
    ]);
    let (filter, upstream) = (router.inbox(&module("filter")), router.upstream_inbox());
    let sender = router.sender(&module("filter"));
    send(&router, "sensor", None, "in").await;

    let delivery = next(&filter).await;
    let staged = stage(&sender, None, "lost").unwrap();
    assert_nothing_due(&upstream).await;
    drop((delivery, staged));
    assert_nothing_due(&upstream).await;

    let delivery = next(&filter).await;
    let staged = vec![
        stage(&sender, None, "a").unwrap(),
        stage(&sender, None, "b").unwrap(),
    ];
    delivery.complete(staged).await.unwrap();
    assert_nothing_due(&filter).await;
    assert_eq!(drain(&upstream).await, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_delivery_comes_again_at_its_place_without_a_try() {
    let router = router(&[(UP, 0)]);
    for text in ["1", "2", "3"] {
        send(&router, "sensor", None, text).await;
    }
    let upstream = router.upstream_inbox();
    let window = [next(&upstream).await, next(&upstream).await];
    assert_eq!(window.each_ref().map(text), ["1", "2"]);
    drop(window);
    let delivery = next(&upstream).await;
    assert_eq!(
        (text(&delivery), delivery.previous_tries()),
        ("1".to_owned(), 0)
    );
    drop(delivery);
    assert_eq!(drain(&upstream).await, ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_asked_for_later_holds_its_queue_but_no_other() {
    let router = router(&[(TO_FILTER, 5), (TO_FILTER_LOW, 9)]);
    let filter = router.inbox(&module("filter"));
    send(&router, "sensor", None, "1").await;
    send(&router, "sensor", None, "2").await;
    let later = Duration::from_secs(30);
    assert_eq!(
        next(&filter).await.retry(later),
        AfterTry::Again { after: later }
    );
    assert_nothing_due(&filter).await;
    send(&router, "sensor", Some("low"), "3").await;
    let delivery = next(&filter).await;
    assert_eq!(delivery.input().map(InputName::as_str), Some("low"));
    delivery.complete(Vec::new()).await.unwrap();

    let since = Instant::now();
    let delivery = filter.next().await;
    assert_eq!(since.elapsed().as_secs(), 30);
    assert_eq!(
        (text(&delivery), delivery.previous_tries()),
        ("1".to_owned(), 1)
    );
    delivery.complete(Vec::new()).await.unwrap();
    assert_eq!(drain(&filter).await, ["2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn upstream_a_sender_that_waits_holds_up_no_other() {
    let router = router(&[(UP, 0)]);
    for (from, text) in [("slow", "1"), ("slow", "2"), ("quick", "3"), ("quick", "4")] {
        send(&router, from, None, text).await;
    }
    let upstream = router.upstream_inbox();
    let later = Duration::from_secs(30);
    assert_eq!(
        next(&upstream).await.retry(later),
        AfterTry::Again { after: later }
    );
    assert_eq!(drain(&upstream).await, ["3", "4"]);
    tokio::time::advance(later).await;
    assert_eq!(drain(&upstream).await, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_takes_so_many_of_each_sender_and_no_more() {
    let router = router(&[(UP, 0)]);
    for number in 0..4 {
        send(&router, "much", None, &format!("m{number}")).await;
    }
    send(&router, "little", None, "l0").await;
    let upstream = router.upstream_inbox();
    let mut window = Vec::new();
    while let Ok(delivery) = tokio::time::timeout(Duration::ZERO, upstream.next_of(2)).await {
        window.push(delivery);
    }
    let texts: Vec<_> = window.iter().map(text).collect();
    assert_eq!(texts, ["m0", "m1", "l0"]);

    // An end makes place for the next one, and wakes who waits for it.
    let waiting = tokio::spawn(async move { text(&upstream.next_of(2).await) });
    tokio::task::yield_now().await;
    let first = window.remove(0);
    first.complete(Vec::new()).await.unwrap();
    assert_eq!(waiting.await.unwrap(), "m2");
}

#[tokio::test(start_paused = true)]
async fn a_low_priority_has_a_turn_after_fifteen_of_a_higher_one() {
    let router = router(&[
        (TO_FILTER, 0),
        (
            r#"FROM /messages/modules/bulk/* INTO BrokeredEndpoint("/modules/filter/inputs/low")"#,
            PRIORITY_DEFAULT,
        ),
    ]);
    for number in 0..40 {
        send(&router, "sensor", None, &number.to_string()).await;
    }
    send(&router, "bulk", None, "low").await;
    send(&router, "bulk", None, "low").await;
    let texts = drain(&router.inbox(&module("filter"))).await;
    let turns: Vec<_> = (0..texts.len()).filter(|at| texts[*at] == "low").collect();
    assert_eq!(turns, [15, 31]);
}

#[tokio::test(start_paused = true)]
async fn a_poison_message_waits_longer_each_time_and_then_gives_way() {
    let router = router(&[(TO_FILTER, 0)]);
    let filter = router.inbox(&module("filter"));
    send(&router, "sensor", None, "poison").await;
    send(&router, "sensor", None, "good").await;
    let mut waits = Vec::new();
    loop {
        let since = Instant::now();
        let delivery = filter.next().await;
        waits.push(since.elapsed().as_secs());
        assert_eq!(text(&delivery), "poison");
        if delivery.fail("unreachable executed") == AfterTry::Aside(AsideReason::TriesExhausted) {
            break;
        }
    }
    assert_eq!(waits, [0, 1, 2, 4, 8]);
    assert_eq!(drain(&filter).await, ["good"]);
    let aside = router.set_aside();
    let shown = aside.iter().map(|kept| {
        (
            kept.endpoint.clone(),
            kept.failed_tries,
            kept.detail.as_str(),
        )
    });
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [(filter_input("in"), 5, "unreachable executed")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_rejected_message_is_put_aside_with_the_start_of_its_reason() {
    let router = router(&[(TO_FILTER, 0)]);
    let filter = router.inbox(&module("filter"));
    send(&router, "sensor", None, "x").await;
    let reason = "no ".repeat(1_000);
    assert_eq!(
        next(&filter).await.reject(&reason),
        AfterTry::Aside(AsideReason::Rejected)
    );
    assert_nothing_due(&filter).await;
    tokio::time::advance(Duration::from_secs(5)).await;
    let aside = router.set_aside();
    assert_eq!(aside[0].detail, reason[..REASON_BYTES_MAX]);
    assert_eq!(
        (aside[0].reason, aside[0].age.as_secs()),
        (AsideReason::Rejected, 5)
    );
    assert_eq!(
        aside[0].source,
        MessageSource::Module {
            module: module("sensor"),
            output: None
        }
    );
    // Its place in the queue is free.
    assert_eq!(router.snapshot().messages, 0);
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_messages_put_aside_are_kept() {
    let router = router(&[(TO_FILTER, 0)]);
    router.set_limits(Limits {
        aside_messages: 3,
        ..Limits::default()
    });
    let filter = router.inbox(&module("filter"));
    for number in 0..5 {
        send(&router, "sensor", None, &number.to_string()).await;
        next(&filter).await.reject("no");
    }
    let sequences: Vec<_> = router
        .set_aside()
        .iter()
        .map(|kept| kept.id.sequence)
        .collect();
    assert_eq!(sequences, [3, 4, 5]);
    assert_eq!(router.snapshot().endpoints[0].counters.aside_dropped, 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_expires_when_its_time_to_live_is_over() {
    let router = router(&[]);
    router.apply(table_with_ttl(&[(UP, 0)], Some(Duration::from_secs(60))));
    let upstream = router.upstream_inbox();
    send(&router, "sensor", None, "old").await;
    tokio::time::advance(Duration::from_secs(59)).await;
    drop(next(&upstream).await);
    send(&router, "sensor", None, "new").await;
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(drain(&upstream).await, ["new"]);
    let snapshot = router.snapshot();
    assert_eq!(snapshot.endpoints[0].counters.expired, 1);
    assert_eq!(snapshot.senders[0].counters.expired, 1);
}

#[tokio::test(start_paused = true)]
async fn expired_messages_make_room() {
    let router = router(&[]);
    router.apply(table_with_ttl(&[(UP, 0)], Some(Duration::from_secs(60))));
    router.set_limits(Limits {
        endpoint_messages: 4,
        ..Limits::default()
    });
    let sender = router.sender(&module("sensor"));
    send(&router, "sensor", None, "1").await;
    send(&router, "sensor", None, "2").await;
    assert!(stage(&sender, None, "3").is_err());
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(stage(&sender, None, "3").is_ok());
}

#[tokio::test(start_paused = true)]
async fn new_routes_do_not_move_what_is_stored() {
    let router = router(&[(TO_FILTER, 4)]);
    send(&router, "sensor", None, "before").await;
    router.apply(table(&[(UP, 0)]));
    send(&router, "sensor", None, "after").await;
    let (filter, upstream) = (router.inbox(&module("filter")), router.upstream_inbox());
    assert_eq!(next(&filter).await.priority(), 4);
    assert_eq!(drain(&filter).await, ["before"]);
    assert_eq!(drain(&upstream).await, ["after"]);
}

#[tokio::test(start_paused = true)]
async fn a_flooding_sender_is_refused_and_leaves_room_for_another() {
    let router = router(&[(UP, 0)]);
    let (flooding, other) = (
        router.sender(&module("flood")),
        router.sender(&module("sensor")),
    );
    let mut staged = Vec::new();
    let refused = loop {
        match stage(&flooding, None, "x") {
            Ok(one) => staged.push(one),
            Err(refused) => break refused,
        }
    };
    assert_eq!(
        refused,
        StageError::WouldBlock {
            endpoint: Endpoint::Upstream
        }
    );
    assert_eq!(refused.to_string(), "no room at `$upstream`");
    let before = router.snapshot();
    assert!(before.bytes <= ENDPOINT_BYTES / 2);
    assert!(stage(&flooding, None, "x").is_err());
    // A refusal leaves nothing behind.
    assert_eq!(router.snapshot().bytes, before.bytes);
    assert!(stage(&other, None, "x").is_ok());
    drop(staged);
    assert_eq!(router.snapshot().bytes, 0);
    assert!(stage(&flooding, None, "x").is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_sender_cannot_fill_the_router_through_many_endpoints() {
    let inputs: Vec<_> = (0..20)
        .map(|number| {
            format!("FROM /messages/* INTO BrokeredEndpoint(\"/modules/m{number}/inputs/in\")")
        })
        .collect();
    let sender_of = |number: usize, router: &Router| {
        // One route at a time: each message goes to another endpoint.
        router.apply(table(&[(&inputs[number], 0)]));
        router.sender(&module("flood"))
    };
    let router = router(&[]);
    let mut staged = Vec::new();
    let body = "x".repeat(100_000);
    for number in 0..inputs.len() {
        let sender = sender_of(number, &router);
        while let Ok(one) = stage(&sender, None, &body) {
            staged.push(one);
        }
    }
    let held = router.snapshot().bytes;
    assert!(held <= BYTES / 2 && held > BYTES / 3, "{held}");
    assert!(stage(&router.sender(&module("sensor")), None, &body).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_could_never_fit_is_too_large() {
    let router = router(&[(UP, 0)]);
    let sender = router.sender(&module("sensor"));
    let large = "x".repeat(MESSAGE_SIZE_MAX_BYTES + 1);
    let expected = StageError::TooLarge {
        size_bytes: MESSAGE_SIZE_MAX_BYTES + 1,
        limit_bytes: MESSAGE_SIZE_MAX_BYTES,
    };
    assert_eq!(stage(&sender, None, &large).unwrap_err(), expected);
    assert!(stage(&sender, None, &large[1..]).is_ok());
    router.set_limits(Limits {
        bytes: 100_000,
        ..Limits::default()
    });
    assert!(matches!(
        stage(&sender, None, &large[1..]),
        Err(StageError::TooLarge {
            limit_bytes: 50_000,
            ..
        })
    ));
}

#[tokio::test(start_paused = true)]
async fn an_invalid_property_is_refused_and_counted() {
    let router = router(&[(UP, 0)]);
    let sender = router.sender(&module("sensor"));
    let mut wrong = message("x");
    wrong.properties.set("", "nameless");
    let refused = sender.stage(None, wrong, Instant::now()).unwrap_err();
    assert!(matches!(refused, StageError::Invalid(_)), "{refused:?}");
    assert_eq!(router.snapshot().senders[0].counters.invalid, 1);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_waits_for_room_hears_of_it() {
    let router = router(&[(UP, 0)]);
    router.set_limits(Limits {
        endpoint_messages: 2,
        ..Limits::default()
    });
    let sender = router.sender(&module("sensor"));
    send(&router, "sensor", None, "1").await;
    let room = sender.room();
    assert!(stage(&sender, None, "2").is_err());
    let since = Instant::now();
    next(&router.upstream_inbox())
        .await
        .complete(Vec::new())
        .await
        .unwrap();
    room.await;
    assert_eq!(since.elapsed(), Duration::ZERO);
    assert!(stage(&sender, None, "2").is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_inbox_wakes_up_for_a_message_and_for_one_that_comes_back() {
    let router = router(&[(UP, 0)]);
    let upstream = router.upstream_inbox();
    let (taken_tx, taken) = oneshot::channel();
    let waiting = upstream.clone();
    let consumer = tokio::spawn(async move {
        let first = waiting.next().await;
        taken_tx.send(first).unwrap();
        text(&waiting.next().await)
    });
    send(&router, "sensor", None, "x").await;
    let first = taken.await.unwrap();
    drop(first);
    assert_eq!(consumer.await.unwrap(), "x");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_takes_nothing() {
    let router = router(&[(UP, 0)]);
    let upstream = router.upstream_inbox();
    for number in 0..50 {
        // Woken and dropped before it can take the message.
        let mut cancelled = Box::pin(upstream.next());
        assert!(poll_once(&mut cancelled).is_none());
        send(&router, "sensor", None, &number.to_string()).await;
        drop(cancelled);
        assert_eq!(text(&next(&upstream).await), number.to_string());
        assert_eq!(drain(&upstream).await, [number.to_string()]);
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_across_devices_is_refused_and_hands_everything_back() {
    let (one, two) = (router(&[(UP, 0)]), router(&[(UP, 0)]));
    send(&one, "sensor", None, "x").await;
    let delivery = next(&one.upstream_inbox()).await;
    let staged = stage(&two.sender(&module("sensor")), None, "y").unwrap();
    let err = delivery.complete(vec![staged]).await.unwrap_err();
    assert_eq!(err.fault(), CommitFault::OtherRouter);
    let back = err.into_uncommitted();
    assert_eq!(back.completed.as_ref().map(text).as_deref(), Some("x"));
    two.commit(None, back.staged).await.unwrap();
    assert_eq!(drain(&two.upstream_inbox()).await, ["y"]);
    drop(back.completed);
    assert_eq!(drain(&one.upstream_inbox()).await, ["x"]);
}

#[tokio::test(start_paused = true)]
async fn a_removed_module_loses_its_queues_but_not_what_it_sent() {
    let router = router(&[(TO_FILTER, 0), (UP, 0)]);
    let filter = router.inbox(&module("filter"));
    for text in ["1", "2", "3"] {
        send(&router, "sensor", None, text).await;
    }
    send(&router, "filter", None, "4").await;
    next(&filter).await.reject("no");
    let in_hand = next(&filter).await;
    router.apply(table(&[(UP, 0)]));
    router.remove_module(&module("filter"));
    assert!(router.set_aside().is_empty());
    assert_eq!(in_hand.fail("stopped"), AfterTry::Removed);
    assert_nothing_due(&filter).await;
    assert_eq!(drain(&router.upstream_inbox()).await, ["1", "2", "3", "4"]);
    let endpoints = router.snapshot().endpoints;
    assert_eq!(
        endpoints
            .iter()
            .map(|endpoint| endpoint.queued_messages)
            .sum::<usize>(),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn messages_wait_for_a_module_that_is_not_there_yet() {
    let router = router(&[(TO_FILTER, 0)]);
    router.remove_module(&module("filter"));
    send(&router, "sensor", None, "early").await;
    assert_eq!(drain(&router.inbox(&module("filter"))).await, ["early"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_can_be_staged_past_the_routes() {
    let router = router(&[(TO_FILTER, 3)]);
    let sender = router.sender(&module("operator"));
    let staged = sender
        .stage_to(&filter_input("other"), message("x"), Instant::now())
        .unwrap();
    router.commit(None, vec![staged]).await.unwrap();
    let delivery = next(&router.inbox(&module("filter"))).await;
    assert_eq!(*delivery.endpoint(), filter_input("other"));
    assert_eq!(delivery.priority(), PRIORITY_DEFAULT);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_has_a_documented_form() {
    let router = router(&[(TO_FILTER, 1)]);
    let filter = router.inbox(&module("filter"));
    send(&router, "sensor", None, "1").await;
    send(&router, "sensor", None, "2").await;
    next(&filter).await.retry(Duration::from_millis(1_500));
    let mut json = serde_json::to_value(router.snapshot()).unwrap();
    // What a message is charged is not the matter here.
    json["bytes"].take();
    json["endpoints"][0]["bytes"].take();
    json["senders"][0]["bytes"].take();
    let expected = serde_json::json!({
        "messages": 2, "bytes": null, "messagesMax": 16_384, "bytesMax": 8_388_608,
        "endpoints": [{
            "endpoint": "/modules/filter/inputs/in", "routed": true,
            "queuedMessages": 2, "inHandMessages": 0, "stagedMessages": 0, "bytes": null,
            "priorities": [{ "priority": 1, "messages": 2, "oldestMs": 0, "waitsMs": 1_500 }],
            "asideMessages": 0, "asideBytes": 0,
            "counters": {
                "taken": 2, "recovered": 0, "retried": 0, "delivered": 0, "failedTries": 0, "retries": 1,
                "expired": 0, "removed": 0, "droppedOldest": 0, "droppedNewest": 0, "thinnedOut": 0,
                "purged": 0, "damaged": 0,
                "rejected": 0, "triesExhausted": 0, "retriesExhausted": 0, "asideDropped": 0,
            },
        }],
        "senders": [{
            "module": "sensor", "messages": 2, "bytes": null,
            "counters": {
                "taken": 2, "noRoute": 0, "wouldBlock": 0, "invalid": 0, "expired": 0, "twinChangesDropped": 0,
            },
        }],
    });
    assert_eq!(json, expected);
}

#[test]
fn more_routes_than_the_limit_are_refused() {
    let route = Route::parse(RouteName::new("r").unwrap(), UP).unwrap();
    let refused = RouteTable::new(&vec![route; 1_025], None)
        .map(|_| ())
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "1025 routes, at most 1024 are possible"
    );
}

/// Producers, a filter and upstream on several threads: nothing is lost, doubled or out of order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_every_message_arrives_once_and_in_order() {
    const EACH: usize = 2_000;
    let router = router(&[
        (
            r#"FROM /messages/modules/p/* INTO BrokeredEndpoint("/modules/filter/inputs/in")"#,
            0,
        ),
        (
            r#"FROM /messages/modules/q/* INTO BrokeredEndpoint("/modules/filter/inputs/in")"#,
            0,
        ),
        ("FROM /messages/modules/filter/* INTO $upstream", 0),
    ]);
    // So small that senders have to wait.
    router.set_limits(Limits {
        endpoint_messages: 32,
        ..Limits::default()
    });
    for name in ["p", "q"] {
        let sender = router.sender(&module(name));
        let router = router.clone();
        tokio::spawn(async move {
            for number in 0..EACH {
                let staged = stage_waiting(&sender, &format!("{name}{number}")).await;
                router.commit(None, vec![staged]).await.unwrap();
            }
        });
    }
    let (filter, sender) = (
        router.inbox(&module("filter")),
        router.sender(&module("filter")),
    );
    tokio::spawn(async move {
        for number in 0.. {
            let delivery = filter.next().await;
            if number % 7 == 0 {
                continue;
            }
            let staged = stage_waiting(&sender, &text(&delivery)).await;
            delivery.complete(vec![staged]).await.unwrap();
        }
    });
    let upstream = router.upstream_inbox();
    let mut arrived = [Vec::new(), Vec::new()];
    while arrived.iter().map(Vec::len).sum::<usize>() < 2 * EACH {
        let delivery = upstream.next().await;
        let text = text(&delivery);
        arrived[usize::from(text.starts_with('q'))].push(text[1..].parse::<usize>().unwrap());
        delivery.complete(Vec::new()).await.unwrap();
    }
    assert!(
        arrived
            .iter()
            .all(|numbers| numbers.iter().copied().eq(0..EACH))
    );
    assert_nothing_due(&upstream).await;
    assert_eq!(router.snapshot().messages, 0);
}

async fn stage_waiting(sender: &Sender, text: &str) -> Staged {
    loop {
        let room = sender.room();
        match stage(sender, None, text) {
            Ok(staged) => return staged,
            Err(StageError::WouldBlock { .. }) => room.await,
            Err(other) => panic!("{other}"),
        }
    }
}

/// A message with a receipt at the input `in` of `filter`, past the routes.
async fn with_receipt(router: &Router, text: &str) -> Receipt {
    let sender = router.sender(&ModuleId::edge_hub());
    let mut staged = sender
        .stage_to(&filter_input("in"), message(text), Instant::now())
        .unwrap();
    let receipt = staged.receipt();
    router.commit(None, vec![staged]).await.unwrap();
    receipt
}

#[tokio::test(start_paused = true)]
async fn a_receipt_tells_how_its_message_ended() {
    let router = Router::new(device(), Limits::default());
    let hour = Duration::from_secs(3600);
    router.apply(table_with_ttl(&[], Some(hour)));
    let inbox = router.inbox(&module("filter"));

    let receipt = with_receipt(&router, "a").await;
    // A message that comes back is not at its end.
    drop(next(&inbox).await);
    let _ = next(&inbox).await.retry(Duration::ZERO);
    next(&inbox).await.complete(Vec::new()).await.unwrap();
    assert_eq!(receipt.outcome().await, Outcome::Completed);

    let receipt = with_receipt(&router, "b").await;
    let _ = next(&inbox).await.reject(&"x".repeat(2 * REASON_BYTES_MAX));
    let aside = Outcome::Aside {
        reason: AsideReason::Rejected,
        detail: "x".repeat(REASON_BYTES_MAX),
    };
    assert_eq!(receipt.outcome().await, aside);

    let receipt = with_receipt(&router, "c").await;
    tokio::time::advance(2 * hour).await;
    assert_nothing_due(&inbox).await;
    assert_eq!(receipt.outcome().await, Outcome::Expired);

    let receipt = with_receipt(&router, "d").await;
    router.remove_module(&module("filter"));
    assert_eq!(receipt.outcome().await, Outcome::Removed);

    let sender = router.sender(&module("sensor"));
    let mut staged = sender
        .stage_to(&filter_input("in"), message("e"), Instant::now())
        .unwrap();
    let receipt = staged.receipt();
    drop(staged);
    assert_eq!(receipt.outcome().await, Outcome::Removed);
}

#[tokio::test(start_paused = true)]
async fn what_is_accepted_for_upstream_is_seen_by_those_who_watch() {
    let router = router(&[
        (TO_FILTER, 0),
        ("FROM /messages/modules/filter/* INTO $upstream", 0),
    ]);
    send(&router, "filter", None, "before").await;
    let (mut tap, mut slow) = (router.upstream_tap(), router.upstream_tap());
    send(&router, "sensor", Some("readings"), "elsewhere").await;
    let given_up = stage(&router.sender(&module("filter")), None, "given up").unwrap();
    drop(given_up);
    send(&router, "filter", Some("out"), "0").await;
    let Some(Seen::Accepted(seen)) = tap.next().await else {
        panic!("nothing was seen");
    };
    assert_eq!(seen.message.body, "0");
    assert_eq!(seen.source.sent_as(), module("filter"));
    // One who watches slowly hears how many he missed, and all of them are on their way all the same.
    for n in 1..=BEHIND_MAX {
        send(&router, "filter", None, &n.to_string()).await;
    }
    assert!(matches!(slow.next().await, Some(Seen::Lost(1))));
    let Some(Seen::Accepted(seen)) = slow.next().await else {
        panic!("nothing was seen");
    };
    assert_eq!(seen.message.body, "1");
    assert_eq!(drain(&router.upstream_inbox()).await.len(), BEHIND_MAX + 2);
}
