//! What is known of the way to the hub: its sessions, what failed last, and when it may be tried again.
//!
//! Written by the sessions and by those who open them, read by the management API and by the root. The state is pure:
//! times are passed in.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::time::Timestamp;

use crate::upstream::backoff::{Backoff, Jitter, Trouble};
use crate::upstream::status::{SessionStatus, Standing, UpstreamStatus};
use crate::upstream::{UpstreamError, status};

/// The board of one hub.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<State>,
    standing: watch::Sender<Standing>,
    /// How often the hub was there again after it was not.
    openings: watch::Sender<u64>,
}

/// A session among those of the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionNumber(u64);

/// A time as both clocks have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) wall: Timestamp,
    pub(super) at: Instant,
}

#[derive(Debug, Default)]
struct State {
    standing: Standing,
    transport: Option<&'static str>,
    last_failure: Option<(Timestamp, String)>,
    sessions: BTreeMap<SessionNumber, Open>,
    connections: BTreeMap<ModuleId, u64>,
    numbers: u64,
    /// The tries that did not reach the hub, and what the last one came to.
    failures: u64,
    unreachable: Option<String>,
    backoff: Backoff,
    next_try_at: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    module: ModuleId,
    since: Timestamp,
    token_expires_at: Timestamp,
}

impl Board {
    /// A hub out of reach is tried again after this time at the latest.
    pub(super) fn trying_again_within(retry_max: Duration) -> Self {
        let board = Self::default();
        board.lock().backoff = Backoff::at_most(retry_max);
        board
    }

    /// Tells of each change of the standing.
    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Tells when the hub is there again.
    pub(super) fn openings(&self) -> watch::Receiver<u64> {
        self.openings.subscribe()
    }

    pub(super) fn status(&self) -> UpstreamStatus {
        self.lock().status()
    }

    /// Whether the hub is known to let somebody in.
    pub(super) fn is_connected(&self) -> bool {
        self.lock().standing.is_connected()
    }

    /// How many tries have not reached the hub.
    pub(super) fn failures(&self) -> u64 {
        self.lock().failures
    }

    /// What the last try came to, if there was one that did not reach the hub after so many others.
    pub(super) fn failure_after(&self, failures: u64) -> Option<UpstreamError> {
        let state = self.lock();
        let cause = state.unreachable.clone()?;
        (state.failures > failures).then_some(UpstreamError::Unreachable { cause })
    }

    /// When the hub may be tried again; at once where nothing is said.
    pub(super) fn next_try_at(&self) -> Option<Instant> {
        self.lock().next_try_at
    }

    /// A connection was made for a module by a token.
    pub(super) fn connected(&self, module: &ModuleId, transport: &'static str) {
        let mut state = self.lock();
        state.transport = Some(transport);
        *state.connections.entry(module.clone()).or_default() += 1;
    }

    /// A session of a module is open.
    pub(super) fn opened(
        &self,
        module: &ModuleId,
        token_expires_at: Timestamp,
        now: Moment,
    ) -> SessionNumber {
        self.change(|state| state.opened(module, token_expires_at, now))
    }

    /// A session goes on by a new token.
    pub(super) fn renewed(&self, number: SessionNumber, token_expires_at: Timestamp) {
        if let Some(session) = self.lock().sessions.get_mut(&number) {
            session.token_expires_at = token_expires_at;
        }
    }

    /// A session has ended, for this cause if it was not this side that ended it.
    pub(super) fn closed(&self, number: SessionNumber, cause: Option<&str>, now: Moment) {
        self.change(|state| state.closed(number, cause, now));
    }

    /// A session could not be opened.
    pub(super) fn failed(&self, err: &UpstreamError, now: Moment) {
        self.change(|state| state.failed(err, Jitter::random(), now));
    }

