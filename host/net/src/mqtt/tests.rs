use futures_util::{SinkExt as _, StreamExt as _};
use rumqttc::mqttbytes::v4::{Codec, ConnAck, SubAck, SubscribeReasonCode, UnsubAck};
use tokio::io::{DuplexStream, duplex};
use tokio_util::codec::Framed;

use super::*;

type Broker = Framed<DuplexStream, Codec>;

const LIMIT: Duration = Duration::from_secs(20);

fn options() -> ConnectOptions {
    ConnectOptions {
        client_id: "board/sensor".to_owned(),
        user_name: "hub/board/sensor/?api-version=2021-04-12".to_owned(),
        password: Zeroizing::new("secret".to_owned()),
        clean_session: false,
        keep_alive: Duration::from_secs(60),
        answer_timeout: LIMIT,
        incoming_max_bytes: PACKET_MAX_BYTES,
        outgoing_max_bytes: PACKET_MAX_BYTES,
        is_message: |topic| !topic.starts_with('$'),
    }
}

fn ends() -> (Stream, Broker) {
    let (ours, theirs) = duplex(16 * 1024);
    let codec = Codec {
        max_incoming_size: 1 << 20,
        max_outgoing_size: 1 << 20,
    };
    (Stream::new(ours), Framed::new(theirs, codec))
}

/// A connection that was answered so, and the broker's end of it.
async fn answered(
    answer: ConnAck,
    counter: &Counter,
) -> (Result<(Connection, bool), MqttError>, Broker) {
    let (ours, mut broker) = ends();
    let letting_in = async {
        let Packet::Connect(connect) = broker.next().await.unwrap().unwrap() else {
            panic!("no CONNECT");
        };
        assert_eq!(connect.client_id, "board/sensor");
        assert_eq!((connect.keep_alive, connect.clean_session), (60, false));
        assert_eq!(connect.login.unwrap().password, "secret");
        broker.send(Packet::ConnAck(answer)).await.unwrap();
    };
    let opening = Connection::open(ours, options(), counter.clone());
    let (opened, ()) = tokio::join!(opening, letting_in);
    (opened, broker)
}

