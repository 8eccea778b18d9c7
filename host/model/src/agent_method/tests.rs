use proptest::prelude::*;
use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-08-01T10:00:00Z".parse().unwrap()
}

fn parse(name: &str, payload: &Value) -> Result<AgentMethod, AgentMethodError> {
    AgentMethod::parse(name, &payload.to_string(), now())
}

fn check(name: &str, payload: Value, expected: AgentMethod) {
    assert_eq!(parse(name, &payload), Ok(expected), "{name} {payload}");
}

fn refused(name: &str, payload: Value, expected: &str) {
    let error = parse(name, &payload).unwrap_err().to_string();
    assert!(error.contains(expected), "{name} {payload}: {error}");
}

fn item(id: &str) -> LogItem {
    LogItem {
        id: id.to_owned(),
        since: None,
        until: None,
        tail: None,
        severity: None,
        pattern: None,
    }
}

fn logs(items: Vec<LogItem>) -> LogRequest {
    LogRequest {
        items,
        encoding: LogEncoding::None,
        content: LogContent::Text,
    }
}

#[test]
fn ping_takes_anything() {
    for payload in ["", "null", "\"\"", "{}", "[1]", "not JSON"] {
        let parsed = AgentMethod::parse("PING", payload, now());
        assert_eq!(parsed, Ok(AgentMethod::Ping), "{payload}");
    }
}

#[test]
fn names_of_methods_and_members_are_read_in_any_case() {
    let module = ModuleId::new("modA").unwrap();
    let expected = AgentMethod::RestartModule { module };
    let payload = json!({ "schemaVersion": "1.0", "id": "modA" });
    check("RestartModule", payload.clone(), expected.clone());
    check("restartmodule", payload, expected.clone());
    let payload = json!({ "SCHEMAVERSION": "1.3", "Id": "modA", "more": [1] });
    check("RESTARTMODULE", payload, expected);
}

#[test]
fn a_request_for_logs_has_items_with_filters() {
    let payload = json!({
        "schemaVersion": "1.0",
        "items": [
            { "id": "edge.*", "filter": {
                "tail": 10, "since": "1h", "until": 1_785_578_400, "loglevel": "3", "regex": "fail" } },
            { "id": "all", "filter": null },
            { "id": "b", "filter": { "tail": null, "regex": "", "since": "" } },
        ],
        "encoding": "GZip",
        "contentType": "json",
    });
    let expected = LogRequest {
        items: vec![
            LogItem {
                since: Some("2026-08-01T09:00:00Z".parse().unwrap()),
                until: Some(now()),
                tail: Some(10),
                severity: Some(3),
                pattern: Some("fail".to_owned()),
                ..item("edge.*")
            },
            item("all"),
            item("b"),
        ],
        encoding: LogEncoding::Gzip,
        content: LogContent::Json,
    };
    check(
        "GetModuleLogs",
        payload.clone(),
        AgentMethod::GetModuleLogs(expected.clone()),
    );
    let mut upload = payload;
    upload["sasUrl"] = json!("https://a.example/logs?sig=s");
    let container = BlobContainer::parse("https://a.example/logs?sig=s").unwrap();
    let expected = AgentMethod::UploadModuleLogs {
        logs: expected,
        container,
    };
    check("UploadModuleLogs", upload, expected);
    let least = json!({ "schemaVersion": "1", "items": [{ "id": "a" }] });
    let expected = AgentMethod::GetModuleLogs(logs(vec![item("a")]));
    check("GetModuleLogs", least, expected);
}

#[test]
fn a_bundle_and_a_task_are_asked_for() {
    let url = "https://a.example/logs?sig=s";
    let container = BlobContainer::parse(url).unwrap();
    let expected = |bundle| AgentMethod::UploadSupportBundle {
        bundle,
        container: container.clone(),
    };
    check(
        "UploadSupportBundle",
        json!({ "sasUrl": url }),
        expected(BundleRequest::default()),
    );
    let payload = json!({ "schemaVersion": "1.0", "sasUrl": url, "since": "1d", "until": "0s", "edgeRuntimeOnly": true });
    let bundle = BundleRequest {
        since: Some("2026-07-31T10:00:00Z".parse().unwrap()),
        until: Some(now()),
        runtime_only: true,
    };
    check("UploadSupportBundle", payload, expected(bundle));
    let correlation_id = "c1".to_owned();
    check(
        "GetTaskStatus",
        json!({ "schemaVersion": "1.0", "correlationId": "c1" }),
        AgentMethod::GetTaskStatus { correlation_id },
    );
}

