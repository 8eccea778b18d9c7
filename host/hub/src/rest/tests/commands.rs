use super::*;
use crate::hub::tests::device_id;

const PATH: &str = "/wasm-edge/v1/devices/d/messages/devicebound";

async fn waiting(hub: &Hub) -> (Value, Value) {
    let device = get_json(hub, "/devices/d").await;
    let twin = get_json(hub, "/twins/d").await;
    let listed = get_json(hub, "/devices").await;
    let count = device["cloudToDeviceMessageCount"].clone();
    assert_eq!(listed[0]["cloudToDeviceMessageCount"], count);
    (count, twin["cloudToDeviceMessageCount"].clone())
}

#[tokio::test]
async fn a_message_is_sent_counted_and_purged() {
    let (hub, _) = hub_with_module().await;
    let message = json!({ "body": { "x": 1 }, "properties": { "k": "v" },
        "systemProperties": { "messageId": "7" } });
    let path = format!("{PATH}?ack=full&expiry=2026-08-01T12:00:00Z");
    let (status, receipt) = ask(&hub, Method::POST, &path, message).await;
    let expected = json!({ "messageId": "7", "number": 1,
        "expiresAt": "2026-08-01T12:00:00.0000000Z" });
    assert_eq!((status, receipt), (201, expected));
    let (status, receipt) = ask(&hub, Method::POST, PATH, json!({})).await;
    assert_eq!((status, &receipt["number"]), (201, &json!(2)));
    assert_eq!(waiting(&hub).await, (json!(2), json!(2)));
    let command = &hub
        .pending_commands(&device_id("d"), None, 1)
        .await
        .unwrap()[0];
    assert_eq!(command.message.body, r#"{"x":1}"#);
    assert_eq!(command.ack.as_str(), "full");
    let purge = || ask(&hub, Method::DELETE, "/devices/d/commands", Value::Null);
    let purged =
        |count: usize| json!({ "totalMessagesPurged": count, "deviceId": "d", "moduleId": null });
    assert_eq!(purge().await, (200, purged(2)));
    assert_eq!(purge().await, (200, purged(0)));
    assert_eq!(waiting(&hub).await, (json!(0), json!(0)));
}

#[tokio::test]
async fn messages_that_cannot_be_sent_are_refused_with_code_and_reason() {
    let (hub, _) = hub_with_module().await;
    let post = |query: &str, body| request(Method::POST, &format!("{PATH}{query}"), None, body);
    for (query, body, reason) in [
        (
            "?ack=later",
            json!({}),
            "`ack` is `later`; expected `none`, `positive`, `negative` or `full`",
        ),
        (
            "?expiry=soon",
            json!({}),
            "`expiry`: `soon` is not a time of the form `2026-08-01T10:00:00Z`",
        ),
        (
            "?expiry=2026-08-01T10:00:00Z",
            json!({}),
            "the expiry `2026-08-01T10:00:00.0000000Z` is over; it is `2026-08-01T10:00:00.0000000Z` here",
        ),
        (
            "",
            json!({ "output": "x" }),
            "a message to a device has no `input` and no `output`",
        ),
    ] {
        check_failure(&hub, post(query, body), (400, "ArgumentInvalid", reason)).await;
    }
    let large = post("", json!({ "bodyText": "x".repeat(65_537) }));
    let reason = "the message has 65537 bytes, more than 65536";
    check_failure(&hub, large, (413, "MessageTooLarge", reason)).await;
    let unknown = PATH.replace("/d/", "/x/");
    for (method, path) in [
        (Method::POST, &*unknown),
        (Method::DELETE, "/devices/x/commands"),
    ] {
        let body = json!({});
        let expected = (404, "DeviceNotFound", "there is no `/devices/x`");
        check_failure(&hub, request(method, path, None, body), expected).await;
    }
    for _ in 0..50 {
        let (status, _) = ask(&hub, Method::POST, PATH, json!({})).await;
        assert_eq!(status, 201);
    }
    let reason = "50 messages wait for the device `d` already, as many as may";
    let expected = (403, "DeviceMaximumQueueDepthExceeded", reason);
    check_failure(&hub, post("", json!({})), expected).await;
}
