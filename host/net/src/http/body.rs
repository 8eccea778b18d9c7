//! What is sent: nothing, bytes, or a file that is read as it goes out.

use std::fs::File;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::JoinHandle;

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// The body of a request.
#[derive(Debug, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Bytes),
    /// So many bytes of a file, from where it stands; read off the async threads.
    File {
        /// The file.
        file: File,
        /// How many bytes.
        size_bytes: u64,
    },
}

/// A body on its way.
pub(super) struct Outgoing {
    rest: Rest,
    left_bytes: u64,
    sent_bytes: Arc<AtomicU64>,
}

enum Rest {
    Bytes(Bytes),
    File(File),
    Reading(JoinHandle<io::Result<(File, Vec<u8>)>>),
    Done,
}

impl Body {
    /// How long it is.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size_bytes, .. } => *size_bytes,
        }
    }
}

impl Outgoing {
    pub(super) fn new(body: Body, sent_bytes: Arc<AtomicU64>) -> Self {
        let left_bytes = body.size_bytes();
        let rest = match body {
            Body::Bytes(bytes) if !bytes.is_empty() => Rest::Bytes(bytes),
            Body::File { file, .. } if left_bytes > 0 => Rest::File(file),
            _ => Rest::Done,
        };
        Self {
            rest,
            left_bytes,
            sent_bytes,
        }
    }

    fn poll_chunk(&mut self, ctx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            match std::mem::replace(&mut self.rest, Rest::Done) {
                Rest::Done => return Poll::Ready(None),
                Rest::Bytes(bytes) => {
                    self.left_bytes = 0;
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Rest::File(file) => {
                    let left = usize::try_from(self.left_bytes).unwrap_or(usize::MAX);
                    let size = left.min(CHUNK_BYTES);
                    let reading = tokio::task::spawn_blocking(move || read(file, size));
                    self.rest = Rest::Reading(reading);
                }
                Rest::Reading(mut reading) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(ctx) else {
                        self.rest = Rest::Reading(reading);
                        return Poll::Pending;
                    };
                    let read = read.map_err(io::Error::other).flatten();
                    return Poll::Ready(Some(read.map(|(file, chunk)| {
                        self.left_bytes -= chunk.len() as u64;
                        if self.left_bytes > 0 {
                            self.rest = Rest::File(file);
                        }
                        Bytes::from(chunk)
                    })));
                }
            }
        }
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let chunk = ready!(self.poll_chunk(ctx));
        if let Some(Ok(chunk)) = &chunk {
            let length = chunk.len() as u64;
            self.sent_bytes.fetch_add(length, Ordering::Relaxed);
        }
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.rest, Rest::Done)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}

/// A file that ends before is an error: its length was promised.
fn read(mut file: File, size: usize) -> io::Result<(File, Vec<u8>)> {
    let mut chunk = vec![0; size];
    file.read_exact(&mut chunk)?;
    Ok((file, chunk))
}
