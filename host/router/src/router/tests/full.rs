//! Queues over their limits: what is refused, what gives way, and what an operator can do about it.

use wasm_edge_model::route::{Durability, WhenFull};
use wasm_edge_store::volume::simulated::SimulatedVolume;

use super::durable::{
    PATIENCE, TO_FILTER_ONLY, apply, counters, numbers, open, open_limited, open_with, route,
    send_numbers, soon, take,
};
use super::*;
use crate::journal::JournalSettings;
use crate::limits::WINDOW_MESSAGES;
use crate::operate::Part;

/// A store that takes so many messages at an endpoint.
fn store_messages(messages: usize) -> Limits {
    Limits {
        store_endpoint_messages: messages,
        ..Limits::default()
    }
}

/// Where policies hold: in memory, and in the store.
fn both_kinds(messages: usize) -> [Router; 2] {
    let in_memory = Router::new(device(), Limits::default());
    in_memory.set_limits(Limits {
        endpoint_messages: messages,
        ..Limits::default()
    });
    [
        in_memory,
        open_limited(&SimulatedVolume::new(7), store_messages(messages)),
    ]
}

fn when_full(when_full: WhenFull) -> Route {
    Route {
        when_full: Some(when_full),
        ..route(TO_FILTER_ONLY, 9)
    }
}

#[tokio::test]
async fn the_oldest_give_way_where_the_route_says_so() {
    for router in both_kinds(100) {
        apply(&router, &[when_full(WhenFull::DropOldest)]);
        send_numbers(&router, "sensor", 0..200).await;
        let counters = counters(&router, &filter_input("in"));
        let dropped = usize::try_from(counters.dropped_oldest).unwrap();
        assert!((100..200).contains(&dropped), "{dropped}");
        let filter = router.inbox(&module("filter"));
        assert_eq!(take(&filter, 200 - dropped).await, numbers(dropped..200));
        router.close().await;
    }
}

#[tokio::test]
async fn the_newest_are_dropped_where_the_route_says_so() {
    for router in both_kinds(100) {
        apply(&router, &[when_full(WhenFull::DropNewest)]);
        send_numbers(&router, "sensor", 0..200).await;
        let counters = counters(&router, &filter_input("in"));
        let dropped = usize::try_from(counters.dropped_newest).unwrap();
        assert!(dropped > 100, "{dropped}");
        let filter = router.inbox(&module("filter"));
        assert_eq!(
            take(&filter, 200 - dropped).await,
            numbers(0..200 - dropped)
        );
        assert_eq!(router.snapshot().endpoints[0].queued_messages, 0);
        router.close().await;
    }
}

#[tokio::test]
async fn what_is_dropped_at_one_endpoint_goes_to_the_others() {
    for router in both_kinds(100) {
        let up = Route {
            durability: Some(Durability::Process),
            when_full: Some(WhenFull::DropOldest),
            ..route(UP, 0)
        };
        apply(&router, &[when_full(WhenFull::DropNewest), up]);
        send_numbers(&router, "sensor", 0..200).await;
        let dropped = counters(&router, &filter_input("in")).dropped_newest;
        assert!(dropped > 100, "{dropped}");
        let upstream = counters(&router, &Endpoint::Upstream);
        assert_eq!((upstream.taken, upstream.dropped_newest), (200, 0));
        router.close().await;
    }
}

#[tokio::test]
async fn thinning_out_keeps_the_newest_and_every_second_of_the_older() {
    for router in both_kinds(100) {
        apply(&router, &[when_full(WhenFull::ThinOut)]);
        send_numbers(&router, "sensor", 0..200).await;
        let counters = counters(&router, &filter_input("in"));
        let left = 200 - usize::try_from(counters.thinned_out).unwrap();
        let filter = router.inbox(&module("filter"));
        let texts = take(&filter, left).await;
        let kept: Vec<usize> = texts.iter().map(|text| text.parse().unwrap()).collect();
        assert!(kept.is_sorted() && kept[0] == 0, "{kept:?}");
        let newest = &kept[left - left / 4..];
        assert!(
            newest.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{kept:?}"
        );
        // The gaps grow with age.
        let gap = |at: usize| kept[at + 1] - kept[at];
        assert!(gap(0) > 1, "{kept:?}");
        router.close().await;
    }
}

