//! The router on a journal: what is kept, in which order it comes back, and what stays out of memory.

use wasm_edge_model::route::Durability;
use wasm_edge_store::disk::faults::Survivors;
use wasm_edge_store::volume::Volume;
use wasm_edge_store::volume::simulated::SimulatedVolume;

use super::*;
use crate::journal::JournalSettings;
use crate::limits::{WINDOW_BYTES, WINDOW_MESSAGES};

/// Longest wait for something that has to come.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const TO_FILTER_ONLY: &str =
    r#"FROM /messages/modules/sensor/* INTO BrokeredEndpoint("/modules/filter/inputs/in")"#;
pub(super) const FILTER_UP: &str = "FROM /messages/modules/filter/* INTO $upstream";

pub(super) fn route(text: &str, priority: u32) -> Route {
    let name = RouteName::new("r").unwrap();
    Route {
        priority,
        ..Route::parse(name, text).unwrap()
    }
}

pub(super) fn apply(router: &Router, routes: &[Route]) {
    router.apply(RouteTable::new(routes, None).unwrap());
}

pub(super) fn open_with(
    volume: &SimulatedVolume,
    limits: Limits,
    settings: JournalSettings,
) -> Router {
    let volume: Arc<dyn Volume> = Arc::new(volume.clone());
    let (journal, recovered) = Journal::open(volume, settings).unwrap();
    Router::open(device(), limits, journal, recovered).unwrap()
}

pub(super) fn open_limited(volume: &SimulatedVolume, limits: Limits) -> Router {
    open_with(volume, limits, JournalSettings::default())
}

pub(super) fn open(volume: &SimulatedVolume) -> Router {
    open_limited(volume, Limits::default())
}

/// The next message, once it is there.
pub(super) async fn soon(inbox: &Inbox) -> Delivery {
    let next = tokio::time::timeout(PATIENCE, inbox.next()).await;
    next.expect("a message has to come")
}

/// Takes and completes so many messages.
pub(super) async fn take(inbox: &Inbox, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        let delivery = soon(inbox).await;
        texts.push(text(&delivery));
        delivery.complete(Vec::new()).await.unwrap();
    }
    texts
}

pub(super) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

pub(super) async fn send_numbers(router: &Router, from: &str, range: std::ops::Range<usize>) {
    for number in range {
        send(router, from, None, &number.to_string()).await;
    }
}

pub(super) fn counters(router: &Router, endpoint: &Endpoint) -> crate::snapshot::EndpointCounters {
    let endpoints = router.snapshot().endpoints;
    let found = endpoints.iter().find(|found| found.endpoint == *endpoint);
    found.expect("the endpoint is there").counters
}

#[tokio::test]
async fn what_was_kept_comes_again_with_its_ids_after_a_restart() {
    let volume = SimulatedVolume::new(1);
    let router = open(&volume);
    apply(&router, &[route(UP, 0)]);
    send_numbers(&router, "sensor", 0..5).await;
    let upstream = router.upstream_inbox();
    assert_eq!(take(&upstream, 2).await, numbers(0..2));
    let delivery = soon(&upstream).await;
    let id = delivery.id();
    drop(delivery);
    router.close().await;

    let router = open(&volume);
    apply(&router, &[route(UP, 0)]);
    let upstream = router.upstream_inbox();
    let delivery = soon(&upstream).await;
    assert_eq!((text(&delivery), delivery.id()), ("2".to_owned(), id));
    assert_eq!(
        *delivery.source(),
        MessageSource::Module {
            module: module("sensor"),
            output: None
        }
    );
    drop(delivery);
    send(&router, "sensor", None, "5").await;
    assert_eq!(take(&upstream, 4).await, numbers(2..6));
    let counters = counters(&router, &Endpoint::Upstream);
    assert_eq!(
        (counters.recovered, counters.taken, counters.delivered),
        (3, 1, 4)
    );
    router.close().await;
}

