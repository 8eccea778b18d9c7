//! A device whose hub cannot be reached: what it runs, and how it goes on when the hub is there again.
//!
//! The hub is made up here and as bad as a network makes one. Needs the compiler for a small component.

#![cfg(feature = "compiler")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use wasm_edge_daemon::agent::AgentSettings;
use wasm_edge_daemon::agent::handle::{DeploymentState, Phase};
use wasm_edge_daemon::code::CodeStore;
use wasm_edge_daemon::config::RouterConfig;
use wasm_edge_daemon::device::{Device, DeviceConfig};
use wasm_edge_daemon::folder::DataFolder;
use wasm_edge_daemon::images::ImageSupply;
use wasm_edge_daemon::supervisor::health::HealthChecks;
use wasm_edge_daemon::supervisor::life::RestartWaits;
use wasm_edge_daemon::upstream::{
    Credentials, Interest, Session, SessionCalls, SessionEvent, TwinDocument, Upstream,
    UpstreamError, Way,
};
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity};
use wasm_edge_model::message::{Message, Properties, SystemProperties};

/// A module that does nothing but become ready.
const COMPONENT: &str = r#"(component
    (core module $m (memory (export "memory") 1) (func (export "init") (result i32) (i32.const 0)))
    (core instance $i (instantiate $m))
    (func $init (result (result (error string))) (canon lift (core func $i "init") (memory $i "memory")))
    (instance $e (export "init" (func $init)))
    (export "wasm-edge:module/init@0.1.0" (instance $e)))"#;

/// A hub, or a network that does not lead there.
#[derive(Clone, Default)]
struct Hub(Arc<Mutex<HubState>>);

#[derive(Default)]
struct HubState {
    /// Whether sessions can be opened and used.
    reachable: bool,
    /// Whether identities can be made.
    provisions: bool,
    /// Whether messages are taken.
    takes: bool,
    twins: BTreeMap<ModuleId, TwinDocument>,
    sessions: Vec<(ModuleId, mpsc::Sender<SessionEvent>)>,
    sent: Vec<ModuleId>,
    /// Messages that were not taken.
    turned_away: usize,
    deleted: Vec<ModuleId>,
}

fn away() -> UpstreamError {
    UpstreamError::Unreachable {
        cause: "no route to host".to_owned(),
    }
}

impl Hub {
    fn online() -> Self {
        let hub = Self::default();
        hub.change(|state| {
            (state.reachable, state.provisions, state.takes) = (true, true, true);
        });
        hub
    }

    fn change<T>(&self, change: impl FnOnce(&mut HubState) -> T) -> T {
        change(&mut self.0.lock().expect("no test panics with it"))
    }

    /// The network goes: sessions end, and nothing can be asked for.
    fn cut(&self) {
        self.change(|state| {
            (state.reachable, state.provisions, state.takes) = (false, false, false);
            state.sessions.clear();
        });
    }

    /// Puts other desired properties in place, in a new version, and tells who is connected.
    fn desire(&self, module: ModuleId, desired: &Value) {
        let desired = desired.as_object().expect("an object").clone();
        self.change(|state| {
            let twin = state.twins.entry(module.clone()).or_default();
            twin.desired = desired;
            twin.desired_version += 1;
            for (id, events) in &state.sessions {
                if *id == module {
                    events.try_send(SessionEvent::Gap).expect("there is room");
                }
            }
        });
    }

    fn reported(&self, module: &ModuleId) -> Map<String, Value> {
        let reported = |state: &mut HubState| Some(state.twins.get(module)?.reported.clone());
        self.change(reported).unwrap_or_default()
    }
}

impl Upstream for Hub {
    fn host_name(&self) -> String {
        "hub.example".to_owned()
    }

    fn provision(
        &self,
        module: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Credentials, UpstreamError>> {
        let answer = self.change(|state| {
            if !state.provisions {
                return Err(away());
            }
            state.twins.entry(module.module.clone()).or_default();
            Ok(Credentials {
                generation_id: format!("generation of {}", module.module),
                primary_key: b"key".to_vec().into(),
            })
        });
        Box::pin(std::future::ready(answer))
    }

    fn deprovision(&self, module: ModuleIdentity) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let answer = self.change(|state| {
            if !state.provisions {
                return Err(away());
            }
            state.deleted.push(module.module);
            Ok(())
        });
        Box::pin(std::future::ready(answer))
    }

