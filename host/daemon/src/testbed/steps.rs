//! The steps of a test: each is done, then time stands still again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;
use wasm_edge_model::message::{InputName, Message};
use wasm_edge_model::status::RuntimeStatus;
use wasm_edge_model::twin::check_section;
use wasm_edge_router::snapshot::EndpointSnapshot;

use super::faults::Fault;
use super::outcome::{Answer, NoAnswer, Outcome};
use super::{Step, StepError, Testbed};
use crate::supervisor::STOP_GRACE;
use crate::supervisor::report::ModuleReport;

/// Beside the deadline of one call, the real time that a module may work without coming to rest.
pub(super) const REST_MARGIN: Duration = Duration::from_secs(20);

/// Waits that may come to their end within one step: an hour of a timer of 10 ms, and more.
const WAITS_MAX: u64 = 500_000;

/// How far time goes on by itself for a message to end: beyond the time that messages are kept.
const MESSAGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long a program may take, at the end, for what it has in hand.
const HELD_MAX: Duration = Duration::from_secs(60);

/// How long a module has to become ready, as on a device.
const READY_MAX: Duration = Duration::from_secs(30);

/// How long a direct method may take (IoT Hub's default).
const METHOD_MAX: Duration = Duration::from_secs(30);

/// How long a device takes at most to find its hub again, and to send what waited.
const RECONNECT_MAX: Duration = Duration::from_secs(180);

/// Largest desired section in bytes (IoT Hub, twin limits).
const DESIRED_MAX_BYTES: usize = 32 * 1024;

/// What waits at the module's inputs.
#[derive(Clone, Copy, Default)]
struct Waiting {
    queued: usize,
    in_hand: usize,
}

impl Testbed {
    /// Does a step, to its end.
    ///
    /// # Errors
    /// [`StepError`]; the test bed can be used on all the same.
    pub fn step(&mut self, step: Step) -> Result<(), StepError> {
        match step {
            Step::Message { input, message } => self.message(input, message),
            Step::Advance(time) => self.advance(time),
            Step::Desired(patch) => self.desired(patch),
            Step::Method { name, payload } => self.method(name, payload),
            Step::Restart => self.restart(),
            Step::Break(fault) => self.break_it(fault),
            Step::Mend => self.mend(),
        }?;
        self.look()
    }

    /// Ends the test: what a program has in hand gets its time, then the module is stopped in order.
    ///
    /// # Errors
    /// [`StepError::NotEnded`] if messages are still with the module, and the others. The module is stopped then too.
    pub fn finish(&mut self) -> Result<(), StepError> {
        let ended = self.end_messages();
        let (supervisor, id) = (self.supervisor.clone(), self.id.clone());
        let removing = self
            .runtime
            .spawn(async move { supervisor.remove(&id).await });
        let limit = self.clock.now() + 2 * STOP_GRACE;
        let stopped = self.until(limit, |_| removing.is_finished());
        let looked = self.look();
        self.stop.cancel();
        let parts = std::mem::take(&mut self.parts);
        self.runtime.block_on(async {
            for part in parts {
                let _ = part.await;
            }
        });
        ended?;
        stopped?;
        looked
    }

    /// Gives the messages that are with the module, or wait for it, the time that they need.
    fn end_messages(&mut self) -> Result<(), StepError> {
        let may_wait = self.between.faults.hold_up();
        let time = if self.code.is_program() {
            HELD_MAX
        } else {
            MESSAGE_MAX
        };
        let limit = self.clock.now() + time;
        let ended = self.until(limit, |this| {
            let waiting = this.waiting();
            (waiting.queued == 0 || may_wait) && waiting.in_hand == 0
        })?;
        let waiting = self.waiting().queued as u64;
        if may_wait && waiting > 0 {
            self.between
                .record
                .push(Outcome::Waiting { messages: waiting });
        }
        if ended {
            Ok(())
        } else {
            Err(StepError::NotEnded {
                message: self.messages,
            })
        }
    }

    /// Waits for a module that has just been started.
    pub(super) fn settle_start(&mut self) {
        let limit = self.clock.now() + READY_MAX;
        // What kept it from becoming ready comes out as an outcome, or with its first message.
        let _ = self.until(limit, |this| {
            this.report()
                .is_none_or(|report| report.ready || report.is_down())
        });
    }

    fn message(&mut self, input: InputName, message: Message) -> Result<(), StepError> {
        if !self.code.takes_messages() {
            return Err(StepError::TakesNoMessages);
        }
        self.messages += 1;
        let number = self.messages;
        self.between.message.store(number, Ordering::Relaxed);
        let injected = self.runtime.block_on(async {
            tokio::select! {
                biased;
                injected = self.injector.inject(&self.id, input, message) => Some(injected),
                () = self.clock.idle() => None,
            }
        });
        match injected {
            Some(Ok(())) => {}
            Some(Err(err)) => return Err(StepError::Refused(err.to_string())),
            None => return Err(StepError::NotEnded { message: number }),
        }
        let holds = self.code.is_program();
        let may_wait = self.between.faults.hold_up();
        let limit = self.clock.now() + MESSAGE_MAX;
        let mut given_up = None;
        let ended = self.until(limit, |this| {
            let waiting = this.waiting();
            given_up = this.report().filter(|report| {
                matches!(
                    report.status,
                    RuntimeStatus::Stopped | RuntimeStatus::Failed
                )
            });
            let with_it = waiting.in_hand == 0 || holds;
            given_up.is_some() || ((waiting.queued == 0 || may_wait) && with_it)
        })?;
        let queued = self.waiting().queued > 0;
        match given_up {
            Some(report) if queued => Err(StepError::NeverTaken {
                message: number,
                status: report.status_description,
            }),
            _ if ended => Ok(()),
            _ => Err(StepError::NotEnded { message: number }),
        }
    }

