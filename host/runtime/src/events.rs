//! What an instance hears of: control from the device first, then methods, timers and messages in turns.
//!
//! One `EventSource` per instance merges them. The loop for handlers and the `events` interface
//! for programs both take from it, so both see the same order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use wasm_edge_clock::Alarm;

use crate::guest::{Delivery, Messages, MethodResponse};
use crate::timers::{Schedule, Tick, TimerError, Timers};

/// New desired properties, as JSON text with `$version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesiredUpdate {
    /// All of them.
    Full(String),
    /// A merge patch.
    Patch(String),
}

/// A direct method called on this instance. Dropping it means that there is no answer.
#[derive(Debug)]
pub struct MethodCall {
    /// Name of the method.
    pub name: String,
    /// JSON text.
    pub payload: String,
    /// Where the answer goes.
    pub respond: oneshot::Sender<MethodResponse>,
}

/// What the device tells an instance.
#[derive(Debug)]
pub enum Control {
    /// New desired properties.
    Desired(DesiredUpdate),
    /// Is it well? Only for components that export `health`.
    Health(oneshot::Sender<Result<(), String>>),
    /// Stop within this time.
    Shutdown(Duration),
}

/// What happened.
pub(crate) enum Event {
    Control(Control),
    Method(MethodCall),
    Tick(Tick),
    Message(Delivery),
}

/// Merges all that an instance hears of.
pub(crate) struct EventSource {
    control: mpsc::Receiver<Control>,
    methods: Option<mpsc::Receiver<MethodCall>>,
    messages: Option<Messages>,
    timers: Timers,
    alarm: Option<Alarm>,
    peeked: VecDeque<Event>,
    stopping: bool,
    /// Who is asked first. What gave an event goes to the end, so that none starves another.
    turns: [Turn; 3],
}

/// What takes turns with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Method,
    Timer,
    Message,
}

/// The shared form: the store's state and its pollables look at the same source.
/// The lock is held for a poll only, never across an await.
#[derive(Clone)]
pub(crate) struct SharedEvents(Arc<Mutex<EventSource>>);

impl SharedEvents {
    pub(crate) fn new(
        control: mpsc::Receiver<Control>,
        methods: Option<mpsc::Receiver<MethodCall>>,
        messages: Option<Messages>,
    ) -> Self {
        Self(Arc::new(Mutex::new(EventSource {
            control,
            methods,
            messages,
            timers: Timers::default(),
            alarm: None,
            peeked: VecDeque::new(),
            stopping: false,
            turns: [Turn::Method, Turn::Timer, Turn::Message],
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, EventSource> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The next event; `None` once the device has let go of the instance.
    pub(crate) async fn next(&self) -> Option<Event> {
        std::future::poll_fn(|cx| self.lock().poll_next(cx)).await
    }

    /// Whether the instance was asked to stop, or the device has let go of it.
    pub(crate) fn was_told_to_stop(&self) -> bool {
        self.lock().stopping
    }

    /// The next event, if there is one within this time; with no time at all, if there is one now.
    pub(crate) async fn next_within(&self, timeout: Duration) -> Option<Event> {
        // Unconstrained: a task that has used up its turn would be told that there is nothing.
        let next = tokio::task::unconstrained(self.next());
        wasm_edge_clock::timeout(timeout, next)
            .await
            .unwrap_or(None)
    }

    /// Ready while `next` would give something at once.
    pub(crate) async fn wait(&self) {
        let peek = std::future::poll_fn(|cx| self.lock().poll_peek(cx));
        tokio::task::unconstrained(peek).await;
    }
}

impl EventSource {
    /// Starts a timer; one of the same name is replaced, with a tick of it that was not taken yet.
    pub(crate) fn start_timer(
        &mut self,
        name: &str,
        schedule: Schedule,
        now: Instant,
    ) -> Result<(), TimerError> {
        self.timers.start(name, schedule, now)?;
        self.forget_ticks(name);
        Ok(())
    }

    /// Stops a timer; a tick of it that was not taken yet does not come any more.
    pub(crate) fn cancel_timer(&mut self, name: &str) {
        self.timers.cancel(name);
        self.forget_ticks(name);
    }

    fn forget_ticks(&mut self, name: &str) {
        self.peeked
            .retain(|event| !matches!(event, Event::Tick(tick) if tick.name == name));
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(event) = self.peeked.pop_front() {
            return Poll::Ready(Some(event));
        }
        if let Poll::Ready(control) = self.control.poll_recv(cx) {
            if matches!(control, None | Some(Control::Shutdown(_))) {
                self.stopping = true;
                // Who waits for an answer learns at once that none comes.
                self.methods = None;
            }
            return Poll::Ready(control.map(Event::Control));
        }
        for place in 0..self.turns.len() {
            let polled = match self.turns[place] {
                Turn::Method => self.poll_methods(cx).map(Event::Method),
                Turn::Timer => self.poll_timers(cx).map(Event::Tick),
                Turn::Message => self.poll_messages(cx).map(Event::Message),
            };
            if polled.is_ready() {
                self.turns[place..].rotate_left(1);
                return polled.map(Some);
            }
        }
        Poll::Pending
    }

    fn poll_methods(&mut self, cx: &mut Context<'_>) -> Poll<MethodCall> {
        while let Some(methods) = &mut self.methods {
            match methods.poll_recv(cx) {
                // Nobody waits for the answer any more: it is too late to begin.
                Poll::Ready(Some(call)) if call.respond.is_closed() => {}
                Poll::Ready(Some(call)) => return Poll::Ready(call),
                Poll::Ready(None) => self.methods = None,
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    fn poll_messages(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        if let Some(messages) = &mut self.messages {
            match messages.as_mut().poll_next(cx) {
                Poll::Ready(Some(delivery)) => return Poll::Ready(delivery),
                Poll::Ready(None) => self.messages = None,
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.peeked.is_empty() {
            return Poll::Ready(());
        }
        self.poll_next(cx).map(|event| self.peeked.extend(event))
    }

    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<Tick> {
        let Some(due) = self.timers.next_due() else {
            self.alarm = None;
            return Poll::Pending;
        };
        if let Some(tick) = self.timers.take_due(wasm_edge_clock::now()) {
            return Poll::Ready(tick);
        }
        let alarm = self.alarm.get_or_insert_with(|| Alarm::at(due));
        match alarm.poll_at(due, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => match self.timers.take_due(wasm_edge_clock::now()) {
                Some(tick) => Poll::Ready(tick),
                None => {
                    // The alarm went off a moment before the timer's own instant: look again at once.
                    self.alarm = None;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            },
        }
    }
}

#[cfg(test)]
mod tests;
