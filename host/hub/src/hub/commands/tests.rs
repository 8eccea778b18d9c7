use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use wasm_edge_store::disk::faults::{Fault, SimulatedDisk};

use super::*;
use crate::command::{DELIVERIES_DEFAULT, Feedback};
use crate::hub::IfMatch;
use crate::hub::tests::{NOW, after_power_cut, device, device_id, hub, hub_on, hub_with_clock};
use crate::identity::IdentitySpec;

fn text(body: &str) -> Message {
    Message {
        body: Bytes::copy_from_slice(body.as_bytes()),
        ..Message::default()
    }
}

async fn hub_with_device() -> (Hub, DeviceId) {
    let hub = hub();
    hub.create(&device("d"), IdentitySpec::default())
        .await
        .unwrap();
    (hub, device_id("d"))
}

async fn send(hub: &Hub, body: &str) -> CommandReceipt {
    hub.send_command(&device_id("d"), text(body), CommandOptions::default())
        .await
        .unwrap()
}

async fn pending(hub: &Hub, after: Option<u64>, limit: usize) -> Vec<Command> {
    hub.pending_commands(&device_id("d"), after, limit)
        .await
        .unwrap()
}

async fn bodies(hub: &Hub) -> Vec<String> {
    let pending = pending(hub, None, 99).await;
    let bodies = pending.iter().map(|command| command.message.body.to_vec());
    bodies
        .map(|body| String::from_utf8(body).unwrap())
        .collect()
}

#[tokio::test]
async fn messages_wait_in_the_order_in_which_they_were_sent() {
    let (hub, _) = hub_with_device().await;
    for body in ["a", "b", "c"] {
        send(&hub, body).await;
    }
    assert_eq!(bodies(&hub).await, ["a", "b", "c"]);
    let later = pending(&hub, Some(1), 1).await;
    assert_eq!((later.len(), later[0].number), (1, 2));
    assert_eq!(later[0].message.body, "b");
}

/// A hub with the device `d` whose time stands still until it is moved, in milliseconds.
async fn hub_with_time() -> (Hub, Arc<AtomicI64>) {
    let start: Timestamp = NOW.parse().unwrap();
    let time = Arc::new(AtomicI64::new(start.unix_millis()));
    let shown = Arc::clone(&time);
    let hub = hub_with_clock(Arc::new(move || {
        Timestamp::from_unix_millis(shown.load(Ordering::Relaxed))
    }));
    hub.create(&device("d"), IdentitySpec::default())
        .await
        .unwrap();
    (hub, time)
}

async fn count(hub: &Hub) -> usize {
    let identity = hub.identity(&device("d")).await.unwrap();
    let counts = hub.command_counts(None, &device_id("d")).await.unwrap();
    let count = hub.command_count(&identity).await.unwrap();
    assert_eq!(counts.of(&identity), count);
    count
}

/// How many messages the store holds, with a place or without.
async fn stored(hub: &Hub) -> usize {
    let collection = Collection::CommandsOf(device_id("d"));
    let page = hub.store().scan(&collection, None, 99).await.unwrap();
    page.documents.len()
}

async fn refused(hub: &Hub, message: Message, options: CommandOptions) -> String {
    let sent = hub.send_command(&device_id("d"), message, options).await;
    sent.unwrap_err().to_string()
}

#[tokio::test]
async fn a_message_gets_what_the_hub_sets_and_keeps_the_rest() {
    let (hub, device) = hub_with_device().await;
    let mut message = text("x");
    message.properties.set("k", "v");
    message.system.set(SystemProperty::MessageId, "mine");
    message.system.set(SystemProperty::To, "elsewhere");
    message
        .system
        .set(SystemProperty::ConnectionDeviceId, "other");
    let options = CommandOptions {
        ack: Feedback::Full,
        expires_at: Some("2026-08-02T10:00:00Z".parse().unwrap()),
    };
    let receipt = hub.send_command(&device, message, options).await.unwrap();
    assert_eq!((&*receipt.message_id, receipt.number), ("mine", 1));
    let command = &pending(&hub, None, 1).await[0];
    assert_eq!(command.ack, Feedback::Full);
    assert_eq!(command.enqueued.to_string(), NOW);
    assert_eq!(command.message.properties.get("k"), Some("v"));
    let system: Vec<_> = command.message.system.iter().collect();
    let expected = [
        (SystemProperty::MessageId, "mine"),
        (SystemProperty::To, "/devices/d/messages/deviceBound"),
        (
            SystemProperty::AbsoluteExpiryTime,
            "2026-08-02T10:00:00.0000000Z",
        ),
    ];
    assert_eq!(system, expected);
    let receipt = send(&hub, "y").await;
    assert_eq!(receipt.message_id.len(), 32);
    assert_eq!(
        receipt.expires_at.to_string(),
        "2026-08-01T11:00:00.0000000Z"
    );
}

