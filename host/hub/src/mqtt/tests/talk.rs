//! What devices and modules say and hear.

use wasm_edge_model::message::SystemProperty;

use super::*;
use crate::method::MethodCall;
use crate::telemetry::{StartAt, Telemetry, TelemetryEvent, TelemetryReader};

async fn next(reader: &mut TelemetryReader) -> Telemetry {
    match reader.next().await {
        Some(TelemetryEvent::Message(telemetry)) => *telemetry,
        other => panic!("no message but {other:?}"),
    }
}

#[tokio::test]
async fn telemetry_of_devices_and_modules_is_acknowledged_once_it_can_be_read() {
    let hub = bed().await;
    let mut reader = hub.telemetry(StartAt::Earliest).unwrap();
    for owner in [device("d"), module("d", "m")] {
        let (mut client, kept) = Client::open(&hub, &owner).await;
        assert!(!kept);
        let topic = telemetry(&owner);
        let bag = format!("{topic}%24.on=out%201&%24.mid=7&%24.cdid=x&k%20y=v%2F1%2B2");
        client.publish_whole(&bag, "1").await;
        let message = next(&mut reader).await;
        assert_eq!(
            (&message.source, &*message.message.body),
            (&owner, &b"1"[..])
        );
        let system = &message.message.system;
        assert_eq!(system.get(SystemProperty::MessageId), Some("7"));
        assert_eq!(system.get(SystemProperty::ConnectionDeviceId), Some("d"));
        // Only modules have outputs.
        let output = owner.module().map(|_| "out 1");
        assert_eq!(system.get(SystemProperty::OutputName), output);
        assert_eq!(message.message.properties.get("k y"), Some("v/1+2"));

        let mut retained = Publish::new(topic.clone(), QoS::AtMostOnce, "2");
        retained.retain = true;
        client.send(Packet::Publish(retained)).await;
        client.publish_whole(&topic, "3").await;
        let message = next(&mut reader).await;
        assert_eq!(message.message.properties.get("mqtt-retain"), Some("true"));
        assert_eq!(next(&mut reader).await.message.body, "3");
    }
}

#[tokio::test]
async fn many_messages_under_way_are_acknowledged_in_order() {
    let hub = bed().await;
    let owner = device("d");
    let (client, _) = Client::open(&hub, &owner).await;
    let (mut reading, mut writing) = tokio::io::split(client.stream);
    let sent = tokio::spawn(async move {
        for packet_id in 1..=2000 {
            let mut publish = Publish::new(telemetry(&owner), QoS::AtLeastOnce, vec![7; 300]);
            publish.pkid = packet_id;
            let mut bytes = BytesMut::new();
            publish.write(&mut bytes).unwrap();
            writing.write_all(&bytes).await.unwrap();
        }
        writing
    });
    let mut received = client.received;
    let mut expected = 1;
    while expected <= 2000 {
        match Packet::read(&mut received, usize::MAX) {
            Ok(packet) => {
                assert_eq!(packet, Packet::PubAck(PubAck::new(expected)));
                expected += 1;
            }
            Err(_) => assert!(reading.read_buf(&mut received).await.unwrap() > 0),
        }
    }
    sent.await.unwrap();
    assert_eq!(hub.telemetry_status().next, 2000);
}

