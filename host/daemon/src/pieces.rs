//! Content that goes piece by piece between a thread that may block and tasks that may not.
//!
//! Bounded both ways: who is ahead waits. The management API and its clients carry archives of images so.

use std::io::{self, Read, Write};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::sync::mpsc;

/// Pieces that wait; a full channel makes its writer wait.
const PIECES_MAX: usize = 4;

/// The largest piece, in bytes: what one reading of a file brings.
const PIECE_BYTES: usize = 64 * 1024;

/// Where pieces come from, or why there are no more. Dropping it ends the content.
pub type PieceSender = mpsc::Sender<io::Result<Bytes>>;

/// Reads what is sent; blocks, so is used on a thread for blocking work.
#[derive(Debug)]
pub struct PieceReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    /// What is left of the last piece.
    piece: Bytes,
}

/// A channel whose pieces are read as one content.
pub fn reader() -> (PieceSender, PieceReader) {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let piece = Bytes::new();
    (sender, PieceReader { receiver, piece })
}

/// The content that `make` writes, on a thread where it may block. What it fails with ends the content; when nobody
/// takes the content any more, writing fails.
pub fn written(
    make: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    // It ends with the stream, whose other half it is.
    tokio::task::spawn_blocking(move || {
        let pieces = PieceWriter(sender.clone());
        let mut writer = io::BufWriter::with_capacity(PIECE_BYTES, pieces);
        let made = make(&mut writer).and_then(|()| writer.flush());
        if let Err(err) = made {
            let _ = sender.blocking_send(Err(err));
        }
    });
    stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    })
}

/// Sends what is written.
struct PieceWriter(PieceSender);

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(PIECE_BYTES);
        let piece = Bytes::copy_from_slice(&bytes[..length]);
        match self.0.blocking_send(Ok(piece)) {
            Ok(()) => Ok(length),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_written_is_what_is_read() {
        let content: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
        let expected = content.clone();
        let mut pieces = Box::pin(written(move |writer| writer.write_all(&content)));
        let (sender, mut reader) = reader();
        let reading = tokio::task::spawn_blocking(move || {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).map(|_| read)
        });
        while let Some(piece) = pieces.next().await {
            assert!(piece.as_ref().is_ok_and(|piece| piece.len() <= PIECE_BYTES));
            sender.send(piece).await.unwrap();
        }
        drop(sender);
        assert!(reading.await.unwrap().unwrap() == expected);
    }

    #[tokio::test]
    async fn a_fault_of_either_side_reaches_the_other() {
        let failing = written(|_| Err(io::Error::other("gone")));
        let pieces: Vec<_> = failing.collect().await;
        assert_eq!(pieces[0].as_ref().unwrap_err().to_string(), "gone");
        let (sender, mut reader) = reader();
        sender.send(Err(io::Error::other("cut"))).await.unwrap();
        let reading = tokio::task::spawn_blocking(move || reader.read(&mut [0]));
        assert_eq!(reading.await.unwrap().unwrap_err().to_string(), "cut");
    }
}
