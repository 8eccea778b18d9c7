//! What stands between the exports that [`module`](crate::module) writes and the author's handlers: each function takes what the host gives and a handler, and answers as the host expects.

use std::cell::RefCell;
use std::thread::LocalKey;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::bindings::{messages, methods, timer, twin as raw_twin};
use crate::failure::{Failure, Result};
use crate::logger::install_logger;
use crate::message::Message;
use crate::methods::Response;
use crate::timer::Tick;
use crate::twin::{self, DesiredUpdate};

/// The module's state: made at the first call, kept until the instance ends.
pub type Slot<T> = RefCell<T>;

/// What [`module`](macro@crate::module) makes of a type, for the exports of a component and for the tests' harness alike.
///
/// It is not to be implemented by hand: each function takes and gives what the host does.
pub trait Module: Default + 'static {
    /// Names of the handlers that there are; of the functions below only these are ever called.
    const HANDLERS: &'static [&'static str];

    #[doc(hidden)]
    fn init(&mut self) -> Result<(), String> {
        Ok(())
    }

    #[doc(hidden)]
    fn message(&mut self, _: &messages::Message) -> Result<(), messages::Failure> {
        Ok(())
    }

    #[doc(hidden)]
    fn desired(&mut self, _: raw_twin::DesiredUpdate) -> Result<(), String> {
        Ok(())
    }

    #[doc(hidden)]
    fn method(&mut self, name: String, _: String) -> methods::Response {
        Response::unknown_method(&name).into()
    }

    #[doc(hidden)]
    fn timer(&mut self, _: timer::Tick) -> Result<(), String> {
        Ok(())
    }

    #[doc(hidden)]
    fn shutdown(&mut self, _: u32) {}

    #[doc(hidden)]
    fn health(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Calls a handler with the module's state.
pub fn enter<T, R>(slot: &'static LocalKey<Slot<T>>, call: impl FnOnce(&mut T) -> R) -> R {
    // Before the state is made, since making it may log.
    install_logger();
    slot.with_borrow_mut(call)
}

/// What a handler may answer that has nothing to give back.
#[diagnostic::on_unimplemented(
    message = "a handler cannot answer `{Self}`",
    label = "not an answer",
    note = "it answers nothing, or `wasm_edge_sdk::Result`, or a `Result<(), E>` with any error `E`"
)]
pub trait Outcome {
    /// The answer in its one form.
    fn outcome(self) -> Result;
}

impl Outcome for () {
    fn outcome(self) -> Result {
        Ok(())
    }
}

impl<E: Into<Failure>> Outcome for Result<(), E> {
    fn outcome(self) -> Result {
        self.map_err(Into::into)
    }
}

/// What the handler of methods may answer.
#[diagnostic::on_unimplemented(
    message = "`method` cannot answer `{Self}`",
    label = "not an answer",
    note = "it answers a `methods::Response`, or a `Result` with one and any error"
)]
pub trait Answer {
    /// The answer in its one form.
    fn answer(self) -> Response;
}

impl Answer for Response {
    fn answer(self) -> Response {
        self
    }
}

impl<E: Into<Failure>> Answer for Result<Response, E> {
    fn answer(self) -> Response {
        self.unwrap_or_else(|err| Response::error(500, err.into()))
    }
}

/// `message-handler`.
pub fn message(
    message: &messages::Message,
    handler: impl FnOnce(&Message<'_>) -> Result,
) -> Result<(), messages::Failure> {
    let answer = handler(&Message::borrowed(message));
    if let Err(failure @ (Failure::Retry { .. } | Failure::Full { .. })) = &answer {
        // The host learns of the time alone.
        log::debug!("message waits: {failure}");
    }
    answer.map_err(|failure| failure.into_raw(message.previous_tries()))
}

/// `twin-handler`, for a handler of the whole section in the author's type.
pub fn desired<T: DeserializeOwned>(
    update: raw_twin::DesiredUpdate,
    handler: impl FnOnce(T) -> Result,
) -> Result<(), String> {
    let section = match update {
        raw_twin::DesiredUpdate::Full(text) => text,
        raw_twin::DesiredUpdate::Patch(_) => raw_twin::desired(),
    };
    let section = twin::parse_section("desired", &section);
    plain(|| handler(section?))
}

/// `twin-handler`, for a handler of the updates themselves.
pub fn desired_update(
    update: raw_twin::DesiredUpdate,
    handler: impl FnOnce(DesiredUpdate) -> Result,
) -> Result<(), String> {
    plain(|| handler(update.into()))
}

/// `method-handler`.
pub fn method<T: DeserializeOwned>(
    name: &str,
    payload: &str,
    handler: impl FnOnce(&str, T) -> Response,
) -> methods::Response {
    match serde_json::from_str(payload) {
        Ok(payload) => handler(name, payload),
        Err(err) => Response::error(400, format_args!("payload: {err}")),
    }
    .into()
}

/// `timer-handler`.
pub fn timer(tick: timer::Tick, handler: impl FnOnce(Tick) -> Result) -> Result<(), String> {
    plain(|| handler(tick.into()))
}

/// `init` and `health`.
pub fn plain(handler: impl FnOnce() -> Result) -> Result<(), String> {
    handler().map_err(|failure| failure.to_string())
}

/// `shutdown`, which has no way to answer an error.
pub fn shutdown(grace_ms: u32, handler: impl FnOnce(Duration) -> Result) {
    let grace = Duration::from_millis(grace_ms.into());
    if let Err(failure) = handler(grace) {
        log::error!("shutdown: {failure}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_another_form_is_the_callers_fault() {
        let answer = method("set", "[1]", |_, payload: u32| Response::ok(&payload));
        assert_eq!(answer.status, 400);
        assert!(
            answer
                .payload
                .starts_with(r#"{"error":"payload: invalid type"#),
            "{}",
            answer.payload
        );
    }

    #[test]
    fn a_failing_method_answers_500_with_the_reason() {
        let answer = Err::<Response, _>(Failure::reject("no sensor")).answer();
        assert_eq!(
            (answer.status, answer.payload.as_str()),
            (500, r#"{"error":"no sensor"}"#)
        );
    }

    #[test]
    fn desired_properties_of_another_form_do_not_reach_the_handler() {
        let update = raw_twin::DesiredUpdate::Full(r#"{"$version":1}"#.into());
        let answer = desired::<u32>(update, |_| Err(Failure::reject("a section is no number")));
        assert!(answer.is_err_and(|text| text.starts_with("desired properties are not")));
    }
}
