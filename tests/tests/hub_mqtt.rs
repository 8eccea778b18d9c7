//! MQTT at a running hub, over TLS and over WebSocket, seen from both sides.

use std::thread;

use bytes::BytesMut;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{ConnectReturnCode, LastWill, Packet, PubAck, Publish};
use serde_json::{Value, json};
use tungstenite::Message;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::http;
use wasm_edge_tests::hub::{HubOptions, HubServe};
use wasm_edge_tests::mqtt::{
    Carrier, DESIRED, METHODS, Mqtt, TWIN_ANSWERS, WEBSOCKET_PATH, connect, upgrade,
};
use wasm_edge_tests::tls::TlsClient;
use wasm_edge_tests::wait;

const CARRIERS: [Carrier; 2] = [Carrier::Tls, Carrier::WebSocket];
const EVENTS: &str = "devices/d1/messages/events/";
const COMMANDS: &str = "devices/d1/messages/devicebound/#";

/// A hub with the device `d1` and its module `m1`.
fn start(home: &Home) -> HubServe<'_> {
    let hub = HubServe::start(home);
    for path in ["/devices/d1", "/devices/d1/modules/m1"] {
        let made = hub.ask("PUT", path, Some(&json!({})));
        assert!(made.status < 300, "{made:?}");
    }
    hub
}

