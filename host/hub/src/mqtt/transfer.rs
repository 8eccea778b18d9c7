//! Bytes between a stream and the protocol.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::protocol::Protocol;

/// Bytes that are read at once. They lie on the stack while a task runs, so that a connection at
/// rest has no buffer.
const CHUNK_BYTES: usize = 16 * 1024;

/// Chunks that are read before what they hold is looked at.
const CHUNKS_MAX: usize = 4;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// Bytes moved, in either direction.
    Bytes,
    /// The client sends no more.
    End,
}

/// Moves bytes.
#[derive(Debug, Default)]
pub(super) struct Transfer {
    /// Whether the stream may hold back something that was written.
    flush: bool,
}

impl Transfer {
    /// Writes what can be written, and reads, if it is wanted and `reads`, what can be read.
    pub(super) fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        protocol: &mut Protocol,
        reads: bool,
        ctx: &mut Context<'_>,
    ) -> Poll<io::Result<Moved>> {
        let wrote = self.poll_write(stream, protocol, ctx)?;
        let read = match reads && protocol.wants_input() {
            true => poll_read(stream, protocol, ctx)?,
            false => Poll::Pending,
        };
        match (wrote, read) {
            (_, Poll::Ready(moved)) => Poll::Ready(Ok(moved)),
            (true, Poll::Pending) => Poll::Ready(Ok(Moved::Bytes)),
            (false, Poll::Pending) => Poll::Pending,
        }
    }

    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        protocol: &mut Protocol,
        ctx: &mut Context<'_>,
    ) -> io::Result<bool> {
        let mut wrote = false;
        while !protocol.output().is_empty() {
            let Poll::Ready(written) = Pin::new(&mut *stream).poll_write(ctx, protocol.output())
            else {
                return Ok(wrote);
            };
            let count = written?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            protocol.written(count, tokio::time::Instant::now().into_std());
            self.flush = true;
            wrote = true;
        }
        if self.flush
            && let Poll::Ready(flushed) = Pin::new(&mut *stream).poll_flush(ctx)
        {
            flushed?;
            self.flush = false;
        }
        Ok(wrote)
    }
}

fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut S,
    protocol: &mut Protocol,
    ctx: &mut Context<'_>,
) -> io::Result<Poll<Moved>> {
    let mut chunk = [const { MaybeUninit::uninit() }; CHUNK_BYTES];
    let mut buffer = ReadBuf::uninit(&mut chunk);
    for count in 0..CHUNKS_MAX {
        buffer.clear();
        let Poll::Ready(read) = Pin::new(&mut *stream).poll_read(ctx, &mut buffer) else {
            return Ok(match count {
                0 => Poll::Pending,
                _ => Poll::Ready(Moved::Bytes),
            });
        };
        read?;
        if buffer.filled().is_empty() {
            // What came before the end is looked at first; the end comes again.
            return Ok(Poll::Ready(if count == 0 {
                Moved::End
            } else {
                Moved::Bytes
            }));
        }
        protocol.receive(buffer.filled());
    }
    Ok(Poll::Ready(Moved::Bytes))
}
