//! The management socket: one HTTP request per connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::lines::Lines;
use crate::wait;

/// An answer: its status and its body, null where it has none.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status line and the headers, as they came.
    pub head: String,
    /// The body.
    pub body: Value,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(found.1.trim())
    }
}

/// Asks the process that holds a data folder. `None` when nobody listens there.
///
/// # Panics
/// When what answers does not speak HTTP.
pub fn ask(data: &Path, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
    ask_with(data, method, path, &[], body)
}

/// As [`ask`], with more headers, each a whole line without its end.
///
/// # Panics
/// When what answers does not speak HTTP.
pub fn ask_with(
    data: &Path,
    method: &str,
    path: &str,
    headers: &[&str],
    body: Option<&Value>,
) -> Option<Answer> {
    let mut stream = request(data, method, path, headers, body)?;
    stream.set_read_timeout(Some(wait::LIMIT)).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    answer(bytes)
}

/// Reads an answer; `None` when there is none.
///
/// # Panics
/// When it is not HTTP.
pub fn answer(bytes: Vec<u8>) -> Option<Answer> {
    let answer = String::from_utf8(bytes).expect("answers are UTF-8");
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
        head: format!("{head}\r\n"),
        body,
    })
}

/// Asks for a stream of lines; it is being sent when this returns. It ends with the process.
///
/// # Panics
/// When there is none.
pub fn stream(data: &Path, path: &str) -> Lines {
    let stream = request(data, "GET", path, &[], None).expect("somebody listens on the socket");
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let length = reader.read_line(&mut head).expect("the head can be read");
        assert!(length > 0, "no whole head: {head}");
    }
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        head.to_lowercase().contains("transfer-encoding: chunked"),
        "{head}"
    );
    Lines::collect(Chunked { reader, left: 0 }).0
}

fn request(
    data: &Path,
    method: &str,
    path: &str,
    headers: &[&str],
    body: Option<&Value>,
) -> Option<UnixStream> {
    let mut stream = UnixStream::connect(data.join("control.sock")).ok()?;
    let request = request_text(method, path, headers, body);
    stream.write_all(request.as_bytes()).ok()?;
    Some(stream)
}

/// A request on a connection of its own; `headers` are whole lines without their ends.
pub fn request_text(method: &str, path: &str, headers: &[&str], body: Option<&Value>) -> String {
    let body = body.map(ToString::to_string).unwrap_or_default();
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// A body in the chunked coding (RFC 9112, section 7.1) without it.
struct Chunked<R> {
    reader: BufReader<R>,
    /// Bytes left of the chunk.
    left: usize,
}

impl<R: Read> Read for Chunked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            while line.trim().is_empty() {
                line.clear();
                if self.reader.read_line(&mut line)? == 0 {
                    return Ok(0);
                }
            }
            self.left = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        }
        let length = buffer.len().min(self.left);
        let length = self.reader.read(&mut buffer[..length])?;
        self.left -= length;
        Ok(length)
    }
}
