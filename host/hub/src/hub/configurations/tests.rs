use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use wasm_edge_model::identity::{DeviceId, TwinOwner};
use wasm_edge_store::database::Database;
use wasm_edge_store::disk::faults::{Fault, SimulatedDisk};

use super::*;
use crate::hub::tests::{
    after_power_cut, device, device_id, hub, hub_on, hub_over, module, module_identity,
};
use crate::hub::twins::TwinPatch;
use crate::identity::IdentitySpec;
use crate::store::embedded::{DATABASE_FILE, DATABASE_FORMAT, EmbeddedStore};
use crate::store::{ChangeFeed, HubStore, Listing, StoreError, StoreFuture};

fn id(name: &str) -> ConfigurationId {
    ConfigurationId::new(name).unwrap()
}

fn request(json: Value) -> ConfigurationRequest {
    serde_json::from_value(json).unwrap()
}

/// Sets `a` of devices in the north.
fn north() -> Value {
    json!({ "content": { "deviceContent": { "properties.desired.a": 1 } },
        "targetCondition": "tags.site = 'north'", "priority": 5 })
}

async fn make(hub: &Hub, name: &str, site: &str) {
    let spec = IdentitySpec {
        edge: true,
        ..IdentitySpec::default()
    };
    hub.create(&device(name), spec).await.unwrap();
    tag(hub, name, site).await;
}

async fn tag(hub: &Hub, name: &str, site: &str) {
    let patch = TwinPatch::from_json(json!({ "tags": { "site": site } })).unwrap();
    hub.patch_twin(&device(name), &patch, IfMatch::Any)
        .await
        .unwrap();
}

/// Does all work that is marked.
async fn work(hub: &Hub) {
    hub.carry_out_configurations().await.unwrap();
}

async fn desired(hub: &Hub, owner: &TwinOwner) -> Value {
    let twin = hub.twin_json(owner).await.unwrap();
    let mut desired = twin["properties"]["desired"].as_object().unwrap().clone();
    desired.retain(|key, _| !key.starts_with('$'));
    Value::Object(desired)
}

fn problem<T: std::fmt::Debug>(done: Result<T, HubError>) -> String {
    wasm_edge_model::error::chain(&done.unwrap_err())
}

#[tokio::test]
async fn a_configuration_is_made_changed_shown_and_deleted() {
    let hub = hub();
    let made = hub
        .create_configuration(&id("winter"), request(north()))
        .await
        .unwrap();
    let expected = json!({
        "id": "winter", "schemaVersion": "1.0", "labels": {}, "etag": "MQ==", "priority": 5,
        "content": { "deviceContent": { "properties.desired.a": 1 } },
        "targetCondition": "tags.site = 'north'",
        "createdTimeUtc": crate::hub::tests::NOW, "lastUpdatedTimeUtc": crate::hub::tests::NOW,
        "systemMetrics": { "results": {}, "queries": {
            "targetedCount": "SELECT deviceId FROM devices WHERE tags.site = 'north'",
            "appliedCount": "SELECT deviceId FROM devices WHERE configurations.[[winter]].status = 'Applied'" } },
        "metrics": { "results": {}, "queries": {} },
    });
    assert_eq!(made, expected);
    assert_eq!(
        hub.configuration_json(&id("winter")).await.unwrap(),
        expected
    );
    assert_eq!(
        hub.configurations_json(10).await.unwrap(),
        std::slice::from_ref(&expected)
    );
    assert!(hub.configurations_json(0).await.unwrap().is_empty());

    let again = hub
        .create_configuration(&id("winter"), request(north()))
        .await;
    assert_eq!(problem(again), "the configuration `winter` exists already");
    // As clients send back what they got.
    let mut changed = made;
    changed["priority"] = json!(7);
    changed["labels"] = json!({ "by": "me" });
    changed["metrics"]["queries"] = json!({ "all": "SELECT deviceId FROM devices" });
    let etag = |etag: &str| IfMatch::Etag(etag.to_owned());
    let stale = hub
        .update_configuration(&id("winter"), request(changed.clone()), etag("Mg=="))
        .await;
    let expected = "the configuration `winter` was changed meanwhile: its etag is `MQ==`";
    assert_eq!(problem(stale), expected);
    let updated = hub
        .update_configuration(&id("winter"), request(changed), etag("MQ=="))
        .await
        .unwrap();
    assert_eq!(
        (&updated["priority"], &updated["etag"]),
        (&json!(7), &json!("Mg=="))
    );
    assert_eq!(updated["labels"], json!({ "by": "me" }));
    let part = request(json!({ "targetCondition": "*" }));
    let updated = hub
        .update_configuration(&id("winter"), part, IfMatch::Any)
        .await
        .unwrap();
    assert_eq!(
        (&updated["priority"], &updated["targetCondition"]),
        (&json!(7), &json!("*"))
    );

    assert!(
        hub.delete_configuration(&id("winter"), etag("MQ=="))
            .await
            .is_err()
    );
    hub.delete_configuration(&id("winter"), IfMatch::Any)
        .await
        .unwrap();
    let gone = "there is no configuration `winter`";
    assert_eq!(problem(hub.configuration_json(&id("winter")).await), gone);
    assert_eq!(
        problem(hub.delete_configuration(&id("winter"), IfMatch::Any).await),
        gone
    );
}

