//! `messages`: reading the message at hand, sending, passing on.

use std::sync::Arc;

use wasm_edge_model::message::{
    InputName, Message, MessageId, OutputName, PROPERTIES_MAX, Properties, SystemProperties,
    SystemProperty,
};
use wasmtime::component::Resource;

use crate::bindings::wasm_edge::module::messages;
use crate::budget::Charge;
use crate::guest::{SendError, Staged};
use crate::state::{GuestState, Kind, StagedSend};

/// What a handle or a staged message costs the host beside its bytes.
const OVERHEAD_BYTES: usize = 512;

/// What a property costs the host beside its text: the headers of two strings and the allocator's share.
const PROPERTY_OVERHEAD_BYTES: usize = 96;

/// A message as a guest holds it; its body is shared with the queue.
#[expect(unreachable_pub, reason = "generated bindings re-export it")]
pub struct MessageHandle {
    message: Arc<Message>,
    id: MessageId,
    input: InputName,
    previous_tries: u32,
    /// For handles that the guest keeps as long as it likes.
    _charge: Option<Charge>,
}

impl MessageHandle {
    pub(crate) fn new(
        message: Arc<Message>,
        id: MessageId,
        input: InputName,
        previous_tries: u32,
        charge: Option<Charge>,
    ) -> Self {
        Self {
            message,
            id,
            input,
            previous_tries,
            _charge: charge,
        }
    }
}

impl messages::Host for GuestState {
    async fn send(
        &mut self,
        output: String,
        message: messages::Outgoing,
    ) -> wasmtime::Result<Result<(), messages::SendError>> {
        let sent = match new_message(message) {
            Ok(message) => self
                .stage(output, message)
                .map(|send| self.staged.push(send)),
            Err(err) => Err(err),
        };
        Ok(self.settle(sent).await.map_err(Into::into))
    }

    async fn forward(
        &mut self,
        message: Resource<MessageHandle>,
        output: String,
        changes: Vec<messages::PropertyChange>,
    ) -> wasmtime::Result<Result<(), messages::SendError>> {
        let original = Arc::clone(&self.table.get(&message)?.message);
        let sent = changed_message(&original, changes)
            .and_then(|message| self.stage(output, message))
            .map(|send| self.staged.push(send));
        Ok(self.settle(sent).await.map_err(Into::into))
    }
}

