//! Sends numbered messages (property `n`) one after the other, of `BYTES` bytes and up to the number `COUNT`, and waits where there is no room.
//! With `EVERY_MS` it makes a pause of so long after each.
//! With `NOTES` it writes into `/data/notes` which number it is about to send (`+N`) and which one was taken (`=N`); after a restart it goes on behind the last one that it was about to send, so that no number is sent twice.
//! Its method `sent` answers how many were taken since its start, the last number, and how often there was no room; `stop` sends a last message, with the property `end`, and answers as well.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::str::FromStr;
use std::time::Duration;

use wasm_edge_sdk::events::{self, Event};
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::{Outgoing, SendError, json};

const NOTES: &str = "/data/notes";

/// So many are sent between two looks at what else is to be done.
const AT_ONCE: u64 = 128;

/// How long is waited for room, and for a method once all is sent.
const PAUSE: Duration = Duration::from_millis(5);
const NOTHING_LEFT: Duration = Duration::from_secs(1);

struct Producer {
    bytes: usize,
    count: u64,
    notes: Option<File>,
    /// The last number that was taken, and the last one that was noted before it was sent.
    number: u64,
    begun: u64,
    sent: u64,
    refused: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut producer = Producer::start()?;
    let mut stopped = false;
    let every = variable("EVERY_MS", 0)?;
    loop {
        let left = !stopped && producer.number < producer.count;
        let pause = match left {
            true if every > 0 => {
                producer.next()?;
                Duration::from_millis(every)
            }
            true if producer.next()? => match producer.number % AT_ONCE {
                0 => Duration::ZERO,
                _ => continue,
            },
            true => PAUSE,
            false => NOTHING_LEFT,
        };
        match events::next(pause) {
            Some(Event::Method(call)) => {
                stopped |= call.name() == "stop";
                call.respond(producer.answer(&call.name())?)?;
            }
            Some(Event::Shutdown(_)) => return Ok(()),
            _ => {}
        }
    }
}

impl Producer {
    fn start() -> Result<Self, Box<dyn Error>> {
        let mut producer = Self {
            bytes: variable("BYTES", 256)?,
            count: variable("COUNT", u64::MAX)?,
            notes: None,
            number: 0,
            begun: 0,
            sent: 0,
            refused: 0,
        };
        if std::env::var_os("NOTES").is_some() {
            let notes = fs::read_to_string(NOTES).unwrap_or_default();
            let mut begun = notes.lines().filter_map(|line| line.strip_prefix('+'));
            producer.number = begun.next_back().map_or(Ok(0), str::parse)?;
            producer.begun = producer.number;
            producer.notes = Some(File::options().create(true).append(true).open(NOTES)?);
        }
        Ok(producer)
    }

    /// Sends the next message; `false` when there is no room for it.
    fn next(&mut self) -> Result<bool, Box<dyn Error>> {
        let number = self.number + 1;
        if self.begun < number {
            self.begun = number;
            self.note('+')?;
        }
        let message = Outgoing::new(vec![b'.'; self.bytes]).property("n", number.to_string());
        match message.send("out") {
            Ok(()) => {}
            Err(SendError::WouldBlock) => {
                self.refused += 1;
                return Ok(false);
            }
            Err(err) => return Err(err.into()),
        }
        self.note('=')?;
        self.number = number;
        self.sent += 1;
        Ok(true)
    }

    /// Notes the number that was begun, in one piece, so that no line is torn when the process is killed.
    fn note(&mut self, mark: char) -> io::Result<()> {
        match &mut self.notes {
            Some(notes) => notes.write_all(format!("{mark}{}\n", self.begun).as_bytes()),
            None => Ok(()),
        }
    }

    fn answer(&self, method: &str) -> Result<Response, Box<dyn Error>> {
        match method {
            "stop" => match Outgoing::new(Vec::new()).property("end", "yes").send("out") {
                Err(SendError::WouldBlock) => return Ok(Response::error(503, "no room")),
                sent => sent?,
            },
            "sent" => {}
            name => return Ok(Response::unknown_method(name)),
        }
        let answer = json!({ "sent": self.sent, "last": self.number, "refused": self.refused });
        Ok(Response::ok(&answer))
    }
}

fn variable<T: FromStr<Err: Error + 'static>>(name: &str, default: T) -> Result<T, Box<dyn Error>> {
    match std::env::var(name) {
        Ok(value) => Ok(value.parse()?),
        Err(_) => Ok(default),
    }
}
