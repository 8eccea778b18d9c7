//! New lines for those who follow: each has a queue bounded in bytes, and is told how many lines it missed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;
use wasm_edge_model::identity::ModuleId;

use super::entry::LogEntry;

/// Bytes of lines that may wait for one follower.
pub const FEED_MAX_BYTES: usize = 256 * 1024;

/// Those who may follow at once; each costs at most [`FEED_MAX_BYTES`].
pub const FOLLOWERS_MAX: usize = 32;

/// What comes next of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedEvent {
    /// A line.
    Line(Arc<LogEntry>),
    /// So many lines found no place here.
    Missed(u64),
}

/// Why nobody else can follow.
#[derive(Debug, thiserror::Error)]
#[error("{FOLLOWERS_MAX} followers read the logs already")]
pub struct TooManyFollowers;

/// The end that lines are passed into.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    queues: Vec<Weak<Queue>>,
    is_closed: bool,
}

/// The end of one follower.
#[derive(Debug)]
pub struct LogFeed {
    queue: Arc<Queue>,
}

#[derive(Debug)]
struct Queue {
    module: Option<ModuleId>,
    /// Filled by [`Feeds`], emptied by the follower.
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<FeedEvent>,
    bytes: usize,
    /// Lines that found no place since the last one that did.
    missed: u64,
    is_closed: bool,
}

impl Feeds {
    /// Passes a line to all who follow it.
    pub(super) fn pass(&mut self, entry: &Arc<LogEntry>) {
        self.queues.retain(|queue| {
            let Some(queue) = queue.upgrade() else {
                return false;
            };
            if queue
                .module
                .as_ref()
                .is_none_or(|module| *module == entry.module)
            {
                queue.lock().push(entry);
                queue.changed.notify_one();
            }
            true
        });
    }

    /// Whether somebody follows.
    pub(super) fn is_followed(&self) -> bool {
        !self.queues.is_empty()
    }

    /// Follows one module, or all.
    pub(super) fn follow(&mut self, module: Option<ModuleId>) -> Result<LogFeed, TooManyFollowers> {
        self.queues.retain(|queue| queue.strong_count() > 0);
        if self.queues.len() >= FOLLOWERS_MAX {
            return Err(TooManyFollowers);
        }
        let waiting = Waiting {
            is_closed: self.is_closed,
            ..Waiting::default()
        };
        let queue = Arc::new(Queue {
            module,
            waiting: Mutex::new(waiting),
            changed: Notify::new(),
        });
        self.queues.push(Arc::downgrade(&queue));
        Ok(LogFeed { queue })
    }

    /// Ends all feeds, after what waits in them.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        for queue in self.queues.iter().filter_map(Weak::upgrade) {
            queue.lock().is_closed = true;
            queue.changed.notify_one();
        }
    }
}

impl LogFeed {
    /// What comes next; `None` when the device has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<FeedEvent> {
        loop {
            {
                let mut waiting = self.queue.lock();
                if let Some(event) = waiting.pop() {
                    return Some(event);
                }
                if waiting.is_closed {
                    return None;
                }
            }
            self.queue.changed.notified().await;
        }
    }

    /// What waits now.
    pub fn drain(&mut self) -> Vec<FeedEvent> {
        let mut waiting = self.queue.lock();
        std::iter::from_fn(|| waiting.pop()).collect()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, entry: &Arc<LogEntry>) {
        let bytes = self.bytes + entry.size_bytes();
        if bytes > FEED_MAX_BYTES {
            self.missed += 1;
            return;
        }
        self.bytes = bytes;
        if self.missed > 0 {
            let missed = std::mem::take(&mut self.missed);
            self.events.push_back(FeedEvent::Missed(missed));
        }
        self.events.push_back(FeedEvent::Line(Arc::clone(entry)));
    }

    fn pop(&mut self) -> Option<FeedEvent> {
        match self.events.pop_front() {
            Some(FeedEvent::Line(entry)) => {
                self.bytes -= entry.size_bytes();
                Some(FeedEvent::Line(entry))
            }
            None if self.missed > 0 => Some(FeedEvent::Missed(std::mem::take(&mut self.missed))),
            event => event,
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_edge_model::identity::DeviceId;
    use wasm_edge_model::time::Timestamp;
    use wasm_edge_runtime::guest::{LogLevel, LogLine, LogStream};

    use super::*;

    fn entry(module: &str, text: &str) -> Arc<LogEntry> {
        Arc::new(LogEntry {
            seq: 0,
            time: Timestamp::from_unix_millis(0),
            device: DeviceId::new("d").unwrap(),
            module: ModuleId::new(module).unwrap(),
            line: LogLine {
                stream: LogStream::Log,
                level: LogLevel::Info,
                text: text.to_owned(),
                fields: Vec::new(),
            },
        })
    }

    fn text(event: Option<FeedEvent>) -> String {
        match event {
            Some(FeedEvent::Line(entry)) => entry.line.text.clone(),
            Some(FeedEvent::Missed(count)) => format!("missed {count}"),
            None => "end".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_slow_follower_is_bounded_in_bytes_and_told_what_it_missed() {
        let mut feeds = Feeds::default();
        let mut feed = feeds.follow(None).unwrap();
        let long = entry("m", &"x".repeat(16 * 1024));
        for _ in 0..1000 {
            feeds.pass(&long);
        }
        let kept = FEED_MAX_BYTES / long.size_bytes();
        for _ in 0..kept {
            assert!(text(feed.next().await).starts_with('x'));
        }
        assert_eq!(text(feed.next().await), format!("missed {}", 1000 - kept));
        feeds.pass(&entry("m", "next"));
        assert_eq!(text(feed.next().await), "next");
    }

    #[tokio::test]
    async fn the_count_comes_where_the_lines_are_missing() {
        let mut feeds = Feeds::default();
        let mut feed = feeds.follow(None).unwrap();
        let long = entry("m", &"x".repeat(200 * 1024));
        feeds.pass(&long);
        feeds.pass(&long);
        feeds.pass(&entry("m", "short"));
        let seen: Vec<_> = feed
            .drain()
            .into_iter()
            .map(|event| text(Some(event)))
            .collect();
        assert_eq!(seen[1..], ["missed 1", "short"]);
    }

    #[tokio::test]
    async fn a_follower_of_one_module_hears_of_no_other_and_all_end_with_the_device() {
        let mut feeds = Feeds::default();
        let mut feed = feeds.follow(Some(ModuleId::new("m").unwrap())).unwrap();
        feeds.pass(&entry("n", "other"));
        feeds.pass(&entry("m", "mine"));
        feeds.close();
        assert_eq!(text(feed.next().await), "mine");
        assert_eq!(text(feed.next().await), "end");
        assert_eq!(text(feeds.follow(None).unwrap().next().await), "end");
    }

    #[test]
    fn those_who_follow_are_bounded_and_make_room_when_they_go() {
        let mut feeds = Feeds::default();
        let mut all: Vec<_> = (0..FOLLOWERS_MAX)
            .map(|_| feeds.follow(None).unwrap())
            .collect();
        feeds.follow(None).unwrap_err();
        all.pop();
        feeds.follow(None).unwrap();
    }
}
