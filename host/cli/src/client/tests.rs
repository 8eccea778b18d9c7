//! Tests of [`super`] against a socket that answers with any bytes.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::lines::LINE_SIZE_MAX_BYTES;
use super::*;

/// A data folder with a listener that reads one request's head, writes `answer` and closes.
///
/// The task gives the request back.
fn device_that_answers(answer: Vec<u8>) -> (TempDir, JoinHandle<String>) {
    let folder = TempDir::new().unwrap();
    let task = serve_once(folder.path(), answer);
    (folder, task)
}

fn serve_once(folder: &Path, answer: Vec<u8>) -> JoinHandle<String> {
    let data = DataFolder::open(folder).unwrap();
    let listener = UnixListener::bind(data.socket_path()).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            assert_ne!(
                stream.read_buf(&mut request).await.unwrap(),
                0,
                "the head is complete"
            );
        }
        // A client that has seen enough closes early: writing fails then, as it should.
        drop(stream.write_all(&answer).await);
        String::from_utf8(request).unwrap()
    })
}

fn document(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn chunked(chunks: &[&str], end: bool) -> Vec<u8> {
    let mut answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    for chunk in chunks {
        answer.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    }
    if end {
        answer.push_str("0\r\n\r\n");
    }
    answer.into_bytes()
}

async fn get(answer: Vec<u8>) -> Result<Value, ClientError> {
    let (folder, _task) = device_that_answers(answer);
    Client::open(folder.path())?
        .get(&Target::path(&["v1", "info"]))
        .await
}

/// All values of a stream and how it ended.
async fn read_lines(answer: Vec<u8>) -> (Vec<Value>, Result<(), ClientError>) {
    let (folder, _task) = device_that_answers(answer);
    let client = Client::open(folder.path()).unwrap();
    let mut lines = client.stream(&Target::path(&["v1", "logs"])).await.unwrap();
    let mut values = Vec::new();
    loop {
        match lines.next().await {
            Ok(Some(value)) => values.push(value),
            Ok(None) => return (values, Ok(())),
            Err(err) => return (values, Err(err)),
        }
    }
}

#[tokio::test]
async fn a_document_is_read() {
    assert_eq!(
        get(document(r#"{"pid":1}"#)).await.unwrap(),
        json!({"pid": 1})
    );
}

#[tokio::test]
async fn a_data_folder_with_a_long_path_is_reached() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("d".repeat(200)).join("e".repeat(200));
    fs::create_dir_all(&folder).unwrap();
    let _task = serve_once(&folder, document("[]"));
    let client = Client::open(&folder).unwrap();
    assert_eq!(client.get(&Target::path(&["v1"])).await.unwrap(), json!([]));
}

#[tokio::test]
async fn a_patch_carries_its_etag_and_its_body() {
    let (folder, task) = device_that_answers(document("{}"));
    let client = Client::open(folder.path()).unwrap();
    let target = Target::twin("d", Some("$edgeAgent"));
    client
        .patch(&target, &json!({"a": 1}), Some("\"AAA=\""))
        .await
        .unwrap();
    let request = task.await.unwrap();
    assert!(
        request
            .starts_with("PATCH /twins/d/modules/%24edgeAgent?api-version=2021-04-12 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("\r\nif-match: \"AAA=\"\r\n"), "{request}");
    assert!(request.contains("\r\ncontent-length: 7\r\n"), "{request}");
}

#[tokio::test]
async fn nobody_listening_is_told_apart() {
    let folder = TempDir::new().unwrap();
    let client = Client::open(folder.path()).unwrap();
    let target = Target::path(&["v1"]);
    assert!(matches!(
        client.get(&target).await,
        Err(ClientError::NotListening { .. })
    ));
    // A socket file that its process left behind.
    drop(UnixListener::bind(folder.path().join("control.sock")).unwrap());
    assert!(matches!(
        client.get(&target).await,
        Err(ClientError::NotListening { .. })
    ));
    assert!(matches!(
        Client::open(&folder.path().join("none")),
        Err(ClientError::DataFolder { .. })
    ));
}

#[tokio::test]
async fn wrong_json_is_an_error() {
    assert!(matches!(
        get(document(r#"{"pid":"#)).await,
        Err(ClientError::NotJson(_))
    ));
    assert!(matches!(
        get(document(&"[".repeat(100_000))).await,
        Err(ClientError::NotJson(_))
    ));
}

#[tokio::test]
async fn a_connection_closed_early_is_an_error() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}".to_vec();
    for answer in [
        Vec::new(),
        b"HTTP/1.1 200".to_vec(),
        b"no http at all\r\n\r\n".to_vec(),
        cut,
    ] {
        let error = get(answer).await.unwrap_err();
        assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_huge_head_is_an_error() {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n",
        "x".repeat(10 << 20)
    );
    assert!(matches!(
        get(answer.into_bytes()).await,
        Err(ClientError::Broken { .. })
    ));
}

#[tokio::test]
async fn a_huge_document_is_cut_off() {
    let chunk = "x".repeat(1 << 20);
    let chunks = vec![chunk.as_str(); 17];
    assert!(matches!(
        get(chunked(&chunks, true)).await,
        Err(ClientError::TooLarge { .. })
    ));
}

#[tokio::test]
async fn a_device_that_never_answers_is_given_up() {
    let folder = TempDir::new().unwrap();
    let _listener = UnixListener::bind(folder.path().join("control.sock")).unwrap();
    let mut client = Client::open(folder.path()).unwrap();
    client.answer_time_max = Duration::ZERO;
    let error = client.get(&Target::path(&["v1"])).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Timeout { what: "answer", .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn lines_are_put_together_from_any_pieces() {
    let (values, end) = read_lines(chunked(&["{\"a\"", ":1}\n\n 2", "\n", "3\r\n4"], true)).await;
    assert_eq!(values, [json!({"a": 1}), json!(2), json!(3), json!(4)]);
    end.unwrap();
}

#[tokio::test]
async fn an_endless_line_is_cut_off() {
    let chunk = "x".repeat(LINE_SIZE_MAX_BYTES / 4);
    let (values, end) = read_lines(chunked(
        &["1\n", &chunk, &chunk, &chunk, &chunk, &chunk],
        false,
    ))
    .await;
    assert_eq!(values, [json!(1)]);
    assert!(
        matches!(end, Err(ClientError::LineTooLong { .. })),
        "{end:?}"
    );
}

#[tokio::test]
async fn a_line_of_the_greatest_length_is_read() {
    let text = "x".repeat(LINE_SIZE_MAX_BYTES - 2);
    let (values, end) = read_lines(chunked(&[&format!("\"{text}\"\n")], true)).await;
    assert_eq!(values, [json!(text)]);
    end.unwrap();
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_no_orderly_end() {
    let (values, end) = read_lines(chunked(&["1\n2\n"], false)).await;
    assert_eq!(values, [json!(1), json!(2)]);
    assert!(matches!(end, Err(ClientError::Broken { .. })), "{end:?}");
    let (values, end) = read_lines(chunked(&["1\nnot json\n"], true)).await;
    assert_eq!(values, [json!(1)]);
    assert!(matches!(end, Err(ClientError::NotJson(_))), "{end:?}");
}
