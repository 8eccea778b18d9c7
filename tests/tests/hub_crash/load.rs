//! Those who work with the hub while it is killed, each in a thread, and what each of them was told.
//!
//! A worker goes on where it was: what was not acknowledged is sent again, as devices do, or, where that would do
//! something else, counts as unknown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::wire::{Far, Identity, Packet};

/// Messages of one sender that wait for their PUBACK.
const IN_FLIGHT: usize = 8;

/// Messages to one device: below what may wait for one.
const COMMANDS_PER_DEVICE: u64 = 40;

/// How long is waited for a hub that is being started.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// What workers and the one who kills share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Set by the one who kills when it is enough; workers end their work.
    stop: AtomicBool,
    /// How much was acknowledged to all; workers add, the one who kills waits for it.
    acknowledged: AtomicU64,
}

impl Shared {
    /// Lets the workers end when the guard goes, also because something failed.
    pub(crate) fn stop_with(&self) -> StopGuard<'_> {
        StopGuard(self)
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// How much was acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    fn note(&self) {
        self.acknowledged.fetch_add(1, Ordering::AcqRel);
    }
}

/// Lets the workers end when it is dropped.
#[derive(Debug)]
pub(crate) struct StopGuard<'a>(&'a Shared);

impl Drop for StopGuard<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Numbers of messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    /// Of which the sender was told that they are taken.
    pub(crate) acknowledged: BTreeSet<u64>,
    /// That were sent more than once, since the hub was killed in between.
    pub(crate) again: BTreeSet<u64>,
}

/// What is known of a section of a twin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// The last number that was acknowledged.
    pub(crate) number: u64,
    /// The version that it got.
    pub(crate) version: u64,
    /// The last number that was sent.
    pub(crate) sent: u64,
}

/// Sends telemetry of QoS 1.
pub(crate) fn send_telemetry(far: &Far, identity: &Identity, shared: &Shared) -> Sent {
    let mut sent = Sent::default();
    let mut open = VecDeque::new();
    let mut next = 0;
    while shared.goes_on() {
        let outcome = telemetry_once(far, identity, shared, (&mut sent, &mut open, &mut next));
        if outcome.is_err() {
            thread::sleep(AGAIN_AFTER);
        }
    }
    sent
}

/// On one connection: what is open is sent again first.
fn telemetry_once(
    far: &Far,
    identity: &Identity,
    shared: &Shared,
    (sent, open, next): (&mut Sent, &mut VecDeque<u64>, &mut u64),
) -> io::Result<()> {
    let mut wire = far.connect(identity)?;
    let bag = "%24.ct=application%2Fjson&%24.ce=utf-8";
    let topic = format!("devices/{}/messages/events/{bag}", identity.path);
    let id = |number: u64| u16::try_from(number % 30_000 + 1).expect("it is small");
    let body = |number: u64| json!({ "from": identity.path, "number": number }).to_string();
    for number in open.iter() {
        sent.again.insert(*number);
        wire.publish(&topic, id(*number), true, body(*number).as_bytes())?;
    }
    while shared.goes_on() {
        while open.len() < IN_FLIGHT {
            wire.publish(&topic, id(*next), false, body(*next).as_bytes())?;
            open.push_back(*next);
            *next += 1;
        }
        wire.flush()?;
        let (packet, first) = (wire.receive()?, open.front().copied());
        assert_eq!(
            packet,
            Packet::PubAck(first.map_or(0, id)),
            "PUBACKs come in order"
        );
        sent.acknowledged.extend(open.pop_front());
        shared.note();
    }
    Ok(())
}

/// Reports properties, one patch after the other.
pub(crate) fn report(far: &Far, identity: &Identity, shared: &Shared) -> Known {
    let mut known = Known::default();
    while shared.goes_on() {
        if report_once(far, identity, shared, &mut known).is_err() {
            thread::sleep(AGAIN_AFTER);
        }
    }
    known
}

fn report_once(
    far: &Far,
    identity: &Identity,
    shared: &Shared,
    known: &mut Known,
) -> io::Result<()> {
    let mut wire = far.connect(identity)?;
    wire.subscribe("$iothub/twin/res/#", 0)?;
    while shared.goes_on() {
        known.sent += 1;
        let number = known.sent;
        let topic = format!("$iothub/twin/PATCH/properties/reported/?$rid={number}");
        wire.publish_once(&topic, json!({ "number": number }).to_string().as_bytes())?;
        wire.flush()?;
        let Packet::Publish { topic, body, .. } = wire.receive()? else {
            panic!("no answer to a reported patch");
        };
        let prefix = format!("$iothub/twin/res/204/?$rid={number}&$version=");
        let version = topic.strip_prefix(&prefix).and_then(|it| it.parse().ok());
        let version =
            version.unwrap_or_else(|| panic!("{topic} {}", String::from_utf8_lossy(&body)));
        known.take(number, version, shared);
    }
    Ok(())
}

