//! CONNECT: who says to be whom, and what for.
//!
//! Owns reading its fields: client id, both forms of the user name, the will,
//! the keep-alive. Leaves whether the one may come in to the access rules.
//!
//! Source: Azure IoT Hub, "Communicate with your IoT hub using the MQTT protocol".

use std::time::Duration;

use percent_encoding::percent_decode_str;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode, LastWill};
use thiserror::Error;
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};
use wasm_edge_model::message::{Message, bag};

use super::frame::Violation;
use super::topic::{Published, TopicError};

/// The longest silence that the hub allows any client: 29.45 minutes, as at IoT Hub.
pub const SILENCE_MAX: Duration = Duration::from_secs(1767);

/// The property that marks a message as a will, and its value.
const WILL_PROPERTY: (&str, &str) = ("iothub-MessageType", "Will");

/// The property that marks a message that was to be retained, and its value.
const RETAIN_PROPERTY: (&str, &str) = ("mqtt-retain", "true");

/// Longest model id that is taken; longer ones are passed over.
const MODEL_ID_MAX_BYTES: usize = 256;

/// What a client says when it connects; not proven yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The hub that it wants, without a port.
    pub host_name: String,
    /// Who it says it is.
    pub owner: TwinOwner,
    /// Its token, if it has one.
    pub token: Option<String>,
    /// How long it may be silent.
    pub silence_max: Duration,
    /// Whether it wants to know nothing of what was before.
    pub clean_session: bool,
    /// What is to be sent for it when it goes without taking its leave.
    pub will: Option<Box<Message>>,
    /// The model that it says to follow.
    pub model_id: Option<String>,
}

/// A CONNECT that is answered with a code and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    /// It is of another version of the protocol.
    #[error("another version of the protocol")]
    ProtocolLevel,
    /// Its client id is none of a device or module, or not that of its user name.
    #[error("a client id that is not that of the user name")]
    ClientId,
    /// There is no room, or too much to do, at the moment.
    #[error("there is no room at the moment")]
    Unavailable,
    /// Its user name is not one.
    #[error("a malformed user name")]
    UserName,
    /// It is for another hub, or not let in.
    #[error("not authorized")]
    NotAuthorized,
}

impl Refusal {
    /// What it is called in the metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::ProtocolLevel => "protocol_level",
            Self::ClientId => "client_id",
            Self::Unavailable => "unavailable",
            Self::UserName => "user_name",
            Self::NotAuthorized => "not_authorized",
        }
    }

    /// The code on the wire.
    pub fn code(self) -> ConnectReturnCode {
        match self {
            Self::ProtocolLevel => ConnectReturnCode::RefusedProtocolVersion,
            Self::ClientId => ConnectReturnCode::BadClientId,
            Self::Unavailable => ConnectReturnCode::ServiceUnavailable,
            Self::UserName => ConnectReturnCode::BadUserNamePassword,
            Self::NotAuthorized => ConnectReturnCode::NotAuthorized,
        }
    }
}

/// Why a CONNECT is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfit {
    Refused(Refusal),
    Violation(Violation),
}

impl Greeting {
    /// Reads a CONNECT.
    pub(super) fn read(connect: Connect) -> Result<Self, Unfit> {
        let refused = Unfit::Refused;
        let owner = owner(&connect.client_id).ok_or(refused(Refusal::ClientId))?;
        let login = connect.login.ok_or(refused(Refusal::UserName))?;
        let (host_name, model_id) =
            read_user_name(&login.username, &connect.client_id).map_err(refused)?;
        let will = connect.last_will.map(|will| read_will(&owner, will));
        Ok(Self {
            token: Some(login.password).filter(|token| !token.is_empty()),
            silence_max: silence_max(connect.keep_alive),
            clean_session: connect.clean_session,
            will: will.transpose().map_err(Unfit::Violation)?.map(Box::new),
            host_name,
            model_id,
            owner,
        })
    }
}

/// `{device}` or `{device}/{module}`, never percent-encoded.
fn owner(client_id: &str) -> Option<TwinOwner> {
    let (device, module) = match client_id.split_once('/') {
        None => (client_id, None),
        Some((device, module)) => (device, Some(module)),
    };
    let device = DeviceId::new(device).ok()?;
    let Some(module) = module else {
        return Some(TwinOwner::Device(device));
    };
    let module = ModuleId::new(module).ok()?;
    Some(TwinOwner::Module(ModuleIdentity { device, module }))
}

