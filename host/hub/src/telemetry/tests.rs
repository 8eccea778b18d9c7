use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use serde_json::json;
use wasm_edge_store::disk::faults::Survivors;
use wasm_edge_store::volume::simulated::{Failure, SimulatedVolume};

use super::*;
use crate::error::HubError;
use crate::hub::Hub;
use crate::hub::tests::{NOW, hub, hub_on_volume, module};

/// The number of a message and so many bytes.
fn message(number: usize, body_bytes: usize) -> Message {
    let mut message = Message {
        body: Bytes::from(vec![b'x'; body_bytes]),
        ..Message::default()
    };
    message.properties.set("number", number.to_string());
    message
}

pub(super) async fn send(hub: &Hub, number: usize, body_bytes: usize) -> Result<(), HubError> {
    let now = NOW.parse().unwrap();
    let message = message(number, body_bytes);
    let taken = hub.telemetry_log().append(module("d", "m"), now, message);
    let taken = taken.map_err(|refused| refused.error)?;
    taken.await.map_err(|_| HubError::Closed)
}

pub(crate) async fn send_all(hub: &Hub, numbers: std::ops::Range<usize>) {
    for number in numbers {
        send(hub, number, 1).await.unwrap();
    }
}

fn shown(event: TelemetryEvent) -> String {
    match event {
        TelemetryEvent::Lost(lost) => format!("lost {lost}"),
        TelemetryEvent::Message(telemetry) => telemetry
            .message
            .properties
            .get("number")
            .unwrap()
            .to_owned(),
    }
}

/// The next so many events.
async fn next(reader: &mut TelemetryReader, events: usize) -> Vec<String> {
    let mut next = Vec::new();
    for _ in 0..events {
        next.push(shown(reader.next().await.unwrap()));
    }
    next
}

/// All that is in a log, with positions.
async fn all(hub: &Hub) -> Vec<(u64, String)> {
    let end = hub.telemetry_log().written().borrow().next;
    let mut reader = hub.telemetry(StartAt::Earliest).unwrap();
    let mut all: Vec<(u64, String)> = Vec::new();
    while all.last().map_or(0, |(position, _)| position + 1) < end {
        let TelemetryEvent::Message(telemetry) = reader.next().await.unwrap() else {
            panic!("nothing is lost");
        };
        let number = telemetry.message.properties.get("number").unwrap();
        all.push((telemetry.position, number.to_owned()));
    }
    all
}

/// As little as possible.
const RETENTION: Retention = Retention {
    max_bytes: RETENTION_MIN_BYTES,
    max_age: Duration::from_secs(24 * 60 * 60),
};

pub(super) fn again(volume: &SimulatedVolume) -> Hub {
    hub_on_volume(volume, RETENTION)
}

#[tokio::test]
async fn a_reader_begins_where_it_is_told_to() {
    let hub = hub();
    send_all(&hub, 0..3).await;
    let mut latest = hub.telemetry(StartAt::Latest).unwrap();
    let mut earliest = hub.telemetry(StartAt::Earliest).unwrap();
    let mut second = hub.telemetry(StartAt::Position(1)).unwrap();
    let mut next_one = hub.telemetry(StartAt::Position(3)).unwrap();
    assert!(matches!(
        hub.telemetry(StartAt::Position(4)),
        Err(HubError::Invalid { .. })
    ));
    send_all(&hub, 3..5).await;
    assert_eq!(next(&mut latest, 2).await, ["3", "4"]);
    assert_eq!(next(&mut earliest, 5).await, ["0", "1", "2", "3", "4"]);
    assert_eq!(next(&mut second, 4).await, ["1", "2", "3", "4"]);
    assert_eq!(next(&mut next_one, 2).await, ["3", "4"]);
}

#[tokio::test]
async fn a_waiting_reader_is_woken_and_one_that_is_dropped_in_between_loses_nothing() {
    let hub = hub();
    let mut reader = hub.telemetry(StartAt::Latest).unwrap();
    for number in 0..20 {
        assert!(reader.next().now_or_never().is_none());
        send(&hub, number, 1).await.unwrap();
        // A reading that was begun goes on, whoever waits for it.
        let read = match reader.next().now_or_never() {
            Some(read) => read,
            None => reader.next().await,
        };
        assert_eq!(shown(read.unwrap()), number.to_string());
    }
    let mut other = hub.telemetry(StartAt::Latest).unwrap();
    let waiting = tokio::spawn(async move { next(&mut other, 1).await });
    tokio::task::yield_now().await;
    send(&hub, 20, 1).await.unwrap();
    assert_eq!(waiting.await.unwrap(), ["20"]);
}

