//! The stand-in for the Device Provisioning Service as a process, for clients that are not written in Rust.
//!
//! Takes its port, its id scope and the hub that it assigns as arguments, tells the certificate to trust as JSON, and
//! then does what it is told line by line: `enrol ID KEY`, `group KEY`, `assigning SECONDS`, `throttled`,
//! `ended failed`, `ended disabled`, `asked`. Each line is answered with one, so that it holds from then on. It ends with its input.

use std::io::{self, BufRead as _, Write as _};

use serde_json::{Value, json};
use wasm_edge_tests::dps_stand_in::{DpsStandIn, Face, Reply};

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, id_scope, hub] = args.as_slice() else {
        panic!("usage: dps_stand_in PORT ID_SCOPE HUB");
    };
    let face = Face {
        port: port.parse().expect("a port"),
        ..Face::default()
    };
    let stand_in = DpsStandIn::start_at(face, id_scope, hub);
    say(&json!({ "port": stand_in.port(), "ca": stand_in.ca_pem() }))?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let told = told(&stand_in, &words);
        say(&told)?;
    }
    Ok(())
}

fn told(stand_in: &DpsStandIn, words: &[&str]) -> Value {
    match words {
        ["enrol", id, key] => stand_in.enrol(id, key),
        ["group", key] => stand_in.enrol_group(key),
        ["assigning", seconds] => {
            let retry_after = Some(seconds.parse().expect("a number of seconds"));
            stand_in.reply([Reply::Assigning { retry_after }]);
        }
        ["throttled"] => stand_in.reply([Reply::Error {
            status: 429,
            code: 429_001,
            message: "Too many requests",
        }]),
        ["ended", "failed"] => stand_in.reply([Reply::Ended("failed")]),
        ["ended", "disabled"] => stand_in.reply([Reply::Ended("disabled")]),
        ["asked"] => return json!(stand_in.asked()),
        other => panic!("what is {other:?}?"),
    }
    json!("done")
}

fn say(line: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
