//! Tables of what is shown to the hub, and who gets in by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use wasm_edge_model::shared_access::sign;

use super::*;
use crate::hub::tests::{device, device_id, hub_with_options, module, module_identity};
use crate::hub::{HubOptions, IfMatch};
use crate::identity::{IdentitySpec, KeyRequest, Thumbprints};

/// Seconds since 1970 at the test's hub, as it begins.
const START: i64 = 1_800_000_000;

/// A hub whose clock the test moves, with the devices `d1` and `d10`, and a module `m` on each.
pub(super) struct Bed {
    pub(super) hub: Hub,
    now: Arc<AtomicI64>,
}

impl Bed {
    pub(super) async fn new() -> Self {
        let now = Arc::new(AtomicI64::new(START));
        let clock = Arc::clone(&now);
        let options = HubOptions {
            clock: Arc::new(move || seconds(clock.load(Ordering::Relaxed))),
            other_names: vec!["localhost".to_owned(), "[::1]".to_owned()],
            ..HubOptions::new("hub.test")
        };
        let hub = hub_with_options(options);
        for name in ["d1", "d10"] {
            hub.ensure_device(&device_id(name)).await.unwrap();
            hub.ensure_module(&module_identity(name, "m"))
                .await
                .unwrap();
        }
        Self { hub, now }
    }

    pub(super) fn later(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    /// The keys of an identity.
    pub(super) async fn keys(&self, owner: &TwinOwner) -> SymmetricKeys {
        let identity = self.hub.identity(owner).await.unwrap();
        identity.authentication.symmetric_key.unwrap()
    }

    /// What becomes of a token: nothing when it lets in, else why not.
    async fn verdict(&self, owner: &TwinOwner, token: &str) -> Option<&'static str> {
        let credentials = Credentials {
            token: Some(token),
            certificate: None,
        };
        let admitted = self.hub.admit(owner, &credentials).await;
        admitted.err().map(|denied| denied.reason())
    }

    async fn check(&self, owner: &TwinOwner, token: &str, expected: Option<&str>) {
        assert_eq!(
            self.verdict(owner, token).await,
            expected,
            "{owner}: {token}"
        );
    }

    async fn policy(&self, name: &str) -> SymmetricKeys {
        self.hub.access_policy(name).await.unwrap().unwrap().keys
    }
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(seconds * 1000)
}

/// A token for `resource` that lasts an hour.
pub(super) fn token(key: &SharedKey, resource: &str) -> String {
    sign(key, resource, seconds(START + 3600), None)
}

const LET_IN: Option<&str> = None;

#[tokio::test]
async fn a_token_lets_in_whom_it_names_by_either_key() {
    let bed = Bed::new().await;
    let keys = bed.keys(&device("d1")).await;
    let of_module = bed.keys(&module("d1", "m")).await;
    for key in [&keys.primary, &keys.secondary] {
        let token = token(key, "hub.test/devices/d1");
        bed.check(&device("d1"), &token, LET_IN).await;
        bed.check(&module("d1", "m"), &token, LET_IN).await;
        bed.check(&module("d1", "$edgeHub"), &token, LET_IN).await;
    }
    for key in [&of_module.primary, &of_module.secondary] {
        let token = token(key, "hub.test/devices/d1/modules/m");
        bed.check(&module("d1", "m"), &token, LET_IN).await;
    }
    for host in ["HUB.test", "hub.test:8883", "localhost", "[::1]:8443"] {
        let token = token(&keys.primary, &format!("{host}/devices/d1"));
        bed.check(&device("d1"), &token, LET_IN).await;
    }
}

