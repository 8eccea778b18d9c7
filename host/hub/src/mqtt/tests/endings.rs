//! How connections end, and what is left of them.

use rumqttc::mqttbytes::v4::{LastWill, Unsubscribe};

use super::*;
use crate::identity::{IdentitySpec, IdentityStatus, KeyRequest};
use crate::method::MethodCall;
use crate::telemetry::{StartAt, TelemetryEvent};

#[tokio::test]
async fn subscriptions_outlive_the_connection_of_a_client_that_is_remembered() {
    let hub = bed().await;
    let owner = module("d", "m");
    let (mut client, kept) = Client::open(&hub, &owner).await;
    assert!(!kept);
    client.subscribe(DESIRED, QoS::AtLeastOnce).await;
    client.subscribe(METHODS, QoS::AtMostOnce).await;
    client.subscribe(TWIN_ANSWERS, QoS::AtMostOnce).await;
    let unsubscribe = Unsubscribe {
        pkid: 99,
        topics: vec![TWIN_ANSWERS.into(), "never/subscribed".into()],
    };
    client.send(Packet::Unsubscribe(unsubscribe)).await;
    assert!(matches!(client.receive().await, Packet::UnsubAck(ack) if ack.pkid == 99));
    assert_eq!(client.lose().await, Ended::Lost);

    let (mut client, kept) = Client::open(&hub, &owner).await;
    assert!(kept);
    patch(&hub, &owner, json!({ "a": 1 })).await;
    let change = client.message().await;
    assert_eq!(
        change.topic,
        "$iothub/twin/PATCH/properties/desired/?$version=2"
    );
    assert_eq!(change.qos, QoS::AtLeastOnce);
    let calling = {
        let (hub, owner) = (hub.clone(), owner.clone());
        let call = MethodCall::new("x", Value::Null).unwrap();
        tokio::spawn(async move { hub.invoke_method(&owner, call).await })
    };
    assert_eq!(client.message().await.payload, "null");
    client
        .publish_whole("$iothub/methods/res/200/?$rid=1", "")
        .await;
    calling.await.unwrap().unwrap();
    client.publish_whole("$iothub/twin/GET/?$rid=1", "").await;
    client.send(Packet::PingReq).await;
    // No answer about the twin: it does not hear of those any more.
    client.expect(Packet::PingResp).await;

    // One that wants to be forgotten is, for good.
    let mut forgotten = connect(&hub, &owner).await;
    forgotten.clean_session = true;
    let (mut clean, kept) = Client::with(&hub, forgotten).await;
    assert!(!kept);
    clean.subscribe(METHODS, QoS::AtMostOnce).await;
    assert_eq!(client.ended().await, Ended::Session(CloseReason::Replaced));
    clean.lose().await;
    let (_client, kept) = Client::open(&hub, &owner).await;
    assert!(!kept);
}

#[tokio::test]
async fn an_identity_that_is_made_anew_has_no_subscriptions() {
    let hub = bed().await;
    let owner = module("d", "m");
    let (mut client, _) = Client::open(&hub, &owner).await;
    client.subscribe(METHODS, QoS::AtMostOnce).await;
    let identity = module_identity("d", "m");
    hub.delete_module(&identity, IfMatch::Any).await.unwrap();
    let ended = client.ended().await;
    assert_eq!(ended, Ended::Session(CloseReason::IdentityDeleted));
    hub.ensure_module(&identity).await.unwrap();
    let (_client, kept) = Client::open(&hub, &owner).await;
    assert!(!kept);
}

#[tokio::test]
async fn the_newer_connection_wins() {
    let hub = bed().await;
    let (older, _) = Client::open(&hub, &device("d")).await;
    let (mut newer, _) = Client::open(&hub, &device("d")).await;
    let (_module, _) = Client::open(&hub, &module("d", "m")).await;
    assert_eq!(older.ended().await, Ended::Session(CloseReason::Replaced));
    newer.publish_whole(&telemetry(&device("d")), "1").await;
}

#[tokio::test]
async fn other_keys_end_a_connection_and_other_changes_do_not() {
    let hub = bed().await;
    let (mut of_device, _) = Client::open(&hub, &device("d")).await;
    let (mut of_module, _) = Client::open(&hub, &module("d", "m")).await;
    let spec = |authentication| IdentitySpec {
        authentication,
        ..IdentitySpec::default()
    };
    let update = |spec| {
        let hub = hub.clone();
        async move { hub.update(&device("d"), spec, IfMatch::Any).await.unwrap() }
    };
    update(spec(KeyRequest::Keep)).await;
    of_device.publish_whole(&telemetry(&device("d")), "1").await;
    update(spec(KeyRequest::Generate)).await;
    let ended = of_device.ended().await;
    assert_eq!(ended, Ended::Session(CloseReason::AccessRevoked));
    // It came in with a key of its own.
    of_module
        .publish_whole(&telemetry(&module("d", "m")), "2")
        .await;
    let disabled = IdentitySpec {
        status: IdentityStatus::Disabled,
        ..spec(KeyRequest::Keep)
    };
    update(disabled).await;
    let ended = of_module.ended().await;
    assert_eq!(ended, Ended::Session(CloseReason::IdentityDisabled));
}