#[tokio::test]
async fn thinning_out_reaches_what_is_on_the_disk_only() {
    let limits = store_messages(8 * WINDOW_MESSAGES);
    let router = open_limited(&SimulatedVolume::new(8), limits);
    apply(&router, &[when_full(WhenFull::ThinOut)]);
    let thinned = || counters(&router, &filter_input("in")).thinned_out;
    let mut waiting = 0;
    while thinned() == 0 {
        send(&router, "sensor", None, &waiting.to_string()).await;
        waiting += 1;
    }
    // The last one found it full: half of those before it were looked at.
    let half = (waiting - 1) / 2;
    assert!(half > 2 * WINDOW_MESSAGES);
    let thinning = async {
        while thinned() < (half / 2) as u64 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, thinning).await.unwrap();

    let older = (0..half).step_by(2);
    let kept = older.chain(half..waiting);
    let kept: Vec<_> = kept.map(|number| number.to_string()).collect();
    let filter = router.inbox(&module("filter"));
    assert_eq!(take(&filter, kept.len()).await, kept);
    assert_eq!(router.snapshot().endpoints[0].queued_messages, 0);
    assert_eq!(router.snapshot().store.unwrap().bytes, 0);
    router.close().await;
}

#[tokio::test]
async fn a_message_of_high_priority_finds_room_where_low_ones_filled_the_store() {
    let settings = JournalSettings {
        max_bytes: 8 * 1024 * 1024,
        ..JournalSettings::default()
    };
    let volume = SimulatedVolume::new(9);
    let router = open_with(&volume, Limits::default(), settings);
    let alarm = "FROM /messages/modules/sensor/outputs/alarm INTO $upstream";
    let bulk = "FROM /messages/modules/sensor/outputs/bulk INTO $upstream";
    apply(&router, &[route(alarm, 0), route(bulk, PRIORITY_DEFAULT)]);
    let sender = router.sender(&module("sensor"));
    let body = "x".repeat(10_000);
    let mut count = 0;
    loop {
        match stage(&sender, Some("bulk"), &body) {
            Ok(staged) => router.commit(None, vec![staged]).await.unwrap(),
            Err(refused) => break assert!(matches!(refused, StageError::WouldBlock { .. })),
        }
        count += 1;
    }
    assert!(count > 300, "{count}");
    let staged = stage(&sender, Some("alarm"), "fire").unwrap();
    router.commit(None, vec![staged]).await.unwrap();
    let upstream = router.upstream_inbox();
    assert_eq!(take(&upstream, 1).await, ["fire"]);
    let files = volume.files().values().map(Vec::len).sum::<usize>();
    assert!(files <= 8 * 1024 * 1024, "{files}");
    router.close().await;
}

#[tokio::test]
async fn what_was_put_aside_outlives_the_process_and_can_be_tried_again() {
    let volume = SimulatedVolume::new(10);
    let router = open(&volume);
    apply(&router, &[route(TO_FILTER_ONLY, 3)]);
    send_numbers(&router, "sensor", 0..3).await;
    let filter = router.inbox(&module("filter"));
    let mut ids = Vec::new();
    for _ in 0..2 {
        let delivery = soon(&filter).await;
        ids.push(delivery.id());
        delivery.reject("no");
    }
    router.close().await;

    let router = open(&volume);
    let shown = router.set_aside();
    let shown = shown.iter().map(|kept| (kept.id, kept.detail.as_str()));
    assert_eq!(shown.collect::<Vec<_>>(), [(ids[0], "no"), (ids[1], "no")]);
    let endpoint = filter_input("in");
    let retried = router.retry(&endpoint, Some(ids[1]));
    assert_eq!((retried.messages, retried.without_room), (1, 0));
    assert_eq!(router.retry(&endpoint, Some(ids[1])).messages, 0);
    let filter = router.inbox(&module("filter"));
    assert_eq!(take(&filter, 1).await, ["2"]);
    let again = soon(&filter).await;
    assert_eq!((again.id(), again.priority()), (ids[1], 3));
    assert_eq!(again.previous_tries(), 0);
    again.complete(Vec::new()).await.unwrap();
    assert_eq!(router.retry(&endpoint, None).messages, 1);
    router.close().await;

    let router = open(&volume);
    assert!(router.set_aside().is_empty());
    assert_eq!(take(&router.inbox(&module("filter")), 1).await, ["0"]);
    router.close().await;
}

#[tokio::test]
async fn a_look_shows_what_waits_in_memory_and_on_the_disk() {
    let router = open(&SimulatedVolume::new(11));
    apply(&router, &[route(TO_FILTER_ONLY, 3)]);
    let count = WINDOW_MESSAGES + 50;
    send_numbers(&router, "sensor", 0..count).await;
    let endpoint = filter_input("in");
    let shown = router.peek(&endpoint, usize::MAX).unwrap();
    let texts: Vec<_> = shown
        .iter()
        .map(|waiting| String::from_utf8(waiting.message.body.to_vec()).unwrap())
        .collect();
    assert_eq!(texts, numbers(0..count));
    assert!(shown.is_sorted_by_key(|waiting| waiting.sequence));
    assert_eq!(router.peek(&endpoint, 3).unwrap().len(), 3);
    assert!(router.peek(&Endpoint::Upstream, 3).unwrap().is_empty());
    let filter = router.inbox(&module("filter"));
    assert_eq!(take(&filter, count).await, texts);
    router.close().await;
}

