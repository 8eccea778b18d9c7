use bytes::BytesMut;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    ConnAck, ConnectReturnCode, Packet, PubAck, Publish, SubAck, SubscribeReasonCode,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;

const ASSIGNED: &str =
    r#"{"status":"assigned","registrationState":{"assignedHub":"h.example","deviceId":"d"}}"#;

const ASSIGNING: &str = r#"{"status":"assigning","operationId":"op.1"}"#;

/// The service's end of a connection.
struct Service {
    stream: DuplexStream,
    received: BytesMut,
}

impl Service {
    async fn receive(&mut self) -> Packet {
        loop {
            if let Ok(packet) = Packet::read(&mut self.received, usize::MAX) {
                return packet;
            }
            let mut bytes = [0; 1024];
            let count = self.stream.read(&mut bytes).await.unwrap();
            assert_ne!(count, 0, "the device closed the connection");
            self.received.extend_from_slice(&bytes[..count]);
        }
    }

    async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// Lets the device in with this code, after looking at what it says of itself.
    async fn let_in(&mut self, code: ConnectReturnCode) {
        let Packet::Connect(connect) = self.receive().await else {
            panic!("no CONNECT");
        };
        assert_eq!(connect.client_id, "board");
        let login = connect.login.unwrap();
        assert!(
            login
                .username
                .starts_with("0ne1/registrations/board/api-version=")
        );
        assert_eq!(login.password, "password");
        self.send(Packet::ConnAck(ConnAck::new(code, false))).await;
    }

    async fn subscribed(&mut self, code: SubscribeReasonCode) {
        let Packet::Subscribe(subscribe) = self.receive().await else {
            panic!("no SUBSCRIBE");
        };
        assert_eq!(subscribe.filters[0].path, "$dps/registrations/res/#");
        let ack = SubAck::new(subscribe.pkid, vec![code]);
        self.send(Packet::SubAck(ack)).await;
    }

    async fn start(&mut self) {
        self.let_in(ConnectReturnCode::Success).await;
        let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
        self.subscribed(granted).await;
    }

    /// The next request, acknowledged: its topic up to the request id, and that.
    async fn request(&mut self) -> (String, String) {
        loop {
            match self.receive().await {
                Packet::Publish(publish) => {
                    let ack = PubAck::new(publish.pkid);
                    self.send(Packet::PubAck(ack)).await;
                    let (before, id) = publish.topic.split_once("$rid=").unwrap();
                    return (before.to_owned(), id.to_owned());
                }
                Packet::PingReq => self.send(Packet::PingResp).await,
                // That of an answer before.
                Packet::PubAck(ack) => assert_eq!(ack.pkid, 7),
                other => panic!("no request: {other:?}"),
            }
        }
    }

    async fn asked_to_register(&mut self) -> String {
        let (before, id) = self.request().await;
        assert_eq!(before, "$dps/registrations/PUT/iotdps-register/?");
        id
    }

    async fn asked_for_status(&mut self) -> String {
        let (before, id) = self.request().await;
        assert_eq!(
            before,
            "$dps/registrations/GET/iotdps-get-operationstatus/?"
        );
        let (id, operation) = id.split_once('&').unwrap();
        assert_eq!(operation, "operationId=op.1");
        id.to_owned()
    }

    async fn answer(&mut self, status: u16, id: &str, retry_after: &str, body: &str) {
        let topic = format!("$dps/registrations/res/{status}/?$rid={id}{retry_after}");
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, body);
        publish.pkid = 7;
        self.send(Packet::Publish(publish)).await;
    }
}

/// Registers with a service that does so.
async fn registered(service: impl AsyncFnOnce(&mut Service)) -> Result<Assigned, DpsError> {
    let (near, far) = duplex(64 * 1024);
    let registrant = Registrant {
        id_scope: "0ne1",
        registration_id: "board",
    };
    let options = connect_options(&registrant, Zeroizing::new("password".to_owned()));
    let counter = Counter::default();
    let device = talk(Stream::new(near), options, &registrant, &counter);
    let mut service_end = Service {
        stream: far,
        received: BytesMut::new(),
    };
    let (assigned, ()) = tokio::join!(device, service(&mut service_end));
    assigned
}

