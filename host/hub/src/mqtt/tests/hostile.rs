//! Clients that break the rules, or try the hub's patience.

use super::*;
use crate::mqtt::frame::Violation;
use crate::mqtt::topic::TopicError;

async fn refused(hub: &Hub, connect: Connect, expected: Refusal) {
    let mut client = Client::silent(hub);
    let ack = client.greet(connect).await;
    assert_eq!((ack.code, ack.session_present), (expected.code(), false));
    assert_eq!(client.ended().await, Ended::Refused(expected));
}

#[tokio::test]
async fn who_may_not_come_in_is_told_a_code_and_nothing_else() {
    let hub = bed().await;
    let owner = device("d");
    let good = connect(&hub, &owner).await;
    let with = |change: &dyn Fn(&mut Connect)| {
        let mut connect = good.clone();
        change(&mut connect);
        connect
    };
    let login = |user_name: &str, token: &str| {
        let (user_name, token) = (user_name.to_owned(), token.to_owned());
        with(&move |connect| {
            connect.set_login(user_name.clone(), token.clone());
        })
    };
    let token = good.login.as_ref().unwrap().password.clone();
    let name = "hub.test/d/?api-version=1";
    refused(&hub, login("hub.test/d/", &token), Refusal::UserName).await;
    refused(
        &hub,
        login("hub.test/x/?api-version=1", &token),
        Refusal::ClientId,
    )
    .await;
    refused(
        &hub,
        login("other/d/?api-version=1", &token),
        Refusal::NotAuthorized,
    )
    .await;
    refused(&hub, login(name, ""), Refusal::NotAuthorized).await;
    refused(&hub, login(name, "token"), Refusal::NotAuthorized).await;
    refused(
        &hub,
        with(&|connect| connect.client_id.clear()),
        Refusal::ClientId,
    )
    .await;
    let of_nobody = with(&|connect| {
        connect.client_id = "nobody".into();
        connect.login.as_mut().unwrap().username = "hub.test/nobody/?api-version=1".into();
    });
    refused(&hub, of_nobody, Refusal::NotAuthorized).await;
    // And the one that is good comes in.
    Client::with(&hub, good).await;
}

#[tokio::test]
async fn a_client_of_another_version_is_told_so() {
    let hub = bed().await;
    let mut client = Client::silent(&hub);
    let connect = b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x04abcd";
    client.stream.write_all(connect).await.unwrap();
    let refused = ConnAck::new(ConnectReturnCode::RefusedProtocolVersion, false);
    client.expect(Packet::ConnAck(refused)).await;
    assert_eq!(client.ended().await, Ended::Refused(Refusal::ProtocolLevel));
}

#[tokio::test]
async fn what_breaks_the_rules_ends_the_connection() {
    let hub = bed().await;
    let owner = device("d");
    let connect = connect(&hub, &owner).await;
    let publish = |topic: &str, qos| {
        let mut publish = Publish::new(topic, qos, "x");
        publish.pkid = 1;
        let mut bytes = BytesMut::new();
        publish.write(&mut bytes).unwrap();
        bytes.to_vec()
    };
    let subscribe = |filter: &str| {
        let mut subscribe = Subscribe::new(filter, QoS::AtLeastOnce);
        subscribe.pkid = 1;
        let mut bytes = BytesMut::new();
        subscribe.write(&mut bytes).unwrap();
        bytes.to_vec()
    };
    let mut again = BytesMut::new();
    connect.write(&mut again).unwrap();
    let topic = |err| Violation::Topic(err);
    let own = telemetry(&owner);
    let too_large = "the message has 262145 bytes, more than 262144";
    let mut large = Publish::new(own.clone(), QoS::AtLeastOnce, vec![0; 262_145]);
    large.pkid = 1;
    let mut large_bytes = BytesMut::new();
    large.write(&mut large_bytes).unwrap();
    let problem = |problem: &str| Violation::Message {
        problem: problem.to_owned(),
    };
    for (bytes, expected) in [
        (again.to_vec(), Violation::SecondConnect),
        (publish(&own, QoS::ExactlyOnce), Violation::ExactlyOnce),
        (publish("x", QoS::AtLeastOnce), topic(TopicError::Unknown)),
        (
            publish("devices/e/messages/events/", QoS::AtMostOnce),
            topic(TopicError::NotOwn),
        ),
        (
            publish("$iothub/twin/GET/?", QoS::AtMostOnce),
            topic(TopicError::RequestId),
        ),
        (
            publish(&format!("{own}a=%ff"), QoS::AtMostOnce),
            problem("a property is not UTF-8"),
        ),
        (large_bytes.to_vec(), problem(too_large)),
        (subscribe("#"), Violation::Filter),
        (
            subscribe("devices/e/messages/devicebound/#"),
            Violation::Filter,
        ),
        (vec![0xf0, 0], Violation::PacketType { kind: 15 }),
        (vec![0x30, 0xff, 0xff, 0xff, 0xff], Violation::Length),
    ] {
        let (mut client, _) = Client::with(&hub, connect.clone()).await;
        client.stream.write_all(&bytes).await.unwrap();
        assert_eq!(client.ended().await, Ended::Violation(expected));
    }
    assert_eq!(hub.telemetry_status().next, 0);
}

