//! `events`: what a program hears of, and how it ends deliveries and method calls.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use wasm_edge_model::message::{Message, MessageId};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::messages::{MessageHandle, changed_message, held_bytes, new_message};
use super::methods::checked_response;
use crate::bindings::wasm_edge::module::{events, messages, methods};
use crate::budget::Charge;
use crate::events::{Control, Event, MethodCall, SharedEvents};
use crate::guest::{Completion, Delivery, MethodResponse, SendError, cut};
use crate::instance::failure;
use crate::state::{GuestState, StagedSend};

/// Longest wait that `retry` may ask for.
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(3600);

/// Longest reason of `reject` in bytes.
pub(crate) const REASON_MAX_BYTES: usize = 1024;

/// A message that a program has in hand.
#[expect(unreachable_pub, reason = "generated bindings re-export it")]
pub struct DeliveryHandle {
    message: Arc<Message>,
    id: MessageId,
    input: wasm_edge_model::message::InputName,
    previous_tries: u32,
    /// `None` once it was ended.
    open: Option<Open>,
    _charge: Charge,
}

struct Open {
    completion: Box<dyn Completion>,
    staged: Vec<StagedSend>,
}

/// A direct method that a program was asked.
#[expect(unreachable_pub, reason = "generated bindings re-export it")]
pub struct MethodCallHandle {
    name: String,
    payload: String,
    respond: Option<oneshot::Sender<MethodResponse>>,
    _charge: Charge,
}

/// Ready while there is an event.
struct EventPollable {
    events: SharedEvents,
}

#[async_trait]
impl Pollable for EventPollable {
    async fn ready(&mut self) {
        self.events.wait().await;
    }
}

impl events::Host for GuestState {
    async fn next(&mut self, timeout_ms: Option<u32>) -> wasmtime::Result<Option<events::Event>> {
        loop {
            let events = self.events.clone();
            let paused = self.clock.pause();
            let event = match timeout_ms {
                None => events.next().await,
                Some(timeout_ms) => {
                    events
                        .next_within(Duration::from_millis(timeout_ms.into()))
                        .await
                }
            };
            drop(paused);
            self.deadline.restart();
            self.gauges
                .host_memory_bytes
                .store(self.budget.used_bytes(), Ordering::Relaxed);
            let Some(event) = event else { return Ok(None) };
            if let Some(event) = self.event(event)? {
                return Ok(Some(event));
            }
        }
    }

    fn subscribe(&mut self) -> wasmtime::Result<Resource<DynPollable>> {
        let source = self.table.push(EventPollable {
            events: self.events.clone(),
        })?;
        subscribe(&mut self.table, source)
    }
}

impl GuestState {
    /// Turns an event into what the guest gets; `None` for those that programs do not hear of.
    fn event(&mut self, event: Event) -> wasmtime::Result<Option<events::Event>> {
        Ok(Some(match event {
            Event::Message(delivery) => events::Event::Message(self.delivery(delivery)?),
            Event::Tick(tick) => events::Event::Timer(tick.into()),
            Event::Control(Control::Desired(update)) => events::Event::Desired(update.into()),
            Event::Method(call) => events::Event::Method(self.method_call(call)?),
            Event::Control(Control::Shutdown(grace)) => {
                events::Event::Shutdown(u32::try_from(grace.as_millis()).unwrap_or(u32::MAX))
            }
            Event::Control(Control::Health(_)) => return Ok(None),
        }))
    }

    fn delivery(&mut self, delivery: Delivery) -> wasmtime::Result<Resource<DeliveryHandle>> {
        let charge = self
            .charge(held_bytes(&delivery.message), "kept deliveries")
            .map_err(host_limit)?;
        let Delivery {
            message,
            id,
            input,
            previous_tries,
            completion,
        } = delivery;
        let open = Some(Open {
            completion,
            staged: Vec::new(),
        });
        Ok(self.table.push(DeliveryHandle {
            message,
            id,
            input,
            previous_tries,
            open,
            _charge: charge,
        })?)
    }

    fn method_call(&mut self, call: MethodCall) -> wasmtime::Result<Resource<MethodCallHandle>> {
        let charge = self
            .charge(call.payload.len(), "kept method calls")
            .map_err(host_limit)?;
        let MethodCall {
            name,
            payload,
            respond,
        } = call;
        Ok(self.table.push(MethodCallHandle {
            name,
            payload,
            respond: Some(respond),
            _charge: charge,
        })?)
    }

    fn open_delivery(
        &mut self,
        this: &Resource<DeliveryHandle>,
    ) -> wasmtime::Result<Option<&mut Open>> {
        Ok(self.table.get_mut(this)?.open.as_mut())
    }

    fn stage_with(
        &mut self,
        this: &Resource<DeliveryHandle>,
        output: String,
        message: Result<Message, SendError>,
    ) -> wasmtime::Result<Result<(), messages::SendError>> {
        if self.open_delivery(this)?.is_none() {
            return Ok(Err(messages::SendError::Invalid(
                "the delivery was ended before".to_owned(),
            )));
        }
        let staged = message.and_then(|message| self.stage(output, message));
        match staged {
            Ok(send) => {
                if let Some(open) = self.open_delivery(this)? {
                    open.staged.push(send);
                }
                Ok(Ok(()))
            }
            Err(err) => Ok(Err(err.into())),
        }
    }
}

