//! What services, devices and modules may ask of a hub over REST, and paths that lead nobody further.

use serde_json::json;
use wasm_edge_tests::certificates::ClientCertificate;
use wasm_edge_tests::doors::bed::Bed;
use wasm_edge_tests::doors::request::Request;
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubOptions;
use wasm_edge_tests::tokens::Token;

/// Asks over HTTPS and answers the status.
fn status(bed: &Bed<'_>, method: &str, path: &str, token: &str) -> u16 {
    let request = Request::new(method, path).header("Authorization", token);
    bed.doors.ask(&request, None).0
}

#[test]
fn each_policy_may_do_what_it_is_for() {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new());
    let table = [
        ("iothubowner", 200, 404, 200),
        ("service", 401, 401, 200),
        ("device", 401, 401, 401),
        ("registryRead", 200, 401, 401),
        ("registryReadWrite", 200, 404, 401),
    ];
    for (policy, reads, writes, twins) in table {
        let token = Token::new(&bed.policy(policy), "localhost")
            .of_policy(policy)
            .text();
        let version = "api-version=2021-04-12";
        assert_eq!(
            status(&bed, "GET", &format!("/devices?{version}"), &token),
            reads,
            "{policy}"
        );
        assert_eq!(
            status(&bed, "DELETE", &format!("/devices/x?{version}"), &token),
            writes,
            "{policy}"
        );
        assert_eq!(
            status(&bed, "GET", &format!("/twins/d1?{version}"), &token),
            twins,
            "{policy}"
        );
        assert_eq!(
            status(&bed, "GET", "/wasm-edge/v1/access-policies", &token),
            401,
            "{policy}"
        );
    }
}

#[test]
fn tokens_of_services_are_checked_as_those_of_devices() {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new());
    let owner = Token::new(&bed.policy("iothubowner"), "localhost").of_policy("iothubowner");
    let service = bed.policy("service");
    let table = [
        ("no token", String::new()),
        (
            "another policy's key",
            Token {
                key: service.clone(),
                ..owner.clone()
            }
            .text(),
        ),
        (
            "a policy without the right",
            Token::new(&service, "localhost")
                .of_policy("service")
                .text(),
        ),
        (
            "a policy without the right under its name",
            Token::new(&service, "localhost")
                .of_policy("iothubowner")
                .text(),
        ),
        (
            "an unknown policy",
            owner.clone().of_policy("nobody").text(),
        ),
        (
            "a policy in another case",
            owner.clone().of_policy("IotHubOwner").text(),
        ),
        (
            "no policy",
            Token {
                skn: None,
                ..owner.clone()
            }
            .text(),
        ),
        ("an expired token", owner.clone().expires_in(-306).text()),
        (
            "another host",
            owner.clone().raw_resource("other.example").text(),
        ),
        (
            "a host that begins so",
            owner.clone().raw_resource("localhost.example").text(),
        ),
        (
            "a slash behind the host",
            owner.clone().raw_resource("localhost%2F").text(),
        ),
        (
            "a NUL behind the host",
            owner.clone().raw_resource("localhost%00").text(),
        ),
        (
            "a device of the hub",
            Token::new(&owner.key, "localhost/devices/d1")
                .of_policy("iothubowner")
                .text(),
        ),
        ("an empty signature", owner.with_signature("")),
        ("two policies", format!("{}&skn=iothubowner", owner.text())),
        ("two hosts", format!("{}&sr=localhost", owner.text())),
        ("a device's token", bed.token("/devices/d1").text()),
        (
            "another scheme",
            owner.text().replace("SharedAccessSignature", "Basic"),
        ),
    ];
    let path = "/devices/d1?api-version=2021-04-12";
    for (what, token) in &table {
        assert_eq!(status(&bed, "GET", path, token), 401, "{what}");
        assert_eq!(status(&bed, "GET", path, &owner.text()), 200, "the control");
    }
    for good in [
        owner.clone().raw_resource("LOCALHOST"),
        owner.clone().raw_resource("localhost%3A8443"),
        owner.clone().raw_resource("localhost:8443"),
        owner.clone().expires_in(-240),
    ] {
        assert_eq!(status(&bed, "GET", path, &good.text()), 200, "{good:?}");
    }
    let twice = Request::new("GET", path)
        .header("Authorization", &owner.text())
        .header("Authorization", &owner.text());
    assert_eq!(bed.doors.ask(&twice, None).0, 401, "the header twice");
}

