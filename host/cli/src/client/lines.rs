//! Reads a stream of JSON lines from a process or hub that may send anything.

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{HeaderMap, Response};
use serde::de::DeserializeOwned;
use tokio_util::task::AbortOnDropHandle;

use super::{ClientError, Peer};

/// The longest line that is accepted: a message of 256 KiB in base64 with its properties fits twice.
pub(crate) const LINE_SIZE_MAX_BYTES: usize = 1 << 20;

/// The lines of one answer, in order.
#[derive(Debug)]
pub(crate) struct Lines {
    body: Incoming,
    /// What arrived and was not given out; below [`LINE_SIZE_MAX_BYTES`] and one frame.
    buffer: BytesMut,
    /// So many bytes at the buffer's start are known to hold no line feed.
    searched: usize,
    ended: bool,
    head: HeaderMap,
    peer: Peer,
    /// Ends with the stream.
    _driver: AbortOnDropHandle<()>,
}

impl Lines {
    pub(super) fn new(
        response: Response<Incoming>,
        driver: AbortOnDropHandle<()>,
        peer: Peer,
    ) -> Self {
        let (head, body) = response.into_parts();
        Self {
            head: head.headers,
            body,
            buffer: BytesMut::new(),
            searched: 0,
            ended: false,
            peer,
            _driver: driver,
        }
    }

    /// A number that was told in the head of its answer.
    pub(crate) fn number_in_head(&self, name: &str) -> Option<u64> {
        self.head.get(name)?.to_str().ok()?.parse().ok()
    }

    /// The next line's value; `None` when the other end ended the stream in order. Empty lines are skipped.
    ///
    /// # Errors
    /// [`ClientError::LineTooLong`], [`ClientError::NotJson`], [`ClientError::Broken`]; the stream is of no use after.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped: what arrived stays in `self`.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(line) = self.take_line()? {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(ClientError::NotJson);
            }
            if self.ended {
                return Ok(None);
            }
            match self.body.frame().await {
                None => self.ended = true,
                Some(frame) => {
                    let peer = self.peer;
                    let frame = frame.map_err(|source| ClientError::Broken { peer, source })?;
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    /// A whole line of the buffer, or, at the end of the stream, what is left of it.
    fn take_line(&mut self) -> Result<Option<BytesMut>, ClientError> {
        let found = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n');
        let length = found.map_or(self.buffer.len(), |at| self.searched + at);
        if length > LINE_SIZE_MAX_BYTES {
            return Err(ClientError::LineTooLong {
                peer: self.peer,
                limit: LINE_SIZE_MAX_BYTES,
            });
        }
        self.searched = length;
        if found.is_none() && (!self.ended || length == 0) {
            return Ok(None);
        }
        self.searched = 0;
        let line = self.buffer.split_to(length);
        if found.is_some() {
            drop(self.buffer.split_to(1));
        }
        Ok(Some(line))
    }
}
