//! `messages`: the one at hand, and what the module sends.

use std::sync::Arc;

use crate::bindings::generated::wasm_edge::module::messages as wit;
use crate::message::Outgoing as SdkOutgoing;
use crate::testing::record::Sent;
use crate::testing::world::{Kind, State};
use crate::testing::{Fault, Incoming, world};

pub use wit::{Failure, Outgoing, PropertyChange, SendError, SystemProperty};

/// Body, property names and values together, in bytes.
const SIZE_MAX_BYTES: usize = 262_144;

/// Application properties of a message, and the longest name in bytes.
const PROPERTIES_MAX: usize = 256;
const PROPERTY_NAME_MAX_BYTES: usize = 128;

/// Longest value of a message's ids and of other system properties, in bytes.
const ID_MAX_BYTES: usize = 128;
const SYSTEM_VALUE_MAX_BYTES: usize = 1024;

/// Longest name of an input or output in bytes.
const PORT_NAME_MAX_BYTES: usize = 128;

/// What the host keeps for a module, and what it counts beside the bytes of a message and of a property.
const HOST_MEMORY_MAX_BYTES: usize = 4 * 1024 * 1024;
const OVERHEAD_BYTES: usize = 512;
const PROPERTY_OVERHEAD_BYTES: usize = 96;

/// System properties that only the host sets.
const SET_BY_HOST: [SystemProperty; 5] = [
    SystemProperty::ConnectionDeviceId,
    SystemProperty::ConnectionModuleId,
    SystemProperty::OutputName,
    SystemProperty::InputName,
    SystemProperty::EnqueuedTime,
];

/// A message that was handed over.
#[derive(Debug)]
pub(in crate::testing) struct Held {
    input: String,
    previous_tries: u32,
    body: Vec<u8>,
    properties: Vec<(String, String)>,
    system: Vec<(SystemProperty, String)>,
}

impl Held {
    /// Takes a message of the test, by the rules that hold on the device.
    pub(in crate::testing) fn new(incoming: Incoming) -> Result<Arc<Self>, SendError> {
        check_port("input", &incoming.input)?;
        let SdkOutgoing {
            body,
            properties,
            system_properties,
        } = incoming.message;
        let mut held = Self {
            input: incoming.input,
            previous_tries: incoming.previous_tries,
            body,
            properties: distinct(properties)?,
            system: Vec::new(),
        };
        for (name, value) in system_properties {
            set(&mut held.system, name, value);
        }
        check(&held.body, &held.properties, &held.system)?;
        Ok(Arc::new(held))
    }
}

#[derive(Debug)]
pub struct Message(Arc<Held>);

impl Message {
    pub(in crate::testing) fn new(held: Arc<Held>) -> Self {
        Self(held)
    }

    pub fn input(&self) -> String {
        self.0.input.clone()
    }

    pub fn body_size_bytes(&self) -> u32 {
        u32::try_from(self.0.body.len()).unwrap_or(u32::MAX)
    }

    pub fn body(&self) -> Vec<u8> {
        self.0.body.clone()
    }

    pub fn body_part(&self, offset_bytes: u32, length_bytes: u32) -> Vec<u8> {
        let body = &self.0.body;
        let start = (offset_bytes as usize).min(body.len());
        let end = start.saturating_add(length_bytes as usize).min(body.len());
        body[start..end].to_vec()
    }

    pub fn property(&self, name: &str) -> Option<String> {
        let mut properties = self.0.properties.iter();
        let found = properties.find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }

    pub fn properties(&self) -> Vec<(String, String)> {
        self.0.properties.clone()
    }

    pub fn system_property(&self, name: SystemProperty) -> Option<String> {
        if name == SystemProperty::InputName {
            return Some(self.input());
        }
        let found = self.0.system.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone())
    }

    pub fn previous_tries(&self) -> u32 {
        self.0.previous_tries
    }
}

pub fn send(output: &str, message: &Outgoing) -> Result<(), SendError> {
    settle(new_message(output, message)?)
}

pub fn forward(
    message: &Message,
    output: &str,
    changes: &[PropertyChange],
) -> Result<(), SendError> {
    settle(changed_message(output, &message.0, changes)?)
}

/// Stages a handler's message; a program's goes out at once.
fn settle(sent: Sent) -> Result<(), SendError> {
    let world = world::current();
    let mut state = world.lock();
    let staged = std::mem::take(&mut state.staged);
    let staged = stage(&state, staged, sent);
    let (staged, answer) = staged;
    match state.kind {
        Kind::Handlers => state.staged = staged,
        Kind::Program => state.let_out(staged),
    }
    answer
}

/// Adds a message to what is staged, where there is room for it.
pub(super) fn stage(
    state: &State,
    mut staged: Vec<Sent>,
    sent: Sent,
) -> (Vec<Sent>, Result<(), SendError>) {
    if state.has(&Fault::FullQueues) || state.has(&Fault::FullQueue(sent.output.clone())) {
        return (staged, Err(SendError::WouldBlock));
    }
    let held: usize = staged.iter().map(held_bytes).sum();
    if held + held_bytes(&sent) > HOST_MEMORY_MAX_BYTES {
        let text = format!(
            "staged messages: the host keeps {held} of at most {HOST_MEMORY_MAX_BYTES} bytes for this module"
        );
        return (staged, Err(SendError::OverLimit(text)));
    }
    staged.push(sent);
    (staged, Ok(()))
}