#[tokio::test]
async fn a_twin_is_read_and_reported_and_changes_of_it_are_told() {
    let hub = bed().await;
    for owner in [device("d"), module("d", "m")] {
        patch(&hub, &owner, json!({ "interval": 5 })).await;
        let (mut client, _) = Client::open(&hub, &owner).await;
        client.subscribe(TWIN_ANSWERS, QoS::AtLeastOnce).await;
        client.subscribe(DESIRED, QoS::AtMostOnce).await;
        client
            .publish_whole("$iothub/twin/GET/?$rid=a%2F1", " ")
            .await;
        let answer = client.message().await;
        assert_eq!(answer.topic, "$iothub/twin/res/200/?$rid=a%2F1");
        assert_eq!(answer.qos, QoS::AtLeastOnce);
        let expected = json!({
            "desired": { "interval": 5, "$version": 2 }, "reported": { "$version": 1 },
        });
        assert_eq!(json_of(&answer.payload), expected);

        let reported = "$iothub/twin/PATCH/properties/reported/?$rid=2";
        client.publish_whole(reported, r#"{"fw":"1.2"}"#).await;
        let answer = client.message().await;
        assert_eq!(answer.topic, "$iothub/twin/res/204/?$rid=2&$version=2");
        assert_eq!(answer.payload, "");
        let twin = hub.twin_json(&owner).await.unwrap();
        assert_eq!(twin["properties"]["reported"]["fw"], "1.2");

        patch(&hub, &owner, json!({ "interval": 5, "gone": null })).await;
        let change = client.message().await;
        assert_eq!(
            change.topic,
            "$iothub/twin/PATCH/properties/desired/?$version=3"
        );
        assert_eq!(change.qos, QoS::AtMostOnce);
        let expected = json!({ "interval": 5, "gone": null, "$version": 3 });
        assert_eq!(json_of(&change.payload), expected);
    }
}

#[tokio::test]
async fn a_change_is_told_also_to_one_that_reads_its_twin_at_the_same_time() {
    let hub = bed().await;
    let owner = device("d");
    let (mut client, _) = Client::open(&hub, &owner).await;
    client.subscribe(TWIN_ANSWERS, QoS::AtMostOnce).await;
    client.subscribe(DESIRED, QoS::AtMostOnce).await;
    for version in 2..12 {
        let (_, packet_id) = tokio::join!(
            patch(&hub, &owner, json!({ "n": version })),
            client.publish("$iothub/twin/GET/?$rid=1", ""),
        );
        let (mut answered, mut told, mut acknowledged) = (false, false, false);
        while !(answered && told && acknowledged) {
            match client.receive().await {
                Packet::PubAck(ack) => acknowledged = ack.pkid == packet_id,
                Packet::Publish(publish) if publish.topic.contains("/res/") => answered = true,
                Packet::Publish(publish) => {
                    let expected =
                        format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
                    assert_eq!(publish.topic, expected);
                    told = true;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_report_that_cannot_be_is_answered_with_a_number_and_changes_nothing() {
    let hub = bed().await;
    let owner = device("d");
    let (mut client, _) = Client::open(&hub, &owner).await;
    client.subscribe(TWIN_ANSWERS, QoS::AtMostOnce).await;
    let deep = format!("{}1{}", "{\"a\":".repeat(12), "}".repeat(12));
    let large = json!({ "a": "x".repeat(5000) }).to_string();
    let many: serde_json::Map<_, _> = (0..10)
        .map(|n| (format!("k{n}"), json!("x".repeat(4000))))
        .collect();
    let check = [
        ("", "400", 400_004),
        ("{", "400", 400_004),
        ("[1]", "400", 400_004),
        (r#"{"a":1,"a":2}"#, "400", 400_004),
        (r#"{"a.b":1}"#, "400", 400_004),
        (r#"{"$a":1}"#, "400", 400_004),
        (&deep, "400", 400_004),
        (&large, "400", 400_004),
        (&Value::Object(many).to_string(), "400", 400_004),
    ]
    .map(|(body, status, number)| (body.as_bytes().to_vec(), "", status, number));
    let more = [
        (b"\xff".to_vec(), "", "400", 400_004),
        (b"{}".to_vec(), "&$version=7", "412", 412_001),
    ];
    for (body, version, status, number) in check.into_iter().chain(more) {
        let topic = format!("$iothub/twin/PATCH/properties/reported/?$rid=r{version}");
        let sent = String::from_utf8_lossy(&body).into_owned();
        client.publish_whole(&topic, body).await;
        let answer = client.message().await;
        let expected = format!("$iothub/twin/res/{status}/?$rid=r");
        assert_eq!(answer.topic, expected, "{sent}");
        let body = json_of(&answer.payload);
        assert_eq!(body["errorCode"], number, "{body}");
        assert!(!body["message"].as_str().unwrap().is_empty());
    }
    let twin = hub.twin_json(&owner).await.unwrap();
    assert_eq!(twin["properties"]["reported"]["$version"], 1);
    let topic = "$iothub/twin/PATCH/properties/reported/?$rid=r&$version=1";
    client.publish_whole(topic, "{}").await;
    let answer = client.message().await;
    assert_eq!(answer.topic, "$iothub/twin/res/204/?$rid=r&$version=2");
}

#[tokio::test]
async fn who_asks_before_it_subscribes_gets_the_answer_when_it_does() {
    let hub = bed().await;
    let (mut client, _) = Client::open(&hub, &device("d")).await;
    for request in 0..6 {
        let topic = format!("$iothub/twin/GET/?$rid={request}");
        client.publish_whole(&topic, " ").await;
    }
    client.subscribe(TWIN_ANSWERS, QoS::AtLeastOnce).await;
    // The newest ones.
    for request in 2..6 {
        let answer = client.message().await;
        assert_eq!(
            answer.topic,
            format!("$iothub/twin/res/200/?$rid={request}")
        );
    }
}

#[tokio::test]
async fn a_method_goes_to_the_client_and_its_answer_back() {
    let hub = bed().await;
    for owner in [device("d"), module("d", "m")] {
        let call = MethodCall::new("re boot", json!({ "a": 1 })).unwrap();
        let err = hub.invoke_method(&owner, call.clone()).await.unwrap_err();
        assert!(err.to_string().contains("not online"), "{err}");
        let (mut client, _) = Client::open(&hub, &owner).await;
        client.subscribe(METHODS, QoS::AtLeastOnce).await;
        let calling = {
            let (hub, owner) = (hub.clone(), owner.clone());
            tokio::spawn(async move { hub.invoke_method(&owner, call).await })
        };
        let request = client.message().await;
        assert_eq!(request.topic, "$iothub/methods/POST/re%20boot/?$rid=1");
        assert_eq!(request.qos, QoS::AtMostOnce);
        assert_eq!(json_of(&request.payload), json!({ "a": 1 }));
        client
            .publish_whole("$iothub/methods/res/404/?$rid=1", "[2]")
            .await;
        let result = calling.await.unwrap().unwrap();
        assert_eq!((result.status, result.payload), (404, json!([2])));
        // Too late, unknown: nobody minds.
        client
            .publish_whole("$iothub/methods/res/200/?$rid=1", "")
            .await;
        client
            .publish_whole("$iothub/methods/res/200/?$rid=nothing", "")
            .await;
    }
}

#[tokio::test]
async fn methods_that_are_called_at_once_find_their_answers() {
    let hub = bed().await;
    let owner = device("d");
    let (mut client, _) = Client::open(&hub, &owner).await;
    client.subscribe(METHODS, QoS::AtMostOnce).await;
    let calls = (0..8).map(|number| {
        let (hub, owner) = (hub.clone(), owner.clone());
        tokio::spawn(async move {
            let call = MethodCall::new("echo", json!(number)).unwrap();
            hub.invoke_method(&owner, call).await.unwrap().payload
        })
    });
    let calls: Vec<_> = calls.collect();
    let mut requests = Vec::new();
    for _ in 0..8 {
        requests.push(client.message().await);
    }
    for request in requests.iter().rev() {
        let request_id = request.topic.rsplit('=').next().unwrap();
        let topic = format!("$iothub/methods/res/200/?$rid={request_id}");
        client.publish_whole(&topic, request.payload.to_vec()).await;
    }
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), json!(number));
    }
}

#[tokio::test]
async fn a_client_is_answered_when_it_asks_whether_the_hub_is_there() {
    let hub = bed().await;
    let (mut client, _) = Client::open(&hub, &device("d")).await;
    client.send(Packet::PingReq).await;
    client.expect(Packet::PingResp).await;
    client.send(Packet::Disconnect).await;
    assert_eq!(client.ended().await, Ended::Disconnected);
}

#[tokio::test]
async fn the_model_of_a_client_is_in_its_twin() {
    let hub = bed().await;
    let owner = device("d");
    let mut connect = connect(&hub, &owner).await;
    let login = connect.login.as_mut().unwrap();
    login.username.push_str("&model-id=dtmi%3Ax%3B1");
    Client::with(&hub, connect).await;
    assert_eq!(hub.twin_json(&owner).await.unwrap()["modelId"], "dtmi:x;1");
}

#[tokio::test]
async fn a_tier_refuses_what_is_too_much_of_a_twin() {
    let options = crate::hub::HubOptions {
        tier: crate::access::throttle::Tier::S1,
        ..crate::hub::HubOptions::new("hub.test")
    };
    let hub = crate::hub::tests::hub_with_options(options);
    hub.ensure_device(&device_id("d")).await.unwrap();
    let (mut client, _) = Client::open(&hub, &device("d")).await;
    client.subscribe(TWIN_ANSWERS, QoS::AtMostOnce).await;
    // From here on no room comes back.
    tokio::time::pause();
    let mut refused = 0;
    for _ in 0..150 {
        client.publish_whole("$iothub/twin/GET/?$rid=1", "").await;
        let answer = client.message().await;
        if answer.topic == "$iothub/twin/res/429/?$rid=1" {
            assert_eq!(json_of(&answer.payload)["errorCode"], 429_001);
            refused += 1;
        }
    }
    assert!(refused > 0);
}
