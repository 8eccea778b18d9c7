use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use rumqttc::mqttbytes::v4::{Codec, ConnAck, ConnectReturnCode, Packet, PubAck, Publish};
use rustls::RootCertStore;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::codec::Framed;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::dial::DialerOptions;

use super::*;
use crate::hub::tests::hub;
use crate::telemetry::tests::send_all;

/// A broker that does what the test tells it.
struct Broker {
    listener: TcpListener,
    address: SocketAddr,
}

type Client = Framed<TcpStream, Codec>;

impl Broker {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    fn target(&self, rest: &str) -> ForwardTarget {
        format!("mqtt://{}/{rest}", self.address).parse().unwrap()
    }

    /// Lets the next client in, or answers it so.
    async fn client(&self, answer: ConnectReturnCode) -> Client {
        let (stream, _) = self.listener.accept().await.unwrap();
        let codec = Codec {
            max_incoming_size: 4 << 20,
            max_outgoing_size: 1 << 20,
        };
        let mut client = Framed::new(stream, codec);
        let Packet::Connect(connect) = client.next().await.unwrap().unwrap() else {
            panic!("no CONNECT");
        };
        assert!(connect.clean_session && connect.client_id.len() > 10);
        let packet = Packet::ConnAck(ConnAck::new(answer, false));
        client.send(packet).await.unwrap();
        client
    }
}

/// The next message of a client.
async fn published(client: &mut Client) -> Publish {
    loop {
        match client.next().await.unwrap().unwrap() {
            Packet::Publish(publish) => return publish,
            Packet::PingReq => client.send(Packet::PingResp).await.unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

async fn acknowledge(client: &mut Client, publish: &Publish) {
    let packet = Packet::PubAck(PubAck::new(publish.pkid));
    client.send(packet).await.unwrap();
}

/// Waits until so many acknowledgements have counted.
async fn forwarded(hub: &Hub, count: u64) {
    let line = format!("wasm_edge_hub_forwarded_total{{event=\"acknowledged\"}} {count}\n");
    while !hub.metrics_text().contains(&line) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn number(publish: &Publish) -> u64 {
    let json: serde_json::Value = serde_json::from_slice(&publish.payload).unwrap();
    json["position"].as_u64().unwrap()
}

/// A forwarder at work.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn dialer() -> Dialer {
    let options = DialerOptions {
        roots: Arc::new(RootCertStore::empty()),
        proxy: None,
        identity: None,
        clock: HubClock::new(None),
        connect_timeout: Duration::from_secs(15),
    };
    Dialer::new(options).unwrap()
}

async fn start(hub: &Hub, target: ForwardTarget) -> Running {
    let forwarder = Forwarder::open(hub.clone(), target, dialer())
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(forwarder.run(stop.clone()));
    Running { stop, task }
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn messages_go_on_in_order_and_the_position_follows_the_acknowledgements() {
    let (hub, broker) = (hub(), Broker::listen().await);
    let target = broker.target("plant?payload=json");
    // What was there before is not for it.
    send_all(&hub, 0..2).await;
    let running = start(&hub, target.clone()).await;
    send_all(&hub, 2..5).await;
    let mut client = broker.client(ConnectReturnCode::Success).await;
    let mut messages = Vec::new();
    for position in 2..5 {
        let publish = published(&mut client).await;
        assert_eq!(number(&publish), position);
        assert_eq!(publish.topic, "plant/devices/d/modules/m/messages/events");
        assert!(!publish.dup && !publish.retain);
        messages.push(publish);
    }
    acknowledge(&mut client, &messages[1]).await;
    acknowledge(&mut client, &messages[0]).await;
    forwarded(&hub, 2).await;
    running.stop().await;
    let consumer = hub.consumer(&target.consumer()).await.unwrap();
    assert_eq!(consumer.position, 4);
    let running = start(&hub, target).await;
    let mut client = broker.client(ConnectReturnCode::Success).await;
    assert_eq!(number(&published(&mut client).await), 4);
    running.stop().await;
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_on_the_next_connection() {
    let (hub, broker) = (hub(), Broker::listen().await);
    let running = start(&hub, broker.target("?payload=json")).await;
    drop(broker.client(ConnectReturnCode::ServiceUnavailable).await);
    send_all(&hub, 0..3).await;
    let mut client = broker.client(ConnectReturnCode::Success).await;
    let first = published(&mut client).await;
    let second = published(&mut client).await;
    published(&mut client).await;
    acknowledge(&mut client, &second).await;
    acknowledge(&mut client, &first).await;
    forwarded(&hub, 2).await;
    drop(client);
    let mut client = broker.client(ConnectReturnCode::Success).await;
    assert_eq!(number(&published(&mut client).await), 2);
    send_all(&hub, 3..4).await;
    assert_eq!(number(&published(&mut client).await), 3);
    running.stop().await;
}

#[tokio::test]
async fn a_full_window_goes_on_when_there_is_room() {
    let (hub, broker) = (hub(), Broker::listen().await);
    let running = start(&hub, broker.target("?payload=json")).await;
    send_all(&hub, 0..200).await;
    let mut client = broker.client(ConnectReturnCode::Success).await;
    let mut waiting = Vec::new();
    for position in 0..128 {
        let publish = published(&mut client).await;
        assert_eq!(number(&publish), position);
        waiting.push(publish);
    }
    acknowledge(&mut client, &waiting[0]).await;
    assert_eq!(number(&published(&mut client).await), 128);
    running.stop().await;
}

#[tokio::test]
async fn a_broker_that_is_none_ends_nothing() {
    let (hub, broker) = (hub(), Broker::listen().await);
    let running = start(&hub, broker.target("?payload=json")).await;
    send_all(&hub, 0..1).await;
    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"\x90\x03\x00\x01\x00",
        b"\xff\xff\xff\xff\xff",
    ] {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = broker.listener.accept().await.unwrap();
        stream.write_all(bytes).await.unwrap();
    }
    let mut client = broker.client(ConnectReturnCode::Success).await;
    assert_eq!(number(&published(&mut client).await), 0);
    running.stop().await;
}

#[tokio::test]
async fn the_wait_has_jitter_and_never_is_longer_than_it_should_be() {
    let wait = Duration::from_secs(8);
    let waits: Vec<_> = (0..100).map(|_| with_jitter(wait)).collect();
    assert!(waits.iter().all(|found| (wait / 2..=wait).contains(found)));
    assert!(waits.iter().any(|found| *found != waits[0]));
}
