//! A hub with a device, and the ways to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wasm_edge_daemon::folder::DataFolder;
use wasm_edge_daemon::keys::Keyring;
use wasm_edge_daemon::provisioning::identities::Identities;
use wasm_edge_daemon::provisioning::rest::{RestOptions, RestRegistry};
use wasm_edge_daemon::provisioning::{Assignment, DeviceCredential};
use wasm_edge_daemon::upstream::iothub::line::LineSettings;
use wasm_edge_daemon::upstream::iothub::{IotHub, IotHubOptions};
use wasm_edge_daemon::upstream::{Interest, Session, SessionEvent, Upstream};
use wasm_edge_hub::hub::twins::TwinPatch;
use wasm_edge_hub::hub::{Hub, HubOptions, IfMatch};
use wasm_edge_hub::server::certificate::CertificateSource;
use wasm_edge_hub::server::names::HostName;
use wasm_edge_hub::server::{Addresses, Server, ServerLimits, ServerOptions};
use wasm_edge_model::connection_string::HostAddress;
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};
use wasm_edge_model::twin::merge_patch;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::dial::{Dialer, DialerOptions};
use wasm_edge_net::traffic::Ledger;
use wasm_edge_net::trust;

use super::super::HubUpstream;

/// How long is waited for what has to happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A hub, and a device with a way to it.
pub(super) struct Bed {
    pub(super) hub: Hub,
    pub(super) upstream: Arc<dyn Upstream>,
    _folder: (TempDir, DataFolder),
    _server: Option<Serving>,
}

/// A hub that serves on the loopback interface.
pub(super) struct Serving {
    pub(super) hub: Hub,
    pub(super) addresses: Addresses,
    folder: (TempDir, DataFolder),
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

/// The device's side of a hub on the network.
pub(super) struct Far {
    pub(super) hub: IotHub,
    pub(super) ledger: Ledger,
    pub(super) clock: HubClock,
    _folder: (TempDir, DataFolder),
}

pub(super) fn device() -> DeviceId {
    DeviceId::new("d1").unwrap()
}

pub(super) fn module(name: &str) -> ModuleIdentity {
    ModuleIdentity {
        device: device(),
        module: ModuleId::new(name).unwrap(),
    }
}

pub(super) fn owner(name: &str) -> TwinOwner {
    TwinOwner::Module(module(name))
}

pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

/// What has to come in time.
pub(super) async fn soon<T>(what: &str, coming: impl Future<Output = T>) -> T {
    let waited = timeout(PATIENCE, coming).await;
    waited.unwrap_or_else(|_| panic!("{what} did not come in time"))
}

/// A data folder that goes when it is dropped.
fn data_folder() -> (TempDir, DataFolder) {
    let folder = TempDir::new().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    (folder, data)
}

async fn open_hub(folder: &DataFolder) -> Hub {
    let dir = folder.hub().unwrap();
    let hub = Hub::open(&dir, HubOptions::new("localhost")).await.unwrap();
    hub.ensure_device(&device()).await.unwrap();
    hub
}

impl Bed {
    /// With the hub in this process.
    pub(super) async fn in_process() -> Self {
        let folder = data_folder();
        let hub = open_hub(&folder.1).await;
        Self {
            upstream: Arc::new(HubUpstream::new(hub.clone())),
            hub,
            _folder: folder,
            _server: None,
        }
    }

    /// With the hub behind TLS.
    pub(super) async fn on_the_wire() -> Self {
        let serving = Serving::start().await;
        let far = Far::to(&serving).await;
        Self {
            hub: serving.hub.clone(),
            upstream: Arc::new(far.hub),
            _folder: far._folder,
            _server: Some(serving),
        }
    }

    /// Opens the session of a module whose identity is there.
    pub(super) async fn session(&self, name: &str) -> Session {
        open(&*self.upstream, name, false).await
    }

    /// The same of one that takes direct methods.
    pub(super) async fn session_with_methods(&self, name: &str) -> Session {
        open(&*self.upstream, name, true).await
    }

    pub(super) async fn patch_desired(&self, name: &str, patch: Value) {
        patch_desired(&self.hub, name, patch).await;
    }