#[tokio::test]
async fn what_is_cut_off_anywhere_does_nothing() {
    let hub = bed().await;
    let owner = device("d");
    let connect = connect(&hub, &owner).await;
    let mut whole = BytesMut::new();
    connect.write(&mut whole).unwrap();
    let mut publish = Publish::new(telemetry(&owner), QoS::AtLeastOnce, "body");
    publish.pkid = 1;
    publish.write(&mut whole).unwrap();
    for end in 0..whole.len() {
        let mut client = Client::silent(&hub);
        client.stream.write_all(&whole[..end]).await.unwrap();
        assert_eq!(client.lose().await, Ended::Lost, "{end}");
    }
    assert_eq!(hub.telemetry_status().next, 0);
    // Byte by byte it does what it does at once.
    let mut client = Client::silent(&hub);
    for byte in &whole {
        client.stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let accepted = ConnAck::new(ConnectReturnCode::Success, false);
    client.expect(Packet::ConnAck(accepted)).await;
    client.expect(Packet::PubAck(PubAck::new(1))).await;
}

#[tokio::test]
async fn what_is_sent_at_once_with_the_connect_is_looked_at_afterwards() {
    let hub = bed().await;
    let owner = device("d");
    let mut bytes = BytesMut::new();
    connect(&hub, &owner).await.write(&mut bytes).unwrap();
    let mut subscribe = Subscribe::new(TWIN_ANSWERS, QoS::AtMostOnce);
    subscribe.pkid = 1;
    subscribe.write(&mut bytes).unwrap();
    Publish::new("$iothub/twin/GET/?$rid=1", QoS::AtMostOnce, "")
        .write(&mut bytes)
        .unwrap();
    let mut client = Client::silent(&hub);
    client.stream.write_all(&bytes).await.unwrap();
    assert!(matches!(client.receive().await, Packet::ConnAck(_)));
    assert!(matches!(client.receive().await, Packet::SubAck(_)));
    assert_eq!(client.message().await.topic, "$iothub/twin/res/200/?$rid=1");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_let_go_and_others_are_served() {
    let hub = bed().await;
    let (mut deaf, _) = Client::open(&hub, &device("d")).await;
    let (mut good, _) = Client::open(&hub, &module("d", "m")).await;
    let begun = tokio::time::Instant::now();
    // It asks and asks; the hub stops reading when so much waits for it.
    let mut ping = BytesMut::new();
    for _ in 0..1000 {
        Packet::PingReq.write(&mut ping, usize::MAX).unwrap();
    }
    let asking = async { while deaf.stream.write_all(&ping).await.is_ok() {} };
    let served = async {
        for _ in 0..100 {
            good.send(Packet::PingReq).await;
            good.expect(Packet::PingResp).await;
        }
    };
    tokio::join!(asking, served);
    assert_eq!(deaf.serving.await.unwrap(), Ended::Unread);
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn methods_of_a_client_that_does_not_read_are_answered_and_wait_for_nobody() {
    let hub = bed().await;
    let owner = device("d");
    let mut connect = connect(&hub, &owner).await;
    connect.keep_alive = 0;
    let (mut deaf, _) = Client::with(&hub, connect).await;
    deaf.subscribe(METHODS, QoS::AtMostOnce).await;
    tokio::time::pause();
    let calls = (0..16).map(|_| {
        let (hub, owner) = (hub.clone(), owner.clone());
        tokio::spawn(async move {
            let payload = Value::from("x".repeat(100_000));
            let call = crate::method::MethodCall::new("x", payload).unwrap();
            hub.invoke_method(&owner, call).await
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap_err();
    }
    assert_eq!(deaf.serving.await.unwrap(), Ended::Unread);
}
