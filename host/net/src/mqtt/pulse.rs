//! When the broker has to be asked whether it is there, and when it is given up. Pure: told the time.

use std::time::Duration;

use tokio::time::Instant;

use super::MqttError;

/// How long before the end of a keep-alive the ping goes, at most: what a slow line takes to carry it.
const EARLY_MAX: Duration = Duration::from_secs(10);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask the broker whether it is there.
    Ping,
    /// Nothing before.
    At(Instant),
    /// Nothing.
    Never,
}

/// What was heard and said, and when.
#[derive(Debug)]
pub(super) struct Pulse {
    /// After which time of silence on this side a ping goes; none for never.
    ping_after: Option<Duration>,
    answer_limit: Duration,
    sent_at: Instant,
    /// How many answers the broker owes.
    owed: u32,
    /// Whether one of them is that to a ping.
    pinged: bool,
    /// Since when it owes one and has said nothing.
    silent_since: Option<Instant>,
    /// Since when it takes nothing.
    held_up_since: Option<Instant>,
}

impl Pulse {
    pub(super) fn new(keep_alive: Duration, answer_limit: Duration, now: Instant) -> Self {
        let early = (keep_alive / 4).min(EARLY_MAX);
        Self {
            ping_after: (!keep_alive.is_zero()).then(|| keep_alive - early),
            answer_limit,
            sent_at: now,
            owed: 0,
            pinged: false,
            silent_since: None,
            held_up_since: None,
        }
    }

    /// Bytes went out.
    pub(super) fn sent(&mut self, now: Instant) {
        self.sent_at = now;
        self.held_up_since = None;
    }

    /// Bytes cannot go out now.
    pub(super) fn held_up(&mut self, now: Instant) {
        self.held_up_since.get_or_insert(now);
    }

    /// All went out.
    pub(super) fn unheld(&mut self) {
        self.held_up_since = None;
    }

    /// Something was queued that the broker answers.
    pub(super) fn asked(&mut self, now: Instant) {
        self.owed = self.owed.saturating_add(1);
        self.silent_since.get_or_insert(now);
    }

    /// A ping was queued.
    pub(super) fn pinged(&mut self, now: Instant) {
        self.pinged = true;
        self.sent_at = now;
        self.asked(now);
    }

    /// The broker said something of its own.
    pub(super) fn heard(&mut self, now: Instant) {
        self.silent_since = (self.owed > 0).then_some(now);
    }

    /// The broker answered something.
    pub(super) fn answered(&mut self, now: Instant) {
        self.owed = self.owed.saturating_sub(1);
        if self.owed == 0 {
            self.pinged = false;
        }
        self.heard(now);
    }

    /// What is to be done at `now`.
    pub(super) fn due(&self, now: Instant) -> Result<Due, MqttError> {
        let mut next = self.stuck(now)?;
        let mut at = |time: Instant| {
            next = Some(next.map_or(time, |next| next.min(time)));
        };
        if let Some(since) = self.silent_since {
            let end = since + self.answer_limit;
            if now >= end {
                return Err(MqttError::Timeout {
                    what: "answer",
                    limit: self.answer_limit,
                });
            }
            at(end);
            // What it owes may take it long; whether it is there it can say at once.
            let ask = since + self.answer_limit / 2;
            if !self.pinged {
                if now >= ask {
                    return Ok(Due::Ping);
                }
                at(ask);
            }
        }
        if let Some(ping_after) = self.ping_after.filter(|_| !self.pinged) {
            let ask = self.sent_at + ping_after;
            if now >= ask {
                return Ok(Due::Ping);
            }
            at(ask);
        }
        Ok(next.map_or(Due::Never, Due::At))
    }

    /// When it is given up if it goes on to take nothing.
    pub(super) fn stuck(&self, now: Instant) -> Result<Option<Instant>, MqttError> {
        let Some(since) = self.held_up_since else {
            return Ok(None);
        };
        let end = since + self.answer_limit;
        if now >= end {
            return Err(MqttError::Timeout {
                what: "take what is sent",
                limit: self.answer_limit,
            });
        }
        Ok(Some(end))
    }
}

#[cfg(test)]
mod tests;
