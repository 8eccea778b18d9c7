use std::collections::{BTreeMap, VecDeque};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_store::folder::DataFolder;
use wasm_edge_store::keys::MasterKey;

use super::*;

/// A registry in memory, which says what it was asked.
#[derive(Default)]
struct Registry {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    modules: BTreeMap<String, RegisteredModule>,
    asked: Vec<String>,
    last_generation: u32,
    /// What somebody else does before a request is answered.
    meanwhile: VecDeque<fn(&mut State)>,
    unreachable: bool,
}

impl State {
    fn make(&mut self, module: &str) -> RegisteredModule {
        self.last_generation += 1;
        let made = RegisteredModule {
            generation_id: self.last_generation.to_string(),
            keys: None,
        };
        self.modules.insert(module.to_owned(), made.clone());
        made
    }
}

impl Registry {
    fn asked<T: Send + 'static>(
        &self,
        what: &str,
        module: &ModuleIdentity,
        answer: impl FnOnce(&mut State, &str) -> T,
    ) -> BoxFuture<'static, Result<T, UpstreamError>> {
        let mut state = self.state.lock().unwrap();
        state.asked.push(format!("{what} {}", module.module));
        if let Some(meanwhile) = state.meanwhile.pop_front() {
            meanwhile(&mut state);
        }
        let answer = match state.unreachable {
            true => Err(UpstreamError::Unreachable {
                cause: "the network is down".into(),
            }),
            false => Ok(answer(&mut state, module.module.as_str())),
        };
        Box::pin(async { answer })
    }

    fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

impl IdentityRegistry for Registry {
    fn read(
        &self,
        module: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Option<RegisteredModule>, UpstreamError>> {
        self.asked("read", &module, |state, id| state.modules.get(id).cloned())
    }

    fn create(
        &self,
        module: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Option<RegisteredModule>, UpstreamError>> {
        self.asked("create", &module, |state, id| {
            let free = !state.modules.contains_key(id);
            free.then(|| state.make(id))
        })
    }

    fn set_keys(
        &self,
        module: ModuleIdentity,
        keys: ModuleKeys,
    ) -> BoxFuture<'static, Result<Option<String>, UpstreamError>> {
        self.asked("set keys", &module, |state, id| {
            let found = state.modules.get_mut(id)?;
            found.keys = Some(keys);
            Some(found.generation_id.clone())
        })
    }

    fn delete(&self, module: ModuleIdentity) -> BoxFuture<'static, Result<(), UpstreamError>> {
        self.asked("delete", &module, |state, id| {
            state.modules.remove(id);
        })
    }
}

struct Device {
    temp: tempfile::TempDir,
    registry: Arc<Registry>,
}

impl Device {
    fn new() -> Self {
        Self {
            temp: tempfile::tempdir().unwrap(),
            registry: Arc::default(),
        }
    }

    /// As after a start of the process.
    fn identities(&self, hub: &str) -> Identities {
        let folder = DataFolder::open(&self.temp.path().join("data")).unwrap();
        let assignment = Assignment {
            hub: wasm_edge_model::connection_string::HostAddress::parse(hub).unwrap(),
            gateway: None,
            device: DeviceId::new("d").unwrap(),
            mqtt_port: 8883,
            https_port: 443,
        };
        let folder = folder.device(&assignment.device).unwrap();
        let keys = Keyring::new(&MasterKey::open(&folder.keys().unwrap()).unwrap());
        let registry: Arc<dyn IdentityRegistry> = Arc::clone(&self.registry) as _;
        Identities::open(&assignment, Arc::new(folder), &keys, registry)
    }

    fn cache_file(&self) -> std::path::PathBuf {
        self.temp.path().join("data/devices/d/store/identities.enc")
    }

    fn asked(&self, expected: &[&str]) {
        assert_eq!(self.registry.take_asked(), expected);
    }

    fn change(&self, change: fn(&mut State)) {
        change(&mut self.registry.state.lock().unwrap());
    }

    fn meanwhile(&self, happens: fn(&mut State)) {
        let mut state = self.registry.state.lock().unwrap();
        state.meanwhile.push_back(happens);
    }

    fn keys_at_hub(&self, module: &str) -> ModuleKeys {
        let state = self.registry.state.lock().unwrap();
        state.modules[module].keys.clone().unwrap()
    }
}