    /// The twin as the service sees it.
    pub(super) async fn twin(&self, name: &str) -> Value {
        self.hub.twin_json(&owner(name)).await.unwrap()
    }
}

pub(super) async fn open(upstream: &dyn Upstream, name: &str, methods: bool) -> Session {
    let opened = soon("the session", async {
        upstream.provision(module(name)).await?;
        upstream.connect(module(name), Interest { methods }).await
    });
    opened.await.unwrap()
}

pub(super) async fn patch_desired(hub: &Hub, name: &str, patch: Value) {
    let patch = json!({ "properties": { "desired": patch } });
    let patch = TwinPatch::from_json(patch).unwrap();
    let patched = hub.patch_twin(&owner(name), &patch, IfMatch::Any).await;
    patched.unwrap();
}

/// Follows desired changes as a device has to, from what is known up to a version; answers what they come to.
pub(super) async fn follow(
    session: &mut Session,
    mut desired: Map<String, Value>,
    mut version: u64,
    until: u64,
) -> Map<String, Value> {
    while version < until {
        match soon("a change", session.events.recv()).await {
            Some(SessionEvent::Desired {
                patch,
                version: next,
            }) if next == version + 1 => {
                merge_patch(&mut desired, &patch);
                version = next;
            }
            Some(SessionEvent::Desired { version: old, .. }) if old <= version => {}
            Some(SessionEvent::Desired { .. } | SessionEvent::Gap) => {
                let twin = session.calls.twin().await.unwrap();
                (desired, version) = (twin.desired, twin.desired_version);
            }
            Some(SessionEvent::Method { .. }) => panic!("nobody calls"),
            None => panic!("the session ended"),
        }
    }
    desired
}

impl Serving {
    pub(super) async fn start() -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        Self::serve(data_folder(), any, any).await
    }

    /// Where it listens: for MQTT, and for HTTPS.
    pub(super) fn place(&self) -> (SocketAddr, SocketAddr) {
        (self.addresses.mqtt[0], self.addresses.https[0])
    }

    /// Serves what a folder holds.
    pub(super) async fn serve(
        folder: (TempDir, DataFolder),
        mqtt: SocketAddr,
        https: SocketAddr,
    ) -> Self {
        let hub = open_hub(&folder.1).await;
        let options = ServerOptions {
            mqtt: vec![mqtt],
            https: vec![https],
            metrics: Vec::new(),
            certificate: CertificateSource::Authority {
                names: vec![HostName::localhost()],
            },
            client_authorities: Vec::new(),
            limits: ServerLimits::default(),
        };
        let dir = folder.1.hub().unwrap();
        let server = Server::bind(hub.clone(), &dir, options).await.unwrap();
        let addresses = server.addresses().clone();
        let stop = CancellationToken::new();
        let running = server.run(stop.clone());
        let serving = tokio::spawn(async move {
            let _ = running.await;
        });
        Self {
            hub,
            addresses,
            folder,
            stop,
            serving,
        }
    }

    /// Where it is, and which of its devices is meant.
    pub(super) fn assignment(&self) -> Assignment {
        Assignment {
            hub: HostAddress::parse("localhost").unwrap(),
            gateway: Some(HostAddress::parse("localhost").unwrap()),
            device: device(),
            mqtt_port: self.addresses.mqtt[0].port(),
            https_port: self.addresses.https[0].port(),
        }
    }

    /// Ends; what it kept stays.
    pub(super) async fn stop(self) -> (TempDir, DataFolder) {
        self.stop.cancel();
        soon("the server's end", self.serving).await.unwrap();
        soon("the hub's end", self.hub.ended()).await;
        self.folder
    }
}

impl Far {
    pub(super) async fn to(serving: &Serving) -> Self {
        let clock = HubClock::new(None);
        Self::with(
            serving,
            serving.assignment(),
            LineSettings::default(),
            clock,
        )
        .await
    }

    pub(super) async fn with(
        serving: &Serving,
        assignment: Assignment,
        settings: LineSettings,
        clock: HubClock,
    ) -> Self {
        let ca = serving.folder.0.path().join("hub/pki/ca.pem");
        let dialer = Dialer::new(DialerOptions {
            roots: Arc::new(trust::roots(Some(&ca)).unwrap()),
            proxy: None,
            identity: None,
            clock: clock.clone(),
            connect_timeout: Duration::from_secs(10),
        });
        let dialer = dialer.unwrap();
        let ledger = Ledger::default();
        let identity = serving.hub.identity(&TwinOwner::Device(device())).await;
        let keys = identity.unwrap().authentication.symmetric_key.unwrap();
        let registry = RestRegistry::new(RestOptions {
            assignment: serving.assignment(),
            credential: DeviceCredential::Key(keys.primary),
            dialer: dialer.clone(),
            clock: clock.clone(),
            time_from_hub: settings.time_from_hub,
            counter: ledger.counter("(identities)"),
        });
        let folder = data_folder();
        let of_device = folder.1.device(&device()).unwrap();
        let keys = Keyring::open(&of_device).unwrap();
        let identities =
            Identities::open(&assignment, Arc::new(of_device), &keys, Arc::new(registry));
        let hub = IotHub::new(IotHubOptions {
            assignment,
            dialer,
            clock: clock.clone(),
            ledger: ledger.clone(),
            settings,
            identities,
        });
        Self {
            hub,
            ledger,
            clock,
            _folder: folder,
        }
    }
}
