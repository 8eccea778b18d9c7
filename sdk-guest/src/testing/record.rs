//! What a call of the harness gives back: how it ended, and all that the module did meanwhile.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::message::SystemProperty;
use crate::methods::Response;
use crate::timer::Tick;

/// How something that was handed to the module ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Well: a message is completed, and what was sent is out.
    Done,
    /// The message comes again after this time. Nothing was sent.
    Retry(Duration),
    /// The message was put aside with this reason. Nothing was sent.
    Rejected(String),
    /// A handler without a message, or the program's `main`, answered with this error. What the handler sent is dropped.
    Failed(String),
    /// A panic, with its text and place. The instance is gone; the next call starts another, as the device would.
    Trapped(String),
    /// A program has the delivery still in hand; [`Harness::delivery`](super::Harness::delivery) tells of it later.
    Kept,
}

/// One call of the harness: how it ended, and what the module did meanwhile.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Handled {
    /// How it ended; where there was more than one call of a handler, the first that did not end well.
    pub outcome: Outcome,
    /// The answer to a direct method, checked as the device does.
    pub response: Option<Response>,
    /// The messages that went out, in order: what was staged and dropped is not among them.
    pub sent: Vec<Sent>,
    /// The merge patches that were taken into the reported properties.
    pub reported: Vec<Value>,
    /// The log lines, a panic's among them.
    pub logs: Vec<LogLine>,
    /// The timers that were started and stopped.
    pub timers: Vec<TimerChange>,
    /// The ticks that the module was given.
    pub ticks: Vec<Tick>,
    /// The direct methods that it called.
    pub invoked: Vec<Invoked>,
    /// Whether it called [`lifecycle::ready`](crate::lifecycle::ready).
    pub said_ready: bool,
}

impl Handled {
    pub(super) fn new() -> Self {
        Self {
            outcome: Outcome::Done,
            response: None,
            sent: Vec::new(),
            reported: Vec::new(),
            logs: Vec::new(),
            timers: Vec::new(),
            ticks: Vec::new(),
            invoked: Vec::new(),
            said_ready: false,
        }
    }

    /// Keeps the first outcome that is not [`Outcome::Done`].
    pub(super) fn end(&mut self, outcome: Outcome) {
        if self.outcome == Outcome::Done {
            self.outcome = outcome;
        }
    }

    /// The same, where it ended well.
    ///
    /// # Panics
    /// Where it did not, with the outcome and the log.
    #[track_caller]
    pub fn expect_ok(self) -> Self {
        let Self { outcome, logs, .. } = &self;
        assert!(
            *outcome == Outcome::Done,
            "ended as {outcome:?}, having logged {logs:#?}"
        );
        self
    }

    /// The answer to a direct method.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn response(&self) -> &Response {
        let outcome = &self.outcome;
        self.response
            .as_ref()
            .unwrap_or_else(|| panic!("no method was answered; it ended as {outcome:?}"))
    }

    /// The one message that went out.
    ///
    /// # Panics
    /// Where it was none, or more than one.
    #[track_caller]
    pub fn only_sent(&self) -> &Sent {
        match self.sent.as_slice() {
            [sent] => sent,
            all => panic!(
                "{} messages were sent, not one; it ended as {:?}",
                all.len(),
                self.outcome
            ),
        }
    }

    /// The messages that went out on an output, in order.
    pub fn sent_on<'a>(&'a self, output: &'a str) -> impl Iterator<Item = &'a Sent> {
        self.sent.iter().filter(move |sent| sent.output == output)
    }

    /// Whether a log line holds this text.
    pub fn logged(&self, text: &str) -> bool {
        self.logs.iter().any(|line| line.text.contains(text))
    }
}

/// A message that went out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// The output; empty for none.
    pub output: String,
    /// The body.
    pub body: Vec<u8>,
    /// Application properties, in order.
    pub properties: Vec<(String, String)>,
    /// System properties, without those that the host sets.
    pub system_properties: Vec<(SystemProperty, String)>,
}

impl Sent {
    /// The body as text.
    ///
    /// # Panics
    /// Where it is not UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body, read as JSON.
    ///
    /// # Panics
    /// Where it is not JSON of the form of `T`.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("the body is JSON of the form asked for")
    }

    /// The value of an application property.
    pub fn property(&self, name: &str) -> Option<&str> {
        let found = self.properties.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The value of a system property.
    pub fn system_property(&self, name: SystemProperty) -> Option<&str> {
        let found = self
            .system_properties
            .iter()
            .find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A log line, cut as the device cuts it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// How much it matters.
    pub level: log::Level,
    /// The text.
    pub text: String,
    /// The key-value pairs, in order.
    pub fields: Vec<(String, String)>,
}

impl LogLine {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A timer that was started or stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerChange {
    /// Started, due each time the period has passed.
    Every {
        /// The timer's name.
        name: String,
        /// From one tick to the next.
        period: Duration,
    },
    /// Started, due once.
    Once {
        /// The timer's name.
        name: String,
        /// From now on.
        after: Duration,
    },
    /// Stopped; it need not have been running.
    Cancelled {
        /// The timer's name.
        name: String,
    },
}

/// A direct method that the module called.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Invoked {
    /// The module that was asked; [`None`] for the device.
    pub module: Option<String>,
    /// Name of the method.
    pub method: String,
    /// What was handed over.
    pub payload: Value,
    /// How long the caller would have waited for the answer.
    pub response_timeout: Duration,
    /// How long it would have waited for a callee that is not there.
    pub connect_timeout: Duration,
}
