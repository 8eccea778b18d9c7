use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    Connect, LastWill, PubAck, Publish, SubAck, Subscribe, SubscribeReasonCode,
};

use super::open::REQUESTS_MAX;
use super::*;
use crate::hub::tests::device;
use crate::mqtt::connect::SILENCE_MAX;

/// A protocol with what its client would see.
struct Bed {
    protocol: Protocol,
    begun: Instant,
}

fn bytes(packet: &Packet) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, usize::MAX).unwrap();
    bytes.to_vec()
}

fn greeting() -> Connect {
    let mut connect = Connect::new("d");
    connect.clean_session = false;
    connect.keep_alive = 60;
    connect.set_login("hub/d/?api-version=1", "token");
    connect
}

fn publish_at_least_once(topic: &str, packet_id: u16, payload: &[u8]) -> Packet {
    let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload);
    publish.pkid = packet_id;
    Packet::Publish(publish)
}

const EVENTS: &str = "devices/d/messages/events/";

impl Bed {
    fn new() -> Self {
        let begun = Instant::now();
        Self {
            protocol: Protocol::new(begun + Duration::from_secs(30)),
            begun,
        }
    }

    /// With a client that was let in.
    fn open() -> Self {
        Self::with(&[])
    }

    /// With a client that was let in and had subscribed to this before.
    fn with(subscribed: &[(Subscription, QoS)]) -> Self {
        let mut bed = Self::new();
        bed.receive(&Packet::Connect(greeting()));
        assert!(matches!(bed.demand(), Some(Demand::Admit(_))));
        let mut subscriptions = Subscriptions::default();
        for (subscription, qos) in subscribed {
            subscriptions.set(*subscription, *qos);
        }
        bed.protocol
            .accept(!subscribed.is_empty(), subscriptions, bed.begun);
        let accepted = ConnAck::new(ConnectReturnCode::Success, !subscribed.is_empty());
        bed.sent(&[Packet::ConnAck(accepted)]);
        bed
    }

    fn at(&self, seconds: u64) -> Instant {
        self.begun + Duration::from_secs(seconds)
    }

    fn receive(&mut self, packet: &Packet) {
        self.protocol.receive(&bytes(packet));
    }

    fn demand(&mut self) -> Option<Demand> {
        self.protocol.next(self.begun).unwrap()
    }

    /// What was sent, which is taken as read.
    fn output(&mut self) -> Vec<Packet> {
        let mut output = BytesMut::from(self.protocol.output());
        self.protocol.written(output.len(), self.begun);
        let mut packets = Vec::new();
        while !output.is_empty() {
            packets.push(Packet::read(&mut output, usize::MAX).unwrap());
        }
        packets
    }

    fn sent(&mut self, expected: &[Packet]) {
        assert_eq!(self.output(), expected);
    }

    fn telemetry(&mut self, packet_id: u16) -> Ticket {
        self.receive(&publish_at_least_once(EVENTS, packet_id, b"x"));
        match self.demand() {
            Some(Demand::Telemetry { ticket, .. }) => ticket,
            other => panic!("no telemetry but {other:?}"),
        }
    }

    fn twin_get(&mut self, packet_id: u16) -> Ticket {
        self.receive(&publish_at_least_once(
            "$iothub/twin/GET/?$rid=1",
            packet_id,
            b"",
        ));
        match self.demand() {
            Some(Demand::Twin { ticket, .. }) => ticket,
            other => panic!("no request but {other:?}"),
        }
    }

    fn answer(&mut self, ticket: Ticket) {
        let answer = TwinAnswer {
            request_id: "1".into(),
            status: 200,
            version: None,
            body: Bytes::from_static(b"{}"),
        };
        self.protocol.answer(ticket, answer, self.begun);
    }
}

fn ack(packet_id: u16) -> Packet {
    Packet::PubAck(PubAck::new(packet_id))
}

#[test]
fn nothing_is_looked_at_before_it_is_decided_who_may_come_in() {
    let mut bed = Bed::new();
    assert!(bed.protocol.wants_input());
    bed.receive(&Packet::Connect(greeting()));
    bed.receive(&publish_at_least_once(EVENTS, 1, b"x"));
    let Some(Demand::Admit(greeting)) = bed.demand() else {
        panic!("somebody is at the door");
    };
    assert_eq!(greeting.owner, device("d"));
    assert_eq!(greeting.silence_max, Duration::from_secs(90));
    assert!(!bed.protocol.wants_input());
    assert_eq!(bed.demand(), None);
    bed.protocol
        .accept(false, Subscriptions::default(), bed.begun);
    assert!(matches!(bed.demand(), Some(Demand::Telemetry { .. })));
}

