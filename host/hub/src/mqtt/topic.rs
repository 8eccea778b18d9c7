//! Topics: what a client publishes to and subscribes to, and what the hub publishes to.
//!
//! Owns their forms. Leaves property bags to [`bag`]. There is no wildcard
//! matching: a client may name a handful of filters, and each stands for one
//! thing that it can hear.
//!
//! Source: Azure IoT Hub, "Communicate with your IoT hub using the MQTT protocol".

use std::fmt::{self, Write as _};

use percent_encoding::percent_decode_str;
use thiserror::Error;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::Message;
use wasm_edge_model::message::bag::{self, Toward};

/// Longest `$rid` of a request; both official SDKs send a UUID.
pub const REQUEST_ID_MAX_BYTES: usize = 256;

const HUB: &str = "$iothub/";
const TWIN_ANSWERS: &str = "$iothub/twin/res/";
const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/";
const METHODS: &str = "$iothub/methods/POST/";

/// What a client published, by its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published<'a> {
    /// Telemetry, with its property bag.
    Telemetry {
        /// For [`bag::read`].
        bag: &'a str,
    },
    /// The client asks for its twin.
    TwinGet {
        /// To be repeated in the answer.
        request_id: &'a str,
    },
    /// The client changes its reported properties.
    Report {
        /// To be repeated in the answer.
        request_id: &'a str,
        /// The version that the reported properties must have, if the client cares.
        version: Option<u64>,
    },
    /// The client answers a direct method.
    MethodAnswer {
        /// What the client says of it.
        status: i32,
        /// The one of the request.
        request_id: &'a str,
    },
}

/// Why nothing may be published to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TopicError {
    /// It is none of the hub's.
    #[error("the topic is not known")]
    Unknown,
    /// It is telemetry of another device or module.
    #[error("the topic belongs to another identity")]
    NotOwn,
    /// It is a request without an id, or with one that is too long.
    #[error("the topic has no request id of at most {REQUEST_ID_MAX_BYTES} bytes")]
    RequestId,
    /// A number in it is none.
    #[error("the topic has no number where one belongs")]
    Number,
}

/// What a client can hear of, each by its own filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subscription {
    /// `$iothub/twin/res/#`: answers to its requests about the twin.
    TwinAnswers,
    /// `$iothub/twin/PATCH/properties/desired/#`: changes of desired properties.
    Desired,
    /// `$iothub/methods/POST/#`: direct methods.
    Methods,
    /// `devices/{d}/messages/devicebound/#`: messages to the device.
    Commands,
    /// `devices/{d}/modules/{m}/inputs/#`: messages to inputs of the module, which come through a
    /// router on the device only.
    Inputs,
}

impl Subscription {
    /// All there are, in order.
    pub const ALL: [Self; 5] = [
        Self::TwinAnswers,
        Self::Desired,
        Self::Methods,
        Self::Commands,
        Self::Inputs,
    ];

    /// What `owner` subscribes to with this filter; nothing if the hub does not know it.
    pub fn of(owner: &TwinOwner, filter: &str) -> Option<Self> {
        let topic = filter.strip_suffix('#')?;
        match topic {
            TWIN_ANSWERS => return Some(Self::TwinAnswers),
            DESIRED => return Some(Self::Desired),
            METHODS => return Some(Self::Methods),
            _ => {}
        }
        let (own, rest) = split_owner(owner, topic)?;
        match (owner, rest) {
            _ if !own => None,
            (TwinOwner::Device(_), "messages/devicebound/") => Some(Self::Commands),
            (TwinOwner::Module(_), "inputs/" | "") => Some(Self::Inputs),
            _ => None,
        }
    }
}

impl<'a> Published<'a> {
    /// What `owner` says by publishing to `topic`.
    ///
    /// # Errors
    /// [`TopicError`].
    pub fn of(owner: &TwinOwner, topic: &'a str) -> Result<Self, TopicError> {
        let Some(topic) = topic.strip_prefix(HUB) else {
            return telemetry(owner, topic);
        };
        if let Some(query) = topic.strip_prefix("twin/GET/?") {
            let request_id = request_id(query)?;
            return Ok(Self::TwinGet { request_id });
        }
        if let Some(query) = topic.strip_prefix("twin/PATCH/properties/reported/?") {
            let version = parameter(query, "version");
            let version = version.map(|text| text.parse().map_err(|_| TopicError::Number));
            return Ok(Self::Report {
                request_id: request_id(query)?,
                version: version.transpose()?,
            });
        }
        let answer = topic.strip_prefix("methods/res/");
        let (status, query) = answer
            .and_then(|rest| rest.split_once("/?"))
            .ok_or(TopicError::Unknown)?;
        Ok(Self::MethodAnswer {
            status: status.parse().map_err(|_| TopicError::Number)?,
            request_id: request_id(query)?,
        })
    }
}

