//! Messages: the one at hand, new ones, and passing one on.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::{events as raw_events, messages as raw};

pub use raw::SystemProperty;

/// A message that a route brought to one of the module's inputs.
///
/// The host holds it: every reading crosses into the host, and the body is copied only when one of the body functions is called.
#[derive(Debug)]
pub struct Message<'a>(Handle<'a>);

#[derive(Debug)]
enum Handle<'a> {
    Borrowed(&'a raw::Message),
    Owned(raw::Message),
}

impl<'a> Message<'a> {
    pub(crate) fn borrowed(raw: &'a raw::Message) -> Self {
        Self(Handle::Borrowed(raw))
    }

    pub(crate) fn owned(raw: raw::Message) -> Self {
        Self(Handle::Owned(raw))
    }

    fn raw(&self) -> &raw::Message {
        match &self.0 {
            Handle::Borrowed(raw) => raw,
            Handle::Owned(raw) => raw,
        }
    }

    /// Name of the input it arrived at.
    pub fn input(&self) -> String {
        self.raw().input()
    }

    /// Length of the body, without copying it.
    pub fn body_size_bytes(&self) -> u32 {
        self.raw().body_size_bytes()
    }

    /// The whole body, as bytes.
    pub fn body(&self) -> Vec<u8> {
        self.raw().body()
    }

    /// At most `length_bytes` of the body from `offset_bytes` on; shorter at the end, empty behind it.
    pub fn body_part(&self, offset_bytes: u32, length_bytes: u32) -> Vec<u8> {
        self.raw().body_part(offset_bytes, length_bytes)
    }

    /// The whole body, as text.
    ///
    /// # Errors
    /// [`BodyError::NotText`] where the bytes are not UTF-8.
    pub fn text(&self) -> Result<String, BodyError> {
        Ok(String::from_utf8(self.body())?)
    }

    /// The whole body, read as JSON. What the message says of its content type is not looked at.
    ///
    /// # Errors
    /// [`BodyError::NotJson`] where the bytes are not JSON, or not of the form that `T` has.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, BodyError> {
        Ok(serde_json::from_slice(&self.body())?)
    }

    /// The value of an application property. Names are compared exactly.
    pub fn property(&self, name: &str) -> Option<String> {
        self.raw().property(name)
    }

    /// All application properties with their names, in the sender's order.
    pub fn properties(&self) -> Vec<(String, String)> {
        self.raw().properties()
    }

    /// The value of a system property.
    pub fn system_property(&self, name: SystemProperty) -> Option<String> {
        self.raw().system_property(name)
    }

    /// How often this module was given the message before; 0 the first time.
    pub fn previous_tries(&self) -> u32 {
        self.raw().previous_tries()
    }

    /// Passes the message on, its body left in the host:
    /// `message.forward().set("severity", "high").send("alerts")?`.
    ///
    /// It is staged as [`Outgoing::send`] is.
    pub fn forward(&self) -> Forward<'_, raw::Message> {
        Forward::new(self.raw())
    }
}

/// A message on its way out again, with changes to its application properties.
#[must_use = "nothing is sent before `send`"]
#[derive(Debug)]
pub struct Forward<'a, F> {
    message: &'a F,
    changes: Vec<raw::PropertyChange>,
}

/// What can be forwarded: a message at hand, or a delivery.
///
/// A trait and not an enum of the two, because a module with handlers must not come to import `events`.
pub(crate) trait Forwardable {
    fn forward(&self, output: &str, changes: &[raw::PropertyChange]) -> Result<(), raw::SendError>;
}

impl Forwardable for raw::Message {
    fn forward(&self, output: &str, changes: &[raw::PropertyChange]) -> Result<(), raw::SendError> {
        raw::forward(self, output, changes)
    }
}

impl Forwardable for raw_events::Delivery {
    fn forward(&self, output: &str, changes: &[raw::PropertyChange]) -> Result<(), raw::SendError> {
        self.forward(output, changes)
    }
}

#[expect(private_bounds, reason = "what can be forwarded is a closed set")]
impl<'a, F: Forwardable> Forward<'a, F> {
    pub(crate) fn new(message: &'a F) -> Self {
        Self {
            message,
            changes: Vec::new(),
        }
    }

