//! What let somebody in is good no more: the connection ends, and no further one begins, over any door.

use serde_json::{Value, json};
use wasm_edge_tests::certificates::ClientCertificate;
use wasm_edge_tests::doors::bed::Bed;
use wasm_edge_tests::doors::{DOORS, Knock, STAYING};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubOptions;

/// The path, in the JSON of an identity, of its keys.
const KEYS: &str = "/authentication/symmetricKey";

fn generate(identity: &mut Value) {
    *identity.pointer_mut(KEYS).unwrap() = json!({ "primaryKey": "", "secondaryKey": "" });
}

/// Those who are in over MQTT and WebSocket, each under an identity of its own, are out after
/// `revoke`; and who keeps what is good stays.
///
/// One identity has one connection: the doors are tried one after the other.
fn check(
    what: &str,
    knock: impl Fn(&Bed<'_>) -> Knock<'static>,
    revoke: impl Fn(&Bed<'_>),
    restore: impl Fn(&Bed<'_>),
) {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new());
    let other = Knock::of("D2").token(bed.token("/devices/D2").text());
    let mut bystander = bed.doors.enter(STAYING[0], &other).unwrap();
    for door in STAYING {
        let knock = knock(&bed);
        bed.let_in(&DOORS, what, &knock);
        let mut guest = bed.doors.enter(door, &knock).unwrap();
        assert!(guest.is_served(), "{what} over {door:?}");
        revoke(&bed);
        guest.wait_for_close();
        bed.refused(&DOORS, what, &knock);
        restore(&bed);
    }
    assert!(bystander.is_served(), "{what}: another device");
}

fn device(bed: &Bed<'_>) -> Knock<'static> {
    Knock::of("d1").token(bed.token("/devices/d1").text())
}

fn module(bed: &Bed<'_>) -> Knock<'static> {
    Knock::of("d1/m").token(bed.token("/devices/d1/modules/m").text())
}

#[test]
fn a_regenerated_key_ends_connections() {
    check(
        "a device",
        device,
        |bed| bed.change("/devices/d1", generate),
        |_| {},
    );
    check(
        "a module",
        module,
        |bed| bed.change("/devices/d1/modules/m", generate),
        |_| {},
    );
}

#[test]
fn a_regenerated_key_of_a_device_ends_connections_of_modules_that_it_let_in() {
    let by_device = |bed: &Bed<'_>| Knock::of("d1/m").token(bed.token("/devices/d1").text());
    check(
        "a module",
        by_device,
        |bed| bed.change("/devices/d1", generate),
        |_| {},
    );
}

#[test]
fn a_disabled_device_is_out_with_its_modules() {
    let status = |status: &'static str| {
        move |bed: &Bed<'_>| {
            bed.change("/devices/d1", |identity| identity["status"] = json!(status))
        }
    };
    check("a device", device, status("disabled"), status("enabled"));
    check("a module", module, status("disabled"), status("enabled"));
}

#[test]
fn a_deleted_identity_is_out_also_when_it_is_made_again() {
    let again = |bed: &Bed<'_>| {
        bed.make(
            "/devices/d1",
            &json!({ "capabilities": { "iotEdge": true } }),
        );
        bed.make("/devices/d1/modules/m", &json!({}));
    };
    check("a device", device, |bed| bed.delete("/devices/d1"), again);
    check(
        "a module",
        module,
        |bed| bed.delete("/devices/d1/modules/m"),
        |bed| {
            bed.make("/devices/d1/modules/m", &json!({}));
        },
    );
    check(
        "a module of a deleted device",
        module,
        |bed| bed.delete("/devices/d1"),
        again,
    );
}

#[test]
fn a_module_goes_with_its_device_even_if_the_device_is_made_anew_with_the_same_keys() {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new());
    let (of_device, of_module) = (device(&bed), module(&bed));
    bed.let_in(&DOORS, "a module", &of_module);
    let keys = bed.hub.get("/devices/d1").pointer(KEYS).unwrap().clone();
    let mut guests: Vec<_> = STAYING
        .iter()
        .zip([&of_device, &of_module])
        .map(|(door, knock)| bed.doors.enter(*door, knock).unwrap())
        .collect();
    assert!(guests.iter_mut().all(|guest| guest.is_served()));
    bed.delete("/devices/d1");
    let body = json!({ "capabilities": { "iotEdge": true },
        "authentication": { "type": "sas", "symmetricKey": keys } });
    bed.make("/devices/d1", &body);
    for guest in guests {
        guest.wait_for_close();
    }
    bed.let_in(&DOORS, "the device of the same keys", &of_device);
    bed.refused(&DOORS, "a module of the earlier device", &of_module);
    bed.make("/devices/d1/modules/m", &json!({}));
    bed.refused(&DOORS, "a module of the earlier device", &of_module);
    bed.let_in(&DOORS, "the new module", &module(&bed));
}

#[test]
fn a_thumbprint_that_is_taken_away_ends_connections() {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new());
    let own = ClientCertificate::self_signed("x", (2020, 2099));
    let body = |thumbprint: &str| {
        json!({ "type": "selfSigned", "x509Thumbprint": {
            "primaryThumbprint": thumbprint, "secondaryThumbprint": null } })
    };
    bed.make(
        "/devices/x",
        &json!({ "authentication": body(&own.sha256()) }),
    );
    let knock = Knock::of("x").certificate(&own);
    for door in STAYING {
        let mut guest = bed.doors.enter(door, &knock).unwrap();
        assert!(guest.is_served());
        bed.change("/devices/x", |identity| {
            identity["authentication"] = body(&"ab".repeat(32))
        });
        guest.wait_for_close();
        bed.refused(&DOORS, "a thumbprint that is no more", &knock);
        bed.change("/devices/x", |identity| {
            identity["authentication"] = body(&own.sha1())
        });
        bed.let_in(&DOORS, "the thumbprint in its other form", &knock);
    }
}

#[test]
fn a_token_that_expires_ends_its_connection() {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new());
    // Good for some seconds more: it expired nearly five minutes ago.
    let knock = |id: &str| {
        let token = bed.token(&format!("/devices/{id}")).expires_in(-292);
        Knock::of(id).token(token.text())
    };
    let knocks = ["d1", "d10"].map(knock);
    let guests: Vec<_> = STAYING
        .iter()
        .zip(&knocks)
        .map(|(door, knock)| bed.doors.enter(*door, knock).unwrap())
        .collect();
    for (guest, knock) in guests.into_iter().zip(&knocks) {
        guest.wait_for_close();
        bed.refused(&DOORS, "an expired token", knock);
    }
    bed.let_in(&DOORS, "a new token", &device(&bed));
}