/// Checks `{hub}/{client id}/?{parameters}`, or the old form without the `?`; answers the hub and
/// the model id.
fn read_user_name(user_name: &str, client_id: &str) -> Result<(String, Option<String>), Refusal> {
    let (host, rest) = user_name.split_once('/').ok_or(Refusal::UserName)?;
    let parameters = rest
        .strip_prefix(client_id)
        .ok_or(Refusal::ClientId)?
        .strip_prefix('/')
        .ok_or(Refusal::UserName)?;
    let parameters = parameters.strip_prefix('?').unwrap_or(parameters);
    // Some clients name the port too.
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let host = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    let value = |wanted| {
        let mut entries = parameters
            .split('&')
            .filter_map(|entry| entry.split_once('='));
        entries.find_map(|(key, value)| (key == wanted).then_some(value))
    };
    if value("api-version").is_none_or(str::is_empty) {
        return Err(Refusal::UserName);
    }
    let model_id = value("model-id").and_then(|id| percent_decode_str(id).decode_utf8().ok());
    let model_id = model_id.filter(|id| !id.is_empty() && id.len() <= MODEL_ID_MAX_BYTES);
    Ok((host.to_owned(), model_id.map(Into::into)))
}

/// One and a half times the keep-alive, at most [`SILENCE_MAX`], which also stands for none.
fn silence_max(keep_alive_seconds: u16) -> Duration {
    match keep_alive_seconds {
        0 => SILENCE_MAX,
        seconds => (Duration::from_secs(seconds.into()) * 3 / 2).min(SILENCE_MAX),
    }
}

/// A will is telemetry of its client.
fn read_will(owner: &TwinOwner, will: LastWill) -> Result<Message, Violation> {
    if will.qos == QoS::ExactlyOnce {
        return Err(Violation::ExactlyOnce);
    }
    let Published::Telemetry { bag } =
        Published::of(owner, &will.topic).map_err(Violation::Topic)?
    else {
        return Err(Violation::Topic(TopicError::Unknown));
    };
    let mut message = telemetry(bag, &will.message, will.retain)?;
    let (name, value) = WILL_PROPERTY;
    message.properties.set(name, value);
    check(&message)?;
    Ok(message)
}

/// The message that a client publishes.
pub(super) fn telemetry(bag: &str, body: &[u8], retain: bool) -> Result<Message, Violation> {
    let mut message = Message {
        // A copy: the bytes that came may be a small part of a large buffer.
        body: bytes::Bytes::copy_from_slice(body),
        ..Message::default()
    };
    bag::read(bag, &mut message).map_err(|err| Violation::Message {
        problem: err.to_string(),
    })?;
    if retain {
        let (name, value) = RETAIN_PROPERTY;
        message.properties.set(name, value);
    }
    Ok(message)
}

