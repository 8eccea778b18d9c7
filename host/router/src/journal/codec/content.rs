//! How the content of a message is written: where it is from, what is said of it, and its body.
//!
//! What the host says of every message and its source says too is not written twice.

use bytes::Bytes;
use wasm_edge_model::message::{
    Message, MessageSource, OutputName, Properties, SystemProperties, SystemProperty,
};

use crate::aside::AsideReason;
use crate::journal::codec::lane;
use crate::journal::commit::{AsideNote, NewMessage};
use crate::journal::wire::{Malformed, Reader, put_bytes, put_number, put_text};
use crate::tries::Tries;

const IS_TWIN_CHANGE: u8 = 1;
const HAS_OUTPUT: u8 = 2;
const IS_ASIDE: u8 = 4;

/// What a property takes beside its text.
const PROPERTY_BYTES: usize = 4;

/// The content of a message that was read.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::journal) struct Content {
    pub(in crate::journal) source: MessageSource,
    pub(in crate::journal) aside: Option<AsideNote>,
    pub(in crate::journal) message: Message,
}

/// What a message takes, about.
pub(super) fn size_bytes(message: &Message) -> usize {
    let properties = message.properties.len() + message.system.len();
    message.size_bytes() + message.system.bytes() + properties * PROPERTY_BYTES
}

pub(super) fn encode(out: &mut Vec<u8>, new: &NewMessage) {
    let output = match &*new.source {
        MessageSource::Module { output, .. } => output.as_ref(),
        MessageSource::TwinChange { .. } => None,
    };
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let is_twin_change = matches!(*new.source, MessageSource::TwinChange { .. });
    out.push(
        flag(is_twin_change, IS_TWIN_CHANGE)
            | flag(output.is_some(), HAS_OUTPUT)
            | flag(new.aside.is_some(), IS_ASIDE),
    );
    let module = new.source.module();
    put_text(out, module.as_str());
    if let Some(output) = output {
        put_text(out, output.as_str());
    }
    if let Some(note) = &new.aside {
        encode_aside(out, note);
    }
    let system = &new.message.system;
    put_number(out, system.len() as u64);
    for (property, value) in system.iter() {
        out.push(code(property));
        match said_by_source(property, module.as_str(), output) {
            Some(said) if said == value => put_number(out, 0),
            // One more than it is, so that nothing stands for what the source says.
            _ => {
                put_number(out, value.len() as u64 + 1);
                out.extend_from_slice(value.as_bytes());
            }
        }
    }
    put_number(out, new.message.properties.len() as u64);
    for (name, value) in new.message.properties.iter() {
        put_text(out, name);
        put_text(out, value);
    }
    put_bytes(out, &new.message.body);
}

impl Content {
    pub(in crate::journal) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let flags = reader.byte("flags")?;
        let module = lane::module(&mut reader)?;
        let output = if flags & HAS_OUTPUT == 0 {
            None
        } else {
            let name = OutputName::new(reader.text("output")?);
            Some(name.map_err(|_| Malformed { what: "output" })?)
        };
        let aside = if flags & IS_ASIDE == 0 {
            None
        } else {
            Some(decode_aside(&mut reader)?)
        };
        let mut system = SystemProperties::new();
        for _ in 0..reader.count("number of system properties")? {
            let property = property(reader.byte("system property")?)?;
            let value = match reader.small::<usize>("length")?.checked_sub(1) {
                Some(length) => reader.text_of(length, "system property")?,
                None => {
                    said_by_source(property, module.as_str(), output.as_ref()).ok_or(Malformed {
                        what: "system property",
                    })?
                }
            };
            system.set(property, value);
        }
        let mut properties = Vec::new();
        for _ in 0..reader.count("number of properties")? {
            properties.push((reader.text("property")?, reader.text("property")?));
        }
        let length = reader.count("body")?;
        let body = Bytes::copy_from_slice(reader.take(length, "body")?);
        let source = if flags & IS_TWIN_CHANGE == 0 {
            MessageSource::Module { module, output }
        } else {
            MessageSource::TwinChange { module }
        };
        Ok(Content {
            source,
            aside,
            message: Message {
                body,
                properties: Properties::from_iter(properties),
                system,
            },
        })
    }

    /// Who sent a message, without decoding the rest of it.
    pub(in crate::journal) fn sender(bytes: &[u8]) -> Result<&str, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.byte("flags")?;
        reader.text("module")
    }
}

/// What a message's source says that a system property says too.
fn said_by_source<'a>(
    property: SystemProperty,
    module: &'a str,
    output: Option<&'a OutputName>,
) -> Option<&'a str> {
    match property {
        SystemProperty::ConnectionModuleId => Some(module),
        SystemProperty::OutputName => output.map(OutputName::as_str),
        _ => None,
    }
}

fn encode_aside(out: &mut Vec<u8>, note: &AsideNote) {
    out.push(match note.reason {
        AsideReason::Rejected => 0,
        AsideReason::TriesExhausted => 1,
        AsideReason::RetriesExhausted => 2,
    });
    put_text(out, &note.detail);
    put_number(out, u64::from(note.tries.failed));
    put_number(out, u64::from(note.tries.retried));
    put_number(out, u64::from(note.priority));
}

fn decode_aside(reader: &mut Reader<'_>) -> Result<AsideNote, Malformed> {
    let reason = match reader.byte("reason")? {
        0 => AsideReason::Rejected,
        1 => AsideReason::TriesExhausted,
        2 => AsideReason::RetriesExhausted,
        _ => return Err(Malformed { what: "reason" }),
    };
    Ok(AsideNote {
        reason,
        detail: reader.text("detail")?.to_owned(),
        tries: Tries {
            failed: reader.small("tries")?,
            retried: reader.small("tries")?,
        },
        priority: reader.small("priority")?,
    })
}

/// The number of a system property in the format; it never changes.
fn code(property: SystemProperty) -> u8 {
    match property {
        SystemProperty::MessageId => 0,
        SystemProperty::CorrelationId => 1,
        SystemProperty::UserId => 2,
        SystemProperty::To => 3,
        SystemProperty::ContentType => 4,
        SystemProperty::ContentEncoding => 5,
        SystemProperty::CreationTime => 6,
        SystemProperty::AbsoluteExpiryTime => 7,
        SystemProperty::MessageSchema => 8,
        SystemProperty::ComponentName => 9,
        SystemProperty::ConnectionDeviceId => 10,
        SystemProperty::ConnectionModuleId => 11,
        SystemProperty::OutputName => 12,
        SystemProperty::InputName => 13,
        SystemProperty::EnqueuedTime => 14,
        SystemProperty::MessageType => 15,
        SystemProperty::RpSenderDeviceId => 16,
        SystemProperty::RpSenderModuleId => 17,
        SystemProperty::InterfaceId => 18,
        SystemProperty::Operation => 19,
    }
}

fn property(number: u8) -> Result<SystemProperty, Malformed> {
    SystemProperty::all()
        .find(|property| code(*property) == number)
        .ok_or(Malformed {
            what: "system property",
        })
}
