//! Compiles any text as a condition, and evaluates it for any body.
//!
//! A line of the table of cases (`host/model/tests/conditions/cases.ndjson`) is taken apart; any other text is the
//! condition up to the first line break, and the body behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use wasm_edge_model::message::{Message, SystemProperty, read_message};
use wasm_edge_model::route::condition::{BodyCache, Compatibility, Condition, Facts, Truth};

fuzz_target!(|text: &str| {
    let (condition, message) = taken_apart(text);
    for compatibility in [Compatibility::Documented, Compatibility::EdgeHub] {
        evaluate(&condition, &message, compatibility);
    }
});

fn taken_apart(text: &str) -> (String, Message) {
    if let Ok(case) = serde_json::from_str::<Value>(text) {
        let condition = case["condition"].as_str().unwrap_or_default().to_owned();
        let message = read_message(&case["message"].to_string());
        return (condition, message.unwrap_or_default());
    }
    let (condition, body) = text.split_once('\n').unwrap_or((text, ""));
    let mut message = Message::default();
    message.body = body.to_owned().into_bytes().into();
    message.properties.set("a", "5");
    message.system.set(SystemProperty::ContentType, "application/json");
    message.system.set(SystemProperty::ContentEncoding, "utf-8");
    (condition.to_owned(), message)
}

fn evaluate(text: &str, message: &Message, compatibility: Compatibility) {
    let condition = match Condition::parse(text, compatibility, None) {
        Ok(condition) => condition,
        Err(error) => {
            let characters = text.chars().count() + 1;
            assert!((1..=characters).contains(&error.column));
            assert!(error.column + error.width <= characters);
            return;
        }
    };
    let facts = Facts {
        source: None,
        device: None,
        enqueued_time: None,
    };
    let mut body = BodyCache::new();
    let truth = condition.evaluate(message, facts, &mut body);
    assert_eq!(condition.evaluate(message, facts, &mut body), truth);
    assert!(!condition.is_always() || truth == Truth::True);
    assert!(condition.never().is_none() || truth != Truth::True);
    let parts = condition.explain(message, facts, &mut body);
    assert_eq!(parts[0].value == "true", truth == Truth::True);
    assert_eq!(Condition::parse(condition.text(), compatibility, None).as_ref(), Ok(&condition));
}