#[tokio::test]
async fn what_a_configuration_may_not_be_is_named() {
    let hub = hub();
    let check = |change: Value, expected: &'static str| {
        let mut json = north();
        json.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let hub = hub.clone();
        async move {
            let done = hub
                .create_configuration(&id("x"), request(json.clone()))
                .await;
            assert_eq!(problem(done), expected, "{json}");
        }
    };
    check(json!({ "id": "y" }), "`id` is `y`, the path says `x`").await;
    check(
        json!({ "priority": -1 }),
        "`priority` is -1; expected a number from 0 to 2147483647",
    )
    .await;
    check(
        json!({ "content": null }),
        "`content` is missing: say what the configuration sets",
    )
    .await;
    check(
        json!({ "targetCondition": "tags.a =" }),
        "`targetCondition` is not understood: column 9: the text ends here; expected a value, such as `tags.site`, 'text', 5 or `IS_DEFINED(tags.site)`",
    )
    .await;
    check(
        json!({ "targetCondition": "FROM devices.modules WHERE a" }),
        "`targetCondition` is for `devices.modules`, `deviceContent` for `devices`",
    )
    .await;
    check(
        json!({ "metrics": { "queries": { "m": "SELECT" } } }),
        "the metric `m` is not understood: column 7: the text ends here; expected `*`, a path such as `tags.site`, or `COUNT()`",
    )
    .await;
    check(
        json!({ "metrics": { "queries": { "m": "SELECT COUNT() FROM devices" } } }),
        "the metric `m` has to choose twins, which are counted: `SELECT deviceId FROM devices WHERE …`",
    )
    .await;
    let labels: Value = (0..21).map(|n| (n.to_string(), Value::from("x"))).collect();
    check(
        json!({ "labels": labels }),
        "`labels` has 21 entries, more than 20",
    )
    .await;
    check(
        json!({ "labels": { "x": "y".repeat(257) } }),
        "`labels.x` has a text of more than 256 bytes",
    )
    .await;
    for (text, expected) in [
        ("", "`` is no id of a configuration: it is empty"),
        (
            "a/b",
            "`a/b` is no id of a configuration: `/` cannot be in it",
        ),
        (
            "a[b",
            "`a[b` is no id of a configuration: `[` cannot be in it",
        ),
    ] {
        assert_eq!(
            ConfigurationId::new(text).unwrap_err().to_string(),
            expected
        );
    }
    assert!(ConfigurationId::new(&"x".repeat(128)).is_ok());
    assert!(ConfigurationId::new(&"x".repeat(129)).is_err());
    hub.create_configuration(&id("x"), request(north()))
        .await
        .unwrap();
    let mut other = north();
    other["content"]["deviceContent"]["properties.desired.a"] = json!(2);
    let changed = hub
        .update_configuration(&id("x"), request(other), IfMatch::Any)
        .await;
    let expected = "`content` of a configuration cannot be changed: delete it and make another";
    assert_eq!(problem(changed), expected);
}

