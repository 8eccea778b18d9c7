//! Queries and configurations of a running hub: pages, groups, faults; many devices follow a configuration, also when
//! the hub is killed on the way.

use serde_json::{Value, json};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::http;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::wait;

fn make(hub: &HubServe<'_>, device: &str, site: &str) {
    let identity = json!({ "deviceId": device, "capabilities": { "iotEdge": true } });
    let made = hub.ask("PUT", &format!("/devices/{device}"), Some(&identity));
    assert_eq!(made.status, 200, "{made:?}");
    tag(hub, device, site);
}

fn tag(hub: &HubServe<'_>, device: &str, site: &str) {
    let patch = json!({ "tags": { "site": site } });
    let patched = hub.ask("PATCH", &format!("/twins/{device}"), Some(&patch));
    assert_eq!(patched.status, 200, "{patched:?}");
}

fn ask(hub: &HubServe<'_>, query: &str, headers: &[&str]) -> http::Answer {
    let body = json!({ "query": query });
    let answer = http::ask_with(&hub.data(), "POST", "/devices/query", headers, Some(&body));
    answer.expect("the hub answers")
}

fn query(hub: &HubServe<'_>, text: &str) -> Value {
    let answer = ask(hub, text, &[]);
    assert_eq!(answer.status, 200, "{text}: {answer:?}");
    assert_eq!(answer.header("x-ms-continuation"), None);
    answer.body
}

fn count(hub: &HubServe<'_>, condition: &str) -> u64 {
    let found = query(
        hub,
        &format!("SELECT COUNT() AS n FROM devices WHERE {condition}"),
    );
    found[0]["n"].as_u64().unwrap_or_else(|| panic!("{found}"))
}

fn north() -> Value {
    json!({
        "content": { "deviceContent": { "properties.desired.heating.high": 21.5 } },
        "targetCondition": "tags.site = 'north'", "priority": 5,
        "metrics": { "queries": { "all": "SELECT deviceId FROM devices" } },
    })
}

#[test]
fn twins_are_found_in_pages_columns_and_groups_also_after_a_kill() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    for (device, site) in [("a", "north"), ("b", "south"), ("c", "north")] {
        make(&hub, device, site);
    }
    let all = query(&hub, "SELECT * FROM devices");
    assert_eq!(all[1], hub.get("/twins/b"));
    let groups = "SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site";
    let expected = json!([{ "site": "north", "n": 2 }, { "site": "south", "n": 1 }]);
    assert_eq!(query(&hub, groups), expected);
    let modules = "SELECT deviceId, moduleId FROM devices.modules WHERE deviceId = 'b'";
    let expected = json!([
        { "deviceId": "b", "moduleId": "$edgeAgent" }, { "deviceId": "b", "moduleId": "$edgeHub" }
    ]);
    assert_eq!(query(&hub, modules), expected);

    // A token is good for another process too.
    let columns = "SELECT deviceId FROM devices WHERE tags.site = 'north'";
    let first = ask(&hub, columns, &["x-ms-max-item-count: 1"]);
    assert_eq!(first.header("x-ms-item-type"), Some("Raw"));
    assert_eq!(first.body, json!([{ "deviceId": "a" }]));
    let token = first
        .header("x-ms-continuation")
        .expect("there is more")
        .to_owned();
    let hub = hub.kill_and_restart();
    let second = ask(&hub, columns, &[&format!("x-ms-continuation: {token}")]);
    assert_eq!(second.body, json!([{ "deviceId": "c" }]));
    assert_eq!(second.header("x-ms-continuation"), None);
    let other = ask(
        &hub,
        "SELECT * FROM devices",
        &[&format!("x-ms-continuation: {token}")],
    );
    assert_eq!(other.status, 400, "{other:?}");
    let bad = ask(
        &hub,
        "SELECT * FROM devices WHERE tags.site == 'north'",
        &[],
    );
    assert_eq!(bad.status, 400);
    let message = bad.body["Message"].as_str().unwrap_or_default();
    assert!(
        message.contains("column 40: `=` cannot stand here; expected a value"),
        "{message}"
    );
}