/// A guest that keeps too much ends here, with the limit's name.
fn host_limit(err: SendError) -> wasmtime::Error {
    wasmtime::Error::new(HostLimitExceeded(err.to_string()))
}

/// Ends an instance that keeps more in the host than it may.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HostLimitExceeded(pub(crate) String);

/// Counts a failed try for every delivery that an instance had in hand when it failed; answers how many
/// there were.
pub(crate) fn fail_open_deliveries(table: &mut ResourceTable, reason: &str) -> u64 {
    let mut failed = 0;
    for entry in table.iter_mut() {
        let open = entry
            .downcast_mut::<DeliveryHandle>()
            .and_then(|delivery| delivery.open.take());
        if let Some(open) = open {
            open.completion
                .fail(cut(reason.to_owned(), REASON_MAX_BYTES));
            failed += 1;
        }
    }
    failed
}

impl events::HostDelivery for GuestState {
    fn message(
        &mut self,
        this: Resource<DeliveryHandle>,
    ) -> wasmtime::Result<Resource<MessageHandle>> {
        let delivery = self.table.get(&this)?;
        let (message, id, input, tries) = (
            Arc::clone(&delivery.message),
            delivery.id,
            delivery.input.clone(),
            delivery.previous_tries,
        );
        let charge = self
            .charge(held_bytes(&message), "kept messages")
            .map_err(host_limit)?;
        Ok(self
            .table
            .push(MessageHandle::new(message, id, input, tries, Some(charge)))?)
    }

    fn send(
        &mut self,
        this: Resource<DeliveryHandle>,
        output: String,
        message: messages::Outgoing,
    ) -> wasmtime::Result<Result<(), messages::SendError>> {
        self.stage_with(&this, output, new_message(message))
    }

    fn forward(
        &mut self,
        this: Resource<DeliveryHandle>,
        output: String,
        changes: Vec<messages::PropertyChange>,
    ) -> wasmtime::Result<Result<(), messages::SendError>> {
        let original = Arc::clone(&self.table.get(&this)?.message);
        self.stage_with(&this, output, changed_message(&original, changes))
    }

    async fn complete(
        &mut self,
        this: Resource<DeliveryHandle>,
    ) -> wasmtime::Result<Result<(), events::CompletionError>> {
        let delivery = self.table.get_mut(&this)?;
        let Some(open) = &delivery.open else {
            return Ok(Err(events::CompletionError::AlreadyEnded));
        };
        if let Some(failure) = open.completion.injected() {
            return Err(failure::injected(failure));
        }
        let Some(open) = delivery.open.take() else {
            return Ok(Err(events::CompletionError::AlreadyEnded));
        };
        let staged = open.staged.into_iter().map(|send| send.staged).collect();
        Ok(match open.completion.complete_and_keep(staged).await {
            Ok(()) => {
                self.gauges.messages_handled.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(SendError::WouldBlock) => Err(events::CompletionError::WouldBlock),
            Err(err) => Err(events::CompletionError::Other(err.to_string())),
        })
    }

    fn retry(
        &mut self,
        this: Resource<DeliveryHandle>,
        after_ms: u32,
    ) -> wasmtime::Result<Result<(), events::CompletionError>> {
        let Some(open) = self.table.get_mut(&this)?.open.take() else {
            return Ok(Err(events::CompletionError::AlreadyEnded));
        };
        open.completion
            .retry(Duration::from_millis(after_ms.into()).min(RETRY_MAX));
        Ok(Ok(()))
    }

    fn reject(
        &mut self,
        this: Resource<DeliveryHandle>,
        reason: String,
    ) -> wasmtime::Result<Result<(), events::CompletionError>> {
        let Some(open) = self.table.get_mut(&this)?.open.take() else {
            return Ok(Err(events::CompletionError::AlreadyEnded));
        };
        self.gauges.messages_failed.fetch_add(1, Ordering::Relaxed);
        open.completion.reject(cut(reason, REASON_MAX_BYTES));
        Ok(Ok(()))
    }

    fn drop(&mut self, this: Resource<DeliveryHandle>) -> wasmtime::Result<()> {
        if let Some(open) = self.table.delete(this)?.open {
            open.completion.retry(Duration::ZERO);
        }
        Ok(())
    }
}

impl events::HostMethodCall for GuestState {
    fn name(&mut self, this: Resource<MethodCallHandle>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.name.clone())
    }

    fn payload(&mut self, this: Resource<MethodCallHandle>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.payload.clone())
    }

    fn respond(
        &mut self,
        this: Resource<MethodCallHandle>,
        response: methods::Response,
    ) -> wasmtime::Result<Result<(), events::CompletionError>> {
        let Some(respond) = self.table.get_mut(&this)?.respond.take() else {
            return Ok(Err(events::CompletionError::AlreadyEnded));
        };
        // A caller that has given up is no fault of this module.
        let _ = respond.send(checked_response(response));
        Ok(Ok(()))
    }

    fn drop(&mut self, this: Resource<MethodCallHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