#[tokio::test]
async fn there_are_no_more_configurations_than_may_be() {
    let hub = hub();
    for number in 0..CONFIGURATIONS_MAX {
        let id = id(&format!("c{number}"));
        hub.create_configuration(&id, request(north()))
            .await
            .unwrap();
    }
    let more = hub
        .create_configuration(&id("more"), request(north()))
        .await;
    let expected = "there are 100 configurations already, as many as there may be";
    assert_eq!(problem(more), expected);
    hub.delete_configuration(&id("c5"), IfMatch::Any)
        .await
        .unwrap();
    hub.create_configuration(&id("more"), request(north()))
        .await
        .unwrap();
}

#[tokio::test]
async fn devices_are_configured_when_configurations_tags_or_devices_change() {
    let hub = hub();
    make(&hub, "d1", "north").await;
    make(&hub, "d2", "south").await;
    hub.create_configuration(&id("c"), request(north()))
        .await
        .unwrap();
    work(&hub).await;
    assert_eq!(desired(&hub, &device("d1")).await, json!({ "a": 1 }));
    assert_eq!(desired(&hub, &device("d2")).await, json!({}));
    let twin = hub.twin_json(&device("d1")).await.unwrap();
    assert_eq!(
        twin["configurations"],
        json!({ "c": { "status": "Applied" } })
    );
    assert_eq!(
        hub.twin_json(&device("d2"))
            .await
            .unwrap()
            .get("configurations"),
        None
    );
    // One that comes into its scope, and one that leaves it; a new one.
    tag(&hub, "d2", "north").await;
    tag(&hub, "d1", "south").await;
    make(&hub, "d3", "north").await;
    work(&hub).await;
    assert_eq!(desired(&hub, &device("d1")).await, json!({}));
    assert_eq!(desired(&hub, &device("d2")).await, json!({ "a": 1 }));
    assert_eq!(desired(&hub, &device("d3")).await, json!({ "a": 1 }));
    hub.delete_configuration(&id("c"), IfMatch::Any)
        .await
        .unwrap();
    work(&hub).await;
    for name in ["d1", "d2", "d3"] {
        assert_eq!(desired(&hub, &device(name)).await, json!({}), "{name}");
    }
    // Then there is nothing to do, whatever changes.
    tag(&hub, "d1", "north").await;
    assert_eq!(hub.work().take(), work::Next::Nothing);
}

#[tokio::test]
async fn what_a_device_reports_brings_it_into_scope() {
    let hub = hub();
    make(&hub, "d", "x").await;
    let mut json = north();
    json["targetCondition"] = json!("properties.reported.fw = '2'");
    hub.create_configuration(&id("c"), request(json))
        .await
        .unwrap();
    work(&hub).await;
    assert_eq!(desired(&hub, &device("d")).await, json!({}));
    let (session, _events) = hub.connect(&device("d")).await.unwrap();
    let report = json!({ "fw": "2" });
    session.report(report.as_object().unwrap()).await.unwrap();
    work(&hub).await;
    assert_eq!(desired(&hub, &device("d")).await, json!({ "a": 1 }));
}

#[tokio::test]
async fn the_worker_does_it_by_itself_and_counts_metrics() {
    let hub = hub();
    make(&hub, "d1", "north").await;
    make(&hub, "d2", "south").await;
    let mut json = north();
    let all = "SELECT deviceId FROM devices";
    json["metrics"] = json!({ "queries": {
        "all": all, "some": "SELECT TOP 1 deviceId FROM devices", "a": format!("{all} WHERE properties.desired.a = 1") } });
    hub.create_configuration(&id("c"), request(json))
        .await
        .unwrap();
    let running = tokio::spawn({
        let hub = hub.clone();
        async move { hub.run_configurations().await }
    });
    let (_session, mut events) = hub.connect(&device("d1")).await.unwrap();
    // The next event is the change, unless it came before the session.
    while desired(&hub, &device("d1")).await == json!({}) {
        events.next().await;
    }
    assert_eq!(desired(&hub, &device("d1")).await, json!({ "a": 1 }));
    let shown = hub.configuration_json(&id("c")).await.unwrap();
    let expected = json!({ "targetedCount": 1, "appliedCount": 1 });
    assert_eq!(shown["systemMetrics"]["results"], expected);
    assert_eq!(
        shown["metrics"]["results"],
        json!({ "all": 2, "some": 1, "a": 1 })
    );
    hub.close();
    running.await.unwrap();
}

