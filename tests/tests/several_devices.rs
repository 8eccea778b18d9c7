//! Two devices with manifests of their own in one process: their modules, messages, files and twins do not meet.

use std::fs;

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{RunOptions, body};

/// A `feed` and a `counter-state` of the same name on each device.
fn deployment(x: u64) -> Deployment {
    Deployment::new()
        .module(Module::guest("feed"))
        .module(
            Module::guest("counter-state")
                .named("count")
                .desired(json!({ "x": x })),
        )
        .pass("feed/out", "count/in")
        .upstream("count")
}

#[test]
fn devices_with_manifests_of_their_own_share_a_hub_and_nothing_else() {
    let home = Home::new();
    let north = deployment(1).write_as(&home, "north.json");
    let south = deployment(2)
        .module(Module::guest("echo"))
        .write_as(&home, "south.json");
    let options = RunOptions::of_devices(&[("north", &north), ("south", &south)]);
    let run = options.start(&home);
    run.wait_running();
    assert_eq!(
        run.components_compiled(),
        3,
        "one image is compiled once for both"
    );
    let mut telemetry = run.telemetry();
    for device in ["north", "north", "south", "north"] {
        run.send_on(device, &json!([{}]));
        let message = telemetry.next("count");
        assert_eq!(message["device"], device, "{message}");
    }
    run.send_on("south", &json!([{}]));
    let last = telemetry.next("count");
    assert_eq!(body(&last), json!({ "memory": 2, "data": 2 }), "{last}");
    let count = |device: &str| {
        fs::read_to_string(home.in_data(&format!("devices/{device}/modules/count/data/count")))
            .unwrap()
    };
    assert_eq!(
        (count("north"), count("south")),
        ("3".to_owned(), "2".to_owned())
    );

    let x = |device: &str| {
        let twin = run.verb(&["twin", "get", "count", "--desired", "--device", device]);
        twin.ok().json()["x"].clone()
    };
    assert_eq!((x("north"), x("south")), (json!(1), json!(2)));

    // Where a name is on one device only, no device needs to be said; where it is on both, it does.
    for verb in ["inspect", "logs"] {
        run.verb(&[verb, "count", "--device", "south"]).ok();
    }
    run.verb(&["inspect", "count"])
        .ended_with(5)
        .says(&["north", "south", "--device"]);
    run.verb(&["inspect", "count", "--device", "west"])
        .ended_with(4)
        .says(&["west"]);
    run.verb(&["inspect", "echo", "--device", "north"])
        .ended_with(4)
        .says(&["echo"]);
    let list = run
        .verb(&["list", "--device", "south", "--output", "json"])
        .ok()
        .json();
    let names: Vec<&Value> = list["modules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["module"])
        .collect();
    assert_eq!(names, ["count", "echo", "feed"]);
    run.interrupt().ok();

    // Each device remembers its own deployment.
    deployment(3).write_as(&home, "north.json");
    let run = options.start(&home);
    run.wait_running();
    let x = |device: &str| {
        run.get(&format!("/twins/{device}/modules/count"))["properties"]["desired"]["x"].clone()
    };
    assert_eq!((x("north"), x("south")), (json!(3), json!(2)));
    run.interrupt().ok();
}

#[test]
fn a_fault_in_one_manifest_starts_neither_device() {
    let home = Home::new();
    let north = deployment(1).write_as(&home, "north.json");
    let south = deployment(2)
        .route("wrong", "nonsense")
        .write_as(&home, "south.json");
    RunOptions::of_devices(&[("north", &north), ("south", &south)])
        .to_end(&home)
        .ended_with(78)
        .says(&["south.json", "routes.wrong"]);
    assert!(!home.data().exists(), "nothing was begun");
}
