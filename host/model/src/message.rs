//! Messages: body, properties, system properties, and where one came from.
//!
//! Owns what a message may hold and what it is called where. Leaves storing,
//! routing and delivering to the router, and topics to those who speak MQTT,
//! but for their last level, the property [`bag`].

pub mod bag;

mod filter;
mod id;
mod line;
mod properties;
mod system;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::identity::ModuleId;
pub use filter::{FILTER_PROPERTIES_MAX, FilterError, MessageFilter};
pub use id::{MessageId, MessageIdError};
pub use line::{LINE_MAX_BYTES, MessageLine, MessageLineError, read_message};
pub use properties::{PROPERTIES_MAX, PROPERTY_NAME_MAX_BYTES, Properties};
pub use system::{MESSAGE_ID_MAX_BYTES, SYSTEM_VALUE_MAX_BYTES, SystemProperties, SystemProperty};

/// The most that a message may hold: [`Message::size_bytes`].
///
/// The limit of IoT Hub for messages from devices.
pub const MESSAGE_SIZE_MAX_BYTES: usize = 262_144;

/// The longest name of an input or output, in bytes.
pub const PORT_NAME_MAX_BYTES: usize = 128;

/// A message on its way.
///
/// Cloning shares the body and copies the properties.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Any bytes.
    pub body: Bytes,
    /// What the sender said of it, in the sender's order.
    pub properties: Properties,
    /// What is said of it in a standard way, or noted by the host.
    pub system: SystemProperties,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Body, property names and values together are too large.
    #[error("the message has {size_bytes} bytes, more than {limit_bytes}")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// [`MESSAGE_SIZE_MAX_BYTES`].
        limit_bytes: usize,
    },
    /// There are too many application properties.
    #[error("the message has {count} properties, more than {limit}")]
    TooManyProperties {
        /// How many there are.
        count: usize,
        /// [`PROPERTIES_MAX`].
        limit: usize,
    },
    /// An application property has a name that is not allowed.
    #[error("the property name `{}` {what}", .name.escape_debug())]
    PropertyName {
        /// The name, cut to a readable length.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A system property has a value that is not allowed.
    #[error("the system property `{}` {what}", .property.name())]
    SystemValue {
        /// Which one.
        property: SystemProperty,
        /// What is wrong with its value.
        what: &'static str,
    },
    /// The sender set a system property that only the host sets.
    #[error("the system property `{}` is set by the host", .property.name())]
    SetByHost {
        /// Which one.
        property: SystemProperty,
    },
}

/// Why a text is no name of an input or output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name `{}` of an {port} {what}", .name.escape_debug())]
pub struct PortNameError {
    /// `input` or `output`.
    pub port: &'static str,
    /// The name, cut to a readable length.
    pub name: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// The name of a module's input: 1 to 128 bytes without `/` and control
/// characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputName(String);

/// The name of a module's output; the rules are those of [`InputName`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputName(String);

/// Where a message came from, as routes see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MessageSource {
    /// A module sent it.
    Module {
        /// Which module.
        module: ModuleId,
        /// To which of its outputs, if to one.
        output: Option<OutputName>,
    },
    /// It tells of a change of a module's reported properties.
    TwinChange {
        /// Which module.
        module: ModuleId,
    },
}

impl Message {
    /// The length of the body and of the names and values of application
    /// properties.
    pub fn size_bytes(&self) -> usize {
        self.body.len() + self.properties.bytes()
    }

    /// Checks size, number of properties, names and system values.
    ///
    /// # Errors
    /// The first breach, the size first: [`MessageError::TooLarge`],
    /// [`MessageError::TooManyProperties`], [`MessageError::PropertyName`],
    /// [`MessageError::SystemValue`].
    pub fn check(&self) -> Result<(), MessageError> {
        let size_bytes = self.size_bytes();
        if size_bytes > MESSAGE_SIZE_MAX_BYTES {
            return Err(MessageError::TooLarge {
                size_bytes,
                limit_bytes: MESSAGE_SIZE_MAX_BYTES,
            });
        }
        self.properties.check()?;
        self.system.check()
    }

    /// Checks a message as a module hands it over: [`Message::check`], and
    /// no system property that the host sets.
    ///
    /// # Errors
    /// As [`Message::check`], and [`MessageError::SetByHost`].
    pub fn check_outgoing(&self) -> Result<(), MessageError> {
        self.check()?;
        let set_by_host = self.system.iter().map(|(property, _)| property);
        match set_by_host
            .into_iter()
            .find(|property| property.set_by_host())
        {
            Some(property) => Err(MessageError::SetByHost { property }),
            None => Ok(()),
        }
    }

