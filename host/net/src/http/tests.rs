use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use rustls::RootCertStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::clock::HubClock;
use crate::dial::DialerOptions;

async fn client() -> (HttpClient, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialer = Dialer::new(DialerOptions {
        roots: Arc::new(RootCertStore::empty()),
        proxy: None,
        identity: None,
        clock: HubClock::new(None),
        connect_timeout: Duration::from_secs(60),
    });
    let client = HttpClient::new(HttpOptions {
        dialer: dialer.unwrap(),
        host: HostAddress::parse("127.0.0.1").unwrap(),
        port: listener.local_addr().unwrap().port(),
        security: Security::Plain,
        counter: Counter::default(),
        answer_timeout: Duration::from_secs(60),
        answer_max_bytes: 1000,
    });
    (client, listener)
}

/// Reads a request with a body of so many bytes.
async fn request(stream: &mut TcpStream, body_bytes: usize) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let mut body = vec![0; body_bytes];
    stream.read_exact(&mut body).await.unwrap();
    (String::from_utf8(head).unwrap(), body)
}

fn get() -> HttpRequest {
    HttpRequest::new(Method::GET, "/a?b=c")
}

#[tokio::test]
async fn a_connection_is_kept_and_made_again_when_it_ended() {
    let (mut client, listener) = client().await;
    let port = client.options.port;
    let serving = tokio::spawn(async move {
        for round in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in 0..2 {
                let (head, _) = request(&mut stream, 0).await;
                assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
                assert!(
                    head.contains(&format!("host: 127.0.0.1:{port}\r\n")),
                    "{head}"
                );
                let body = format!("{round}{answer}");
                let text = format!(
                    "HTTP/1.1 404 No\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\n{body}"
                );
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        }
    });
    let mut bodies = Vec::new();
    for _ in 0..4 {
        let answer = client.send(get()).await.unwrap();
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        let date = answer.date().map(|date| date.unix_millis());
        assert_eq!(date, Some(784_111_777_000));
        bodies.push(String::from_utf8(answer.body).unwrap());
    }
    serving.await.unwrap();
    assert_eq!(bodies, ["00", "01", "10", "11"]);
    assert_eq!(client.options.counter.traffic().connections, 2);
}

#[tokio::test]
async fn a_file_goes_out_as_it_is_read() {
    let size = 3 * 64 * 1024 + 17;
    let mut file = tempfile::tempfile().unwrap();
    let content: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
    file.write_all(b"before").unwrap();
    file.write_all(&content).unwrap();
    file.seek(SeekFrom::Start(6)).unwrap();
    let (mut client, listener) = client().await;
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (head, body) = request(&mut stream, size).await;
        assert!(
            head.contains(&format!("content-length: {size}\r\n")),
            "{head}"
        );
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        body
    });
    let mut put = HttpRequest::new(Method::PUT, "/blob");
    put.body = Body::File {
        file: file.try_clone().unwrap(),
        size_bytes: size as u64,
    };
    assert_eq!(client.send(put).await.unwrap().status, StatusCode::CREATED);
    assert_eq!(serving.await.unwrap(), content);
    // One that is shorter than was said is no body.
    let mut put = HttpRequest::new(Method::PUT, "/blob");
    let size_bytes = 100;
    put.body = Body::File { file, size_bytes };
    let failed = client.send(put).await;
    assert!(
        matches!(failed, Err(HttpError::Broken { .. } | HttpError::Dial(_))),
        "{failed:?}"
    );
}

#[tokio::test]
async fn answers_are_bounded_and_rubbish_is_none() {
    let check = async |answer: Vec<u8>, expected: fn(&HttpError) -> bool| {
        let (mut client, listener) = client().await;
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream, 0).await;
            let _ = stream.write_all(&answer).await;
        });
        let err = client.send(get()).await.unwrap_err();
        assert!(expected(&err), "{err:?}");
        serving.await.unwrap();
    };
    let mut large = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n".to_vec();
    large.resize(large.len() + 1001, b'x');
    check(large, |err| {
        matches!(err, HttpError::TooLarge { limit: 1000, .. })
    })
    .await;
    let mut head = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    head.resize(2 * HEAD_SIZE_MAX_BYTES, b'x');
    let broken = |err: &HttpError| matches!(err, HttpError::Broken { .. });
    check(head, broken).await;
    check(b"SSH-2.0\r\n\r\n".to_vec(), broken).await;
    check(Vec::new(), broken).await;
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec();
    check(cut, broken).await;
}

