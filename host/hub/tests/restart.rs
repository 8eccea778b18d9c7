//! The hub on a real data folder: what it answered is there after a restart, orderly or not.

use serde_json::{Map, Value, json};
use wasm_edge_hub::hub::twins::TwinPatch;
use wasm_edge_hub::hub::{Hub, HubOptions, IfMatch};
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};
use wasm_edge_store::folder::DataFolder;

fn identity() -> ModuleIdentity {
    let device = DeviceId::new("line1").expect("the id is right");
    let module = ModuleId::new("filter").expect("the id is right");
    ModuleIdentity { device, module }
}

async fn open(folder: &DataFolder) -> Hub {
    let dir = folder.hub().expect("the folder can be used");
    Hub::open(&dir, HubOptions::new("hub.test"))
        .await
        .expect("the hub opens")
}

fn map(json: Value) -> Map<String, Value> {
    serde_json::from_value(json).expect("the test gives an object")
}

/// Everything that outlives the process.
async fn all(hub: &Hub) -> Vec<Value> {
    let owner = TwinOwner::Module(identity());
    let device = TwinOwner::Device(identity().device);
    let mut all = Vec::new();
    for owner in [owner, device] {
        let identity = hub.identity(&owner).await.expect("the identity is there");
        all.push(json!([identity.generation_id, identity.etag()]));
        let keys = identity
            .authentication
            .symmetric_key
            .expect("the identity has keys");
        all.push(json!([
            keys.primary.as_base64(),
            keys.secondary.as_base64()
        ]));
        let mut twin = hub.twin_json(&owner).await.expect("the twin is there");
        // Known of this process alone.
        twin["lastActivityTime"].take();
        all.push(twin);
    }
    all
}

#[tokio::test]
async fn identities_twins_and_versions_outlive_restarts() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("data");
    let folder = DataFolder::open(&path).expect("the folder is made");
    let hub = open(&folder).await;
    hub.ensure_device(&identity().device)
        .await
        .expect("the device is made");
    hub.ensure_module(&identity())
        .await
        .expect("the module is made");
    let owner = TwinOwner::Module(identity());
    let patch = TwinPatch {
        tags: Some(map(json!({ "site": "north" }))),
        desired: Some(map(json!({ "threshold": 30 }))),
    };
    hub.patch_twin(&owner, &patch, IfMatch::Any)
        .await
        .expect("the patch is right");
    let (session, events) = hub.connect(&owner).await.expect("the module connects");
    let version = session
        .report(&map(json!({ "seen": 1 })))
        .await
        .expect("the report is right");
    assert_eq!(version, 2);
    drop((session, events));
    let before = all(&hub).await;
    drop((hub, folder));

    let folder = DataFolder::open(&path).expect("the folder is free again");
    let hub = open(&folder).await;
    assert_eq!(all(&hub).await, before);
    hub.ensure_device(&identity().device)
        .await
        .expect("the device is there");
    hub.ensure_module(&identity())
        .await
        .expect("the module is there");
    assert_eq!(all(&hub).await, before);
}
