//! Topics as a module's connection has them: what it publishes to, and what the hub means by its own.
//!
//! Pure. The hub is not trusted: a topic is of a known form or means nothing.
//!
//! Source: Azure IoT Hub, "Communicate with your IoT hub using the MQTT protocol".

use percent_encoding::percent_decode_str;
use wasm_edge_model::identity::ModuleIdentity;
use wasm_edge_model::message::Message;
use wasm_edge_model::message::bag::{self, Toward};

/// The longest topic that MQTT can carry, in bytes.
const TOPIC_MAX_BYTES: usize = 65_535;

/// The longest request id of a method call that is answered; IoT Hub's are a few hexadecimal digits.
const REQUEST_ID_MAX_BYTES: usize = 256;

/// The longest name of a method, decoded, as IoT Hub has it.
const METHOD_NAME_MAX_BYTES: usize = 100;

const TWIN_ANSWERS: &str = "$iothub/twin/res/";
const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/";
const METHODS: &str = "$iothub/methods/POST/";

/// Something that a connection can hear of, by a filter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subscription {
    /// Answers to requests about the twin.
    TwinAnswers,
    /// Changes of desired properties.
    Desired,
    /// Direct methods.
    Methods,
}

/// What the hub published, by its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// An answer to a request about the twin.
    TwinAnswer {
        status: u16,
        request_id: u64,
        version: Option<u64>,
    },
    /// A change of desired properties, to this version if the topic has one.
    Desired { version: Option<u64> },
    /// A direct method. The request id goes into the answer as it is.
    Method { name: String, request_id: String },
    /// Nothing that this side asked for.
    Unknown,
}

impl Subscription {
    /// Its filter.
    pub(super) fn filter(self) -> &'static str {
        match self {
            Self::TwinAnswers => "$iothub/twin/res/#",
            Self::Desired => "$iothub/twin/PATCH/properties/desired/#",
            Self::Methods => "$iothub/methods/POST/#",
        }
    }
}

impl Heard {
    /// What is meant by a topic.
    pub(super) fn of(topic: &str) -> Self {
        let heard = if let Some(rest) = topic.strip_prefix(TWIN_ANSWERS) {
            twin_answer(rest)
        } else if let Some(rest) = topic.strip_prefix(DESIRED) {
            desired(rest)
        } else if let Some(rest) = topic.strip_prefix(METHODS) {
            method(rest)
        } else {
            None
        };
        heard.unwrap_or(Self::Unknown)
    }
}

/// Where a request for the twin goes.
pub(super) fn twin_get(request_id: u64) -> String {
    format!("$iothub/twin/GET/?$rid={request_id}")
}

/// Where a patch of reported properties goes.
pub(super) fn report(request_id: u64) -> String {
    format!("$iothub/twin/PATCH/properties/reported/?$rid={request_id}")
}

/// Where the answer to a direct method goes.
pub(super) fn method_answer(status: u32, request_id: &str) -> String {
    format!("$iothub/methods/res/{status}/?$rid={request_id}")
}

/// Where a message of a module goes; `None` if its properties make a topic that MQTT cannot carry.
pub(super) fn telemetry(module: &ModuleIdentity, message: &Message) -> Option<String> {
    let mut topic = "devices/".to_owned();
    put_id(module.device.as_str(), &mut topic);
    topic.push_str("/modules/");
    put_id(module.module.as_str(), &mut topic);
    topic.push_str("/messages/events/");
    bag::write(message, Toward::Hub, &mut topic);
    (topic.len() <= TOPIC_MAX_BYTES).then_some(topic)
}

/// An id as the official SDKs write it, but for what a topic cannot hold.
fn put_id(id: &str, topic: &mut String) {
    for character in id.chars() {
        match character {
            '#' => topic.push_str("%23"),
            '+' => topic.push_str("%2B"),
            '%' => topic.push_str("%25"),
            other => topic.push(other),
        }
    }
}

/// `{status}/?$rid={id}[&$version={n}]`.
fn twin_answer(rest: &str) -> Option<Heard> {
    let (status, query) = rest.split_once("/?")?;
    let version = parameter(query, "version").map(number);
    Some(Heard::TwinAnswer {
        status: u16::try_from(number(status)?).ok()?,
        request_id: number(parameter(query, "rid")?)?,
        // One that cannot be read is as good as none.
        version: version.flatten(),
    })
}

/// `?$version={n}`.
fn desired(rest: &str) -> Option<Heard> {
    let version = match rest.strip_prefix('?') {
        Some(query) => parameter(query, "version").and_then(number),
        None if rest.is_empty() => None,
        None => return None,
    };
    Some(Heard::Desired { version })
}

/// `{name}/?$rid={id}`.
fn method(rest: &str) -> Option<Heard> {
    let (name, query) = rest.split_once("/?")?;
    let name = percent_decode_str(name).decode_utf8().ok()?;
    let request_id = parameter(query, "rid")?;
    let is_name =
        !name.is_empty() && name.len() <= METHOD_NAME_MAX_BYTES && !name.contains(char::is_control);
    let is_id = !request_id.is_empty()
        && request_id.len() <= REQUEST_ID_MAX_BYTES
        && !request_id.contains(|c: char| c.is_control() || matches!(c, '+' | '#' | '/'));
    (is_name && is_id).then(|| Heard::Method {
        name: name.into_owned(),
        request_id: request_id.to_owned(),
    })
}