#[tokio::test]
async fn messages_are_in_the_order_in_which_they_were_sent_and_read_in_that_order() {
    let hub = hub();
    // More than may wait at once, and more than a reader takes at once.
    let sent = (0..3000).map(|number| send(&hub, number, 700));
    assert!(join_all(sent).await.iter().all(Result::is_ok));
    let expected: Vec<_> = (0..3000)
        .map(|number| (number, number.to_string()))
        .collect();
    assert_eq!(all(&hub).await, expected);
}

#[tokio::test]
async fn positions_go_on_after_a_restart() {
    let volume = SimulatedVolume::new(1);
    let hub = again(&volume);
    send_all(&hub, 0..3).await;
    drop(hub);
    for restart in 1..4 {
        let hub = again(&volume);
        let mut latest = hub.telemetry(StartAt::Latest).unwrap();
        let mut earlier = hub.telemetry(StartAt::Position(2)).unwrap();
        send_all(&hub, restart + 2..restart + 3).await;
        assert_eq!(next(&mut latest, 1).await, [(restart + 2).to_string()]);
        assert_eq!(next(&mut earlier, 2).await, ["2", "3"]);
        let expected: Vec<_> = (0..restart + 3)
            .map(|number| (number as u64, number.to_string()))
            .collect();
        assert_eq!(all(&hub).await, expected);
        hub.close();
        hub.ended().await;
        assert!(matches!(
            send(&hub, 0, 1).await.unwrap_err(),
            HubError::Closed
        ));
    }
    // One that was begun and has no messages yet.
    drop(again(&volume));
    send_all(&again(&volume), 6..7).await;
    assert_eq!(all(&again(&volume)).await.len(), 7);
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_who_comes_late_is_told_what_is_gone() {
    const BODY_BYTES: usize = 250_000;
    let volume = SimulatedVolume::new(1);
    let hub = again(&volume);
    let mut slow = hub.telemetry(StartAt::Latest).unwrap();
    for number in 0..100 {
        send(&hub, number, BODY_BYTES).await.unwrap();
        let bytes = volume.used_bytes();
        assert!(bytes as u64 <= RETENTION.max_bytes, "{bytes}");
    }
    let mut from_start = hub.telemetry(StartAt::Position(0)).unwrap();
    let lost = shown(from_start.next().await.unwrap());
    let lost: usize = lost.strip_prefix("lost ").unwrap().parse().unwrap();
    assert!((68..=76).contains(&lost), "{lost}");
    let expected: Vec<_> = (lost..100).map(|number| number.to_string()).collect();
    assert_eq!(next(&mut from_start, 100 - lost).await, expected);
    // It did not read all the time.
    assert_eq!(next(&mut slow, 1).await, [format!("lost {lost}")]);
    assert_eq!(next(&mut slow, 100 - lost).await, expected);
    let mut earliest = hub.telemetry(StartAt::Earliest).unwrap();
    assert_eq!(next(&mut earliest, 1).await, [lost.to_string()]);
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_room() {
    let volume = SimulatedVolume::new(1);
    let hub = again(&volume);
    send_all(&hub, 0..1).await;
    let mut reader = hub.telemetry(StartAt::Earliest).unwrap();
    volume.set_capacity(Some(volume.used_bytes()));
    let sending = {
        let hub = hub.clone();
        tokio::spawn(async move { join_all((1..4).map(|number| send(&hub, number, 1))).await })
    };
    while volume.figures().failures < 2 {
        tokio::task::yield_now().await;
    }
    assert!(!sending.is_finished());
    assert_eq!(next(&mut reader, 1).await, ["0"]);
    volume.set_capacity(None);
    assert!(sending.await.unwrap().iter().all(Result::is_ok));
    assert_eq!(next(&mut reader, 3).await, ["1", "2", "3"]);
}

#[tokio::test]
async fn what_is_written_and_not_synced_is_neither_acknowledged_nor_read() {
    let volume = SimulatedVolume::new(1);
    let hub = again(&volume);
    send_all(&hub, 0..1).await;
    let mut reader = hub.telemetry(StartAt::Position(1)).unwrap();
    // The write goes well, all that follows fails.
    let next_one = volume.figures().operations;
    volume.fail(next_one + 1..usize::MAX, Failure::Device);
    let sending = {
        let hub = hub.clone();
        tokio::spawn(async move { send(&hub, 1, 1).await })
    };
    while volume.figures().failures < 3 {
        assert!(reader.next().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    assert!(!sending.is_finished());
    volume.fail(0..0, Failure::Device);
    sending.await.unwrap().unwrap();
    send_all(&hub, 2..3).await;
    assert_eq!(next(&mut reader, 2).await, ["1", "2"]);
}

#[tokio::test]
async fn what_waits_for_a_disk_that_takes_nothing_is_bounded() {
    let volume = SimulatedVolume::new(1);
    let hub = again(&volume);
    volume.fail(0..usize::MAX, Failure::Device);
    let now = || NOW.parse().unwrap();
    let body = Bytes::from(vec![0; 250_000]);
    let append = || {
        let message = Message {
            body: body.clone(),
            ..Message::default()
        };
        hub.telemetry_log().append(module("d", "m"), now(), message)
    };
    let waiting: Vec<_> = std::iter::from_fn(|| append().ok()).take(1000).collect();
    assert!((130..150).contains(&waiting.len()), "{}", waiting.len());
    assert!(matches!(append().unwrap_err().error, HubError::Busy));
    volume.fail(0..0, Failure::Device);
    assert!(join_all(waiting).await.iter().all(Result::is_ok));
    append().unwrap().await.unwrap();
}

#[tokio::test]
async fn a_closed_hub_gives_up_what_it_cannot_write() {
    let volume = SimulatedVolume::new(1);
    let hub = again(&volume);
    volume.fail(0..usize::MAX, Failure::Device);
    let sending = {
        let hub = hub.clone();
        tokio::spawn(async move { send(&hub, 0, 1).await })
    };
    while volume.figures().failures == 0 {
        tokio::task::yield_now().await;
    }
    hub.close();
    hub.ended().await;
    assert!(matches!(
        sending.await.unwrap().unwrap_err(),
        HubError::Closed
    ));
}

#[tokio::test]
async fn whenever_the_power_goes_all_that_was_acknowledged_is_kept_once_and_in_order() {
    for cut in 0..40 {
        for survivors in [Survivors::Synced, Survivors::Written, Survivors::Torn(cut)] {
            let volume = SimulatedVolume::new(cut);
            let hub = again(&volume);
            volume.cut_power_at(volume.figures().operations + cut as usize);
            let mut acknowledged = 0;
            for number in 0..30 {
                let sent = tokio::select! {
                    sent = send(&hub, number, 300) => sent,
                    () = dead(&volume) => break,
                };
                sent.unwrap();
                acknowledged += 1;
            }
            drop(hub);
            let found = all(&again(&volume.after_power_cut(survivors))).await;
            let expected: Vec<_> = (0..found.len())
                .map(|number| (number as u64, number.to_string()))
                .collect();
            assert_eq!(found, expected, "{cut} {survivors:?}");
            assert!((acknowledged..=acknowledged + 1).contains(&found.len()));
        }
    }
}

async fn dead(volume: &SimulatedVolume) {
    while !volume.is_dead() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn readers_are_limited_and_make_room_when_they_go() {
    let hub = hub();
    let open = || hub.telemetry(StartAt::Latest);
    let mut readers: Vec<_> = (0..READERS_MAX).map(|_| open().unwrap()).collect();
    let err = open().err().unwrap();
    let limit = READERS_MAX;
    assert!(
        matches!(err, HubError::TooManyReaders { limit: found, .. } if found == limit),
        "{err}"
    );
    readers.pop();
    open().unwrap();
}

#[tokio::test]
async fn a_closed_hub_ends_its_readers() {
    let hub = hub();
    let mut reader = hub.telemetry(StartAt::Latest).unwrap();
    hub.close();
    assert_eq!(reader.next().await, None);
    let closed = hub.telemetry(StartAt::Latest).err().unwrap();
    assert!(matches!(closed, HubError::Closed));
}

#[test]
fn telemetry_is_one_json_object() {
    let telemetry = Telemetry {
        position: 17,
        source: module("d", "m"),
        enqueued: NOW.parse().unwrap(),
        message: message(7, 2),
    };
    let expected = json!({
        "position": 17, "device": "d", "module": "m", "enqueuedTime": NOW,
        "properties": { "number": "7" }, "systemProperties": {}, "bodyText": "xx",
    });
    assert_eq!(telemetry.to_json(), expected);
}

#[test]
fn a_start_is_a_word_or_a_number() {
    let check = |text: &str, expected: Option<StartAt>| {
        let parsed: Option<StartAt> = text.parse().ok();
        assert_eq!(parsed, expected, "{text}");
        if let Some(start) = parsed {
            assert_eq!(start.to_string(), text);
        }
    };
    check("earliest", Some(StartAt::Earliest));
    check("latest", Some(StartAt::Latest));
    check("0", Some(StartAt::Position(0)));
    check("18446744073709551615", Some(StartAt::Position(u64::MAX)));
    for wrong in ["", "-1", "+1", "1.5", "Earliest", "18446744073709551616"] {
        check(wrong, None);
    }
}
