//! Single requests over HTTPS, as they stand on the wire.

use std::io::{Read as _, Write as _};

use serde_json::Value;

use crate::http;
use crate::tls::TlsClient;

/// A request over HTTPS, as it stands on the wire: nothing of it is made right.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// Headers of its own, whole lines without their ends.
    pub headers: Vec<String>,
    /// The body.
    pub body: Option<Value>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            ..Self::default()
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(format!("{name}: {value}"));
        self
    }

    /// The same with this body.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Sends it on a connection of its own: status, and all that came behind the status line.
    ///
    /// # Panics
    /// When no HTTP comes back.
    pub fn send(&self, port: u16, client: &TlsClient) -> (u16, String) {
        let headers: Vec<&str> = self.headers.iter().map(String::as_str).collect();
        let (method, path, body) = (&self.method, &self.path, self.body.as_ref());
        let request = http::request_text(method, path, &headers, body);
        let mut stream = client.connect(port).expect("the hub can be connected to");
        // Who is refused early need not have read all of it, and the other side may close without a word.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let status = answer
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        let status = status.and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no HTTP: {answer}"));
        let rest = answer.split_once("\r\n").map_or("", |(_, rest)| rest);
        (status, rest.to_owned())
    }
}
