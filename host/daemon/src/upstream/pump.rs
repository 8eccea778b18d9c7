//! Moves the messages that wait for upstream, each under its sender's identity, in order.
//!
//! Of each sender some are on their way at once ([`line`] says how many), so that a slow answer does not decide
//! the rate; where one gets none, all of its sender come back and it goes on with the first that was not
//! acknowledged. A sender whose session is slow or away holds up nobody else. What waits, and in which order, is
//! the router's; opening sessions is that of the twins' tasks.

pub mod sessions;

mod line;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::task::unconstrained;
use tokio_util::sync::CancellationToken;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_router::inbox::{Delivery, Inbox};

use self::line::{IN_FLIGHT_EACH_MAX, IN_FLIGHT_MAX, Line};
use self::sessions::{OpenSession, Sessions};
use super::UpstreamError;
use crate::pulse::Heart;

/// How long a sender's messages wait after one could not be sent over a session that is open nonetheless.
const RETRY_WAIT: Duration = Duration::from_secs(2);

/// What was moved since the start; clones share it.
#[derive(Clone, Debug, Default)]
pub struct PumpCounters {
    inner: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    returned: AtomicU64,
}

impl PumpCounters {
    /// Messages that the hub has acknowledged.
    pub fn sent(&self) -> u64 {
        self.inner.sent.load(Ordering::Relaxed)
    }

    /// Messages that went out, were not acknowledged and go out again. The hub may have them twice.
    pub fn returned(&self) -> u64 {
        self.inner.returned.load(Ordering::Relaxed)
    }
}

/// Sends what waits for upstream until it is told to stop. What is on its way then goes back to its place.
pub(crate) async fn run(
    inbox: Inbox,
    sessions: Sessions,
    counters: PumpCounters,
    mut heart: Heart,
    stop: CancellationToken,
) {
    let mut changes = sessions.watch();
    let mut pump = Pump {
        inbox,
        sessions,
        counters,
        lines: HashMap::new(),
        in_flight: 0,
        under_way: FuturesUnordered::new(),
    };
    loop {
        // Whatever those take that never answer, another one can have one message in flight.
        let free = IN_FLIGHT_MAX.saturating_sub(pump.in_flight);
        let of_each_max = free.clamp(1, IN_FLIGHT_EACH_MAX);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = heart.beat() => {}
            Some(event) = pump.under_way.next(), if !pump.under_way.is_empty() => pump.handle(event),
            Ok(()) = changes.changed() => pump.look_at_sessions(),
            delivery = pump.inbox.next_of(of_each_max) => pump.begin(delivery),
        }
    }
}

/// The pump at work. All of it is one task.
struct Pump {
    inbox: Inbox,
    sessions: Sessions,
    counters: PumpCounters,
    /// By the module whose messages wait in the line; those with nothing to remember are not in it.
    lines: HashMap<ModuleId, Line>,
    /// Of all lines.
    in_flight: usize,
    under_way: FuturesUnordered<BoxFuture<'static, Event>>,
}

/// What has ended of what was under way.
struct Event {
    line: ModuleId,
    what: What,
}

enum What {
    /// A message of so many bytes is no longer in flight.
    Landed { bytes: usize, landing: Landing },
    /// The wait after a failure is over.
    Waited,
}

/// How a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Landing {
    /// The hub has it, or it was put aside.
    Gone,
    /// It is back at its place, since it could not be sent.
    Failed,
    /// It is back at its place, since one before it could not be sent.
    Returned,
}

impl Pump {
    /// Puts a message on its way, if its line can go on.
    fn begin(&mut self, delivery: Delivery) {
        let module = delivery.source().module().clone();
        let identity = delivery.source().sent_as();
        let line = self.lines.entry(module.clone()).or_default();
        if line.stands() {
            line.pause(&self.inbox, &module);
            return;
        }
        let session = self.sessions.find(&identity);
        let session = session.filter(|open| !line.is_over_another(&identity, open.number));
        let Some(session) = session else {
            line.stop(identity, None);
            line.pause(&self.inbox, &module);
            return;
        };
        let bytes = delivery.message().size_bytes();
        let cancelled = line.take_off(identity, session.number, bytes);
        self.in_flight += 1;
        if line.is_full() {
            line.pause(&self.inbox, &module);
        }
        let counters = self.counters.clone();
        // The hub takes messages in the order in which they are first polled. A future that the scheduler lets do
        // nothing, since its task has done enough for now, would change places with those behind it.
        self.under_way.push(Box::pin(unconstrained(async move {
            let landing = tokio::select! {
                biased;
                () = cancelled.cancelled() => Landing::Returned,
                landing = send(delivery, session, &counters) => landing,
            };
            Event {
                line: module,
                what: What::Landed { bytes, landing },
            }
        })));
    }

    fn handle(&mut self, event: Event) {
        let Event { line: module, what } = event;
        let Some(line) = self.lines.get_mut(&module) else {
            return;
        };
        match what {
            What::Landed { bytes, landing } => {
                self.in_flight -= 1;
                line.land(bytes);
                match landing {
                    Landing::Gone => {}
                    Landing::Returned => self.count_returned(),
                    Landing::Failed => {
                        self.count_returned();
                        self.fail(&module);
                    }
                }
            }
            What::Waited => line.forgive(),
        }
        self.go_on(&module);
    }

    /// A message could not be sent: all that are behind it come back, and the line stands for a while.
    fn fail(&mut self, module: &ModuleId) {
        let Some(line) = self.lines.get_mut(module) else {
            return;
        };
        if !line.fail() {
            return;
        }
        line.pause(&self.inbox, module);
        let line = module.clone();
        self.under_way.push(Box::pin(async move {
            wasm_edge_clock::sleep(RETRY_WAIT).await;
            let what = What::Waited;
            Event { line, what }
        }));
    }

    fn look_at_sessions(&mut self) {
        let standing = self.lines.iter().filter(|(_, line)| line.stands());
        let standing: Vec<_> = standing.map(|(module, _)| module.clone()).collect();
        for module in standing {
            self.go_on(&module);
        }
    }

    /// Lets a line go on if nothing keeps it any more.
    fn go_on(&mut self, module: &ModuleId) {
        let Some(line) = self.lines.get_mut(module) else {
            return;
        };
        let sessions = &self.sessions;
        line.look(|identity| sessions.find(identity).map(|session| session.number));
        if line.stands() || line.is_full() {
            return;
        }
        line.resume(&self.inbox, module);
        if line.is_idle() {
            self.lines.remove(module);
        }
    }

    fn count_returned(&self) {
        self.counters.inner.returned.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends one message. Dropped before it is done, the message goes back to its place.
async fn send(delivery: Delivery, session: OpenSession, counters: &PumpCounters) -> Landing {
    match session.calls.send(delivery.message_with_id()).await {
        Ok(()) => {
            counters.inner.sent.fetch_add(1, Ordering::Relaxed);
            if let Err(err) = delivery.complete(Vec::new()).await {
                tracing::error!(%err, "a message that the hub has could not be completed and goes out again");
            }
            Landing::Gone
        }
        Err(err @ UpstreamError::Unreachable { .. }) => {
            let module = delivery.source().module();
            tracing::debug!(%module, %err, "a message waits for the hub");
            Landing::Failed
        }
        Err(err @ UpstreamError::Refused { .. }) => {
            let module = delivery.source().module();
            tracing::warn!(%module, %err, "a message was put aside");
            delivery.reject(&err.to_string());
            Landing::Gone
        }
    }
}

#[cfg(test)]
mod tests;