#[test]
fn no_path_leads_a_device_beyond_its_own_modules() {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new());
    let own = bed.token("/devices/d1").text();
    let table = [
        ("GET", "/devices/d10/modules"),
        ("GET", "/devices/d10/modules/m"),
        ("DELETE", "/devices/d10/modules/m"),
        ("GET", "/devices/d1"),
        ("DELETE", "/devices/d1"),
        ("GET", "/devices"),
        ("GET", "/twins/d1"),
        ("GET", "/twins/d1/modules/m"),
        ("POST", "/devices/query"),
        ("GET", "/wasm-edge/v1/telemetry"),
        ("GET", "/devices/d1/../d10/modules"),
        ("GET", "/devices/d1/modules/../../d10/modules"),
        ("GET", "/devices/d1/..//d10/modules"),
        ("GET", "/devices/d1%2F..%2Fd10/modules"),
        ("GET", "/devices/d1%2f%2e%2e%2fd10/modules"),
        ("GET", "/devices/d1%252F..%252Fd10/modules"),
        ("GET", "/devices/d1%2Fmodules"),
        ("GET", "/devices/d1/modules%2Fm"),
        ("GET", "//devices/d1/modules"),
        ("GET", "/devices//d1/modules"),
        ("GET", "/devices/d1//modules"),
        ("GET", "/devices/./d1/modules"),
        ("GET", "/./devices/d1/modules"),
        ("GET", "/devices/d10/modules?device=d1"),
        ("GET", "/devices/d1%00/modules"),
        ("GET", "/devices/d1%20/modules"),
        ("GET", "/devices/%64%31%30/modules"),
        ("GET", "/devices/d1;x=y/modules"),
        ("GET", "/DEVICES/d1/modules"),
        ("GET", "/devices/D1/modules"),
        ("GET", "/devices/unknown/modules"),
    ];
    let control = "/devices/d1/modules?api-version=2017-11-08-preview";
    for (method, path) in table {
        assert_eq!(status(&bed, method, path, &own), 401, "{method} {path}");
        assert_eq!(status(&bed, "GET", control, &own), 200, "the control");
    }
    assert_eq!(status(&bed, "GET", "/devices/%64%31/modules", &own), 200);
    assert_eq!(status(&bed, "DELETE", "/devices/d1/modules/m2", &own), 204);
    // What was tried changed nothing.
    let devices = bed.hub.get("/devices");
    assert_eq!(devices.as_array().unwrap().len(), 5);
    bed.hub.get("/devices/d10/modules/m");
}

#[test]
fn a_module_calls_methods_within_its_device_only() {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new());
    let of_module = bed.token("/devices/d1/modules/m").text();
    let of_neighbour = bed.token("/devices/d10/modules/m").text();
    let table = [
        ("/twins/d1/modules/m2/methods", "d1/m", &of_module, 404),
        ("/twins/d1/methods", "d1/m", &of_module, 404),
        ("/twins/d1/methods", "d1/m2", &of_module, 401),
        ("/twins/d10/methods", "d1/m", &of_module, 401),
        ("/twins/d10/modules/m/methods", "d10/m", &of_module, 401),
        ("/twins/d1/modules/m2/methods", "d10/m", &of_neighbour, 401),
        ("/twins/d1/modules/m2/methods", "d1/m", &of_neighbour, 401),
        ("/twins/d1/modules/m2/methods", "d1", &of_module, 401),
        ("/twins/d1/modules/m2/methods", "d1/m/", &of_module, 401),
        ("/twins/d1/modules/m2/methods", "", &of_module, 401),
    ];
    for (path, caller, token, expected) in table {
        let request = Request::new("POST", path)
            .header("Authorization", token)
            .header("x-ms-edge-moduleId", caller)
            .body(json!({ "methodName": "x", "payload": null }));
        let (status, said) = bed.doors.ask(&request, None);
        assert_eq!(status, expected, "{path} {caller}: {said}");
    }
}