/// Patches the desired properties of a device by REST.
pub(crate) fn desire(far: &Far, device: &str, shared: &Shared) -> Known {
    let mut known = Known::default();
    while shared.goes_on() {
        known.sent += 1;
        let patch = json!({ "properties": { "desired": { "number": known.sent } } });
        match far.call("PATCH", &format!("/twins/{device}"), &patch.to_string()) {
            Ok((200, twin)) => {
                let version = twin["properties"]["desired"]["$version"].as_u64();
                let version = version.unwrap_or_else(|| panic!("no version: {twin}"));
                known.take(known.sent, version, shared);
            }
            Ok(answer) => is_ending(answer),
            Err(_) => thread::sleep(AGAIN_AFTER),
        }
    }
    known
}

impl Known {
    /// Takes what was acknowledged; a version that does not go forward is a fault.
    fn take(&mut self, number: u64, version: u64, shared: &Shared) {
        assert!(version > self.version, "{version} after {self:?}");
        self.number = number;
        self.version = version;
        shared.note();
    }
}

/// Sends messages to devices, a new one when one has enough: by device, the numbers that were taken.
pub(crate) fn command(far: &Far, shared: &Shared) -> BTreeMap<Identity, BTreeSet<u64>> {
    let mut taken: BTreeMap<Identity, BTreeSet<u64>> = BTreeMap::new();
    let mut device = None;
    for number in 0.. {
        if !shared.goes_on() {
            break;
        }
        if number % COMMANDS_PER_DEVICE == 0 {
            let name = format!("commanded{}", number / COMMANDS_PER_DEVICE);
            device = create_until_known(far, &name, shared);
        }
        let Some((name, key)) = &device else {
            break;
        };
        let message = json!({ "body": { "number": number } }).to_string();
        let path = format!("/wasm-edge/v1/devices/{name}/messages/devicebound");
        match far.call("POST", &path, &message) {
            Ok((201, _)) => {
                let identity = Identity {
                    path: name.clone(),
                    key: key.clone(),
                };
                taken.entry(identity).or_default().insert(number);
                shared.note();
            }
            Ok(answer) => is_ending(answer),
            Err(_) => thread::sleep(AGAIN_AFTER),
        }
    }
    taken
}

/// Creates devices: those of which it was told that they are there, with their keys.
pub(crate) fn create(far: &Far, shared: &Shared) -> BTreeMap<String, String> {
    let mut created = BTreeMap::new();
    for number in 0.. {
        if !shared.goes_on() {
            break;
        }
        let name = format!("created{number}");
        if let Some(key) = create_once(far, &name) {
            created.insert(name, key);
            shared.note();
        }
    }
    created
}

/// Creates a device: its key, or `None` where it is not known whether it was created.
fn create_once(far: &Far, name: &str) -> Option<String> {
    let body = json!({ "deviceId": name }).to_string();
    match far.call("PUT", &format!("/devices/{name}"), &body) {
        Ok((200, identity)) => Some(key_of(&identity)),
        Ok(answer) => {
            is_ending(answer);
            None
        }
        Err(_) => {
            thread::sleep(AGAIN_AFTER);
            None
        }
    }
}

/// Creates a device, under further names where it is not known whether it was created.
fn create_until_known(far: &Far, name: &str, shared: &Shared) -> Option<(String, String)> {
    let names = (0..).map(|attempt| format!("{name}.{attempt}"));
    let mut names = names.take_while(|_| shared.goes_on());
    names.find_map(|name| Some((name.clone(), create_once(far, &name)?)))
}

/// The primary key of an identity.
pub(crate) fn key_of(identity: &Value) -> String {
    let key = &identity["authentication"]["symmetricKey"]["primaryKey"];
    let key = key.as_str();
    key.unwrap_or_else(|| panic!("no key: {identity}"))
        .to_owned()
}

/// A hub that ends may say so; any other answer is a fault.
fn is_ending((status, body): (u16, Value)) {
    assert!(status >= 500, "{status} {body}");
    thread::sleep(AGAIN_AFTER);
}

/// Takes the messages that wait for a device until all of these have come: in order, and none that was not sent.
pub(crate) fn take_commands(
    far: &Far,
    identity: &Identity,
    expected: &BTreeSet<u64>,
) -> io::Result<()> {
    let mut wire = far.connect(identity)?;
    let filter = format!("devices/{}/messages/devicebound/#", identity.path);
    let mut packets = VecDeque::from(wire.subscribe(&filter, 1)?);
    let mut came = Vec::new();
    while !expected.iter().all(|number| came.contains(number)) {
        let packet = match packets.pop_front() {
            Some(packet) => packet,
            None => wire.receive()?,
        };
        let Packet::Publish { id, body, .. } = packet else {
            panic!("no message but {packet:?}");
        };
        let body: Value = serde_json::from_slice(&body)?;
        came.push(body["number"].as_u64().expect("a number"));
        wire.acknowledge(id.expect("messages are of QoS 1"))?;
        wire.flush()?;
    }
    assert!(came.is_sorted(), "out of order: {came:?}");
    Ok(())
}
