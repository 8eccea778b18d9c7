//! Takes `bytes` of memory and writes to all of it. With `mode` = `try` it answers how much it was given, else running out ends it.

use test_guests::{answer, property};
use wasm_edge_sdk::{Message, Result, json, module};

const CHUNK_BYTES: usize = 64 * 1024;

#[derive(Default)]
struct Alloc;

#[module]
impl Alloc {
    fn message(&mut self, message: &Message) -> Result {
        let wanted = property::<usize>(message, "bytes")?.unwrap_or(0);
        let ask_first = message.property("mode").as_deref() == Some("try");
        let mut chunks: Vec<Vec<u8>> = Vec::with_capacity(wanted / CHUNK_BYTES + 1);
        while chunks.len() * CHUNK_BYTES < wanted {
            let mut chunk = Vec::new();
            if ask_first && chunk.try_reserve_exact(CHUNK_BYTES).is_err() {
                break;
            }
            chunk.resize(CHUNK_BYTES, 1);
            chunks.push(chunk);
        }
        let given = std::hint::black_box(&chunks).len() * CHUNK_BYTES;
        drop(chunks);
        answer(&json!({ "bytes": given }))
    }
}