#[test]
fn one_that_is_refused_is_told_and_not_listened_to() {
    let mut bed = Bed::new();
    bed.receive(&Packet::Connect(greeting()));
    bed.receive(&publish_at_least_once(EVENTS, 1, b"x"));
    bed.demand();
    bed.protocol.refuse(Refusal::NotAuthorized, bed.begun);
    let refused = ConnAck::new(ConnectReturnCode::NotAuthorized, false);
    bed.sent(&[Packet::ConnAck(refused)]);
    assert_eq!(bed.demand(), None);
    assert!(!bed.protocol.wants_input());
}

#[test]
fn acknowledgements_keep_the_order_whatever_is_done_first() {
    let mut bed = Bed::open();
    let first = bed.telemetry(7);
    let get = bed.twin_get(8);
    bed.receive(&publish_at_least_once(
        "$iothub/methods/res/200/?$rid=1",
        9,
        b"",
    ));
    assert!(matches!(
        bed.demand(),
        Some(Demand::MethodAnswer { status: 200, .. })
    ));
    let last = bed.telemetry(10);
    bed.protocol.acknowledge(last, bed.begun);
    bed.answer(get);
    bed.sent(&[]);
    bed.protocol.acknowledge(first, bed.begun);
    bed.sent(&[ack(7), ack(8), ack(9), ack(10)]);
}

#[test]
fn a_repeated_packet_id_is_acknowledged_as_often_as_it_came() {
    let mut bed = Bed::open();
    let (first, second) = (bed.telemetry(7), bed.telemetry(7));
    assert_ne!(first, second);
    bed.protocol.acknowledge(first, bed.begun);
    bed.protocol.acknowledge(second, bed.begun);
    bed.sent(&[ack(7), ack(7)]);
}

#[test]
fn so_much_is_taken_in_and_then_no_more_is_read() {
    let mut bed = Bed::open();
    let mut tickets = Vec::new();
    while bed.protocol.wants_input() {
        tickets.push(bed.telemetry(1));
    }
    assert_eq!(tickets.len(), 256);
    bed.receive(&publish_at_least_once(EVENTS, 2, b"x"));
    assert_eq!(bed.demand(), None);
    bed.protocol.acknowledge(tickets[0], bed.begun);
    assert!(bed.protocol.wants_input());
    assert!(bed.demand().is_some());

    let mut bed = Bed::open();
    let mut requests = Vec::new();
    while bed.protocol.wants_input() {
        requests.push(bed.twin_get(1));
    }
    assert_eq!(requests.len(), REQUESTS_MAX);
    bed.answer(requests[0]);
    assert!(bed.protocol.wants_input());
}

#[test]
fn a_client_that_is_not_listened_to_is_not_silent() {
    let mut bed = Bed::open();
    while bed.protocol.wants_input() {
        bed.telemetry(1);
    }
    assert_eq!(bed.protocol.overdue(bed.at(1000)), None);
    assert_eq!(bed.protocol.deadline(), Some(bed.at(1090)));
    let mut bed = Bed::open();
    bed.protocol.not_listened(bed.at(50));
    assert_eq!(bed.protocol.overdue(bed.at(139)), None);
    assert_eq!(bed.protocol.overdue(bed.at(140)), Some(Overdue::Silent));
}

#[test]
fn times_are_up_when_they_are() {
    let mut bed = Bed::new();
    assert_eq!(bed.protocol.deadline(), Some(bed.at(30)));
    assert_eq!(bed.protocol.overdue(bed.at(29)), None);
    assert_eq!(bed.protocol.overdue(bed.at(30)), Some(Overdue::Connect));
    let mut bed = Bed::open();
    assert_eq!(bed.protocol.deadline(), Some(bed.at(90)));
    // Half a packet is none.
    bed.protocol.receive(&[0x30]);
    assert_eq!(bed.protocol.next(bed.at(80)), Ok(None));
    assert_eq!(bed.protocol.overdue(bed.at(89)), None);
    assert_eq!(bed.protocol.overdue(bed.at(90)), Some(Overdue::Silent));
    let mut bed = Bed::open();
    bed.receive(&Packet::PingReq);
    assert_eq!(bed.protocol.next(bed.at(80)), Ok(None));
    assert_eq!(bed.protocol.overdue(bed.at(109)), None);
    assert_eq!(bed.protocol.overdue(bed.at(110)), Some(Overdue::Unread));
    assert!(SILENCE_MAX > Duration::from_secs(90));
}

