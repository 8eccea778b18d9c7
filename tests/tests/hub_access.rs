//! Attempts to get into a hub, over MQTT, WebSocket and REST: none of them does, and a control beside each does.

use serde_json::json;
use wasm_edge_tests::certificates::{Authority, ClientCertificate};
use wasm_edge_tests::doors::bed::Bed;
use wasm_edge_tests::doors::{DOORS, Door, Knock, STAYING};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubOptions;
use wasm_edge_tests::tokens::{Token, encode};

/// The validity of certificates that are good now.
const GOOD_YEARS: (i32, i32) = (2020, 2099);

#[test]
fn no_token_but_the_right_one_gets_in() {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new());
    let d1 = bed.token("/devices/d1");
    let key = d1.key.clone();
    let good = || Knock::of("d1").token(d1.text());
    let for_resource = |resource: &str| Token::new(&key, resource).text();
    let raw = |sr: &str| d1.clone().raw_resource(sr).text();
    let neighbour = bed.token("/devices/d10");
    let module = bed.token("/devices/d1/modules/m");
    let other_field_order = d1.with_signature(&d1.signature_of(&format!("{}\n{}", d1.se, d1.sr)));
    let signed_decoded =
        d1.with_signature(&d1.signature_of(&format!("localhost/devices/d1\n{}", d1.se)));
    let table = [
        (
            "a wrong key",
            Token {
                key: neighbour.key.clone(),
                ..d1.clone()
            }
            .text(),
        ),
        (
            "the key of a module of the device",
            Token {
                key: module.key.clone(),
                ..d1.clone()
            }
            .text(),
        ),
        ("another device's token", neighbour.text()),
        (
            "a token for a sibling whose id begins so",
            for_resource("localhost/devices/d10"),
        ),
        (
            "a token for an id that it begins with",
            for_resource("localhost/devices/d"),
        ),
        ("a token of the device's module", module.text()),
        ("a token for the hub", for_resource("localhost")),
        ("a token for all devices", for_resource("localhost/devices")),
        (
            "a token for another host",
            for_resource("other.example/devices/d1"),
        ),
        (
            "a token for a host that begins so",
            for_resource("localhost.example/devices/d1"),
        ),
        ("a token for no host", for_resource("/devices/d1")),
        (
            "a token that has long expired",
            d1.clone().expires_in(-86_400).text(),
        ),
        (
            "a token that expired beyond the skew",
            d1.clone().expires_in(-301 - 5).text(),
        ),
        (
            "no expiry",
            d1.text().replace(&format!("&se={}", d1.se), ""),
        ),
        (
            "an expiry that was moved",
            d1.text()
                .replace(&format!("&se={}", d1.se), "&se=4102444800"),
        ),
        (
            "an expiry that is no number",
            Token {
                se: "never".into(),
                ..d1.clone()
            }
            .text(),
        ),
        ("an empty signature", d1.with_signature("")),
        ("no signature", d1.with_signature("").replace("&sig=", "")),
        (
            "a signature of nulls",
            d1.with_signature(&encode(&"A".repeat(43)).replace("%3D", ""))
                .replace("&se", "%3D&se"),
        ),
        ("a signature over the other order", other_field_order),
        ("a signature over the decoded resource", signed_decoded),
        (
            "a second resource",
            format!("{}&sr={}", d1.text(), encode("localhost/devices/d1")),
        ),
        (
            "the same resource twice",
            d1.text().replace("&sig", &format!("&sr={}&sig", d1.sr)),
        ),
        ("a second signature", format!("{}&sig=x", d1.text())),
        ("a second expiry", format!("{}&se=4102444800", d1.text())),
        ("slashes encoded twice", raw("localhost%252Fdevices%252Fd1")),
        (
            "an encoded slash in the id",
            raw("localhost%2Fdevices%2Fd1%252Fmodules%252Fm"),
        ),
        ("a NUL behind the id", raw("localhost%2Fdevices%2Fd1%00")),
        ("a space behind the id", raw("localhost%2Fdevices%2Fd1%20")),
        ("a plus behind the id", raw("localhost%2Fdevices%2Fd1+")),
        ("half an encoding", raw("localhost%2Fdevices%2Fd1%2")),
        ("bytes that are no text", raw("localhost%2Fdevices%2Fd1%FF")),
        ("dot segments", raw("localhost%2Fdevices%2Fd10%2F..%2Fd1")),
        ("a slash too many", raw("localhost%2Fdevices%2F%2Fd1")),
        ("a slash at the end", raw("localhost%2Fdevices%2Fd1%2F")),
        (
            "a scheme before the host",
            raw("https%3A%2F%2Flocalhost%2Fdevices%2Fd1"),
        ),
        (
            "another scheme",
            d1.text().replace("SharedAccessSignature", "Bearer"),
        ),
        ("no scheme", d1.text().replace("SharedAccessSignature ", "")),
        ("an unknown policy", d1.clone().of_policy("d1").text()),
        (
            "a policy without the right",
            Token::new(&bed.policy("service"), "localhost/devices/d1")
                .of_policy("service")
                .text(),
        ),
        (
            "the wrong policy's name",
            Token::new(&bed.policy("service"), "localhost/devices/d1")
                .of_policy("device")
                .text(),
        ),
        (
            "a token of 40,000 bytes",
            format!("{}&x={}", d1.text(), "x".repeat(8_000)),
        ),
        ("no token at all", String::new()),
        ("the key itself", key.clone()),
    ];
    bed.let_in(&DOORS, "the control", &good());
    let mut said = Vec::new();
    for (what, token) in &table {
        let knock = Knock::of("d1").token(token.as_str());
        said.push((what, bed.refused(&DOORS, what, &knock)));
        bed.let_in(&[Door::Mqtt], "the control", &good());
    }
    bed.let_in(&DOORS, "the control", &good());
    // Whatever was wrong, the hub says the same; also of devices that there are not.
    let unknown = Token::new(&key, "localhost/devices/unknown").text();
    let knock = Knock::of("unknown").token(unknown);
    said.push((
        &"an unknown device",
        bed.refused(&DOORS, "an unknown device", &knock),
    ));
    for (what, found) in &said {
        assert_eq!(found, &said[0].1, "{what}");
    }
    assert_eq!(said[0].1[0], "[20, 02, 00, 05]");
}

