use std::net::SocketAddr;

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::*;
use crate::hub::tests::hub;

const ANSWER_BYTES: usize = 200_000;

/// A face with room for one answer per address and little more in all.
fn face() -> Http {
    let router = Router::new()
        .route("/answer", get(|| async { vec![b'x'; ANSWER_BYTES] }))
        .route("/done", post(|| async { vec![b'x'; ANSWER_BYTES] }))
        .route(
            "/body",
            post(|body: bytes::Bytes| async move { body.len().to_string() }),
        );
    let limits = ServerLimits {
        bodies_max_bytes: 3 * ANSWER_BYTES / 2,
        bodies_per_address_max_bytes: ANSWER_BYTES,
        ..ServerLimits::default()
    };
    Http::new(hub(), router, limits)
}

/// A connection of a client, and the task that serves it.
fn connect(face: &Http, address: &str) -> (DuplexStream, JoinHandle<()>) {
    let address: SocketAddr = address.parse().unwrap();
    let (ours, theirs) = duplex(1024);
    let client = Client {
        address,
        certificate: None,
        lease: Arc::new(Lease {
            _place: Places::new(1, 1).none(address.ip()),
            _task: TaskTracker::new().token(),
        }),
    };
    let face = face.clone();
    let served = async move { face.serve(theirs, client, &CancellationToken::new()).await };
    (ours, tokio::spawn(served))
}

/// What a client that reads all is answered.
async fn ask(face: &Http, address: &str, request: &[u8]) -> String {
    let (stream, _served) = connect(face, address);
    let (mut from, mut to) = tokio::io::split(stream);
    let request = request.to_vec();
    let written = tokio::spawn(async move {
        // A request that is refused may not be read to its end.
        let _ = to.write_all(&request).await;
        to
    });
    let mut answer = Vec::new();
    from.read_to_end(&mut answer).await.unwrap();
    written.abort();
    String::from_utf8(answer).unwrap()
}

async fn status(face: &Http, address: &str, request: &[u8]) -> String {
    let answer = ask(face, address, request).await;
    answer["HTTP/1.1 ".len()..]
        .split(' ')
        .next()
        .unwrap()
        .to_owned()
}

const READ: &[u8] = b"GET /answer HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
const DO: &[u8] =
    b"POST /done HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const ONE: &str = "192.0.2.1:1";
const OTHER: &str = "192.0.2.2:1";

fn send(length: usize, sent: usize) -> Vec<u8> {
    let head = format!(
        "POST /body HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.into_bytes(), vec![b'y'; sent]].concat()
}

#[tokio::test]
async fn an_answer_takes_room_until_all_of_it_is_written() {
    let face = face();
    let (mut slow, served) = connect(&face, ONE);
    slow.write_all(READ).await.unwrap();
    // All but what the pipe does not hold was read.
    let mut read = vec![0; ANSWER_BYTES - 10_000];
    slow.read_exact(&mut read).await.unwrap();
    let refused = ask(&face, ONE, READ).await;
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    assert!(refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert_eq!(status(&face, OTHER, READ).await, "200", "others have room");
    drop(slow);
    served.await.unwrap();
    assert_eq!(status(&face, ONE, READ).await, "200");
    assert_eq!(
        status(&face, ONE, READ).await,
        "200",
        "what is read takes none"
    );
}

#[tokio::test]
async fn what_was_done_is_answered_without_room() {
    let face = face();
    let (mut slow, _served) = connect(&face, ONE);
    slow.write_all(READ).await.unwrap();
    slow.read_exact(&mut [0; 1024]).await.unwrap();
    assert_eq!(status(&face, ONE, DO).await, "200");
}

#[tokio::test]
async fn bodies_that_do_not_end_take_the_room_of_their_address_only() {
    let face = face();
    let (mut slow, served) = connect(&face, ONE);
    slow.write_all(&send(ANSWER_BYTES, ANSWER_BYTES - 1))
        .await
        .unwrap();
    let body = send(100_000, 100_000);
    let refused = ask(&face, ONE, &body).await;
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    assert!(ask(&face, OTHER, &body).await.ends_with("\r\n\r\n100000"));
    drop(slow);
    served.await.unwrap();
    assert!(ask(&face, ONE, &body).await.ends_with("\r\n\r\n100000"));
}
