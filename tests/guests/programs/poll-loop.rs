//! A loop as Python's asyncio has it on components: it waits in `wasi:io/poll.poll` for several pollables at once, and takes events by `next(0)` alone.
//!
//! It counts why `poll` has returned, and answers that to any direct method. A message is completed and answered with its body; with the property `do` it first
//! gives up its subscription for a while (`deaf`), or subscribes twice and drops the older (`twice`), or takes one event per wait from then on (`single`).

mod bindings {
    wit_bindgen::generate!({
        path: ["../../sdk-guest/wit", "wit"],
        inline: "
            package test:poll;
            world poll-loop {
                import wasi:clocks/monotonic-clock@0.2.0;
                include wasm-edge:module/imports@0.1.0;
                include wasm-edge:module/with-events@0.1.0;
            }
        ",
        generate_all,
    });
}

use bindings::wasi::clocks::monotonic_clock::subscribe_duration;
use bindings::wasi::io::poll::{self, Pollable};
use bindings::wasm_edge::module::events::{self, Delivery, Event};
use bindings::wasm_edge::module::messages::{self, Outgoing};
use bindings::wasm_edge::module::methods::Response;
use bindings::wasm_edge::module::timer;
use bindings::wasm_edge::module::twin::DesiredUpdate;

/// Time between two beats, in nanoseconds.
const BEAT_NS: u64 = 50_000_000;

/// How long it hears nothing when told to.
const DEAF_NS: u64 = 300_000_000;

/// Why `poll` has returned.
#[derive(Default)]
struct Counts {
    polls: u64,
    beats: u64,
    events: u64,
    /// The event pollable was ready, and there was no event.
    spurious: u64,
}

struct Loop {
    events: Pollable,
    beat: Pollable,
    counts: Counts,
    single: bool,
    stop: bool,
}

fn main() {
    timer::start("timer", timer::Schedule::Every(100)).expect("valid");
    let mut state = Loop {
        events: events::subscribe(),
        beat: subscribe_duration(BEAT_NS),
        counts: Counts::default(),
        single: false,
        stop: false,
    };
    while !state.stop {
        state.turn();
    }
}

impl Loop {
    fn turn(&mut self) {
        let ready = poll::poll(&[&self.beat, &self.events]);
        self.counts.polls += 1;
        if ready.contains(&0) {
            self.counts.beats += 1;
            self.beat = subscribe_duration(BEAT_NS);
            if self.counts.beats.is_multiple_of(20) {
                say(&format!("{{\"beats\": {}}}", self.counts.beats));
            }
        }
        if ready.contains(&1) {
            let mut taken = 0;
            while let Some(event) = events::next(Some(0)) {
                taken += 1;
                self.happened(event);
                if self.single {
                    break;
                }
            }
            self.counts.events += taken;
            self.counts.spurious += u64::from(taken == 0);
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Message(delivery) => self.message(&delivery),
            Event::Desired(DesiredUpdate::Full(text)) => say(&format!("{{\"desired\": {text}}}")),
            Event::Desired(DesiredUpdate::Patch(text)) => say(&format!("{{\"patch\": {text}}}")),
            Event::Timer(tick) => {
                if tick.missed > 0 {
                    say(&format!("{{\"missed\": {}}}", tick.missed));
                }
            }
            Event::Method(call) => {
                let payload = self.counts.to_json();
                let answered = call.respond(&Response {
                    status: 200,
                    payload,
                });
                answered.expect("not answered before");
            }
            Event::Shutdown(_) => {
                say("{\"shutdown\": true}");
                self.stop = true;
            }
        }
    }

    fn message(&mut self, delivery: &Delivery) {
        let message = delivery.message();
        match message.property("do").as_deref() {
            Some("deaf") => {
                // The old subscription is gone, the new one begins after what happens meanwhile.
                self.events = subscribe_duration(0);
                subscribe_duration(DEAF_NS).block();
                self.events = events::subscribe();
            }
            Some("twice") => {
                let newer = events::subscribe();
                poll::poll(&[&self.beat, &newer, &self.events]);
                self.events = newer;
            }
            Some("single") => self.single = true,
            _ => {}
        }
        let body = message.body();
        let outgoing = Outgoing {
            body,
            properties: Vec::new(),
            system_properties: Vec::new(),
        };
        delivery.send("out", &outgoing).expect("there is room");
        delivery.complete().expect("not ended before");
    }
}

impl Counts {
    fn to_json(&self) -> String {
        format!(
            "{{\"polls\": {}, \"beats\": {}, \"events\": {}, \"spurious\": {}}}",
            self.polls, self.beats, self.events, self.spurious
        )
    }
}

fn say(text: &str) {
    let outgoing = Outgoing {
        body: text.as_bytes().to_vec(),
        properties: Vec::new(),
        system_properties: Vec::new(),
    };
    messages::send("out", &outgoing).expect("there is room");
}
