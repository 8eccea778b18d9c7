//! Content that is sent and read piece by piece: whoever makes or takes it blocks on a thread of its own.

use std::io::{self, Read, Write};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use wasm_edge_daemon::pieces;

use super::{Body, ClientError, Peer};

/// How long nothing may come in the middle of content.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Content that is being answered.
#[derive(Debug)]
pub(crate) struct Content {
    body: Incoming,
    peer: Peer,
    /// Ends with the content.
    _driver: AbortOnDropHandle<()>,
}

impl Content {
    pub(super) fn new(body: Incoming, driver: AbortOnDropHandle<()>, peer: Peer) -> Self {
        Self {
            body,
            peer,
            _driver: driver,
        }
    }

    /// Hands all of it to `take`, which reads it on a thread where it may block. What `take` answers counts only if the
    /// content came to its end.
    ///
    /// # Errors
    /// The content was cut.
    pub(crate) async fn read_by<T: Send + 'static>(
        mut self,
        take: impl FnOnce(&mut dyn Read) -> T + Send + 'static,
    ) -> Result<T, ClientError> {
        let (sender, mut reader) = pieces::reader();
        let taking = tokio::task::spawn_blocking(move || take(&mut reader));
        let fed = async {
            while let Some(piece) = self.next().await? {
                if sender.send(Ok(piece)).await.is_err() {
                    // It has what it wanted, or has failed.
                    break;
                }
            }
            Ok(())
        }
        .await;
        if fed.is_err() {
            // What came so far is not all of it.
            let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut");
            let _ = sender.send(Err(cut)).await;
        }
        drop(sender);
        let taken = taking.await;
        fed.map(|()| taken.expect("who reads does not panic"))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let peer = self.peer;
        loop {
            let frame = timeout(SILENCE_MAX, self.body.frame()).await;
            let frame = frame.map_err(|_| ClientError::Timeout {
                peer,
                what: "go on with its answer",
                limit: SILENCE_MAX,
            })?;
            match frame {
                None => return Ok(None),
                Some(Err(source)) => return Err(ClientError::Broken { peer, source }),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// A body that `make` writes, on a thread where it may block. What it fails with breaks the request off.
pub(crate) fn body_of(
    make: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Body {
    let pieces = pieces::written(make);
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
}
