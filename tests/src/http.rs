//! The management socket: one HTTP request per connection.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::wait;

/// An answer: its status and its body, null where it has none.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Value,
}

/// Asks the process that holds a data folder. `None` when nobody listens there.
///
/// # Panics
/// When what answers does not speak HTTP.
pub fn ask(data: &Path, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
    let mut stream = UnixStream::connect(data.join("control.sock")).ok()?;
    let body = body.map(ToString::to_string).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.set_read_timeout(Some(wait::LIMIT)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).expect("answers are UTF-8");
    if answer.is_empty() {
        return None;
    }
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no HTTP: {answer}"));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(body).unwrap_or_else(|err| panic!("{err}: {answer}"))
    };
    Some(Answer {
        status: status.unwrap_or_else(|| panic!("no HTTP: {answer}")),
        body,
    })
}