#[tokio::test]
async fn a_closing_hub_ends_connections() {
    let hub = bed().await;
    let silent = Client::silent(&hub);
    let (client, _) = Client::open(&hub, &device("d")).await;
    let greeting = connect(&hub, &device("d")).await;
    hub.close();
    let closed = Ended::Session(CloseReason::HubClosed);
    assert_eq!(client.ended().await, closed);
    assert_eq!(silent.ended().await, closed);
    let mut late = Client::silent(&hub);
    late.stream.write_all(&[]).await.unwrap();
    drop(greeting);
    assert_eq!(late.ended().await, closed);
}

#[tokio::test(start_paused = true)]
async fn a_client_has_a_time_to_say_who_it_is() {
    let hub = bed().await;
    let begun = tokio::time::Instant::now();
    assert_eq!(Client::silent(&hub).ended().await, Ended::NoConnect);
    assert_eq!(begun.elapsed().as_secs(), CONNECT_TIMEOUT.as_secs());
    let quick = Peer {
        connect_timeout: Duration::from_secs(1),
        ..peer()
    };
    let mut half = Client::of(&hub, quick);
    half.stream.write_all(&[0x10]).await.unwrap();
    assert_eq!(half.ended().await, Ended::NoConnect);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_let_go_after_one_and_a_half_keep_alives() {
    let hub = bed().await;
    let (mut client, _) = Client::open(&hub, &device("d")).await;
    tokio::time::sleep(Duration::from_secs(80)).await;
    client.send(Packet::PingReq).await;
    client.expect(Packet::PingResp).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(client.ended().await, Ended::Silent);
    assert_eq!(begun.elapsed().as_secs(), 90);
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_when_its_token_is_good_no_more() {
    let hub = bed().await;
    let mut connect = connect(&hub, &device("d")).await;
    connect.keep_alive = 0;
    let (mut client, _) = Client::with(&hub, connect).await;
    let begun = tokio::time::Instant::now();
    // An hour and what clocks may differ.
    let until = Duration::from_secs(3600 + 300);
    while begun.elapsed() + Duration::from_secs(1000) < until {
        tokio::time::sleep(Duration::from_secs(1000)).await;
        client.send(Packet::PingReq).await;
        client.expect(Packet::PingResp).await;
    }
    assert_eq!(client.ended().await, Ended::Expired);
    assert_eq!(begun.elapsed().as_secs(), until.as_secs());
}

#[tokio::test]
async fn a_will_is_sent_for_one_that_went_without_taking_its_leave() {
    let hub = bed().await;
    let owner = device("d");
    let mut reader = hub.telemetry(StartAt::Earliest).unwrap();
    let topic = telemetry(&owner);
    let will = |text: &str| {
        let topic = format!("{topic}a=1");
        Some(LastWill::new(
            topic,
            text.as_bytes().to_vec(),
            QoS::AtLeastOnce,
            false,
        ))
    };
    for (text, leaves) in [("politely", true), ("lost", false), ("replaced", false)] {
        let mut connect = connect(&hub, &owner).await;
        connect.last_will = will(text);
        let (mut client, _) = Client::with(&hub, connect).await;
        if leaves {
            client.send(Packet::Disconnect).await;
            assert_eq!(client.ended().await, Ended::Disconnected);
        } else if text == "lost" {
            assert_eq!(client.lose().await, Ended::Lost);
        } else {
            let (_newer, _) = Client::open(&hub, &owner).await;
            assert_eq!(client.ended().await, Ended::Session(CloseReason::Replaced));
        }
    }
    for expected in ["lost", "replaced"] {
        let Some(TelemetryEvent::Message(found)) = reader.next().await else {
            panic!("a will was to come");
        };
        assert_eq!(found.message.body, expected);
        assert_eq!(found.source, owner);
        let properties: Vec<_> = found.message.properties.iter().collect();
        assert_eq!(properties, [("a", "1"), ("iothub-MessageType", "Will")]);
    }
    // The will of one that may not send any more is not sent.
    let mut connect = connect(&hub, &owner).await;
    connect.last_will = will("deleted");
    let (client, _) = Client::with(&hub, connect).await;
    hub.delete_device(&device_id("d"), IfMatch::Any)
        .await
        .unwrap();
    client.ended().await;
    assert_eq!(hub.telemetry_status().next, 2);
}