    fn connect(
        &self,
        module: ModuleIdentity,
        _: Interest,
    ) -> BoxFuture<'static, Result<Session, UpstreamError>> {
        let answer = self.change(|state| {
            if !state.reachable {
                return Err(away());
            }
            let (sender, events) = mpsc::channel(16);
            state.sessions.push((module.module.clone(), sender));
            Ok(events)
        });
        let calls = Calls {
            hub: self.clone(),
            module: module.module,
        };
        Box::pin(std::future::ready(answer.map(|events| Session {
            calls: Arc::new(calls),
            events,
            generation_id: None,
        })))
    }
}

struct Calls {
    hub: Hub,
    module: ModuleId,
}

impl Calls {
    fn ask<T: Send + 'static>(
        &self,
        answer: impl FnOnce(&mut HubState, ModuleId) -> Result<T, UpstreamError>,
    ) -> BoxFuture<'static, Result<T, UpstreamError>> {
        let module = self.module.clone();
        let answer = self.hub.change(|state| match state.reachable {
            true => answer(state, module),
            false => Err(away()),
        });
        Box::pin(std::future::ready(answer))
    }
}

impl SessionCalls for Calls {
    fn twin(&self) -> BoxFuture<'static, Result<TwinDocument, UpstreamError>> {
        self.ask(|state, module| Ok(state.twins.entry(module).or_default().clone()))
    }

    fn report(
        &self,
        patch: Map<String, Value>,
    ) -> BoxFuture<'static, Result<Option<u64>, UpstreamError>> {
        self.ask(move |state, module| {
            let twin = state.twins.entry(module).or_default();
            wasm_edge_model::twin::merge_patch(&mut twin.reported, &patch);
            twin.reported_version += 1;
            Ok(Some(twin.reported_version))
        })
    }

    fn accept_methods(&self, _: bool) -> BoxFuture<'static, Result<(), UpstreamError>> {
        self.ask(|_, _| Ok(()))
    }

    fn send(&self, _: Arc<Message>) -> BoxFuture<'static, Result<(), UpstreamError>> {
        self.ask(|state, module| {
            if !state.takes {
                state.turned_away += 1;
                return Err(away());
            }
            state.sent.push(module);
            Ok(())
        })
    }
}

struct Bed {
    folder: DataFolder,
    code: CodeStore,
    temp: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        let temp = tempfile::tempdir().expect("a folder");
        std::fs::write(
            temp.path().join("m.wasm"),
            wat::parse_str(COMPONENT).expect("a component"),
        )
        .expect("it is there");
        let folder = DataFolder::open(&temp.path().join("data")).expect("it is there");
        let code =
            CodeStore::open(&folder.precompiled().expect("it is there")).expect("it is there");
        Self { folder, code, temp }
    }

    fn start(&self, hub: &Hub) -> Device {
        let device = DeviceId::new("d").expect("valid");
        let started = Device::start(DeviceConfig {
            folder: self.folder.device(&device).expect("it is there"),
            device,
            own_folder: self.folder.path().to_owned(),
            upstream: Way::Embedded(Arc::new(hub.clone())),
            code: self.code.clone(),
            images: ImageSupply::open_without_registries(&self.folder).expect("it opens"),
            restart_waits: RestartWaits::default(),
            health_checks: HealthChecks::default(),
            agent: AgentSettings {
                file_images: true,
                ..AgentSettings::default()
            },
            router: RouterConfig::default(),
            uploads: wasm_edge_daemon::uploads::Uploads::default(),
            ledger: None,
        });
        let started = started.expect("it starts");
        started.agent().follow();
        started
    }

    /// The desired properties of an agent that runs these modules.
    fn agent(&self, modules: &[&str]) -> Value {
        agent(&self.temp.path().join("m.wasm"), modules)
    }
}

fn agent(image: &Path, modules: &[&str]) -> Value {
    let modules: Map<String, Value> = modules
        .iter()
        .map(|name| {
            let image = format!("file:{}", image.display());
            let module = json!({ "type": "wasm", "settings": { "image": image } });
            ((*name).to_owned(), module)
        })
        .collect();
    json!({ "schemaVersion": "1.1", "modules": modules })
}

async fn wait_phase(device: &Device, version: u64, phase: &Phase) -> DeploymentState {
    let mut state = device.agent().watch();
    let reached = state.wait_for(|state| state.agent_version == version && state.phase == *phase);
    let reached = tokio::time::timeout(std::time::Duration::from_secs(60), reached).await;
    reached
        .unwrap_or_else(|_| panic!("{phase:?} was waited for in vain"))
        .expect("it is there")
        .clone()
}

