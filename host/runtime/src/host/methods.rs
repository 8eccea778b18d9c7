//! `methods`: calls of direct methods.

use std::time::Duration;

use wasm_edge_model::identity::ModuleId;

use crate::bindings::wasm_edge::module::methods;
use crate::guest::{Invocation, InvokeError, METHOD_NAME_MAX_BYTES, MethodResponse, MethodTarget};
use crate::method_payload::checked_payload;
use crate::state::GuestState;

/// Allowed `response-timeout-ms` (IoT Hub: 5 to 300 s).
const RESPONSE_TIMEOUT_MS: std::ops::RangeInclusive<u32> = 5_000..=300_000;

/// Longest `connect-timeout-ms` (IoT Hub: 300 s).
const CONNECT_TIMEOUT_MAX_MS: u32 = 300_000;

impl methods::Host for GuestState {
    async fn invoke(
        &mut self,
        target: methods::Target,
        name: String,
        payload: String,
        options: methods::InvokeOptions,
    ) -> wasmtime::Result<Result<methods::Response, methods::InvokeError>> {
        let call = match invocation(target, name, payload, options) {
            Ok(call) => call,
            Err(err) => return Ok(Err(err.into())),
        };
        let paused = self.clock.pause();
        let answer = self.host.invoke(call).await;
        drop(paused);
        Ok(answer.map(Into::into).map_err(Into::into))
    }
}

fn invocation(
    target: methods::Target,
    name: String,
    payload: String,
    options: methods::InvokeOptions,
) -> Result<Invocation, InvokeError> {
    let invalid = |text: String| Err(InvokeError::Invalid(text));
    if name.is_empty() || name.len() > METHOD_NAME_MAX_BYTES {
        return invalid(format!(
            "a method's name has 1 to {METHOD_NAME_MAX_BYTES} bytes, this one {}",
            name.len()
        ));
    }
    if !RESPONSE_TIMEOUT_MS.contains(&options.response_timeout_ms) {
        return invalid(format!(
            "response-timeout-ms is 5000 to 300000, not {}",
            options.response_timeout_ms
        ));
    }
    if options.connect_timeout_ms > CONNECT_TIMEOUT_MAX_MS {
        return invalid(format!(
            "connect-timeout-ms is 0 to 300000, not {}",
            options.connect_timeout_ms
        ));
    }
    let payload = checked_payload(payload).map_err(InvokeError::Invalid)?;
    let target = match target {
        methods::Target::Device => MethodTarget::Device,
        methods::Target::Module(id) => match ModuleId::new(&id) {
            Ok(id) => MethodTarget::Module(id),
            Err(_) => return Err(InvokeError::NotFound),
        },
    };
    Ok(Invocation {
        target,
        name,
        payload,
        response_timeout: Duration::from_millis(options.response_timeout_ms.into()),
        connect_timeout: Duration::from_millis(options.connect_timeout_ms.into()),
    })
}

/// Checks a module's answer; one that cannot be passed on becomes status 500 with the reason.
pub(crate) fn checked_response(response: methods::Response) -> MethodResponse {
    match checked_payload(response.payload) {
        Ok(payload) => MethodResponse {
            status: response.status,
            payload,
        },
        Err(reason) => MethodResponse {
            status: 500,
            payload: serde_json::json!({ "error": reason }).to_string(),
        },
    }
}

impl From<MethodResponse> for methods::Response {
    fn from(response: MethodResponse) -> Self {
        Self {
            status: response.status,
            payload: response.payload,
        }
    }
}

impl From<InvokeError> for methods::InvokeError {
    fn from(err: InvokeError) -> Self {
        match err {
            InvokeError::NotFound => Self::NotFound,
            InvokeError::Timeout => Self::Timeout,
            InvokeError::Busy => Self::Busy,
            InvokeError::Invalid(text) => Self::Invalid(text),
            InvokeError::Other(text) => Self::Other(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_cannot_be_passed_on_says_why() {
        let answer = checked_response(methods::Response {
            status: 200,
            payload: "no json".to_owned(),
        });
        assert_eq!(answer.status, 500);
        assert!(
            answer
                .payload
                .starts_with("{\"error\":\"the payload is not JSON"),
            "{}",
            answer.payload
        );
    }
}
