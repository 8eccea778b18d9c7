//! Opens a connection to the address in the body, so it imports `wasi:sockets`, which no module is given.

use std::net::TcpStream;

use test_guests::answer;
use wasm_edge_sdk::{Message, Result, json, module};

#[derive(Default)]
struct Sockets;

#[module]
impl Sockets {
    fn message(&mut self, message: &Message) -> Result {
        let connected = TcpStream::connect(message.text()?);
        answer(&json!({ "connected": connected.is_ok() }))
    }
}
