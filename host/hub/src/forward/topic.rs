//! The topic under which a message goes on.
//!
//! `{prefix}/devices/{device}[/modules/{module}]/messages/events[/{output}]`, as IoT Hub's, less the properties.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use wasm_edge_model::message::SystemProperty;

use crate::telemetry::Telemetry;

/// What cannot stand in a part of a topic, and the character that stands for it; what is no ASCII is encoded too.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%').add(b'+').add(b'#').add(b'/');

/// The topic of a message.
pub(super) fn of(prefix: &str, telemetry: &Telemetry) -> String {
    let mut topic = prefix.to_owned();
    let mut add = |part: &str| {
        if !topic.is_empty() {
            topic.push('/');
        }
        topic.extend(utf8_percent_encode(part, ENCODED));
    };
    add("devices");
    add(telemetry.source.device().as_str());
    if let Some(module) = telemetry.source.module() {
        add("modules");
        add(module.as_str());
    }
    add("messages");
    add("events");
    if let Some(output) = telemetry.message.system.get(SystemProperty::OutputName) {
        add(output);
    }
    topic
}

#[cfg(test)]
mod tests {
    use rumqttc::mqttbytes::valid_topic;
    use wasm_edge_model::identity::TwinOwner;
    use wasm_edge_model::message::Message;

    use super::*;
    use crate::hub::tests::{NOW, device, module};

    fn check(prefix: &str, source: TwinOwner, output: Option<&str>, expected: &str) {
        let mut message = Message::default();
        if let Some(output) = output {
            message.system.set(SystemProperty::OutputName, output);
        }
        let telemetry = Telemetry {
            position: 0,
            source,
            enqueued: NOW.parse().unwrap(),
            message,
        };
        let topic = of(prefix, &telemetry);
        assert_eq!(topic, expected);
        assert!(valid_topic(&topic), "{topic}");
    }

    #[test]
    fn topics_name_the_sender_and_the_output() {
        check("", device("d"), None, "devices/d/messages/events");
        check(
            "plant/1",
            device("d"),
            None,
            "plant/1/devices/d/messages/events",
        );
        let expected = "devices/d/modules/m/messages/events/alerts";
        check("", module("d", "m"), Some("alerts"), expected);
        check(
            "",
            module("d", "$edgeHub"),
            None,
            "devices/d/modules/$edgeHub/messages/events",
        );
    }

    #[test]
    fn what_means_something_in_topics_is_encoded() {
        let expected = "devices/a%2Bb%23c%25d/messages/events";
        check("", device("a+b#c%d"), None, expected);
        let expected = "devices/d/modules/m/messages/events/%2B%23 %C3%A4";
        check("", module("d", "m"), Some("+# ä"), expected);
    }
}