#[test]
fn a_device_with_a_certificate_manages_its_own_modules_with_keys() {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new());
    let own = ClientCertificate::self_signed("whoever", (2020, 2099));
    let other = ClientCertificate::self_signed("whoever", (2020, 2099));
    let authentication = json!({ "type": "selfSigned", "x509Thumbprint": {
        "primaryThumbprint": own.sha256(), "secondaryThumbprint": "" } });
    let device = json!({ "authentication": authentication, "capabilities": { "iotEdge": true } });
    bed.make("/devices/x1", &device);
    let ask = |method: &str, module: &str, body: Option<serde_json::Value>, certificate| {
        let path = format!("/devices/{module}?api-version=2017-11-08-preview");
        let request = Request::new(method, &path);
        let request = match body {
            None => request,
            Some(body) => request.body(body),
        };
        let is_change = request
            .body
            .as_ref()
            .is_some_and(|body| body["authentication"].is_object());
        let request = match is_change || method == "DELETE" {
            true => request.header("If-Match", "*"),
            false => request,
        };
        bed.doors.ask(&request, Some(certificate)).0
    };
    let made = json!({ "deviceId": "x1", "moduleId": "m" });
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let keys = |module: &str| {
        json!({ "deviceId": "x1", "moduleId": module, "authentication": { "type": "sas",
            "symmetricKey": { "primaryKey": key, "secondaryKey": key } } })
    };
    let path = "x1/modules/m";
    for (method, body) in [("GET", None), ("PUT", Some(made.clone())), ("DELETE", None)] {
        assert_eq!(ask(method, path, body.clone(), &other), 401, "{method}");
        assert_eq!(ask(method, "d1/modules/m", body, &own), 401, "{method}");
    }
    assert_eq!(ask("GET", path, None, &own), 404);
    assert_eq!(ask("PUT", path, Some(made.clone()), &own), 200);
    assert_eq!(ask("PUT", path, Some(made), &own), 409);
    assert_eq!(ask("PUT", path, Some(keys("m")), &own), 200);
    let system = "x1/modules/%24edgeAgent";
    assert_eq!(ask("PUT", system, Some(keys("$edgeAgent")), &own), 200);
    for path in ["/devices/x1/modules/m", "/devices/x1/modules/%24edgeAgent"] {
        assert_eq!(bed.key(path, "primaryKey"), key, "{path}");
    }
    assert_eq!(ask("DELETE", path, None, &own), 204);
    assert_eq!(ask("DELETE", system, None, &own), 401);
    assert_eq!(ask("GET", path, None, &own), 404);
}

#[test]
fn the_tier_s1_slows_down_what_comes_too_often() {
    let home = Home::new();
    let bed = Bed::start(&home, HubOptions::new().args(["--tier", "s1"]));
    let token = Token::new(&bed.policy("iothubowner"), "localhost")
        .of_policy("iothubowner")
        .text();
    let request = Request::new("POST", "/devices/query")
        .header("Authorization", &token)
        .body(json!({ "query": "SELECT * FROM devices" }));
    // 20 a minute; a slow machine may get one more in between.
    let refused = (0..40)
        .map(|_| bed.doors.ask(&request, None))
        .find(|(status, said)| {
            assert!(matches!(status, 200 | 429), "{status} {said}");
            *status == 429
        });
    let (_, said) = refused.expect("more than 20 queries at once are too many");
    let said = said.to_lowercase();
    assert!(said.contains("retry-after: "), "{said}");
    assert!(
        said.contains("iothub-errorcode: throttlingexception"),
        "{said}"
    );
    assert_eq!(status(&bed, "GET", "/twins/d1", &token), 200);
}
