//! Reads any text as a topic, a filter and a property bag: what is read from what the hub writes is what was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasm_edge_hub::mqtt::topic::{self, Published, Subscription};
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::bag::{self, Toward};
use wasm_edge_model::message::{Message, SystemProperty};

fn owners() -> [TwinOwner; 3] {
    ["/devices/d1", "/devices/d1/modules/m1", "/devices/a#b+c%41"]
        .map(|text| text.parse().expect("an identity"))
}

/// The base of an owner's topics with its ids encoded, so that any id can stand in a topic.
fn base(owner: &TwinOwner) -> String {
    let device = bag::encoded(owner.device().as_str());
    match owner.module() {
        Some(module) => format!("devices/{device}/modules/{}", bag::encoded(module.as_str())),
        None => format!("devices/{device}"),
    }
}

/// What is written is read as the message that it was.
fn check_written(message: &Message, toward: Toward) -> String {
    let mut written = String::new();
    bag::write(message, toward, &mut written);
    assert!(!written.contains(['/', '+', '#', '\0', ' ']), "{written}");
    let mut again = Message::default();
    bag::read(&written, &mut again).expect("what was written is read");
    assert_eq!(again, *message, "{written}");
    written
}

fuzz_target!(|text: &str| {
    for owner in &owners() {
        let own = format!("{}/messages/events/", base(owner));
        if let Ok(Published::Telemetry { bag }) = Published::of(owner, text) {
            // Nobody else may publish there.
            for other in &owners() {
                let published = Published::of(other, text);
                assert_eq!(other == owner, published.is_ok(), "{text}");
            }
            assert!(text.ends_with(bag));
        }
        assert_eq!(
            Published::of(owner, &own),
            Ok(Published::Telemetry { bag: "" })
        );
        if let Some(subscription) = Subscription::of(owner, text) {
            assert!(text.ends_with('#'));
            assert!(Subscription::ALL.contains(&subscription));
        }
    }

    let mut message = Message::default();
    if bag::read(text, &mut message).is_err() || message.check().is_err() {
        return;
    }
    // What was read is what a sender may say.
    check_written(&message, Toward::Hub);
    message.system.remove(SystemProperty::OutputName);
    message.system.remove(SystemProperty::InterfaceId);
    let written = check_written(&message, Toward::Receiver);
    let command = topic::command(&owners()[2], &message);
    let expected = format!("devices/a%23b%2Bc%41/messages/devicebound/{written}");
    assert_eq!(command, expected);

    let request = topic::method(text, "1f");
    let name = request
        .strip_prefix("$iothub/methods/POST/")
        .and_then(|rest| rest.strip_suffix("/?$rid=1f"))
        .expect("the form of a request");
    assert!(!name.contains(['/', '+', '#', '?']), "{name}");
});
