//! Direct methods that a client was asked to run and has not answered.
//!
//! Owns their numbers. Leaves how many there may be at once to the hub, which
//! lets no more callers wait than that.

use serde_json::Value;

use crate::method::MethodRequest;

/// The requests under way, each under the number that its answer repeats.
#[derive(Debug, Default)]
pub(super) struct Calls {
    last: u64,
    pending: Vec<(u64, MethodRequest)>,
}

impl Calls {
    /// Gives a request a number; those whose callers have given up are let go.
    pub(super) fn begin(&mut self, request: MethodRequest) -> String {
        self.pending.retain(|(_, request)| !request.is_given_up());
        self.last += 1;
        self.pending.push((self.last, request));
        format!("{:x}", self.last)
    }

    /// Lets a request go without an answer; its caller is told.
    pub(super) fn abandon(&mut self, request_id: &str) {
        drop(self.take(request_id));
    }

    /// Hands an answer to its caller. One that nobody waits for goes nowhere; the caller of one that
    /// is no JSON is told that no answer came.
    pub(super) fn answer(&mut self, request_id: &str, status: i32, payload: &[u8]) {
        let Some(request) = self.take(request_id) else {
            tracing::debug!("the answer to a direct method came too late or for none");
            return;
        };
        let payload = match payload {
            [] => Ok(Value::Null),
            payload => serde_json::from_slice(payload),
        };
        match payload {
            Ok(payload) => {
                if let Err(err) = request.respond(status, payload) {
                    tracing::debug!(%err, "the answer to a direct method was not taken");
                }
            }
            Err(err) => tracing::debug!(%err, "the answer to a direct method is no JSON"),
        }
    }

    fn take(&mut self, request_id: &str) -> Option<MethodRequest> {
        let number = u64::from_str_radix(request_id, 16).ok()?;
        let index = self.pending.iter().position(|(it, _)| *it == number)?;
        Some(self.pending.swap_remove(index).1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::method::{MethodCall, MethodResult};

    #[tokio::test]
    async fn an_answer_finds_its_caller_and_no_other() {
        let call = MethodCall::new("x", Value::Null).unwrap();
        let mut calls = Calls::default();
        let (request, first) = call.request();
        assert_eq!(calls.begin(request), "1");
        let (request, second) = call.request();
        assert_eq!(calls.begin(request), "2");
        let (request, given_up) = call.request();
        assert_eq!(calls.begin(request), "3");
        drop(given_up);
        for odd in ["", "9", "x", "-1", "11111111111111111"] {
            calls.answer(odd, 200, b"");
        }
        calls.answer("2", 404, b"{\"a\":1}");
        let payload = json!({ "a": 1 });
        let expected = MethodResult {
            status: 404,
            payload,
        };
        assert_eq!(second.await.unwrap(), expected);
        calls.answer("2", 200, b"");
        calls.answer("1", 200, b"no json");
        first.await.unwrap_err();
        let (request, fourth) = call.request();
        assert_eq!(calls.begin(request), "4");
        assert_eq!(calls.pending.len(), 1);
        calls.answer("4", 200, b"");
        assert_eq!(fourth.await.unwrap().payload, Value::Null);
    }
}
