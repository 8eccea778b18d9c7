use proptest::prelude::*;
use serde_json::json;

use super::*;

fn message(body: &[u8], properties: &[(&str, &str)]) -> Message {
    Message {
        body: Bytes::copy_from_slice(body),
        properties: properties.iter().copied().collect(),
        system: SystemProperties::new(),
    }
}

#[test]
fn the_limits_of_a_message_hold() {
    let check = |message: Message, expected: &str| {
        assert_eq!(message.check().unwrap_err().to_string(), expected);
    };
    assert_eq!(message(&[0; MESSAGE_SIZE_MAX_BYTES], &[]).check(), Ok(()));
    check(
        message(&[0; MESSAGE_SIZE_MAX_BYTES - 2], &[("a", "bc")]),
        "the message has 262145 bytes, more than 262144",
    );
    let many = |count: usize| Message {
        properties: (0..count).map(|n| (n.to_string(), "")).collect(),
        ..Message::default()
    };
    assert_eq!(many(256).check(), Ok(()));
    check(many(257), "the message has 257 properties, more than 256");
    assert_eq!(message(b"", &[(&"a".repeat(128), "")]).check(), Ok(()));
    check(message(b"", &[("", "x")]), "the property name `` is empty");
    check(
        message(b"", &[(&"a".repeat(129), "")]),
        &format!(
            "the property name `{}` has more than 128 bytes",
            "a".repeat(60)
        ),
    );
    check(
        message(b"", &[("a\n", "")]),
        "the property name `a\\n` contains a control character",
    );
    check(
        message(b"", &[("$.cdid", "other")]),
        "the property name `$.cdid` begins with `$.`, which is kept for system properties",
    );
}

