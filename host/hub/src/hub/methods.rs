//! Calling direct methods: finding the target's session, handing over, waiting.

use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, timeout, timeout_at};
use wasm_edge_model::identity::TwinOwner;

use super::Hub;
use crate::error::HubError;
use crate::method::{CALLS_PER_TARGET_MAX, MethodCall, MethodResult};
use crate::session::connections::MethodTarget;

impl Hub {
    /// Calls a direct method of a device or module and waits for the answer.
    ///
    /// # Errors
    /// [`HubError::NotFound`]; [`HubError::NotOnline`] when no session that
    /// takes methods is there in time; [`HubError::TooManyCalls`];
    /// [`HubError::NoAnswer`] when the time is up, [`HubError::Unanswered`]
    /// at once when the target ended or threw the request away;
    /// [`HubError::Store`] and its kin.
    ///
    /// # Cancel safety
    /// The target runs the method also when the future is dropped; the answer
    /// is lost.
    pub async fn invoke_method(
        &self,
        owner: &TwinOwner,
        call: MethodCall,
    ) -> Result<MethodResult, HubError> {
        let ended = self.call_method(owner, call).await;
        let outcome = match &ended {
            Ok(_) => "answered",
            Err(HubError::NotOnline { .. }) => "not_online",
            Err(HubError::NoAnswer { .. }) => "no_answer",
            Err(HubError::Unanswered { .. }) => "unanswered",
            Err(_) => "refused",
        };
        self.metrics().method_ended(outcome);
        ended
    }

    async fn call_method(
        &self,
        owner: &TwinOwner,
        call: MethodCall,
    ) -> Result<MethodResult, HubError> {
        self.identity(owner).await?;
        let target = self.method_target(owner, &call).await?;
        let limit = CALLS_PER_TARGET_MAX;
        let too_many = || HubError::TooManyCalls {
            owner: owner.clone(),
            limit,
        };
        // Held until this call is over, also if the target never lets go of its request.
        let _permit = target.calls.try_acquire_owned().map_err(|_| too_many())?;
        let (request, answered) = call.request();
        target.requests.try_send(request).map_err(|err| match err {
            TrySendError::Full(_) => too_many(),
            TrySendError::Closed(_) => not_online(owner, &call),
        })?;
        match timeout(call.response_timeout(), answered).await {
            Ok(Ok(result)) => Ok(result),
            // In time but without an answer: the target threw the request away or went.
            Ok(Err(_)) => Err(HubError::Unanswered {
                owner: owner.clone(),
            }),
            Err(_) => Err(HubError::NoAnswer {
                owner: owner.clone(),
                timeout: call.response_timeout(),
            }),
        }
    }

    /// Waits for a session that takes methods.
    async fn method_target(
        &self,
        owner: &TwinOwner,
        call: &MethodCall,
    ) -> Result<MethodTarget, HubError> {
        let mut changed = self.connections().watch();
        let deadline = Instant::now() + call.connect_timeout();
        loop {
            // Marked as seen before looking, so that no change falls in between.
            changed.mark_unchanged();
            if let Some(target) = self.connections().method_target(owner) {
                return Ok(target);
            }
            if call.connect_timeout().is_zero() {
                return Err(not_online(owner, call));
            }
            match timeout_at(deadline, changed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(not_online(owner, call)),
            }
        }
    }
}

fn not_online(owner: &TwinOwner, call: &MethodCall) -> HubError {
    HubError::NotOnline {
        owner: owner.clone(),
        waited: call.connect_timeout(),
    }
}

#[cfg(test)]
mod tests;
