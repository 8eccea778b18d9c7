//! Sends what its method `send` is called with, a list of `{"output", "properties", "body"}`; answers once they are taken.

use std::collections::BTreeMap;

use serde::Deserialize;
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::{Outgoing, Value, module};

#[derive(Deserialize)]
#[serde(default)]
struct Order {
    output: String,
    properties: BTreeMap<String, String>,
    body: Value,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            output: "out".into(),
            properties: BTreeMap::new(),
            body: Value::Null,
        }
    }
}

#[derive(Default)]
struct Feed;

#[module]
impl Feed {
    fn method(&mut self, name: &str, orders: Vec<Order>) -> Response {
        if name != "send" {
            return Response::unknown_method(name);
        }
        for order in orders {
            let message = Outgoing::text(order.body.to_string());
            let message = order
                .properties
                .into_iter()
                .fold(message, |message, (key, value)| {
                    message.property(key, value)
                });
            if let Err(err) = message.send(&order.output) {
                return Response::error(500, err.to_string());
            }
        }
        Response::ok(&Value::Null)
    }
}