#[test]
fn answers_to_one_that_acknowledges_nothing_go_without_being_acknowledged() {
    let mut bed = Bed::with(&[
        (Subscription::TwinAnswers, QoS::AtLeastOnce),
        (Subscription::Desired, QoS::AtLeastOnce),
    ]);
    let mut sent = Vec::new();
    for packet_id in 1..=40 {
        let ticket = bed.twin_get(packet_id);
        bed.answer(ticket);
        let output = bed.output();
        let Some(Packet::Publish(publish)) = output.last() else {
            panic!("no answer: {output:?}");
        };
        sent.push(publish.clone());
    }
    let asked: Vec<_> = sent
        .iter()
        .filter(|it| it.qos == QoS::AtLeastOnce)
        .collect();
    assert_eq!(asked.len(), 32);
    assert!(!bed.protocol.wants_events() && bed.protocol.wants_input());
    let late = bed.protocol.deadline().unwrap();
    assert_eq!(late, bed.at(90));
    bed.protocol.not_listened(bed.at(100));
    assert_eq!(bed.protocol.overdue(bed.at(119)), None);
    assert_eq!(bed.protocol.overdue(bed.at(120)), Some(Overdue::Unread));
    bed.receive(&ack(asked[5].pkid));
    assert_eq!(bed.demand(), None);
    assert!(bed.protocol.wants_events());
    // One that was not to come, and one that comes twice.
    bed.receive(&ack(1));
    bed.receive(&ack(asked[5].pkid));
    assert_eq!(bed.demand(), None);
}

#[test]
fn a_will_goes_with_a_leave_and_stays_otherwise() {
    let with_will = || {
        let mut bed = Bed::new();
        let mut connect = greeting();
        connect.last_will = Some(LastWill::new(EVENTS, b"w".to_vec(), QoS::AtMostOnce, false));
        bed.receive(&Packet::Connect(connect));
        bed.demand();
        assert_eq!(bed.protocol.take_will(), None, "it is not let in yet");
        bed.protocol
            .accept(false, Subscriptions::default(), bed.begun);
        bed
    };
    assert_eq!(with_will().protocol.take_will().unwrap().body, "w");
    let mut bed = with_will();
    bed.receive(&Packet::Disconnect);
    assert_eq!(bed.demand(), Some(Demand::Disconnect));
    assert_eq!(bed.protocol.take_will(), None);
}

#[test]
fn what_is_not_subscribed_to_is_not_sent() {
    let mut bed = Bed::open();
    bed.protocol
        .tell_desired(2, Bytes::from_static(b"{}"), bed.begun);
    assert!(!bed.protocol.call_method("x", "1", Bytes::new(), bed.begun));
    assert_eq!(bed.protocol.command_room(), 0);
    let unfit = bed
        .protocol
        .send_command(1, &Message::default(), false, bed.begun);
    assert_eq!(unfit, Err(CommandUnfit::NotSubscribed));
    bed.sent(&[]);
}

#[test]
fn a_subscription_is_in_force_once_it_is_stored() {
    let mut bed = Bed::open();
    let mut subscribe = Subscribe::new("$iothub/methods/POST/#", QoS::ExactlyOnce);
    subscribe.pkid = 3;
    bed.receive(&Packet::Subscribe(subscribe));
    let Some(Demand::Subscribe(change)) = bed.demand() else {
        panic!("a subscription was to be stored");
    };
    bed.sent(&[]);
    assert!(!bed.protocol.is_subscribed(Subscription::Methods));
    bed.protocol.subscribed(&change, bed.begun);
    let granted = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce)];
    bed.sent(&[Packet::SubAck(SubAck::new(3, granted))]);
    assert!(bed.protocol.is_subscribed(Subscription::Methods));
}

#[test]
fn however_the_bytes_are_parted_the_demands_are_the_same() {
    let mut subscribe = Subscribe::new("$iothub/twin/res/#", QoS::AtMostOnce);
    subscribe.pkid = 2;
    let stream = [
        bytes(&Packet::Connect(greeting())),
        bytes(&Packet::Subscribe(subscribe)),
        bytes(&publish_at_least_once(EVENTS, 3, &[7; 200])),
        bytes(&publish_at_least_once("$iothub/twin/GET/?$rid=1", 4, b" ")),
        bytes(&Packet::PingReq),
        bytes(&Packet::Disconnect),
    ]
    .concat();
    let run = |parts: &mut dyn Iterator<Item = &[u8]>| {
        let mut bed = Bed::new();
        let mut demands = Vec::new();
        for part in parts {
            bed.protocol.receive(part);
            while let Some(demand) = bed.demand() {
                if matches!(demand, Demand::Admit(_)) {
                    bed.protocol
                        .accept(false, Subscriptions::default(), bed.begun);
                }
                demands.push(demand);
            }
        }
        (demands, bed.output())
    };
    let whole = run(&mut std::iter::once(&stream[..]));
    assert_eq!(whole.0.len(), 5);
    for at in 0..=stream.len() {
        let (before, after) = stream.split_at(at);
        assert_eq!(run(&mut [before, after].into_iter()), whole, "{at}");
    }
    for length in 1..20 {
        assert_eq!(run(&mut stream.chunks(length)), whole, "{length}");
    }
}