#[tokio::test]
async fn no_other_token_lets_in() {
    let bed = Bed::new().await;
    let own = bed.keys(&device("d1")).await.primary;
    let module_key = bed.keys(&module("d1", "m")).await.primary;
    let neighbour = bed.keys(&device("d10")).await.primary;
    let (d1, m) = (device("d1"), module("d1", "m"));
    let here = "hub.test/devices/d1";
    let there = "hub.test/devices/d10";
    let of_module = "hub.test/devices/d1/modules/m";
    let table = [
        (&d1, token(&neighbour, here), "signature"),
        (&d1, token(&neighbour, there), "other_resource"),
        (&d1, token(&own, there), "other_resource"),
        (&d1, token(&module_key, of_module), "other_resource"),
        (&d1, token(&module_key, here), "signature"),
        (&m, token(&module_key, here), "signature"),
        (&m, token(&own, of_module), "signature"),
        (
            &m,
            token(&neighbour, "hub.test/devices/d10/modules/m"),
            "other_resource",
        ),
        (&d1, token(&own, "other.test/devices/d1"), "other_resource"),
        (&d1, token(&own, "hub.test"), "other_resource"),
        (&d1, token(&own, "hub.test/devices"), "malformed_token"),
        (&d1, token(&own, "hub.test/devices/d1/"), "malformed_token"),
        (
            &d1,
            token(&own, "hub.test%2Fdevices%2Fd1"),
            "other_resource",
        ),
        (&d1, token(&own, "hub.test/devices/d1\0"), "other_resource"),
        (&d1, token(&own, "hub.test/devices/d1 "), "other_resource"),
        (
            &d1,
            token(&own, here).replace("sig=", "sig=A"),
            "malformed_token",
        ),
        (
            &d1,
            token(&own, here).replace("%3D&se", "&se"),
            "malformed_token",
        ),
        (
            &d1,
            "SharedAccessSignature sr=hub.test%2Fdevices%2Fd1&sig=&se=1900000000".to_owned(),
            "malformed_token",
        ),
        (
            &d1,
            token(&own, here) + "&sr=hub.test%2Fdevices%2Fd1",
            "malformed_token",
        ),
        (&d1, String::new(), "no_credentials"),
        (&d1, "x".repeat(100_000), "malformed_token"),
        (
            &d1,
            sign(&own, here, seconds(START + 60), Some("d1")),
            "unknown_policy",
        ),
        (&device("D1"), token(&own, here), "unknown_identity"),
        (
            &device("x"),
            token(&own, "hub.test/devices/x"),
            "unknown_identity",
        ),
        (
            &module("x", "m"),
            token(&own, "hub.test/devices/x/modules/m"),
            "unknown_identity",
        ),
        (
            &module("x", "m"),
            token(&own, "hub.test/devices/x"),
            "unknown_identity",
        ),
        (&module("d1", "x"), token(&own, here), "unknown_identity"),
    ];
    for (owner, token, expected) in &table {
        bed.check(owner, token, Some(expected)).await;
    }
}

#[tokio::test]
async fn a_token_is_good_until_five_minutes_after_its_expiry() {
    let bed = Bed::new().await;
    let key = bed.keys(&device("d1")).await.primary;
    let token = sign(&key, "hub.test/devices/d1", seconds(START + 30), None);
    bed.later(30 + 300);
    bed.check(&device("d1"), &token, LET_IN).await;
    let credentials = Credentials {
        token: Some(&token),
        certificate: None,
    };
    let pass = bed.hub.admit(&device("d1"), &credentials).await.unwrap();
    assert_eq!(pass.expires_at, Some(seconds(START + 330)));
    bed.later(1);
    bed.check(&device("d1"), &token, Some("expired")).await;
    // However far away, an expiry is a time.
    for (expiry, expected) in [("0", Some("expired")), ("999999999999999", LET_IN)] {
        let far = expiry.parse().unwrap();
        let token = sign(
            &key,
            "hub.test/devices/d1",
            seconds(i64::min(far, 253_000_000_000)),
            None,
        );
        bed.check(&device("d1"), &token, expected).await;
    }
}

#[tokio::test]
async fn a_policy_with_the_right_to_connect_speaks_for_any_device() {
    let bed = Bed::new().await;
    let owner = bed.policy("iothubowner").await.primary;
    let devices = bed.policy("device").await.secondary;
    let service = bed.policy("service").await.primary;
    let for_policy =
        |key, resource: &str, name| sign(key, resource, seconds(START + 60), Some(name));
    let (d1, m) = (device("d1"), module("d1", "m"));
    let table = [
        (&d1, for_policy(&owner, "hub.test", "iothubowner"), LET_IN),
        (
            &m,
            for_policy(&devices, "hub.test/devices/d1", "device"),
            LET_IN,
        ),
        (
            &m,
            for_policy(&devices, "hub.test/devices/d1/modules/m", "device"),
            LET_IN,
        ),
        (
            &d1,
            for_policy(&service, "hub.test", "service"),
            Some("no_right"),
        ),
        (
            &d1,
            for_policy(&service, "hub.test", "device"),
            Some("signature"),
        ),
        (
            &d1,
            for_policy(&devices, "hub.test", "Device"),
            Some("unknown_policy"),
        ),
        (
            &d1,
            for_policy(&devices, "hub.test/devices/d10", "device"),
            Some("other_resource"),
        ),
        (
            &device("x"),
            for_policy(&devices, "hub.test", "device"),
            Some("unknown_identity"),
        ),
    ];
    for (owner, token, expected) in &table {
        bed.check(owner, token, *expected).await;
    }
}

impl Bed {
    async fn pass(&self, owner: &TwinOwner, token: &str) -> Pass {
        let credentials = Credentials {
            token: Some(token),
            certificate: None,
        };
        self.hub.admit(owner, &credentials).await.unwrap()
    }

    async fn update(&self, owner: &TwinOwner, spec: IdentitySpec) {
        self.hub.update(owner, spec, IfMatch::Any).await.unwrap();
    }