#[tokio::test]
async fn a_commit_returns_when_its_messages_would_survive() {
    let volume = SimulatedVolume::new(2);
    let router = open(&volume);
    apply(&router, &[route(UP, 0)]);
    send_numbers(&router, "sensor", 0..3).await;
    // The power goes at once: what was acknowledged is there.
    let after = volume.after_power_cut(Survivors::Synced);
    router.close().await;
    let router = open(&after);
    assert_eq!(take(&router.upstream_inbox(), 3).await, numbers(0..3));
    router.close().await;
}

#[tokio::test]
async fn messages_without_durability_are_in_memory_and_keep_their_place() {
    let volume = SimulatedVolume::new(3);
    let router = open(&volume);
    let volatile = Route {
        durability: Some(Durability::None),
        ..route(
            "FROM /messages/modules/quick/* INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")",
            0,
        )
    };
    apply(&router, &[route(TO_FILTER_ONLY, 0), volatile]);
    // More than the window: those in memory only come between those from the disk.
    let count = 2 * WINDOW_MESSAGES;
    for number in 0..count {
        let from = if number % 100 == 99 {
            "quick"
        } else {
            "sensor"
        };
        send(&router, from, None, &number.to_string()).await;
    }
    let filter = router.inbox(&module("filter"));
    assert_eq!(take(&filter, count).await, numbers(0..count));
    router.close().await;
}

#[tokio::test]
async fn what_a_handler_sends_is_kept_with_its_completion() {
    let volume = SimulatedVolume::new(4);
    let router = open(&volume);
    apply(&router, &[route(TO_FILTER_ONLY, 0), route(FILTER_UP, 0)]);
    send_numbers(&router, "sensor", 0..3).await;
    let filter = router.inbox(&module("filter"));
    let sender = router.sender(&module("filter"));
    let delivery = soon(&filter).await;
    let staged = stage(&sender, None, &text(&delivery)).unwrap();
    delivery.complete(vec![staged]).await.unwrap();
    router.close().await;

    let router = open(&volume);
    assert_eq!(take(&router.inbox(&module("filter")), 2).await, ["1", "2"]);
    assert_eq!(take(&router.upstream_inbox(), 1).await, ["0"]);
    router.close().await;
}

#[tokio::test]
async fn a_hundred_thousand_waiting_messages_leave_the_memory_as_it_is() {
    const COUNT: usize = 100_000;
    let volume = SimulatedVolume::new(5);
    let router = open(&volume);
    let up = Route {
        durability: Some(Durability::Process),
        ..route(UP, 0)
    };
    apply(&router, &[up]);
    let sender = router.sender(&module("sensor"));
    for from in (0..COUNT).step_by(1_000) {
        let staged = (from..from + 1_000).map(|number| stage_waiting(&sender, number));
        let staged = futures(staged).await;
        router.commit(None, staged).await.unwrap();
    }
    let windows_bytes = || {
        router
            .shared
            .with(|state| state.ledger.store.windows_bytes())
    };
    assert!(windows_bytes() <= WINDOW_BYTES, "{}", windows_bytes());
    let upstream = router.upstream_inbox();
    for number in 0..COUNT {
        let delivery = soon(&upstream).await;
        assert_eq!(text(&delivery), number.to_string());
        delivery.complete(Vec::new()).await.unwrap();
        if number % 10_000 == 0 {
            assert!(windows_bytes() <= WINDOW_BYTES, "{}", windows_bytes());
        }
    }
    assert_eq!(router.snapshot().store.unwrap().messages, 0);
    router.close().await;
}

async fn stage_waiting(sender: &Sender, number: usize) -> Staged {
    super::stage_waiting(sender, &number.to_string()).await
}

async fn futures(all: impl Iterator<Item = impl Future<Output = Staged>>) -> Vec<Staged> {
    let mut done = Vec::new();
    for one in all {
        done.push(one.await);
    }
    done
}
