use tokio::io::{DuplexStream, duplex};

use super::*;

/// Asks a proxy that answers so and then closes; returns what came of it with what can be read after it.
async fn ask(answered: &[u8]) -> (Result<(), TunnelError>, Vec<u8>) {
    let (mut ours, theirs) = duplex(64 * 1024);
    let asking = async move {
        let proxy = "http://proxy".parse().unwrap();
        let host = HostAddress::parse("hub.test").unwrap();
        let asked = open(&mut ours, &proxy, &host, 8883).await;
        let mut rest = Vec::new();
        if asked.is_ok() {
            ours.read_to_end(&mut rest).await.unwrap();
        }
        (asked, rest)
    };
    let (asked, _) = tokio::join!(asking, answer_so(theirs, answered));
    asked
}

/// Reads a whole request, answers it, and closes.
async fn answer_so(mut stream: DuplexStream, answer: &[u8]) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    // It may have been given up before all of it was sent.
    let _ = stream.write_all(answer).await;
    String::from_utf8(request).unwrap()
}

#[tokio::test]
async fn a_tunnel_is_asked_for_by_name_and_with_the_password() {
    let check = async |proxy: &str, address: &str, expected: &str| {
        let (mut ours, theirs) = duplex(1024);
        let proxy = proxy.parse().unwrap();
        let host = HostAddress::parse(address).unwrap();
        let asking = open(&mut ours, &proxy, &host, 8883);
        let (asked, request) = tokio::join!(asking, answer_so(theirs, b"HTTP/1.1 200 OK\r\n\r\n"));
        asked.unwrap();
        assert_eq!(request, expected);
    };
    check(
        "http://proxy",
        "hub.test:443",
        "CONNECT hub.test:8883 HTTP/1.1\r\nHost: hub.test:8883\r\n\r\n",
    )
    .await;
    check(
        "http://Aladdin:open%20sesame@proxy",
        "[::1]",
        "CONNECT [::1]:8883 HTTP/1.1\r\nHost: [::1]:8883\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n",
    )
    .await;
}

#[tokio::test]
async fn what_comes_behind_the_answer_is_the_other_ends() {
    let (asked, rest) = ask(b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\nhello").await;
    asked.unwrap();
    assert_eq!(rest, b"hello");
    let (asked, rest) = ask(b"HTTP/1.1 200\n\n\r\n").await;
    asked.unwrap();
    assert_eq!(rest, b"\r\n");
}

#[tokio::test]
async fn a_proxy_that_makes_no_tunnel_says_why() {
    let check = async |answered: &[u8], expected: &str| {
        let (asked, _) = ask(answered).await;
        let err = asked.unwrap_err().to_string();
        assert_eq!(err, expected, "{}", String::from_utf8_lossy(answered));
    };
    let login = "it asks for a user name and a password, or does not take those that it was given";
    check(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", login).await;
    check(b"HTTP/1.0 401 Unauthorized\r\n\r\n", login).await;
    check(
        b"HTTP/1.1 403 Forbidden\r\n\r\n",
        "it answered with status 403",
    )
    .await;
    check(
        b"HTTP/1.1 100 Continue\r\n\r\n",
        "it answered with status 100",
    )
    .await;
    let rubbish = "its answer is not HTTP";
    check(b"SSH-2.0-OpenSSH_9.2\r\n", rubbish).await;
    check(b"HTTP/2 200\r\n\r\n", rubbish).await;
    check(b"HTTP/1.1 20\r\n\r\n", rubbish).await;
    check(b"HTTP/1.1 2000\r\n\r\n", rubbish).await;
    check(b"HTTP/1.1 +20 OK\r\n\r\n", rubbish).await;
    check(b"HTTP/1.1 099 OK\r\n\r\n", rubbish).await;
    check(b"HTTP/1.x 200 OK\r\n\r\n", rubbish).await;
    check(b"", "it closed the connection").await;
    check(b"HTTP/1.1 200 OK\r\nVia: x", "it closed the connection").await;
    let mut huge = b"HTTP/1.1 200 OK\r\n".to_vec();
    huge.resize(10 * HEAD_SIZE_MAX_BYTES, b'x');
    check(&huge, "its answer has a head of more than 8192 bytes").await;
}
