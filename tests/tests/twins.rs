//! Twins while a device runs: desired properties come in, reported ones go out, and both have limits.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, body};

/// `twin-echo`, fed by `feed`; what it says goes upstream.
fn start(home: &Home, desired: Value) -> Run<'_> {
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("twin-echo").desired(desired))
        .pass("feed/out", "twin-echo/in")
        .upstream("twin-echo")
        .write(home);
    Run::of(home, &manifest)
}

#[test]
fn the_module_gets_all_desired_properties_once_and_then_what_changes() {
    let home = Home::new();
    let run = start(&home, json!({ "x": 1, "deep": { "a": 1, "b": 2 } }));
    let (full, next) = run.upstream("twin-echo", 0, |body| Some(body.clone()));
    assert_eq!(full["kind"], "full");
    assert_eq!(full["update"]["deep"], json!({ "a": 1, "b": 2 }));
    let version = full["version"].as_u64().unwrap();

    let twin = run.patch("twin-echo", &json!({ "x": 2, "deep": { "b": null } }));
    assert_eq!(twin["properties"]["desired"]["deep"], json!({ "a": 1 }));
    let (patch, next) = run.upstream("twin-echo", next, |body| Some(body.clone()));
    assert_eq!(patch["kind"], "patch");
    assert_eq!(patch["version"], version + 1);
    let expected = json!({ "x": 2, "deep": { "b": null }, "$version": version + 1 });
    assert_eq!(patch["update"], expected);
    run.wait_reported("twin-echo", "/x", &json!(2));

    run.patch("twin-echo", &json!({ "x": 3 }));
    let (patch, _) = run.upstream("twin-echo", next, |body| Some(body.clone()));
    assert_eq!(patch["update"], json!({ "x": 3, "$version": version + 2 }));
}

#[test]
fn a_restarted_module_gets_all_desired_properties_again() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("twin-echo").desired(json!({ "x": 1 })))
        .upstream("twin-echo")
        .write(&home);
    let run = Run::of(&home, &manifest);
    let (_, next) = run.upstream("twin-echo", 0, |body| {
        (body["kind"] == "full").then_some(())
    });
    run.patch("twin-echo", &json!({ "y": 2 }));
    let (_, next) = run.upstream("twin-echo", next, |body| {
        (body["kind"] == "patch").then_some(())
    });
    run.restart("twin-echo");
    let (full, _) = run.upstream("twin-echo", next, |body| Some(body.clone()));
    assert_eq!(
        full["kind"], "full",
        "a new instance begins with everything"
    );
    let update = &full["update"];
    assert_eq!((&update["x"], &update["y"]), (&json!(1), &json!(2)));
}

#[test]
fn what_is_reported_is_seen_at_the_service_side_with_version_and_metadata() {
    let home = Home::new();
    let run = start(&home, json!({ "x": { "y": "text", "z": [1, 2] } }));
    let twin = run.wait_reported("twin-echo", "/x/y", &json!("text"));
    let reported = &twin["properties"]["reported"];
    assert_eq!(reported["x"], json!({ "y": "text", "z": [1, 2] }));
    let version = reported["$version"].as_u64().unwrap();
    let metadata = &reported["$metadata"];
    for pointer in ["", "/x", "/x/y", "/x/z"] {
        let updated = metadata.pointer(&format!("{pointer}/$lastUpdated"));
        let text = updated.and_then(Value::as_str).unwrap_or_default();
        assert!(
            text.ends_with('Z') && text.starts_with("20"),
            "{pointer}: {metadata}"
        );
    }
    assert!(
        metadata.pointer("/x/z/0").is_none(),
        "arrays have one stamp: {metadata}"
    );

    run.send(&json!([{ "body": { "more": true } }]));
    let twin = run.wait_reported("twin-echo", "/more", &json!(true));
    let reported = &twin["properties"]["reported"];
    assert_eq!(reported["$version"], version + 1);
    assert_eq!(reported["x"]["y"], "text", "a report is a merge");
    run.send(&json!([{ "body": { "more": null } }]));
    run.wait_twin("twin-echo", |twin| {
        let reported = &twin["properties"]["reported"];
        reported["$version"] == version + 2
            && reported.get("more").is_none()
            && reported["$metadata"].get("more").is_none()
    });
    let text = run
        .verb(&["twin", "get", "twin-echo", "--reported"])
        .ok()
        .json();
    assert_eq!(text["x"]["y"], "text");
}

