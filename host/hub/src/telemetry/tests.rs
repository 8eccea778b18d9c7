use bytes::Bytes;
use futures_util::FutureExt as _;
use serde_json::json;

use super::*;
use crate::hub::tests::{hub, module};

fn telemetry(number: usize, body_bytes: usize) -> Telemetry {
    let mut message = Message {
        body: Bytes::from(vec![b'x'; body_bytes]),
        ..Message::default()
    };
    message.properties.set("number", number.to_string());
    let enqueued = crate::hub::tests::NOW.parse().unwrap();
    Telemetry {
        source: module("d", "m"),
        enqueued,
        message,
    }
}

fn next(reader: &mut TelemetryReader) -> Option<String> {
    match reader.next().now_or_never()?? {
        TelemetryEvent::Lost(lost) => Some(format!("lost {lost}")),
        TelemetryEvent::Message(telemetry) => telemetry
            .message
            .properties
            .get("number")
            .map(str::to_owned),
    }
}

#[test]
fn a_reader_gets_what_comes_after_it() {
    let hub = hub();
    hub.telemetry_feed().publish(telemetry(0, 1));
    let mut first = hub.telemetry().unwrap();
    hub.telemetry_feed().publish(telemetry(1, 1));
    let mut second = hub.telemetry().unwrap();
    hub.telemetry_feed().publish(telemetry(2, 1));
    let all = |reader: &mut _| std::iter::from_fn(|| next(reader)).collect::<Vec<_>>();
    assert_eq!(all(&mut first), ["1", "2"]);
    assert_eq!(all(&mut second), ["2"]);
}

#[tokio::test]
async fn a_waiting_reader_is_woken() {
    let hub = hub();
    let mut reader = hub.telemetry().unwrap();
    let waiting = tokio::spawn(async move { reader.next().await });
    tokio::task::yield_now().await;
    hub.telemetry_feed().publish(telemetry(1, 1));
    assert!(matches!(
        waiting.await.unwrap(),
        Some(TelemetryEvent::Message(_))
    ));
}

#[test]
fn a_slow_reader_is_told_how_many_it_lost_and_memory_stays_bounded() {
    for body_bytes in [0, 100_000] {
        let hub = hub();
        let mut reader = hub.telemetry().unwrap();
        for number in 0..KEPT_MAX_MESSAGES + 100 {
            hub.telemetry_feed().publish(telemetry(number, body_bytes));
        }
        let kept = hub.telemetry_feed().kept().messages.len();
        assert!(
            kept <= KEPT_MAX_MESSAGES && kept * body_bytes <= KEPT_MAX_BYTES,
            "{kept}"
        );
        let lost = KEPT_MAX_MESSAGES + 100 - kept;
        assert_eq!(next(&mut reader).unwrap(), format!("lost {lost}"));
        assert_eq!(next(&mut reader).unwrap(), lost.to_string());
    }
}

#[test]
fn without_readers_nothing_is_kept() {
    let hub = hub();
    let reader = hub.telemetry().unwrap();
    hub.telemetry_feed().publish(telemetry(1, 1));
    drop(reader);
    let kept = hub.telemetry_feed().kept();
    assert_eq!(
        (kept.messages.len(), kept.size_bytes, kept.readers),
        (0, 0, 0)
    );
}

#[test]
fn readers_are_limited_and_make_room_when_they_go() {
    let hub = hub();
    let mut readers: Vec<_> = (0..READERS_MAX).map(|_| hub.telemetry().unwrap()).collect();
    let err = hub.telemetry().err().unwrap();
    assert!(
        matches!(
            err,
            HubError::TooManyReaders {
                limit: READERS_MAX,
                ..
            }
        ),
        "{err}"
    );
    readers.pop();
    hub.telemetry().unwrap();
}

#[tokio::test]
async fn a_closed_hub_ends_its_readers() {
    let hub = hub();
    let mut reader = hub.telemetry().unwrap();
    hub.close();
    assert_eq!(reader.next().await, None);
    assert!(matches!(hub.telemetry().err().unwrap(), HubError::Closed));
}

#[test]
fn telemetry_is_one_json_object() {
    let expected = json!({
        "device": "d", "module": "m", "enqueuedTime": crate::hub::tests::NOW,
        "properties": { "number": "7" }, "systemProperties": {}, "bodyText": "xx",
    });
    assert_eq!(telemetry(7, 2).to_json(), expected);
}
