use wasm_edge_model::identity::{ModuleId, ModuleIdentity};
use wasm_edge_store::database::Database;
use wasm_edge_store::disk::faults::{Fault, SimulatedDisk, Survivors};
use wasm_edge_store::volume::simulated::SimulatedVolume;

use super::*;
use crate::store::embedded::{DATABASE_FILE, DATABASE_FORMAT};
use crate::store::{DocumentKey, Expected};

/// The time at every test's hub.
pub(crate) const NOW: &str = "2026-08-01T10:00:00.0000000Z";

/// A hub on a disk in memory.
pub(crate) fn hub() -> Hub {
    hub_on(SimulatedDisk::new(Vec::new(), Fault::None))
}

/// A hub on `disk`, whose telemetry goes elsewhere.
pub(crate) fn hub_on(disk: SimulatedDisk) -> Hub {
    let database = Database::on_disk(DATABASE_FILE, disk, DATABASE_FORMAT).unwrap();
    hub_with(database, SimulatedVolume::new(1), Retention::default())
}

/// A hub on a disk in memory that reads the time from `clock`.
pub(crate) fn hub_with_clock(clock: Clock) -> Hub {
    let disk = SimulatedDisk::new(Vec::new(), Fault::None);
    let database = Database::on_disk(DATABASE_FILE, disk, DATABASE_FORMAT).unwrap();
    let options = HubOptions {
        clock,
        ..HubOptions::new("hub.test")
    };
    let store = Arc::new(EmbeddedStore::new(database));
    Hub::with_store(store, Arc::new(SimulatedVolume::new(1)), options).unwrap()
}

/// A hub whose telemetry goes to `volume`.
pub(crate) fn hub_on_volume(volume: &SimulatedVolume, retention: Retention) -> Hub {
    let disk = SimulatedDisk::new(Vec::new(), Fault::None);
    let database = Database::on_disk(DATABASE_FILE, disk, DATABASE_FORMAT).unwrap();
    hub_with(database, volume.clone(), retention)
}

/// A hub on a disk in memory, opened so.
pub(crate) fn hub_with_options(options: HubOptions) -> Hub {
    let disk = SimulatedDisk::new(Vec::new(), Fault::None);
    let database = Database::on_disk(DATABASE_FILE, disk, DATABASE_FORMAT).unwrap();
    let store = Arc::new(EmbeddedStore::new(database));
    Hub::with_store(store, Arc::new(SimulatedVolume::new(1)), options).unwrap()
}

fn hub_with(database: Database, telemetry: SimulatedVolume, retention: Retention) -> Hub {
    let options = HubOptions {
        clock: Arc::new(|| NOW.parse().unwrap()),
        retention,
        ..HubOptions::new("hub.test")
    };
    let store = Arc::new(EmbeddedStore::new(database));
    Hub::with_store(store, Arc::new(telemetry), options).unwrap()
}

/// A hub that keeps its documents in `store`.
pub(crate) fn hub_over(store: Arc<dyn HubStore>) -> Hub {
    let options = HubOptions {
        clock: Arc::new(|| NOW.parse().unwrap()),
        ..HubOptions::new("hub.test")
    };
    Hub::with_store(store, Arc::new(SimulatedVolume::new(1)), options).unwrap()
}

/// What a process that starts after a power cut at this moment finds.
pub(crate) fn after_power_cut(disk: &SimulatedDisk) -> SimulatedDisk {
    SimulatedDisk::new(disk.after_power_cut(Survivors::Synced), Fault::None)
}

pub(crate) fn device_id(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

pub(crate) fn device(name: &str) -> TwinOwner {
    TwinOwner::Device(device_id(name))
}

pub(crate) fn module_identity(device: &str, module: &str) -> ModuleIdentity {
    ModuleIdentity {
        device: device_id(device),
        module: ModuleId::new(module).unwrap(),
    }
}

pub(crate) fn module(device: &str, module: &str) -> TwinOwner {
    TwinOwner::Module(module_identity(device, module))
}

/// A hub with the device `d` and its module `m`.
pub(crate) async fn hub_with_module() -> (Hub, TwinOwner) {
    let hub = hub();
    hub.ensure_device(&device_id("d")).await.unwrap();
    hub.ensure_module(&module_identity("d", "m")).await.unwrap();
    (hub, module("d", "m"))
}

#[test]
fn an_if_match_header_may_be_quoted() {
    for (header, expected) in [
        ("*", IfMatch::Any),
        ("\"*\"", IfMatch::Any),
        ("\"MQ==\"", IfMatch::Etag("MQ==".into())),
        (" MQ== ", IfMatch::Etag("MQ==".into())),
        ("\"", IfMatch::Etag("\"".into())),
    ] {
        assert_eq!(IfMatch::parse(header), expected, "{header}");
    }
}

#[tokio::test]
async fn many_changes_of_one_document_at_once_all_count() {
    let (hub, owner) = hub_with_module().await;
    let reports = (0..40).map(|number| {
        let (hub, owner) = (hub.clone(), owner.clone());
        tokio::spawn(async move {
            let patch = serde_json::json!({ "tags": { format!("t{number}"): number } });
            let patch = twins::TwinPatch::from_json(patch).unwrap();
            hub.patch_twin(&owner, &patch, IfMatch::Any).await.map(drop)
        })
    });
    for report in futures_util::future::join_all(reports.collect::<Vec<_>>()).await {
        report.unwrap().unwrap();
    }
    let twin = hub.twin_json(&owner).await.unwrap();
    assert_eq!(twin["tags"].as_object().unwrap().len(), 40);
    assert_eq!(twin["version"], 41);
}

#[tokio::test]
async fn a_damaged_document_is_named_and_kept() {
    let (hub, owner) = hub_with_module().await;
    let key = DocumentKey::of(&owner);
    let revision = hub.store().read(&key).await.unwrap().unwrap().revision;
    let content = Some(bytes::Bytes::from_static(b"{\"format\":9}"));
    hub.store()
        .compare_and_set(&key, Expected::Revision(revision), content)
        .await
        .unwrap();
    let err = hub.twin_json(&owner).await.unwrap_err();
    let expected = "the stored document of `/devices/d/modules/m` cannot be read: \
                    it has format 9, this version reads 1 to 2";
    assert_eq!(err.to_string(), expected);
    hub.ensure_module(&module_identity("d", "m"))
        .await
        .unwrap_err();
    assert_eq!(
        hub.store().read(&key).await.unwrap().unwrap().content,
        "{\"format\":9}"
    );
}