fn telemetry<'a>(owner: &TwinOwner, topic: &'a str) -> Result<Published<'a>, TopicError> {
    let (own, rest) = split_owner(owner, topic).ok_or(TopicError::Unknown)?;
    let bag = rest.strip_prefix("messages/events");
    let bag = match bag {
        Some("") => "",
        Some(rest) => rest.strip_prefix('/').ok_or(TopicError::Unknown)?,
        // Of a device, this is telemetry of one of its modules.
        None if rest.starts_with("modules/") => return Err(TopicError::NotOwn),
        None => return Err(TopicError::Unknown),
    };
    // One slash may stand behind the bag.
    if bag.strip_suffix('/').unwrap_or(bag).contains('/') {
        return Err(TopicError::Unknown);
    }
    if own {
        Ok(Published::Telemetry { bag })
    } else {
        Err(TopicError::NotOwn)
    }
}

/// Takes the base of an owner of this kind off a topic; and says whether it is this very owner's.
fn split_owner<'a>(owner: &TwinOwner, topic: &'a str) -> Option<(bool, &'a str)> {
    let (device, rest) = topic.strip_prefix("devices/")?.split_once('/')?;
    let own = is(device, owner.device().as_str());
    let Some(module) = owner.module() else {
        return Some((own, rest));
    };
    let Some(rest) = rest.strip_prefix("modules/") else {
        // Another kind of owner.
        return Some((false, rest));
    };
    let (name, rest) = rest.split_once('/')?;
    Some((own && is(name, module.as_str()), rest))
}

/// Whether a level of a topic is this id, percent-encoded or not: the official SDKs do not encode
/// ids, and what an id may hold a topic may not (`#`, `+`).
fn is(level: &str, id: &str) -> bool {
    level == id || percent_decode_str(level).eq(id.bytes())
}

fn request_id(query: &str) -> Result<&str, TopicError> {
    parameter(query, "rid")
        .filter(|id| !id.is_empty() && id.len() <= REQUEST_ID_MAX_BYTES)
        .ok_or(TopicError::RequestId)
}

/// The value of `$name`, as it stands there.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|entry| {
        let (key, value) = entry.split_once('=')?;
        let key = key.strip_prefix('$').or_else(|| key.strip_prefix("%24"))?;
        (key == name).then_some(value)
    })
}

/// Where the answer to a request about the twin goes.
pub fn twin_answer(status: u16, request_id: &str, version: Option<u64>) -> String {
    let mut topic = format!("{TWIN_ANSWERS}{status}/?$rid={request_id}");
    if let Some(version) = version {
        append(&mut topic, format_args!("&$version={version}"));
    }
    topic
}

/// Where a change of desired properties goes.
pub fn desired(version: u64) -> String {
    format!("{DESIRED}?$version={version}")
}

/// Where a direct method goes.
pub fn method(name: &str, request_id: &str) -> String {
    format!("{METHODS}{}/?$rid={request_id}", bag::encoded(name))
}

/// Where a message to the device `owner` goes.
pub fn command(owner: &TwinOwner, message: &Message) -> String {
    let mut topic = "devices/".to_owned();
    for character in owner.device().as_str().chars() {
        match character {
            // Clients refuse wildcards in what they receive.
            '#' => topic.push_str("%23"),
            '+' => topic.push_str("%2B"),
            other => topic.push(other),
        }
    }
    topic.push_str("/messages/devicebound/");
    bag::write(message, Toward::Receiver, &mut topic);
    topic
}