#[test]
fn what_real_clients_send_gets_in() {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new());
    let d1 = bed.token("/devices/d1");
    let table = [
        (
            "lower-case encoding",
            d1.clone().raw_resource("localhost%2fdevices%2fd1"),
        ),
        (
            "no encoding",
            d1.clone().raw_resource("localhost/devices/d1"),
        ),
        (
            "another case",
            d1.clone().raw_resource("LOCALHOST%2FDevices%2FD1"),
        ),
        (
            "a port",
            d1.clone().raw_resource("localhost%3A8883%2Fdevices%2Fd1"),
        ),
        ("a token just expired", d1.clone().expires_in(-240)),
        (
            "the secondary key",
            Token {
                key: bed.key("/devices/d1", "secondaryKey"),
                ..d1.clone()
            },
        ),
        (
            "a policy that may connect",
            Token::new(&bed.policy("device"), "localhost/devices/d1").of_policy("device"),
        ),
        (
            "the owner's policy",
            Token::new(&bed.policy("iothubowner"), "localhost/devices/d1").of_policy("iothubowner"),
        ),
    ];
    for (what, token) in &table {
        bed.let_in(&DOORS, what, &Knock::of("d1").token(token.text()));
    }
    let own = bed.token("/devices/d1/modules/m").text();
    bed.let_in(&DOORS, "a module", &Knock::of("d1/m").token(own));
    bed.let_in(
        &DOORS,
        "a module by its device's token",
        &Knock::of("d1/m").token(d1.text()),
    );
    bed.let_in(
        &DOORS,
        "$edgeHub by its device's token",
        &Knock::of("d1/$edgeHub").token(d1.text()),
    );
    let odd = Token::new(
        &bed.key("/devices/d%2B1", "primaryKey"),
        "localhost/devices/d+1",
    );
    bed.let_in(
        &STAYING,
        "an id with a plus",
        &Knock::of("d+1").token(odd.text()),
    );
    let odd = Token::new(
        &bed.key("/devices/d%252F1", "primaryKey"),
        "localhost/devices/d%2F1",
    );
    bed.let_in(
        &STAYING,
        "an id that looks encoded",
        &Knock::of("d%2F1").token(odd.text()),
    );
}

