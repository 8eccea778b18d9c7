//! Answers the method `echo` with its payload, `fail` with status 500, `slow` never, `trap` with a trap, and any other with 404.

use test_guests::spin;
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::{Value, json, log, module};

#[derive(Default)]
struct MethodEcho {
    calls: u64,
}

#[module]
impl MethodEcho {
    fn method(&mut self, name: &str, payload: Value) -> Response {
        self.calls += 1;
        match name {
            "echo" => Response::ok(&json!({ "calls": self.calls, "payload": payload })),
            "fail" => Response::error(500, "told to"),
            "slow" => {
                log::info!("begun");
                spin()
            }
            "trap" => std::arch::wasm32::unreachable(),
            name => Response::unknown_method(name),
        }
    }
}
