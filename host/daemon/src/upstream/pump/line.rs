//! One sender's messages on their way upstream: how many, and what keeps the next ones.
//!
//! The pump sends and waits; here is what it decides by.

use tokio_util::sync::CancellationToken;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_router::inbox::Inbox;

/// Messages of one sender in flight. With an answer after a tenth of a second, as over a mobile network, that is
/// some hundred messages in a second.
pub(super) const IN_FLIGHT_EACH_MAX: usize = 64;

/// Messages in flight in all. Nobody gets more of them than are still free, but each sender one in any case.
pub(super) const IN_FLIGHT_MAX: usize = 256;

/// Bytes of one sender in flight, beyond which no further message of it is begun: bodies in flight are in memory.
pub(super) const IN_FLIGHT_BYTES_EACH_MAX: usize = 256 * 1024;

/// What is in flight of one sender, and what keeps the rest.
#[derive(Debug, Default)]
pub(super) struct Line {
    messages: usize,
    bytes: usize,
    /// The session that messages go over, by identity and number.
    over: Option<(ModuleId, u64)>,
    standing: Option<Standing>,
    /// The router was told to hand nothing over.
    paused: bool,
    /// Ends what is in flight when the line fails.
    end: CancellationToken,
}

/// Why no message is begun.
#[derive(Debug)]
struct Standing {
    /// Whose session has to be open.
    identity: ModuleId,
    /// The session that has failed, which is tried again only after a wait; another one at once.
    failed: Option<u64>,
}

impl Line {
    /// Whether no message may be begun until something changes.
    pub(super) fn stands(&self) -> bool {
        self.standing.is_some()
    }

    /// Whether no message may be begun until one has landed.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= IN_FLIGHT_BYTES_EACH_MAX
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_idle(&self) -> bool {
        self.messages == 0 && self.standing.is_none()
    }

    /// Lets the router hand nothing over of it.
    pub(super) fn pause(&mut self, inbox: &Inbox, module: &ModuleId) {
        self.paused = true;
        inbox.pause(module);
    }

    /// Lets the router hand messages over again.
    pub(super) fn resume(&mut self, inbox: &Inbox, module: &ModuleId) {
        if std::mem::take(&mut self.paused) {
            inbox.resume(module);
        }
    }

    /// Stands until the session of an identity is open.
    pub(super) fn stop(&mut self, identity: ModuleId, failed: Option<u64>) {
        self.standing = Some(Standing { identity, failed });
    }

    /// Whether messages are in flight over another session: until they have landed none is begun over this one,
    /// or it could overtake them.
    pub(super) fn is_over_another(&self, identity: &ModuleId, session: u64) -> bool {
        let same = |over: &(ModuleId, u64)| over.0 == *identity && over.1 == session;
        self.messages > 0 && !self.over.as_ref().is_some_and(same)
    }

    /// A message goes out over a session; what is given tells that it has to come back.
    pub(super) fn take_off(
        &mut self,
        identity: ModuleId,
        session: u64,
        bytes: usize,
    ) -> CancellationToken {
        self.messages += 1;
        self.bytes += bytes;
        self.over = Some((identity, session));
        self.end.clone()
    }

    /// A message is no longer in flight.
    pub(super) fn land(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }

    /// A message could not be sent: the others in flight come back too. False if the line stands already.
    pub(super) fn fail(&mut self) -> bool {
        let Some((identity, session)) = self.over.take().filter(|_| !self.stands()) else {
            return false;
        };
        self.stop(identity, Some(session));
        std::mem::take(&mut self.end).cancel();
        true
    }

    /// The session that failed may be tried again.
    pub(super) fn forgive(&mut self) {
        if let Some(standing) = &mut self.standing {
            standing.failed = None;
        }
    }

    /// Goes on, if a session is open that did not just fail, and all that had to come back has.
    pub(super) fn look(&mut self, open: impl FnOnce(&ModuleId) -> Option<u64>) {
        if let Some(standing) = &self.standing {
            let is_open = open(&standing.identity).is_some_and(|session| {
                let failed = standing.failed;
                failed != Some(session)
            });
            if is_open && self.messages == 0 {
                self.standing = None;
            }
        }
    }
}
