//! Bodies of requests and answers, and the memory that they take.
//!
//! Owns counting their bytes as long as somebody holds them: those of a
//! request until it is answered, those of an answer until they are written.
//! Leaves how many there may be to the places, and what a client is told whose
//! request has no room to its caller.

use std::future::Future as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, HttpBody};
use axum::http::Response;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::places::{Full, Place, Places};

/// What came of a request's body.
#[derive(Debug)]
pub(super) struct Received {
    place: Mutex<Place>,
    refused: AtomicBool,
}

impl Received {
    /// Of a body of which nothing came yet.
    pub(super) fn new(place: Place) -> Self {
        Self {
            place: Mutex::new(place),
            refused: AtomicBool::new(false),
        }
    }

    /// Whether there was no room for it.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) -> Result<(), NoRoom> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.grow(bytes).map_err(|_| {
            self.refused.store(true, Ordering::Relaxed);
            NoRoom
        })
    }
}

/// A body that has to be there as a whole within a time, and has room.
pub(super) struct TimedBody {
    body: Incoming,
    limit: Duration,
    received: Arc<Received>,
    /// There once somebody had to wait for the body.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// There is no room for the body.
#[derive(Debug, thiserror::Error)]
#[error("there is no room for the body of the request")]
struct NoRoom;

/// The body took too long.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request did not come within {} s", limit.as_secs())]
struct BodyTimeout {
    limit: Duration,
}

impl TimedBody {
    pub(super) fn new(body: Incoming, limit: Duration, received: Arc<Received>) -> Self {
        Self {
            body,
            limit,
            received,
            deadline: None,
        }
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let counted = frame.map(|frame| {
                let frame = frame?;
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.received.add(bytes)?;
                Ok(frame)
            });
            return Poll::Ready(counted);
        }
        let limit = self.limit;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        match deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(BodyTimeout { limit }.into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts an answer until it is written. One that is made as it is read holds little, and is not counted.
pub(super) fn hold(
    response: Response<Body>,
    places: &Places,
    address: IpAddr,
    may_refuse: bool,
) -> Result<Response<Body>, Full> {
    let bytes = response.body().size_hint().exact().unwrap_or_default();
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if bytes == 0 {
        return Ok(response);
    }
    let place = match may_refuse {
        true => places.take(address, bytes)?,
        false => places.take_anyway(address, bytes),
    };
    let place = Arc::new(place);
    Ok(response.map(|body| Body::new(HeldBody { body, place })))
}

/// The body of an answer, with the places for all its bytes.
struct HeldBody {
    body: Body,
    place: Arc<Place>,
}

/// A part of an answer. What waits to be written keeps the part, and by it the places.
struct HeldPart {
    bytes: Bytes,
    _place: Arc<Place>,
}

impl AsRef<[u8]> for HeldPart {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let held = |bytes| {
            Bytes::from_owner(HeldPart {
                bytes,
                _place: Arc::clone(&self.place),
            })
        };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(held))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