/// The value of `$name`, as it stands there.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|entry| {
        let (key, value) = entry.split_once('=')?;
        let key = key.strip_prefix('$').or_else(|| key.strip_prefix("%24"))?;
        (key == name).then_some(value)
    })
}

/// Digits, and nothing else: neither a sign nor spaces.
fn number(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use wasm_edge_model::identity::{DeviceId, ModuleId};
    use wasm_edge_model::message::SystemProperty;

    use super::*;

    fn check(topic: &str, expected: &Heard) {
        assert_eq!(Heard::of(topic), *expected, "{topic}");
    }

    #[test]
    fn answers_about_the_twin_are_told_apart_by_their_request() {
        let answer = |status, request_id, version| Heard::TwinAnswer {
            status,
            request_id,
            version,
        };
        check("$iothub/twin/res/200/?$rid=7", &answer(200, 7, None));
        check(
            "$iothub/twin/res/204/?$rid=7&$version=9",
            &answer(204, 7, Some(9)),
        );
        check(
            "$iothub/twin/res/429/?%24version=9&%24rid=18446744073709551615",
            &answer(429, u64::MAX, Some(9)),
        );
        check(
            "$iothub/twin/res/204/?$rid=7&$version=x",
            &answer(204, 7, None),
        );
        for topic in [
            "$iothub/twin/res/",
            "$iothub/twin/res/200",
            "$iothub/twin/res/200/",
            "$iothub/twin/res/200/?",
            "$iothub/twin/res/200/?rid=7",
            "$iothub/twin/res/200/?$rid=",
            "$iothub/twin/res/200/?$rid=-7",
            "$iothub/twin/res/200/?$rid=18446744073709551616",
            "$iothub/twin/res/20000000/?$rid=7",
            "$iothub/twin/res/ok/?$rid=7",
            "$iothub/twin/res/+200/?$rid=7",
        ] {
            check(topic, &Heard::Unknown);
        }
    }

    #[test]
    fn changes_of_desired_properties_have_a_version() {
        let desired = |version| Heard::Desired { version };
        let base = "$iothub/twin/PATCH/properties/desired/";
        check(&format!("{base}?$version=4"), &desired(Some(4)));
        check(&format!("{base}?$version=four"), &desired(None));
        check(&format!("{base}?"), &desired(None));
        check(base, &desired(None));
        check(&format!("{base}x?$version=4"), &Heard::Unknown);
        check(
            "$iothub/twin/PATCH/properties/reported/?$version=4",
            &Heard::Unknown,
        );
    }

    #[test]
    fn methods_have_their_names_decoded_and_their_ids_left_alone() {
        let method = |name: &str, request_id: &str| Heard::Method {
            name: name.to_owned(),
            request_id: request_id.to_owned(),
        };
        let base = "$iothub/methods/POST/";
        check(&format!("{base}reboot/?$rid=1f"), &method("reboot", "1f"));
        check(
            &format!("{base}re%20boot%2F%2B/?$rid=a%2Fb"),
            &method("re boot/+", "a%2Fb"),
        );
        let name = "x".repeat(METHOD_NAME_MAX_BYTES);
        let id = "x".repeat(REQUEST_ID_MAX_BYTES);
        check(&format!("{base}{name}/?$rid={id}"), &method(&name, &id));
        for rest in [
            "reboot".to_owned(),
            "reboot/".to_owned(),
            "reboot/?".to_owned(),
            "reboot/?$rid=".to_owned(),
            "/?$rid=1".to_owned(),
            "a%00/?$rid=1".to_owned(),
            "a%ff/?$rid=1".to_owned(),
            "a/?$rid=1#".to_owned(),
            "a/?$rid=1/+".to_owned(),
            format!("{name}x/?$rid=1"),
            format!("a/?$rid={id}x"),
        ] {
            check(&format!("{base}{rest}"), &Heard::Unknown);
        }
        check("", &Heard::Unknown);
        check("devices/d/modules/m/inputs/in/", &Heard::Unknown);
    }

    #[test]
    fn a_message_goes_to_the_topic_of_its_module() {
        let module = |device: &str, module: &str| ModuleIdentity {
            device: DeviceId::new(device).unwrap(),
            module: ModuleId::new(module).unwrap(),
        };
        let mut message = Message::default();
        let sensor = module("d1", "sensor");
        assert_eq!(
            telemetry(&sensor, &message).unwrap(),
            "devices/d1/modules/sensor/messages/events/"
        );
        message.system.set(SystemProperty::OutputName, "out");
        message.properties.set("a", "ä");
        assert_eq!(
            telemetry(&module("d#1+%'", "$edgeHub"), &message).unwrap(),
            "devices/d%231%2B%25'/modules/$edgeHub/messages/events/%24.on=out&a=%C3%A4"
        );
        // 30,000 bytes, each of which takes three.
        message.properties.set("b", "ä".repeat(15_000));
        assert_eq!(telemetry(&sensor, &message), None);
    }
}
