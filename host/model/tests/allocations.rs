//! Evaluating conditions allocates nothing on the common paths: a device does it for every message and route.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use allocation_counter::measure;
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::message::{Message, MessageSource, read_message};
use wasm_edge_model::route::condition::{BodyCache, Compatibility, Condition, Facts, Truth};

fn message() -> Message {
    let text = r#"{
        "properties": { "temperature": "31.5", "status": "hot", "name": "sensor-1" },
        "systemProperties": { "contentType": "application/json", "contentEncoding": "utf-8" },
        "body": { "room": "cellar", "values": [1, 2.5, { "deep": "x" }], "flag": true, "text": "a\nb" }
    }"#;
    read_message(text).unwrap()
}

/// How often memory was allocated while each condition was evaluated once, with a body of its own or a used one.
fn allocations(conditions: &[&str], body: &mut BodyCache) -> u64 {
    let conditions = conditions.iter().map(|text| {
        let condition = Condition::parse(text, Compatibility::Documented, None);
        condition.unwrap_or_else(|error| panic!("{text}: {error}"))
    });
    let conditions: Vec<Condition> = conditions.collect();
    let (message, device) = (message(), DeviceId::new("d").unwrap());
    let source = MessageSource::Module {
        module: ModuleId::new("m").unwrap(),
        output: None,
    };
    let facts = Facts {
        source: Some(&source),
        device: Some(&device),
        enqueued_time: Some("2026-01-02T03:04:05Z"),
    };
    let counted = measure(|| {
        for condition in &conditions {
            let truth = condition.evaluate(&message, facts, body);
            assert_eq!(truth, Truth::True, "{condition:?}");
        }
    });
    counted.count_total
}

#[test]
fn properties_are_compared_where_they_are() {
    let conditions = [
        "status = 'hot'",
        "STATUS != 'cold' AND name > 'a'",
        "as_number(temperature) > 30 AND as_number(temperature) * 2 + 1 < 100",
        "$connectionDeviceId = 'd' AND $connectionModuleId = 'm' OR $contentType = 'x'",
        "starts_with(name, 'sensor') AND ends_with(name, '1') AND contains(name, '-')",
        "index_of(name, '-') = 6 AND length(name) = 8",
        "substring(name, 7) = '1' AND substring(name, 0, 6) = 'sensor'",
        "is_defined(status) AND NOT is_defined(humidity)",
        "(humidity ?? status) = 'hot'",
        "lower(status) = 'hot'",
        "power(2, 3) = 8 AND floor(as_number(temperature)) = 31",
        "enqueuedTime = 'x' OR $enqueuedTime >= '2026'",
    ];
    assert_eq!(allocations(&conditions, &mut BodyCache::new()), 0);
}

#[test]
fn a_body_is_read_once_whatever_the_number_of_conditions() {
    let conditions = [
        "$body.room = 'cellar'",
        "$body.values[1] = 2.5 AND $body.values[2].deep = 'x'",
        "$body.flag AND is_array($body.values)",
        "length($body.text) = 3 AND NOT is_defined($body.none)",
    ];
    let one = allocations(&conditions[..1], &mut BodyCache::new());
    assert!(
        (1..=6).contains(&one),
        "{one} allocations for one condition"
    );
    let hundred = conditions.repeat(25);
    assert_eq!(allocations(&hundred, &mut BodyCache::new()), one);
}

#[test]
fn a_cache_that_was_used_before_needs_no_more_memory() {
    let mut body = BodyCache::new();
    let conditions = ["$body.room = 'cellar'", "$body.text != 'x'"];
    assert!(allocations(&conditions, &mut body) > 0);
    body.clear();
    assert_eq!(allocations(&conditions, &mut body), 0);
}

#[test]
fn a_body_that_no_condition_needs_is_not_read() {
    let conditions = ["status = 'hot' OR $body.room = 'cellar'"];
    assert_eq!(allocations(&conditions, &mut BodyCache::new()), 0);
}