#[test]
fn nobody_gets_in_as_a_module_that_is_not_his() {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new());
    let m = bed.token("/devices/d1/modules/m");
    let neighbour = bed.token("/devices/d10").text();
    let good = Knock::of("d1/m").token(m.text());
    bed.let_in(&DOORS, "the control", &good);
    let resource = encode("localhost/devices/d1/modules/m2");
    let table = [
        ("another module of the device", "d1/m2", m.text()),
        (
            "another module of the device, renamed",
            "d1/m2",
            m.clone().raw_resource(&resource).text(),
        ),
        ("the same module of another device", "d10/m", m.text()),
        (
            "a module of another device by its own device's token",
            "d1/m",
            neighbour,
        ),
        (
            "its own key for the whole device",
            "d1/m",
            Token::new(&m.key, "localhost/devices/d1").text(),
        ),
        ("its device, by its own token", "d1", m.text()),
        ("$edgeAgent, by a module's token", "d1/$edgeAgent", m.text()),
        (
            "a module that there is not",
            "d1/x",
            bed.token("/devices/d1").text(),
        ),
        (
            "a device's key in a token for the module",
            "d1/m",
            Token {
                key: bed.key("/devices/d1", "primaryKey"),
                ..m.clone()
            }
            .text(),
        ),
    ];
    for (what, id, token) in &table {
        bed.refused(&DOORS, what, &Knock::of(id).token(token.as_str()));
        bed.let_in(&[Door::Mqtt], "the control", &good);
    }
    bed.let_in(&DOORS, "the control", &good);
}

#[test]
fn client_id_and_user_name_are_those_of_the_token() {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new());
    let d1 = bed.token("/devices/d1").text();
    let good = Knock::of("d1").token(d1.as_str());
    let user_name = |name: &str| Knock {
        user_name: name.to_owned(),
        ..good.clone()
    };
    let client_id = |id: &str| Knock {
        client_id: id.to_owned(),
        ..good.clone()
    };
    let table = [
        (
            "the client id of another with his own user name",
            client_id("d10"),
        ),
        ("the client id of his module", client_id("d1/m")),
        ("the client id in another case", client_id("D1")),
        ("an empty client id", client_id("")),
        ("a client id with a slash", client_id("d1/")),
        ("a client id with a NUL", client_id("d1\0")),
        (
            "the user name of another with his own client id",
            user_name("localhost/d10/?api-version=2021-04-12"),
        ),
        (
            "the user name of another's module",
            user_name("localhost/d10/m/?api-version=2021-04-12"),
        ),
        (
            "the user name of his module",
            user_name("localhost/d1/m/?api-version=2021-04-12"),
        ),
        (
            "the user name of another hub",
            user_name("other.example/d1/?api-version=2021-04-12"),
        ),
        (
            "the user name of a hub that begins so",
            user_name("localhost.example/d1/?api-version=2021-04-12"),
        ),
        (
            "a user name with dot segments",
            user_name("localhost/d10/../d1/?api-version=2021-04-12"),
        ),
        (
            "a user name with a slash too many",
            user_name("localhost//d1/?api-version=2021-04-12"),
        ),
        (
            "a user name that is encoded",
            user_name("localhost/%64%31/?api-version=2021-04-12"),
        ),
        ("a user name without a version", user_name("localhost/d1/")),
        ("no user name", user_name("")),
    ];
    bed.let_in(&STAYING, "the control", &good);
    for (what, knock) in &table {
        bed.refused(&STAYING, what, knock);
        bed.let_in(&[Door::Mqtt], "the control", &good);
    }
}

#[test]
fn a_token_in_the_headers_of_a_web_socket_is_none() {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new());
    let token = bed.token("/devices/d1").text();
    let owner = Token::new(&bed.policy("iothubowner"), "localhost")
        .of_policy("iothubowner")
        .text();
    for shown in [token.clone(), owner] {
        let knock = Knock {
            headers: vec![("Authorization", shown)],
            ..Knock::of("d1")
        };
        bed.refused(&[Door::WebSocket], "a token in a header", &knock);
        let knock = knock.token(token.as_str());
        bed.let_in(&[Door::WebSocket], "a token in CONNECT", &knock);
    }
}