/// A new message, checked.
pub(super) fn new_message(output: &str, message: &Outgoing) -> Result<Sent, SendError> {
    let mut system_properties = Vec::new();
    let properties = distinct(message.properties.clone())?;
    for (name, value) in &message.system_properties {
        if SET_BY_HOST.contains(name) {
            return invalid(format!("the system property {name:?} is set by the host"));
        }
        set(&mut system_properties, *name, value.clone());
    }
    checked(Sent {
        output: output.to_owned(),
        body: message.body.clone(),
        properties,
        system_properties,
    })
}

/// A message with the same body and changed properties, checked.
pub(super) fn changed_message(
    output: &str,
    message: &Held,
    changes: &[PropertyChange],
) -> Result<Sent, SendError> {
    check_count(changes.len() / 2)?;
    let mut properties = message.properties.clone();
    for change in changes {
        match change {
            PropertyChange::Set((name, value)) => set(&mut properties, name.clone(), value.clone()),
            PropertyChange::Remove(name) => properties.retain(|(known, _)| known != name),
        }
    }
    let system = message.system.iter();
    checked(Sent {
        output: output.to_owned(),
        body: message.body.clone(),
        properties,
        system_properties: system
            .filter(|(name, _)| !SET_BY_HOST.contains(name))
            .cloned()
            .collect(),
    })
}

fn checked(sent: Sent) -> Result<Sent, SendError> {
    if !sent.output.is_empty() {
        check_port("output", &sent.output)?;
    }
    check(&sent.body, &sent.properties, &sent.system_properties)?;
    Ok(sent)
}

fn check(
    body: &[u8],
    properties: &[(String, String)],
    system: &[(SystemProperty, String)],
) -> Result<(), SendError> {
    let size_bytes = body.len() + text_bytes(properties);
    if size_bytes > SIZE_MAX_BYTES {
        let size_bytes = u32::try_from(size_bytes).unwrap_or(u32::MAX);
        return Err(SendError::TooLarge(size_bytes));
    }
    check_count(properties.len())?;
    let faults = properties
        .iter()
        .find_map(|(name, _)| Some((name, name_fault(name)?)));
    if let Some((name, what)) = faults {
        return invalid(format!(
            "the property name `{}` {what}",
            name.escape_debug()
        ));
    }
    for (name, value) in system {
        let is_id = matches!(
            name,
            SystemProperty::MessageId | SystemProperty::CorrelationId
        );
        let limit = if is_id {
            ID_MAX_BYTES
        } else {
            SYSTEM_VALUE_MAX_BYTES
        };
        if value.len() > limit {
            return invalid(format!(
                "the system property {name:?} has more than {limit} bytes"
            ));
        }
        if value.contains(char::is_control) {
            return invalid(format!(
                "the system property {name:?} contains a control character"
            ));
        }
    }
    Ok(())
}

fn check_port(port: &str, name: &str) -> Result<(), SendError> {
    let what = match name {
        "" => "is empty",
        _ if name.len() > PORT_NAME_MAX_BYTES => "has more than 128 bytes",
        _ if name.contains('/') => "contains a `/`",
        _ if name.contains(char::is_control) => "contains a control character",
        _ => return Ok(()),
    };
    let name = name.escape_debug();
    invalid(format!("the name `{name}` of an {port} {what}"))
}

fn check_count(count: usize) -> Result<(), SendError> {
    if count > PROPERTIES_MAX {
        return invalid(format!(
            "{count} properties; a message has at most {PROPERTIES_MAX}"
        ));
    }
    Ok(())
}

fn name_fault(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("is empty"),
        _ if name.len() > PROPERTY_NAME_MAX_BYTES => Some("has more than 128 bytes"),
        _ if name.contains(char::is_control) => Some("contains a control character"),
        _ if name.starts_with("$.") => {
            Some("begins with `$.`, which is kept for system properties")
        }
        _ => None,
    }
}

/// The properties, none of which may be there twice.
fn distinct(properties: Vec<(String, String)>) -> Result<Vec<(String, String)>, SendError> {
    check_count(properties.len())?;
    for (n, (name, _)) in properties.iter().enumerate() {
        if properties[..n].iter().any(|(known, _)| known == name) {
            return invalid(format!("the property `{name}` is there twice"));
        }
    }
    Ok(properties)
}

/// Sets a property in its place, or at the end.
fn set<N: PartialEq>(properties: &mut Vec<(N, String)>, name: N, value: String) {
    match properties.iter_mut().find(|(known, _)| *known == name) {
        Some((_, old)) => *old = value,
        None => properties.push((name, value)),
    }
}

fn held_bytes(sent: &Sent) -> usize {
    let count = sent.properties.len() + sent.system_properties.len();
    let system = sent.system_properties.iter();
    let system_bytes: usize = system.map(|(_, value)| value.len()).sum();
    OVERHEAD_BYTES
        + sent.body.len()
        + text_bytes(&sent.properties)
        + system_bytes
        + count * PROPERTY_OVERHEAD_BYTES
}

fn text_bytes(properties: &[(String, String)]) -> usize {
    let sizes = properties
        .iter()
        .map(|(name, value)| name.len() + value.len());
    sizes.sum()
}

fn invalid<T>(text: String) -> Result<T, SendError> {
    Err(SendError::Invalid(text))
}
