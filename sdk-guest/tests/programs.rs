//! The harness for programs with a loop of their own, as an author uses it.

use std::time::Duration;

use wasm_edge_sdk::events::{self, CompletionError, Delivery, Event};
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::testing::{Fault, Harness, Outcome, Sent};
use wasm_edge_sdk::{Outgoing, json, log, timer};

const SECOND: Duration = Duration::from_secs(1);

/// Completes messages by twos, so that the first of them stays in hand.
fn pairs() -> Result<(), Box<dyn std::error::Error>> {
    let mut kept: Vec<Delivery> = Vec::new();
    timer::every("beat", SECOND)?;
    for event in events::all() {
        match event {
            Event::Desired(update) => log::info!("version {:?}", update.version()),
            Event::Timer(tick) => Outgoing::text(tick.missed.to_string()).send("beats")?,
            Event::Method(call) if call.name() == "ping" => {
                call.respond(Response::ok("pong"))?;
                assert_eq!(
                    call.respond(Response::ok("twice")),
                    Err(CompletionError::AlreadyEnded)
                );
            }
            Event::Method(_) => {}
            Event::Message(delivery) => match delivery.message().text()?.as_str() {
                "panic" => panic!("as asked"),
                "error" => return Err("enough".into()),
                "reject" => delivery.reject("no")?,
                "drop" => {}
                _ => {
                    delivery.forward().set("pair", "yes").send("pairs")?;
                    kept.push(delivery);
                    if kept.len() == 2 {
                        kept.drain(..).try_for_each(|it| it.complete())?;
                    }
                }
            },
            Event::Shutdown(_) => log::info!("ends"),
        }
    }
    Ok(())
}

#[test]
fn a_delivery_stays_open_until_the_program_ends_it() {
    let mut program = Harness::program(pairs);
    let first = program.message("a");
    assert_eq!((first.outcome, first.sent), (Outcome::Kept, vec![]));
    let second = program.message("b").expect_ok();
    let texts: Vec<&str> = second.sent_on("pairs").map(Sent::text).collect();
    assert_eq!(texts, ["a", "b"]);
    assert_eq!(program.delivery(0), Outcome::Done);
    assert_eq!(
        program.message("reject").outcome,
        Outcome::Rejected("no".to_owned())
    );
    assert_eq!(
        program.message("drop").outcome,
        Outcome::Retry(Duration::ZERO)
    );
}

#[test]
fn events_come_as_the_test_says() {
    let mut program = Harness::program(pairs);
    assert!(program.start().expect_ok().logged("version Some(1)"));
    assert!(
        program
            .desired(json!({"a": 1}))
            .expect_ok()
            .logged("version Some(2)")
    );
    assert_eq!(program.advance(3 * SECOND).expect_ok().sent.len(), 3);
    assert_eq!(
        program.stall(3 * SECOND).expect_ok().only_sent().text(),
        "2"
    );
    let ping = program.method("ping", json!(null)).expect_ok();
    assert_eq!(ping.response().payload, r#""pong""#);
    assert_eq!(program.method("other", json!(null)).response, None);
    assert!(program.shutdown(SECOND).expect_ok().logged("ends"));
    assert!(!program.is_running());
}

#[test]
fn a_panic_and_an_error_end_the_program_and_the_next_call_starts_it_again() {
    let mut program = Harness::program(pairs);
    let handled = program.message("panic");
    assert!(matches!(handled.outcome, Outcome::Trapped(text) if text.contains("as asked")));
    assert!(!program.is_running());
    program.message("a");
    let handled = program.message("error");
    assert_eq!(handled.outcome, Outcome::Failed("enough".to_owned()));
    assert_eq!(program.message("a").outcome, Outcome::Kept);
}

#[test]
fn what_cannot_be_stored_comes_again() {
    let mut program = Harness::program(pairs);
    program.message("a");
    program.inject(Fault::CommitFails);
    let handled = program.message("b");
    assert_eq!(program.delivery(0), Outcome::Retry(Duration::ZERO));
    // The program gives up, with nothing sent.
    assert_eq!(handled.sent, []);
    assert!(matches!(handled.outcome, Outcome::Failed(text) if text.contains("stored")));
}

#[test]
fn time_limits_of_the_program_run_out_on_the_tests_clock() {
    let mut program = Harness::program(|| {
        let mut waits = 0;
        loop {
            match events::next(2 * SECOND) {
                Some(Event::Shutdown(_)) => return,
                Some(_) => {}
                None => waits += 1,
            }
            log::info!("waited {waits}");
        }
    });
    let handled = program.advance(7 * SECOND).expect_ok();
    assert!(handled.logged("waited 3") && !handled.logged("waited 4"));
    program.shutdown(SECOND).expect_ok();
}

#[test]
fn one_that_does_not_return_is_said_to_and_killed() {
    let mut program = Harness::program(|| while events::next(Duration::MAX).is_some() {});
    let handled = program.shutdown(SECOND);
    assert!(matches!(handled.outcome, Outcome::Failed(text) if text.contains("not returned")));
    assert!(!program.is_running());
}

#[test]
fn a_pollable_is_ready_while_there_is_an_event() {
    let mut program = Harness::program(|| {
        let pollable = events::subscribe();
        loop {
            assert!(!pollable.ready());
            pollable.block();
            assert!(pollable.ready());
            if let Some(Event::Shutdown(_)) = events::next(Duration::ZERO) {
                return;
            }
            assert!(events::next(Duration::ZERO).is_none());
        }
    });
    program.start().expect_ok();
    program.method("any", json!(null)).expect_ok();
    program.shutdown(SECOND).expect_ok();
}