fn module(name: &str) -> ModuleIdentity {
    format!("/devices/d/modules/{name}").parse().unwrap()
}

#[tokio::test]
async fn an_identity_is_made_once_and_known_from_then_on_without_traffic() {
    let device = Device::new();
    let identities = device.identities("hub");
    let made = identities.ensure(&module("m")).await.unwrap();
    device.asked(&["read m", "create m", "set keys m"]);
    assert_eq!(device.keys_at_hub("m").primary, made.key);
    assert_eq!(identities.ensure(&module("m")).await.unwrap(), made);
    let restarted = device.identities("HUB");
    assert_eq!(restarted.ensure(&module("m")).await.unwrap(), made);
    device.asked(&[]);
}

#[tokio::test]
async fn many_that_ask_at_once_ask_the_hub_once() {
    let device = Device::new();
    let identities = device.identities("hub");
    let (first, second) = (module("m"), module("m"));
    let both = tokio::join!(identities.ensure(&first), identities.ensure(&second));
    assert_eq!(both.0.unwrap(), both.1.unwrap());
    device.asked(&["read m", "create m", "set keys m"]);
}

#[tokio::test]
async fn what_the_hub_has_with_our_keys_is_left_alone() {
    let device = Device::new();
    let made = device.identities("hub").ensure(&module("m")).await.unwrap();
    device.registry.take_asked();
    std::fs::remove_file(device.cache_file()).unwrap();
    let again = device.identities("hub").ensure(&module("m")).await.unwrap();
    assert_eq!(again, made);
    device.asked(&["read m"]);
}

#[tokio::test]
async fn the_cache_of_another_hub_does_not_serve() {
    let device = Device::new();
    device.identities("hub").ensure(&module("m")).await.unwrap();
    device.registry.take_asked();
    device
        .identities("other")
        .ensure(&module("m"))
        .await
        .unwrap();
    device.asked(&["read m"]);
}

#[tokio::test]
async fn a_damaged_cache_is_made_anew_whatever_the_damage() {
    let device = Device::new();
    let made = device.identities("hub").ensure(&module("m")).await.unwrap();
    let good = std::fs::read(device.cache_file()).unwrap();
    let mut damaged: Vec<Vec<u8>> = (0..good.len())
        .step_by(7)
        .map(|n| good[..n].into())
        .collect();
    damaged.push(vec![0; 1 << 20]);
    damaged.push([good.as_slice(), b"x"].concat());
    for bytes in damaged {
        device.registry.take_asked();
        std::fs::write(device.cache_file(), &bytes).unwrap();
        let found = device.identities("hub").ensure(&module("m")).await;
        assert_eq!(found.unwrap(), made);
        device.asked(&["read m"]);
        assert_eq!(
            device.identities("hub").ensure(&module("m")).await.unwrap(),
            made
        );
        device.asked(&[]);
    }
}

#[tokio::test]
async fn a_cache_under_another_master_key_does_not_serve() {
    let device = Device::new();
    let made = device.identities("hub").ensure(&module("m")).await.unwrap();
    let keys = device.temp.path().join("data/devices/d/keys");
    let keys = Dir::open_ambient_dir(keys, ambient_authority()).unwrap();
    keys.remove_file("master.key").unwrap();
    device.registry.take_asked();
    let found = device.identities("hub").ensure(&module("m")).await.unwrap();
    assert_eq!(found.generation_id, made.generation_id);
    assert_ne!(found.key, made.key);
    device.asked(&["read m", "set keys m"]);
}

#[tokio::test]
async fn a_refused_credential_is_renewed_once_for_all() {
    let device = Device::new();
    let identities = device.identities("hub");
    let first = identities.ensure(&module("m")).await.unwrap();
    device.registry.take_asked();
    device.change(|state| drop(state.modules.remove("m")));
    let second = identities.renew(&module("m"), &first).await.unwrap();
    let second = second.expect("the identity was made again");
    assert_ne!(first.generation_id, second.generation_id);
    assert_ne!(first.key, second.key);
    device.asked(&["read m", "create m", "set keys m"]);
    assert_eq!(
        identities.renew(&module("m"), &first).await.unwrap(),
        Some(second.clone())
    );
    device.asked(&[]);
    assert_eq!(
        device.identities("hub").ensure(&module("m")).await.unwrap(),
        second
    );
}

