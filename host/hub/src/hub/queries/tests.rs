use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::hub::tests::{device, device_id, hub, module_identity};
use crate::hub::twins::TwinPatch;
use crate::hub::{Hub, IfMatch};
use crate::identity::IdentitySpec;

async fn make(hub: &Hub, id: &str, site: &str) {
    hub.create(&device(id), IdentitySpec::default())
        .await
        .unwrap();
    let patch = TwinPatch::from_json(json!({ "tags": { "site": site } })).unwrap();
    hub.patch_twin(&device(id), &patch, IfMatch::Any)
        .await
        .unwrap();
}

async fn page(hub: &Hub, query: &str, max_items: usize, token: Option<String>) -> QueryPage {
    let request = PageRequest {
        max_items: Some(max_items),
        continuation: token,
    };
    hub.query(query, request).await.unwrap()
}

fn items(page: &QueryPage) -> Vec<Value> {
    let items: Vec<Value> = serde_json::from_str(&page.items).unwrap();
    assert_eq!(items.len(), page.count);
    items
}

/// All pages of a query, so many items each.
async fn all(hub: &Hub, query: &str, max_items: usize) -> Vec<Value> {
    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let page = page(hub, query, max_items, token).await;
        let items = items(&page);
        assert!(items.len() <= max_items);
        found.extend(items);
        token = page.continuation;
        if token.is_none() {
            return found;
        }
    }
}

