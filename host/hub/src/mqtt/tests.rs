//! Clients over a pipe in memory: what they see, and what the hub has afterwards.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, Packet, PubAck, Publish, Subscribe, SubscribeReasonCode,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::shared_access::sign;
use wasm_edge_model::time::Timestamp;

use super::*;
use crate::hub::IfMatch;
use crate::hub::tests::{device, device_id, hub, module, module_identity};
use crate::hub::twins::TwinPatch;

mod commands;
mod endings;
mod hostile;
mod talk;

/// Bytes that a pipe holds.
const PIPE_BYTES: usize = 64 * 1024;

/// A hub with the device `d` and its module `m`.
async fn bed() -> Hub {
    let hub = hub();
    hub.ensure_device(&device_id("d")).await.unwrap();
    hub.ensure_module(&module_identity("d", "m")).await.unwrap();
    hub
}

fn peer() -> Peer {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
    Peer::new(address, Transport::Tls)
}

/// `d` or `d/m`.
fn client_id(owner: &TwinOwner) -> String {
    match owner.module() {
        Some(module) => format!("{}/{module}", owner.device()),
        None => owner.device().to_string(),
    }
}

/// The topic that all telemetry of `owner` begins with.
fn telemetry(owner: &TwinOwner) -> String {
    let base = owner.to_string();
    format!("{}/messages/events/", base.trim_start_matches('/'))
}

/// A CONNECT that lets `owner` in, whose session is kept.
async fn connect(hub: &Hub, owner: &TwinOwner) -> Connect {
    let identity = hub.identity(owner).await.unwrap();
    let key = identity.authentication.symmetric_key.unwrap().primary;
    let expires = Timestamp::from_unix_millis(hub.now().unix_millis() + 3_600_000);
    let token = sign(&key, &format!("hub.test{owner}"), expires, None);
    let client_id = client_id(owner);
    let mut connect = Connect::new(client_id.clone());
    connect.clean_session = false;
    connect.keep_alive = 60;
    connect.set_login(
        format!("hub.test/{client_id}/?api-version=2019-10-01"),
        token,
    );
    connect
}

/// A client's end of a connection, and the hub's.
struct Client {
    stream: DuplexStream,
    received: BytesMut,
    serving: JoinHandle<Ended>,
    next_id: u16,
}

impl Client {
    /// A client that has said nothing yet.
    fn silent(hub: &Hub) -> Self {
        Self::of(hub, peer())
    }

    fn of(hub: &Hub, peer: Peer) -> Self {
        let (theirs, stream) = duplex(PIPE_BYTES);
        let serving = tokio::spawn(serve(hub.clone(), theirs, peer));
        Self {
            stream,
            received: BytesMut::new(),
            serving,
            next_id: 0,
        }
    }

    /// A client that is let in; and whether its session was kept.
    async fn open(hub: &Hub, owner: &TwinOwner) -> (Self, bool) {
        Self::with(hub, connect(hub, owner).await).await
    }

    async fn with(hub: &Hub, connect: Connect) -> (Self, bool) {
        let mut client = Self::silent(hub);
        let ack = client.greet(connect).await;
        assert_eq!(ack.code, ConnectReturnCode::Success);
        (client, ack.session_present)
    }

    async fn greet(&mut self, connect: Connect) -> ConnAck {
        self.send(Packet::Connect(connect)).await;
        match self.receive().await {
            Packet::ConnAck(ack) => ack,
            other => panic!("no answer to a CONNECT: {other:?}"),
        }
    }

    async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next packet.
    async fn receive(&mut self) -> Packet {
        self.try_receive()
            .await
            .expect("the hub closed the connection")
    }

    /// The next packet; nothing when the hub has closed the connection.
    async fn try_receive(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.received, usize::MAX) {
                Ok(packet) => return Some(packet),
                Err(rumqttc::mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(err) => panic!("the hub sent no packet: {err}"),
            }
            let read = self.stream.read_buf(&mut self.received).await;
            if read.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The next message, which is acknowledged if it is to be.
    async fn message(&mut self) -> Publish {
        match self.receive().await {
            Packet::Publish(publish) => {
                if publish.qos != QoS::AtMostOnce {
                    self.send(Packet::PubAck(PubAck::new(publish.pkid))).await;
                }
                publish
            }
            other => panic!("no message but {other:?}"),
        }
    }

    async fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) -> u16 {
        self.next_id += 1;
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload);
        publish.pkid = self.next_id;
        self.send(Packet::Publish(publish)).await;
        self.next_id
    }

    /// As [`Client::publish`], and waits for the acknowledgement.
    async fn publish_whole(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        let packet_id = self.publish(topic, payload).await;
        self.expect(Packet::PubAck(PubAck::new(packet_id))).await;
    }

    async fn expect(&mut self, expected: Packet) {
        assert_eq!(self.receive().await, expected);
    }

    async fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.next_id += 1;
        let mut subscribe = Subscribe::new(filter, qos);
        subscribe.pkid = self.next_id;
        self.send(Packet::Subscribe(subscribe)).await;
        match self.receive().await {
            Packet::SubAck(ack) => {
                assert_eq!(ack.pkid, self.next_id);
                let granted = if qos == QoS::AtMostOnce {
                    qos
                } else {
                    QoS::AtLeastOnce
                };
                assert_eq!(ack.return_codes, [SubscribeReasonCode::Success(granted)]);
            }
            other => panic!("no answer to a SUBSCRIBE: {other:?}"),
        }
    }

    /// Waits until the hub has closed the connection; all that comes before is passed over.
    async fn ended(mut self) -> Ended {
        while self.try_receive().await.is_some() {}
        self.serving.await.unwrap()
    }

    /// Breaks the connection.
    async fn lose(self) -> Ended {
        drop(self.stream);
        self.serving.await.unwrap()
    }
}

const TWIN_ANSWERS: &str = "$iothub/twin/res/#";
const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";
const METHODS: &str = "$iothub/methods/POST/#";
const COMMANDS: &str = "devices/d/messages/devicebound/#";

async fn patch(hub: &Hub, owner: &TwinOwner, desired: Value) {
    let change = TwinPatch::from_json(json!({ "properties": { "desired": desired } })).unwrap();
    hub.patch_twin(owner, &change, IfMatch::Any).await.unwrap();
}

fn json_of(payload: &Bytes) -> Value {
    serde_json::from_slice(payload).unwrap()
}
