use super::*;
use crate::hub::IfMatch;
use crate::hub::tests::{device, device_id, hub};
use crate::identity::IdentitySpec;
use crate::store::{DocumentKey, Expected};

fn spec(status: IdentityStatus) -> IdentitySpec {
    IdentitySpec {
        status,
        ..IdentitySpec::default()
    }
}

async fn counts(hub: &Hub) -> (u64, u64) {
    let count = hub.device_statistics().await.unwrap();
    (count.enabled, count.disabled)
}

#[tokio::test(start_paused = true)]
async fn a_count_is_in_step_with_what_this_process_does() {
    let hub = hub();
    hub.create(&device("a"), spec(IdentityStatus::Enabled))
        .await
        .unwrap();
    assert_eq!(counts(&hub).await, (1, 0));
    hub.create(&device("b"), spec(IdentityStatus::Disabled))
        .await
        .unwrap();
    hub.ensure_device(&device_id("c")).await.unwrap();
    assert_eq!(counts(&hub).await, (2, 1));
    let disable = spec(IdentityStatus::Disabled);
    hub.update(&device("a"), disable, IfMatch::Any)
        .await
        .unwrap();
    assert_eq!(counts(&hub).await, (1, 2));
    hub.delete_device(&device_id("b"), IfMatch::Any)
        .await
        .unwrap();
    assert_eq!(counts(&hub).await, (1, 1));
    // Nothing was counted anew: the count that a scan gives is the same.
    let scanned = hub.count_devices().await.unwrap();
    assert_eq!((scanned.enabled, scanned.disabled), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_another_process_does_is_seen_after_a_while() {
    let hub = hub();
    hub.create(&device("a"), spec(IdentityStatus::Enabled))
        .await
        .unwrap();
    assert_eq!(counts(&hub).await, (1, 0));
    let key = DocumentKey::of(&device("a"));
    let content = hub.store().read(&key).await.unwrap().unwrap().content;
    let other = DocumentKey::of(&device("other"));
    let written = hub.swap(&other, Expected::Absent, Some(content));
    assert!(written.await.unwrap());
    tokio::time::advance(RECOUNT_AFTER - Duration::from_secs(1)).await;
    assert_eq!(counts(&hub).await, (1, 0));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(counts(&hub).await, (2, 0));
}

#[test]
fn a_count_taken_while_devices_changed_is_taken_again_soon() {
    let census = Census::default();
    let began = Instant::now();
    let count = DeviceStatistics {
        enabled: 7,
        disabled: 0,
    };
    for (stirred, seconds, expected) in [
        (false, 3, RECOUNT_AFTER),
        (true, 0, RECOUNT_AFTER_MIN),
        (true, 3, Duration::from_secs(30)),
    ] {
        census.begin();
        if stirred {
            census.note(None, Some(IdentityStatus::Enabled));
        }
        let now = began + Duration::from_secs(seconds);
        census.counted(count, began, now);
        assert_eq!(census.known(), Some((count, now + expected)));
    }
    census.note(
        Some(IdentityStatus::Enabled),
        Some(IdentityStatus::Disabled),
    );
    census.note(Some(IdentityStatus::Enabled), None);
    let (count, _) = census.known().unwrap();
    assert_eq!((count.enabled, count.disabled), (5, 1));
}
