//! What a message costs on its way: staged, committed, taken, completed.
//!
//! Compared in the same run with a bounded channel that carries the same message, which is the least that any
//! way between two modules costs. Run it with `cargo bench -p wasm-edge-router`.

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use tokio::time::Instant;
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::message::{Message, OutputName, SystemProperty};
use wasm_edge_model::route::{Route, RouteName};
use wasm_edge_router::inbox::Inbox;
use wasm_edge_router::limits::Limits;
use wasm_edge_router::router::Router;
use wasm_edge_router::sender::Sender;
use wasm_edge_router::table::RouteTable;

/// Messages per measured round, so that reading the clock counts for nothing.
const MESSAGES: usize = 1_000;

fn main() {
    divan::main();
}

/// A body of 64 bytes that is shared, and one property.
fn message() -> Message {
    let mut message = Message {
        body: Bytes::from_static(&[7; 64]),
        ..Message::default()
    };
    message.properties.set("level", "high");
    message
}

/// Runs a future that never has to wait.
fn run<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

struct Ends {
    router: Router,
    sender: Sender,
    inboxes: Vec<Inbox>,
}

/// A router with one module's output routed to so many modules.
fn ends(receivers: usize) -> Ends {
    let device = DeviceId::new("Hannover01").expect("a valid id");
    let router = Router::new(device, Limits::default());
    let names: Vec<_> = (0..receivers)
        .map(|number| format!("filter{number}"))
        .collect();
    let routes = names.iter().map(|name| {
        let text = format!(
            "FROM /messages/modules/sensor/outputs/out INTO BrokeredEndpoint(\"/modules/{name}/inputs/in\")"
        );
        Route::parse(RouteName::new(name).expect("a valid name"), &text).expect("a valid route")
    });
    let two_hours = std::time::Duration::from_secs(7_200);
    let table = RouteTable::new(&routes.collect::<Vec<_>>(), Some(two_hours));
    router.apply(table.expect("few routes"));
    let module = |name: &str| ModuleId::new(name).expect("a valid id");
    let inboxes = names
        .iter()
        .map(|name| router.inbox(&module(name)))
        .collect();
    Ends {
        sender: router.sender(&module("sensor")),
        router,
        inboxes,
    }
}

fn output() -> Option<OutputName> {
    Some(OutputName::new("out").expect("a valid name"))
}

/// The message and the output's name are made as the host makes them for each call of a guest; this is what
/// of the other figures is not the way itself.
#[divan::bench]
fn making_the_message(bencher: Bencher) {
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        for _ in 0..MESSAGES {
            black_box((message(), output()));
        }
    });
}

/// Baseline: the same message through a bounded channel of tokio.
#[divan::bench]
fn channel(bencher: Bencher) {
    let (tx, mut rx) = tokio::sync::mpsc::channel(4_096);
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        for _ in 0..MESSAGES {
            tx.try_send((Arc::new(message()), output())).expect("room");
            black_box(run(rx.recv()));
        }
    });
}

/// One message to so many modules, each of which completes it.
#[divan::bench(args = [1, 4])]
fn stage_commit_next_complete(bencher: Bencher, receivers: usize) {
    way(bencher, &ends(receivers), message);
}

/// A router with so many routes from one output, each with a condition that another message fulfils.
fn conditional(routes: usize, condition: impl Fn(usize) -> String) -> Ends {
    let device = DeviceId::new("Hannover01").expect("a valid id");
    let router = Router::new(device, Limits::default());
    let table = (0..routes).map(|number| {
        let condition = condition(number);
        let text = format!(
            "FROM /messages/modules/sensor/outputs/out WHERE {condition} INTO BrokeredEndpoint('/modules/filter/inputs/in')"
        );
        Route::parse(RouteName::new("r").expect("a valid name"), &text).expect("a valid route")
    });
    let table = RouteTable::new(&table.collect::<Vec<_>>(), None);
    router.apply(table.expect("few routes"));
    let module = |name: &str| ModuleId::new(name).expect("a valid id");
    Ends {
        sender: router.sender(&module("sensor")),
        inboxes: vec![router.inbox(&module("filter"))],
        router,
    }
}

/// The way of messages that each receiver completes.
fn way(bencher: Bencher, ends: &Ends, message: impl Fn() -> Message) {
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        for _ in 0..MESSAGES {
            let staged = ends
                .sender
                .stage(output(), message(), Instant::now())
                .expect("room");
            run(ends.router.commit(None, vec![staged])).expect("one router");
            for inbox in &ends.inboxes {
                run(run(inbox.next()).complete(Vec::new())).expect("one router");
            }
        }
    });
}

/// So many routes whose conditions look at properties.
#[divan::bench(args = [1, 10, 100])]
fn routes_with_conditions(bencher: Bencher, routes: usize) {
    let ends = conditional(routes, |number| {
        format!("level = 'high' AND as_number(number) = {number}")
    });
    way(bencher, &ends, || {
        let mut message = message();
        message.properties.set("number", "0");
        message
    });
}

/// So many routes whose conditions look into the body.
#[divan::bench(args = [1, 10, 100])]
fn routes_with_conditions_on_the_body(bencher: Bencher, routes: usize) {
    let ends = conditional(routes, |number| format!("$body.machine.number = {number}"));
    let body =
        Bytes::from_static(br#"{"machine":{"temperature":21.5,"pressure":1.02,"number":0}}"#);
    way(bencher, &ends, || {
        let mut message = message();
        message.body = body.clone();
        let system = &mut message.system;
        system.set(SystemProperty::ContentType, "application/json");
        system.set(SystemProperty::ContentEncoding, "utf-8");
        message
    });
}

/// Stage and give up: what a refused or failed call costs.
#[divan::bench]
fn stage_and_drop(bencher: Bencher) {
    let ends = ends(1);
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        for _ in 0..MESSAGES {
            drop(black_box(ends.sender.stage(
                output(),
                message(),
                Instant::now(),
            )));
        }
    });
}

/// The same way with a thousand messages waiting in front.
#[divan::bench]
fn behind_a_thousand(bencher: Bencher) {
    let ends = ends(1);
    let send = || {
        let staged = ends
            .sender
            .stage(output(), message(), Instant::now())
            .expect("room");
        run(ends.router.commit(None, vec![staged])).expect("one router");
    };
    (0..1_000).for_each(|_| send());
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        for _ in 0..MESSAGES {
            send();
            run(run(ends.inboxes[0].next()).complete(Vec::new())).expect("one router");
        }
    });
}
