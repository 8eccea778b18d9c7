//! An output stream into `/data` that charges growth before it writes.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynOutputStream, OutputStream, Pollable, StreamError, StreamResult};

use crate::filesystem::quota::DataQuota;

/// Bytes that one stream takes at a time; the host holds them until they are written.
const WRITE_MAX_BYTES: usize = 64 * 1024;

/// Error number of a used-up quota (`EDQUOT`), which guests see as their own.
const QUOTA_ERRNO: i32 = rustix::io::Errno::DQUOT.raw_os_error();

/// A stream into a file with a quota.
pub(super) struct QuotaStream {
    inner: DynOutputStream,
    file: Arc<File>,
    quota: Arc<DataQuota>,
    /// Where the next byte goes; `None` appends.
    position: Option<u64>,
}

impl QuotaStream {
    pub(super) fn new(
        inner: DynOutputStream,
        file: Arc<File>,
        quota: Arc<DataQuota>,
        position: Option<u64>,
    ) -> Self {
        Self {
            inner,
            file,
            quota,
            position,
        }
    }
}

#[async_trait]
impl Pollable for QuotaStream {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[async_trait]
impl OutputStream for QuotaStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let length = bytes.len() as u64;
        let start = match self.position {
            Some(position) => position,
            None => self
                .file
                .metadata()
                .map_err(|err| StreamError::LastOperationFailed(err.into()))?
                .len(),
        };
        let end = start.saturating_add(length);
        if self.quota.charge_growth(&self.file, end).is_err() {
            let err = std::io::Error::from_raw_os_error(QUOTA_ERRNO);
            return Err(StreamError::LastOperationFailed(err.into()));
        }
        self.position = self.position.map(|_| end);
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.inner.check_write()?.min(WRITE_MAX_BYTES))
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}
