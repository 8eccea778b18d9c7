//! What a process prints, line by line, collected by a thread of its own.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::wait;

/// The lines of one stream, so far.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Written by the reading thread, read by tests.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Reads a stream to its end; the thread ends with it.
    pub fn collect(stream: impl Read + Send + 'static) -> (Self, JoinHandle<()>) {
        let lines = Self::default();
        let inner = Arc::clone(&lines.inner);
        let thread = thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(length) if length > 0) {
                let text = String::from_utf8_lossy(&line);
                let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                inner.lock().lines.push(text);
                inner.changed.notify_all();
                line.clear();
            }
            inner.lock().ended = true;
            inner.changed.notify_all();
        });
        (lines, thread)
    }

    /// All lines so far.
    pub fn all(&self) -> Vec<String> {
        self.inner.lock().lines.clone()
    }

    /// All lines so far as one text.
    pub fn text(&self) -> String {
        let lines = self.all();
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Waits for something in the lines from `from` on; answers it with the number of the line after it.
    ///
    /// `None` when the stream ended without it, or the wait's limit is over.
    pub fn find<T>(
        &self,
        from: usize,
        mut look: impl FnMut(&str) -> Option<T>,
    ) -> Option<(T, usize)> {
        let deadline = Instant::now() + wait::LIMIT;
        let mut next = from;
        let mut state = self.inner.lock();
        loop {
            while next < state.lines.len() {
                next += 1;
                if let Some(found) = look(&state.lines[next - 1]) {
                    return Some((found, next));
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return None;
            }
            let waited = self.inner.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