/// Checks the limits of a message.
pub(super) fn check(message: &Message) -> Result<(), Violation> {
    message.check().map_err(|err| Violation::Message {
        problem: err.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::tests::{device, module};

    fn connect(client_id: &str, user_name: &str) -> Connect {
        let mut connect = Connect::new(client_id);
        connect.clean_session = false;
        connect.set_login(user_name, "token");
        connect
    }

    fn check_name(client_id: &str, user_name: &str, expected: Result<TwinOwner, Refusal>) {
        let read = Greeting::read(connect(client_id, user_name));
        let found = read
            .map(|greeting| greeting.owner)
            .map_err(|unfit| match unfit {
                Unfit::Refused(refusal) => refusal,
                Unfit::Violation(violation) => panic!("{violation}"),
            });
        assert_eq!(found, expected, "{client_id} {user_name}");
    }

    #[test]
    fn both_forms_of_the_user_name_are_read() {
        let version = "api-version=2019-10-01";
        check_name("d1", &format!("hub.test/d1/?{version}"), Ok(device("d1")));
        check_name("d1", &format!("hub.test/d1/{version}"), Ok(device("d1")));
        check_name(
            "d1",
            &format!("HUB.test/d1/?a=b&{version}"),
            Ok(device("d1")),
        );
        check_name(
            "d1",
            &format!("hub.test:8883/d1/?{version}"),
            Ok(device("d1")),
        );
        let sdk = "&DeviceClientType=azure-iot-device-iothub-py%2F2.14.0%283.11%29";
        check_name(
            "d1/m1",
            &format!("hub.test/d1/m1/?{version}{sdk}"),
            Ok(module("d1", "m1")),
        );
        check_name(
            "d1/$edgeAgent",
            &format!("hub.test/d1/$edgeAgent/?{version}"),
            Ok(module("d1", "$edgeAgent")),
        );
        check_name(
            "a?b",
            &format!("hub.test/a?b/?{version}"),
            Ok(device("a?b")),
        );
    }

    #[test]
    fn the_hub_is_named_without_its_port() {
        for (host, expected) in [
            ("hub.test", "hub.test"),
            ("H:8883", "H"),
            ("", ""),
            (":1", ""),
        ] {
            let user_name = format!("{host}/d1/?api-version=1");
            let greeting = Greeting::read(connect("d1", &user_name)).unwrap();
            assert_eq!(greeting.host_name, expected);
        }
    }

    #[test]
    fn other_names_are_refused() {
        let version = "?api-version=2019-10-01";
        let check = |client_id: &str, user_name: String, refusal| {
            check_name(client_id, &user_name, Err(refusal));
        };
        check("d1", "hub.test/d1/".into(), Refusal::UserName);
        check("d1", "hub.test/d1/?api-version=".into(), Refusal::UserName);
        check(
            "d1",
            "hub.test/d1/?x=api-version=1".into(),
            Refusal::UserName,
        );
        check("d1", "hub.test/d1".into(), Refusal::UserName);
        check("d1", "d1".into(), Refusal::UserName);
        check("d1", format!("hub.test/d2/{version}"), Refusal::ClientId);
        check("d1", format!("hub.test/D1/{version}"), Refusal::ClientId);
        check("d1", format!("hub.test/d10/{version}"), Refusal::UserName);
        check("d1", format!("hub.test/d1/m1/{version}"), Refusal::UserName);
        check("d1/m1", format!("hub.test/d1/{version}"), Refusal::ClientId);
        check(
            "d1/m1",
            format!("hub.test/d1/m2/{version}"),
            Refusal::ClientId,
        );
        check("", format!("hub.test//{version}"), Refusal::ClientId);
        check("d1/", format!("hub.test/d1//{version}"), Refusal::ClientId);
        check(
            "d1/m/x",
            format!("hub.test/d1/m/x/{version}"),
            Refusal::ClientId,
        );
        check("d%31", format!("hub.test/d1/{version}"), Refusal::ClientId);
        check("a b", format!("hub.test/a b/{version}"), Refusal::ClientId);
        check(
            &"x".repeat(129),
            format!("hub.test/x/{version}"),
            Refusal::ClientId,
        );
        let anonymous = Greeting::read(Connect::new("d1"));
        assert_eq!(anonymous, Err(Unfit::Refused(Refusal::UserName)));
    }

    #[test]
    fn a_client_may_be_silent_for_one_and_a_half_keep_alives() {
        for (keep_alive, expected) in [(60, 90), (1, 1), (0, 1767), (1178, 1767), (65_535, 1767)] {
            assert_eq!(silence_max(keep_alive).as_secs(), expected, "{keep_alive}");
        }
    }

    #[test]
    fn a_client_with_a_certificate_has_no_password() {
        let mut connect = connect("d1", "hub.test/d1/?api-version=1");
        assert_eq!(
            Greeting::read(connect.clone()).unwrap().token.as_deref(),
            Some("token")
        );
        connect.set_login("hub.test/d1/?api-version=1", "");
        assert_eq!(Greeting::read(connect).unwrap().token, None);
    }

    #[test]
    fn a_will_is_the_clients_own_telemetry() {
        let check = |topic: &str, qos, retain, expected: Result<&[(&str, &str)], Violation>| {
            let mut connect = connect("d1", "hub.test/d1/?api-version=1");
            connect.last_will = Some(LastWill::new(topic, b"bye".to_vec(), qos, retain));
            match (Greeting::read(connect), expected) {
                (Ok(greeting), Ok(properties)) => {
                    let will = greeting.will.unwrap();
                    assert_eq!(will.body, "bye");
                    assert_eq!(will.properties.iter().collect::<Vec<_>>(), properties);
                }
                (Err(unfit), Err(expected)) => {
                    assert_eq!(unfit, Unfit::Violation(expected), "{topic}");
                }
                (found, expected) => panic!("{topic}: {found:?}, not {expected:?}"),
            }
        };
        let own = "devices/d1/messages/events/";
        let will = WILL_PROPERTY;
        check(own, QoS::AtLeastOnce, false, Ok(&[will]));
        let bag = format!("{own}a=1&iothub-MessageType=other");
        let expected = [("a", "1"), will, RETAIN_PROPERTY];
        check(&bag, QoS::AtMostOnce, true, Ok(&expected));
        check(own, QoS::ExactlyOnce, false, Err(Violation::ExactlyOnce));
        let foreign = Violation::Topic(TopicError::NotOwn);
        check(
            "devices/d2/messages/events/",
            QoS::AtMostOnce,
            false,
            Err(foreign),
        );
        let unknown = || Violation::Topic(TopicError::Unknown);
        check("x", QoS::AtMostOnce, false, Err(unknown()));
        check(
            "$iothub/twin/GET/?$rid=1",
            QoS::AtMostOnce,
            false,
            Err(unknown()),
        );
        let problem = "the property name `` is empty".to_owned();
        let nameless = Violation::Message { problem };
        check(&format!("{own}=1"), QoS::AtMostOnce, false, Err(nameless));
    }

    #[test]
    fn the_model_of_a_client_is_noted() {
        let name = "hub.test/d1/?api-version=2020-09-30&model-id=dtmi%3Acom%3Ax%3B1";
        let greeting = Greeting::read(connect("d1", name)).unwrap();
        assert_eq!(greeting.model_id.as_deref(), Some("dtmi:com:x;1"));
    }
}
