//! An answer whose body is read as it comes.
//!
//! Owns the limits of a body: how long nothing may come, and how much is taken. Nothing is decoded: a body is what
//! went over the wire, whatever `Content-Encoding` says of it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{HeaderMap, StatusCode};
use tokio::time::{Instant, timeout};

use super::{HttpError, Open};

/// What has to come within the time for an answer to count as going on: less than the thinnest links carry, so that
/// a byte now and then does not hold a connection for ever.
const PROGRESS_MIN_BYTES: usize = 1024;

/// An answer whose head is there.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// Whose it is.
    host: String,
    open: Open,
    incoming: Incoming,
    is_at_end: bool,
    patience: Duration,
    /// What is left of it until more has come.
    left: Duration,
    since_progress_bytes: usize,
}

impl Answer {
    pub(super) fn new(
        open: Open,
        response: hyper::Response<Incoming>,
        host: String,
        patience: Duration,
    ) -> Self {
        let (head, incoming) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            host,
            open,
            incoming,
            is_at_end: false,
            patience,
            left: patience,
            since_progress_bytes: 0,
        }
    }

    /// What comes next of the body, at most [`super::HEAD_SIZE_MAX_BYTES`]; none at its end.
    ///
    /// Only time that is spent here counts: a caller may take as long as it likes with what it got.
    ///
    /// # Errors
    /// [`HttpError::Stalled`] and [`HttpError::Broken`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        while !self.is_at_end {
            let asked_at = Instant::now();
            let Ok(frame) = timeout(self.left, self.incoming.frame()).await else {
                return Err(HttpError::Stalled {
                    host: self.host.clone(),
                    limit: self.patience,
                });
            };
            self.left = self.left.saturating_sub(asked_at.elapsed());
            let Some(frame) = frame else {
                self.is_at_end = true;
                break;
            };
            let frame = frame.map_err(|source| HttpError::Broken {
                host: self.host.clone(),
                source,
            })?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.since_progress_bytes += data.len();
            if self.since_progress_bytes >= PROGRESS_MIN_BYTES {
                self.since_progress_bytes = 0;
                self.left = self.patience;
            }
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The rest of the body, which has at most so many bytes.
    ///
    /// # Errors
    /// As [`Self::chunk`], and [`HttpError::TooLarge`].
    ///
    /// # Cancel safety
    /// What came is lost.
    pub async fn whole(&mut self, limit: usize) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > limit {
                let host = self.host.clone();
                return Err(HttpError::TooLarge { host, limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The connection, if the body was read to its end.
    pub(super) fn into_connection(self) -> Option<Open> {
        self.is_at_end.then_some(self.open)
    }
}
