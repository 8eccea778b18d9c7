//! What all guests of the tests have in common: how they answer, and how they read what they are told.

use std::fmt::Display;
use std::str::FromStr;

use wasm_edge_sdk::{Failure, Message, Outgoing, Result, SendError, Value};

/// Sends a small JSON object on the output `out`.
///
/// # Errors
/// Those of the message.
pub fn answer(value: &Value) -> Result {
    Ok(outgoing(value).send("out")?)
}

/// The answer as a message, for programs that stage it.
pub fn outgoing(value: &Value) -> Outgoing {
    Outgoing::text(value.to_string())
}

/// An application property as a value of any type.
///
/// # Errors
/// Rejects the message where the property is there and cannot be read.
pub fn property<T: FromStr<Err: Display>>(message: &Message<'_>, name: &str) -> Result<Option<T>> {
    let parse = |text: String| {
        text.parse()
            .map_err(|err| Failure::reject(format_args!("property `{name}`: {err}")))
    };
    message.property(name).map(parse).transpose()
}

/// Uses the instance's own time until the host ends it.
pub fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

/// The short name of an error of sending.
pub fn send_error_name(error: &SendError) -> &'static str {
    match error {
        SendError::WouldBlock => "would-block",
        SendError::TooLarge { .. } => "too-large",
        SendError::Invalid(_) => "invalid",
        SendError::OverLimit(_) => "over-limit",
        _ => "other",
    }
}