fn expected() -> Assigned {
    Assigned {
        hub: HostAddress::parse("h.example").unwrap(),
        device: "d".parse().unwrap(),
    }
}

async fn refused(service: impl AsyncFnOnce(&mut Service)) -> String {
    match registered(service).await {
        Err(DpsError::Refused { cause }) => cause,
        other => panic!("not refused: {other:?}"),
    }
}

async fn unreachable(service: impl AsyncFnOnce(&mut Service)) -> String {
    match registered(service).await {
        Err(DpsError::Unreachable { cause }) => cause,
        other => panic!("not unreachable: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_assignment_may_be_there_at_once() {
    let assigned = registered(async |service| {
        service.start().await;
        let id = service.asked_to_register().await;
        service.answer(200, &id, "", ASSIGNED).await;
    });
    assert_eq!(assigned.await.unwrap(), expected());
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_asked_after_as_often_as_the_service_says() {
    let assigned = registered(async |service| {
        service.start().await;
        let id = service.asked_to_register().await;
        let begun = Instant::now();
        service.answer(202, &id, "&retry-after=5", ASSIGNING).await;
        let id = service.asked_for_status().await;
        assert_eq!(begun.elapsed().as_secs(), 5);
        service
            .answer(202, &id, "&retry-after=100", ASSIGNING)
            .await;
        // Longer than the connection may be silent.
        let id = service.asked_for_status().await;
        assert_eq!(begun.elapsed().as_secs(), 105);
        service.answer(429, &id, "&retry-after=2", "{}").await;
        let id = service.asked_for_status().await;
        assert_eq!(begun.elapsed().as_secs(), 107);
        service.answer(200, &id, "", ASSIGNED).await;
    });
    assert_eq!(assigned.await.unwrap(), expected());
}

#[tokio::test(start_paused = true)]
async fn answers_to_others_and_twice_are_passed_over() {
    let assigned = registered(async |service| {
        service.start().await;
        let first = service.asked_to_register().await;
        service
            .answer(200, "999", "", ASSIGNED.replace("h.", "x.").as_str())
            .await;
        service.answer(503, &first, "", "").await;
        service.answer(202, &first, "", ASSIGNING).await;
        // The first answer counted: it is asked to register again.
        let id = service.asked_to_register().await;
        assert_ne!(id, first);
        service
            .answer(200, &first, "", ASSIGNED.replace("h.", "y.").as_str())
            .await;
        service.answer(200, &id, "", ASSIGNED).await;
    });
    assert_eq!(assigned.await.unwrap(), expected());
}

#[tokio::test(start_paused = true)]
async fn refusals_say_which() {
    let code = ConnectReturnCode::NotAuthorized;
    let cause = refused(async |service| service.let_in(code).await).await;
    assert_eq!(
        cause,
        "the broker refused the connection: user name or password have no right"
    );
    let cause = refused(async |service| {
        service.let_in(ConnectReturnCode::Success).await;
        service.subscribed(SubscribeReasonCode::Failure).await;
    });
    assert_eq!(cause.await, "it does not let us hear its answers");
    let cause = refused(async |service| {
        service.start().await;
        let id = service.asked_to_register().await;
        let body = r#"{"errorCode":404201,"message":"Not Found"}"#;
        service.answer(404, &id, "", body).await;
    });
    assert_eq!(cause.await, "404201 Not Found");
}

#[tokio::test(start_paused = true)]
async fn what_passes_counts_as_out_of_reach() {
    let code = ConnectReturnCode::ServiceUnavailable;
    let cause = unreachable(async |service| service.let_in(code).await).await;
    assert_eq!(
        cause,
        "the broker refused the connection: it is not available"
    );
    let cause = unreachable(async |service| {
        service.start().await;
        service.asked_to_register().await;
        service.stream.shutdown().await.unwrap();
    });
    assert_eq!(cause.await, "the broker closed the connection");
    let cause = unreachable(async |service| {
        service.start().await;
        service.asked_to_register().await;
        // It says nothing, but is there.
        while let Packet::PingReq = service.receive().await {
            service.send(Packet::PingResp).await;
        }
    });
    assert_eq!(cause.await, "no answer within 30 s");
}