fn ids(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["deviceId"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn twins_come_in_the_order_of_their_ids_on_pages_of_any_size() {
    let hub = hub();
    let names: Vec<_> = (0..70).map(|number| format!("d{number:02}")).collect();
    for (index, name) in names.iter().enumerate() {
        make(&hub, name, if index % 3 == 0 { "north" } else { "south" }).await;
    }
    let north: Vec<_> = names.iter().step_by(3).map(String::as_str).collect();
    for size in [1, 2, 7, 32, 70, 1000] {
        let found = all(&hub, "SELECT * FROM devices", size).await;
        assert_eq!(ids(&found), names, "{size}");
        let query = "SELECT * FROM devices WHERE tags.site = 'north'";
        assert_eq!(ids(&all(&hub, query, size).await), north, "{size}");
        let query = "SELECT TOP 5 deviceId FROM devices WHERE tags.site = 'north'";
        assert_eq!(ids(&all(&hub, query, size).await), north[..5], "{size}");
    }
    let whole = page(&hub, "SELECT * FROM devices", 1, None).await;
    assert_eq!(whole.kind, ItemKind::Twin);
    let expected = hub.twin_json(&device("d00")).await.unwrap();
    assert_eq!(items(&whole), [expected]);
}

#[tokio::test]
async fn modules_are_found_with_what_their_device_is() {
    let hub = hub();
    for name in ["d", "d-1", "gone"] {
        hub.ensure_device(&device_id(name)).await.unwrap();
        hub.ensure_module(&module_identity(name, "m"))
            .await
            .unwrap();
    }
    hub.delete_device(&device_id("gone"), IfMatch::Any)
        .await
        .unwrap();
    let query = "SELECT deviceId, moduleId FROM devices.modules WHERE moduleId != '$edgeHub'";
    for size in [1, 100] {
        let found = all(&hub, query, size).await;
        let expected = json!([
            { "deviceId": "d-1", "moduleId": "$edgeAgent" }, { "deviceId": "d-1", "moduleId": "m" },
            { "deviceId": "d", "moduleId": "$edgeAgent" }, { "deviceId": "d", "moduleId": "m" },
        ]);
        assert_eq!(json!(found), expected);
    }
    assert_eq!(
        all(&hub, "SELECT * FROM devices.jobs", 1).await,
        [] as [Value; 0]
    );
}

#[tokio::test]
async fn what_a_crash_left_of_a_deleted_device_is_not_found() {
    let hub = hub();
    hub.ensure_device(&device_id("d")).await.unwrap();
    hub.ensure_module(&module_identity("d", "m")).await.unwrap();
    // The first step of a deletion, and no more.
    let key = DocumentKey::of(&device("d"));
    let document = hub.store().read(&key).await.unwrap().unwrap();
    let expected = crate::store::Expected::Revision(document.revision);
    hub.store()
        .compare_and_set(&key, expected, None)
        .await
        .unwrap();
    assert!(
        all(&hub, "SELECT * FROM devices.modules", 10)
            .await
            .is_empty()
    );
    hub.create(&device("d"), IdentitySpec::default())
        .await
        .unwrap();
    assert!(
        all(&hub, "SELECT * FROM devices.modules", 10)
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn groups_come_in_pages_too() {
    let hub = hub();
    for (name, site) in [("a", "n"), ("b", "s"), ("c", "n"), ("d", "w"), ("e", "e")] {
        make(&hub, name, site).await;
    }
    let query = "SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site";
    let expected = json!([
        { "site": "e", "n": 1 }, { "site": "n", "n": 2 }, { "site": "s", "n": 1 }, { "site": "w", "n": 1 }
    ]);
    for size in [1, 2, 3, 4, 5] {
        assert_eq!(json!(all(&hub, query, size).await), expected, "{size}");
    }
    let top = query.replace("SELECT", "SELECT TOP 3");
    assert_eq!(all(&hub, &top, 2).await.len(), 3);
    let one = page(&hub, "SELECT COUNT() AS n FROM devices", 10, None).await;
    assert_eq!(
        (&*one.items, one.kind, one.continuation),
        (r#"[{"n":5}]"#, ItemKind::Raw, None)
    );
}

#[tokio::test]
async fn pages_have_what_stays_and_nothing_twice_while_others_come_and_go() {
    for seed in 1..=24 {
        let mut numbers = Numbers(seed);
        let size = 1 + usize::from(numbers.below(4));
        let mut plan = Vec::new();
        for _ in 0..numbers.below(12) {
            let steps = 0..numbers.below(12);
            plan.push(
                steps
                    .map(|_| (numbers.below(3), numbers.below(40)))
                    .collect(),
            );
        }
        check_paging(size, &plan).await;
    }
}

/// Numbers that follow from a seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u8) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % u64::from(limit)) as u8
    }
}

async fn check_paging(size: usize, plan: &[Vec<(u8, u8)>]) {
    let hub = hub();
    let name = |number: u8| format!("d{number:02}");
    let mut present = BTreeSet::new();
    for number in (0..40).step_by(2) {
        make(&hub, &name(number), "x").await;
        present.insert(number);
    }
    let mut always = present.clone();
    let mut ever = present.clone();
    let (mut found, mut token) = (Vec::new(), None);
    for turn in 0.. {
        let page = page(&hub, "SELECT deviceId FROM devices", size, token).await;
        found.extend(ids(&items(&page)).into_iter().map(str::to_owned));
        token = page.continuation;
        if token.is_none() {
            break;
        }
        for (action, number) in plan.get(turn).into_iter().flatten() {
            let (id, is_there) = (device_id(&name(*number)), present.contains(number));
            if *action == 0 && is_there {
                hub.delete_device(&id, IfMatch::Any).await.unwrap();
                present.remove(number);
                always.remove(number);
            } else if *action > 0 && !is_there {
                make(&hub, id.as_str(), "x").await;
                present.insert(*number);
                ever.insert(*number);
            }
        }
    }
    let set: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!(set.len(), found.len(), "nothing comes twice");
    assert!(found.is_sorted());
    assert!(always.iter().all(|number| set.contains(&name(*number))));
    let ever: BTreeSet<_> = ever.into_iter().map(name).collect();
    assert!(set.is_subset(&ever));
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes() {
    let hub = hub();
    let text = "x".repeat(4000);
    let large: Vec<_> = (0..7).map(|_| text.clone()).collect();
    for number in 0..200 {
        let id = format!("d{number:03}");
        hub.create(&device(&id), IdentitySpec::default())
            .await
            .unwrap();
        let patch = json!({ "properties": { "desired": { "large": large } } });
        let patch = TwinPatch::from_json(patch).unwrap();
        hub.patch_twin(&device(&id), &patch, IfMatch::Any)
            .await
            .unwrap();
    }
    let first = page(&hub, "SELECT * FROM devices", 1000, None).await;
    assert!((100..190).contains(&first.count), "{}", first.count);
    assert!(first.items.len() < PAGE_MAX_BYTES + 64 * 1024);
    assert_eq!(all(&hub, "SELECT * FROM devices", 1000).await.len(), 200);
}

#[tokio::test]
async fn a_query_with_faults_or_a_foreign_token_is_refused() {
    let hub = hub();
    for name in ["a", "b"] {
        make(&hub, name, "x").await;
    }
    let problem = |query: &'static str, token: Option<String>| {
        let hub = hub.clone();
        async move {
            let request = PageRequest {
                max_items: Some(1),
                continuation: token,
            };
            let err = hub.query(query, request).await.unwrap_err();
            wasm_edge_model::error::chain(&err)
        }
    };
    let expected =
        "the query is not understood: column 1: `SELEC` cannot stand here; expected `SELECT`";
    assert_eq!(problem("SELEC", None).await, expected);
    let token = page(&hub, "SELECT * FROM devices", 1, None)
        .await
        .continuation;
    let foreign = "the continuation token does not belong to this query";
    assert_eq!(
        problem("SELECT * FROM devices.modules", token).await,
        foreign
    );
    assert_eq!(
        problem("SELECT * FROM devices", Some("x".to_owned())).await,
        foreign
    );
    let counted = "SELECT COUNT() FROM devices";
    assert_eq!(problem(counted, Some(String::new())).await, foreign);
}

#[tokio::test]
async fn a_twin_that_cannot_be_read_hides_no_other() {
    let hub = hub();
    for name in ["a", "b", "c"] {
        make(&hub, name, "x").await;
    }
    let key = DocumentKey::of(&device("b"));
    let revision = hub.store().read(&key).await.unwrap().unwrap().revision;
    let content = Some(bytes::Bytes::from_static(b"{}"));
    hub.store()
        .compare_and_set(&key, crate::store::Expected::Revision(revision), content)
        .await
        .unwrap();
    let found = all(&hub, "SELECT deviceId FROM devices", 10).await;
    assert_eq!(ids(&found), ["a", "c"]);
}

#[tokio::test]
async fn no_more_queries_run_than_may_and_the_next_waits() {
    let hub = hub();
    make(&hub, "a", "x").await;
    let places: Vec<_> = (0..QUERIES_MAX)
        .map(|_| Arc::clone(hub.query_places()).try_acquire_owned().unwrap())
        .collect();
    tokio::time::pause();
    let refused = hub
        .query("SELECT * FROM devices", PageRequest::default())
        .await;
    let expected = "8 queries run already, as many as may";
    assert_eq!(refused.unwrap_err().to_string(), expected);
    tokio::time::resume();
    let waiting = tokio::spawn({
        let hub = hub.clone();
        async move {
            hub.query("SELECT * FROM devices", PageRequest::default())
                .await
        }
    });
    tokio::task::yield_now().await;
    drop(places);
    assert_eq!(waiting.await.unwrap().unwrap().count, 1);
}
