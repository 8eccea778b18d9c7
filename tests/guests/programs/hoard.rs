//! Tries to make the host hold much for it: a message's property `kind` says of what, `total_bytes` how much in all (1 GiB unless it is there).
//! It goes on after an error, and answers how many attempts there were, how many went well, and each error with its name and how often it came.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::time::Duration;

use test_guests::{outgoing, send_error_name};
use wasm_edge_sdk::events::{self, Delivery, Event, Pollable};
use wasm_edge_sdk::methods::{Call, InvokeError};
use wasm_edge_sdk::{Message, Outgoing, identity, json, log, timer, twin};

const TOTAL_BYTES: u64 = 1 << 30;
const BODY_BYTES: usize = 200 * 1024;
const LINE_BYTES: usize = 16 * 1024;

/// What a property without text may cost a host that does not count it.
const PROPERTY_BYTES: usize = 100;
const BLOCK_BYTES: usize = 1 << 20;

/// What came of the attempts.
#[derive(Default)]
struct Tally {
    attempts: u64,
    succeeded: u64,
    errors: BTreeMap<String, u64>,
}

impl Tally {
    fn add<T>(&mut self, attempt: Result<T, String>) -> Option<T> {
        self.attempts += 1;
        match attempt {
            Ok(value) => {
                self.succeeded += 1;
                Some(value)
            }
            Err(err) => {
                *self.errors.entry(err).or_default() += 1;
                None
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // Messages of the kind `keep` are held until the program ends.
    let mut kept = Vec::new();
    for event in events::all() {
        let Event::Message(delivery) = event else {
            continue;
        };
        let message = delivery.message();
        let kind = message.property("kind").unwrap_or_default();
        if kind == "keep" {
            kept.push((delivery, message));
            let held = outgoing(&json!({ "kind": kind, "held": kept.len() }));
            // The host may hold so much already that it takes no answer, which is for the test to see.
            let _ = held.send("out");
            continue;
        }
        let total = message
            .property("total_bytes")
            .and_then(|text| text.parse().ok());
        let tally = hoard(&kind, &delivery, total.unwrap_or(TOTAL_BYTES));
        // What was staged goes with the message, or there would be no room for the answer.
        delivery.reject("hoarded")?;
        let Tally {
            attempts,
            succeeded,
            errors,
        } = tally;
        let seen =
            json!({ "kind": kind, "attempts": attempts, "succeeded": succeeded, "errors": errors });
        outgoing(&seen).send("out")?;
    }
    Ok(())
}

fn hoard(kind: &str, delivery: &Delivery, total: u64) -> Tally {
    let mut tally = Tally::default();
    let times = |bytes: usize| 0..total / bytes as u64;
    match kind {
        "bodies" => times(BODY_BYTES)
            .for_each(|_| stage(&mut tally, delivery, Outgoing::new(vec![b'.'; BODY_BYTES]))),
        "properties" => {
            times(BODY_BYTES).for_each(|n| stage(&mut tally, delivery, many_properties(n)))
        }
        "tiny_properties" => {
            times(PROPERTY_BYTES * 256)
                .for_each(|_| stage(&mut tally, delivery, tiny_properties()));
        }
        "sent" => times(BODY_BYTES).for_each(|_| {
            let sent = Outgoing::new(vec![b'.'; BODY_BYTES]).send("waiting");
            tally.add(sent.map_err(|err| send_error_name(&err).to_owned()));
        }),
        "open_files" => keep_going(&mut tally, total, || {
            fs::File::create("/data/open").map_err(|err| err.kind().to_string())
        }),
        "lists" => {
            let made = (0..2000).try_for_each(|n| fs::write(format!("/data/{n:0>200}"), []));
            tally.add(made.map_err(|err| err.kind().to_string()));
            keep_going(&mut tally, total / 3, || {
                let mut list = fs::read_dir("/data").map_err(|err| err.kind().to_string())?;
                list.next();
                Ok(list)
            });
        }
        "handles" => keep(&mut tally, total, || delivery.message()),
        "pollables" => keep(&mut tally, total, events::subscribe),
        "line" => {
            let part = [b'.'; LINE_BYTES];
            times(LINE_BYTES).for_each(|_| {
                tally.add(
                    std::io::stdout()
                        .write_all(&part)
                        .map_err(|err| err.kind().to_string()),
                );
            });
        }
        "log" => {
            let text = ".".repeat(LINE_BYTES);
            times(LINE_BYTES).for_each(|_| {
                log::info!("{text}");
                tally.add(Ok(()));
            });
        }
        "twin" => times(BODY_BYTES).for_each(|n| {
            // A few kilobytes under a new name fit at first; more than a section may have never does.
            let bytes = if n < 64 { 3_000 } else { BODY_BYTES };
            let patch = json!({ format!("key{n}"): ".".repeat(bytes) });
            tally.add(twin::report(&patch).map_err(|err| twin_error_name(&err).to_owned()));
        }),
        "timers" => times(BLOCK_BYTES).for_each(|n| {
            let name = if n < 512 {
                format!("timer {n}")
            } else {
                ".".repeat(BLOCK_BYTES)
            };
            let started = timer::every(&name, Duration::from_secs(3600));
            tally.add(started.map_err(|err| timer_error_name(&err).to_owned()));
        }),
        "files" => times(BLOCK_BYTES).for_each(|n| {
            let written = fs::write(format!("/data/{n}"), vec![b'.'; BLOCK_BYTES]);
            tally.add(written.map_err(|err| err.kind().to_string()));
        }),
        "empty_files" => times(64 * 1024).for_each(|n| {
            tally.add(
                fs::write(format!("/data/empty{n}"), []).map_err(|err| err.kind().to_string()),
            );
        }),
        "methods" => times(BODY_BYTES).for_each(|_| {
            let call = Call::device("ping").payload(json!(".".repeat(BODY_BYTES)));
            tally.add(
                call.invoke()
                    .map_err(|err| invoke_error_name(&err).to_owned()),
            );
        }),
        "keys" => times(BLOCK_BYTES).for_each(|_| {
            tally.add(identity::encrypt(&vec![0; BLOCK_BYTES]).map_err(|err| err.to_string()));
        }),
        _ => {
            tally.add::<()>(Err(format!("no kind `{kind}`")));
        }
    }
    tally
}

fn stage(tally: &mut Tally, delivery: &Delivery, outgoing: Outgoing) {
    let sent = delivery.send("hoard", outgoing);
    tally.add(sent.map_err(|err| send_error_name(&err).to_owned()));
}

fn many_properties(n: u64) -> Outgoing {
    let value = ".".repeat(BODY_BYTES / 256 - 16);
    (0..256).fold(Outgoing::default(), |outgoing, i| {
        outgoing.property(format!("name{n}-{i}"), &value)
    })
}

fn tiny_properties() -> Outgoing {
    (0..256).fold(Outgoing::default(), |outgoing, i| {
        outgoing.property(i.to_string(), "")
    })
}

/// Keeps what it gets, and goes on after errors; each attempt counts for the kilobytes that it may cost the host.
fn keep_going<T>(tally: &mut Tally, total: u64, make: impl Fn() -> Result<T, String>) {
    let mut kept = Vec::new();
    for _ in 0..total / (256 * 1024) {
        kept.extend(tally.add(make()));
    }
}

/// Keeps handles until the module's memory is half full of them: the host ends the program where it holds too many.
fn keep<T: Handle>(tally: &mut Tally, total: u64, mut make: impl FnMut() -> T) {
    let count = usize::try_from(total / 1024)
        .unwrap_or(usize::MAX)
        .min(1 << 20);
    let mut handles = Vec::with_capacity(count);
    for _ in 0..count {
        handles.push(make());
        tally.add(Ok(()));
    }
    // Used once more, so that none is given back early.
    handles.iter().for_each(Handle::touch);
}

trait Handle {
    fn touch(&self);
}

impl Handle for Message<'static> {
    fn touch(&self) {
        std::hint::black_box(self);
    }
}

impl Handle for Pollable {
    fn touch(&self) {
        std::hint::black_box(self);
    }
}

fn twin_error_name(error: &twin::Error) -> &'static str {
    match error {
        twin::Error::InvalidJson(_) => "invalid-json",
        twin::Error::Limit(_) => "limit",
        twin::Error::WouldBlock => "would-block",
        _ => "other",
    }
}

fn timer_error_name(error: &timer::Error) -> &'static str {
    match error {
        timer::Error::TooMany => "too-many",
        timer::Error::Invalid(_) => "invalid",
        _ => "other",
    }
}

fn invoke_error_name(error: &InvokeError) -> &'static str {
    match error {
        InvokeError::NotFound => "not-found",
        InvokeError::Timeout => "timeout",
        InvokeError::Busy => "busy",
        InvokeError::Invalid(_) => "invalid",
        _ => "other",
    }
}
