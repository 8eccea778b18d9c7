//! Answers all that can be seen of a message.

use std::collections::BTreeMap;

use test_guests::answer;
use wasm_edge_sdk::SystemProperty::{self, *};
use wasm_edge_sdk::{Message, Result, json, module};

const SYSTEM_PROPERTIES: [(&str, SystemProperty); 15] = [
    ("messageId", MessageId),
    ("correlationId", CorrelationId),
    ("userId", UserId),
    ("to", To),
    ("contentType", ContentType),
    ("contentEncoding", ContentEncoding),
    ("creationTime", CreationTime),
    ("absoluteExpiryTime", AbsoluteExpiryTime),
    ("messageSchema", MessageSchema),
    ("componentName", ComponentName),
    ("connectionDeviceId", ConnectionDeviceId),
    ("connectionModuleId", ConnectionModuleId),
    ("outputName", OutputName),
    ("inputName", InputName),
    ("enqueuedTime", EnqueuedTime),
];

#[derive(Default)]
struct Describe;

#[module]
impl Describe {
    fn message(&mut self, message: &Message) -> Result {
        let system: BTreeMap<&str, String> = SYSTEM_PROPERTIES
            .iter()
            .filter_map(|(name, property)| Some((*name, message.system_property(*property)?)))
            .collect();
        let part = |offset, length| message.body_part(offset, length).len();
        answer(&json!({
            "input": message.input(),
            "bodySizeBytes": message.body_size_bytes(),
            "body": String::from_utf8_lossy(&message.body()),
            "parts": [part(0, 2), part(1, u32::MAX), part(u32::MAX, 1)],
            "properties": message.properties(),
            "missing": message.property("no such property"),
            "system": system,
            "previousTries": message.previous_tries(),
        }))
    }
}