impl messages::HostMessage for GuestState {
    fn input(&mut self, this: Resource<MessageHandle>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.input.to_string())
    }

    fn body_size_bytes(&mut self, this: Resource<MessageHandle>) -> wasmtime::Result<u32> {
        // A body is at most 256 KiB.
        Ok(u32::try_from(self.table.get(&this)?.message.body.len()).unwrap_or(u32::MAX))
    }

    fn body(&mut self, this: Resource<MessageHandle>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&this)?.message.body.to_vec())
    }

    fn body_part(
        &mut self,
        this: Resource<MessageHandle>,
        offset_bytes: u32,
        length_bytes: u32,
    ) -> wasmtime::Result<Vec<u8>> {
        let body = &self.table.get(&this)?.message.body;
        let start = (offset_bytes as usize).min(body.len());
        let end = start.saturating_add(length_bytes as usize).min(body.len());
        Ok(body[start..end].to_vec())
    }

    fn property(
        &mut self,
        this: Resource<MessageHandle>,
        name: String,
    ) -> wasmtime::Result<Option<String>> {
        Ok(self
            .table
            .get(&this)?
            .message
            .properties
            .get(&name)
            .map(str::to_owned))
    }

    fn properties(
        &mut self,
        this: Resource<MessageHandle>,
    ) -> wasmtime::Result<Vec<(String, String)>> {
        let properties = &self.table.get(&this)?.message.properties;
        Ok(properties
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    fn system_property(
        &mut self,
        this: Resource<MessageHandle>,
        name: messages::SystemProperty,
    ) -> wasmtime::Result<Option<String>> {
        let handle = self.table.get(&this)?;
        if name == messages::SystemProperty::InputName {
            return Ok(Some(handle.input.to_string()));
        }
        let property = system_property(&handle.message.system, name.into()).map(str::to_owned);
        if name == messages::SystemProperty::MessageId {
            return Ok(Some(property.unwrap_or_else(|| handle.id.to_string())));
        }
        Ok(property)
    }

    fn previous_tries(&mut self, this: Resource<MessageHandle>) -> wasmtime::Result<u32> {
        Ok(self.table.get(&this)?.previous_tries)
    }

    fn drop(&mut self, this: Resource<MessageHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl GuestState {
    /// Takes a message for later: checks the output, charges the budget, reserves places.
    pub(crate) fn stage(
        &mut self,
        output: String,
        message: Message,
    ) -> Result<StagedSend, SendError> {
        let output = match output.as_str() {
            "" => None,
            name => Some(OutputName::new(name).map_err(|err| SendError::Invalid(err.to_string()))?),
        };
        let charge = self.charge(held_bytes(&message), "staged messages")?;
        let staged = self.host.stage(output, message)?;
        Ok(StagedSend::new(staged, charge))
    }

    /// Charges what the host will hold for the guest; `what` names it for the guest's error.
    pub(crate) fn charge(&self, bytes: usize, what: &str) -> Result<Charge, SendError> {
        self.budget.charge(bytes + OVERHEAD_BYTES).ok_or_else(|| {
            SendError::OverLimit(format!(
                "{what}: the host keeps {} of at most {} bytes for this module",
                self.budget.used_bytes(),
                self.budget.limit_bytes()
            ))
        })
    }

    /// For a program, lets out at once what was just staged; a handler's waits for its end.
    async fn settle(&mut self, sent: Result<(), SendError>) -> Result<(), SendError> {
        sent?;
        if self.kind == Kind::Handlers {
            return Ok(());
        }
        let staged: Vec<Staged> = self.take_staged();
        self.host.commit(staged).await
    }
}

/// A system property as a module sees it: a notification of a change of a twin comes from who reported (IoT Edge
/// delivers it so), though to routes it is a message of `$edgeHub`.
fn system_property(system: &SystemProperties, name: SystemProperty) -> Option<&str> {
    let reporter = match name {
        SystemProperty::ConnectionDeviceId => system.get(SystemProperty::RpSenderDeviceId),
        SystemProperty::ConnectionModuleId => system.get(SystemProperty::RpSenderModuleId),
        _ => None,
    };
    reporter.or_else(|| system.get(name))
}

/// What the host holds for a message, in bytes; a body that several messages share counts for each.
pub(crate) fn held_bytes(message: &Message) -> usize {
    let properties = message.properties.len() + message.system.len();
    message.size_bytes() + message.system.bytes() + properties * PROPERTY_OVERHEAD_BYTES
}

/// Refuses more properties than a message may have before they are looked at: each is compared with all others.
fn check_property_count(count: usize) -> Result<(), SendError> {
    if count > PROPERTIES_MAX {
        return Err(SendError::Invalid(format!(
            "{count} properties; a message has at most {PROPERTIES_MAX}"
        )));
    }
    Ok(())
}

/// A new message from a guest's record, checked.
pub(crate) fn new_message(outgoing: messages::Outgoing) -> Result<Message, SendError> {
    check_property_count(outgoing.properties.len())?;
    let mut properties = Properties::default();
    for (name, value) in outgoing.properties {
        if properties.get(&name).is_some() {
            return Err(SendError::Invalid(format!(
                "the property `{name}` is there twice"
            )));
        }
        properties.set(name, value);
    }
    let mut system = SystemProperties::default();
    for (name, value) in outgoing.system_properties {
        let name = SystemProperty::from(name);
        if name.set_by_host() {
            return Err(SendError::Invalid(format!(
                "the system property `{}` is set by the host",
                name.name()
            )));
        }
        system.set(name, value);
    }
    Ok(Message {
        body: outgoing.body.into(),
        properties,
        system,
    })
}

/// A message with the same body and changed properties; all that a message can have may be removed, and as many set.
pub(crate) fn changed_message(
    original: &Message,
    changes: Vec<messages::PropertyChange>,
) -> Result<Message, SendError> {
    check_property_count(changes.len() / 2)?;
    let mut message = original.clone();
    for change in changes {
        match change {
            messages::PropertyChange::Set((name, value)) => message.properties.set(name, value),
            messages::PropertyChange::Remove(name) => {
                message.properties.remove(&name);
            }
        }
    }
    Ok(message)
}

impl From<SendError> for messages::SendError {
    fn from(err: SendError) -> Self {
        match err {
            SendError::WouldBlock => Self::WouldBlock,
            SendError::TooLarge { size_bytes } => Self::TooLarge(size_bytes),
            SendError::Invalid(text) => Self::Invalid(text),
            SendError::OverLimit(text) => Self::OverLimit(text),
            SendError::Other(text) => Self::Other(text),
        }
    }
}

impl From<messages::SystemProperty> for SystemProperty {
    fn from(name: messages::SystemProperty) -> Self {
        use messages::SystemProperty as Wit;
        match name {
            Wit::MessageId => Self::MessageId,
            Wit::CorrelationId => Self::CorrelationId,
            Wit::UserId => Self::UserId,
            Wit::To => Self::To,
            Wit::ContentType => Self::ContentType,
            Wit::ContentEncoding => Self::ContentEncoding,
            Wit::CreationTime => Self::CreationTime,
            Wit::AbsoluteExpiryTime => Self::AbsoluteExpiryTime,
            Wit::MessageSchema => Self::MessageSchema,
            Wit::ComponentName => Self::ComponentName,
            Wit::ConnectionDeviceId => Self::ConnectionDeviceId,
            Wit::ConnectionModuleId => Self::ConnectionModuleId,
            Wit::OutputName => Self::OutputName,
            Wit::InputName => Self::InputName,
            Wit::EnqueuedTime => Self::EnqueuedTime,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(count: usize) -> messages::Outgoing {
        messages::Outgoing {
            body: Vec::new(),
            properties: (0..count).map(|n| (n.to_string(), String::new())).collect(),
            system_properties: Vec::new(),
        }
    }

    #[test]
    fn more_properties_than_a_message_has_are_refused_before_they_are_compared() {
        let message = new_message(outgoing(PROPERTIES_MAX)).expect("as many as there may be");
        // As many as fit one call: compared with each other they would hold a thread for a second.
        let refused = new_message(outgoing(20_000));
        assert!(matches!(refused, Err(SendError::Invalid(text)) if text.starts_with("20000 ")));

        let set = |n: usize| messages::PropertyChange::Set((n.to_string(), "x".to_owned()));
        let remove = |n: usize| messages::PropertyChange::Remove(n.to_string());
        let replaced = (0..PROPERTIES_MAX)
            .map(remove)
            .chain((1000..1000 + PROPERTIES_MAX).map(set))
            .collect();
        let changed = changed_message(&message, replaced).expect("all replaced");
        assert_eq!(changed.properties.len(), PROPERTIES_MAX);
        assert_eq!(changed.properties.get("1000"), Some("x"));
        let refused = changed_message(&message, (0..20_000).map(set).collect());
        assert!(matches!(refused, Err(SendError::Invalid(_))));
    }

    #[test]
    fn what_a_message_takes_counts_also_where_its_text_is_short() {
        let small = new_message(outgoing(200)).expect("valid");
        assert!(held_bytes(&small) > 200 * 90, "{}", held_bytes(&small));
        let mut system = small.clone();
        system
            .system
            .set(SystemProperty::MessageId, "x".repeat(100));
        assert!(held_bytes(&system) > held_bytes(&small) + 100);
    }

    #[test]
    fn a_property_twice_and_one_that_the_host_sets_are_refused() {
        let mut twice = outgoing(1);
        twice.properties.push(("0".to_owned(), String::new()));
        assert!(matches!(new_message(twice), Err(SendError::Invalid(_))));
        let mut forged = outgoing(0);
        forged.system_properties = vec![(
            messages::SystemProperty::ConnectionModuleId,
            "other".to_owned(),
        )];
        assert!(matches!(new_message(forged), Err(SendError::Invalid(_))));
    }
}