async fn open() -> (Connection, Broker) {
    let answer = ConnAck::new(ConnectReturnCode::Success, false);
    let (opened, broker) = answered(answer, &Counter::default()).await;
    (opened.unwrap().0, broker)
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn publication(topic: &str, payload: Vec<u8>, id: Option<PacketId>) -> Publication {
    Publication {
        topic: topic.to_owned(),
        payload: Bytes::from(payload),
        id,
        duplicate: false,
    }
}

#[tokio::test]
async fn the_broker_says_whether_it_knows_the_session() {
    for present in [false, true] {
        let answer = ConnAck::new(ConnectReturnCode::Success, present);
        let (opened, _broker) = answered(answer, &Counter::default()).await;
        assert_eq!(opened.unwrap().1, present);
    }
}

#[tokio::test]
async fn a_refusal_says_why() {
    let check = async |code, expected| {
        let answer = ConnAck::new(code, false);
        let (refused, _broker) = answered(answer, &Counter::default()).await;
        assert!(matches!(refused, Err(MqttError::Refused(found)) if found == expected));
    };
    use ConnectReturnCode as Code;
    check(Code::RefusedProtocolVersion, Refusal::ProtocolVersion).await;
    check(Code::BadClientId, Refusal::ClientId).await;
    check(Code::ServiceUnavailable, Refusal::Unavailable).await;
    check(Code::BadUserNamePassword, Refusal::Credentials).await;
    check(Code::NotAuthorized, Refusal::NotAuthorized).await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_let_anybody_in_is_given_up() {
    let (ours, mut broker) = ends();
    let opening = Connection::open(ours, options(), Counter::default());
    let reading = async { broker.next().await.unwrap().unwrap() };
    let (opened, _) = tokio::join!(opening, reading);
    assert!(matches!(
        opened,
        Err(MqttError::Timeout {
            what: "let us in",
            limit: LIMIT
        })
    ));
}

#[tokio::test]
async fn packets_go_and_come() {
    let counter = Counter::default();
    let answer = ConnAck::new(ConnectReturnCode::Success, false);
    let (opened, mut broker) = answered(answer, &counter).await;
    let mut connection = opened.unwrap().0;
    let message = publication("devices/board/messages/events/", vec![1; 100], Some(id(1)));
    connection.publish(message).unwrap();
    connection
        .publish(publication("$iothub/twin/GET/", vec![], None))
        .unwrap();
    connection.subscribe(id(2), "$iothub/#", false).unwrap();
    connection.unsubscribe(id(3), "$iothub/#").unwrap();
    connection.flush().await.unwrap();
    let mut kinds = Vec::new();
    for _ in 0..4 {
        kinds.push(broker.next().await.unwrap().unwrap());
    }
    let [
        Packet::Publish(first),
        Packet::Publish(second),
        Packet::Subscribe(_),
        Packet::Unsubscribe(_),
    ] = kinds.as_slice()
    else {
        panic!("{kinds:?}");
    };
    assert_eq!(
        (first.pkid, first.dup, first.payload.len()),
        (1, false, 100)
    );
    assert_eq!((second.pkid, second.qos), (0, QoS::AtMostOnce));
    let mut published = Publish::new("a", QoS::AtLeastOnce, "x");
    published.pkid = 9;
    for packet in [
        Packet::PubAck(PubAck::new(1)),
        Packet::SubAck(SubAck::new(
            2,
            vec![SubscribeReasonCode::Success(QoS::AtMostOnce)],
        )),
        Packet::UnsubAck(UnsubAck::new(3)),
        Packet::Publish(published),
    ] {
        broker.send(packet).await.unwrap();
    }
    let expected = [
        Incoming::Acknowledged(id(1)),
        Incoming::Subscribed {
            id: id(2),
            granted: true,
        },
        Incoming::Unsubscribed(id(3)),
        Incoming::Published(publication("a", b"x".to_vec(), Some(id(9)))),
    ];
    for expected in expected {
        assert_eq!(connection.receive().await.unwrap(), expected);
    }
    connection.acknowledge(id(9)).unwrap();
    connection.close().await;
    assert_eq!(
        broker.next().await.unwrap().unwrap(),
        Packet::PubAck(PubAck::new(9))
    );
    assert_eq!(broker.next().await.unwrap().unwrap(), Packet::Disconnect);
    assert!(broker.next().await.is_none());
    // Two messages with their acknowledgements; what the twin needs is no message.
    let messages = (3 + 2 + 30 + 2 + 100) + 4 + (2 + 2 + 1 + 2 + 1) + 4;
    assert_eq!(counter.traffic().message_bytes, messages);
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_is_asked_and_then_given_up() {
    let (mut connection, mut broker) = open().await;
    let begun = Instant::now();
    let answering = async {
        for _ in 0..3 {
            assert_eq!(broker.next().await.unwrap().unwrap(), Packet::PingReq);
            broker.send(Packet::PingResp).await.unwrap();
        }
        assert_eq!(broker.next().await.unwrap().unwrap(), Packet::PingReq);
    };
    let (given_up, ()) = tokio::join!(connection.receive(), answering);
    assert!(matches!(
        given_up,
        Err(MqttError::Timeout { what: "answer", .. })
    ));
    assert_eq!(begun.elapsed(), Duration::from_secs(4 * 50) + LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_takes_nothing_is_given_up() {
    let (mut connection, _broker) = open().await;
    connection
        .publish(publication("t", vec![0; 100 * 1024], None))
        .unwrap();
    assert!(!connection.has_room());
    let given_up = connection.flush().await;
    let expected = "take what is sent";
    assert!(matches!(given_up, Err(MqttError::Timeout { what, .. }) if what == expected));
    let given_up = connection.receive().await;
    assert!(matches!(given_up, Err(MqttError::Timeout { what, .. }) if what == expected));
}

#[tokio::test]
async fn two_ends_that_both_want_to_send_do_not_wait_for_each_other() {
    let (mut connection, mut broker) = open().await;
    connection
        .publish(publication("t", vec![1; 200 * 1024], Some(id(1))))
        .unwrap();
    let sending = async {
        // Larger than what is under way at most; only then does it read.
        let publish = Publish::new("u", QoS::AtMostOnce, vec![2; 200 * 1024]);
        broker.send(Packet::Publish(publish)).await.unwrap();
        let Packet::Publish(publish) = broker.next().await.unwrap().unwrap() else {
            panic!("no PUBLISH");
        };
        broker
            .send(Packet::PubAck(PubAck::new(publish.pkid)))
            .await
            .unwrap();
    };
    let receiving = async {
        let Incoming::Published(published) = connection.receive().await.unwrap() else {
            panic!("not published");
        };
        assert_eq!(published.payload.len(), 200 * 1024);
        assert_eq!(
            connection.receive().await.unwrap(),
            Incoming::Acknowledged(id(1))
        );
    };
    tokio::join!(sending, receiving);
    assert!(connection.outgoing.capacity() <= IDLE_BYTES);
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_and_the_connection_goes_on() {
    let (mut connection, mut broker) = open().await;
    let large = publication("t", vec![0; PACKET_MAX_BYTES], None);
    assert!(matches!(
        connection.publish(large),
        Err(MqttError::TooLarge { .. })
    ));
    let long = "x".repeat(TEXT_MAX_BYTES + 1);
    let long_topic = connection.publish(publication(&long, vec![], None));
    assert!(matches!(long_topic, Err(MqttError::TooLarge { .. })));
    assert!(matches!(
        connection.subscribe(id(1), &long, true),
        Err(MqttError::TooLarge { .. })
    ));
    for topic in ["", "a/#", "+", "a\0"] {
        let refused = connection.publish(publication(topic, vec![], None));
        assert!(matches!(refused, Err(MqttError::Topic)), "{topic:?}");
    }
    connection.publish(publication("t", vec![], None)).unwrap();
    connection.flush().await.unwrap();
    assert!(matches!(
        broker.next().await.unwrap().unwrap(),
        Packet::Publish(_)
    ));
}

#[tokio::test]
async fn what_a_client_does_not_expect_ends_the_connection() {
    let again = Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, false));
    for packet in [Packet::PingReq, again] {
        let (mut connection, mut broker) = open().await;
        broker.send(packet).await.unwrap();
        let ended = connection.receive().await;
        assert!(matches!(ended, Err(MqttError::Violation(_))));
    }
    let (mut connection, broker) = open().await;
    drop(broker);
    assert!(matches!(connection.receive().await, Err(MqttError::Closed)));
    let (ours, mut broker) = ends();
    broker.send(Packet::PingResp).await.unwrap();
    let opened = Connection::open(ours, options(), Counter::default()).await;
    assert!(matches!(opened, Err(MqttError::Violation(_))));
}

#[test]
fn debug_output_has_no_password() {
    assert!(!format!("{:?}", options()).contains("secret"));
}
