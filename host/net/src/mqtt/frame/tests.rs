use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{ConnAck, ConnectReturnCode, PubAck, Publish};

use super::*;

const LIMITS: Limits = Limits {
    packet_max_bytes: 64,
};

fn read(bytes: &[u8]) -> Result<Option<Packet>, MqttError> {
    let mut frames = Frames::new(LIMITS);
    frames.push(bytes);
    frames.next()
}

#[test]
fn packets_are_read_in_whatever_pieces_they_come() {
    let mut publish = Publish::new("a/b", QoS::AtLeastOnce, "body");
    publish.pkid = 7;
    let packets = [
        Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, true)),
        Packet::Publish(publish),
        Packet::Publish(Publish::new("t", QoS::AtMostOnce, "")),
        Packet::PubAck(PubAck::new(65_535)),
        Packet::SubAck(SubAck::new(3, vec![SubscribeReasonCode::Failure])),
        Packet::PingResp,
    ];
    let mut bytes = BytesMut::new();
    for packet in &packets {
        packet.write(&mut bytes, 1024).unwrap();
    }
    for size in 1..=bytes.len() {
        let mut frames = Frames::new(LIMITS);
        let mut found = Vec::new();
        for piece in bytes.chunks(size) {
            frames.push(piece);
            while let Some(packet) = frames.next().unwrap() {
                found.push(packet);
            }
        }
        assert_eq!(found, packets, "{size}");
    }
}

#[test]
fn what_no_broker_may_send_is_refused() {
    let check = |bytes: &[u8], expected: &str| match read(bytes) {
        Err(MqttError::Violation(problem)) => assert_eq!(problem, expected, "{bytes:02x?}"),
        other => panic!("{bytes:02x?}: {other:?}"),
    };
    let for_brokers = "a packet that is not for clients";
    for kind in [0, 1, 5, 6, 7, 8, 10, 12, 14, 15] {
        check(&[kind << 4, 0], for_brokers);
    }
    let length = "a packet with a wrong length";
    check(&[0x20, 3], length);
    check(&[0x40, 1], length);
    check(&[0x40, 3], length);
    check(&[0x90, 2], length);
    check(&[0x90, 4], length);
    check(&[0xb0, 3], length);
    check(&[0xd0, 1], length);
    check(&[0x30, 2], length);
    check(&[0x40, 0x82, 0], "a wrong length");
    check(&[0x30, 0xff, 0xff, 0xff, 0xff], "a wrong length");
    check(&[0x30, 63], "a packet above the limit");
    check(&[0x30, 0xff, 0xff, 0xff, 0x7f], "a packet above the limit");
    let flags = "wrong flags";
    check(&[0x21, 2], flags);
    check(&[0x42, 2], flags);
    check(&[0xd8, 0], flags);
    check(&[0x38, 3], flags);
    check(&[0x34, 5], "a message that is to be delivered exactly once");
    check(&[0x36, 5], "a message that is to be delivered exactly once");
    check(&[0x20, 2, 2, 0], "wrong flags in CONNACK");
    check(&[0x20, 2, 1, 5], "wrong flags in CONNACK");
    check(&[0x20, 2, 0, 6], "a return code that there is none");
    check(&[0x90, 3, 0, 1, 2], "a wrong code in SUBACK");
    check(&[0x32, 5, 0, 1, b't', 0, 0], "a packet id of zero");
    let topic = "a message without a proper topic";
    check(&[0x30, 3, 0, 0, 1], topic);
    check(&[0x30, 3, 0, 1, 0], topic);
    check(&[0x30, 3, 0, 1, b'#'], topic);
    check(&[0x30, 3, 0, 1, 0xff], "a text that is not UTF-8");
    check(
        &[0x30, 3, 0, 2, b't'],
        "a packet whose fields do not fit its length",
    );
    check(
        &[0x32, 4, 0, 1, b't', 0],
        "a packet whose fields do not fit its length",
    );
}

#[test]
fn nothing_is_kept_of_what_was_large() {
    let mut frames = Frames::new(Limits {
        packet_max_bytes: 1 << 20,
    });
    let mut bytes = BytesMut::new();
    let publish = Publish::new("t", QoS::AtMostOnce, vec![0; 1 << 19]);
    Packet::Publish(publish).write(&mut bytes, 1 << 20).unwrap();
    frames.push(&bytes);
    frames.next().unwrap().unwrap();
    assert!(frames.next().unwrap().is_none());
    assert!(frames.buffer.capacity() <= IDLE_BYTES);
}
