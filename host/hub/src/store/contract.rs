//! What every store has to do, as tests over the trait: an implementation calls [`check_all`].

use super::*;
use futures_util::{FutureExt as _, StreamExt as _};

/// Runs the whole contract; `open` gives an empty store each time.
pub(crate) async fn check_all<S: HubStore, F: Future<Output = S>>(open: impl Fn() -> F) {
    a_document_is_read_as_written(&open().await).await;
    only_the_expected_document_is_changed(&open().await).await;
    a_revision_never_comes_back(&open().await).await;
    of_many_writers_one_wins_each_round(&open().await).await;
    listings_are_in_order_and_in_pages(&open().await).await;
    a_feed_tells_of_its_device_alone(&open().await).await;
    a_slow_feed_is_told_that_it_missed_changes(&open().await).await;
    a_document_too_long_is_refused(&open().await).await;
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn device_key(name: &str) -> DocumentKey {
    DocumentKey::of(&TwinOwner::Device(device(name)))
}

fn module_key(name: &str, module: &str) -> DocumentKey {
    let module = ModuleId::new(module).unwrap();
    DocumentKey::of(&TwinOwner::Module(ModuleIdentity {
        device: device(name),
        module,
    }))
}

async fn set(store: &impl HubStore, key: &DocumentKey, expected: Expected, content: &str) -> Swap {
    let content = Bytes::copy_from_slice(content.as_bytes());
    store
        .compare_and_set(key, expected, Some(content))
        .await
        .unwrap()
}

async fn create(store: &impl HubStore, key: &DocumentKey, content: &str) -> Revision {
    match set(store, key, Expected::Absent, content).await {
        Swap::Done(revision) => revision,
        Swap::Conflict => panic!("`{key:?}` is there already"),
    }
}

async fn content(store: &impl HubStore, key: &DocumentKey) -> Option<String> {
    let document = store.read(key).await.unwrap()?;
    Some(String::from_utf8(document.content.to_vec()).unwrap())
}

async fn a_document_is_read_as_written(store: &impl HubStore) {
    let key = device_key("d");
    assert_eq!(store.read(&key).await.unwrap(), None);
    let revision = create(store, &key, "").await;
    let document = store.read(&key).await.unwrap().unwrap();
    assert_eq!(
        document,
        Document {
            revision,
            content: Bytes::new()
        }
    );
    assert_eq!(store.read(&module_key("d", "d")).await.unwrap(), None);
}

async fn only_the_expected_document_is_changed(store: &impl HubStore) {
    let key = device_key("d");
    let missing = Expected::Revision(Revision(1));
    assert_eq!(set(store, &key, missing, "x").await, Swap::Conflict);
    let first = create(store, &key, "1").await;
    assert_eq!(
        set(store, &key, Expected::Absent, "x").await,
        Swap::Conflict
    );
    let Swap::Done(second) = set(store, &key, Expected::Revision(first), "2").await else {
        panic!("the document was as expected");
    };
    assert_ne!(first, second);
    assert_eq!(
        set(store, &key, Expected::Revision(first), "x").await,
        Swap::Conflict
    );
    let delete = |expected| store.compare_and_set(&key, Expected::Revision(expected), None);
    assert_eq!(delete(first).await.unwrap(), Swap::Conflict);
    assert_eq!(content(store, &key).await.unwrap(), "2");
    assert!(matches!(delete(second).await.unwrap(), Swap::Done(_)));
    assert_eq!(content(store, &key).await, None);
}

async fn a_revision_never_comes_back(store: &impl HubStore) {
    let key = device_key("d");
    let old = create(store, &key, "old").await;
    store
        .compare_and_set(&key, Expected::Revision(old), None)
        .await
        .unwrap();
    create(store, &key, "new").await;
    assert_eq!(
        set(store, &key, Expected::Revision(old), "x").await,
        Swap::Conflict
    );
}

async fn of_many_writers_one_wins_each_round(store: &impl HubStore) {
    let key = device_key("d");
    let mut revision = create(store, &key, "0").await;
    for _ in 0..5 {
        let round = (0..8).map(|_| set(store, &key, Expected::Revision(revision), "x"));
        let outcomes = futures_util::future::join_all(round).await;
        let won: Vec<_> = outcomes
            .iter()
            .filter(|swap| **swap != Swap::Conflict)
            .collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        revision = store.read(&key).await.unwrap().unwrap().revision;
        assert_eq!(*won[0], Swap::Done(revision));
    }
}

async fn listings_are_in_order_and_in_pages(store: &impl HubStore) {
    for key in ["b", "a", "a!", "$c"].map(device_key) {
        create(store, &key, key.as_str()).await;
    }
    for key in [
        module_key("a", "z"),
        module_key("a", "$y"),
        module_key("a!", "x"),
    ] {
        create(store, &key, key.as_str()).await;
    }
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = store
            .scan(&Collection::Devices, after.as_ref(), 3)
            .await
            .unwrap();
        assert!(page.documents.len() <= 3);
        for (key, document) in page.documents {
            assert_eq!(document.content, key.as_str());
            names.push(key.as_str().to_owned());
            after = Some(key);
        }
        if !page.more {
            break;
        }
    }
    assert_eq!(
        names,
        ["devices/$c", "devices/a", "devices/a!", "devices/b"]
    );
    let modules = Collection::ModulesOf(device("a"));
    let modules = store.scan(&modules, None, 9).await.unwrap();
    let modules: Vec<_> = modules
        .documents
        .iter()
        .map(|(key, _)| key.clone())
        .collect();
    assert_eq!(modules, [module_key("a", "$y"), module_key("a", "z")]);
}