    async fn still(&self, pass: &Pass, expected: bool) {
        assert_eq!(
            self.hub.still_admitted(pass).await.unwrap(),
            expected,
            "{pass:?}"
        );
    }
}

fn with_keys(keys: SymmetricKeys) -> IdentitySpec {
    let authentication = Authentication {
        kind: AuthenticationKind::Sas,
        symmetric_key: Some(keys),
        thumbprints: Thumbprints::default(),
    };
    IdentitySpec {
        edge: true,
        authentication: KeyRequest::Use(authentication),
        ..IdentitySpec::default()
    }
}

#[tokio::test]
async fn a_pass_lasts_as_long_as_the_key_that_gave_it() {
    let bed = Bed::new().await;
    let (d1, m) = (device("d1"), module("d1", "m"));
    let old = bed.keys(&d1).await;
    let by_device = token(&old.primary, "hub.test/devices/d1");
    let by_module = token(
        &bed.keys(&m).await.secondary,
        "hub.test/devices/d1/modules/m",
    );
    let passes = [
        bed.pass(&d1, &by_device).await,
        bed.pass(&m, &by_device).await,
    ];
    let of_module = bed.pass(&m, &by_module).await;
    // The keys change places: both are good still.
    let swapped = SymmetricKeys {
        primary: old.secondary.clone(),
        secondary: old.primary.clone(),
    };
    bed.update(&d1, with_keys(swapped)).await;
    for pass in &passes {
        bed.still(pass, true).await;
    }
    bed.update(&d1, with_keys(SymmetricKeys::generate().unwrap()))
        .await;
    for pass in &passes {
        bed.still(pass, false).await;
        bed.check(&pass.owner, &by_device, Some("signature")).await;
    }
    bed.still(&of_module, true).await;
    let none = IdentitySpec {
        authentication: KeyRequest::Use(Authentication {
            kind: AuthenticationKind::None,
            symmetric_key: None,
            thumbprints: Thumbprints::default(),
        }),
        ..IdentitySpec::default()
    };
    bed.update(&m, none).await;
    bed.still(&of_module, false).await;
    bed.check(&m, &by_module, Some("not_by_token")).await;
}

#[tokio::test]
async fn a_pass_ends_with_its_identity() {
    let bed = Bed::new().await;
    let (d1, m) = (device("d1"), module("d1", "m"));
    let by_device = token(&bed.keys(&d1).await.primary, "hub.test/devices/d1");
    let by_module = token(&bed.keys(&m).await.primary, "hub.test/devices/d1/modules/m");
    let passes = [
        bed.pass(&d1, &by_device).await,
        bed.pass(&m, &by_module).await,
    ];
    let keep = |status| IdentitySpec {
        status,
        edge: true,
        ..IdentitySpec::default()
    };
    bed.update(&d1, keep(IdentityStatus::Disabled)).await;
    for pass in &passes {
        bed.still(pass, false).await;
    }
    bed.check(&d1, &by_device, Some("disabled")).await;
    bed.check(&m, &by_module, Some("disabled")).await;
    bed.update(&d1, keep(IdentityStatus::Enabled)).await;
    for pass in &passes {
        bed.still(pass, true).await;
    }
    let keys = bed.keys(&d1).await;
    bed.hub
        .delete_device(&device_id("d1"), IfMatch::Any)
        .await
        .unwrap();
    bed.check(&d1, &by_device, Some("unknown_identity")).await;
    bed.check(&m, &by_module, Some("unknown_identity")).await;
    // The same keys, and another identity.
    bed.hub.create(&d1, with_keys(keys)).await.unwrap();
    for pass in &passes {
        bed.still(pass, false).await;
    }
    bed.check(&d1, &by_device, LET_IN).await;
    bed.check(&m, &by_module, Some("unknown_identity")).await;
    bed.check(&m, &by_device, Some("unknown_identity")).await;
    bed.check(&module("d1", "$edgeAgent"), &by_device, LET_IN)
        .await;
}

#[tokio::test]
async fn every_refusal_is_counted_by_its_reason() {
    let bed = Bed::new().await;
    bed.verdict(&device("d1"), "").await;
    bed.verdict(&device("d1"), "x").await;
    bed.verdict(&device("d1"), "y").await;
    let metrics = bed.hub.metrics_text();
    for line in [
        "wasm_edge_hub_refusals_total{reason=\"no_credentials\"} 1\n",
        "wasm_edge_hub_refusals_total{reason=\"malformed_token\"} 2\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_device_is_refused_after_the_same_time() {
    let bed = Bed::new().await;
    let key = bed.keys(&device("d10")).await.primary;
    for name in ["d1", "unknown"] {
        let started = Instant::now();
        let token = token(&key, &format!("hub.test/devices/{name}"));
        assert!(bed.verdict(&device(name), &token).await.is_some());
        assert_eq!(started.elapsed(), REFUSAL_STEP, "{name}");
    }
}
