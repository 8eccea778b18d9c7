//! The messages that a test hands to a module.

use serde_json::Value;

use super::record::Sent;
use crate::message::{Outgoing, SystemProperty};

/// The input that a message arrives at unless told otherwise.
const INPUT: &str = "input";

/// A message for one of the module's inputs.
///
/// Made from text, from JSON ([`Value`]), from an [`Outgoing`] with all its properties, or from what another module [`Sent`]:
///
/// ```
/// use wasm_edge_sdk::testing::Incoming;
/// use wasm_edge_sdk::{Outgoing, SystemProperty, json};
///
/// let plain = Incoming::from("21.5");
/// let full = Incoming::from(Outgoing::text("21.5").property("unit", "celsius")).input("readings").previous_tries(2);
/// let json = Incoming::from(json!({ "celsius": 21.5 })).system_property(SystemProperty::ConnectionModuleId, "sensor");
/// ```
///
/// It arrives at the input `input` for the first time unless told otherwise.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub(super) input: String,
    pub(super) message: Outgoing,
    pub(super) previous_tries: u32,
}

impl Incoming {
    /// Sets the input that it arrives at.
    #[must_use]
    pub fn input(mut self, name: impl Into<String>) -> Self {
        self.input = name.into();
        self
    }

    /// Adds an application property.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.message = self.message.property(name, value);
        self
    }

    /// Adds a system property, be it one of the host's.
    #[must_use]
    pub fn system_property(mut self, name: SystemProperty, value: impl Into<String>) -> Self {
        self.message = self.message.system_property(name, value);
        self
    }

    /// Says how often the module was given it before.
    #[must_use]
    pub fn previous_tries(mut self, count: u32) -> Self {
        self.previous_tries = count;
        self
    }
}

impl From<Outgoing> for Incoming {
    fn from(message: Outgoing) -> Self {
        Self {
            input: INPUT.to_owned(),
            message,
            previous_tries: 0,
        }
    }
}

impl From<&str> for Incoming {
    fn from(text: &str) -> Self {
        Outgoing::text(text).into()
    }
}

impl From<String> for Incoming {
    fn from(text: String) -> Self {
        Outgoing::text(text).into()
    }
}

impl From<Vec<u8>> for Incoming {
    fn from(body: Vec<u8>) -> Self {
        Outgoing::new(body).into()
    }
}

impl From<Value> for Incoming {
    fn from(value: Value) -> Self {
        Outgoing::json(&value)
            .expect("a JSON value can be written")
            .into()
    }
}

impl From<&Sent> for Incoming {
    fn from(sent: &Sent) -> Self {
        let mut message = Outgoing::new(sent.body.clone());
        message.properties = sent.properties.clone();
        message.system_properties = sent.system_properties.clone();
        message.into()
    }
}

impl From<Sent> for Incoming {
    fn from(sent: Sent) -> Self {
        Self::from(&sent)
    }
}
