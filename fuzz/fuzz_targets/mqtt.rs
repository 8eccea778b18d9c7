//! Feeds any bytes, parted anywhere, to the state machine of a connection, meets its demands in any order, and sees
//! that its limits and promises hold.
#![no_main]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Connect, Packet};
use wasm_edge_hub::mqtt::protocol::{
    Demand, HELD_MAX_BYTES, Protocol, SubscriptionChange, Ticket, TwinAnswer,
};
use wasm_edge_hub::mqtt::subscriptions::Subscriptions;
use wasm_edge_hub::mqtt::topic::Subscription;
use wasm_edge_model::message::{MESSAGE_SIZE_MAX_BYTES, Message};

/// What was demanded and not done.
#[derive(Default)]
struct Pending {
    telemetry: VecDeque<Ticket>,
    twin: VecDeque<(Ticket, String)>,
    changes: VecDeque<SubscriptionChange>,
    completions: usize,
}

impl Pending {
    fn note(&mut self, demand: Demand) {
        match demand {
            Demand::Telemetry { ticket, message } => {
                assert!(message.check().is_ok() && message.size_bytes() <= MESSAGE_SIZE_MAX_BYTES);
                self.telemetry.push_back(ticket);
            }
            Demand::Twin {
                ticket, request_id, ..
            } => self.twin.push_back((ticket, request_id)),
            Demand::Subscribe(change) => self.changes.push_back(change),
            Demand::CommandReceived { .. } => self.completions += 1,
            Demand::MethodAnswer { .. } | Demand::Disconnect => {}
            Demand::Admit(_) | Demand::Refused(_) => panic!("it was let in already"),
        }
        assert!(self.telemetry.len() <= 256, "what is taken in is bounded");
        assert!(self.twin.len() + self.changes.len() + self.completions <= 16);
    }

    /// Does the oldest of one kind.
    fn finish(&mut self, protocol: &mut Protocol, choice: u8, now: Instant) {
        match choice % 4 {
            0 => {
                // Not in order: the protocol keeps it.
                if let Some(ticket) = self.telemetry.pop_back() {
                    protocol.acknowledge(ticket, now);
                }
            }
            1 => {
                if let Some((ticket, request_id)) = self.twin.pop_front() {
                    let answer = TwinAnswer {
                        request_id,
                        status: 200,
                        version: Some(u64::from(choice)),
                        body: Bytes::from_static(b"{}"),
                    };
                    protocol.answer(ticket, answer, now);
                }
            }
            2 => {
                if let Some(change) = self.changes.pop_front() {
                    protocol.subscribed(&change, now);
                }
            }
            _ => {
                if let Some(left) = self.completions.checked_sub(1) {
                    self.completions = left;
                    protocol.command_completed();
                }
            }
        }
    }
}

/// Reads what is to be written as a client does: whole packets.
fn read_output(protocol: &mut Protocol, all: &mut BytesMut, count: usize, now: Instant) {
    let count = count.min(protocol.output().len());
    all.extend_from_slice(&protocol.output()[..count]);
    protocol.written(count, now);
    while let Ok(packet) = Packet::read(all, usize::MAX) {
        assert!(
            matches!(
                packet,
                Packet::ConnAck(_)
                    | Packet::PubAck(_)
                    | Packet::SubAck(_)
                    | Packet::UnsubAck(_)
                    | Packet::PingResp
                    | Packet::Publish(_)
            ),
            "a server does not send {packet:?}"
        );
    }
}

/// Something that the hub has to tell.
fn tell(protocol: &mut Protocol, choice: u8, now: Instant) {
    if !protocol.wants_events() {
        return;
    }
    let number = u64::from(choice);
    match choice % 3 {
        0 => protocol.tell_desired(number, Bytes::from_static(b"{}"), now),
        1 => drop(protocol.call_method("m", "1", Bytes::from_static(b"null"), now)),
        _ if protocol.command_room() > 0 => {
            let sent = protocol.send_command(number, &Message::default(), choice > 99, now);
            assert!(sent.is_ok());
        }
        _ => {}
    }
}

fn open(flags: u8, now: Instant) -> Protocol {
    let mut protocol = Protocol::new(now + Duration::from_secs(30));
    let mut connect = Connect::new("d");
    connect.set_login("hub/d/?api-version=1", "token");
    let mut bytes = BytesMut::new();
    connect.write(&mut bytes).expect("a CONNECT");
    protocol.receive(&bytes);
    assert!(matches!(protocol.next(now), Ok(Some(Demand::Admit(_)))));
    let mut subscriptions = Subscriptions::default();
    for (index, subscription) in Subscription::ALL.into_iter().enumerate() {
        if flags >> index & 1 == 1 {
            subscriptions.set(subscription, QoS::AtLeastOnce);
        }
    }
    protocol.accept(flags > 31, subscriptions, now);
    protocol
}

fuzz_target!(|input: &[u8]| {
    let Some((&flags, mut rest)) = input.split_first() else {
        return;
    };
    let mut now = Instant::now();
    // From the first byte on, or as somebody who was let in.
    let mut protocol = if flags & 0x80 != 0 {
        Protocol::new(now + Duration::from_secs(30))
    } else {
        open(flags, now)
    };
    let mut pending = Pending::default();
    let mut received = BytesMut::new();
    // Steps: a choice, and as many bytes as it says.
    while let Some((&choice, behind)) = rest.split_first() {
        now += Duration::from_millis(u64::from(choice));
        let (part, behind) = behind.split_at(usize::from(choice & 0x1f).min(behind.len()));
        rest = behind;
        if protocol.wants_input() {
            protocol.receive(part);
        }
        loop {
            match protocol.next(now) {
                Ok(Some(Demand::Admit(_))) => {
                    protocol.accept(false, Subscriptions::default(), now);
                }
                Ok(Some(Demand::Refused(_) | Demand::Disconnect)) => return,
                Ok(Some(demand)) => pending.note(demand),
                Ok(None) => break,
                Err(violation) => {
                    assert!(!violation.to_string().is_empty());
                    return;
                }
            }
        }
        match choice >> 5 {
            0 | 1 => pending.finish(&mut protocol, choice, now),
            2 => read_output(&mut protocol, &mut received, usize::from(choice), now),
            3 => tell(&mut protocol, choice, now),
            _ => {}
        }
        assert!(protocol.held_bytes() <= HELD_MAX_BYTES);
        if protocol.overdue(now).is_some() {
            return;
        }
        assert!(
            protocol
                .deadline()
                .is_none_or(|deadline| deadline > now || !protocol.wants_input())
        );
    }
});
