use futures_util::future::join_all;
use wasm_edge_store::volume::simulated::SimulatedVolume;

use super::super::tests::{again, send, send_all};
use super::*;
use crate::hub::tests::hub;

fn name(text: &str) -> ConsumerName {
    ConsumerName::new(text).unwrap()
}

fn reading(max: usize, wait_secs: u64) -> Reading {
    Reading {
        filter: MessageFilter::default(),
        max,
        wait: Duration::from_secs(wait_secs),
    }
}

/// The numbers of the messages that a consumer gets, and the position behind.
async fn read(hub: &Hub, consumer: &str, max: usize) -> (Vec<usize>, u64) {
    let events = hub
        .consumer_events(&name(consumer), &reading(max, 0))
        .await
        .unwrap();
    assert_eq!(events.lost, Lost::Nothing);
    let number = |telemetry: &Telemetry| {
        let text = telemetry.message.properties.get("number").unwrap();
        text.parse().unwrap()
    };
    (
        events.messages.iter().map(number).collect(),
        events.position,
    )
}

#[test]
fn names_are_words_and_those_of_the_hub_are_its_own() {
    let check = |text: &str, given: bool, any: bool| {
        let found = (
            ConsumerName::new(text).is_ok(),
            ConsumerName::any(text).is_ok(),
        );
        assert_eq!(found, (given, any), "{text}");
    };
    check("archive-1_a.b", true, true);
    check("$forward-1", false, true);
    for wrong in ["", "$", "a/b", "a b", "ä", "a$", "$$a", "a\n"] {
        check(wrong, false, false);
    }
    check(&"x".repeat(CONSUMER_NAME_MAX_BYTES), true, true);
    check(&"x".repeat(CONSUMER_NAME_MAX_BYTES + 1), false, false);
}

#[tokio::test]
async fn a_consumer_gets_the_same_until_it_says_how_far_it_got() {
    let hub = hub();
    send_all(&hub, 0..5).await;
    hub.set_consumer(&name("a"), StartAt::Earliest)
        .await
        .unwrap();
    hub.set_consumer(&name("b"), StartAt::Latest).await.unwrap();
    assert_eq!(read(&hub, "a", 3).await, (vec![0, 1, 2], 3));
    assert_eq!(read(&hub, "a", 3).await, (vec![0, 1, 2], 3));
    hub.set_consumer(&name("a"), StartAt::Position(3))
        .await
        .unwrap();
    assert_eq!(read(&hub, "a", 3).await, (vec![3, 4], 5));
    assert_eq!(read(&hub, "b", 3).await, (vec![], 5));
    send_all(&hub, 5..6).await;
    assert_eq!(read(&hub, "b", 3).await, (vec![5], 6));
    let unknown = hub.consumer_events(&name("c"), &reading(1, 0)).await;
    assert!(matches!(unknown, Err(HubError::NoSuchConsumer { .. })));
    let ahead = hub.set_consumer(&name("a"), StartAt::Position(7)).await;
    assert!(matches!(ahead, Err(HubError::Invalid { .. })));
}