fn append(topic: &mut String, text: fmt::Arguments<'_>) {
    topic
        .write_fmt(text)
        .expect("a String takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::tests::{device, module};

    fn check(owner: &TwinOwner, topic: &str, expected: Result<Published<'_>, TopicError>) {
        assert_eq!(Published::of(owner, topic), expected, "{topic}");
    }

    #[test]
    fn telemetry_is_the_senders_own() {
        let (d, m) = (device("d1"), module("d1", "m1"));
        let bag = |bag| Ok(Published::Telemetry { bag });
        check(&d, "devices/d1/messages/events/", bag(""));
        check(&d, "devices/d1/messages/events", bag(""));
        check(&d, "devices/d1/messages/events//", bag("/"));
        check(&d, "devices/d1/messages/events/a=1&b=2", bag("a=1&b=2"));
        check(&d, "devices/d1/messages/events/a=1/", bag("a=1/"));
        check(&d, "devices/%641/messages/events/", bag(""));
        check(&m, "devices/d1/modules/m1/messages/events/x", bag("x"));
        let odd = device("a#b+c");
        check(&odd, "devices/a%23b%2Bc/messages/events/", bag(""));
        let foreign = Err(TopicError::NotOwn);
        check(&d, "devices/d2/messages/events/", foreign);
        check(&d, "devices/d10/messages/events/", foreign);
        check(&d, "devices/D1/messages/events/", foreign);
        check(&d, "devices//messages/events/", foreign);
        check(&d, "devices/d1/modules/m1/messages/events/", foreign);
        check(&m, "devices/d1/messages/events/", foreign);
        check(&m, "devices/d1/modules/m2/messages/events/", foreign);
        check(&m, "devices/d2/modules/m1/messages/events/", foreign);
        let unknown = Err(TopicError::Unknown);
        check(&d, "devices/d1/messages/events/a/b", unknown);
        check(&d, "devices/d1/messages/eventsx", unknown);
        check(&d, "devices/d1/messages/devicebound/", unknown);
        check(&d, "devices/d1", unknown);
        check(&d, "/devices/d1/messages/events/", unknown);
        check(&d, "", unknown);
        check(&d, "anything", unknown);
    }

    #[test]
    fn requests_carry_an_id_that_is_repeated_as_it_is() {
        let d = device("d1");
        let get = |request_id| Ok(Published::TwinGet { request_id });
        check(&d, "$iothub/twin/GET/?$rid=7", get("7"));
        check(&d, "$iothub/twin/GET/?%24rid=a%2Fb&x", get("a%2Fb"));
        let report = |request_id, version| {
            Ok(Published::Report {
                request_id,
                version,
            })
        };
        let reported = "$iothub/twin/PATCH/properties/reported/";
        check(&d, &format!("{reported}?$rid=7"), report("7", None));
        check(
            &d,
            &format!("{reported}?$version=4&$rid=7"),
            report("7", Some(4)),
        );
        let answer = |status, request_id| Ok(Published::MethodAnswer { status, request_id });
        check(&d, "$iothub/methods/res/200/?$rid=1f", answer(200, "1f"));
        check(&d, "$iothub/methods/res/-1/?$rid=1", answer(-1, "1"));

        let no_id = Err(TopicError::RequestId);
        check(&d, "$iothub/twin/GET/?", no_id);
        check(&d, "$iothub/twin/GET/?$rid=", no_id);
        check(&d, "$iothub/twin/GET/?rid=1", no_id);
        let long = "x".repeat(REQUEST_ID_MAX_BYTES + 1);
        check(&d, &format!("$iothub/twin/GET/?$rid={long}"), no_id);
        check(
            &d,
            &format!("$iothub/twin/GET/?$rid={}", &long[1..]),
            get(&long[1..]),
        );
        let number = Err(TopicError::Number);
        check(&d, &format!("{reported}?$rid=1&$version=x"), number);
        check(&d, "$iothub/methods/res/ok/?$rid=1", number);
        check(&d, "$iothub/methods/res/99999999999/?$rid=1", number);
        let unknown = Err(TopicError::Unknown);
        check(&d, "$iothub/twin/GET/", unknown);
        check(&d, "$iothub/twin/PATCH/properties/desired/?$rid=1", unknown);
        check(&d, "$iothub/methods/POST/x/?$rid=1", unknown);
        check(&d, "$iothub/", unknown);
    }

    #[test]
    fn filters_stand_for_one_thing_each() {
        let (d, m) = (device("d1"), module("d1", "m1"));
        let check = |owner: &TwinOwner, filter: &str, expected| {
            assert_eq!(Subscription::of(owner, filter), expected, "{filter}");
        };
        for owner in [&d, &m] {
            check(owner, "$iothub/twin/res/#", Some(Subscription::TwinAnswers));
            let desired = "$iothub/twin/PATCH/properties/desired/#";
            check(owner, desired, Some(Subscription::Desired));
            check(owner, "$iothub/methods/POST/#", Some(Subscription::Methods));
        }
        let commands = Some(Subscription::Commands);
        check(&d, "devices/d1/messages/devicebound/#", commands);
        check(&d, "devices/%64%31/messages/devicebound/#", commands);
        let inputs = Some(Subscription::Inputs);
        check(&m, "devices/d1/modules/m1/inputs/#", inputs);
        check(&m, "devices/d1/modules/m1/#", inputs);
        for filter in [
            "#",
            "+/#",
            "$iothub/#",
            "$iothub/twin/res/+",
            "$iothub/twin/res/",
            "devices/d1/#",
            "devices/+/messages/devicebound/#",
            "devices/d2/messages/devicebound/#",
            "devices/d1/messages/events/#",
            "devices/d1/modules/m1/inputs/#",
        ] {
            check(&d, filter, None);
        }
        check(&m, "devices/d1/messages/devicebound/#", None);
        check(&m, "devices/d1/modules/m1/messages/devicebound/#", None);
        check(&m, "devices/d1/modules/m2/inputs/#", None);
        check(&m, "devices/d2/modules/m1/#", None);
    }

    #[test]
    fn the_hub_publishes_to_topics_that_clients_know() {
        assert_eq!(
            twin_answer(200, "a-1", None),
            "$iothub/twin/res/200/?$rid=a-1"
        );
        assert_eq!(
            twin_answer(204, "1", Some(9)),
            "$iothub/twin/res/204/?$rid=1&$version=9"
        );
        assert_eq!(
            desired(4),
            "$iothub/twin/PATCH/properties/desired/?$version=4"
        );
        assert_eq!(
            method("re boot/+", "1f"),
            "$iothub/methods/POST/re%20boot%2F%2B/?$rid=1f"
        );
        let mut message = Message::default();
        message.properties.set("a", "b");
        assert_eq!(
            command(&device("d#1+'"), &message),
            "devices/d%231%2B'/messages/devicebound/a=b"
        );
    }
}