#[tokio::test]
async fn messages_that_cannot_be_so_are_refused_and_leave_nothing() {
    let (hub, _) = hub_with_device().await;
    let plain = CommandOptions::default;
    let until = |time: &str| CommandOptions {
        expires_at: Some(time.parse().unwrap()),
        ..CommandOptions::default()
    };
    for (message, options, expected) in [
        (
            text(&"x".repeat(COMMAND_SIZE_MAX_BYTES + 1)),
            plain(),
            "the message has 65537 bytes, more than 65536",
        ),
        (
            text(""),
            until(NOW),
            "the expiry `2026-08-01T10:00:00.0000000Z` is over; it is `2026-08-01T10:00:00.0000000Z` here",
        ),
        (
            text(""),
            until("2026-08-03T10:00:00.001Z"),
            "the expiry `2026-08-03T10:00:00.0010000Z` is more than 48 hours ahead",
        ),
    ] {
        assert_eq!(refused(&hub, message, options).await, expected);
    }
    let mut long_id = text("");
    long_id
        .system
        .set(SystemProperty::MessageId, "x".repeat(129));
    let err = refused(&hub, long_id, plain()).await;
    assert!(err.starts_with("the message cannot be sent: "), "{err}");
    let sent = hub.send_command(&device_id("x"), text(""), plain()).await;
    assert_eq!(sent.unwrap_err().to_string(), "there is no `/devices/x`");
    assert_eq!((count(&hub).await, stored(&hub).await), (0, 0));
    let largest = text(&"x".repeat(COMMAND_SIZE_MAX_BYTES));
    let device = device_id("d");
    let sent = hub.send_command(&device, largest, until("2026-08-03T10:00:00Z"));
    sent.await.unwrap();
}

#[tokio::test]
async fn a_device_has_fifty_places_for_messages() {
    let (hub, device) = hub_with_device().await;
    let sent = (0..60).map(|_| hub.send_command(&device, text("x"), CommandOptions::default()));
    let sent = futures_util::future::join_all(sent).await;
    let refused: Vec<_> = sent.iter().filter_map(|sent| sent.as_ref().err()).collect();
    assert_eq!(refused.len(), 10);
    for err in refused {
        let expected = "50 messages wait for the device `d` already, as many as may";
        assert_eq!(err.to_string(), expected);
    }
    let mut numbers: Vec<_> = sent.iter().flatten().map(|sent| sent.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).collect::<Vec<u64>>());
    assert_eq!((count(&hub).await, stored(&hub).await), (50, 50));
    let first = &pending(&hub, None, 1).await[0];
    let done = hub.command_completed(&device, first.number, &first.generation_id);
    assert!(done.await.unwrap());
    assert_eq!(send(&hub, "y").await.number, 51);
}

#[tokio::test]
async fn a_completed_message_is_gone_and_completes_once() {
    let (hub, device) = hub_with_device().await;
    send(&hub, "a").await;
    send(&hub, "b").await;
    let first = pending(&hub, None, 1).await.remove(0);
    let complete = || hub.command_completed(&device, first.number, &first.generation_id);
    assert!(complete().await.unwrap());
    assert!(!complete().await.unwrap());
    assert_eq!(bodies(&hub).await, ["b"]);
    assert_eq!((count(&hub).await, stored(&hub).await), (1, 1));
    let delivery = hub.command_delivered(&device, first.number, &first.generation_id);
    assert_eq!(delivery.await.unwrap(), Delivery::Gone);
}

#[tokio::test]
async fn a_message_expires() {
    let (hub, time) = hub_with_time().await;
    send(&hub, "short").await;
    let options = CommandOptions {
        expires_at: Some("2026-08-01T13:00:00Z".parse().unwrap()),
        ..CommandOptions::default()
    };
    hub.send_command(&device_id("d"), text("long"), options)
        .await
        .unwrap();
    let first = pending(&hub, None, 1).await.remove(0);
    time.fetch_add(3_599_999, Ordering::Relaxed);
    assert_eq!((count(&hub).await, bodies(&hub).await.len()), (2, 2));
    time.fetch_add(1, Ordering::Relaxed);
    assert_eq!(count(&hub).await, 1);
    assert_eq!(bodies(&hub).await, ["long"]);
    let delivered = hub
        .command_delivered(&device_id("d"), 1, &first.generation_id)
        .await;
    assert_eq!(delivered.unwrap(), Delivery::Gone);
    assert_eq!(
        stored(&hub).await,
        2,
        "kept until something else is written"
    );
    send(&hub, "new").await;
    assert_eq!(bodies(&hub).await, ["long", "new"]);
    assert_eq!(stored(&hub).await, 2);
}