fn patch(hub: &HubServe<'_>, path: &str, desired: &Value) {
    let body = json!({ "properties": { "desired": desired } });
    let answer = hub.ask("PATCH", &format!("/twins/{path}"), Some(&body));
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn send_command(hub: &HubServe<'_>, body: &str) {
    let line = json!({ "bodyText": body, "properties": { "k": "v" } });
    let answer = hub.ask(
        "POST",
        "/wasm-edge/v1/devices/d1/messages/devicebound",
        Some(&line),
    );
    assert_eq!(answer.status, 201, "{answer:?}");
}

fn commands_waiting(hub: &HubServe<'_>) -> Value {
    hub.get("/devices/d1")["cloudToDeviceMessageCount"].clone()
}

fn json_of(publish: &Publish) -> Value {
    serde_json::from_slice(&publish.payload).unwrap()
}

/// The bodies of all telemetry that the hub has kept, `count` of them.
fn telemetry(hub: &HubServe<'_>, count: usize) -> Vec<Value> {
    let lines = http::stream(&hub.data(), "/wasm-edge/v1/telemetry?from=earliest");
    let mut from = 0;
    let mut messages = Vec::new();
    while messages.len() < count {
        let (message, next) = lines
            .find(from, |line| serde_json::from_str(line).ok())
            .expect("the hub has kept it");
        from = next;
        messages.push(message);
    }
    messages
}

#[test]
fn a_device_and_a_module_talk_with_the_service_over_both_carriers() {
    let home = Home::new();
    let hub = start(&home);
    let mut sent = 0;
    for carrier in CARRIERS {
        for (id, path) in [("d1", "d1"), ("d1/m1", "d1/modules/m1")] {
            let mut client = Mqtt::open_over(carrier, &hub, id);
            let bag = "%24.ct=application%2Fjson&%24.mid=1&k%20y=v%2F1";
            client.publish(
                &format!("devices/{path}/messages/events/{bag}"),
                "{\"n\":1}",
            );
            sent += 1;
            let message = telemetry(&hub, sent).pop().unwrap();
            assert_eq!(message["body"], json!({ "n": 1 }));
            assert_eq!(message["properties"], json!({ "k y": "v/1" }));
            assert_eq!(message["systemProperties"]["messageId"], "1");

            client.subscribe(TWIN_ANSWERS);
            client.subscribe(DESIRED);
            client.subscribe(METHODS);
            client.publish(
                "$iothub/twin/PATCH/properties/reported/?$rid=1",
                r#"{"fw":"1"}"#,
            );
            let answer = client.message();
            assert!(
                answer
                    .topic
                    .starts_with("$iothub/twin/res/204/?$rid=1&$version=")
            );
            let twin = hub.get(&format!("/twins/{path}"));
            assert_eq!(twin["properties"]["reported"]["fw"], "1");
            assert_eq!(twin["connectionState"], "Connected");
            let version = twin["properties"]["desired"]["$version"].as_u64().unwrap();
            patch(&hub, path, &json!({ "a": { "b": null }, "c": 1 }));
            let change = client.message();
            let told = json!({ "a": { "b": null }, "c": 1, "$version": version + 1 });
            assert_eq!(json_of(&change), told);
            client.publish("$iothub/twin/GET/?$rid=2", " ");
            let twin = json_of(&client.message());
            let desired = json!({ "a": {}, "c": 1, "$version": version + 1 });
            assert_eq!(twin["desired"], desired);

            thread::scope(|scope| {
                let call = json!({ "methodName": "reboot", "payload": { "in": 3 } });
                let path = format!("/twins/{path}/methods");
                let hub = &hub;
                let calling = scope.spawn(move || hub.ask("POST", &path, Some(&call)));
                let request = client.message();
                assert_eq!(json_of(&request), json!({ "in": 3 }));
                let request_id = request.topic.rsplit("$rid=").next().unwrap();
                client.publish(
                    &format!("$iothub/methods/res/418/?$rid={request_id}"),
                    "[1]",
                );
                let answer = calling.join().unwrap();
                assert_eq!(answer.body, json!({ "status": 418, "payload": [1] }));
            });
            client.send(&Packet::Disconnect);
            client.until_closed();
            let path = format!("/twins/{path}");
            wait::until_so("the client to be gone", || {
                hub.get(&path)["connectionState"] == "Disconnected"
            });
        }
    }
}

#[test]
fn what_was_subscribed_and_what_was_acknowledged_outlive_a_kill() {
    let home = Home::new();
    let hub = start(&home);
    let mut device = Mqtt::open(&hub, "d1");
    device.subscribe(DESIRED);
    device.subscribe(METHODS);
    device.subscribe(COMMANDS);
    let mut module = Mqtt::open_over(Carrier::WebSocket, &hub, "d1/m1");
    module.subscribe(DESIRED);
    send_command(&hub, "done");
    assert_eq!(device.message().payload, "done");
    wait::until_so("the message to be completed", || {
        commands_waiting(&hub) == 0
    });
    send_command(&hub, "undone");
    let before = device.unacknowledged();
    assert_eq!((&before.payload[..], before.dup), (&b"undone"[..], false));
    for number in 0..20 {
        device.publish(EVENTS, number.to_string());
    }

    let hub = hub.kill_and_restart();
    let (mut device, kept) = Mqtt::with(Carrier::Tls, &hub, connect(&hub, "d1"));
    assert!(kept);
    let again = device.message();
    assert_eq!(
        again,
        Publish {
            dup: true,
            ..before
        }
    );
    wait::until_so("the message to be completed", || {
        commands_waiting(&hub) == 0
    });
    let (mut module, kept) = Mqtt::with(Carrier::Tls, &hub, connect(&hub, "d1/m1"));
    assert!(kept);
    patch(&hub, "d1", &json!({ "n": 1 }));
    assert_eq!(json_of(&device.message())["n"], 1);
    patch(&hub, "d1/modules/m1", &json!({ "n": 2 }));
    assert_eq!(json_of(&module.message())["n"], 2);
    let call = json!({ "methodName": "x" });
    let answer = hub.ask("POST", "/twins/d1/modules/m1/methods", Some(&call));
    assert_eq!(answer.status, 404, "{answer:?}");
    thread::scope(|scope| {
        let calling = scope.spawn(|| hub.ask("POST", "/twins/d1/methods", Some(&call)));
        let request = device.message();
        let request_id = request.topic.rsplit("$rid=").next().unwrap();
        device.publish(&format!("$iothub/methods/res/200/?$rid={request_id}"), "");
        assert_eq!(calling.join().unwrap().status, 200);
    });
    let bodies: Vec<_> = telemetry(&hub, 20);
    for (number, message) in bodies.iter().enumerate() {
        assert_eq!(message["bodyText"], number.to_string());
    }
}

#[test]
fn one_that_wants_to_be_forgotten_is() {
    let home = Home::new();
    let hub = start(&home);
    let mut device = Mqtt::open(&hub, "d1");
    device.subscribe(COMMANDS);
    device.send(&Packet::Disconnect);
    device.until_closed();
    send_command(&hub, "old");
    let mut clean = connect(&hub, "d1");
    clean.clean_session = true;
    let (device, kept) = Mqtt::with(Carrier::Tls, &hub, clean);
    assert!(!kept);
    assert_eq!(commands_waiting(&hub), 0);
    drop(device);
    let (mut device, kept) = Mqtt::with(Carrier::Tls, &hub, connect(&hub, "d1"));
    assert!(!kept);
    device.subscribe(COMMANDS);
    send_command(&hub, "new");
    assert_eq!(device.message().payload, "new");
}

#[test]
fn the_newer_connection_wins_and_a_deleted_device_goes() {
    let home = Home::new();
    let hub = start(&home);
    let older = Mqtt::open(&hub, "d1");
    let newer = Mqtt::open_over(Carrier::WebSocket, &hub, "d1");
    older.until_closed();
    let module = Mqtt::open(&hub, "d1/m1");
    let greeting = connect(&hub, "d1");
    let deleted = hub.ask("DELETE", "/devices/d1", None);
    assert_eq!(deleted.status, 204, "{deleted:?}");
    newer.until_closed();
    module.until_closed();
    let mut late = Mqtt::silent(Carrier::Tls, &hub);
    assert_eq!(late.greet(greeting).code, ConnectReturnCode::NotAuthorized);
    late.until_closed();
}

#[test]
fn a_will_is_told_when_a_client_is_lost() {
    let home = Home::new();
    let hub = start(&home);
    let mut greeting = connect(&hub, "d1");
    let will = LastWill::new(EVENTS, b"gone".to_vec(), QoS::AtLeastOnce, true);
    greeting.last_will = Some(will);
    let (client, _) = Mqtt::with(Carrier::Tls, &hub, greeting);
    drop(client);
    let message = telemetry(&hub, 1).pop().unwrap();
    assert_eq!(message["bodyText"], "gone");
    let properties = json!({ "mqtt-retain": "true", "iothub-MessageType": "Will" });
    assert_eq!(message["properties"], properties);
}

#[test]
fn a_client_that_breaks_the_rules_is_let_go_and_others_stay() {
    let home = Home::new();
    let hub = start(&home);
    let mut good = Mqtt::open(&hub, "d1/m1");
    let greeting = connect(&hub, "d1");
    let mut greeting_again = BytesMut::new();
    greeting.write(&mut greeting_again).unwrap();
    let publish = |topic: &str, qos| {
        let mut publish = Publish::new(topic, qos, "x");
        publish.pkid = 1;
        let mut bytes = BytesMut::new();
        publish.write(&mut bytes).unwrap();
        bytes.to_vec()
    };
    let floods = [
        publish(EVENTS, QoS::ExactlyOnce),
        publish("devices/d2/messages/events/", QoS::AtLeastOnce),
        publish("anything", QoS::AtMostOnce),
        greeting_again.to_vec(),
        vec![0xf0, 0],
        vec![0x30, 0xff, 0xff, 0xff, 0x7f],
        vec![0x82, 6, 0, 1, 0, 1, b'#', 1],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    for carrier in CARRIERS {
        for bytes in &floods {
            let (mut client, _) = Mqtt::with(carrier, &hub, greeting.clone());
            client.write(bytes).unwrap();
            client.until_closed();
            // The same from somebody who has not said who it is.
            let mut stranger = Mqtt::silent(carrier, &hub);
            if bytes[0] != 0x10 {
                stranger.write(bytes).unwrap();
                stranger.until_closed();
            }
        }
    }
    good.publish("devices/d1/modules/m1/messages/events/", "still here");
    assert_eq!(telemetry(&hub, 1)[0]["bodyText"], "still here");
}

#[test]
fn a_websocket_has_the_sub_protocol_and_binary_frames_of_any_size() {
    let home = Home::new();
    let hub = start(&home);
    let client = TlsClient::of(&hub);
    let ask = |path: &str, sub_protocol| {
        upgrade(
            client.connect(hub.https_port()).unwrap(),
            path,
            sub_protocol,
        )
    };
    assert_eq!(ask(WEBSOCKET_PATH, None).unwrap_err(), 400);
    assert_eq!(ask(WEBSOCKET_PATH, Some("amqp")).unwrap_err(), 400);
    ask(
        &format!("{WEBSOCKET_PATH}?iothub-no-client-cert=true"),
        Some("mqtt"),
    )
    .unwrap();

    // A packet over many frames with pings between them, several in one, and one in fragments.
    let mut bytes = BytesMut::new();
    connect(&hub, "d1").write(&mut bytes).unwrap();
    let mut mqtt = Mqtt::silent(Carrier::WebSocket, &hub);
    let socket = mqtt.websocket();
    for part in bytes.chunks(7) {
        socket.send(Message::binary(part.to_vec())).unwrap();
        socket.send(Message::Ping("x".into())).unwrap();
    }
    assert!(matches!(mqtt.receive(), Packet::ConnAck(_)));
    let mut publishes = BytesMut::new();
    for packet_id in 1..=3 {
        let mut publish = Publish::new(EVENTS, QoS::AtLeastOnce, vec![7; 20_000]);
        publish.pkid = packet_id;
        publish.write(&mut publishes).unwrap();
    }
    mqtt.write(&publishes).unwrap();
    for packet_id in 1..=3 {
        assert_eq!(mqtt.receive(), Packet::PubAck(PubAck::new(packet_id)));
    }
    let fragment = |op_code, is_final, part: &[u8]| {
        let header = FrameHeader {
            is_final,
            opcode: OpCode::Data(op_code),
            mask: Some([1, 2, 3, 4]),
            ..FrameHeader::default()
        };
        Message::Frame(Frame::from_payload(header, part.to_vec().into()))
    };
    let (first, rest) = publishes.split_at(30_000);
    let socket = mqtt.websocket();
    socket.send(fragment(Data::Binary, false, first)).unwrap();
    socket.send(fragment(Data::Continue, true, rest)).unwrap();
    for packet_id in 1..=3 {
        assert_eq!(mqtt.receive(), Packet::PubAck(PubAck::new(packet_id)));
    }
    mqtt.websocket()
        .send(Message::text("MQTT is no text"))
        .unwrap();
    mqtt.until_closed();
}

#[test]
fn a_large_message_comes_whole_and_a_larger_one_not_at_all() {
    let home = Home::new();
    let hub = start(&home);
    for carrier in CARRIERS {
        let mut client = Mqtt::open_over(carrier, &hub, "d1");
        client.publish(EVENTS, vec![b'x'; 262_144]);
        client.begin_publish(EVENTS, vec![b'x'; 262_145]);
        client.until_closed();
    }
    let messages = telemetry(&hub, 2);
    for message in messages {
        assert_eq!(message["bodyText"].as_str().unwrap().len(), 262_144);
    }
}

#[test]
fn a_hub_with_the_limits_of_a_tier_slows_telemetry_and_loses_none() {
    let home = Home::new();
    let hub = HubOptions::new().args(["--tier", "s1"]).start(&home);
    let made = hub.ask("PUT", "/devices/d1", Some(&json!({})));
    assert_eq!(made.status, 200, "{made:?}");
    let mut client = Mqtt::open(&hub, "d1");
    // Telemetry waits for its acknowledgement and is not lost.
    let sent: Vec<_> = (0..150)
        .map(|_| client.begin_publish(EVENTS, "x"))
        .collect();
    for packet_id in sent {
        assert_eq!(client.receive(), Packet::PubAck(PubAck::new(packet_id)));
    }
    assert_eq!(telemetry(&hub, 150).len(), 150);
}