    /// The message as one JSON object, as `monitor` prints it and
    /// [`MessageLine::parse`] reads it: `input` and `output` where there is
    /// one, `properties`, `systemProperties`, and one of `body` (a JSON
    /// value, when the content type is `application/json` and it is one),
    /// `bodyText` (when it is UTF-8) and `bodyBase64`. An empty body is left
    /// out.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        let mut system = Map::new();
        for (property, value) in self.system.iter() {
            let (object, key) = match property {
                SystemProperty::InputName => (&mut json, "input"),
                SystemProperty::OutputName => (&mut json, "output"),
                other => (&mut system, other.name()),
            };
            object.insert(key.into(), value.into());
        }
        let properties: Map<String, Value> = self
            .properties
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        json.insert("properties".into(), properties.into());
        json.insert("systemProperties".into(), system.into());
        if let Some((key, body)) = self.body_json() {
            json.insert(key.into(), body);
        }
        json.into()
    }

    fn body_json(&self) -> Option<(&'static str, Value)> {
        if self.body.is_empty() {
            return None;
        }
        let is_json = self
            .system
            .get(SystemProperty::ContentType)
            .is_some_and(is_json_type);
        if let Some(value) = is_json
            .then(|| serde_json::from_slice(&self.body).ok())
            .flatten()
        {
            return Some(("body", value));
        }
        Some(match std::str::from_utf8(&self.body) {
            Ok(text) => ("bodyText", text.into()),
            Err(_) => ("bodyBase64", BASE64.encode(&self.body).into()),
        })
    }
}

impl MessageSource {
    /// The text that a route's source is compared with:
    /// `/messages/modules/{m}/`, `/messages/modules/{m}/outputs/{o}/` or
    /// `/twinChangeNotifications`.
    pub fn text(&self) -> String {
        match self {
            Self::Module {
                module,
                output: None,
            } => format!("/messages/modules/{module}/"),
            Self::Module {
                module,
                output: Some(output),
            } => {
                format!("/messages/modules/{module}/outputs/{output}/")
            }
            Self::TwinChange { .. } => "/twinChangeNotifications".into(),
        }
    }

    /// The module under whose identity the message goes to the hub: the one
    /// that it is from; of a change it is `$edgeHub`, which tells of it.
    pub fn sent_as(&self) -> ModuleId {
        match self {
            Self::Module { module, .. } => module.clone(),
            Self::TwinChange { .. } => ModuleId::edge_hub(),
        }
    }

    /// Reads the text of a source, with or without the `/` at its end; of a
    /// change of a twin, `module` is whose.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn parse(text: &str, module: ModuleId) -> Result<Self, String> {
        let parts: Vec<&str> = text.trim_matches('/').split('/').collect();
        let is = |index: usize, word: &str| parts[index].eq_ignore_ascii_case(word);
        let is_module = parts.len() >= 3 && is(0, "messages") && is(1, "modules");
        match parts.len() {
            1 if is(0, "twinChangeNotifications") => Ok(Self::TwinChange { module }),
            3 if is_module => Ok(Self::Module {
                module: ModuleId::new(parts[2]).map_err(|error| error.to_string())?,
                output: None,
            }),
            5 if is_module && is(3, "outputs") => Ok(Self::Module {
                module: ModuleId::new(parts[2]).map_err(|error| error.to_string())?,
                output: Some(OutputName::new(parts[4]).map_err(|error| error.to_string())?),
            }),
            _ => Err(
                "expected `/messages/modules/NAME`, `/messages/modules/NAME/outputs/OUTPUT` \
                 or `/twinChangeNotifications`"
                    .to_owned(),
            ),
        }
    }

    /// The module that the message is from.
    pub fn module(&self) -> &ModuleId {
        match self {
            Self::Module { module, .. } | Self::TwinChange { module } => module,
        }
    }
}

macro_rules! port_name_type {
    ($name:ident, $port:literal) => {
        impl $name {
            /// Checks a text and makes it a name.
            ///
            /// # Errors
            /// [`PortNameError`] when it is empty, too long, or contains `/`
            /// or a control character.
            pub fn new(text: &str) -> Result<Self, PortNameError> {
                match port_name_fault(text) {
                    Some(what) => Err(PortNameError {
                        port: $port,
                        name: cut(text),
                        what,
                    }),
                    None => Ok(Self(text.into())),
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = PortNameError;

            fn from_str(text: &str) -> Result<Self, PortNameError> {
                Self::new(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

port_name_type!(InputName, "input");
port_name_type!(OutputName, "output");

fn port_name_fault(text: &str) -> Option<&'static str> {
    match text {
        "" => Some("is empty"),
        _ if text.len() > PORT_NAME_MAX_BYTES => Some("has more than 128 bytes"),
        _ if text.contains('/') => Some("contains a `/`"),
        _ if text.contains(char::is_control) => Some("contains a control character"),
        _ => None,
    }
}

/// The start of a text that came from outside, for a message to a person.
fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

fn is_json_type(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests;