#[tokio::test]
async fn expired_messages_take_no_places() {
    let (hub, time) = hub_with_time().await;
    for _ in 0..50 {
        send(&hub, "x").await;
    }
    time.fetch_add(3_600_000, Ordering::Relaxed);
    assert_eq!(count(&hub).await, 0);
    assert_eq!(send(&hub, "y").await.number, 51);
    assert_eq!(
        (bodies(&hub).await, stored(&hub).await),
        (vec!["y".to_owned()], 1)
    );
}

#[tokio::test]
async fn a_message_that_is_never_acknowledged_is_given_up() {
    let (hub, device) = hub_with_device().await;
    send(&hub, "poison").await;
    send(&hub, "good").await;
    for deliveries in 0..DELIVERIES_DEFAULT {
        let first = pending(&hub, None, 1).await.remove(0);
        assert_eq!(first.deliveries, deliveries);
        let delivery = hub.command_delivered(&device, first.number, &first.generation_id);
        assert_eq!(delivery.await.unwrap(), Delivery::Send);
    }
    let first = pending(&hub, None, 1).await.remove(0);
    let delivery = hub.command_delivered(&device, first.number, &first.generation_id);
    assert_eq!(delivery.await.unwrap(), Delivery::Gone);
    assert_eq!(bodies(&hub).await, ["good"]);
    assert_eq!((count(&hub).await, stored(&hub).await), (1, 1));
}

#[tokio::test]
async fn purging_throws_away_all_and_counts_them() {
    let (hub, device) = hub_with_device().await;
    for body in ["a", "b", "c"] {
        send(&hub, body).await;
    }
    assert_eq!(hub.purge_commands(&device).await.unwrap(), 3);
    assert_eq!((count(&hub).await, stored(&hub).await), (0, 0));
    assert_eq!(hub.purge_commands(&device).await.unwrap(), 0);
    assert_eq!(send(&hub, "d").await.number, 4);
    let err = hub.purge_commands(&device_id("x")).await.unwrap_err();
    assert_eq!(err.to_string(), "there is no `/devices/x`");
}

#[tokio::test]
async fn a_device_made_again_gets_nothing_that_was_sent_to_the_first() {
    let (hub, id) = hub_with_device().await;
    send(&hub, "old").await;
    let old = pending(&hub, None, 1).await.remove(0);
    hub.delete_device(&id, IfMatch::Any).await.unwrap();
    assert_eq!(stored(&hub).await, 0);
    let key = DocumentKey::command_queue(&id);
    assert_eq!(hub.store().read(&key).await.unwrap(), None);
    hub.create(&device("d"), IdentitySpec::default())
        .await
        .unwrap();
    assert_eq!(send(&hub, "new").await.number, 1);
    // What the old one's connection still has to say of its message 1 is not about the new one.
    let delivered = hub.command_delivered(&id, old.number, &old.generation_id);
    assert_eq!(delivered.await.unwrap(), Delivery::Gone);
    let completed = hub.command_completed(&id, old.number, &old.generation_id);
    assert!(!completed.await.unwrap());
    assert_eq!(bodies(&hub).await, ["new"]);
}

#[tokio::test]
async fn a_feed_tells_of_new_messages() {
    use futures_util::StreamExt as _;
    let (hub, id) = hub_with_device().await;
    let mut feed = hub.changes(&id);
    send(&hub, "a").await;
    let mut told = Vec::new();
    while told.len() < 2 {
        let Some(crate::store::Change::Document(key)) = feed.next().await else {
            panic!("the feed tells of documents");
        };
        told.push(key);
    }
    // The place comes after the message: who hears of it finds both.
    assert_eq!(told[1], DocumentKey::command_queue(&id));
}

/// A disk with the device `d`, to which `sent` messages were sent.
async fn disk_with_device(sent: usize) -> SimulatedDisk {
    let disk = SimulatedDisk::new(Vec::new(), Fault::None);
    let hub = hub_on(disk.clone());
    hub.create(&device("d"), IdentitySpec::default())
        .await
        .unwrap();
    for number in 0..sent {
        send(&hub, &number.to_string()).await;
    }
    drop(hub);
    after_power_cut(&disk)
}

