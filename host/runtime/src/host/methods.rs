//! `methods`: calls of direct methods.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use wasm_edge_model::identity::ModuleId;

use crate::bindings::wasm_edge::module::methods;
use crate::guest::{
    Invocation, InvokeError, METHOD_NAME_MAX_BYTES, METHOD_PAYLOAD_MAX_BYTES, MethodResponse,
    MethodTarget,
};
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

/// Checks a payload from a guest; an empty one stands for `null`.
pub(crate) fn checked_payload(payload: String) -> Result<String, String> {
    if payload.is_empty() {
        return Ok("null".to_owned());
    }
    if payload.len() > METHOD_PAYLOAD_MAX_BYTES {
        return Err(format!(
            "the payload has {} bytes, at most {METHOD_PAYLOAD_MAX_BYTES} are allowed",
            payload.len()
        ));
    }
    match serde_json::from_str::<Checked>(&payload) {
        Ok(Checked) => Ok(payload),
        Err(err) => Err(format!("the payload is not JSON: {err}")),
    }
}

/// JSON of which nothing is kept. Unlike `IgnoredAny` it is held to the depth that every reader of it has as its
/// limit (128 in `serde_json`), so that what passes here can be read at the other end.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckedVisitor)
    }
}

struct CheckedVisitor;

impl<'de> Visitor<'de> for CheckedVisitor {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Checked, A::Error> {
        while access.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Checked, A::Error> {
        while access.next_entry::<Checked, Checked>()?.is_some() {}
        Ok(Checked)
    }
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

    fn check(payload: &str, expected: Result<&str, &str>) {
        match (checked_payload(payload.to_owned()), expected) {
            (Ok(taken), Ok(expected)) => assert_eq!(taken, expected),
            (Err(reason), Err(expected)) => assert!(reason.contains(expected), "{reason}"),
            (found, _) => panic!("{payload:.40} gave {found:?}"),
        }
    }

    #[test]
    fn a_payload_is_json_of_a_size_and_depth_that_every_reader_takes() {
        check("", Ok("null"));
        for json in [
            "null",
            "-1.5e3",
            "[{\"a\": [true, \"\\u00e4\"]}]",
            "18446744073709551615",
        ] {
            check(json, Ok(json));
        }
        for no_json in ["{", "nul", "[1,]", "{1: 2}", "1 2", "\"\u{1}\""] {
            check(no_json, Err("not JSON"));
        }
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        check(&nested(127), Ok(&nested(127)));
        check(&nested(128), Err("recursion limit"));
        let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        check(
            &text(METHOD_PAYLOAD_MAX_BYTES),
            Ok(&text(METHOD_PAYLOAD_MAX_BYTES)),
        );
        check(
            &text(METHOD_PAYLOAD_MAX_BYTES + 1),
            Err("at most 131072 are allowed"),
        );
    }

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