    /// A module is gone for good.
    pub(super) fn forget(&self, module: &ModuleId) {
        self.lock().connections.remove(module);
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let was_connected = state.standing.is_connected();
        let changed = change(&mut state);
        let standing = state.standing.clone();
        // Told under the lock, so that what is told last is what is.
        if standing.is_connected() && !was_connected {
            self.openings.send_modify(|count| *count += 1);
        }
        self.standing.send_if_modified(|told| {
            let is_new = *told != standing;
            *told = standing;
            is_new
        });
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn opened(
        &mut self,
        module: &ModuleId,
        token_expires_at: Timestamp,
        now: Moment,
    ) -> SessionNumber {
        self.numbers += 1;
        let number = SessionNumber(self.numbers);
        let session = Open {
            module: module.clone(),
            since: now.wall,
            token_expires_at,
        };
        self.sessions.insert(number, session);
        if !self.standing.is_connected() {
            self.standing = Standing::Connected { since: now.wall };
        }
        self.backoff.reset();
        (self.next_try_at, self.unreachable) = (None, None);
        number
    }

    fn closed(&mut self, number: SessionNumber, cause: Option<&str>, now: Moment) {
        self.sessions.remove(&number);
        if let Some(cause) = cause {
            self.last_failure = Some((now.wall, cause.to_owned()));
        }
        if self.sessions.is_empty() && self.standing.is_connected() {
            self.standing = Standing::Connecting;
        }
    }

    fn failed(&mut self, err: &UpstreamError, jitter: Jitter, now: Moment) {
        let trouble = Trouble::of(err);
        let (UpstreamError::Unreachable { cause } | UpstreamError::Refused { cause }) = err;
        let cause = cause.clone();
        self.last_failure = Some((now.wall, cause.clone()));
        if trouble == Trouble::Unreachable {
            self.failures += 1;
            self.unreachable = Some(cause.clone());
            self.next_try_at = Some(now.at + self.backoff.next(trouble, jitter));
        }
        // While some are let in, the one that is not says nothing of the way.
        if !self.sessions.is_empty() {
            return;
        }
        self.standing = match (trouble, &self.standing) {
            (Trouble::Unreachable, Standing::Unreachable { since, .. }) => {
                let since = *since;
                Standing::Unreachable { cause, since }
            }
            (Trouble::Refused, Standing::Refused { since, .. }) => {
                let since = *since;
                Standing::Refused { cause, since }
            }
            (Trouble::Unreachable, _) => {
                let since = now.wall;
                Standing::Unreachable { cause, since }
            }
            (Trouble::Refused, _) => {
                let since = now.wall;
                Standing::Refused { cause, since }
            }
        };
    }

    fn status(&self) -> UpstreamStatus {
        let sessions = self.sessions.values().map(|session| SessionStatus {
            module: session.module.clone(),
            since: session.since,
            token_expires_at: session.token_expires_at,
            connections: self.connections.get(&session.module).copied().unwrap_or(1),
        });
        let mut sessions: Vec<status::SessionStatus> = sessions.collect();
        sessions.sort_by(|a, b| a.module.cmp(&b.module));
        UpstreamStatus {
            standing: self.standing.clone(),
            transport: self.transport,
            last_failure: self.last_failure.clone(),
            sessions,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn module(name: &str) -> ModuleId {
        ModuleId::new(name).unwrap()
    }

    fn moment(start: Instant, secs: u64) -> Moment {
        Moment {
            wall: Timestamp::from_unix_millis(i64::try_from(secs).unwrap() * 1000),
            at: start + Duration::from_secs(secs),
        }
    }

    fn unreachable(cause: &str) -> UpstreamError {
        UpstreamError::Unreachable {
            cause: cause.to_owned(),
        }
    }

    fn refused(cause: &str) -> UpstreamError {
        UpstreamError::Refused {
            cause: cause.to_owned(),
        }
    }

    fn shown(state: &State) -> String {
        match &state.standing {
            Standing::Connecting => "connecting".to_owned(),
            Standing::Connected { since } => format!("connected {}", since.unix_millis() / 1000),
            Standing::Unreachable { cause, since } => {
                format!("unreachable {} {cause}", since.unix_millis() / 1000)
            }
            Standing::Refused { cause, since } => {
                format!("refused {} {cause}", since.unix_millis() / 1000)
            }
        }
    }

    #[test]
    fn the_standing_is_that_of_the_last_session_or_try() {
        let start = Instant::now();
        let at = |secs| moment(start, secs);
        let mut state = State::default();
        assert_eq!(shown(&state), "connecting");
        state.failed(&unreachable("a"), Jitter::random(), at(1));
        state.failed(&unreachable("b"), Jitter::random(), at(2));
        assert_eq!(shown(&state), "unreachable 1 b");
        state.failed(&refused("c"), Jitter::random(), at(3));
        state.failed(&refused("d"), Jitter::random(), at(4));
        assert_eq!(shown(&state), "refused 3 d");
        let first = state.opened(&module("m"), at(9).wall, at(5));
        let second = state.opened(&module("n"), at(9).wall, at(6));
        state.failed(&unreachable("e"), Jitter::random(), at(7));
        assert_eq!(shown(&state), "connected 5");
        state.closed(first, None, at(8));
        assert_eq!(shown(&state), "connected 5");
        assert_eq!(state.last_failure, Some((at(7).wall, "e".to_owned())));
        state.closed(second, Some("f"), at(9));
        assert_eq!(shown(&state), "connecting");
        assert_eq!(state.last_failure, Some((at(9).wall, "f".to_owned())));
        // Twice is once.
        state.closed(second, None, at(9));
        assert_eq!(shown(&state), "connecting");
    }

    #[test]
    fn tries_that_do_not_reach_the_hub_are_followed_by_waits_of_all() {
        let start = Instant::now();
        let at = |secs| moment(start, secs);
        let mut state = State::default();
        state.failed(&refused("a"), Jitter::random(), at(0));
        assert_eq!(state.next_try_at, None);
        state.failed(&unreachable("a"), Jitter::random(), at(0));
        assert!(state.next_try_at.is_some_and(|next| next <= at(1).at));
        for _ in 0..10 {
            state.failed(&unreachable("a"), Jitter::random(), at(0));
        }
        assert!(state.next_try_at.is_some_and(|next| next >= at(30).at));
        state.opened(&module("m"), at(9).wall, at(1));
        assert_eq!((state.next_try_at, &state.unreachable), (None, &None));
    }

    #[test]
    fn the_hub_is_there_again_once_for_all_that_wait() {
        let start = Instant::now();
        let board = Board::default();
        let mut openings = board.openings();
        let seen = board.failures();
        board.failed(&unreachable("a"), moment(start, 0));
        assert!(board.failure_after(seen).is_some());
        assert!(board.failure_after(board.failures()).is_none());
        let first = board.opened(&module("m"), moment(start, 9).wall, moment(start, 1));
        assert!(openings.has_changed().unwrap());
        openings.mark_unchanged();
        let second = board.opened(&module("n"), moment(start, 9).wall, moment(start, 2));
        board.closed(first, None, moment(start, 3));
        assert!(!openings.has_changed().unwrap());
        board.closed(second, None, moment(start, 3));
        board.opened(&module("n"), moment(start, 9).wall, moment(start, 4));
        assert!(openings.has_changed().unwrap());
        let status = board.status();
        assert_eq!(status.sessions.len(), 1);
        assert_eq!(status.sessions[0].connections, 1);
    }
}