    /// Sets an application property, or adds it at the end.
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.changes
            .push(raw::PropertyChange::Set((name.into(), value.into())));
        self
    }

    /// Takes an application property away, if it is there.
    pub fn remove(mut self, name: impl Into<String>) -> Self {
        self.changes.push(raw::PropertyChange::Remove(name.into()));
        self
    }

    /// Sends it on an output, by name.
    ///
    /// # Errors
    /// As [`Outgoing::send`].
    pub fn send(self, output: &str) -> Result<(), SendError> {
        self.message
            .forward(output, &self.changes)
            .map_err(SendError::from)
    }
}

/// A new message.
///
/// Body, property names and values together are at most 262,144 bytes.
#[must_use = "nothing is sent before `send`"]
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// The body: any bytes.
    pub body: Vec<u8>,
    /// Application properties, name and value; at most 256, each name once.
    pub properties: Vec<(String, String)>,
    /// System properties. The host refuses those that it sets itself.
    pub system_properties: Vec<(SystemProperty, String)>,
}

impl Outgoing {
    /// A message of any bytes.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// A message of text, marked `text/plain` in `utf-8`.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(text.into()).content("text/plain")
    }

    /// A message of JSON, marked `application/json` in `utf-8`, so that routes and the hub can read it.
    ///
    /// # Errors
    /// Where the value cannot be written as JSON: a map with keys that are no text, or its own `Serialize` failed.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        Ok(Self::new(serde_json::to_vec(value)?).content("application/json"))
    }

    /// Adds an application property.
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// Adds a system property.
    pub fn system_property(mut self, name: SystemProperty, value: impl Into<String>) -> Self {
        self.system_properties.push((name, value.into()));
        self
    }

    /// Sends it on an output, by name; the empty name is a message without output.
    ///
    /// From a message handler it is staged: it goes out when the handler answers `Ok`, and not at all otherwise.
    /// From any other handler it goes out when that one answers well; from a program, at once.
    ///
    /// # Errors
    /// [`SendError`], whose variants say when.
    pub fn send(self, output: &str) -> Result<(), SendError> {
        raw::send(output, &self.into()).map_err(SendError::from)
    }

    fn content(self, media_type: &str) -> Self {
        self.system_property(SystemProperty::ContentType, media_type)
            .system_property(SystemProperty::ContentEncoding, "utf-8")
    }
}

impl From<Outgoing> for raw::Outgoing {
    fn from(outgoing: Outgoing) -> Self {
        let Outgoing {
            body,
            properties,
            system_properties,
        } = outgoing;
        Self {
            body,
            properties,
            system_properties,
        }
    }
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// A queue on its way is full. Nothing was sent; it may be tried again later.
    #[error("a queue on the message's way is full")]
    WouldBlock,
    /// It has more than 262,144 bytes.
    #[error("message of {size_bytes} bytes is too large")]
    TooLarge {
        /// The size it had.
        size_bytes: u32,
    },
    /// A name or a property is not allowed; the text says which and why.
    #[error("message refused: {0}")]
    Invalid(String),
    /// The module's own allowance in the host is used up; the text says which.
    #[error("over the module's limit: {0}")]
    OverLimit(String),
    /// Anything else.
    #[error("message not sent: {0}")]
    Other(String),
}

impl From<raw::SendError> for SendError {
    fn from(error: raw::SendError) -> Self {
        match error {
            raw::SendError::WouldBlock => Self::WouldBlock,
            raw::SendError::TooLarge(size_bytes) => Self::TooLarge { size_bytes },
            raw::SendError::Invalid(text) => Self::Invalid(text),
            raw::SendError::OverLimit(text) => Self::OverLimit(text),
            raw::SendError::Other(text) => Self::Other(text),
        }
    }
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// Its bytes are not UTF-8.
    #[error("body is no text")]
    NotText(#[from] std::string::FromUtf8Error),
    /// It is not JSON, or not of the form that was asked for.
    #[error("body is not the JSON expected")]
    NotJson(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_message_says_so() {
        let outgoing = Outgoing::json(&serde_json::json!({"a": 1})).expect("it is JSON");
        assert_eq!(outgoing.body, br#"{"a":1}"#);
        assert_eq!(
            outgoing.system_properties,
            [
                (SystemProperty::ContentType, "application/json".to_owned()),
                (SystemProperty::ContentEncoding, "utf-8".to_owned()),
            ]
        );
    }

    #[test]
    fn properties_keep_their_order() {
        let outgoing = Outgoing::text("x").property("b", "1").property("a", "2");
        assert_eq!(
            outgoing.properties,
            [
                ("b".to_owned(), "1".to_owned()),
                ("a".to_owned(), "2".to_owned())
            ]
        );
    }
}