#[tokio::test]
async fn keys_that_the_hub_replaced_are_set_again() {
    let device = Device::new();
    let identities = device.identities("hub");
    let made = identities.ensure(&module("m")).await.unwrap();
    device.registry.take_asked();
    device.change(|state| state.modules.get_mut("m").unwrap().keys = None);
    let renewed = identities.renew(&module("m"), &made).await.unwrap();
    device.asked(&["read m", "set keys m"]);
    assert_eq!(device.keys_at_hub("m").primary, made.key);
    // The same keys, and yet they are worth another try: the hub did not have them.
    assert_eq!(renewed, Some(made));
}

#[tokio::test]
async fn what_the_hub_has_and_refuses_all_the_same_is_not_tried_again() {
    let device = Device::new();
    let identities = device.identities("hub");
    let made = identities.ensure(&module("m")).await.unwrap();
    device.registry.take_asked();
    assert_eq!(identities.renew(&module("m"), &made).await.unwrap(), None);
    device.asked(&["read m"]);
}

#[tokio::test]
async fn system_modules_are_never_made() {
    let device = Device::new();
    let identities = device.identities("hub");
    let refused = identities.ensure(&module("$edgeAgent")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the hub refuses: it has no `/devices/d/modules/$edgeAgent`: the device is not an IoT Edge device there"
    );
    device.asked(&["read $edgeAgent"]);
    device.change(|state| drop(state.make("$edgeAgent")));
    identities.ensure(&module("$edgeAgent")).await.unwrap();
    device.asked(&["read $edgeAgent", "set keys $edgeAgent"]);
}

#[tokio::test]
async fn somebody_else_between_two_requests_is_met_by_beginning_anew() {
    let device = Device::new();
    let identities = device.identities("hub");
    device.meanwhile(|_| {});
    device.meanwhile(|state| drop(state.make("m")));
    identities.ensure(&module("m")).await.unwrap();
    device.asked(&["read m", "create m", "read m", "set keys m"]);

    device.meanwhile(|_| {});
    device.meanwhile(|_| {});
    device.meanwhile(|state| drop(state.modules.remove("n")));
    identities.ensure(&module("n")).await.unwrap();
    device.asked(&[
        "read n",
        "create n",
        "set keys n",
        "read n",
        "create n",
        "set keys n",
    ]);

    // Replaced before the keys were set: they were derived for the one before.
    device.meanwhile(|_| {});
    device.meanwhile(|_| {});
    device.meanwhile(|state| drop(state.make("o")));
    let made = identities.ensure(&module("o")).await.unwrap();
    device.asked(&["read o", "create o", "set keys o", "read o", "set keys o"]);
    assert_eq!(device.keys_at_hub("o").primary, made.key);
}

#[tokio::test]
async fn what_never_settles_ends() {
    let device = Device::new();
    let identities = device.identities("hub");
    for _ in 0..ATTEMPTS_MAX {
        device.meanwhile(|state| drop(state.modules.remove("m")));
        device.meanwhile(|state| drop(state.make("m")));
    }
    let err = identities.ensure(&module("m")).await.unwrap_err();
    assert!(matches!(err, UpstreamError::Unreachable { .. }), "{err}");
    assert_eq!(device.registry.take_asked().len(), 6);
}

#[tokio::test]
async fn a_failure_is_not_remembered_and_leaves_what_is_known() {
    let device = Device::new();
    let identities = device.identities("hub");
    let made = identities.ensure(&module("m")).await.unwrap();
    device.change(|state| state.unreachable = true);
    assert!(identities.ensure(&module("n")).await.is_err());
    assert!(identities.renew(&module("m"), &made).await.is_err());
    assert!(identities.delete(&module("m")).await.is_err());
    assert_eq!(identities.ensure(&module("m")).await.unwrap(), made);
    device.change(|state| state.unreachable = false);
    identities.ensure(&module("n")).await.unwrap();
}

#[tokio::test]
async fn a_deleted_identity_is_made_anew() {
    let device = Device::new();
    let identities = device.identities("hub");
    let made = identities.ensure(&module("m")).await.unwrap();
    identities.delete(&module("m")).await.unwrap();
    identities.delete(&module("m")).await.unwrap();
    device.registry.take_asked();
    let again = identities.ensure(&module("m")).await.unwrap();
    assert_ne!(again.generation_id, made.generation_id);
    device.asked(&["read m", "create m", "set keys m"]);
}