#[tokio::test]
async fn going_on_begins_at_the_place_and_not_before_it() {
    let hub = hub();
    send_all(&hub, 0..300).await;
    let mut position = 0;
    let mut seen = Vec::new();
    // Portions that do not fit the reader's, so that it has read ahead each time.
    while position < 300 {
        let (numbers, next) = {
            let events = hub.events(position, &reading(7, 0)).await.unwrap();
            let numbers: Vec<u64> = events.messages.iter().map(|m| m.position).collect();
            (numbers, events.position)
        };
        seen.extend(numbers);
        position = next;
        if position < 300 {
            let written = *hub.telemetry_log().written().borrow();
            let start = hub
                .telemetry_log()
                .start(StartAt::Position(position), &written)
                .unwrap();
            let mut cursor = hub.telemetry_log().log().read_from(start.at);
            let found = cursor.next().unwrap().unwrap();
            let telemetry = crate::telemetry::record::decode(found.payload).unwrap();
            assert_eq!(telemetry.position, position);
        }
    }
    assert_eq!(seen, (0..300).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_reading_waits_for_the_first_message_and_not_for_more() {
    let hub = hub();
    hub.set_consumer(&name("a"), StartAt::Latest).await.unwrap();
    let waiting = {
        let hub = hub.clone();
        tokio::spawn(async move { hub.consumer_events(&name("a"), &reading(10, 60)).await })
    };
    tokio::task::yield_now().await;
    send(&hub, 0, 1).await.unwrap();
    let events = waiting.await.unwrap().unwrap();
    assert_eq!((events.messages.len(), events.position), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reading_ends_when_nothing_came_in_its_time() {
    let hub = hub();
    let events = hub.events(0, &reading(10, 1_000_000)).await.unwrap();
    assert_eq!((events.messages.len(), events.position), (0, 0));
}

#[tokio::test]
async fn a_consumer_that_wants_little_gets_past_what_it_does_not_want() {
    let hub = hub();
    send_all(&hub, 0..200).await;
    let mut reading = reading(10, 0);
    reading.filter.properties = vec![("number".to_owned(), "150".to_owned())];
    let events = hub.events(0, &reading).await.unwrap();
    assert_eq!((events.messages.len(), events.position), (1, 200));
    let events = hub.events(events.position, &reading).await.unwrap();
    assert_eq!((events.messages.len(), events.position), (0, 200));
}

#[tokio::test]
async fn what_retention_took_is_told() {
    let volume = SimulatedVolume::new(1);
    let hub = again(&volume);
    hub.set_consumer(&name("a"), StartAt::Earliest)
        .await
        .unwrap();
    // Nine megabytes where eight are kept.
    for number in 0..36 {
        send(&hub, number, 256 * 1024 - 64).await.unwrap();
    }
    let earliest = hub.telemetry_status().earliest;
    assert!(earliest > 0);
    let events = hub
        .consumer_events(&name("a"), &reading(1, 0))
        .await
        .unwrap();
    assert_eq!(events.lost, Lost::Messages(earliest));
    assert_eq!(events.messages[0].position, earliest);
    assert_eq!(events.position, earliest + 1);
    assert_eq!(events.to_json()["lost"], earliest);
}

#[tokio::test]
async fn a_position_of_other_telemetry_begins_anew_and_says_so() {
    let hub = hub();
    let consumer = Consumer {
        name: name("a"),
        position: 1000,
        updated: hub.now(),
    };
    let content = Some(consumer.encode());
    let key = consumer.key();
    hub.store()
        .compare_and_set(&key, Expected::Absent, content)
        .await
        .unwrap();
    send_all(&hub, 0..2).await;
    let events = hub
        .consumer_events(&name("a"), &reading(10, 0))
        .await
        .unwrap();
    assert_eq!((events.lost, events.position), (Lost::Unknown, 2));
    assert_eq!(events.to_json()["lost"], true);
}

#[tokio::test]
async fn there_are_only_so_many_consumers_also_when_all_come_at_once() {
    let hub = hub();
    let made = (0..CONSUMERS_MAX + 20).map(|number| {
        let hub = hub.clone();
        async move {
            let name = name(&format!("c{number}"));
            hub.set_consumer(&name, StartAt::Latest).await.is_ok()
        }
    });
    let made = join_all(made.collect::<Vec<_>>()).await;
    let made = made.into_iter().filter(|made| *made).count();
    assert!(made <= CONSUMERS_MAX, "{made}");
    assert_eq!(hub.consumers().await.unwrap().len(), made);
    for number in 0..CONSUMERS_MAX + 20 {
        // Those that were refused in the crowd fit now.
        drop(
            hub.set_consumer(&name(&format!("c{number}")), StartAt::Latest)
                .await,
        );
    }
    let known = hub.consumers().await.unwrap();
    assert_eq!(known.len(), CONSUMERS_MAX);
    let refused = hub.set_consumer(&name("one-more"), StartAt::Latest).await;
    assert!(matches!(refused, Err(HubError::TooManyConsumers { .. })));
    // One that is known moves on.
    hub.set_consumer(&known[0].name, StartAt::Earliest)
        .await
        .unwrap();
    hub.delete_consumer(&known[0].name).await.unwrap();
    hub.set_consumer(&name("one-more"), StartAt::Latest)
        .await
        .unwrap();
    let gone = hub.delete_consumer(&known[0].name).await;
    assert!(matches!(gone, Err(HubError::NoSuchConsumer { .. })));
}

#[test]
fn the_first_format_is_read_and_others_are_refused() {
    let read = |content: &str| Consumer::decode(name("a"), content.as_bytes());
    let consumer =
        read(r#"{"format":1,"position":7,"updated":"2026-08-01T10:00:00.0000000Z"}"#).unwrap();
    assert_eq!(consumer.position, 7);
    assert_eq!(
        Consumer::decode(name("a"), &consumer.encode()).unwrap(),
        consumer
    );
    let err = read(r#"{"format":2,"position":7,"updated":"2026-08-01T10:00:00Z"}"#).unwrap_err();
    assert_eq!(
        err.to_string(),
        "what is stored of the consumer `a` cannot be read: it has format 2, this version reads 1"
    );
}
