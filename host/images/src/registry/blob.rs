//! Where blobs that are pulled go, and where those that are pushed come from.

use std::fmt;
use std::fs::File;
use std::io;

use bytes::Bytes;

use crate::digest::Digest;

/// Takes the bytes of a blob in order. What it holds already is not asked for again.
pub trait BlobSink: Send {
    /// How many bytes it holds.
    fn size_bytes(&self) -> u64;

    /// Adds bytes behind those that it holds. Never more than the blob's descriptor states in all.
    fn append(&mut self, bytes: Bytes) -> impl Future<Output = io::Result<()>> + Send;

    /// The digest of all that it holds.
    fn digest(&mut self) -> impl Future<Output = io::Result<Digest>> + Send;

    /// Throws away what it holds.
    fn restart(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// In memory.
impl BlobSink for Vec<u8> {
    fn size_bytes(&self) -> u64 {
        self.len() as u64
    }

    async fn append(&mut self, bytes: Bytes) -> io::Result<()> {
        self.extend_from_slice(&bytes);
        Ok(())
    }

    async fn digest(&mut self) -> io::Result<Digest> {
        Ok(Digest::of(self))
    }

    async fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

/// The bytes of a blob that is pushed.
pub enum BlobSource {
    /// In memory.
    Bytes(Bytes),
    /// A file, which is opened for each try and read as it goes out.
    File(Box<dyn Fn() -> io::Result<File> + Send + Sync>),
}

impl fmt::Debug for BlobSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes(_) => "Bytes",
            Self::File(_) => "File",
        })
    }
}