#[test]
fn system_properties_are_limited_and_some_set_by_the_host() {
    let with = |property, value: &str| Message {
        system: [(property, value)].into_iter().collect(),
        ..Message::default()
    };
    let check = |property, value: &str, expected: &str| {
        let error = with(property, value).check_outgoing().unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    use SystemProperty::*;
    assert_eq!(with(MessageId, &"a".repeat(128)).check_outgoing(), Ok(()));
    assert_eq!(with(UserId, &"a".repeat(1024)).check_outgoing(), Ok(()));
    check(
        MessageId,
        &"a".repeat(129),
        "the system property `messageId` has more than 128 bytes",
    );
    check(
        UserId,
        &"a".repeat(1025),
        "the system property `userId` has more than 1024 bytes",
    );
    check(
        To,
        "a\0",
        "the system property `to` contains a control character",
    );
    check(
        ConnectionModuleId,
        "a",
        "the system property `connectionModuleId` is set by the host",
    );
    assert_eq!(with(ConnectionModuleId, "a").check(), Ok(()));
}

#[test]
fn every_system_property_is_found_by_its_names() {
    assert_eq!(SystemProperty::all().len(), 20);
    for (index, property) in SystemProperty::all().enumerate() {
        assert_eq!(property as usize, index);
        assert_eq!(SystemProperty::from_name(property.name()), Some(property));
        if let Some(key) = property.wire_key() {
            assert_eq!(SystemProperty::from_wire_key(key), Some(property));
        }
    }
    let check = |name, expected| assert_eq!(SystemProperty::from_name(name), expected);
    check(
        "absoluteExpiryTime",
        Some(SystemProperty::AbsoluteExpiryTime),
    );
    check("componentName", Some(SystemProperty::ComponentName));
    check("MessageId", None);
    assert_eq!(
        SystemProperty::from_wire_key("$.on"),
        Some(SystemProperty::OutputName)
    );
    assert_eq!(SystemProperty::from_wire_key("$.xx"), None);
}

#[test]
fn properties_keep_their_order() {
    let mut properties: Properties = [("b", "1"), ("a", "2"), ("b", "3")].into_iter().collect();
    let list = |properties: &Properties| {
        properties
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(list(&properties), "b=3 a=2");
    properties.set("c", "4");
    properties.set("a", "");
    assert_eq!(list(&properties), "b=3 a= c=4");
    assert_eq!(properties.bytes(), 5);
    assert_eq!(properties.get("c"), Some("4"));
    assert_eq!(properties.remove("b").as_deref(), Some("3"));
    assert_eq!(properties.remove("b"), None);
    assert_eq!(list(&properties), "a= c=4");
    assert_eq!((properties.len(), properties.is_empty()), (2, false));
}

#[test]
fn sources_have_the_texts_of_routes() {
    let module = ModuleId::new("m").unwrap();
    let check = |source: MessageSource, expected: &str| {
        assert_eq!(source.text(), expected);
        assert_eq!(source.module().as_str(), "m");
    };
    let output = Some(OutputName::new("o").unwrap());
    check(
        MessageSource::Module {
            module: module.clone(),
            output: None,
        },
        "/messages/modules/m/",
    );
    check(
        MessageSource::Module {
            module: module.clone(),
            output,
        },
        "/messages/modules/m/outputs/o/",
    );
    check(
        MessageSource::TwinChange { module },
        "/twinChangeNotifications",
    );
}

#[test]
fn names_of_inputs_and_outputs_are_checked() {
    let check = |name: &str, expected: &str| {
        let error = InputName::new(name).unwrap_err();
        assert_eq!(error.to_string(), format!("the name `{expected}"));
        assert!(OutputName::new(name).is_err());
    };
    assert_eq!(InputName::new("in 1").unwrap().as_str(), "in 1");
    assert!(InputName::new(&"a".repeat(128)).is_ok());
    check("", "` of an input is empty");
    check("a/b", "a/b` of an input contains a `/`");
    check("a\n", "a\\n` of an input contains a control character");
    check(
        &"a".repeat(129),
        &format!("{}` of an input has more than 128 bytes", "a".repeat(60)),
    );
}

#[test]
fn a_line_is_read_as_a_message() {
    let line = MessageLine::parse(
        r#"{"input":"in","output":"out","properties":{"z":"1","a":"2"},
            "systemProperties":{"messageId":"7"},"body":{"t": 1.0}}"#,
    )
    .unwrap();
    assert_eq!(line.input.unwrap().as_str(), "in");
    assert_eq!(line.output.unwrap().as_str(), "out");
    assert_eq!(line.message.body, r#"{"t": 1.0}"#);
    assert_eq!(
        line.message.properties.iter().collect::<Vec<_>>(),
        [("z", "1"), ("a", "2")]
    );
    let system: Vec<_> = line
        .message
        .system
        .iter()
        .map(|(p, value)| (p.name(), value))
        .collect();
    let expected = [
        ("messageId", "7"),
        ("contentType", "application/json"),
        ("contentEncoding", "utf-8"),
    ];
    assert_eq!(system, expected);
}

#[test]
fn a_line_has_a_body_of_one_kind() {
    let check = |line: &str, expected: &[u8]| {
        assert_eq!(
            MessageLine::parse(line).unwrap().message.body,
            expected,
            "{line}"
        );
    };
    check("{}", b"");
    check(r#"{"body":null}"#, b"null");
    check(r#"{"body":"x"}"#, b"\"x\"");
    check(r#"{"bodyText":"ä"}"#, "ä".as_bytes());
    check(r#"{"bodyBase64":"/wA="}"#, &[255, 0]);
    let text = MessageLine::parse(r#"{"bodyText":"x"}"#).unwrap();
    assert!(text.message.system.is_empty());
    let own_type = r#"{"body":1,"systemProperties":{"contentType":"text/plain"}}"#;
    let own_type = MessageLine::parse(own_type).unwrap().message;
    assert_eq!(
        own_type.system.get(SystemProperty::ContentType),
        Some("text/plain")
    );
}

#[test]
fn other_lines_are_refused() {
    let check = |line: &str, expected: &str| {
        assert_eq!(
            MessageLine::parse(line).unwrap_err().to_string(),
            expected,
            "{line}"
        );
    };
    check(
        r#"{"body":1,"bodyText":""}"#,
        "a message has one of `body`, `bodyText` and `bodyBase64`, not 2",
    );
    check(r#"{"bodyBase64":"x"}"#, "`bodyBase64` is not base64");
    check(
        r#"{"input":"a/b"}"#,
        "the name `a/b` of an input contains a `/`",
    );
    check(
        r#"{"properties":{"a":"","a":""}}"#,
        "not a message: `a` occurs twice at line 1 column 29",
    );
    check(
        r#"{"properties":{"a":1}}"#,
        "not a message: invalid type: integer `1`, expected a string at line 1 column 20",
    );
    check(
        r#"{"properties":{"":"1"}}"#,
        "the property name `` is empty",
    );
    check(
        r#"{"Body":1}"#,
        "not a message: unknown field `Body`, expected one of `input`, `output`, `properties`, \
         `systemProperties`, `body`, `bodyText`, `bodyBase64` at line 1 column 7",
    );
    check(
        "",
        "not a message: EOF while parsing a value at line 1 column 0",
    );
    check(
        r#"{"systemProperties":{"id":"1"}}"#,
        "`id` is no system property; they are `messageId`, `correlationId`, `userId`, `to`, \
         `contentType`, `contentEncoding`, `creationTime`, `absolute-expiry-time`, \
         `messageSchema`, `dt-subject`, `iothub-interface-id`, `operation`",
    );
    let long = format!("{{\"bodyText\":\"{}\"}}", "a".repeat(LINE_MAX_BYTES));
    check(&long, "the line has 2097167 bytes, more than 2097152");
    let many: Vec<_> = (0..300).map(|n| format!("\"{n}\":\"\"")).collect();
    let many = format!("{{\"properties\":{{{}}}}}", many.join(","));
    assert!(
        MessageLine::parse(&many)
            .unwrap_err()
            .to_string()
            .contains("more than 256 properties")
    );
}

#[test]
fn a_message_is_shown_with_the_plainest_body() {
    let check = |body: &[u8], content_type: Option<&str>, expected: Value| {
        let mut message = message(body, &[("k", "v")]);
        if let Some(content_type) = content_type {
            message
                .system
                .set(SystemProperty::ContentType, content_type);
        }
        let mut json = message.to_json();
        let members = json.as_object_mut().unwrap();
        assert_eq!(members.remove("properties"), Some(json!({"k": "v"})));
        members.remove("systemProperties").unwrap();
        assert_eq!(json, expected);
    };
    check(
        b"{\"a\":1}",
        Some("application/json"),
        json!({"body": {"a": 1}}),
    );
    check(
        b"[]",
        Some("Application/JSON; charset=utf-8"),
        json!({"body": []}),
    );
    check(b"{", Some("application/json"), json!({"bodyText": "{"}));
    check(b"{}", None, json!({"bodyText": "{}"}));
    check(
        b"\xff\x00",
        Some("application/json"),
        json!({"bodyBase64": "/wA="}),
    );
    check(b"", Some("application/json"), json!({}));
}

#[test]
fn what_is_shown_can_be_fed_in_again() {
    let mut message = message(b"{\"a\":1}", &[("a", "1"), ("b", "ü")]);
    message
        .system
        .set(SystemProperty::ContentType, "application/json");
    message.system.set(SystemProperty::ContentEncoding, "utf-8");
    message
        .system
        .set(SystemProperty::AbsoluteExpiryTime, "2026-08-01T10:00:00Z");
    let mut delivered = message.clone();
    delivered
        .system
        .set(SystemProperty::ConnectionDeviceId, "d");
    delivered.system.set(SystemProperty::OutputName, "out");
    let json = delivered.to_json();
    assert_eq!(json["output"], "out");
    assert_eq!(json["systemProperties"]["connectionDeviceId"], "d");
    let line = MessageLine::parse(&json.to_string()).unwrap();
    assert_eq!(line.output.unwrap().as_str(), "out");
    assert_eq!(line.message, message);
}

proptest! {
    #[test]
    fn no_line_panics(line in ".{0,80}") {
        let _ = MessageLine::parse(&line);
    }

    #[test]
    fn every_body_survives_a_line(body in proptest::collection::vec(any::<u8>(), 0..40)) {
        let line = message(&body, &[]).to_json().to_string();
        prop_assert_eq!(MessageLine::parse(&line).unwrap().message.body, body);
    }
}

#[test]
fn a_message_of_a_file_is_taken_as_it_stands() {
    let text = r#"{
        "input": "in", "output": "out",
        "systemProperties": { "connectionModuleId": "m", "operation": "o" },
        "body": { "n": 1.10 }
    }"#;
    let message = read_message(text).unwrap();
    assert_eq!(message.body, &br#"{ "n": 1.10 }"#[..]);
    let system = |property| message.system.get(property);
    assert_eq!(system(SystemProperty::ContentType), None);
    assert_eq!(system(SystemProperty::ConnectionModuleId), Some("m"));
    assert_eq!(system(SystemProperty::Operation), Some("o"));
    assert_eq!(system(SystemProperty::InputName), Some("in"));
    assert_eq!(system(SystemProperty::OutputName), Some("out"));
    let long = format!(
        "{{\"bodyText\": \"{}\"}}",
        "x".repeat(MESSAGE_SIZE_MAX_BYTES + 1)
    );
    let error = read_message(&long).unwrap_err().to_string();
    assert!(error.starts_with("the message has 262145 bytes"), "{error}");
}

#[test]
fn sources_are_read_from_their_text() {
    let check = |text: &str, expected: Option<&str>| {
        let module = ModuleId::new("who").unwrap();
        let source = MessageSource::parse(text, module).ok();
        assert_eq!(
            source.map(|source| source.text()).as_deref(),
            expected,
            "{text}"
        );
    };
    check("/messages/modules/a", Some("/messages/modules/a/"));
    check("/Messages/Modules/a/", Some("/messages/modules/a/"));
    check(
        "/messages/modules/a/outputs/o",
        Some("/messages/modules/a/outputs/o/"),
    );
    check("/twinChangeNotifications", Some("/twinChangeNotifications"));
    check("/messages/modules/a/outputs", None);
    check("/messages/modules/a b", None);
    check("/messages/*", None);
    check("", None);
}
