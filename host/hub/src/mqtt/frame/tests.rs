use rumqttc::mqttbytes::v4::{Connect, LastWill, PubAck, Publish, Subscribe, Unsubscribe};

use super::*;

const CONNECTED: bool = false;
const FIRST: bool = true;

fn bytes(packet: Packet) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, usize::MAX).unwrap();
    bytes.to_vec()
}

fn connect() -> Vec<u8> {
    let mut connect = Connect::new("d1");
    connect.set_login("hub/d1/?api-version=1", "token");
    connect.last_will = Some(LastWill::new("t", b"w".to_vec(), QoS::AtLeastOnce, true));
    bytes(Packet::Connect(connect))
}

fn read(bytes: &[u8], first: bool) -> Result<Option<Packet>, Violation> {
    let mut frames = Frames::default();
    frames.push(bytes);
    frames.next(first)
}

fn refused(bytes: &[u8], first: bool, expected: Violation) {
    assert_eq!(read(bytes, first), Err(expected), "{bytes:02x?}");
}

fn taken(bytes: &[u8], first: bool) {
    let packet = read(bytes, first).unwrap();
    assert!(packet.is_some(), "{bytes:02x?}");
}

fn publish(topic: &str, qos: QoS, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let mut publish = Publish::new(topic, qos, payload);
    publish.pkid = packet_id;
    bytes(Packet::Publish(publish))
}

#[test]
fn packets_are_whole_wherever_the_bytes_are_parted() {
    let mut subscribe = Subscribe::new("$iothub/twin/res/#", QoS::AtLeastOnce);
    subscribe.pkid = 1;
    let mut unsubscribe = Unsubscribe::new("$iothub/twin/res/#");
    unsubscribe.pkid = 2;
    let stream = [
        publish("t", QoS::AtMostOnce, 0, b""),
        publish("t", QoS::AtLeastOnce, 7, &[1; 300]),
        bytes(Packet::PubAck(PubAck::new(9))),
        bytes(Packet::Subscribe(subscribe)),
        bytes(Packet::Unsubscribe(unsubscribe)),
        bytes(Packet::PingReq),
        bytes(Packet::Disconnect),
    ]
    .concat();
    let all = |parts: &[&[u8]]| {
        let mut frames = Frames::default();
        let mut packets = Vec::new();
        for part in parts {
            frames.push(part);
            while let Some(packet) = frames.next(CONNECTED).unwrap() {
                packets.push(packet);
            }
        }
        assert_eq!(frames.len(), 0);
        packets
    };
    let whole = all(&[&stream]);
    assert_eq!(whole.len(), 7);
    for at in 0..=stream.len() {
        let (before, after) = stream.split_at(at);
        assert_eq!(all(&[before, after]), whole, "{at}");
    }
    let each: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(all(&each), whole);
}

#[test]
fn the_first_packet_is_a_connect_and_no_other_is() {
    taken(&connect(), FIRST);
    refused(&connect(), CONNECTED, Violation::SecondConnect);
    for packet in [Packet::PingReq, Packet::Disconnect] {
        refused(&bytes(packet), FIRST, Violation::NoConnect);
    }
    // Seen from the first byte.
    refused(b"GET / HTTP/1.1\r\n", FIRST, Violation::NoConnect);
    // A TLS handshake looks like one with wrong flags.
    refused(
        b"\x16\x03\x01\x02\x00\x01",
        FIRST,
        Violation::Flags { kind: 1 },
    );
    assert_eq!(read(b"", FIRST), Ok(None));
    assert_eq!(read(b"\x10", FIRST), Ok(None));
}

#[test]
fn packets_that_a_server_does_not_take_are_refused() {
    for (first, kind) in [
        (0x00, 0),
        (0x20, 2),
        (0x50, 5),
        (0x62, 6),
        (0x70, 7),
        (0x90, 9),
        (0xb0, 11),
        (0xd0, 13),
        (0xf0, 15),
    ] {
        refused(&[first, 0], CONNECTED, Violation::PacketType { kind });
    }
}

