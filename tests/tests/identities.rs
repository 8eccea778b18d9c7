//! One image under two names, and one image on two devices: nothing but the image is shared.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, RunOptions, body};

/// What the service side knows of a module's identity.
fn identity(run: &Run<'_>, device: &str, module: &str) -> Value {
    run.get(&format!("/devices/{device}/modules/{module}"))
}

/// The parts of two identities that must differ.
fn assert_apart(one: &Value, other: &Value) {
    let pointers = [
        "/generationId",
        "/authentication/symmetricKey/primaryKey",
        "/authentication/symmetricKey/secondaryKey",
    ];
    for pointer in pointers {
        let (one, other) = (one.pointer(pointer), other.pointer(pointer));
        assert!(one.is_some_and(Value::is_string), "{pointer}: {one:?}");
        assert_ne!(one, other, "{pointer}");
    }
}

#[test]
fn one_image_under_two_names_is_two_modules() {
    let home = Home::new();
    let counter = |name: &str, x: u64| {
        Module::guest("counter-state")
            .named(name)
            .desired(json!({ "x": x }))
    };
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(counter("left", 1))
        .module(counter("right", 2))
        .pass("feed/left", "left/in")
        .pass("feed/right", "right/in")
        .upstream("left")
        .upstream("right")
        .write(&home);
    let run = Run::of(&home, &manifest);

    assert_apart(
        &identity(&run, "d1", "left"),
        &identity(&run, "d1", "right"),
    );
    let (left, right) = (run.twin("left"), run.twin("right"));
    assert_eq!(left["properties"]["desired"]["x"], 1);
    assert_eq!(right["properties"]["desired"]["x"], 2);
    assert_eq!(
        run.module("left")["imageDigest"],
        run.module("right")["imageDigest"]
    );

    run.send(&json!([
        { "output": "left" }, { "output": "left" }, { "output": "left" }, { "output": "right" },
    ]));
    let (_, next) = run.upstream("left", 0, |body| (body["memory"] == 3).then_some(()));
    let (counts, _) = run.upstream("right", 0, |body| Some(body.clone()));
    assert_eq!(counts, json!({ "memory": 1, "data": 1 }));

    // A restart empties the memory of one instance, and of no other; `/data` stays.
    run.restart("left");
    run.wait_module("left", |module| {
        module["restartCount"] == 1 && module["ready"] == true
    });
    run.send(&json!([{ "output": "left" }, { "output": "right" }]));
    let (counts, _) = run.upstream("left", next, |body| Some(body.clone()));
    assert_eq!(counts, json!({ "memory": 1, "data": 4 }));
    run.upstream("right", 0, |body| {
        (*body == json!({ "memory": 2, "data": 2 })).then_some(())
    });
    run.interrupt().ok();

    let count = |module: &str| {
        let file = home.in_data(&format!("devices/d1/modules/{module}/data/count"));
        std::fs::read_to_string(file).expect("the module wrote it")
    };
    assert_eq!(
        (count("left"), count("right")),
        ("4".to_owned(), "2".to_owned())
    );
}

#[test]
fn one_image_on_two_devices_is_two_modules_under_one_hub() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("twin-echo").desired(json!({ "x": 1 })))
        .upstream("twin-echo")
        .write(&home);
    let run = RunOptions::new(&manifest)
        .devices(&["north", "south"])
        .start(&home);
    run.wait_running();
    assert_apart(
        &identity(&run, "north", "twin-echo"),
        &identity(&run, "south", "twin-echo"),
    );

    // A verb that cannot tell which device is meant asks.
    run.verb(&["twin", "get", "twin-echo"])
        .ended_with(5)
        .says(&["north", "south", "--device"]);

    let mut telemetry = run.telemetry();
    run.verb(&[
        "twin",
        "patch",
        "twin-echo",
        r#"{"x": 2}"#,
        "--device",
        "south",
    ])
    .ok();
    let message = telemetry.next("twin-echo");
    assert_eq!(message["device"], "south", "{message}");
    assert_eq!(body(&message)["kind"], "patch");
    let reported = |device: &str| {
        let twin = run.get(&format!("/twins/{device}/modules/twin-echo"));
        twin["properties"]["reported"]["x"].clone()
    };
    wasm_edge_tests::wait::until_so("south to report", || reported("south") == 2);
    assert_eq!(reported("north"), 1);

    let listed = run.get("/v1/modules");
    let listed: Vec<_> = listed["modules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|module| &module["device"])
        .collect();
    assert_eq!(listed, ["north", "south"]);
    run.interrupt().ok();
}