/// So many keys below each other; with 11 there are ten objects in the section, as many as IoT Hub takes.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!({ "k": inner }))
}

/// Patches with what their refusal names; the last one is good.
fn faulty_patches() -> Vec<(Value, &'static [&'static str])> {
    let many: serde_json::Map<String, Value> = (0..12)
        .map(|n| (format!("key{n}"), json!("x".repeat(3000))))
        .collect();
    vec![
        (json!({ "a.b": 1 }), &["`a.b`", "`.`"]),
        (json!({ "$a": 1 }), &["`$a`", "`$`"]),
        (json!({ "with space": 1 }), &["with space"]),
        (nested(12), &["deeper than 10 levels"]),
        (
            json!({ "long": "x".repeat(4097) }),
            &["`long`", "4097", "4096"],
        ),
        (json!({ "k".repeat(1025): 1 }), &["1025", "1024"]),
        (many.into(), &["32768"]),
        (
            json!({ "big": 4_503_599_627_370_496_i64 }),
            &["`big`", "4503599627370496"],
        ),
        (json!({ "list": [null] }), &["list", "null"]),
    ]
}

#[test]
fn reports_over_the_limits_are_refused_by_name_and_change_nothing() {
    let home = Home::new();
    let run = start(&home, json!({ "x": 1 }));
    let before = run.wait_reported("twin-echo", "/x", &json!(1));
    let mut telemetry = run.telemetry();
    for (patch, names) in faulty_patches() {
        run.send(&json!([{ "body": patch }]));
        let said = body(&telemetry.next("twin-echo"));
        let error = said["error"].as_str().unwrap_or_default();
        for name in names {
            assert!(error.contains(name), "`{name}` is not in: {said}");
        }
    }
    run.send(&json!([{ "body": nested(11) }]));
    assert_eq!(body(&telemetry.next("twin-echo"))["error"], Value::Null);
    let after = run.wait_twin("twin-echo", |twin| {
        !twin["properties"]["reported"]["k"].is_null()
    });
    let version = |twin: &Value| twin["properties"]["reported"]["$version"].as_u64().unwrap();
    assert_eq!(
        version(&after),
        version(&before) + 1,
        "only the good one counted"
    );
}

#[test]
fn patches_over_the_limits_are_refused_by_name_and_change_nothing() {
    let home = Home::new();
    let run = start(&home, json!({ "x": 1 }));
    let before = run.wait_reported("twin-echo", "/x", &json!(1));
    for (patch, names) in faulty_patches() {
        let file = home.write("patch.json", patch.to_string());
        let ended = run.verb(&[
            "twin",
            "patch",
            "twin-echo",
            &format!("@{}", file.display()),
        ]);
        ended.ended_with(7).says(names);
    }
    let after = run.twin("twin-echo");
    assert_eq!(
        after["properties"]["desired"],
        before["properties"]["desired"]
    );
    assert_eq!(after["etag"], before["etag"]);
}

#[test]
fn an_old_etag_is_refused_and_the_present_one_taken() {
    let home = Home::new();
    let run = start(&home, json!({ "x": 1 }));
    let twin = run.wait_reported("twin-echo", "/x", &json!(1));
    let etag = twin["etag"].as_str().unwrap();
    let patch = |etag: &str| run.verb(&["twin", "patch", "twin-echo", "{\"y\":1}", "--etag", etag]);
    patch(etag).ok();
    patch(etag).ended_with(6);
}

#[test]
fn twin_watch_shows_each_change() {
    let home = Home::new();
    let run = start(&home, json!({ "x": 1 }));
    run.wait_reported("twin-echo", "/x", &json!(1));
    let watch = run.verb_process(&["twin", "watch", "twin-echo", "--output", "json"]);
    let (_, next) = watch.find_json("the twin as it is", 0, |twin| {
        (twin["properties"]["desired"]["x"] == 1).then_some(())
    });
    run.patch("twin-echo", &json!({ "x": 2 }));
    watch.find_json("the change, and what came of it", next, |twin| {
        let properties = &twin["properties"];
        (properties["desired"]["x"] == 2 && properties["reported"]["x"] == 2).then_some(())
    });
}