#[test]
fn reserved_flags_are_as_the_standard_says() {
    let flags = |kind| Violation::Flags { kind };
    for bit in [1, 2, 4, 8] {
        refused(&[0xc0 | bit, 0], CONNECTED, flags(12));
        refused(&[0xe0 | bit, 0], CONNECTED, flags(14));
        refused(&[0x40 | bit, 2, 0, 1], CONNECTED, flags(4));
        refused(&[0x10 | bit, 12], FIRST, flags(1));
        refused(&[0x82 ^ bit, 6], CONNECTED, flags(8));
        refused(&[0xa2 ^ bit, 5], CONNECTED, flags(10));
    }
    // Exactly once, a quality that there is not, and a repetition of what is never repeated.
    refused(&[0x34, 5], CONNECTED, Violation::ExactlyOnce);
    refused(&[0x36, 5], CONNECTED, flags(3));
    refused(&[0x38, 5], CONNECTED, flags(3));
    taken(&[0x3b, 5, 0, 1, b't', 0, 1], CONNECTED);
}

#[test]
fn lengths_are_those_of_the_kind_and_written_once() {
    refused(&[0xc0, 1, 0], CONNECTED, Violation::Length);
    refused(&[0xe0, 1, 0], CONNECTED, Violation::Length);
    refused(&[0x40, 3, 0, 1, 0], CONNECTED, Violation::Length);
    refused(&[0x40, 1, 0], CONNECTED, Violation::Length);
    refused(&[0x40, 0], CONNECTED, Violation::Length);
    refused(&[0x30, 1, 0], CONNECTED, Violation::Length);
    refused(&[0x82, 0], CONNECTED, Violation::Length);
    refused(&[0xa2, 2, 0, 1], CONNECTED, Violation::Length);
    // Four bytes at most, and not more than needed.
    refused(
        &[0x30, 0xff, 0xff, 0xff, 0xff],
        CONNECTED,
        Violation::Length,
    );
    refused(&[0x30, 0x85, 0x00], CONNECTED, Violation::Length);
    assert_eq!(read(&[0x30, 0xff, 0xff], CONNECTED), Ok(None));
    let too_large = |kind, size_bytes| Violation::TooLarge { kind, size_bytes };
    let largest = 268_435_455;
    refused(
        &[0x30, 0xff, 0xff, 0xff, 0x7f],
        CONNECTED,
        too_large(3, largest),
    );
    refused(
        &[0x10, 0x81, 0x80, 0x02],
        FIRST,
        too_large(1, CONNECT_MAX_BYTES + 1),
    );
    refused(
        &[0x82, 0x81, 0x40],
        CONNECTED,
        too_large(8, SUBSCRIBE_MAX_BYTES + 1),
    );
    refused(
        &[0xa2, 0x81, 0x40],
        CONNECTED,
        too_large(10, SUBSCRIBE_MAX_BYTES + 1),
    );
    // The largest message with the longest topic.
    let topic = "t".repeat(TOPIC_MAX_BYTES);
    let payload = vec![0; MESSAGE_SIZE_MAX_BYTES];
    taken(&publish(&topic, QoS::AtLeastOnce, 1, &payload), CONNECTED);
    let larger = publish(&topic, QoS::AtLeastOnce, 1, &[&payload[..], b"1"].concat());
    refused(&larger, CONNECTED, too_large(3, PACKET_MAX_BYTES + 1));
}

#[test]
fn the_flags_of_a_connect_fit_each_other_and_its_fields_fill_it() {
    let plain = |flags: u8, fields: &[u8]| {
        let head = [0, 4, b'M', b'Q', b'T', b'T', 4, flags, 0, 60];
        let body = [&head[..], &[0, 1, b'd'], fields].concat();
        [&[0x10, u8::try_from(body.len()).unwrap()][..], &body].concat()
    };
    let text = [0, 1, b'x'];
    let fields = |count: usize| text.repeat(count);
    taken(&plain(0x02, &[]), FIRST);
    taken(&plain(0xc2, &fields(2)), FIRST);
    taken(&plain(0xee, &fields(4)), FIRST);
    let flags = Violation::Flags { kind: 1 };
    refused(&plain(0x03, &[]), FIRST, flags.clone());
    refused(&plain(0x42, &fields(1)), FIRST, flags.clone());
    refused(&plain(0x0a, &[]), FIRST, flags.clone());
    refused(&plain(0x22, &[]), FIRST, flags.clone());
    refused(&plain(0x1e, &fields(2)), FIRST, flags);
    refused(&plain(0xc2, &fields(1)), FIRST, Violation::Length);
    refused(&plain(0xc2, &fields(3)), FIRST, Violation::Length);
    refused(&plain(0x82, &[0, 9, b'x']), FIRST, Violation::Length);
}

