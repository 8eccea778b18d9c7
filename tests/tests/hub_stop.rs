//! A hub that is told to stop while devices send: it ends in order, and what it acknowledged is there afterwards.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::tls::{TlsClient, TlsStream};
use wasm_edge_tests::tokens::Token;
use wasm_edge_tests::{http, wait};

/// Devices that send at once.
const DEVICES: usize = 4;

/// Messages that a device sends before it waits for their acknowledgements.
const WINDOW: u16 = 16;

/// Makes a device at the hub and answers its primary key.
fn make_device(hub: &HubServe<'_>, device: &str) -> String {
    let body = json!({ "deviceId": device });
    let made = hub.ask("PUT", &format!("/devices/{device}"), Some(&body));
    assert_eq!(made.status, 200, "{made:?}");
    let key = made.body["authentication"]["symmetricKey"]["primaryKey"].as_str();
    key.expect("a key").to_owned()
}

/// A text with its length in front, as MQTT has it.
fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// A packet: its first byte, the remaining length, and the rest.
fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = rest.len();
    loop {
        let more = if length > 127 { 128 } else { 0 };
        packet.push((length % 128) as u8 | more);
        length /= 128;
        if length == 0 {
            break;
        }
    }
    packet.extend(rest);
    packet
}

/// Connects a device (MQTT 3.1.1, section 3.1) with a clean session, user name and password.
fn connect(hub: &HubServe<'_>, device: &str, key: &str) -> TlsStream {
    let mut stream = TlsClient::of(hub).connect(hub.mqtt_port()).unwrap();
    let user = format!("localhost/{device}/?api-version=2021-04-12");
    let head = [text("MQTT"), vec![4, 0b1100_0010, 0, 60]].concat();
    let token = Token::new(key, &format!("localhost/devices/{device}")).text();
    let rest = [head, text(device), text(&user), text(&token)].concat();
    stream.write_all(&packet(0x10, &rest)).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0x20, 2, 0, 0]);
    stream
}

fn publish(device: &str, id: u16, number: usize) -> Vec<u8> {
    let topic = text(&format!("devices/{device}/messages/events/n={number}"));
    let rest = [topic, id.to_be_bytes().to_vec(), vec![b'x'; 256]].concat();
    packet(0x32, &rest)
}

/// Sends until the connection ends; adds what was acknowledged, by number.
fn send(
    stream: &mut TlsStream,
    device: &str,
    acknowledged: &mut BTreeSet<usize>,
    count: &AtomicUsize,
) -> io::Result<()> {
    let mut number = 0;
    loop {
        let first = number;
        let packets = (1..=WINDOW).map(|id| publish(device, id, first + usize::from(id)));
        stream.write_all(&packets.collect::<Vec<_>>().concat())?;
        for _ in 0..WINDOW {
            let mut answer = [0; 4];
            stream.read_exact(&mut answer)?;
            assert_eq!(answer[..2], [0x40, 2]);
            let id = u16::from_be_bytes([answer[2], answer[3]]);
            acknowledged.insert(first + usize::from(id));
            count.fetch_add(1, Ordering::Relaxed);
        }
        number += usize::from(WINDOW);
    }
}

#[test]
fn what_was_acknowledged_before_a_stop_under_load_is_kept() {
    let home = Home::new();
    let mut hub = HubServe::start(&home);
    let count = AtomicUsize::new(0);
    let devices: Vec<_> = (0..DEVICES).map(|n| format!("d{n}")).collect();
    let mut streams: Vec<_> = devices
        .iter()
        .map(|device| (device, connect(&hub, device, &make_device(&hub, device))))
        .collect();
    let acknowledged: Vec<(String, BTreeSet<usize>)> = thread::scope(|scope| {
        let senders: Vec<_> = streams
            .iter_mut()
            .map(|(device, stream)| {
                let count = &count;
                scope.spawn(move || {
                    let mut acknowledged = BTreeSet::new();
                    let ended = send(stream, device, &mut acknowledged, count);
                    assert!(ended.is_err());
                    ((*device).clone(), acknowledged)
                })
            })
            .collect();
        wait::until_so("some hundred messages to be acknowledged", || {
            count.load(Ordering::Relaxed) > 500
        });
        hub.process.signal(Signal::TERM);
        senders
            .into_iter()
            .map(|sender| sender.join().unwrap())
            .collect()
    });
    let ended = hub.process.wait().ok();
    assert_eq!(ended.stderr, "");
    let hub = HubServe::start(&home);
    let lines = http::stream(&hub.data(), "/wasm-edge/v1/telemetry?from=earliest");
    let mut missing: BTreeSet<(String, usize)> = acknowledged
        .into_iter()
        .flat_map(|(device, numbers)| numbers.into_iter().map(move |n| (device.clone(), n)))
        .collect();
    assert!(missing.len() > 500);
    let found = lines.find(0, |line| {
        let message: Value = serde_json::from_str(line).expect("each line is JSON");
        let number = message["properties"]["n"]
            .as_str()
            .and_then(|n| n.parse().ok());
        let device = message["device"].as_str().unwrap_or_default();
        missing.remove(&(device.to_owned(), number.expect("a number")));
        missing.is_empty().then_some(())
    });
    assert!(found.is_some(), "acknowledged and not there: {missing:?}");
    hub.stop().ok();
}
