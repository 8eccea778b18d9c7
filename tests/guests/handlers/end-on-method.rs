//! Ends as the method that is called on it says: `trap`, `spin`, `hoard` (memory), `exit` with the payload as its code.

use test_guests::spin;
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::module;

#[derive(Default)]
struct EndOnMethod {
    hoard: Vec<Vec<u8>>,
}

#[module]
impl EndOnMethod {
    fn method(&mut self, name: &str, code: i32) -> Response {
        match name {
            "trap" => fails_here(),
            "spin" => spin(),
            "hoard" => loop {
                self.hoard.push(vec![1; 64 * 1024]);
            },
            "exit" => std::process::exit(code),
            name => Response::unknown_method(name),
        }
    }
}

/// In the backtrace under this name.
#[inline(never)]
fn fails_here() -> ! {
    std::arch::wasm32::unreachable()
}