#[test]
fn what_is_no_request_is_told_why() {
    let versioned = |more: Value| {
        let mut payload = json!({ "schemaVersion": "1.0" });
        let members = payload.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        payload
    };
    refused(
        "reboot",
        json!({}),
        "Command 'reboot' not found. The supported commands are - ping,RestartModule,",
    );
    refused(
        &"x".repeat(5000),
        json!({}),
        &format!("'{}' not", "x".repeat(100)),
    );
    refused("RestartModule", json!(null), "not a JSON object");
    refused("RestartModule", json!([]), "not a JSON object");
    refused(
        "RestartModule",
        json!({ "id": "a" }),
        "`schemaVersion` is missing",
    );
    for version in ["2.0", "", "1.", "1.x", "0.9", "one", "1.0.0"] {
        let payload = json!({ "schemaVersion": version, "id": "a" });
        refused("RestartModule", payload, "is not supported");
    }
    refused(
        "RestartModule",
        json!({ "schemaVersion": 1.0 }),
        "not a text",
    );
    refused("RestartModule", versioned(json!({})), "`id` is missing");
    refused("RestartModule", versioned(json!({ "id": 5 })), "not a text");
    refused(
        "RestartModule",
        versioned(json!({ "id": "a/b" })),
        "not the name of a module",
    );
    refused(
        "GetTaskStatus",
        versioned(json!({})),
        "`correlationId` is missing",
    );
    refused(
        "GetTaskStatus",
        versioned(json!({ "correlationId": "" })),
        "not an id",
    );
    refused(
        "GetTaskStatus",
        versioned(json!({ "correlationId": "c".repeat(129) })),
        "not an id",
    );

    let logs = |more: Value| versioned(json!({ "items": [{ "id": "a", "filter": more }] }));
    let check = |payload: Value, expected: &str| refused("GetModuleLogs", payload, expected);
    check(versioned(json!({})), "`items` is missing");
    check(versioned(json!({ "items": [] })), "not a list");
    check(
        versioned(json!({ "items": vec![json!({ "id": "a" }); 257] })),
        "not a list",
    );
    check(versioned(json!({ "items": ["a"] })), "list of objects");
    check(versioned(json!({ "items": [{}] })), "`id` is missing");
    check(
        versioned(json!({ "items": [{ "id": "" }] })),
        "regular expression",
    );
    check(logs(json!(5)), "not an object");
    check(logs(json!({ "tail": -1 })), "`tail`");
    check(logs(json!({ "tail": 1.5 })), "`tail`");
    check(logs(json!({ "tail": 1_000_001 })), "`tail`");
    check(logs(json!({ "loglevel": 8 })), "from 0 to 7");
    check(
        logs(json!({ "since": "soon" })),
        "`since`: `soon` is no time",
    );
    check(logs(json!({ "until": -5 })), "`until`");
    check(logs(json!({ "regex": 5 })), "`regex`");
    let mut payload = logs(json!({}));
    payload["encoding"] = json!("zip");
    check(payload.clone(), "`none` or `gzip`");
    payload["encoding"] = json!("none");
    payload["contentType"] = json!("xml");
    check(payload, "`text` or `json`");
    refused("UploadModuleLogs", logs(json!({})), "`sasUrl` is missing");
    refused(
        "UploadSupportBundle",
        json!({ "sasUrl": "http://a.example/c?sig=secret" }),
        "use `https`",
    );
    refused(
        "UploadSupportBundle",
        json!({ "sasUrl": "https://a.example/c", "edgeRuntimeOnly": 1 }),
        "true or false",
    );
}

#[test]
fn a_signature_is_in_no_error_and_no_debug_form() {
    let secret = "Zm9vYmFy";
    for url in [
        format!("ftp://a/c?sig={secret}"),
        format!("http://a.example/c?sig={secret}"),
        format!("https://a.example?sig={secret}"),
        format!("https://a b/c?sig={secret}"),
    ] {
        let payload = json!({ "sasUrl": url });
        let error = parse("UploadSupportBundle", &payload).unwrap_err();
        assert!(!error.to_string().contains(secret), "{error}");
        assert!(!format!("{error:?}").contains(secret), "{error:?}");
    }
    let url = format!("https://a.example/c?sig={secret}");
    let parsed = parse("UploadSupportBundle", &json!({ "sasUrl": url })).unwrap();
    assert!(!format!("{parsed:?}").contains(secret), "{parsed:?}");
}

proptest! {
    #[test]
    fn no_payload_panics(name in "[a-zA-Z]{0,20}|GetModuleLogs|UploadModuleLogs", payload in "\\PC{0,100}") {
        let _ = AgentMethod::parse(&name, &payload, now());
    }
}