async fn a_feed_tells_of_its_device_alone(store: &impl HubStore) {
    create(store, &device_key("a"), "before").await;
    let mut feed = store.changes(&device("a"));
    assert_eq!(feed.next().now_or_never(), None);
    create(store, &device_key("b"), "").await;
    create(store, &module_key("b", "a"), "").await;
    let others = [
        DocumentKey::command(&device("b"), 1),
        DocumentKey::configuration("a"),
        DocumentKey::consumer("a"),
        DocumentKey::setting("a"),
    ];
    for key in &others {
        create(store, key, "").await;
    }
    let revision = create(store, &module_key("a", "m"), "").await;
    assert_eq!(
        feed.next().await,
        Some(Change::Document(module_key("a", "m")))
    );
    let own = [
        DocumentKey::session(&TwinOwner::Device(device("a"))),
        DocumentKey::command(&device("a"), 1),
    ];
    for key in own {
        create(store, &key, "").await;
        assert_eq!(feed.next().await, Some(Change::Document(key)));
    }
    assert_eq!(feed.next().now_or_never(), None);
    let key = module_key("a", "m");
    store
        .compare_and_set(&key, Expected::Revision(revision), None)
        .await
        .unwrap();
    assert_eq!(feed.next().await, Some(Change::Document(key)));
}

async fn a_slow_feed_is_told_that_it_missed_changes(store: &impl HubStore) {
    const CHANGES: usize = 300;
    let mut feed = store.changes(&device("a"));
    let mut revision = create(store, &device_key("a"), "").await;
    for _ in 1..CHANGES {
        let Swap::Done(next) = set(store, &device_key("a"), Expected::Revision(revision), "").await
        else {
            panic!("nobody else writes");
        };
        revision = next;
    }
    assert_eq!(feed.next().await, Some(Change::Missed));
    let mut left = 0;
    while let Some(Some(change)) = feed.next().now_or_never() {
        assert_eq!(change, Change::Document(device_key("a")));
        left += 1;
    }
    assert!(
        left < CHANGES,
        "{left} of {CHANGES} changes were kept: the feed has no bound"
    );
}

async fn a_document_too_long_is_refused(store: &impl HubStore) {
    let key = device_key("d");
    let content = Some(Bytes::from(vec![0; DOCUMENT_MAX_BYTES + 1]));
    let err = store
        .compare_and_set(&key, Expected::Absent, content)
        .await
        .unwrap_err();
    assert!(matches!(err, StoreError::TooLarge { .. }), "{err}");
    assert_eq!(store.read(&key).await.unwrap(), None);
}