/// Runs `work` with the power going at each of its writes in turn; `check` gets what is found after
/// that, and whether the work was answered.
async fn at_each_cut<T, Work, Checked>(
    prepared: &SimulatedDisk,
    work: impl Fn(Hub) -> Work,
    check: impl Fn(Hub, Result<T, HubError>) -> Checked,
) where
    Work: Future<Output = Result<T, HubError>>,
    Checked: Future<Output = ()>,
{
    let content = || prepared.after_power_cut(wasm_edge_store::disk::faults::Survivors::Synced);
    let whole = SimulatedDisk::new(content(), Fault::None);
    let hub = hub_on(whole.clone());
    let opened = whole.operations();
    assert!(work(hub).await.is_ok());
    assert!(whole.operations() > opened, "the work writes nothing");
    for at in opened..whole.operations() {
        let disk = SimulatedDisk::new(content(), Fault::PowerCutAt(at));
        let answer = work(hub_on(disk.clone())).await;
        check(hub_on(after_power_cut(&disk)), answer).await;
    }
}

#[tokio::test]
async fn a_message_that_was_answered_survives_a_power_cut_at_any_moment() {
    let work = |hub: Hub| async move {
        hub.send_command(&device_id("d"), text("1"), CommandOptions::default())
            .await
    };
    let disk = disk_with_device(1).await;
    at_each_cut(&disk, work, |hub, answer| async move {
        let found = bodies(&hub).await;
        if answer.is_ok() {
            assert_eq!(found, ["0", "1"]);
        }
        assert!(found == ["0"] || found == ["0", "1"], "{found:?}");
        assert_eq!(count(&hub).await, found.len());
        send(&hub, "2").await;
        assert_eq!(bodies(&hub).await.last().unwrap(), "2");
    })
    .await;
}

#[tokio::test]
async fn completing_a_message_can_be_cut_at_any_moment() {
    let work = |hub: Hub| async move {
        let first = pending(&hub, None, 1).await.remove(0);
        let device = device_id("d");
        let number = first.number;
        hub.command_delivered(&device, number, &first.generation_id)
            .await?;
        hub.command_completed(&device, number, &first.generation_id)
            .await
    };
    let disk = disk_with_device(2).await;
    at_each_cut(&disk, work, |hub, answer| async move {
        let found = bodies(&hub).await;
        if answer.is_ok() {
            assert_eq!(found, ["1"], "what was completed does not come again");
        }
        assert!(found == ["1"] || found == ["0", "1"], "{found:?}");
        assert_eq!(count(&hub).await, found.len());
    })
    .await;
}

#[tokio::test]
async fn what_a_cut_leaves_without_a_place_goes_in_the_end() {
    let (hub, time) = hub_with_time().await;
    let id = device_id("d");
    send(&hub, "a").await;
    let lost = pending(&hub, None, 1).await.remove(0);
    let found = hub.queue(&id).await.unwrap().unwrap();
    let document = found.0.live(lost.enqueued).next().unwrap().document;
    let stored_lost = hub.read_command(&id, document).await.unwrap().unwrap();
    hub.write_command(&id, &stored_lost).await.unwrap();
    assert_eq!((count(&hub).await, stored(&hub).await), (1, 2));
    time.fetch_add(3_600_000, Ordering::Relaxed);
    for number in 2..=SWEEP_EVERY {
        assert_eq!(send(&hub, "x").await.number, number);
        assert_eq!(stored(&hub).await, usize::from(number < SWEEP_EVERY) + 1);
        hub.command_completed(&id, number, &lost.generation_id)
            .await
            .unwrap();
    }
    assert_eq!(stored(&hub).await, 0);
}

#[tokio::test]
async fn who_still_means_an_earlier_device_leaves_the_present_ones_messages_alone() {
    let (hub, id) = hub_with_device().await;
    let earlier = hub.identity(&device("d")).await.unwrap().generation_id;
    hub.delete_device(&id, IfMatch::Any).await.unwrap();
    hub.create(&device("d"), IdentitySpec::default())
        .await
        .unwrap();
    send(&hub, "new").await;
    let expires_at = "2026-08-01T12:00:00Z".parse().unwrap();
    let placed = hub.change_queue(&id, &earlier, |queue| {
        Ok((queue.push(7, expires_at), Write::Record, Vec::new()))
    });
    let err = placed.await.unwrap_err();
    assert_eq!(err.to_string(), "there is no `/devices/d`");
    assert_eq!(bodies(&hub).await, ["new"]);
}
