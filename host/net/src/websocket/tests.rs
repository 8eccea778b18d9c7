use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::*;

/// A WebSocket and the server's end of it.
async fn pair() -> (Stream, WebSocketStream<DuplexStream>) {
    let (ours, theirs) = duplex(64 * 1024);
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let check = |request: &Request, mut response: Response| {
        assert_eq!(request.uri(), "/$iothub/websocket?a=b");
        assert_eq!(request.headers()["host"], "hub.test:8443");
        let protocol = request.headers()[SEC_WEBSOCKET_PROTOCOL].clone();
        assert_eq!(protocol, "mqtt");
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        Ok(response)
    };
    let path = "/$iothub/websocket?a=b";
    let opening = open(Stream::new(ours), "hub.test:8443", path, "mqtt");
    let accepting = tokio_tungstenite::accept_hdr_async(theirs, check);
    let (opened, accepted) = tokio::join!(opening, accepting);
    (opened.unwrap(), accepted.unwrap())
}

#[tokio::test]
async fn bytes_go_in_binary_frames_and_come_out_of_them() {
    let (mut stream, mut server) = pair().await;
    let large = vec![7; 3 * OUTGOING_MAX_BYTES + 1];
    let expected = large.clone();
    let reading = async {
        let mut found = Vec::new();
        while found.len() < expected.len() {
            match server.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => found.extend_from_slice(&bytes),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(found, expected);
        server.send(Message::binary(vec![1, 2])).await.unwrap();
        server
            .send(Message::Ping(Bytes::from_static(b"p")))
            .await
            .unwrap();
        server.send(Message::binary(vec![])).await.unwrap();
        server.send(Message::binary(vec![3])).await.unwrap();
    };
    let talking = async {
        stream.write_all(&large).await.unwrap();
        stream.flush().await.unwrap();
        let mut found = [0; 3];
        stream.read_exact(&mut found).await.unwrap();
        assert_eq!(found, [1, 2, 3]);
    };
    tokio::join!(reading, talking);
    server.close(None).await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn frames_that_are_text_or_too_large_end_it() {
    let check = async |message: Message| {
        let (mut stream, mut server) = pair().await;
        let sending = async {
            let _ = server.send(message).await;
        };
        let mut found = Vec::new();
        let reading = async {
            let read = stream.read_to_end(&mut found).await;
            drop(stream);
            read
        };
        let ((), read) = tokio::join!(sending, reading);
        assert!(read.is_err());
        assert!(found.is_empty());
    };
    check(Message::text("a")).await;
    check(Message::binary(vec![0; INCOMING_MAX_BYTES + 1])).await;
}

#[tokio::test]
async fn what_is_no_websocket_says_so() {
    let check = async |answer: &[u8], expected: &str| {
        let (ours, mut theirs) = duplex(64 * 1024);
        theirs.write_all(answer).await.unwrap();
        let answering = async {
            let mut request = [0; 1];
            theirs.read_exact(&mut request).await.unwrap();
            theirs.shutdown().await.unwrap();
            let _ = theirs.read_to_end(&mut Vec::new()).await;
        };
        let opening = open(Stream::new(ours), "hub.test", "/", "mqtt");
        let (opened, ()) = tokio::join!(opening, answering);
        assert_eq!(opened.err().unwrap().to_string(), expected);
    };
    let forbidden = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    check(forbidden, "a WebSocket was answered with status 403").await;
    let rubbish = "the answer is not that of a WebSocket";
    check(b"SSH-2.0\r\n", rubbish).await;
    check(b"", rubbish).await;
    let (ours, _theirs) = duplex(64);
    let opened = open(Stream::new(ours), "a b", "/", "mqtt").await;
    assert!(matches!(opened, Err(WebSocketError::Url { .. })));
}
