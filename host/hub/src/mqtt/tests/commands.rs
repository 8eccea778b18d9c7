//! Messages to devices: sent when they are heard, kept until they are acknowledged.

use wasm_edge_model::message::Message;

use super::*;
use crate::command::{CommandOptions, Feedback};

async fn send(hub: &Hub, body: &str) {
    let message = Message {
        body: Bytes::copy_from_slice(body.as_bytes()),
        ..Message::default()
    };
    let options = CommandOptions::default();
    hub.send_command(&device_id("d"), message, options)
        .await
        .unwrap();
}

async fn waiting(hub: &Hub) -> usize {
    let pending = hub.pending_commands(&device_id("d"), None, 50).await;
    pending.unwrap().len()
}

/// Waits until so many wait.
async fn until_waiting(hub: &Hub, count: usize) {
    while waiting(hub).await != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_message_waits_for_its_device_and_goes_when_it_is_acknowledged() {
    let hub = bed().await;
    let mut message = Message {
        body: Bytes::from_static(b"1"),
        ..Message::default()
    };
    message.properties.set("k y", "v/+");
    message
        .system
        .set(wasm_edge_model::message::SystemProperty::MessageId, "id 1");
    let options = CommandOptions {
        ack: Feedback::Full,
        ..CommandOptions::default()
    };
    hub.send_command(&device_id("d"), message, options)
        .await
        .unwrap();
    let (mut client, _) = Client::open(&hub, &device("d")).await;
    // Not before it subscribes.
    client.publish_whole(&telemetry(&device("d")), "x").await;
    client.subscribe(COMMANDS, QoS::AtLeastOnce).await;
    let Packet::Publish(publish) = client.receive().await else {
        panic!("a message was to come");
    };
    let expected = "devices/d/messages/devicebound/%24.mid=id%201&\
                    %24.to=%2Fdevices%2Fd%2Fmessages%2FdeviceBound&k%20y=v%2F%2B&iothub-ack=full";
    assert_eq!(publish.topic, expected);
    assert_eq!((publish.qos, publish.dup), (QoS::AtLeastOnce, false));
    assert_eq!(waiting(&hub).await, 1);
    client.send(Packet::PubAck(PubAck::new(publish.pkid))).await;
    until_waiting(&hub, 0).await;

    send(&hub, "2").await;
    assert_eq!(client.message().await.payload, "2");
    until_waiting(&hub, 0).await;
}

#[tokio::test]
async fn a_message_that_was_not_acknowledged_comes_again_marked_so_under_the_same_id() {
    let hub = bed().await;
    let (mut client, _) = Client::open(&hub, &device("d")).await;
    client.subscribe(COMMANDS, QoS::AtLeastOnce).await;
    send(&hub, "1").await;
    send(&hub, "2").await;
    let mut first = Vec::new();
    for _ in 0..2 {
        let Packet::Publish(publish) = client.receive().await else {
            panic!("a message was to come");
        };
        first.push(publish);
    }
    client.lose().await;
    let (mut client, kept) = Client::open(&hub, &device("d")).await;
    assert!(kept);
    for before in first {
        let again = client.message().await;
        let expected = Publish {
            dup: true,
            ..before
        };
        assert_eq!(again, expected);
    }
    until_waiting(&hub, 0).await;
}

#[tokio::test]
async fn many_messages_come_in_order_as_the_device_acknowledges_them() {
    let hub = bed().await;
    for number in 0..50 {
        send(&hub, &number.to_string()).await;
    }
    let (mut client, _) = Client::open(&hub, &device("d")).await;
    client.subscribe(COMMANDS, QoS::AtLeastOnce).await;
    for number in 0..50 {
        assert_eq!(client.message().await.payload, number.to_string());
    }
    until_waiting(&hub, 0).await;
}

#[tokio::test]
async fn a_device_that_acknowledges_nothing_gets_so_many_and_hears_of_its_twin_all_the_same() {
    let hub = bed().await;
    for number in 0..20 {
        send(&hub, &number.to_string()).await;
    }
    let (mut client, _) = Client::open(&hub, &device("d")).await;
    client.subscribe(DESIRED, QoS::AtLeastOnce).await;
    client.subscribe(COMMANDS, QoS::AtLeastOnce).await;
    for number in 0..16 {
        let Packet::Publish(publish) = client.receive().await else {
            panic!("a message was to come");
        };
        assert_eq!(publish.payload, number.to_string());
    }
    patch(&hub, &device("d"), json!({ "a": 1 })).await;
    let change = client.message().await;
    assert_eq!(json_of(&change.payload), json!({ "a": 1, "$version": 2 }));
    assert_eq!(waiting(&hub).await, 20);
}

#[tokio::test]
async fn one_that_does_not_acknowledge_at_all_has_what_was_sent() {
    let hub = bed().await;
    let (mut client, _) = Client::open(&hub, &device("d")).await;
    client.subscribe(COMMANDS, QoS::AtMostOnce).await;
    for number in 0..3 {
        send(&hub, &number.to_string()).await;
        let message = client.message().await;
        assert_eq!((message.qos, message.pkid), (QoS::AtMostOnce, 0));
        assert_eq!(message.payload, number.to_string());
    }
    until_waiting(&hub, 0).await;
}

#[tokio::test]
async fn a_message_whose_properties_fit_no_topic_keeps_no_other_waiting() {
    let hub = bed().await;
    let (mut client, _) = Client::open(&hub, &device("d")).await;
    client.subscribe(COMMANDS, QoS::AtLeastOnce).await;
    let mut message = Message::default();
    message.properties.set("k", "+".repeat(30_000));
    let options = CommandOptions::default();
    hub.send_command(&device_id("d"), message, options)
        .await
        .unwrap();
    send(&hub, "next").await;
    assert_eq!(client.message().await.payload, "next");
    until_waiting(&hub, 0).await;
}

#[tokio::test]
async fn a_device_that_wants_nothing_of_before_finds_no_messages() {
    let hub = bed().await;
    send(&hub, "old").await;
    let mut connect = connect(&hub, &device("d")).await;
    connect.clean_session = true;
    let (mut client, _) = Client::with(&hub, connect).await;
    client.subscribe(COMMANDS, QoS::AtLeastOnce).await;
    send(&hub, "new").await;
    assert_eq!(client.message().await.payload, "new");
}
