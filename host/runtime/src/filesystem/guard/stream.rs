//! Streams of files: what they hold in the host is charged, and growth of `/data` before it is written.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

use crate::budget::{Charge, HostBudget};
use crate::filesystem::quota::DataQuota;

/// Bytes that one stream reads or takes at a time; the host holds them until the guest has taken them, or until
/// they are written.
const TRANSFER_MAX_BYTES: usize = 64 * 1024;

/// Streams of files that one module may have open: each keeps a file of the host process open, also after its
/// descriptor was given back.
const STREAMS_MAX: usize = 64;

/// The streams of one instance, counted by their [`StreamPlace`]s.
#[derive(Debug, Default)]
pub(super) struct StreamPlaces(Arc<()>);

/// One of the streams that an instance may have open.
#[derive(Debug)]
pub(super) struct StreamPlace(#[expect(dead_code, reason = "counted by its owner")] Arc<()>);

impl StreamPlaces {
    /// A place for one more stream; `None` if [`STREAMS_MAX`] are open.
    pub(super) fn take(&self) -> Option<StreamPlace> {
        // The owner's own handle is one of those that are counted.
        (Arc::strong_count(&self.0) <= STREAMS_MAX).then(|| StreamPlace(Arc::clone(&self.0)))
    }
}

/// A stream out of a file. What was read ahead is charged until the guest takes it.
pub(super) struct ReadStream {
    inner: DynInputStream,
    budget: Arc<HostBudget>,
    ahead: Option<Charge>,
    _place: StreamPlace,
}

impl ReadStream {
    pub(super) fn new(inner: DynInputStream, budget: Arc<HostBudget>, place: StreamPlace) -> Self {
        Self {
            inner,
            budget,
            ahead: None,
            _place: place,
        }
    }

    /// Charges a read that goes on behind the guest's back.
    fn charge(&mut self) -> StreamResult<()> {
        if self.ahead.is_none() {
            let charge = self.budget.charge(TRANSFER_MAX_BYTES);
            self.ahead = Some(charge.ok_or_else(out_of_budget)?);
        }
        Ok(())
    }
}

#[async_trait]
impl Pollable for ReadStream {
    async fn ready(&mut self) {
        // Without a charge nothing is read ahead: the read itself then says what is wrong.
        if self.charge().is_ok() {
            self.inner.ready().await;
        }
    }
}

#[async_trait]
impl InputStream for ReadStream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let size = size.min(TRANSFER_MAX_BYTES);
        if size == 0 {
            return self.inner.read(0);
        }
        self.charge()?;
        let bytes = self.inner.read(size);
        // Nothing yet: it comes later. As much as was asked for: there may be more of it.
        if bytes
            .as_ref()
            .map_or(true, |bytes| !bytes.is_empty() && bytes.len() < size)
        {
            self.ahead = None;
        }
        bytes
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        let size = size.min(TRANSFER_MAX_BYTES);
        self.charge()?;
        let bytes = self.inner.blocking_read(size).await;
        if bytes.as_ref().map_or(true, |bytes| bytes.len() < size) {
            self.ahead = None;
        }
        bytes
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

/// A stream into a file. What waits to be written is charged.
pub(super) struct WriteStream {
    inner: DynOutputStream,
    budget: Arc<HostBudget>,
    waiting: Option<Charge>,
    quota: Option<QuotaUse>,
    _place: StreamPlace,
}

/// The quota that a stream's file counts for.
pub(super) struct QuotaUse {
    pub(super) quota: Arc<DataQuota>,
    pub(super) file: Arc<File>,
    /// Where the next byte goes; `None` appends.
    pub(super) position: Option<u64>,
}

impl QuotaUse {
    fn charge(&mut self, length: u64) -> StreamResult<()> {
        let failed = |err: std::io::Error| StreamError::LastOperationFailed(err.into());
        let start = match self.position {
            Some(position) => position,
            None => self.file.metadata().map_err(failed)?.len(),
        };
        let end = start.saturating_add(length);
        if self.quota.charge_growth(&self.file, end).is_err() {
            return Err(failed(rustix::io::Errno::DQUOT.into()));
        }
        self.position = self.position.map(|_| end);
        Ok(())
    }
}

impl WriteStream {
    /// `quota` is that of `/data`; folders of the host have none of ours.
    pub(super) fn new(
        inner: DynOutputStream,
        quota: Option<QuotaUse>,
        budget: Arc<HostBudget>,
        place: StreamPlace,
    ) -> Self {
        Self {
            inner,
            budget,
            waiting: None,
            quota,
            _place: place,
        }
    }
}

#[async_trait]
impl Pollable for WriteStream {
    async fn ready(&mut self) {
        self.inner.ready().await;
        self.waiting = None;
    }
}

#[async_trait]
impl OutputStream for WriteStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > TRANSFER_MAX_BYTES {
            return Err(StreamError::trap("written more than check-write allowed"));
        }
        if self.waiting.is_none() {
            let charge = self.budget.charge(TRANSFER_MAX_BYTES);
            self.waiting = Some(charge.ok_or_else(out_of_budget)?);
        }
        if let Some(quota) = &mut self.quota {
            quota.charge(bytes.len() as u64)?;
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.inner.check_write()?.min(TRANSFER_MAX_BYTES))
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

fn out_of_budget() -> StreamError {
    StreamError::LastOperationFailed(std::io::Error::from(rustix::io::Errno::NOMEM).into())
}
