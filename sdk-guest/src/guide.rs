//! The guide: every capability of a module, each with an example that was run.
//!
//! The examples end with a test of what they show, written with [`testing`](crate::testing); it stands for what a device does.
//! The limits are those of the contract, and hold in tests as well.
//!
//! 1. [A module](#a-module) · [Messages](#messages) · [Sending](#sending) · [Passing on](#passing-on) · [Failures](#failures)
//! 2. [Desired properties](#desired-properties) · [Reported properties](#reported-properties) · [Answering methods](#answering-methods) · [Calling methods](#calling-methods) · [Timers](#timers)
//! 3. [Files](#files) · [Logging](#logging) · [Identity and keys](#identity-and-keys) · [Starting and stopping](#starting-and-stopping)
//! 4. [Programs with a loop of their own](#programs-with-a-loop-of-their-own) · [Testing](#testing) · [Building](#building)
//!
//! # A module
//!
//! A type with [`Default`], and an `impl` block with [`#[module]`](macro@crate::module) that has the handlers, and nothing else.
//! The type is made at the first call and keeps its state until the instance ends; calls never overlap.
//!
//! ```
//! use wasm_edge_sdk::testing::Harness;
//! use wasm_edge_sdk::{Message, module};
//!
//! #[derive(Default)]
//! struct Counter {
//!     messages: u64,
//! }
//!
//! #[module]
//! impl Counter {
//!     fn message(&mut self, _: &Message) {
//!         self.messages += 1;
//!     }
//! }
//!
//! // What is no handler goes into a block of its own.
//! impl Counter {
//!     fn is_busy(&self) -> bool {
//!         self.messages > 1_000
//!     }
//! }
//!
//! let mut counter = Harness::<Counter>::new();
//! counter.message("anything").expect_ok();
//! counter.message("anything").expect_ok();
//! assert_eq!(counter.module().messages, 2);
//! assert!(!counter.module().is_busy());
//! ```
//!
//! # Messages
//!
//! A [`Message`](crate::Message) stays in the host: what is not asked for does not cross.
//! [`text`](crate::Message::text) and [`json`](crate::Message::json) read the whole body, [`body_part`](crate::Message::body_part) some of it.
//! Properties are the sender's, [system properties](crate::SystemProperty) the host's or of a standard meaning.
//!
//! ```
//! use serde::Deserialize;
//! use wasm_edge_sdk::testing::{Harness, Incoming};
//! use wasm_edge_sdk::{Message, Result, SystemProperty, json, log, module};
//!
//! #[derive(Deserialize)]
//! struct Reading {
//!     celsius: f64,
//! }
//!
//! #[derive(Default)]
//! struct Thermometers;
//!
//! #[module]
//! impl Thermometers {
//!     fn message(&mut self, message: &Message) -> Result {
//!         let reading: Reading = message.json()?;
//!         let sender = message.system_property(SystemProperty::ConnectionModuleId);
//!         log::info!(
//!             "{} of {} bytes at `{}`: {} °C in {}, tried {} times",
//!             sender.as_deref().unwrap_or("somebody"),
//!             message.body_size_bytes(),
//!             message.input(),
//!             reading.celsius,
//!             message.property("room").unwrap_or_default(),
//!             message.previous_tries(),
//!         );
//!         Ok(())
//!     }
//! }
//!
//! let reading = Incoming::from(json!({ "celsius": 21.5 }))
//!     .input("readings")
//!     .property("room", "12")
//!     .system_property(SystemProperty::ConnectionModuleId, "sensor");
//! let handled = Harness::<Thermometers>::new().message(reading).expect_ok();
//! assert_eq!(handled.logs[0].text, "sensor of 16 bytes at `readings`: 21.5 °C in 12, tried 0 times");
//! ```
//!
//! # Sending
//!
//! An [`Outgoing`](crate::Outgoing) goes to an output by name; the deployment's routes say where that leads.
//! It is *staged*: it goes out when the handler has answered well, together with the completion of the message at hand, and not at all otherwise.
//! At most 262,144 bytes in all, and 256 properties.
//!
//! ```
//! use wasm_edge_sdk::testing::Harness;
//! use wasm_edge_sdk::{Message, Outgoing, Result, SystemProperty, json, module};
//!
//! #[derive(Default)]
//! struct Words;
//!
//! #[module]
//! impl Words {
//!     fn message(&mut self, message: &Message) -> Result {
//!         let text = message.text()?;
//!         let count = text.split_whitespace().count();
//!         Outgoing::json(&json!({ "words": count }))?
//!             .property("severity", if count > 2 { "high" } else { "low" })
//!             .system_property(SystemProperty::CorrelationId, "letter 7")
//!             .send("counts")?;
//!         Outgoing::text(text.to_uppercase()).send("loud")?;
//!         Outgoing::new([0xca, 0xfe]).send("raw")?;
//!         Ok(())
//!     }
//! }
//!
//! let handled = Harness::<Words>::new().message("one two three").expect_ok();
//! let outputs: Vec<&str> = handled.sent.iter().map(|sent| sent.output.as_str()).collect();
//! assert_eq!(outputs, ["counts", "loud", "raw"]);
//! assert_eq!(handled.sent[0].property("severity"), Some("high"));
//! assert_eq!(handled.sent[0].system_property(SystemProperty::ContentType), Some("application/json"));
//! assert_eq!(handled.sent[1].text(), "ONE TWO THREE");
//! ```
//!
//! # Passing on
//!
//! [`forward`](crate::Message::forward) sends the message at hand to an output, with other properties if need be; its body stays in the host, whatever its size.
//!
//! ```
//! use wasm_edge_sdk::testing::{Harness, Incoming};
//! use wasm_edge_sdk::{Message, Result, module};
//!
//! #[derive(Default)]
//! struct Sorter;
//!
//! #[module]
//! impl Sorter {
//!     fn message(&mut self, message: &Message) -> Result {
//!         let output = if message.body_size_bytes() > 1_000 { "large" } else { "small" };
//!         message.forward().set("sorted", "yes").remove("draft").send(output)?;
//!         Ok(())
//!     }
//! }
//!
//! let mut sorter = Harness::<Sorter>::new();
//! let handled = sorter.message(Incoming::from("x").property("draft", "1")).expect_ok();
//! assert_eq!(handled.only_sent().output, "small");
//! assert_eq!(handled.only_sent().properties, [("sorted".to_owned(), "yes".to_owned())]);
//! assert_eq!(sorter.message(vec![0; 2_000]).only_sent().output, "large");
//! ```
//!
//! # Failures
//!
//! A handler of messages answers what becomes of its message: `Ok` completes it, [`Failure::retry`](crate::Failure::retry) lets it come again later, [`Failure::reject`](crate::Failure::reject) puts it aside with a reason.
//! `?` makes a failure of every error: a retry soon where something in the host was full, a rejection otherwise.
//! A panic ends the instance; the message comes again after a while, five times at most.
//! From the other handlers the text of a failure is logged, and the module goes on.
//!
//! ```
//! use std::time::Duration;
//! use wasm_edge_sdk::testing::{Fault, Harness, Outcome};
//! use wasm_edge_sdk::{Failure, Message, Result, module};
//!
//! #[derive(Default)]
//! struct Picky;
//!
//! #[module]
//! impl Picky {
//!     fn message(&mut self, message: &Message) -> Result {
//!         match message.text()?.as_str() {
//!             "" => Err(Failure::reject("empty")),
//!             "later" => Err(Failure::retry(Duration::from_secs(60))),
//!             "never thought of" => panic!("what now?"),
//!             _ => Ok(message.forward().send("taken")?),
//!         }
//!     }
//! }
//!
//! let mut picky = Harness::<Picky>::new();
//! assert_eq!(picky.message("").outcome, Outcome::Rejected("empty".to_owned()));
//! assert_eq!(picky.message("later").outcome, Outcome::Retry(Duration::from_secs(60)));
//! assert!(matches!(picky.message("never thought of").outcome, Outcome::Trapped(_)));
//! assert!(matches!(picky.message(vec![0xff]).outcome, Outcome::Rejected(_)));
//!
//! picky.inject(Fault::FullQueue("taken".to_owned()));
//! assert!(matches!(picky.message("good").outcome, Outcome::Retry(_)));
//! ```
//!
//! # Desired properties
//!
//! `desired` gets all desired properties of the module's twin in a type of one's own: once after `init`, then at each change.
//! `#[serde(default)]` fills in what is not set, so that an empty twin is a valid one.
//! Properties of another form do not reach the handler; the error is logged, and the old settings stay.
//!
//! ```
//! use serde::Deserialize;
//! use wasm_edge_sdk::testing::Harness;
//! use wasm_edge_sdk::{Message, Result, json, module};
//!
//! #[derive(Deserialize)]
//! #[serde(default)]
//! struct Settings {
//!     threshold: f64,
//! }
//!
//! impl Default for Settings {
//!     fn default() -> Self {
//!         Self { threshold: 30.0 }
//!     }
//! }
//!
//! #[derive(Default)]
//! struct Filter {
//!     settings: Settings,
//! }
//!
//! #[module]
//! impl Filter {
//!     fn desired(&mut self, desired: Settings) {
//!         self.settings = desired;
//!     }
//!
//!     fn message(&mut self, message: &Message) -> Result {
//!         if message.json::<f64>()? > self.settings.threshold {
//!             message.forward().send("alerts")?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut filter = Harness::<Filter>::new();
//! assert_eq!(filter.message("25").sent.len(), 0);
//! filter.desired(json!({ "threshold": 20 })).expect_ok();
//! assert_eq!(filter.message("25").sent.len(), 1);
//! ```
//!
//! Who wants to know what has changed writes `desired_update` in place of `desired`, and gets a [`DesiredUpdate`](crate::twin::DesiredUpdate): all of them once, then merge patches.
//! [`twin::desired`](crate::twin::desired) reads them at any time, from the device's own store.
//!
//! ```
//! use wasm_edge_sdk::testing::Harness;
//! use wasm_edge_sdk::twin::{self, DesiredUpdate};
//! use wasm_edge_sdk::{Result, Value, json, log, module};
//!
//! #[derive(Default)]
//! struct Listener;
//!
//! #[module]
//! impl Listener {
//!     fn desired_update(&mut self, update: DesiredUpdate) -> Result {
//!         if let DesiredUpdate::Patch(patch) = &update {
//!             log::info!("version {:?} changes {}", update.version(), patch["colour"]);
//!         }
//!         let all: Value = twin::desired()?;
//!         log::info!("now {all}");
//!         Ok(())
//!     }
//! }
//!
//! let mut listener = Harness::<Listener>::new().with_desired(json!({ "size": 1 }));
//! let handled = listener.desired(json!({ "colour": "blue" })).expect_ok();
//! assert!(handled.logged(r#"version Some(2) changes "blue""#));
//! assert!(handled.logged(r#"now {"colour":"blue","size":1}"#));
//! ```
//!
//! # Reported properties
//!
//! [`twin::report`](crate::twin::report) merges a value into what the module reports: null deletes, objects merge, all else replaces.
//! Once it has answered, the device has it on disk and brings it to the hub when there is one; it is never staged.
//! A twin is for a state, not for a stream: what changes with every message is a message itself.
//!
//! ```
//! use wasm_edge_sdk::testing::Harness;
//! use wasm_edge_sdk::{Message, Result, Value, json, module, twin};
//!
//! #[derive(Default)]
//! struct Door;
//!
//! #[module]
//! impl Door {
//!     fn message(&mut self, message: &Message) -> Result {
//!         twin::report(&json!({ "door": { "open": message.text()? == "open" }, "error": null }))?;
//!         let reported: Value = twin::reported()?;
//!         assert!(reported["door"].is_object());
//!         Ok(())
//!     }
//! }
//!
//! let mut door = Harness::<Door>::new().with_reported(json!({ "error": "stuck", "door": { "colour": "red" } }));
//! door.message("open").expect_ok();
//! assert_eq!(door.reported_properties(), json!({ "door": { "open": true, "colour": "red" } }));
//! ```
//!
//! # Answering methods
//!
//! `method` answers direct methods from the hub and from other modules, with a status (as in HTTP, by custom) and JSON of at most 128 KiB.
//! Its payload comes in a type of one's own; one of another form is answered with 400, an error with 500.
//!
//! ```
//! use serde::Deserialize;
//! use wasm_edge_sdk::methods::Response;
//! use wasm_edge_sdk::testing::Harness;
//! use wasm_edge_sdk::{json, module};
//!
//! #[derive(Deserialize)]
//! struct Brightness {
//!     percent: u8,
//! }
//!
//! #[derive(Default)]
//! struct Lamp {
//!     percent: u8,
//! }
//!
//! #[module]
//! impl Lamp {
//!     fn method(&mut self, name: &str, payload: Brightness) -> Response {
//!         match name {
//!             "dim" => {
//!                 let before = std::mem::replace(&mut self.percent, payload.percent);
//!                 Response::ok(&json!({ "before": before }))
//!             }
//!             name => Response::unknown_method(name),
//!         }
//!     }
//! }
//!
//! let mut lamp = Harness::<Lamp>::new();
//! let dimmed = lamp.method("dim", json!({ "percent": 40 })).expect_ok();
//! assert_eq!(dimmed.response().payload, r#"{"before":0}"#);
//! assert_eq!(lamp.method("dim", json!("dark")).response().status, 400);
//! assert_eq!(lamp.method("break", json!({ "percent": 1 })).response().status, 404);
//! ```
//!
//! # Calling methods
//!
//! [`Call::module`](crate::methods::Call::module) asks another module of the device and waits for the answer; waiting does not count as running time.
//! A call that would wait for itself, however indirectly, is `Busy` at once.
//!
//! ```
//! use std::time::Duration;
//! use wasm_edge_sdk::methods::{Call, InvokeError, Response};
//! use wasm_edge_sdk::testing::Harness;
//! use wasm_edge_sdk::{Message, Result, json, log, module};
//!
//! #[derive(Default)]
//! struct Switch;
//!
//! #[module]
//! impl Switch {
//!     fn message(&mut self, _: &Message) -> Result {
//!         let call = Call::module("lamp", "dim").payload(json!({ "percent": 40 }));
//!         match call.response_timeout(Duration::from_secs(5)).invoke() {
//!             Ok(response) => log::info!("the lamp says {}", response.status),
//!             Err(InvokeError::NotFound) => log::warn!("there is no lamp"),
//!             Err(err) => return Err(err.into()),
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut switch = Harness::<Switch>::new();
//! assert!(switch.message("press").expect_ok().logged("there is no lamp"));
//!
//! switch.set_module("lamp", |method, payload| {
//!     assert_eq!((method, payload["percent"].as_u64()), ("dim", Some(40)));
//!     Ok(Response::ok(&json!({})))
//! });
//! assert!(switch.message("press").expect_ok().logged("the lamp says 200"));
//!
//! switch.set_module("lamp", |_, _| Err(InvokeError::Timeout));
//! assert_ne!(switch.message("press").outcome, wasm_edge_sdk::testing::Outcome::Done);
//! ```
//!
//! # Timers
//!
//! [`timer::every`](crate::timer::every) and [`timer::once`](crate::timer::once) start a timer by name; `timer` hears of it.
//! They are the host's: a module that waits costs nothing. They keep to their grid, without drift.
//! Ticks that fall into a time when the module was busy are not delivered late but counted, in [`Tick::missed`](crate::timer::Tick::missed).
//! Timers end with the instance, so they are started in `init` or `desired`; at most 64 run at once.
//!
//! ```
//! use std::time::Duration;
//! use wasm_edge_sdk::testing::Harness;
//! use wasm_edge_sdk::timer::{self, Tick};
//! use wasm_edge_sdk::{Outgoing, Result, module};
//!
//! #[derive(Default)]
//! struct Clock {
//!     seconds: u64,
//! }
//!
//! #[module]
//! impl Clock {
//!     fn init(&mut self) -> Result {
//!         timer::every("second", Duration::from_secs(1))?;
//!         timer::once("alarm", Duration::from_secs(10))?;
//!         Ok(())
//!     }
//!
//!     fn timer(&mut self, tick: Tick) -> Result {
//!         match tick.name.as_str() {
//!             "second" => self.seconds += 1 + tick.missed,
//!             _ => Outgoing::text(format!("after {} s", self.seconds)).send("alarms")?,
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut clock = Harness::<Clock>::new();
//! assert_eq!(clock.advance(Duration::from_secs(4)).expect_ok().ticks.len(), 4);
//! // Busy for three seconds: one tick, and two that were missed.
//! assert_eq!(clock.stall(Duration::from_secs(3)).expect_ok().ticks[0].missed, 2);
//! let handled = clock.advance(Duration::from_secs(3)).expect_ok();
//! assert_eq!(handled.only_sent().text(), "after 9 s");
//! ```
//!
//! # Files
//!
//! `std::fs` works in [`data_folder`](crate::data_folder), the module's own `/data`, which lasts over restarts and updates and takes 16 MiB unless the manifest says otherwise.
//! What else there is the manifest grants by path.
//! To write a file under another name and rename it keeps it whole through a power cut.
//!
//! ```
//! use std::fs;
//! use wasm_edge_sdk::testing::Harness;
//! use wasm_edge_sdk::{Message, Result, data_folder, module};
//!
//! #[derive(Default)]
//! struct Odometer {
//!     metres: u64,
//! }
//!
//! #[module]
//! impl Odometer {
//!     fn init(&mut self) -> Result {
//!         // At the very first start there is no file yet.
//!         if let Ok(text) = fs::read_to_string(data_folder().join("metres")) {
//!             self.metres = text.parse()?;
//!         }
//!         Ok(())
//!     }
//!
//!     fn message(&mut self, message: &Message) -> Result {
//!         self.metres += message.json::<u64>()?;
//!         let folder = data_folder();
//!         fs::write(folder.join("new"), self.metres.to_string())?;
//!         fs::rename(folder.join("new"), folder.join("metres"))?;
//!         Ok(())
//!     }
//! }
//!
//! let mut odometer = Harness::<Odometer>::new();
//! odometer.message("12").expect_ok();
//! odometer.message("30").expect_ok();
//! odometer.restart().expect_ok();
//! assert_eq!(odometer.module().metres, 42);
//! ```
//!
//! # Logging
//!
//! The macros of [`log`] write to the module's log, with key-value pairs as fields.
//! The environment variable `WASM_EDGE_LOG` sets the least level, `info` unless set; other environment variables of the manifest are there as usual.
//! Standard output and error are taken too, as `info` and `warn`.
//!
//! ```
//! use wasm_edge_sdk::testing::Harness;
//! use wasm_edge_sdk::{Message, log, module};
//!
//! #[derive(Default)]
//! struct Talker;
//!
//! #[module]
//! impl Talker {
//!     fn message(&mut self, message: &Message) {
//!         log::debug!("seldom seen");
//!         log::warn!(bytes = message.body_size_bytes(), input = message.input().as_str(); "got something");
//!     }
//! }
//!
//! let handled = Harness::<Talker>::new().message("abc").expect_ok();
//! let [line] = handled.logs.as_slice() else {
//!     panic!("one line, and not that of `debug`");
//! };
//! assert_eq!((line.level, line.text.as_str()), (log::Level::Warn, "got something"));
//! assert_eq!((line.field("bytes"), line.field("input")), (Some("3"), Some("input")));
//! ```
//!
//! # Identity and keys
//!
//! [`identity`](crate::identity) says which module of which device this is, and uses keys that never enter the module.
//! `sign` is HMAC-SHA256 with the identity's primary key, which whoever holds that key can check; what was encrypted, the same module on the same device alone can read.
//!
//! ```
//! use wasm_edge_sdk::testing::Harness;
//! use wasm_edge_sdk::{Message, Outgoing, Result, identity, module};
//!
//! #[derive(Default)]
//! struct Notary {
//!     secret: Vec<u8>,
//! }
//!
//! #[module]
//! impl Notary {
//!     fn message(&mut self, message: &Message) -> Result {
//!         self.secret = identity::encrypt(&message.body())?;
//!         assert_eq!(identity::decrypt(&self.secret)?, message.body());
//!         Outgoing::new(identity::sign(&message.body())?)
//!             .property("by", format!("{}/{}", identity::device_id(), identity::module_id()))
//!             .send("signatures")?;
//!         Ok(())
//!     }
//! }
//!
//! let mut notary = Harness::<Notary>::new().with_identity("Hannover01", "notary");
//! let handled = notary.message("a contract").expect_ok();
//! assert_eq!(handled.only_sent().body.len(), 32);
//! assert_eq!(handled.only_sent().property("by"), Some("Hannover01/notary"));
//! ```
//!
//! # Starting and stopping
//!
//! `init` comes first; an error ends the module as failed. `shutdown` comes last, with the time that is left.
//! `health` is asked from time to time, and an error says what is wrong.
//! A module is ready when `init` has answered, or, if it calls [`lifecycle::ready`](crate::lifecycle::ready) anywhere, when it does; modules with a later `startupOrder` wait for that.
//!
//! ```
//! use std::time::Duration;
//! use wasm_edge_sdk::testing::{Harness, Outcome};
//! use wasm_edge_sdk::{Failure, Message, Result, lifecycle, log, module};
//!
//! #[derive(Default)]
//! struct Gateway {
//!     linked: bool,
//! }
//!
//! #[module]
//! impl Gateway {
//!     fn init(&mut self) -> Result {
//!         log::info!("starting");
//!         Ok(())
//!     }
//!
//!     fn message(&mut self, _: &Message) {
//!         self.linked = true;
//!         lifecycle::ready();
//!     }
//!
//!     fn health(&self) -> Result {
//!         match self.linked {
//!             true => Ok(()),
//!             false => Err(Failure::reject("no link")),
//!         }
//!     }
//!
//!     fn shutdown(&mut self, grace: Duration) {
//!         log::info!("{} s left", grace.as_secs());
//!     }
//! }
//!
//! let mut gateway = Harness::<Gateway>::new();
//! assert!(gateway.start().expect_ok().logged("starting"));
//! assert_eq!(gateway.health().outcome, Outcome::Failed("no link".to_owned()));
//! assert!(gateway.message("link").expect_ok().said_ready);
//! gateway.health().expect_ok();
//! assert!(gateway.shutdown(Duration::from_secs(10)).expect_ok().logged("10 s left"));
//! ```
//!
//! # Programs with a loop of their own
//!
//! What does not fit into handlers is a plain `main` in a binary crate, which asks [`events`](crate::events) what happened.
//! A [`Delivery`](crate::events::Delivery) stays open until the program ends it; what is sent by it goes out with its `complete`.
//! Other messages of a program go out at once.
//!
//! ```
//! use std::error::Error;
//! use std::time::Duration;
//! use wasm_edge_sdk::events::{self, Event};
//! use wasm_edge_sdk::methods::Response;
//! use wasm_edge_sdk::testing::Harness;
//! use wasm_edge_sdk::{Outgoing, Value, log, timer};
//!
//! fn program() -> Result<(), Box<dyn Error>> {
//!     let mut seen = 0;
//!     timer::every("beat", Duration::from_secs(60))?;
//!     for event in events::all() {
//!         match event {
//!             Event::Message(delivery) => {
//!                 seen += 1;
//!                 delivery.forward().set("number", seen.to_string()).send("seen")?;
//!                 delivery.complete()?;
//!             }
//!             Event::Timer(_) => Outgoing::text("still here").send("beats")?,
//!             Event::Method(call) => call.respond(Response::ok(&seen))?,
//!             Event::Desired(update) => log::info!("version {:?}", update.version()),
//!             Event::Shutdown(grace) => log::info!("{} s to end in", grace.as_secs()),
//!         }
//!     }
//!     Ok(())
//! }
//!
//! // In a program's own tests: `Harness::program(main)`.
//! let mut program = Harness::program(program);
//! assert!(program.start().expect_ok().logged("version Some(1)"));
//! let handled = program.message("hello").expect_ok();
//! assert_eq!(handled.only_sent().property("number"), Some("1"));
//! assert_eq!(program.advance(Duration::from_secs(180)).expect_ok().sent_on("beats").count(), 3);
//! assert_eq!(program.method("count", Value::Null).response().payload, "1");
//! program.shutdown(Duration::from_secs(10)).expect_ok();
//! ```
//!
//! # Testing
//!
//! Everything above was tested by a [`Harness`](crate::testing::Harness), which works in `cargo test` as here:
//!
//! ```
//! # use wasm_edge_sdk::{Message, Result, module};
//! # #[derive(Default)]
//! # struct Echo;
//! # #[module]
//! # impl Echo {
//! #     fn message(&mut self, message: &Message) -> Result {
//! #         Ok(message.forward().send("echo")?)
//! #     }
//! # }
//! #[cfg(test)]
//! mod tests {
//!     use super::*;
//!     use wasm_edge_sdk::testing::Harness;
//!
//!     #[test]
//!     fn an_echo_is_what_was_said() {
//!         let handled = Harness::<Echo>::new().message("hello").expect_ok();
//!         assert_eq!(handled.only_sent().text(), "hello");
//!     }
//! }
//! # let handled = wasm_edge_sdk::testing::Harness::<Echo>::new().message("hello").expect_ok();
//! # assert_eq!(handled.only_sent().text(), "hello");
//! ```
//!
//! What a module sent may be handed to the next: `next.message(handled.only_sent())`.
//!
//! # Building
//!
//! A module with handlers is a library with `crate-type = ["cdylib"]`, a program a binary.
//! Both are built for `wasm32-wasip2`; `opt-level = "s"`, `lto = "fat"`, `codegen-units = 1`, `panic = "abort"` and `strip = "symbols"` in the release profile keep them small.
