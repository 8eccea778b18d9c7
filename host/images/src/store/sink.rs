//! A download as the registry client fills it: its files are written on threads for blocking work.

use std::io;

use bytes::Bytes;

use super::ImageStore;
use super::download::Download;
use super::error::StoreError;
use crate::digest::Digest;
use crate::document::Descriptor;
use crate::registry::blob::BlobSink;

/// A blob on its way from a registry into the store. Dropped before its end, it can be gone on with later.
#[derive(Debug)]
pub struct StoreSink {
    /// Away while a thread has it.
    download: Option<Download>,
    size_bytes: u64,
    failure: Option<StoreError>,
}

impl StoreSink {
    /// Begins a blob, or goes on with one that was cut; `None` when it is in the store.
    ///
    /// # Errors
    /// As [`ImageStore::begin`].
    pub async fn begin(
        store: &ImageStore,
        descriptor: &Descriptor,
    ) -> Result<Option<Self>, StoreError> {
        let (store, descriptor) = (store.clone(), descriptor.clone());
        let begun = on_thread(move || store.begin(&descriptor)).await?;
        Ok(begun.map(|download| Self {
            size_bytes: download.size_bytes(),
            download: Some(download),
            failure: None,
        }))
    }

    /// How many bytes were there from before.
    pub fn resumed_bytes(&self) -> u64 {
        self.download.as_ref().map_or(0, Download::resumed_bytes)
    }

    /// Verifies what came and makes it a blob.
    ///
    /// # Errors
    /// As [`Download::finish`].
    pub async fn finish(mut self) -> Result<(), StoreError> {
        let download = self.download.take();
        on_thread(move || download.map_or(Ok(()), Download::finish)).await
    }

    /// Gives a transfer up: what came of use is kept. Answers why the store did not take what came, where that ended
    /// it.
    pub async fn give_up(mut self) -> Option<StoreError> {
        let download = self.download.take();
        on_thread(move || drop(download)).await;
        self.failure
    }

    /// Does something with the download on a thread for blocking work.
    async fn with<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Download) -> Result<T, StoreError> + Send + 'static,
    ) -> io::Result<T> {
        let Some(mut download) = self.download.take() else {
            // A call before was cancelled, and the thread has let go of it since.
            return Err(io::ErrorKind::Interrupted.into());
        };
        let (download, done) = on_thread(move || {
            let done = act(&mut download);
            (download, done)
        })
        .await;
        self.size_bytes = download.size_bytes();
        self.download = Some(download);
        done.map_err(|err| {
            let shown = io::Error::other(err.to_string());
            self.failure = Some(err);
            shown
        })
    }
}

impl BlobSink for StoreSink {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    async fn append(&mut self, bytes: Bytes) -> io::Result<()> {
        self.with(move |download| download.append(&bytes)).await
    }

    async fn digest(&mut self) -> io::Result<Digest> {
        self.with(|download| Ok(download.digest())).await
    }

    async fn restart(&mut self) -> io::Result<()> {
        self.with(Download::restart).await
    }
}

async fn on_thread<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(act)
        .await
        .expect("the store does not panic, and the runtime outlives the transfer")
}
