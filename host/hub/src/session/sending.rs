//! Telemetry of a session on its way to disk.
//!
//! Owns what the hub notes on a message, and the receipt for it. Leaves
//! writing to the telemetry log.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::{Message, SystemProperty};

use super::{Session, SessionError};
use crate::error::HubError;
use crate::hub::Hub;

/// Says when a message is on disk.
pub(crate) struct Receipt(oneshot::Receiver<()>);

/// The hub closed before the message was on disk.
#[derive(Debug)]
pub(crate) struct Lost;

/// A message that was not taken.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: SessionError,
    pub(crate) message: Message,
}

impl Future for Receipt {
    type Output = Result<(), Lost>;

    fn poll(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(ctx).map_err(|_| Lost)
    }
}

impl Session {
    /// Sends telemetry; done when the hub has it on disk, and as long as it cannot be written, not done.
    ///
    /// Several may be under way at once: the hub takes them in the order in which they were first
    /// polled. One that is dropped may be taken or not.
    ///
    /// The output that a module sent it to is its system property
    /// `outputName`. Who sent it and when is set by the hub, whatever the
    /// message says.
    ///
    /// # Errors
    /// [`SessionError::Closed`], [`SessionError::Message`], [`SessionError::Hub`].
    pub async fn send(&self, message: Message) -> Result<(), SessionError> {
        let receipt = self.begin_send(message).map_err(|refused| refused.error)?;
        receipt.await.map_err(|Lost| self.failed(HubError::Closed))
    }

    /// As [`Session::send`], in two steps: the hub takes messages in the order of these calls, and
    /// the receipt says when one is on disk. A message that the hub has no room for comes back.
    pub(crate) fn begin_send(&self, mut message: Message) -> Result<Receipt, Box<Refused>> {
        let refused = |error, message| Box::new(Refused { error, message });
        if let Err(error) = self.begin() {
            return Err(refused(error, message));
        }
        let hub = &self.0.hub;
        let enqueued = hub.now();
        stamp(&mut message, self.owner(), &enqueued.to_string());
        if let Err(error) = message.check() {
            return Err(refused(SessionError::Message(error), message));
        }
        let source = self.owner().clone();
        let taken = hub.telemetry_log().append(source, enqueued, message);
        match taken {
            Ok(written) => Ok(Receipt(written)),
            Err(refusal) => Err(refused(self.failed(refusal.error), refusal.message)),
        }
    }
}

impl Hub {
    /// Sends what a device or module left to be sent when it would be gone, if it is still the one
    /// of `generation_id` and may send.
    pub(crate) async fn send_will(
        &self,
        owner: &TwinOwner,
        generation_id: &str,
        mut will: Message,
    ) -> Result<(), HubError> {
        let found = self.load_enabled(owner).await?;
        if found.record.identity.generation_id != generation_id {
            return Err(HubError::NotFound {
                owner: owner.clone(),
            });
        }
        let enqueued = self.now();
        stamp(&mut will, owner, &enqueued.to_string());
        let taken = self.telemetry_log().append(owner.clone(), enqueued, will);
        taken.map(drop).map_err(|refusal| refusal.error)
    }
}

/// Notes who sent the message and when; what it says of that itself is dropped.
fn stamp(message: &mut Message, owner: &TwinOwner, enqueued: &str) {
    let output = message
        .system
        .get(SystemProperty::OutputName)
        .map(str::to_owned);
    message.system.remove_set_by_host();
    message
        .system
        .set(SystemProperty::ConnectionDeviceId, owner.device().as_str());
    if let Some(module) = owner.module() {
        message
            .system
            .set(SystemProperty::ConnectionModuleId, module.as_str());
        if let Some(output) = output {
            message.system.set(SystemProperty::OutputName, output);
        }
    }
    message.system.set(SystemProperty::EnqueuedTime, enqueued);
}
