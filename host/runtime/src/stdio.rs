//! Standard output and error of a module: taken line by line into its log.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::guest::{LOG_TEXT_MAX_BYTES, LogLevel, LogLine, LogStream, ModuleHost, cut};

/// Bytes that a guest may write at a time.
const WRITE_MAX_BYTES: usize = 64 * 1024;

/// One of the two streams. Clones write to the same line.
#[derive(Clone)]
pub(crate) struct LineStream {
    line: Arc<Mutex<LineBuffer>>,
}

impl LineStream {
    pub(crate) fn new(host: Arc<dyn ModuleHost>, stream: LogStream) -> Self {
        let level = if stream == LogStream::Stderr {
            LogLevel::Warn
        } else {
            LogLevel::Info
        };
        Self {
            line: Arc::new(Mutex::new(LineBuffer {
                host,
                stream,
                level,
                held: Vec::new(),
                overlong: false,
            })),
        }
    }

    fn take(&self, bytes: &[u8]) {
        self.line
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take(bytes);
    }

    /// Logs what was written without a line end, at the end of the instance.
    pub(crate) fn finish(&self) {
        self.line
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .end_line();
    }
}

struct LineBuffer {
    host: Arc<dyn ModuleHost>,
    stream: LogStream,
    level: LogLevel,
    held: Vec<u8>,
    /// The line's first part was logged; the rest is dropped.
    overlong: bool,
}

impl LineBuffer {
    fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            self.append(text);
            if ended {
                self.end_line();
                self.overlong = false;
            }
        }
    }

    fn append(&mut self, text: &[u8]) {
        if self.overlong {
            return;
        }
        let space = LOG_TEXT_MAX_BYTES + 1 - self.held.len();
        self.held.extend_from_slice(&text[..text.len().min(space)]);
        if self.held.len() > LOG_TEXT_MAX_BYTES {
            self.end_line();
            self.overlong = true;
        }
    }

    fn end_line(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let text = cut(
            String::from_utf8_lossy(&self.held).into_owned(),
            LOG_TEXT_MAX_BYTES,
        );
        self.held.clear();
        self.held.shrink_to(1024);
        self.host.log(LogLine {
            stream: self.stream,
            level: self.level,
            text,
            fields: Vec::new(),
        });
    }
}

impl IsTerminal for LineStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LineStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for LineStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LineStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE_MAX_BYTES {
            return Err(StreamError::trap("written more than check-write allowed"));
        }
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_MAX_BYTES)
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
