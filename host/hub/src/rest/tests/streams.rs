use futures_util::{FutureExt as _, StreamExt as _};
use wasm_edge_model::message::Message;

use super::*;

/// Reads a stream of JSON lines.
struct Lines(axum::body::BodyDataStream);

impl Lines {
    async fn open(hub: &Hub, path: &str) -> Self {
        let response = send(hub, get_request(path)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/x-ndjson"
        );
        Self(response.into_body().into_data_stream())
    }

    /// The next line; each comes as a piece of its own, so that it is seen at once.
    async fn next(&mut self) -> Option<Value> {
        let piece = self.0.next().await?.unwrap();
        let line = piece.strip_suffix(b"\n").expect("a line has an end");
        assert!(!line.contains(&b'\n'));
        Some(serde_json::from_slice(line).unwrap())
    }

    fn is_waiting(&mut self) -> bool {
        self.0.next().now_or_never().is_none()
    }
}

#[tokio::test]
async fn telemetry_is_streamed_by_device_and_module() {
    let (hub, owner) = hub_with_module().await;
    let (session, _events) = hub.connect(&owner).await.unwrap();
    let (agent, _agent_events) = hub.connect(&module("d", "$edgeAgent")).await.unwrap();
    let mut all = Lines::open(&hub, TELEMETRY_PATH).await;
    let mut mine = Lines::open(&hub, "/wasm-edge/v1/telemetry?device=d&module=m").await;
    let mut others = Lines::open(&hub, "/wasm-edge/v1/telemetry?device=other").await;
    let text = |text: &'static str| Message {
        body: text.into(),
        ..Message::default()
    };
    agent.send(text("1")).await.unwrap();
    session.send(text("2")).await.unwrap();
    assert_eq!(all.next().await.unwrap()["module"], "$edgeAgent");
    assert_eq!(all.next().await.unwrap()["bodyText"], "2");
    let line = mine.next().await.unwrap();
    assert_eq!(
        (&line["device"], &line["bodyText"]),
        (&json!("d"), &json!("2"))
    );
    assert!(mine.is_waiting() && others.is_waiting());
    hub.close();
    assert_eq!(
        (all.next().await, mine.next().await, others.next().await),
        (None, None, None)
    );
}

#[tokio::test]
async fn telemetry_is_read_from_any_position() {
    let (hub, owner) = hub_with_module().await;
    let (session, _events) = hub.connect(&owner).await.unwrap();
    for _ in 0..3 {
        session.send(Message::default()).await.unwrap();
    }
    for (from, expected) in [
        ("", Some("3")),
        ("?from=2", Some("2")),
        ("?from=earliest", None),
    ] {
        let request = get_request(&format!("{TELEMETRY_PATH}{from}"));
        let response = send(&hub, request).await;
        let position = response.headers().get(crate::rest::POSITION_HEADER);
        assert_eq!(position.map(|value| value.to_str().unwrap()), expected);
    }
    let mut earliest = Lines::open(&hub, "/wasm-edge/v1/telemetry?from=earliest").await;
    let mut second = Lines::open(&hub, "/wasm-edge/v1/telemetry?from=1").await;
    let mut latest = Lines::open(&hub, "/wasm-edge/v1/telemetry?from=latest").await;
    session.send(Message::default()).await.unwrap();
    for (lines, expected) in [(&mut earliest, 0), (&mut second, 1), (&mut latest, 3)] {
        for position in expected..4 {
            assert_eq!(lines.next().await.unwrap()["position"], position);
        }
        assert!(lines.is_waiting());
    }
    let (_, status) = ask(
        &hub,
        Method::GET,
        crate::rest::TELEMETRY_STATUS_PATH,
        Value::Null,
    )
    .await;
    assert!(status["bytes"].as_u64().unwrap() > 500, "{status}");
    let others = ["earliest", "next", "readers", "failing"].map(|key| status[key].clone());
    assert_eq!(others, [json!(0), json!(4), json!(3), json!(false)]);
    for (from, problem) in [
        (
            "5",
            "there is no message at position 5 yet; the next one is 4",
        ),
        (
            "-1",
            "`-1` is no position; expected `earliest`, `latest` or a number",
        ),
    ] {
        let path = format!("/wasm-edge/v1/telemetry?from={from}");
        let expected = (400, "ArgumentInvalid", problem);
        check_failure(&hub, get_request(&path), expected).await;
    }
}

#[tokio::test]
async fn a_twin_is_streamed_at_each_change() {
    let (hub, owner) = hub_with_module().await;
    let mut lines = Lines::open(&hub, "/wasm-edge/v1/twins/d/modules/m/changes").await;
    assert_eq!(
        lines.next().await,
        Some(hub.twin_json(&owner).await.unwrap())
    );
    assert!(lines.is_waiting());
    for number in 1..=100 {
        let patch = json!({ "tags": { "n": number } });
        assert_eq!(
            ask(&hub, Method::PATCH, "/twins/d/modules/m", patch)
                .await
                .0,
            200
        );
    }
    // What was not read in time comes as one.
    assert_eq!(lines.next().await.unwrap()["tags"]["n"], 100);
    assert!(lines.is_waiting());
    let other = json!({ "tags": { "n": 1 } });
    ask(&hub, Method::PATCH, "/twins/d/modules/%24edgeHub", other).await;
    let delete = request(Method::DELETE, "/devices/d/modules/m", None, Value::Null);
    assert_eq!(send(&hub, delete).await.status(), 204);
    assert_eq!(lines.next().await, None);
}

#[tokio::test]
async fn streams_of_twins_are_limited_and_those_of_nobody_refused() {
    let (hub, _) = hub_with_module().await;
    let path = "/wasm-edge/v1/twins/d/changes";
    let missing = get_request("/wasm-edge/v1/twins/x/changes");
    check_failure(
        &hub,
        missing,
        (404, "DeviceNotFound", "there is no `/devices/x`"),
    )
    .await;
    let mut open = Vec::new();
    for _ in 0..crate::hub::TWIN_READERS_MAX {
        open.push(Lines::open(&hub, path).await);
    }
    let reason = "64 readers follow twins already, as many as may";
    check_failure(
        &hub,
        get_request(path),
        (429, "ThrottlingException", reason),
    )
    .await;
    drop(open);
    Lines::open(&hub, path).await;
}
