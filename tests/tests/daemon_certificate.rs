//! A device whose certificate does not open its hub: what is wrong with the files ends the start, what the hub does not
//! take is told, and what the device had runs on.

use std::path::Path;

use serde_json::{Value, json};
use wasm_edge_tests::certificates::{Authority, ClientCertificate};
use wasm_edge_tests::daemon::DaemonOptions;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubOptions;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of tests is text")
}

/// Known by this certificate.
fn by(certificate: &ClientCertificate) -> Value {
    let thumbprints =
        json!({ "primaryThumbprint": certificate.sha256(), "secondaryThumbprint": "" });
    json!({ "type": "selfSigned", "x509Thumbprint": thumbprints })
}

/// The device `x1`, which has this certificate and this key.
fn options(home: &Home, certificate: &str, key: &str) -> DaemonOptions {
    let key = home.write_secret("device-key.pem", key);
    let certificate = home.write("device.pem", certificate);
    DaemonOptions::new()
        .set("deployment", "file_images", true)
        .set("provisioning", "source", "x509")
        .set("provisioning", "host_name", "localhost")
        .set("provisioning", "device_id", "x1")
        .set("provisioning", "certificate_file", text(&certificate))
        .set("provisioning", "private_key_file", text(&key))
}

fn of(home: &Home, certificate: &ClientCertificate) -> DaemonOptions {
    options(home, certificate.pem(), certificate.key_pem())
}

fn deployment() -> Deployment {
    Deployment::new().module(Module::guest("twin-echo"))
}

#[test]
fn files_that_make_no_certificate_with_its_key_end_the_start() {
    let home = Home::new();
    let (own, other) = (
        ClientCertificate::self_signed("x1", (2020, 2099)),
        ClientCertificate::self_signed("x1", (2020, 2099)),
    );
    let check = |certificate: &str, key: &str, says: &[&str]| {
        let outcome = options(&home, certificate, key).to_end(&home);
        let outcome = outcome.ended_with(78).says(&["error: "]).says(says);
        assert!(!outcome.stderr.contains("PRIVATE"), "{}", outcome.stderr);
    };
    check(
        own.pem(),
        other.key_pem(),
        &["the private key does not go with the certificate"],
    );
    check(
        own.pem(),
        own.pem(),
        &["device-key.pem", "holds no private key"],
    );
    check(
        own.key_pem(),
        own.key_pem(),
        &["device.pem", "holds no certificate"],
    );
    check("", own.key_pem(), &["device.pem", "holds no certificate"]);
    let broken = own.pem().replace("MII", "AAA");
    check(&broken, own.key_pem(), &["device"]);
    let whole = of(&home, &own);
    std::fs::remove_file(home.path().join("device.pem")).expect("it was written");
    whole.to_end(&home).ended_with(78).says(&["device.pem"]);
}

#[test]
fn a_certificate_that_opens_nothing_is_told_and_what_runs_needs_none() {
    let (hub_home, home) = (Home::new(), Home::new());
    let factory = Authority::new("factory");
    let file = hub_home.write("client-ca.pem", factory.pem());
    let hub = HubOptions::new()
        .args(["--client-ca", text(&file)])
        .start(&hub_home);
    let own = ClientCertificate::self_signed("x1", (2020, 2099));
    hub.make_device_with("x1", &by(&own));
    hub.apply("x1", &deployment());
    let daemon = of(&home, &own).at(&hub).start(&home);
    hub.wait_deployed("x1");
    daemon.stop().ok();

    // Modules have keys of their own: the certificate is for making the identities of others.
    hub.apply("x1", &deployment().module(Module::guest("feed")));
    let ended = ClientCertificate::self_signed("x1", (2000, 2001));
    for (x, certificate) in [
        factory.issue("x1", (2000, 2001)),
        ClientCertificate::self_signed("x1", (2020, 2099)),
        Authority::new("another").issue("x1", (2020, 2099)),
    ]
    .iter()
    .chain([&ended])
    .enumerate()
    {
        let daemon = of(&home, certificate).at(&hub).start(&home);
        daemon.wait_says(0, "connected to the hub");
        daemon.wait_says(
            0,
            "cannot make the identity of module `feed`: the hub refuses: 401",
        );
        hub.patch("x1", "twin-echo", &json!({ "x": x }));
        hub.wait_reported("x1", "twin-echo", "/x", &json!(x));
        daemon.stop().ok();
    }
    // The same hub takes the one that it knows, and what was refused is tried again.
    let daemon = of(&home, &own).at(&hub).start(&home);
    hub.wait_deployed("x1");
    daemon.stop().ok();

    // One that has ended opens nothing, though the hub knows it.
    hub.make_device_with("x2", &by(&ended));
    hub.apply("x2", &deployment());
    let home = Home::new();
    let options = of(&home, &ended).set("provisioning", "device_id", "x2");
    let daemon = options.at(&hub).start(&home);
    daemon.wait_says(0, "the hub refuses the device, which goes on without it");
    let way = daemon.get("/v1/upstream")["upstream"][0].clone();
    assert_eq!(way["standing"], "refused", "{way}");
    assert!(way["cause"].to_string().contains("401"), "{way}");
    assert_eq!(daemon.modules(), Vec::<Value>::new());
    daemon.stop().ok();
}