#[tokio::test]
async fn queries_of_a_configuration_are_tried() {
    let metrics = BTreeMap::from([
        ("good".to_owned(), "SELECT deviceId FROM devices".to_owned()),
        ("bad".to_owned(), "SELECT".to_owned()),
    ]);
    let faults = Hub::test_configuration_queries(Some("tags."), &metrics).to_json();
    let expected = json!({
        "targetConditionError": "`targetCondition` is not understood: column 6: the text ends here; expected a name behind the point",
        "customMetricQueryErrors": { "bad": "the metric `bad` is not understood: column 7: the text ends here; expected `*`, a path such as `tags.site`, or `COUNT()`" },
    });
    assert_eq!(faults, expected);
    let faults = Hub::test_configuration_queries(Some("*"), &BTreeMap::new()).to_json();
    let expected = json!({ "targetConditionError": null, "customMetricQueryErrors": {} });
    assert_eq!(faults, expected);
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_stops_no_other() {
    let hub = hub();
    make(&hub, "d", "north").await;
    hub.create_configuration(&id("good"), request(north()))
        .await
        .unwrap();
    let key = DocumentKey::configuration("bad");
    let content = Some(Bytes::from_static(b"{\"format\":9}"));
    hub.store()
        .compare_and_set(&key, Expected::Absent, content)
        .await
        .unwrap();
    work(&hub).await;
    assert_eq!(desired(&hub, &device("d")).await, json!({ "a": 1 }));
    let err = problem(hub.configuration_json(&id("bad")).await);
    assert!(
        err.starts_with("the stored configuration `bad` cannot be read: "),
        "{err}"
    );
}

#[test]
fn a_configuration_is_read_as_it_was_stored() {
    const STORED: &str = include_str!("document/format-1.json");
    let configuration = Configuration::decode("winter", STORED.as_bytes()).unwrap();
    assert_eq!(configuration.priority(), 10);
    let written: Value = serde_json::from_slice(&configuration.encode()).unwrap();
    assert_eq!(written, serde_json::from_str::<Value>(STORED).unwrap());
}

/// A store that gives up after so many operations, as a process that ends there.
#[derive(Debug)]
struct Interrupted {
    store: EmbeddedStore,
    left: AtomicUsize,
}

impl Interrupted {
    fn step<'a, T: Send + 'a>(&'a self, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        let step = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        match step {
            Ok(_) => answer,
            Err(_) => Box::pin(async { Err(StoreError::Interrupted) }),
        }
    }
}

impl HubStore for Interrupted {
    fn read<'a>(&'a self, key: &'a DocumentKey) -> StoreFuture<'a, Option<crate::store::Document>> {
        self.step(self.store.read(key))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a DocumentKey,
        expected: Expected,
        content: Option<Bytes>,
    ) -> StoreFuture<'a, Swap> {
        self.step(self.store.compare_and_set(key, expected, content))
    }

    fn scan<'a>(
        &'a self,
        collection: &'a Collection,
        after: Option<&'a DocumentKey>,
        limit: usize,
    ) -> StoreFuture<'a, Listing> {
        self.step(self.store.scan(collection, after, limit))
    }

    fn changes(&self, device: &DeviceId) -> ChangeFeed {
        self.store.changes(device)
    }
}

fn interrupted(disk: SimulatedDisk, operations: usize) -> Hub {
    let database = Database::on_disk(DATABASE_FILE, disk, DATABASE_FORMAT).unwrap();
    let store = EmbeddedStore::new(database);
    let left = AtomicUsize::new(operations);
    hub_over(Arc::new(Interrupted { store, left }))
}

fn edge(name: &str) -> Value {
    json!({ "targetCondition": "tags.site = 'north'", "content": { "modulesContent": {
        "$edgeAgent": { "properties.desired": { "of": name } },
        "$edgeHub": { "properties.desired": { "of": name } },
        "m": { "properties.desired": { "of": name } },
        name: { "properties.desired": { "of": name } },
    } } })
}

