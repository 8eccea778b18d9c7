//! System properties: what is said of a message in a standard way.

use std::collections::BTreeMap;
use std::fmt;

use super::MessageError;

/// The longest message id and correlation id, in bytes.
pub const MESSAGE_ID_MAX_BYTES: usize = 128;

/// The longest value of any other system property, in bytes.
pub const SYSTEM_VALUE_MAX_BYTES: usize = 1024;

/// The system properties of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SystemProperty {
    /// Chosen by the sender, at most 128 bytes.
    MessageId,
    /// What this message answers or belongs to.
    CorrelationId,
    /// Free text of the sender.
    UserId,
    /// Destination, where the sender named one.
    To,
    /// Media type of the body, such as `application/json`.
    ContentType,
    /// Character encoding of the body, such as `utf-8`.
    ContentEncoding,
    /// When the sender made it: RFC 3339, UTC.
    CreationTime,
    /// When it loses its meaning: RFC 3339, UTC.
    AbsoluteExpiryTime,
    /// Schema of the body, free text.
    MessageSchema,
    /// Component of a digital twin model.
    ComponentName,
    /// Set by the host: the device that sent it.
    ConnectionDeviceId,
    /// Set by the host: the module that sent it.
    ConnectionModuleId,
    /// Set by the host: the output it was sent to.
    OutputName,
    /// Set by the host: the input it arrived at.
    InputName,
    /// Set by the host: when the router took it; RFC 3339, UTC.
    EnqueuedTime,
    /// Set by the host: what kind of message it is, where no module made it, such as `twinChangeNotification`.
    MessageType,
    /// Set by the host: the device whose module reported, of a twin change notification.
    RpSenderDeviceId,
    /// Set by the host: the module that reported, of a twin change notification.
    RpSenderModuleId,
    /// Interface of a digital twin model.
    InterfaceId,
    /// What the message is to do, free text.
    Operation,
}

/// System properties with their values, in the order of [`SystemProperty`].
///
/// Holds what it is given; [`Message::check`](super::Message::check) checks
/// the values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SystemProperties(BTreeMap<SystemProperty, String>);

/// Each property with its name, its key on the wire and the name beside
/// these that is read.
const TABLE: [(SystemProperty, &str, Option<&str>, Option<&str>); 20] = {
    use SystemProperty::*;
    [
        (MessageId, "messageId", Some("$.mid"), None),
        (CorrelationId, "correlationId", Some("$.cid"), None),
        (UserId, "userId", Some("$.uid"), None),
        (To, "to", Some("$.to"), None),
        (ContentType, "contentType", Some("$.ct"), None),
        (ContentEncoding, "contentEncoding", Some("$.ce"), None),
        (CreationTime, "creationTime", Some("$.ctime"), None),
        (
            AbsoluteExpiryTime,
            "absolute-expiry-time",
            Some("$.exp"),
            Some("absoluteExpiryTime"),
        ),
        (MessageSchema, "messageSchema", Some("$.schema"), None),
        (
            ComponentName,
            "dt-subject",
            Some("$.sub"),
            Some("componentName"),
        ),
        (
            ConnectionDeviceId,
            "connectionDeviceId",
            Some("$.cdid"),
            None,
        ),
        (
            ConnectionModuleId,
            "connectionModuleId",
            Some("$.cmid"),
            None,
        ),
        (OutputName, "outputName", Some("$.on"), None),
        (InputName, "inputName", None, None),
        (EnqueuedTime, "enqueuedTime", None, None),
        (MessageType, "messageType", None, None),
        (RpSenderDeviceId, "rpSenderDeviceId", None, None),
        (RpSenderModuleId, "rpSenderModuleId", None, None),
        (InterfaceId, "iothub-interface-id", Some("$.ifid"), None),
        (Operation, "operation", Some("iothub-operation"), None),
    ]
};

impl SystemProperty {
    /// All of them, in order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        TABLE.iter().map(|(property, ..)| *property)
    }

    /// The name in queries and in JSON, as IoT Hub's routing queries spell
    /// it: `messageId`, ..., `absolute-expiry-time`, `dt-subject`.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// The key in the property bag of an MQTT topic, such as `$.mid`; none
    /// for what is not sent there.
    pub fn wire_key(self) -> Option<&'static str> {
        TABLE[self as usize].2
    }

    /// The property of a name: that of [`SystemProperty::name`], or
    /// `absoluteExpiryTime`, or `componentName`.
    pub fn from_name(name: &str) -> Option<Self> {
        let found = TABLE
            .iter()
            .find(|(_, known, _, also)| *known == name || *also == Some(name));
        found.map(|(property, ..)| *property)
    }

    /// The property of a key in the property bag of an MQTT topic.
    pub fn from_wire_key(key: &str) -> Option<Self> {
        let found = TABLE.iter().find(|(_, _, known, _)| *known == Some(key));
        found.map(|(property, ..)| *property)
    }

    /// Whether the host sets it, whatever the sender says.
    pub fn set_by_host(self) -> bool {
        use SystemProperty::*;
        matches!(
            self,
            ConnectionDeviceId
                | ConnectionModuleId
                | OutputName
                | InputName
                | EnqueuedTime
                | MessageType
                | RpSenderDeviceId
                | RpSenderModuleId
        )
    }
}

impl fmt::Display for SystemProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl SystemProperties {
    /// No properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a property.
    pub fn get(&self, property: SystemProperty) -> Option<&str> {
        self.0.get(&property).map(String::as_str)
    }

    /// Sets a property.
    pub fn set(&mut self, property: SystemProperty, value: impl Into<String>) {
        self.0.insert(property, value.into());
    }

    /// Takes a property away and gives its value.
    pub fn remove(&mut self, property: SystemProperty) -> Option<String> {
        self.0.remove(&property)
    }

    /// Takes away all that the host sets.
    pub fn remove_set_by_host(&mut self) {
        self.0.retain(|property, _| !property.set_by_host());
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (SystemProperty, &str)> {
        self.0
            .iter()
            .map(|(property, value)| (*property, value.as_str()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The length of all values, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.values().map(String::len).sum()
    }

    /// Checks the values: their length, and no control characters.
    ///
    /// Times are not read: a sender's odd spelling of one is no reason to
    /// lose its message.
    ///
    /// # Errors
    /// [`MessageError::SystemValue`].
    pub fn check(&self) -> Result<(), MessageError> {
        let fault = self
            .iter()
            .find_map(|(property, value)| Some((property, value_fault(property, value)?)));
        match fault {
            Some((property, what)) => Err(MessageError::SystemValue { property, what }),
            None => Ok(()),
        }
    }
}

impl<V: Into<String>> FromIterator<(SystemProperty, V)> for SystemProperties {
    fn from_iter<I: IntoIterator<Item = (SystemProperty, V)>>(items: I) -> Self {
        Self(
            items
                .into_iter()
                .map(|(property, value)| (property, value.into()))
                .collect(),
        )
    }
}

fn value_fault(property: SystemProperty, value: &str) -> Option<&'static str> {
    let is_id = matches!(
        property,
        SystemProperty::MessageId | SystemProperty::CorrelationId
    );
    match value.len() {
        length if is_id && length > MESSAGE_ID_MAX_BYTES => Some("has more than 128 bytes"),
        length if length > SYSTEM_VALUE_MAX_BYTES => Some("has more than 1024 bytes"),
        _ if value.contains(char::is_control) => Some("contains a control character"),
        _ => None,
    }
}