#[test]
fn another_version_is_told_apart_from_another_protocol() {
    let of = |name: &[u8], level| {
        let length = u8::try_from(name.len()).unwrap();
        let body = [&[0, length], name, &[level, 2, 0, 0, 0, 0]].concat();
        [&[0x10, u8::try_from(body.len()).unwrap()][..], &body].concat()
    };
    for level in [0, 3, 5, 0x84, 255] {
        refused(&of(b"MQTT", level), FIRST, Violation::Version);
    }
    refused(&of(b"MQIsdp", 3), FIRST, Violation::Version);
    let problem = "another protocol";
    refused(&of(b"mqtt", 4), FIRST, Violation::Malformed { problem });
    refused(&of(b"HTTP", 4), FIRST, Violation::Malformed { problem });
}

#[test]
fn packet_ids_are_not_zero() {
    refused(&[0x40, 2, 0, 0], CONNECTED, Violation::PacketId);
    refused(&[0x32, 5, 0, 1, b't', 0, 0], CONNECTED, Violation::PacketId);
    refused(
        &[0x82, 6, 0, 0, 0, 1, b'a', 0],
        CONNECTED,
        Violation::PacketId,
    );
    refused(&[0xa2, 5, 0, 0, 0, 1, b'a'], CONNECTED, Violation::PacketId);
}

#[test]
fn filters_have_options_and_are_not_too_many() {
    taken(&[0x82, 6, 0, 1, 0, 1, b'a', 2], CONNECTED);
    let problem = "options of a subscription";
    for options in [3, 4, 0x80] {
        let malformed = Violation::Malformed { problem };
        refused(&[0x82, 6, 0, 1, 0, 1, b'a', options], CONNECTED, malformed);
    }
    refused(
        &[0x82, 6, 0, 1, 0, 2, b'a', b'b'],
        CONNECTED,
        Violation::Length,
    );
    let many = |count: usize| {
        let body = [&[0, 1][..], &[0, 1, b'a', 0].repeat(count)].concat();
        [&[0x82, u8::try_from(body.len()).unwrap()][..], &body].concat()
    };
    taken(&many(FILTERS_MAX), CONNECTED);
    refused(&many(FILTERS_MAX + 1), CONNECTED, Violation::Filter);
}

#[test]
fn texts_are_utf_8_without_nulls_and_topics_without_wildcards() {
    let unknown = || Violation::Topic(TopicError::Unknown);
    for topic in ["", "a/+/b", "#"] {
        refused(
            &publish(topic, QoS::AtMostOnce, 0, b""),
            CONNECTED,
            unknown(),
        );
    }
    let problem = "a text with a null character";
    let null = || Violation::Malformed { problem };
    refused(&publish("a\0b", QoS::AtMostOnce, 0, b""), CONNECTED, null());
    refused(&[0x82, 6, 0, 1, 0, 1, 0, 0], CONNECTED, null());
    refused(&[0xa2, 5, 0, 1, 0, 1, 0], CONNECTED, null());
    refused(&bytes(Packet::Connect(Connect::new("d\0"))), FIRST, null());
    let problem = "a text that is not UTF-8";
    let malformed = Violation::Malformed { problem };
    refused(&[0x30, 3, 0, 1, 0xff], CONNECTED, malformed);
    let problem = "its fields do not fit its length";
    refused(
        &[0x30, 3, 0, 9, b't'],
        CONNECTED,
        Violation::Malformed { problem },
    );
}

#[test]
fn a_connection_at_rest_holds_no_memory() {
    let mut frames = Frames::default();
    frames.push(&publish("t", QoS::AtMostOnce, 0, &[0; 10_000]));
    frames.next(CONNECTED).unwrap().unwrap();
    assert_eq!(frames.next(CONNECTED), Ok(None));
    assert_eq!(frames.buffer.capacity(), 0);
}
