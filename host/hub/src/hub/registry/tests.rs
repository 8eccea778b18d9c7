use wasm_edge_store::disk::faults::{Fault, SimulatedDisk};

use super::*;
use crate::hub::tests::{
    after_power_cut, device, device_id, hub, hub_on, hub_with_module, module, module_identity,
};
use crate::identity::{AuthenticationKind, KEY_BYTES};

fn names(identities: &[Identity]) -> Vec<String> {
    identities
        .iter()
        .map(|identity| identity.owner.to_string())
        .collect()
}

fn etag(text: &str) -> IfMatch {
    IfMatch::Etag(text.to_owned())
}

#[tokio::test]
async fn a_device_is_made_with_keys_and_system_modules() {
    let hub = hub();
    let made = hub.ensure_device(&device_id("d")).await.unwrap();
    assert_eq!((made.edge, made.etag_counter), (true, 1));
    assert_eq!(made.authentication.kind, AuthenticationKind::Sas);
    let keys = made.authentication.symmetric_key.as_ref().unwrap();
    assert_eq!(keys.primary.decode().len(), KEY_BYTES);
    assert_ne!(keys.primary, keys.secondary);
    let modules = hub.modules(&device_id("d")).await.unwrap();
    assert_eq!(
        names(&modules),
        [
            "/devices/d/modules/$edgeAgent",
            "/devices/d/modules/$edgeHub"
        ]
    );
    assert_ne!(modules[0].authentication, modules[1].authentication);
}

#[tokio::test]
async fn ensuring_again_changes_nothing() {
    let hub = hub();
    let first = hub.ensure_device(&device_id("d")).await.unwrap();
    assert_eq!(hub.ensure_device(&device_id("d")).await.unwrap(), first);
    let first = hub.ensure_module(&module_identity("d", "m")).await.unwrap();
    assert_eq!(
        hub.ensure_module(&module_identity("d", "m")).await.unwrap(),
        first
    );
}

#[tokio::test]
async fn ensuring_at_the_same_time_makes_one_identity() {
    let hub = hub();
    hub.ensure_device(&device_id("d")).await.unwrap();
    let module = module_identity("d", "m");
    let ensured = (0..10).map(|_| hub.ensure_module(&module));
    let ensured = futures_util::future::join_all(ensured).await;
    let first = ensured[0].as_ref().unwrap();
    assert!(ensured.iter().all(|other| other.as_ref().unwrap() == first));
}