#[test]
fn devices_follow_a_configuration_into_its_scope_and_out_of_it() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    for (device, site) in [("a", "north"), ("b", "south")] {
        make(&hub, device, site);
    }
    let path = "/configurations/winter";
    assert_eq!(hub.ask("PUT", path, Some(&north())).status, 200);
    let desired =
        |device: &str| hub.get(&format!("/twins/{device}"))["properties"]["desired"].clone();
    let has = |device: &str| desired(device)["heating"] == json!({ "high": 21.5 });
    wait::until_so("the configuration comes to `a`", || has("a"));
    assert!(!has("b"));
    let twin = hub.get("/twins/a");
    assert_eq!(
        twin["configurations"],
        json!({ "winter": { "status": "Applied" } })
    );
    let shown = hub.get(path);
    let results = &shown["systemMetrics"]["results"];
    assert_eq!(*results, json!({ "targetedCount": 1, "appliedCount": 1 }));
    assert_eq!(shown["metrics"]["results"], json!({ "all": 2 }));
    tag(&hub, "b", "north");
    tag(&hub, "a", "south");
    wait::until_so("it follows the tags", || {
        has("b") && desired("a").get("heating").is_none()
    });
    assert_eq!(hub.ask("DELETE", path, None).status, 204);
    wait::until_so("it goes", || desired("b").get("heating").is_none());
    assert_eq!(hub.get("/twins/b").get("configurations"), None);
}

#[test]
fn a_deployment_comes_to_every_device_that_runs_modules_with_its_layers() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    make(&hub, "edge", "north");
    let plain = hub.ask(
        "PUT",
        "/devices/plain",
        Some(&json!({ "deviceId": "plain" })),
    );
    assert_eq!(plain.status, 200);
    let base = json!({ "targetCondition": "*", "content": { "modulesContent": {
        "$edgeAgent": { "properties.desired": { "schemaVersion": "1.1", "modules": {} } },
        "$edgeHub": { "properties.desired": { "schemaVersion": "1.1", "routes": {} } },
    } } });
    let layer = json!({ "targetCondition": "tags.site = 'north'", "priority": 1, "content": { "modulesContent": {
        "$edgeAgent": { "properties.desired.modules.m": { "type": "docker" } },
        "$edgeHub": { "properties.desired.routes.up": "FROM /messages/* INTO $upstream" },
        "m": { "properties.desired.interval": 5 },
    } } });
    for (id, configuration) in [("base", &base), ("layer", &layer)] {
        let made = hub.ask("PUT", &format!("/configurations/{id}"), Some(configuration));
        assert_eq!(made.status, 200, "{made:?}");
    }
    let agent = || hub.get("/twins/edge/modules/%24edgeAgent");
    wait::until_so("the layer comes to the agent", || {
        agent()["properties"]["desired"]["modules"] == json!({ "m": { "type": "docker" } })
    });
    let expected = json!({ "base": { "status": "Applied" }, "layer": { "status": "Applied" } });
    assert_eq!(agent()["configurations"], expected);
    assert_eq!(agent()["properties"]["desired"]["schemaVersion"], "1.1");
    let module = hub.get("/twins/edge/modules/m");
    assert_eq!(module["properties"]["desired"]["interval"], 5);
    assert_eq!(hub.get("/devices/plain/modules"), json!([]));
    let results = hub.get("/configurations/base")["systemMetrics"]["results"].clone();
    let expected = json!({ "targetedCount": 1, "appliedCount": 1, "reportedSuccessfulCount": 0, "reportedFailedCount": 0 });
    assert_eq!(results, expected);
}

