//! An identity that is deleted at the hub and made anew is another one: the module starts again under it, has the twin
//! that the hub has for it, and what it reported before is reported there.

use serde_json::{Value, json};
use wasm_edge_tests::daemon::{Daemon, DaemonOptions};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::run::{Telemetry, body};
use wasm_edge_tests::wait;

/// `twin-echo` reports what is desired of it, `whoami` answers who it is.
fn deployment() -> Deployment {
    Deployment::new()
        .module(Module::guest("twin-echo"))
        .module(Module::guest("whoami"))
        .upstream("whoami")
}

fn delete(hub: &HubServe<'_>, module: &str) {
    let path = format!("/devices/d1/modules/{module}");
    assert_eq!(hub.ask("DELETE", &path, None).status, 204);
}

/// The generation of the identity that the hub has now.
fn generation(hub: &HubServe<'_>, module: &str) -> Option<String> {
    let path = format!("/devices/d1/modules/{module}");
    let answer = hub.ask("GET", &path, None);
    answer.body["generationId"].as_str().map(str::to_owned)
}

/// Waits until there is an identity of another generation, and answers that.
fn wait_another(hub: &HubServe<'_>, module: &str, before: &str) -> String {
    wait::until("another identity", || {
        generation(hub, module).filter(|now| now != before)
    })
}

/// Waits until the module itself says that it is of this generation, by a message at the hub.
fn wait_is(daemon: &Daemon<'_>, telemetry: &mut Telemetry, generation: &str) {
    wait::until_so("the module to run under its identity", || {
        // A device that has just started may not have it yet.
        let sent = daemon.verb(&["send", "whoami", "--wait"]);
        sent.status == Some(0) && body(&telemetry.next("whoami"))["generation"] == generation
    });
}

fn twin(daemon: &Daemon<'_>) -> Value {
    let args = ["twin", "get", "twin-echo", "--output", "json"];
    daemon.verb(&args).ok().json()
}

#[test]
fn a_module_begins_anew_under_an_identity_that_was_replaced_while_it_ran_and_while_it_did_not() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let options = DaemonOptions::of_hub(&hub, &hub.make_device("d1"));
    let options = options.set("hub", "retry_max_secs", 1);
    hub.apply("d1", &deployment());
    let daemon = options.start(&home);
    hub.wait_deployed("d1");
    let first = generation(&hub, "whoami").expect("it is there");
    let mut telemetry = hub.telemetry();
    wait_is(&daemon, &mut telemetry, &first);
    for x in 1..4 {
        hub.patch("d1", "twin-echo", &json!({ "x": x, "old": true }));
        hub.wait_reported("d1", "twin-echo", "/x", &json!(x));
    }
    let echo = generation(&hub, "twin-echo").expect("it is there");

    delete(&hub, "whoami");
    delete(&hub, "twin-echo");
    let second = wait_another(&hub, "whoami", &first);
    wait_another(&hub, "twin-echo", &echo);
    daemon.wait_says(0, "the identity was made anew at the hub");
    wait_is(&daemon, &mut telemetry, &second);
    // Desired properties are those of the new twin; what was reported is reported to it.
    let at_hub = hub.wait_reported("d1", "twin-echo", "/x", &json!(3));
    assert_eq!(at_hub["properties"]["desired"].get("x"), None, "{at_hub}");
    wait::until_so("the new twin to be on the device", || {
        let (ours, theirs) = (twin(&daemon), hub.twin("d1", "twin-echo"));
        let desired = &ours["properties"]["desired"];
        desired.get("old").is_none()
            && desired["$version"] == theirs["properties"]["desired"]["$version"]
            && ours["unsent"].is_null()
    });
    // Its versions begin anew: the first change is one of that twin.
    hub.patch("d1", "twin-echo", &json!({ "x": 10 }));
    hub.wait_reported("d1", "twin-echo", "/x", &json!(10));
    hub.wait_deployed("d1");
    daemon.kill();

    // Another one of the same name, with keys that the device does not have.
    delete(&hub, "whoami");
    delete(&hub, "twin-echo");
    let made = hub.ask("PUT", "/devices/d1/modules/whoami", Some(&json!({})));
    assert_eq!(made.status, 200, "{made:?}");
    let third = wait_another(&hub, "whoami", &second);
    let daemon = options.start(&home);
    wait_is(&daemon, &mut telemetry, &third);
    hub.wait_reported("d1", "twin-echo", "/x", &json!(10));
    hub.patch("d1", "twin-echo", &json!({ "x": 11 }));
    hub.wait_reported("d1", "twin-echo", "/x", &json!(11));
    hub.wait_deployed("d1");
    daemon.stop().ok();
}
