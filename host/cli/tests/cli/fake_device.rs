//! A device that answers with fixed data, on the socket of a data folder of its own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path as UrlPath, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

mod operating;

/// A running fake; it stops listening when it is dropped.
pub(crate) struct FakeDevice {
    _runtime: Runtime,
    folder: TempDir,
    requests: Requests,
}

/// What was asked: first line, etag and body of each request.
type Requests = Arc<Mutex<Vec<String>>>;

#[derive(Clone)]
struct Answers {
    devices: Vec<String>,
    requests: Requests,
}

impl FakeDevice {
    /// Starts a process that runs these devices.
    pub(crate) fn start(devices: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let requests = Requests::default();
        let devices = devices.iter().map(|id| (*id).to_owned()).collect();
        let router = router(Answers {
            devices,
            requests: Arc::clone(&requests),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let socket = folder.path().join("control.sock");
        let listener = runtime.block_on(async { UnixListener::bind(&socket).unwrap() });
        // As a device leaves its folder: with the mark of its format, and nothing for others.
        std::fs::set_permissions(&socket, Permissions::from_mode(0o600)).unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        let format = folder.path().join("format");
        std::fs::write(&format, "wasm-edge-data 1\n").unwrap();
        std::fs::set_permissions(&format, Permissions::from_mode(0o600)).unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            _runtime: runtime,
            folder,
            requests,
        }
    }

    pub(crate) fn data_folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn canonical_data_folder(&self) -> PathBuf {
        self.data_folder().canonicalize().unwrap()
    }

    /// The requests so far but for `GET /v1/info`.
    pub(crate) fn requests(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests
            .iter()
            .filter(|request| *request != "GET /v1/info")
            .cloned()
            .collect()
    }
}

fn router(answers: Answers) -> Router {
    Router::new()
        .route("/v1/info", get(info))
        .route("/v1/modules", get(modules))
        .route("/v1/modules/{device}/{module}", get(module))
        .route("/v1/logs", get(logs))
        .merge(operating::router())
        .route("/twins/{device}", get(twin).patch(patch_twin))
        .route(
            "/twins/{device}/modules/{module}",
            get(twin).patch(patch_twin),
        )
        .route(
            "/wasm-edge/v1/twins/{device}/modules/{module}/changes",
            get(changes),
        )
        .route("/wasm-edge/v1/telemetry", get(telemetry))
        .layer(axum::middleware::from_fn_with_state(
            answers.clone(),
            record,
        ))
        .with_state(answers)
}

async fn record(
    State(answers): State<Answers>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let mut line = format!("{} {}", request.method(), request.uri());
    if let Some(etag) = request.headers().get("if-match") {
        line.push_str(&format!(" if-match {}", etag.to_str().unwrap()));
    }
    answers.requests.lock().unwrap().push(line);
    next.run(request).await
}

async fn info(State(answers): State<Answers>) -> Response {
    json_response(&json!({"version": "0.1.0", "pid": 1, "devices": answers.devices}))
}

async fn modules(State(answers): State<Answers>) -> Response {
    let row = |device: &str, module: &str| {
        json!({
            "device": device, "module": module, "type": "wasm", "status": "running", "restartCount": 1,
            "image": format!("file:{module}.wasm"), "lastStartTime": null, "memoryBytes": 1_310_720,
            "messagesHandled": 12, "messagesFailed": 0, "messagesSetAside": 0, "messagesQueued": 3, "warnings": [],
        })
    };
    let device = answers.devices[0].as_str();
    let mut rows = vec![row(device, "sensor"), row(device, "filter")];
    if let Some(second) = answers.devices.get(1) {
        rows.insert(0, row(second, "sensor"));
    }
    rows[0]["status"] = json!("backoff");
    rows[0]["statusDescription"] = json!("trapped: unreachable\u{1b}[2J");
    rows[1]["warnings"] = json!(["`HostConfig.Privileged` has no meaning here"]);
    json_response(&json!({"modules": rows}))
}

async fn module(UrlPath((device, module)): UrlPath<(String, String)>) -> Response {
    if module == "filter" {
        let answer = include_str!("fake_device/filter.json");
        return ([("content-type", "application/json")], answer).into_response();
    }
    if module != "sensor" {
        let body = json!({"error": format!("no module `{module}` on the device `{device}`"), "causes": [], "hint": null});
        return (StatusCode::NOT_FOUND, body.to_string()).into_response();
    }
    json_response(&json!({
        "device": device, "module": module, "status": "running", "memoryBytes": 2048, "setAside": [],
    }))
}

/// Two lines; after them an endless stream if the lines are to be followed, or an orderly end.
async fn logs(RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let lines = concat!(
        r#"{"time":"2026-08-01T10:00:00.0000000Z","device":"d1","module":"sensor","stream":"log","#,
        r#""level":"info","text":"load 0.4","fields":{}}"#,
        "\n",
        r#"{"time":"2026-08-01T10:00:01.0000000Z","device":"d1","module":"filter","stream":"stderr","#,
        r#""level":"warn","text":"odd \u001b[31mred","fields":{"n":1}}"#,
        "\n",
    );
    if query.contains("tail=1000") {
        let endless = stream::repeat_with(move || Ok::<_, std::io::Error>(lines));
        return Body::from_stream(endless).into_response();
    }
    if query.contains("follow=true") {
        return then_silence(lines);
    }
    lines.into_response()
}

async fn telemetry() -> Response {
    let lines = concat!(
        r#"{"device":"d1","module":"filter","output":"high","enqueuedTime":"2026-08-01T10:00:00.0000000Z","#,
        r#""properties":{"level":"high"},"systemProperties":{},"body":{"load":1.5}}"#,
        "\n",
        r#"{"lost":3}"#,
        "\n",
    );
    lines.into_response()
}

async fn twin(path: UrlPath<Vec<(String, String)>>) -> Response {
    match path.0.iter().find(|(name, _)| name == "module") {
        Some((_, module)) if module == "none" => hub_error(404, "ModuleNotFound", "no such module"),
        _ => json_response(&twin_json(4, 5)),
    }
}

async fn patch_twin(State(answers): State<Answers>, headers: HeaderMap, body: String) -> Response {
    answers.requests.lock().unwrap().push(body);
    match headers.get("if-match") {
        Some(etag) if etag != "\"AAAAAAAAAAQ=\"" => {
            hub_error(412, "PreconditionFailed", "the etag differs")
        }
        _ => json_response(&twin_json(5, 7)),
    }
}

async fn changes() -> Response {
    format!("{}\n{}\n", twin_json(4, 5), twin_json(5, 7)).into_response()
}

fn twin_json(version: u64, threshold: u64) -> Value {
    json!({
        "deviceId": "d1", "moduleId": "filter", "etag": "AAAAAAAAAAQ=", "version": 9, "tags": {"site": "north"},
        "properties": {
            "desired": {"threshold": threshold, "$metadata": {"$lastUpdated": "2026-08-01T10:00:00.0000000Z"},
                "$version": version},
            "reported": {"$metadata": {}, "$version": 2},
        },
    })
}

fn hub_error(status: u16, code: &str, message: &str) -> Response {
    let body = json!({"Message": format!("ErrorCode:{code};{message}"), "ExceptionMessage": ""})
        .to_string();
    (
        StatusCode::from_u16(status).unwrap(),
        [("iothub-errorcode", code)],
        body,
    )
        .into_response()
}

fn json_response(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

/// Sends this and then nothing, without an end.
fn then_silence(lines: &'static str) -> Response {
    let first = stream::once(async move { Ok::<_, std::io::Error>(lines) });
    Body::from_stream(first.chain(stream::pending())).into_response()
}