#[test]
fn no_certificate_but_the_right_one_gets_in() {
    let home = Home::new();
    let (trusted, unknown) = (Authority::new("factory"), Authority::new("factory"));
    let file = home.write("client-ca.pem", trusted.pem());
    let file = file.to_str().unwrap();
    let bed = Bed::start(&home, HubOptions::new().args(["--client-ca", file]));
    let own = ClientCertificate::self_signed("whoever", GOOD_YEARS);
    let old = ClientCertificate::self_signed("x1", (2020, 2021));
    let early = ClientCertificate::self_signed("x1", (2098, 2099));
    let by_thumbprint = |primary: &str, secondary: &str| {
        json!({ "authentication": { "type": "selfSigned", "x509Thumbprint": {
            "primaryThumbprint": primary, "secondaryThumbprint": secondary } } })
    };
    let by_authority = json!({ "authentication": { "type": "certificateAuthority" } });
    bed.make(
        "/devices/x1",
        &by_thumbprint(&own.sha1().to_uppercase(), &old.sha256()),
    );
    bed.make("/devices/x2", &by_thumbprint(&early.sha1(), &own.sha256()));
    bed.make("/devices/c1", &by_authority);
    bed.make("/devices/c1/modules/m", &by_authority);
    let issued = trusted.issue("c1", GOOD_YEARS);
    let of_module = trusted.issue("c1/m", GOOD_YEARS);
    let control = || {
        bed.let_in(
            &DOORS,
            "SHA-1 in capitals",
            &Knock::of("x1").certificate(&own),
        );
        bed.let_in(
            &DOORS,
            "SHA-256 as the second",
            &Knock::of("x2").certificate(&own),
        );
        bed.let_in(
            &DOORS,
            "a trusted authority",
            &Knock::of("c1").certificate(&issued),
        );
        bed.let_in(
            &DOORS,
            "a module's",
            &Knock::of("c1/m").certificate(&of_module),
        );
    };
    control();
    let other = ClientCertificate::self_signed("x1", GOOD_YEARS);
    let wrong_authority = unknown.issue("c1", GOOD_YEARS);
    let self_signed = ClientCertificate::self_signed("c1", GOOD_YEARS);
    let expired = trusted.issue("c1", (2020, 2021));
    let sibling = trusted.issue("c10", GOOD_YEARS);
    let with_nul = trusted.issue("c1\0", GOOD_YEARS);
    let table = [
        ("another certificate", "x1", &other),
        ("the thumbprint of another", "x1", &issued),
        (
            "an expired certificate with the right thumbprint",
            "x1",
            &old,
        ),
        ("one that is not good yet", "x2", &early),
        (
            "the right common name by a wrong authority",
            "c1",
            &wrong_authority,
        ),
        ("the right common name, self-signed", "c1", &self_signed),
        ("an expired one of the right authority", "c1", &expired),
        ("a sibling whose name begins so", "c1", &sibling),
        ("a NUL in the common name", "c1", &with_nul),
        ("a module's certificate for its device", "c1", &of_module),
        ("a device's certificate for its module", "c1/m", &issued),
        ("the thumbprint of another device's", "c1", &own),
        ("a certificate for a device with keys", "d1", &own),
        (
            "an authority's certificate for a device with keys",
            "d1",
            &trusted.issue("d1", GOOD_YEARS),
        ),
        (
            "an unknown device",
            "unknown",
            &trusted.issue("unknown", GOOD_YEARS),
        ),
    ];
    for (what, id, certificate) in &table {
        bed.refused(&DOORS, what, &Knock::of(id).certificate(certificate));
    }
    control();
    // A token wins, good or not.
    let bad = Knock::of("x1")
        .certificate(&own)
        .token("SharedAccessSignature sr=x");
    bed.refused(&DOORS, "a bad token beside a good certificate", &bad);
    let good = bed.token("/devices/d1").text();
    bed.let_in(
        &DOORS,
        "a good token beside another certificate",
        &Knock::of("d1").certificate(&own).token(good),
    );
}