#[tokio::test]
async fn a_plain_device_becomes_one_that_runs_modules() {
    let hub = hub();
    let plain = hub
        .create(&device("d"), IdentitySpec::default())
        .await
        .unwrap();
    assert!(!plain.edge);
    assert!(hub.modules(&device_id("d")).await.unwrap().is_empty());
    let edge = hub.ensure_device(&device_id("d")).await.unwrap();
    assert_eq!((edge.edge, edge.etag_counter), (true, 2));
    assert_eq!(edge.authentication, plain.authentication);
    assert_eq!(hub.modules(&device_id("d")).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_exists_is_not_made_again_and_what_does_not_is_not_found() {
    let (hub, owner) = hub_with_module().await;
    let err = hub
        .create(&owner, IdentitySpec::default())
        .await
        .unwrap_err();
    assert_eq!(err.to_string(), "`/devices/d/modules/m` exists already");
    let err = hub
        .create(&device("d"), IdentitySpec::default())
        .await
        .unwrap_err();
    assert!(matches!(err, HubError::AlreadyExists { .. }), "{err}");
    for (missing, expected) in [
        (module("d", "x"), "there is no `/devices/d/modules/x`"),
        (module("x", "m"), "there is no `/devices/x`"),
        (device("x"), "there is no `/devices/x`"),
    ] {
        assert_eq!(
            hub.identity(&missing).await.unwrap_err().to_string(),
            expected
        );
    }
    let err = hub
        .ensure_module(&module_identity("x", "m"))
        .await
        .unwrap_err();
    assert_eq!(err.to_string(), "there is no `/devices/x`");
}

#[tokio::test]
async fn an_update_needs_the_present_etag() {
    let (hub, owner) = hub_with_module().await;
    let spec = IdentitySpec {
        managed_by: Some("me".into()),
        ..IdentitySpec::default()
    };
    let err = hub
        .update(&owner, spec.clone(), etag("Mg=="))
        .await
        .unwrap_err();
    assert!(
        matches!(&err, HubError::PreconditionFailed { etag, .. } if etag == "MQ=="),
        "{err}"
    );
    let before = hub.identity(&owner).await.unwrap();
    let after = hub.update(&owner, spec, etag("MQ==")).await.unwrap();
    assert_eq!(after.etag(), "Mg==");
    assert_eq!(after.managed_by.as_deref(), Some("me"));
    assert_eq!(after.authentication, before.authentication);
    assert_eq!(after.generation_id, before.generation_id);
    assert_eq!(hub.identity(&owner).await.unwrap(), after);
}

#[tokio::test]
async fn a_disabled_device_disables_its_modules() {
    let (hub, owner) = hub_with_module().await;
    let spec = IdentitySpec {
        status: IdentityStatus::Disabled,
        status_reason: Some("stolen".into()),
        edge: true,
        ..IdentitySpec::default()
    };
    let disabled = hub.update(&device("d"), spec, IfMatch::Any).await.unwrap();
    assert_eq!(disabled.status_updated.to_string(), crate::hub::tests::NOW);
    assert_eq!(
        hub.identity(&owner).await.unwrap().status,
        IdentityStatus::Disabled
    );
    let modules = hub.modules(&device_id("d")).await.unwrap();
    assert!(
        modules
            .iter()
            .all(|module| module.status == IdentityStatus::Disabled)
    );
    let err = hub.connect(&owner).await.unwrap_err();
    assert_eq!(err.to_string(), "the device `d` is disabled");
}

#[tokio::test]
async fn a_deleted_module_comes_back_as_another() {
    let (hub, owner) = hub_with_module().await;
    let first = hub.identity(&owner).await.unwrap();
    let tags = serde_json::json!({ "tags": { "a": 1 } });
    let tags = crate::hub::twins::TwinPatch::from_json(tags).unwrap();
    hub.patch_twin(&owner, &tags, IfMatch::Any).await.unwrap();
    let err = hub
        .delete_module(&module_identity("d", "m"), etag("x"))
        .await
        .unwrap_err();
    assert!(matches!(err, HubError::PreconditionFailed { .. }), "{err}");
    hub.delete_module(&module_identity("d", "m"), etag("MQ=="))
        .await
        .unwrap();
    hub.identity(&owner).await.unwrap_err();
    hub.twin_json(&owner).await.unwrap_err();
    let second = hub.ensure_module(&module_identity("d", "m")).await.unwrap();
    assert_ne!(first.generation_id, second.generation_id);
    assert_ne!(first.authentication, second.authentication);
    assert_eq!(
        hub.twin_json(&owner).await.unwrap()["tags"],
        serde_json::json!({})
    );
}

#[tokio::test]
async fn system_modules_are_not_deleted() {
    let (hub, _) = hub_with_module().await;
    let err = hub
        .delete_module(&module_identity("d", "$edgeHub"), IfMatch::Any)
        .await
        .unwrap_err();
    assert!(matches!(err, HubError::SystemModule { .. }), "{err}");
}

#[tokio::test]
async fn a_deleted_device_takes_its_modules_along() {
    let (hub, owner) = hub_with_module().await;
    hub.delete_device(&device_id("d"), IfMatch::Any)
        .await
        .unwrap();
    hub.delete_device(&device_id("d"), IfMatch::Any)
        .await
        .unwrap_err();
    hub.identity(&owner).await.unwrap_err();
    let modules = Collection::ModulesOf(device_id("d"));
    assert!(
        hub.store()
            .scan(&modules, None, 9)
            .await
            .unwrap()
            .documents
            .is_empty()
    );
    hub.ensure_device(&device_id("d")).await.unwrap();
    hub.identity(&owner).await.unwrap_err();
}

#[tokio::test]
async fn devices_are_listed_in_pages() {
    let hub = hub();
    for name in ["b", "c", "a"] {
        hub.create(&device(name), IdentitySpec::default())
            .await
            .unwrap();
    }
    assert_eq!(
        names(&hub.devices(None, 2).await.unwrap()),
        ["/devices/a", "/devices/b"]
    );
    let rest = hub.devices(Some(&device_id("b")), 2).await.unwrap();
    assert_eq!(names(&rest), ["/devices/c"]);
}

#[tokio::test]
async fn a_device_has_a_limited_number_of_modules() {
    let (hub, _) = hub_with_module().await;
    for number in 1..MODULES_PER_DEVICE_MAX {
        hub.ensure_module(&module_identity("d", &format!("m{number}")))
            .await
            .unwrap();
    }
    let err = hub
        .ensure_module(&module_identity("d", "more"))
        .await
        .unwrap_err();
    assert!(
        matches!(err, HubError::TooManyModules { limit: 50, .. }),
        "{err}"
    );
    hub.ensure_module(&module_identity("d", "m1"))
        .await
        .unwrap();
    assert_eq!(
        hub.modules(&device_id("d")).await.unwrap().len(),
        MODULES_PER_DEVICE_MAX + 2
    );
}

/// Runs `work` on a hub whose power goes at each of its writes in turn, and checks what a hub finds
/// that starts after that.
async fn check_cuts<Work, Checked>(
    prepared: &SimulatedDisk,
    work: impl Fn(Hub) -> Work,
    check: impl Fn(Hub, usize) -> Checked,
) where
    Work: Future<Output = ()>,
    Checked: Future<Output = ()>,
{
    let content = || {
        after_power_cut(prepared).after_power_cut(wasm_edge_store::disk::faults::Survivors::Synced)
    };
    let whole = SimulatedDisk::new(content(), Fault::None);
    let whole_hub = hub_on(whole.clone());
    let opened = whole.operations();
    work(whole_hub).await;
    assert!(whole.operations() > opened, "the work writes nothing");
    for at in opened..whole.operations() {
        let disk = SimulatedDisk::new(content(), Fault::PowerCutAt(at));
        work(hub_on(disk.clone())).await;
        check(hub_on(after_power_cut(&disk)), at).await;
    }
}

#[tokio::test]
async fn making_a_device_can_be_repeated_after_a_power_cut_at_any_moment() {
    let empty = SimulatedDisk::new(Vec::new(), Fault::None);
    drop(hub_on(empty.clone()));
    let work = |hub: Hub| async move {
        let _ = hub.ensure_device(&device_id("d")).await;
    };
    check_cuts(&empty, work, |hub, at| async move {
        // Whoever looks finds no device, or one with all that belongs to it.
        if hub.identity(&device("d")).await.is_ok() {
            hub.identity(&module("d", "$edgeAgent")).await.unwrap();
            assert_eq!(
                hub.modules(&device_id("d")).await.unwrap().len(),
                2,
                "cut at {at}"
            );
        }
        hub.ensure_device(&device_id("d")).await.unwrap();
        assert_eq!(
            hub.modules(&device_id("d")).await.unwrap().len(),
            2,
            "cut at {at}"
        );
    })
    .await;
}

#[tokio::test]
async fn deleting_a_device_can_be_repeated_after_a_power_cut_at_any_moment() {
    let disk = SimulatedDisk::new(Vec::new(), Fault::None);
    let before = hub_on(disk.clone());
    before.ensure_device(&device_id("d")).await.unwrap();
    before
        .ensure_module(&module_identity("d", "m"))
        .await
        .unwrap();
    let generation = before
        .identity(&module("d", "m"))
        .await
        .unwrap()
        .generation_id;
    drop(before);
    let work = |hub: Hub| async move {
        let _ = hub.delete_device(&device_id("d"), IfMatch::Any).await;
    };
    check_cuts(&disk, work, |hub, at| {
        let generation = generation.clone();
        async move {
            match hub.identity(&device("d")).await {
                // Not deleted yet: all is as it was, and it can be deleted.
                Ok(_) => {
                    let module = hub.identity(&module("d", "m")).await.unwrap();
                    assert_eq!(module.generation_id, generation, "cut at {at}");
                    hub.delete_device(&device_id("d"), IfMatch::Any)
                        .await
                        .unwrap();
                }
                Err(_) => {
                    hub.identity(&module("d", "m")).await.unwrap_err();
                }
            }
            hub.ensure_device(&device_id("d")).await.unwrap();
            hub.identity(&module("d", "m")).await.unwrap_err();
            let modules = Collection::ModulesOf(device_id("d"));
            let left = hub.store().scan(&modules, None, 9).await.unwrap().documents;
            assert_eq!(left.len(), 2, "cut at {at}: the system modules alone");
            let again = hub.ensure_module(&module_identity("d", "m")).await.unwrap();
            assert_ne!(again.generation_id, generation, "cut at {at}");
        }
    })
    .await;
}