#[tokio::test]
async fn a_request_has_a_time_of_its_own() {
    let (mut client, listener) = client().await;
    let mut ask = get();
    let limit = Duration::from_millis(50);
    ask.time_max = Some(limit);
    let err = client.send(ask).await.unwrap_err();
    assert!(matches!(err, HttpError::Timeout { limit: found, .. } if found == limit));
    drop(listener);
    let err = client.send(get()).await.unwrap_err();
    assert!(
        matches!(err, HttpError::Dial(DialError::Connect { .. })),
        "{err:?}"
    );
    let err = client
        .send(HttpRequest::new(Method::GET, "/a b"))
        .await
        .unwrap_err();
    assert!(matches!(err, HttpError::Target { .. }), "{err:?}");
}

#[tokio::test]
async fn an_answer_is_read_as_it_comes_and_its_connection_is_kept() {
    let (mut client, listener) = client().await;
    let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream, 0).await;
        let begin = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 7\r\n\r\none";
        stream.write_all(begin).await.unwrap();
        may_go_on.await.unwrap();
        stream.write_all(b" two").await.unwrap();
        request(&mut stream, 0).await;
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nend\r\n0\r\nx: y\r\n\r\n";
        stream.write_all(chunked).await.unwrap();
    });
    let mut answer = client.begin(get()).await.unwrap();
    assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "one");
    go_on.send(()).unwrap();
    assert_eq!(answer.whole(4).await.unwrap(), b" two");
    assert_eq!(answer.chunk().await.unwrap(), None);
    client.keep(answer);
    let mut answer = client.begin(get()).await.unwrap();
    assert_eq!(answer.whole(3).await.unwrap(), b"end");
    // One that was not read to its end is closed.
    assert_eq!(client.options.counter.traffic().connections, 1);
    serving.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_does_not_go_on_is_given_up() {
    let check = async |body: Vec<u8>, limit: usize, expected: fn(&HttpError) -> bool| {
        let (mut client, listener) = client().await;
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream, 0).await;
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n";
            stream.write_all(head).await.unwrap();
            stream.write_all(&body).await.unwrap();
            // Until the other end goes.
            let _ = stream.read(&mut [0; 1]).await;
        });
        let mut ask = get();
        ask.time_max = Some(Duration::from_millis(50));
        let mut answer = client.begin(ask).await.unwrap();
        let err = answer.whole(limit).await.unwrap_err();
        assert!(expected(&err), "{err:?}");
        client.keep(answer);
        assert!(client.open.is_none());
        serving.await.unwrap();
    };
    let stalled = |err: &HttpError| matches!(err, HttpError::Stalled { .. });
    check(Vec::new(), 5000, stalled).await;
    check(vec![b'x'; 100], 5000, stalled).await;
    check(vec![b'x'; 4000], 5000, stalled).await;
    let large = |err: &HttpError| matches!(err, HttpError::TooLarge { limit: 3999, .. });
    check(vec![b'x'; 4000], 3999, large).await;
}

#[tokio::test]
async fn a_body_that_nobody_takes_is_given_up() {
    let (mut client, listener) = client().await;
    let mut put = HttpRequest::new(Method::PUT, "/blob");
    // More than the buffers of both ends hold.
    put.body = Body::Bytes(vec![0; 64 * 1024 * 1024].into());
    put.time_max = Some(Duration::from_millis(50));
    let sent_bytes = put.sent_bytes.clone();
    let err = client.begin(put).await.unwrap_err();
    assert!(matches!(err, HttpError::Timeout { .. }), "{err:?}");
    assert_eq!(sent_bytes.load(Ordering::Relaxed), 64 * 1024 * 1024);
    drop(listener);
}
