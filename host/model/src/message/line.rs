//! One line of newline-delimited JSON that stands for a message.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;

use super::{
    InputName, Message, MessageError, OutputName, PortNameError, Properties, SystemProperties,
    SystemProperty,
};

/// The longest line: the largest message with every byte of its body
/// escaped, and some room.
pub const LINE_MAX_BYTES: usize = 2 * 1024 * 1024;

/// A message as a person writes it in a file, one per line.
///
/// A JSON object of `input`, `output`, `properties` (names to texts),
/// `systemProperties` (names of [`SystemProperty`] to texts) and at most one
/// of `body` (any JSON value, taken as it is written), `bodyText` and
/// `bodyBase64`; all optional, nothing else allowed.
///
/// With `body`, `contentType` is `application/json` and `contentEncoding`
/// `utf-8` unless `systemProperties` says otherwise. System properties that
/// the host sets are passed over, so that what `monitor` prints can be fed
/// in again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageLine {
    /// The input it is meant for.
    pub input: Option<InputName>,
    /// The output it is to come from.
    pub output: Option<OutputName>,
    /// The message; it passed [`Message::check_outgoing`].
    pub message: Message,
}

/// Why a line is no message.
#[derive(Debug, thiserror::Error)]
pub enum MessageLineError {
    /// The line is longer than [`LINE_MAX_BYTES`].
    #[error("the line has {length} bytes, more than {limit}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// [`LINE_MAX_BYTES`].
        limit: usize,
    },
    /// The line is no JSON object of the documented keys.
    #[error("not a message: {0}")]
    Syntax(String),
    /// More than one of the three kinds of body is there.
    #[error("a message has one of `body`, `bodyText` and `bodyBase64`, not {count}")]
    SeveralBodies {
        /// How many there are.
        count: usize,
    },
    /// `bodyBase64` is not base64.
    #[error("`bodyBase64` is not base64")]
    Base64(#[source] base64::DecodeError),
    /// A key of `systemProperties` is not known.
    #[error("`{name}` is no system property; they are {}", system_names())]
    SystemProperty {
        /// The key.
        name: String,
    },
    /// `input` or `output` is no name.
    #[error(transparent)]
    Port(#[from] PortNameError),
    /// The message is against the limits.
    #[error(transparent)]
    Message(#[from] MessageError),
}

impl MessageLine {
    /// Reads one line.
    ///
    /// # Errors
    /// [`MessageLineError`], each as its variant says.
    pub fn parse(line: &str) -> Result<Self, MessageLineError> {
        if line.len() > LINE_MAX_BYTES {
            return Err(MessageLineError::TooLong {
                length: line.len(),
                limit: LINE_MAX_BYTES,
            });
        }
        let raw: RawLine<'_> = serde_json::from_str(line)
            .map_err(|error| MessageLineError::Syntax(error.to_string()))?;
        let mut system = raw.system_properties(SetByHost::PassedOver)?;
        if raw.body.is_some() {
            for (property, value) in [
                (SystemProperty::ContentType, "application/json"),
                (SystemProperty::ContentEncoding, "utf-8"),
            ] {
                if system.get(property).is_none() {
                    system.set(property, value);
                }
            }
        }
        let message = Message {
            body: raw.body()?,
            properties: raw.properties.0.into_iter().collect(),
            system,
        };
        message.check_outgoing()?;
        Ok(Self {
            input: raw.input.as_deref().map(InputName::new).transpose()?,
            output: raw.output.as_deref().map(OutputName::new).transpose()?,
            message,
        })
    }
}

/// Reads a message as the router sees one: as [`MessageLine`], but nothing is
/// passed over and nothing added, so that a test of routes sees what stands
/// there. `input` and `output` are taken for system properties.
///
/// # Errors
/// [`MessageLineError`], each as its variant says.
pub fn read_message(text: &str) -> Result<Message, MessageLineError> {
    if text.len() > LINE_MAX_BYTES {
        return Err(MessageLineError::TooLong {
            length: text.len(),
            limit: LINE_MAX_BYTES,
        });
    }
    let raw: RawLine<'_> =
        serde_json::from_str(text).map_err(|error| MessageLineError::Syntax(error.to_string()))?;
    let mut system = raw.system_properties(SetByHost::Kept)?;
    if let Some(input) = raw.input.as_deref().map(InputName::new).transpose()? {
        system.set(SystemProperty::InputName, input.as_str());
    }
    if let Some(output) = raw.output.as_deref().map(OutputName::new).transpose()? {
        system.set(SystemProperty::OutputName, output.as_str());
    }
    let message = Message {
        body: raw.body()?,
        properties: raw.properties.0.into_iter().collect(),
        system,
    };
    message.check()?;
    Ok(message)
}

/// What becomes of system properties that the host sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SetByHost {
    PassedOver,
    Kept,
}

#[derive(Deserialize)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a JSON object such as {\"input\": \"in\", \"body\": 1}"
)]
struct RawLine<'a> {
    input: Option<String>,
    output: Option<String>,
    #[serde(default)]
    properties: Pairs,
    #[serde(default)]
    system_properties: Pairs,
    // Not `Option` alone, for which a `null` would be no body.
    #[serde(borrow, default, deserialize_with = "present")]
    body: Option<&'a RawValue>,
    body_text: Option<String>,
    body_base64: Option<String>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl RawLine<'_> {
    fn system_properties(
        &self,
        set_by_host: SetByHost,
    ) -> Result<SystemProperties, MessageLineError> {
        let mut system = SystemProperties::new();
        for (name, value) in &self.system_properties.0 {
            match SystemProperty::from_name(name) {
                Some(property)
                    if property.set_by_host() && set_by_host == SetByHost::PassedOver => {}
                Some(property) => system.set(property, value.as_str()),
                None => {
                    return Err(MessageLineError::SystemProperty {
                        name: super::cut(name),
                    });
                }
            }
        }
        Ok(system)
    }

    fn body(&self) -> Result<Bytes, MessageLineError> {
        match (self.body, &self.body_text, &self.body_base64) {
            (None, None, None) => Ok(Bytes::new()),
            (Some(json), None, None) => Ok(Bytes::copy_from_slice(json.get().as_bytes())),
            (None, Some(text), None) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            (None, None, Some(text)) => BASE64
                .decode(text)
                .map(Bytes::from)
                .map_err(MessageLineError::Base64),
            (json, text, base64) => {
                let count = [json.is_some(), text.is_some(), base64.is_some()];
                let count = count.into_iter().filter(|is_there| *is_there).count();
                Err(MessageLineError::SeveralBodies { count })
            }
        }
    }
}

/// An object of texts with its order kept and no key twice.
#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Pairs, A::Error> {
                let mut pairs = Properties::new();
                while let Some((name, value)) = access.next_entry::<String, String>()? {
                    // The bound keeps the search below from growing with the line.
                    if pairs.len() >= super::PROPERTIES_MAX {
                        return Err(de::Error::custom("more than 256 properties"));
                    }
                    if pairs.get(&name).is_some() {
                        return Err(de::Error::custom(format!(
                            "`{}` occurs twice",
                            super::cut(&name)
                        )));
                    }
                    pairs.set(name, value);
                }
                Ok(Pairs(
                    pairs
                        .iter()
                        .map(|(name, value)| (name.into(), value.into()))
                        .collect(),
                ))
            }
        }

        deserializer.deserialize_map(PairsVisitor)
    }
}

fn system_names() -> String {
    let names = SystemProperty::all().filter(|property| !property.set_by_host());
    let names: Vec<_> = names.map(|property| format!("`{property}`")).collect();
    names.join(", ")
}