    fn advance(&mut self, time: Duration) -> Result<(), StepError> {
        let target = self.clock.now() + time;
        self.until(target, |_| false)?;
        self.clock.move_to(target);
        self.rest()
    }

    fn desired(&mut self, patch: Map<String, Value>) -> Result<(), StepError> {
        check_section(&self.hub.patched(&patch), DESIRED_MAX_BYTES)
            .map_err(|err| StepError::Desired(err.to_string()))?;
        self.hub.patch_desired(patch);
        self.rest()
    }

    fn method(&mut self, name: String, payload: String) -> Result<(), StepError> {
        let answering = self.hub.call(name.clone(), payload);
        let mut result = Err(NoAnswer::NotFound);
        if let Some(mut answering) = answering {
            result = Err(NoAnswer::Timeout);
            let limit = self.clock.now() + METHOD_MAX;
            self.until(limit, |_| match answering.try_recv() {
                Err(TryRecvError::Empty) => false,
                Err(TryRecvError::Closed) => {
                    // It stays closed after an answer, too.
                    if result == Err(NoAnswer::Timeout) {
                        result = Err(NoAnswer::Dropped);
                    }
                    true
                }
                Ok(answer) => {
                    result = Ok(Answer {
                        status: answer.status,
                        payload: answer.payload,
                    });
                    true
                }
            })?;
        }
        self.between.record.push(Outcome::Answer { name, result });
        Ok(())
    }

    fn restart(&mut self) -> Result<(), StepError> {
        let starts = |this: &Self| this.report().map_or(0, |report| report.restart_count);
        let before = starts(self);
        let (supervisor, id) = (self.supervisor.clone(), self.id.clone());
        let restarted = self
            .runtime
            .block_on(async move { supervisor.restart(&id).await });
        restarted.map_err(|err| StepError::Refused(err.to_string()))?;
        let limit = self.clock.now() + READY_MAX;
        self.until(limit, |this| {
            let settled = |report: ModuleReport| report.ready || report.is_down();
            starts(this) > before && this.report().is_none_or(settled)
        })?;
        Ok(())
    }

    fn break_it(&mut self, fault: Fault) -> Result<(), StepError> {
        let offline = fault == Fault::Offline;
        self.between.faults.add(fault);
        if offline {
            self.hub.disconnect();
        }
        self.rest()
    }

    fn mend(&mut self) -> Result<(), StepError> {
        self.between.faults.clear();
        let limit = self.clock.now() + RECONNECT_MAX;
        self.until(limit, |this| {
            this.hub.is_connected()
                && this.upstream().is_none_or(|upstream| {
                    upstream.queued_messages + upstream.in_hand_messages == 0
                })
        })?;
        Ok(())
    }

    /// Lets time go on, from wait to wait, until it is so, or to the limit; answers whether it is so.
    fn until(
        &self,
        limit: Instant,
        mut is_so: impl FnMut(&Self) -> bool,
    ) -> Result<bool, StepError> {
        for _ in 0..WAITS_MAX {
            self.rest()?;
            if self.between.record.is_overflown() {
                return Err(StepError::TooMuch);
            }
            if is_so(self) {
                return Ok(true);
            }
            match self.clock.next_due() {
                Some(due) if due <= limit => self.clock.move_to(due),
                Some(_) | None => return Ok(false),
            }
        }
        Err(StepError::TooBusy(WAITS_MAX))
    }

    /// Lets all tasks work until each waits.
    fn rest(&self) -> Result<(), StepError> {
        // Of real time: it is for a module that never waits for the virtual one.
        let resting = async { tokio::time::timeout(self.rest_max, self.clock.idle()).await };
        self.runtime
            .block_on(resting)
            .map_err(|_| StepError::Restless(self.rest_max))
    }

    /// Notes what the router knows and nobody told.
    fn look(&mut self) -> Result<(), StepError> {
        let (record, message) = (&self.between.record, self.messages);
        let ours = self.router.set_aside();
        let new = ours
            .into_iter()
            .filter(|aside| aside.endpoint.module() == Some(&self.id))
            .filter(|aside| self.aside_seen.is_none_or(|seen| aside.id.sequence > seen));
        let mut newest = self.aside_seen;
        for aside in new {
            newest = newest.max(Some(aside.id.sequence));
            record.push(Outcome::Aside {
                message,
                reason: aside.reason.as_str(),
                detail: aside.detail,
            });
        }
        self.aside_seen = newest;
        let expired = self
            .endpoints()
            .map(|endpoint| endpoint.counters.expired)
            .sum();
        for _ in self.expired_seen..expired {
            record.push(Outcome::Expired { message });
        }
        self.expired_seen = expired;
        if record.is_overflown() {
            return Err(StepError::TooMuch);
        }
        Ok(())
    }

    fn waiting(&self) -> Waiting {
        self.endpoints()
            .fold(Waiting::default(), |sum, endpoint| Waiting {
                queued: sum.queued + endpoint.queued_messages,
                in_hand: sum.in_hand + endpoint.in_hand_messages,
            })
    }

    /// The module's own endpoints.
    fn endpoints(&self) -> impl Iterator<Item = EndpointSnapshot> {
        let endpoints = self.router.snapshot().endpoints.into_iter();
        endpoints.filter(|endpoint| endpoint.endpoint.module() == Some(&self.id))
    }

    fn upstream(&self) -> Option<EndpointSnapshot> {
        let mut endpoints = self.router.snapshot().endpoints.into_iter();
        endpoints.find(|endpoint| endpoint.endpoint.module().is_none())
    }

    fn report(&self) -> Option<ModuleReport> {
        self.supervisor.reports().into_iter().next()
    }
}
