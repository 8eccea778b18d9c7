//! Logs what its method `log` is called with: so many numbered lines of a text, or bytes as they are; `end` ends it.

use std::io::Write as _;

use serde::Deserialize;
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::{Value, log, module};

#[derive(Deserialize)]
#[serde(default)]
struct Order {
    /// `stdout`, `stderr` or a level's name.
    to: String,
    /// How many lines; each is its number and the text.
    lines: u32,
    text: String,
    /// The text so often.
    repeat: usize,
    /// Written to standard output instead, as they are.
    bytes: Vec<u8>,
    /// Panics after that.
    end: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            to: "info".into(),
            lines: 1,
            text: String::new(),
            repeat: 1,
            bytes: Vec::new(),
            end: false,
        }
    }
}

#[derive(Default)]
struct Chatter;

#[module]
impl Chatter {
    fn method(&mut self, name: &str, order: Order) -> Response {
        if name != "log" {
            return Response::unknown_method(name);
        }
        match say(&order) {
            Ok(()) if order.end => panic!("ended as ordered"),
            Ok(()) => Response::ok(&Value::Null),
            Err(err) => Response::error(500, err.to_string()),
        }
    }
}

fn say(order: &Order) -> std::io::Result<()> {
    if !order.bytes.is_empty() {
        std::io::stdout().write_all(&order.bytes)?;
        return std::io::stdout().flush();
    }
    let text = order.text.repeat(order.repeat);
    for number in 0..order.lines {
        match order.to.as_str() {
            "stdout" => println!("{number} {text}"),
            "stderr" => eprintln!("{number} {text}"),
            level => {
                let level = level.parse().unwrap_or(log::Level::Info);
                log::log!(level, kind = "order"; "{number} {text}");
            }
        }
    }
    Ok(())
}