#[tokio::test]
async fn what_is_purged_is_gone_for_ever_and_nothing_else() {
    let volume = SimulatedVolume::new(12);
    let router = open(&volume);
    apply(&router, &[route(TO_FILTER_ONLY, 3)]);
    let filter = router.inbox(&module("filter"));
    send_numbers(&router, "sensor", 0..2).await;
    soon(&filter).await.reject("no");
    let in_hand = soon(&filter).await;
    let count = 2 * WINDOW_MESSAGES;
    send_numbers(&router, "sensor", 2..count).await;
    let endpoint = filter_input("in");
    assert_eq!(router.purge(&endpoint, Part::Waiting), count - 2);
    assert_eq!(router.snapshot().store.unwrap().messages, 1);
    send(&router, "sensor", None, "after").await;
    drop(in_hand);
    router.close().await;

    let router = open(&volume);
    assert_eq!(router.set_aside().len(), 1);
    assert_eq!(router.purge(&endpoint, Part::Aside), 1);
    assert_eq!(
        take(&router.inbox(&module("filter")), 2).await,
        ["1", "after"]
    );
    router.close().await;
    let router = open(&volume);
    assert!(router.set_aside().is_empty());
    assert_eq!(router.snapshot().store.unwrap().messages, 0);
    router.close().await;
}

#[tokio::test]
async fn a_removed_modules_messages_are_gone_from_the_disk_too() {
    let volume = SimulatedVolume::new(13);
    let router = open(&volume);
    apply(&router, &[route(TO_FILTER_ONLY, 3)]);
    send_numbers(&router, "sensor", 0..2 * WINDOW_MESSAGES).await;
    apply(&router, &[]);
    router.remove_module(&module("filter"));
    assert!(router.snapshot().endpoints.is_empty());
    router.close().await;
    let router = open(&volume);
    assert!(router.snapshot().endpoints.is_empty());
    router.close().await;
}

#[tokio::test]
async fn a_full_disk_stops_what_comes_and_not_what_goes() {
    let volume = SimulatedVolume::new(14);
    let router = open(&volume);
    apply(&router, &[route(TO_FILTER_ONLY, 3)]);
    send_numbers(&router, "sensor", 0..2 * WINDOW_MESSAGES).await;
    let used = volume.files().values().map(Vec::len).sum::<usize>();
    volume.set_capacity(Some(used));
    // The first ones that find the disk full are not acknowledged, the next ones not taken.
    let sender = router.sender(&module("sensor"));
    let mut late = 0;
    let mut commits = tokio::task::JoinSet::new();
    let refused = async {
        loop {
            match stage(&sender, None, &format!("late {late}")) {
                Err(err) => return err,
                Ok(staged) => {
                    let router = router.clone();
                    commits.spawn(async move { router.commit(None, vec![staged]).await });
                }
            }
            late += 1;
            tokio::task::yield_now().await;
        }
    };
    let refused = tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert!(matches!(refused, StageError::WouldBlock { .. }));
    let filter = router.inbox(&module("filter"));
    let count = 2 * WINDOW_MESSAGES;
    assert_eq!(take(&filter, count).await, numbers(0..count));
    while let Some(committed) = commits.try_join_next() {
        committed.unwrap().unwrap();
    }
    assert!(!commits.is_empty());

    volume.set_capacity(None);
    while let Some(committed) = commits.join_next().await {
        committed.unwrap().unwrap();
    }
    let texts = take(&filter, late).await;
    assert!((0..late).map(|number| format!("late {number}")).eq(texts));
    send(&router, "sensor", None, "new").await;
    assert_eq!(take(&filter, 1).await, ["new"]);
    router.close().await;
    let router = open(&volume);
    assert_eq!(router.snapshot().store.unwrap().messages, 0);
    router.close().await;
}

#[tokio::test]
async fn a_disk_that_cannot_be_read_delays_and_loses_nothing() {
    let volume = SimulatedVolume::new(15);
    let router = open(&volume);
    apply(&router, &[route(TO_FILTER_ONLY, 3)]);
    let count = 2 * WINDOW_MESSAGES;
    send_numbers(&router, "sensor", 0..count).await;
    volume.fail_reads(true);
    let filter = router.inbox(&module("filter"));
    let first = take(&filter, WINDOW_MESSAGES).await;
    assert_eq!(first, numbers(0..WINDOW_MESSAGES));
    let none = tokio::time::timeout(Duration::from_millis(50), filter.next()).await;
    assert!(none.is_err());
    volume.fail_reads(false);
    let rest = take(&filter, count - WINDOW_MESSAGES).await;
    assert_eq!(rest, numbers(WINDOW_MESSAGES..count));
    router.close().await;
}
