//! Does with files what a message says, `{"op": ..., "path": ...}`, and answers what came of it.
//! `op` is `read`, `write` (of `text`), `append`, `list`, `remove`, `create_folder`, `rename` (to `to`), `symlink` or `hard_link` (of `path`, made at `to`), or `size`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};

use serde::Deserialize;
use test_guests::answer;
use wasm_edge_sdk::{Message, Result, Value, json, module};

#[derive(Deserialize)]
struct Order {
    op: String,
    path: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    to: String,
}

#[derive(Default)]
struct Files;

#[module]
impl Files {
    fn message(&mut self, message: &Message) -> Result {
        let order: Order = message.json()?;
        answer(&match run(&order) {
            Ok(value) => json!({ "ok": value }),
            Err(err) => json!({ "error": err.kind().to_string(), "code": err.raw_os_error() }),
        })
    }
}

fn run(order: &Order) -> io::Result<Value> {
    let Order { op, path, text, to } = order;
    Ok(match op.as_str() {
        "read" => json!(String::from_utf8_lossy(&fs::read(path)?)),
        "write" => json!(fs::write(path, text)?),
        "append" => {
            let mut file = OpenOptions::new().append(true).create(true).open(path)?;
            json!(file.write_all(text.as_bytes())?)
        }
        "list" => {
            let mut names = Vec::new();
            for entry in fs::read_dir(path)? {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            json!(names)
        }
        "remove" => json!(fs::remove_file(path)?),
        "create_folder" => json!(fs::create_dir(path)?),
        "rename" => json!(fs::rename(path, to)?),
        "symlink" => symlink(path, to)?,
        "hard_link" => json!(fs::hard_link(path, to)?),
        "size" => json!(fs::metadata(path)?.len()),
        _ => return Err(io::Error::from(io::ErrorKind::Unsupported)),
    })
}

#[expect(deprecated, reason = "the function of `std::os::wasi` is unstable")]
fn symlink(path: &str, to: &str) -> io::Result<Value> {
    Ok(json!(fs::soft_link(path, to)?))
}
