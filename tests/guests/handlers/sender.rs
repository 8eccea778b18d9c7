//! Sends what a message says: `count` messages of `bytes` bytes on `output`, each with its number as the property `n`, with the property `name` = `value` and the system property `MessageId` = `message_id` where they are there.
//! It answers how many were taken and the first error.

use serde::Deserialize;
use test_guests::{answer, send_error_name};
use wasm_edge_sdk::{Message, Outgoing, Result, SystemProperty, json, module};

#[derive(Deserialize)]
#[serde(default)]
struct Order {
    output: String,
    count: u32,
    bytes: usize,
    name: Option<String>,
    value: String,
    message_id: Option<String>,
    input_name: Option<String>,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            output: "sent".into(),
            count: 1,
            bytes: 0,
            name: None,
            value: String::new(),
            message_id: None,
            input_name: None,
        }
    }
}

#[derive(Default)]
struct Sender;

#[module]
impl Sender {
    fn message(&mut self, message: &Message) -> Result {
        let order: Order = message.json()?;
        let mut error = None;
        let mut sent = 0;
        for n in 0..order.count {
            match outgoing(&order, n).send(&order.output) {
                Ok(()) => sent += 1,
                Err(err) => {
                    error.get_or_insert_with(|| json!([send_error_name(&err), err.to_string()]));
                }
            }
        }
        answer(&json!({ "sent": sent, "error": error }))
    }
}

fn outgoing(order: &Order, n: u32) -> Outgoing {
    let mut outgoing = Outgoing::new(vec![b'.'; order.bytes]).property("n", n.to_string());
    if let Some(name) = &order.name {
        outgoing = outgoing.property(name, &order.value);
    }
    if let Some(id) = &order.message_id {
        outgoing = outgoing.system_property(SystemProperty::MessageId, id);
    }
    // One of those that the host sets and refuses from a module.
    if let Some(input) = &order.input_name {
        outgoing = outgoing.system_property(SystemProperty::InputName, input);
    }
    outgoing
}