/// Looks until it is so.
async fn until_so(what: &str, is_so: impl Fn() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), looking)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

fn running(device: &Device) -> Vec<String> {
    let reports = device.view().supervisor.reports();
    let ready = reports.iter().filter(|report| report.ready);
    ready.map(|report| report.module().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_hub_a_device_runs_what_it_ran_before_and_goes_on_when_the_hub_is_back() {
    let (bed, hub) = (Bed::new(), Hub::online());
    hub.desire(ModuleId::edge_agent(), &bed.agent(&["a", "b"]));
    let device = bed.start(&hub);
    wait_phase(&device, 1, &Phase::Applied).await;
    assert_eq!(running(&device), ["a", "b"]);
    device.stop().await;
    let reported = hub.reported(&ModuleId::edge_agent());
    assert_eq!(reported["lastDesiredStatus"]["code"], 406, "{reported:?}");
    assert_eq!(reported["modules"]["a"]["runtimeStatus"], "unknown");

    hub.cut();
    let device = bed.start(&hub);
    wait_phase(&device, 1, &Phase::Applied).await;
    assert_eq!(running(&device), ["a", "b"]);

    // Meanwhile another deployment was made.
    hub.desire(ModuleId::edge_agent(), &bed.agent(&["a", "c"]));
    let started = |device: &Device| device.view().supervisor.reports()[0].last_start_time;
    let before = started(&device);
    hub.change(|state| (state.reachable, state.provisions, state.takes) = (true, true, true));
    wait_phase(&device, 2, &Phase::Applied).await;
    assert_eq!(running(&device), ["a", "c"]);
    assert_eq!(started(&device), before, "`a` was not disturbed");
    until_so("the identity of `b` to go", || {
        hub.change(|state| state.deleted.iter().map(ModuleId::as_str).eq(["b"]))
    })
    .await;
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_device_without_a_hub_waits_for_it() {
    let (bed, hub) = (Bed::new(), Hub::default());
    hub.desire(ModuleId::edge_agent(), &bed.agent(&["a"]));
    let device = bed.start(&hub);
    // Its sessions can be opened, and identities cannot be made yet.
    hub.change(|state| state.reachable = true);
    let mut state = device.agent().watch();
    let refused = state.wait_for(|state| matches!(state.phase, Phase::Refused { .. }));
    refused.await.expect("it is so");
    assert_eq!(running(&device), [] as [&str; 0]);
    hub.change(|state| state.provisions = true);
    wait_phase(&device, 1, &Phase::Applied).await;
    assert_eq!(running(&device), ["a"]);
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_goes_only_when_what_its_module_sent_is_at_the_hub() {
    let (bed, hub) = (Bed::new(), Hub::online());
    let routes =
        json!({ "schemaVersion": "1.1", "routes": { "up": "FROM /messages/* INTO $upstream" } });
    hub.desire(ModuleId::edge_hub(), &routes);
    hub.desire(ModuleId::edge_agent(), &bed.agent(&["a", "b"]));
    let device = bed.start(&hub);
    wait_phase(&device, 1, &Phase::Applied).await;
    hub.change(|state| state.takes = false);
    let (module, router) = (ModuleId::new("b").expect("it is so"), &device.view().router);
    let message = Message {
        body: Bytes::from_static(b"late"),
        properties: Properties::default(),
        system: SystemProperties::default(),
    };
    let staged = router
        .sender(&module)
        .stage(None, message, tokio::time::Instant::now())
        .expect("it is so");
    router.commit(None, vec![staged]).await.expect("it is so");

    hub.desire(ModuleId::edge_agent(), &bed.agent(&["a"]));
    wait_phase(&device, 2, &Phase::Applied).await;
    assert_eq!(running(&device), ["a"]);
    assert_eq!(router.waiting_upstream_of(&module), 1);
    // It is tried again and again, and the agent waits all the while.
    let before = hub.change(|state| state.turned_away);
    until_so("further tries", || {
        hub.change(|state| state.turned_away > before + 1)
    })
    .await;
    assert!(hub.change(|state| state.deleted.is_empty()));

    hub.change(|state| state.takes = true);
    until_so("the identity to go", || {
        hub.change(|state| state.deleted.contains(&module))
    })
    .await;
    assert_eq!(hub.change(|state| state.sent.clone()), [module]);
    device.stop().await;
}
