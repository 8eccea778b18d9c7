//! Sends requests to the hub's REST face and sees that each is answered by what it is about: no
//! fault of the hub's, always JSON, and with every document readable afterwards.
//!
//! The first byte chooses the request, the second what it expects of etags; the rest is its body.
#![no_main]

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use bytes::Bytes;
use futures_util::stream;
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower_service::Service as _;
use wasm_edge_hub::hub::{Hub, HubOptions};
use wasm_edge_hub::store::{
    ChangeFeed, Collection, Document, DocumentKey, Expected, HubStore, Listing, Revision,
    StoreFuture, Swap,
};
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity};
use wasm_edge_store::volume::simulated::SimulatedVolume;

/// What is asked for, each with the body.
const REQUESTS: [(&str, &str); 14] = [
    ("PUT", "/devices/d"),
    ("PUT", "/devices/new"),
    ("PUT", "/devices/d/modules/m"),
    ("PUT", "/devices/d/modules/new"),
    ("POST", "/devices"),
    ("PATCH", "/twins/d"),
    ("PUT", "/twins/d"),
    ("PATCH", "/twins/d/modules/m"),
    ("PUT", "/twins/d/modules/m"),
    ("POST", "/twins/d/methods"),
    ("POST", "/twins/d/modules/m/methods"),
    ("POST", "/devices/d/applyConfigurationContent"),
    ("POST", "/wasm-edge/v1/devices/d/messages/devicebound"),
    ("DELETE", "/devices/d"),
];

/// What is looked at after each request.
const LOOKED_AT: [&str; 6] = [
    "/devices",
    "/devices/d",
    "/devices/d/modules",
    "/twins/d",
    "/twins/d/modules/m",
    "/devices/new",
];

/// Documents in memory: nothing of them fails.
#[derive(Debug, Default)]
struct Memory(Mutex<State>);

#[derive(Debug, Default, Clone)]
struct State {
    documents: BTreeMap<DocumentKey, Document>,
    revision: u64,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HubStore for Memory {
    fn read<'a>(&'a self, key: &'a DocumentKey) -> StoreFuture<'a, Option<Document>> {
        Box::pin(ready(Ok(self.state().documents.get(key).cloned())))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a DocumentKey,
        expected: Expected,
        content: Option<Bytes>,
    ) -> StoreFuture<'a, Swap> {
        let mut state = self.state();
        let found = state.documents.get(key).map(|found| found.revision);
        let as_expected = match expected {
            Expected::Absent => found.is_none(),
            Expected::Revision(revision) => found == Some(revision),
        };
        if !as_expected {
            return Box::pin(ready(Ok(Swap::Conflict)));
        }
        state.revision += 1;
        let revision = Revision(state.revision);
        match content {
            Some(content) => {
                let document = Document { revision, content };
                state.documents.insert(key.clone(), document);
            }
            None => {
                state.documents.remove(key);
            }
        }
        Box::pin(ready(Ok(Swap::Done(revision))))
    }

    fn scan<'a>(
        &'a self,
        collection: &'a Collection,
        after: Option<&'a DocumentKey>,
        limit: usize,
    ) -> StoreFuture<'a, Listing> {
        let state = self.state();
        let prefix = collection.prefix();
        let mut wanted = state.documents.iter().filter(|(key, _)| {
            key.as_str().starts_with(&prefix) && after.is_none_or(|after| *key > after)
        });
        let page = wanted.by_ref().take(limit);
        let documents = page.map(|(key, document)| (key.clone(), document.clone()));
        let documents = documents.collect();
        let more = wanted.next().is_some();
        Box::pin(ready(Ok(Listing { documents, more })))
    }

    fn changes(&self, _device: &DeviceId) -> ChangeFeed {
        Box::pin(stream::pending())
    }
}

struct World {
    runtime: Runtime,
    hub: Hub,
    store: Arc<Memory>,
    /// What every request finds.
    begin: State,
}

static WORLD: LazyLock<Mutex<World>> = LazyLock::new(|| Mutex::new(World::new()));

impl World {
    fn new() -> Self {
        // Time that passes only where all wait for it: nobody waits for a method's target.
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime starts");
        let store = Arc::new(Memory::default());
        let documents: Arc<dyn HubStore> = store.clone();
        let volume = Arc::new(SimulatedVolume::new(1));
        let hub = Hub::with_store(documents, volume, HubOptions::new("hub.test"));
        let hub = hub.expect("a hub opens on empty places");
        let device = DeviceId::new("d").expect("it is an id");
        let module = ModuleIdentity {
            device: device.clone(),
            module: ModuleId::new("m").expect("it is an id"),
        };
        runtime.block_on(async {
            hub.ensure_device(&device).await.expect("nothing fails");
            hub.ensure_module(&module).await.expect("nothing fails");
        });
        let begin = store.state().clone();
        Self {
            runtime,
            hub,
            store,
            begin,
        }
    }

    /// Asks and answers with the status and the body, once it was seen that both are in order.
    fn ask(&self, method: &str, path: &str, if_match: Option<&str>, body: &[u8]) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(etag) = if_match {
            request = request.header("if-match", etag);
        }
        let request = request.body(Body::from(body.to_vec())).expect("it is one");
        let mut rest = self.hub.rest();
        self.runtime.block_on(async {
            let response = rest.call(request).await.expect("the face always answers");
            let status = response.status();
            let has_code = response.headers().contains_key("iothub-errorcode");
            let body = to_bytes(response.into_body(), usize::MAX).await;
            let body = body.expect("an answer has an end");
            let json = match &*body {
                [] => Value::Null,
                body => serde_json::from_slice(body).expect("a body is JSON"),
            };
            assert!(!status.is_server_error(), "{method} {path}: {json}");
            let is_bulk = json["isSuccessful"].is_boolean();
            let is_error = status.is_client_error() && !is_bulk;
            assert_eq!(is_error, has_code, "{method} {path}: {json}");
            assert_eq!(is_error, json["Message"].is_string(), "{json}");
            (status.as_u16(), json)
        })
    }
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let [request, etag, body @ ..] = data else {
        return Corpus::Reject;
    };
    let Some((method, path)) = REQUESTS.get(usize::from(*request)) else {
        return Corpus::Reject;
    };
    let if_match = match etag {
        b'*' => Some("\"*\""),
        b'=' => Some("\"MQ==\""),
        b'-' => None,
        _ => return Corpus::Reject,
    };
    let world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    *world.store.state() = world.begin.clone();
    world.ask(method, path, if_match, body);
    for path in LOOKED_AT {
        let (status, _) = world.ask("GET", path, None, &[]);
        assert!(matches!(status, 200 | 404), "{path}: {status}");
    }
    Corpus::Keep
});