#[test]
fn a_hub_that_is_killed_on_the_way_goes_on_with_its_configurations() {
    let home = Home::new();
    let mut hub = HubServe::start(&home);
    let devices = 60;
    for number in 0..devices {
        make(&hub, &format!("d{number}"), "north");
    }
    let applied = "properties.desired.heating.high = 21.5";
    assert_eq!(
        hub.ask("PUT", "/configurations/winter", Some(&north()))
            .status,
        200
    );
    // Each time a bit further, if it is not done before.
    for part in [0, devices / 4, devices / 2] {
        wait::until_so("some devices are done", || count(&hub, applied) >= part);
        hub = hub.kill_and_restart();
    }
    wait::until_so("all devices are done", || count(&hub, applied) == devices);
    assert_eq!(
        hub.ask("DELETE", "/configurations/winter", None).status,
        204
    );
    let hub = hub.kill_and_restart();
    let left = "IS_DEFINED(properties.desired.heating) OR IS_DEFINED(configurations)";
    wait::until_so("nothing is left", || count(&hub, left) == 0);
}

#[test]
fn verbs_ask_for_twins_and_work_with_configurations() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    for (device, site) in [("a", "north"), ("b", "south"), ("c", "north")] {
        make(&hub, device, site);
    }
    let groups = "SELECT tags.site AS site, COUNT() AS devices FROM devices GROUP BY tags.site";
    let printed = hub.verb(&["hub", "query", groups]).ok();
    let lines = printed.stdout.lines().skip(1);
    let rows: Vec<Vec<&str>> = lines
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows, [["2", "north"], ["1", "south"]]);
    let json = hub.verb(&[
        "hub",
        "query",
        "SELECT deviceId FROM devices",
        "--top",
        "2",
        "--output",
        "json",
    ]);
    let json = json.ok();
    let items: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(items, json!([{ "deviceId": "a" }, { "deviceId": "b" }]));
    assert!(
        json.stderr.contains("there are more than these 2"),
        "{json:?}"
    );
    let twins = hub.verb(&[
        "hub",
        "query",
        "SELECT * FROM devices.modules WHERE deviceId = 'b'",
    ]);
    assert!(twins.ok().stdout.contains("$edgeHub"));
    let bad = hub.verb(&["hub", "query", "SELECT"]);
    assert_ne!(bad.status, Some(0));
    assert!(
        bad.stderr.contains("column 7: the text ends here"),
        "{bad:?}"
    );

    let mut file = north();
    file["id"] = json!("winter");
    let path = home.path().join("winter.json");
    let write = |file: &Value| std::fs::write(&path, file.to_string()).expect("it can be written");
    let text = path.to_str().expect("it is text").to_owned();
    let verb = |action: &str, id: &str| hub.verb(&["hub", "configuration", action, id]);
    write(&file);
    verb("create", &text).ok();
    let again = verb("create", &text);
    assert!(
        again
            .stderr
            .contains("the configuration `winter` exists already"),
        "{again:?}"
    );
    file["priority"] = json!(9);
    write(&file);
    let applied = verb("apply", &text).ok();
    assert!(
        applied
            .stderr
            .contains("the configuration `winter` is changed"),
        "{applied:?}"
    );
    file["content"]["deviceContent"] = json!({ "properties.desired.heating.high": 23 });
    write(&file);
    let applied = verb("apply", &text).ok();
    assert!(applied.stderr.contains("is made anew"), "{applied:?}");
    wait::until_so("two devices are done", || {
        count(&hub, "properties.desired.heating.high = 23") == 2
    });
    let listed = verb_list(&hub);
    assert!(
        listed.contains("winter") && listed.contains("tags.site = 'north'"),
        "{listed}"
    );
    let shown = verb("show", "winter").ok();
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(shown["priority"], 9);
    verb("delete", "winter").ok();
    let gone = verb("show", "winter");
    assert!(gone.stderr.contains("hub configuration list"), "{gone:?}");
}

fn verb_list(hub: &HubServe<'_>) -> String {
    hub.verb(&["hub", "configuration", "list"]).ok().stdout
}
