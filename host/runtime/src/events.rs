//! What an instance hears of: control from the device, timers, messages, in this order.
//!
//! One `EventSource` per instance merges the three. The loop for handlers and the `events` interface
//! for programs both take from it, so both see the same order.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep};

use crate::guest::{Delivery, Messages, MethodResponse};
use crate::timers::{Tick, Timers};

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
    /// A direct method.
    Method(MethodCall),
    /// Is it well? Only for components that export `health`.
    Health(oneshot::Sender<Result<(), String>>),
    /// Stop within this time.
    Shutdown(Duration),
}

/// What happened.
pub(crate) enum Event {
    Control(Control),
    Tick(Tick),
    Message(Delivery),
}

/// Merges all that an instance hears of.
pub(crate) struct EventSource {
    control: mpsc::Receiver<Control>,
    messages: Option<Messages>,
    pub(crate) timers: Timers,
    sleep: Option<Pin<Box<Sleep>>>,
    peeked: VecDeque<Event>,
    stopping: bool,
    /// The last event was a tick: messages come first now, so that a short period starves none.
    ticked: bool,
}

/// The shared form: the store's state and its pollables look at the same source.
/// The lock is held for a poll only, never across an await.
#[derive(Clone)]
pub(crate) struct SharedEvents(Arc<Mutex<EventSource>>);

impl SharedEvents {
    pub(crate) fn new(control: mpsc::Receiver<Control>, messages: Option<Messages>) -> Self {
        Self(Arc::new(Mutex::new(EventSource {
            control,
            messages,
            timers: Timers::default(),
            sleep: None,
            peeked: VecDeque::new(),
            stopping: false,
            ticked: false,
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

    /// Ready while `next` would give something at once.
    pub(crate) async fn wait(&self) {
        std::future::poll_fn(|cx| self.lock().poll_peek(cx)).await;
    }
}

impl EventSource {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(event) = self.peeked.pop_front() {
            return Poll::Ready(Some(event));
        }
        if let Poll::Ready(control) = self.control.poll_recv(cx) {
            self.stopping |= matches!(control, None | Some(Control::Shutdown(_)));
            return Poll::Ready(control.map(Event::Control));
        }
        if std::mem::take(&mut self.ticked)
            && let Poll::Ready(delivery) = self.poll_messages(cx)
        {
            return Poll::Ready(Some(Event::Message(delivery)));
        }
        if let Poll::Ready(tick) = self.poll_timers(cx) {
            self.ticked = true;
            return Poll::Ready(Some(Event::Tick(tick)));
        }
        self.poll_messages(cx)
            .map(|delivery| Some(Event::Message(delivery)))
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
            self.sleep = None;
            return Poll::Pending;
        };
        if let Some(tick) = self.timers.take_due(Instant::now()) {
            return Poll::Ready(tick);
        }
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.deadline() != due {
            sleep.as_mut().reset(due);
        }
        match sleep.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => match self.timers.take_due(Instant::now()) {
                Some(tick) => Poll::Ready(tick),
                None => {
                    // The sleep ended a moment before the timer's own instant: look again at once.
                    self.sleep = None;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            },
        }
    }
}

#[cfg(test)]
mod tests;
