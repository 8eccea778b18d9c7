//! The agent's own two twins: their sessions with the hub, and what tells it that there is something to do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasm_edge_model::identity::ModuleId;

use super::handle::Shared;
use crate::deployment::sealed::Sections;
use crate::twins::Twin;
use crate::twins::sync::Sync;
use crate::upstream::pump::sessions::Sessions;

/// A session with the hub that is kept open.
pub(super) struct Link {
    stop: CancellationToken,
    synced: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Link {
    /// Opens it, and again whenever it ends.
    pub(super) fn open(sync: Sync) -> Self {
        let stop = CancellationToken::new();
        let (told, synced) = watch::channel(false);
        let task = tokio::spawn(sync.run(told, stop.clone()));
        Self { stop, synced, task }
    }

    /// Whether the twin has been the hub's since this was opened.
    pub(super) fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until the twin is the hub's, at most so long.
    pub(super) async fn synced(&self, patience: Duration) {
        let mut synced = self.synced.clone();
        // Out of time, the stored twin has to do.
        let _ = wasm_edge_clock::timeout(patience, synced.wait_for(|synced| *synced)).await;
    }

    /// Closes it for good.
    pub(super) async fn close(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

/// The twins of `$edgeAgent` and `$edgeHub`.
#[derive(Clone)]
pub(super) struct OwnTwins {
    pub(super) agent: Twin,
    pub(super) hub: Twin,
}

impl OwnTwins {
    /// What is desired now.
    pub(super) fn sections(&self) -> Sections {
        let (agent, agent_version) = self.agent.desired();
        let (hub, hub_version) = self.hub.desired();
        Sections {
            agent,
            agent_version,
            hub,
            hub_version,
        }
    }
}

/// Tells when the agent has to look at what is desired. Clones have seen what it has seen.
#[derive(Clone)]
pub(super) struct Changes {
    agent: watch::Receiver<u64>,
    hub: watch::Receiver<u64>,
    asked: watch::Receiver<u64>,
    replaced: watch::Receiver<BTreeSet<ModuleId>>,
}

impl Changes {
    pub(super) fn new(twins: &OwnTwins, shared: &Arc<Shared>, sessions: &Sessions) -> Self {
        Self {
            agent: twins.agent.watch_desired(),
            hub: twins.hub.watch_desired(),
            asked: shared.asked.subscribe(),
            replaced: sessions.replaced(),
        }
    }

    /// All up to now is seen; answers whether the agent was asked to look again.
    pub(super) fn see(&mut self) -> bool {
        self.agent.mark_unchanged();
        self.hub.mark_unchanged();
        self.replaced.mark_unchanged();
        let asked = self.asked.has_changed().unwrap_or(false);
        self.asked.mark_unchanged();
        asked
    }

    /// Whether there is something that was not seen.
    pub(super) fn is_new(&self) -> bool {
        let new = |receiver: &watch::Receiver<u64>| receiver.has_changed().unwrap_or(false);
        let replaced = self.replaced.has_changed().unwrap_or(false);
        new(&self.agent) || new(&self.hub) || new(&self.asked) || replaced
    }

    /// Waits for something that was not seen; it stays unseen.
    pub(super) async fn wait(&self) {
        let Self {
            mut agent,
            mut hub,
            mut asked,
            mut replaced,
        } = self.clone();
        // None of the senders is dropped before the agent.
        tokio::select! {
            _ = agent.changed() => {}
            _ = hub.changed() => {}
            _ = asked.changed() => {}
            _ = replaced.changed() => {}
        }
    }
}
