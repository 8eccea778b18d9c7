use super::*;

fn asked(query: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = request(
        Method::POST,
        "/devices/query",
        None,
        json!({ "query": query }),
    );
    for (name, value) in headers {
        let name = axum::http::HeaderName::try_from(*name).unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

async fn hub_with_devices() -> Hub {
    let hub = hub();
    for name in ["a", "b", "c"] {
        let (status, _) = ask(&hub, Method::PUT, &format!("/devices/{name}"), json!({})).await;
        assert_eq!(status, 200);
    }
    hub
}

#[tokio::test]
async fn a_query_is_answered_in_pages_by_headers() {
    let hub = hub_with_devices().await;
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let headers = [("x-ms-max-item-count", "2"), ("x-ms-continuation", &*token)];
        let response = send(&hub, asked("SELECT deviceId FROM devices", &headers)).await;
        let headers = response.headers().clone();
        assert_eq!(headers["x-ms-item-type"], "Raw");
        assert_eq!(headers["content-type"], "application/json; charset=utf-8");
        let (status, items) = answer(response).await;
        assert_eq!(status, 200);
        found.extend(items.as_array().unwrap().clone());
        match headers.get("x-ms-continuation") {
            Some(next) => next.to_str().unwrap().clone_into(&mut token),
            None => break,
        }
    }
    assert_eq!(
        json!(found),
        json!([{ "deviceId": "a" }, { "deviceId": "b" }, { "deviceId": "c" }])
    );
    for (query, kind) in [
        ("SELECT * FROM devices", "Twin"),
        ("SELECT * FROM devices.modules", "Twin"),
        ("SELECT * FROM devices.jobs", "DeviceJob"),
        ("SELECT COUNT() AS n FROM devices", "Raw"),
    ] {
        // More than may be is as much as may be, and 0 is nothing said.
        for count in ["0", "1000", "4000000000"] {
            let response = send(&hub, asked(query, &[("x-ms-max-item-count", count)])).await;
            assert_eq!(response.headers()["x-ms-item-type"], kind, "{query}");
            assert_eq!(response.headers().get("x-ms-continuation"), None);
        }
    }
}

#[tokio::test]
async fn a_bad_query_is_answered_with_its_column() {
    let hub = hub_with_devices().await;
    let query = "SELECT * FROM devices WHERE tags.site = 'north";
    let expected = "the query is not understood: column 41: a text begins here and does not end; expected `'` behind it";
    check_failure(&hub, asked(query, &[]), (400, "ArgumentInvalid", expected)).await;
    let all = "SELECT * FROM devices";
    let expected = "`x-ms-max-item-count` is `-1`; expected a number from 1 to 1000";
    let negative = asked(all, &[("x-ms-max-item-count", "-1")]);
    check_failure(&hub, negative, (400, "ArgumentInvalid", expected)).await;
    let expected = "the continuation token does not belong to this query";
    let foreign = asked(all, &[("x-ms-continuation", "x")]);
    check_failure(&hub, foreign, (400, "ArgumentInvalid", expected)).await;
    let body = request(Method::POST, "/devices/query", None, json!({}));
    let expected = "the body cannot be read: missing field `query` at line 1 column 2";
    check_failure(&hub, body, (400, "ArgumentInvalid", expected)).await;
}

#[tokio::test]
async fn a_configuration_goes_through_its_life() {
    let hub = hub();
    let body = json!({ "id": "c", "targetCondition": "*",
        "content": { "deviceContent": { "properties.desired.a": 1 } } });
    let path = "/configurations/c?api-version=2021-04-12";
    let (status, made) = ask(&hub, Method::PUT, path, body.clone()).await;
    assert_eq!((status, &made["etag"]), (200, &json!("MQ==")));
    assert_eq!(get_json(&hub, path).await, made);
    assert_eq!(get_json(&hub, "/configurations").await, json!([made]));
    assert_eq!(get_json(&hub, "/configurations?top=0").await, json!([]));
    let again = request(Method::PUT, path, None, body);
    let expected = (
        409,
        "ConfigurationAlreadyExists",
        "the configuration `c` exists already",
    );
    check_failure(&hub, again, expected).await;
    let stale = request(
        Method::PUT,
        path,
        Some("\"Mg==\""),
        json!({ "priority": 3 }),
    );
    let text = "the configuration `c` was changed meanwhile: its etag is `MQ==`";
    check_failure(&hub, stale, (412, "PreconditionFailed", text)).await;
    let update = request(
        Method::PUT,
        path,
        Some("\"MQ==\""),
        json!({ "priority": 3 }),
    );
    let (status, updated) = answer(send(&hub, update).await).await;
    assert_eq!((status, &updated["priority"]), (200, &json!(3)));
    let other = json!({ "content": { "deviceContent": { "properties.desired.a": 2 } } });
    let other = request(Method::PUT, path, Some("*"), other);
    let text = "`content` of a configuration cannot be changed: delete it and make another";
    check_failure(&hub, other, (400, "InvalidConfigurationContent", text)).await;
    let delete = request(Method::DELETE, path, Some("\"*\""), Value::Null);
    assert_eq!(send(&hub, delete).await.status(), 204);
    let expected = (
        404,
        "ConfigurationNotFound",
        "there is no configuration `c`",
    );
    check_failure(&hub, get_request(path), expected).await;
    let bad = get_request("/configurations/a%5Bb");
    let text = "`a[b` is no id of a configuration: `[` cannot be in it";
    check_failure(&hub, bad, (400, "ArgumentInvalid", text)).await;
}

#[tokio::test]
async fn queries_of_a_configuration_are_tried_without_making_one() {
    let hub = hub();
    let body = json!({ "targetCondition": "tags.a = 1", "customMetricQueries": { "m": "SELECT" } });
    let (status, faults) = ask(&hub, Method::POST, "/configurations/testQueries", body).await;
    assert_eq!(
        (status, &faults["targetConditionError"]),
        (200, &Value::Null)
    );
    let fault = faults["customMetricQueryErrors"]["m"].as_str().unwrap();
    assert!(
        fault.starts_with("the metric `m` is not understood: column 7: "),
        "{fault}"
    );
    assert_eq!(get_json(&hub, "/configurations").await, json!([]));
}