/// What a hub has to do: one configuration goes, one comes, and one changes whom it is for.
async fn change(hub: &Hub) -> Result<(), HubError> {
    hub.delete_configuration(&id("old"), IfMatch::Any).await?;
    hub.create_configuration(&id("new"), request(edge("new")))
        .await?;
    let south = request(json!({ "targetCondition": "tags.site = 'south'" }));
    hub.update_configuration(&id("c"), south, IfMatch::Any)
        .await?;
    hub.carry_out_configurations().await
}

/// All twins, without what differs from hub to hub.
async fn twins(hub: &Hub) -> Vec<Value> {
    let mut twins = Vec::new();
    for name in ["d1", "d2", "d3"] {
        let mut owners = vec![device(name)];
        let modules = hub.modules(&device_id(name)).await.unwrap();
        owners.extend(modules.into_iter().map(|identity| identity.owner));
        for owner in owners {
            let mut twin = hub.twin_json(&owner).await.unwrap();
            twin.as_object_mut().unwrap().remove("deviceScope");
            twins.push(twin);
        }
    }
    twins
}

#[tokio::test]
async fn work_that_stops_between_any_two_operations_comes_to_the_same_end() {
    let disk = SimulatedDisk::new(Vec::new(), Fault::None);
    let hub = hub_on(disk.clone());
    for (name, site) in [("d1", "north"), ("d2", "south"), ("d3", "north")] {
        make(&hub, name, site).await;
        hub.ensure_module(&module_identity(name, "m"))
            .await
            .unwrap();
    }
    hub.create_configuration(&id("c"), request(north()))
        .await
        .unwrap();
    hub.create_configuration(&id("old"), request(edge("old")))
        .await
        .unwrap();
    work(&hub).await;
    assert_eq!(
        desired(&hub, &module("d1", "m")).await,
        json!({ "of": "old" })
    );
    drop(hub);

    let mut expected = None;
    let mut operations = 0;
    // From the whole back to nothing, so that the first one says how many operations there are.
    loop {
        let copy = after_power_cut(&disk);
        let limit = operations;
        let done = change(&interrupted(copy.clone(), limit)).await;
        let again = hub_on(after_power_cut(&copy));
        // Whoever asked asks again; what was done already says so.
        finish(&again).await;
        again.begin_configurations().await.unwrap();
        work(&again).await;
        let found = twins(&again).await;
        match &expected {
            None => {
                assert_eq!(
                    desired(&again, &module("d1", "m")).await,
                    json!({ "of": "new" })
                );
                assert_eq!(desired(&again, &module("d1", "old")).await, json!({}));
                assert_eq!(desired(&again, &module("d2", "m")).await, json!({}));
                assert_eq!(desired(&again, &device("d1")).await, json!({}));
                assert_eq!(desired(&again, &device("d2")).await, json!({ "a": 1 }));
                expected = Some(found);
            }
            Some(expected) => assert_eq!(
                versionless(&found),
                versionless(expected),
                "after {limit} operations"
            ),
        }
        let pending = DocumentKey::setting(PENDING);
        assert_eq!(again.store().read(&pending).await.unwrap(), None);
        if done.is_ok() {
            break;
        }
        operations += 1;
    }
    assert!(operations > 40, "{operations}");
}

/// Makes the changes that were not made.
async fn finish(hub: &Hub) {
    let _ = hub.delete_configuration(&id("old"), IfMatch::Any).await;
    let _ = hub
        .create_configuration(&id("new"), request(edge("new")))
        .await;
    let shown = hub.configuration_json(&id("c")).await.unwrap();
    if shown["targetCondition"] != "tags.site = 'south'" {
        let south = request(json!({ "targetCondition": "tags.site = 'south'" }));
        hub.update_configuration(&id("c"), south, IfMatch::Any)
            .await
            .unwrap();
    }
}

/// Versions tell in how many steps a twin came to be what it is, which depends on where work stopped
/// if configurations changed in between.
fn versionless(twins: &[Value]) -> Vec<Value> {
    let strip = |twin: &Value| {
        let mut twin = twin.clone();
        for key in ["version", "etag"] {
            twin.as_object_mut().unwrap().remove(key);
        }
        let desired = twin["properties"]["desired"].as_object_mut().unwrap();
        desired.retain(|key, _| !key.starts_with('$'));
        twin
    };
    twins.iter().map(strip).collect()
}
