use serde_json::json;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_model::twin::Twin;

use super::super::document::{ConfigurationId, ConfigurationRequest};
use super::*;

const STORED: &str = include_str!("../../../record/format-2.json");

fn now(second: u8) -> Timestamp {
    format!("2026-08-01T10:00:{second:02}Z").parse().unwrap()
}

/// Configurations as `{id: {content, targetCondition, priority}}`, made one second after the other.
fn configurations(all: &[(&str, Value)]) -> Vec<Configuration> {
    let mut configurations: Vec<_> = (0..)
        .zip(all)
        .map(|(second, (id, request))| {
            let request: ConfigurationRequest = serde_json::from_value(request.clone()).unwrap();
            let id = ConfigurationId::new(id).unwrap();
            Configuration::create(&id, request, now(second)).unwrap()
        })
        .collect();
    configurations.sort_by(|left, right| left.rank().cmp(&right.rank()));
    configurations
}

fn record(module: Option<&str>, tags: &Value, desired: &Value) -> Record {
    let device = DeviceId::new("d").unwrap();
    let owner = match module {
        None => TwinOwner::Device(device),
        Some(module) => TwinOwner::Module(ModuleIdentity {
            device,
            module: ModuleId::new(module).unwrap(),
        }),
    };
    let mut record = Record::decode(&owner, STORED.as_bytes()).unwrap();
    record.twin = Twin::new(now(0));
    let change = ServiceChange {
        tags: tags.as_object(),
        desired: desired.as_object(),
    };
    record.twin.patch(change, now(0)).unwrap();
    record.configurations.clear();
    record.configured.clear();
    record.deployed.clear();
    record
}

/// A device with its modules.
#[derive(Clone)]
struct Device {
    device: Record,
    modules: Vec<Record>,
}

impl Device {
    fn new(tags: &Value, desired: &Value) -> Self {
        let empty = json!({});
        let modules = ["$edgeAgent", "$edgeHub", "m"];
        Self {
            device: record(None, tags, desired),
            modules: modules
                .map(|name| record(Some(name), &empty, &empty))
                .to_vec(),
        }
    }

    fn plan(&self, configurations: &[Configuration]) -> Plan {
        let connection = ConnectionView::NEVER;
        let subject = |record| Subject { record, connection };
        let modules: Vec<_> = self.modules.iter().map(subject).collect();
        plan(
            configurations,
            &subject(&self.device),
            &modules,
            Room::Enough,
            now(30),
        )
    }

    /// Makes it as configurations say, and sees that this is all.
    fn settle(&mut self, all: &[(&str, Value)]) {
        let configurations = configurations(all);
        let planned = self.plan(&configurations);
        for module in planned.missing {
            let module = record(Some(module.as_str()), &json!({}), &json!({}));
            self.modules.push(module);
        }
        for record in self.plan(&configurations).changed {
            let owner = &record.identity.owner;
            match self
                .modules
                .iter_mut()
                .find(|module| module.identity.owner == *owner)
            {
                Some(module) => *module = record,
                None => self.device = record,
            }
        }
        let again = self.plan(&configurations);
        assert_eq!(
            (again.missing, again.changed),
            (vec![], vec![]),
            "one pass is enough"
        );
    }

    fn module(&self, name: &str) -> &Record {
        let mut modules = self.modules.iter();
        modules
            .find(|record| record.identity.owner.module().unwrap().as_str() == name)
            .unwrap()
    }
}

fn desired(record: &Record) -> Value {
    Value::Object(record.twin.desired.properties().clone())
}

fn statuses(record: &Record) -> Value {
    let statuses = record.configurations.iter();
    statuses
        .map(|(id, status)| (id.clone(), json!(status)))
        .collect()
}

fn settings(priority: i64, settings: Value) -> Value {
    json!({ "content": { "deviceContent": settings }, "targetCondition": "*", "priority": priority })
}

#[track_caller]
fn check_device(before: Value, all: &[(&str, Value)], after: Value, expected: Value) {
    let mut device = Device::new(&json!({ "site": "north" }), &before);
    device.settle(all);
    assert_eq!(
        (desired(&device.device), statuses(&device.device)),
        (after, expected)
    );
    // When all are gone, only what was there before and nobody overrode is left.
    device.settle(&[]);
    assert_eq!(statuses(&device.device), json!({}));
    assert!(device.device.configured.is_empty());
}

#[test]
fn the_last_word_about_a_setting_has_the_highest_priority_and_then_the_newest() {
    let a = |value: i64| json!({ "properties.desired.a": value });
    check_device(
        json!({ "own": 1 }),
        &[("x", settings(1, a(1)))],
        json!({ "own": 1, "a": 1 }),
        json!({ "x": "Applied" }),
    );
    check_device(
        json!({}),
        &[("x", settings(2, a(1))), ("y", settings(1, a(2)))],
        json!({ "a": 1 }),
        json!({ "x": "Applied", "y": "Targeted" }),
    );
    check_device(
        json!({}),
        &[("x", settings(1, a(1))), ("y", settings(1, a(2)))],
        json!({ "a": 2 }),
        json!({ "x": "Targeted", "y": "Applied" }),
    );
    check_device(
        json!({ "a": 9 }),
        &[
            (
                "x",
                settings(
                    1,
                    json!({ "properties.desired.a": 1, "properties.desired.b": 1 }),
                ),
            ),
            ("y", settings(2, a(2))),
        ],
        json!({ "a": 2, "b": 1 }),
        json!({ "x": "Applied", "y": "Applied" }),
    );
}

#[test]
fn settings_within_each_other_are_put_in_order() {
    let (outer, inner) = (
        json!({ "properties.desired.a": { "x": 1 } }),
        json!({ "properties.desired.a.b": 2 }),
    );
    check_device(
        json!({ "a": { "own": 1 } }),
        &[
            ("outer", settings(1, outer.clone())),
            ("inner", settings(2, inner.clone())),
        ],
        json!({ "a": { "x": 1, "b": 2 } }),
        json!({ "outer": "Applied", "inner": "Applied" }),
    );
    check_device(
        json!({ "a": { "own": 1 } }),
        &[
            ("outer", settings(2, outer.clone())),
            ("inner", settings(1, inner.clone())),
        ],
        json!({ "a": { "x": 1 } }),
        json!({ "outer": "Applied", "inner": "Targeted" }),
    );
    check_device(
        json!({ "a": { "own": 1 } }),
        &[("inner", settings(1, inner))],
        json!({ "a": { "own": 1, "b": 2 } }),
        json!({ "inner": "Applied" }),
    );
}

#[test]
fn only_those_that_a_condition_chooses_are_configured() {
    let mut north = settings(1, json!({ "properties.desired.a": 1 }));
    north["targetCondition"] = json!("tags.site = 'north'");
    let mut south = north.clone();
    south["targetCondition"] = json!("tags.site = 'south'");
    let mut nobody = north.clone();
    nobody["targetCondition"] = json!("");
    check_device(
        json!({}),
        &[("n", north), ("s", south), ("o", nobody)],
        json!({ "a": 1 }),
        json!({ "n": "Applied" }),
    );
}

#[test]
fn what_no_configuration_sets_any_more_goes_or_is_what_others_say() {
    let high = settings(
        2,
        json!({ "properties.desired.a.b": 2, "properties.desired.c": 2 }),
    );
    let low = settings(1, json!({ "properties.desired.a.b": 1 }));
    let mut device = Device::new(&json!({}), &json!({ "own": 1, "c": 9 }));
    device.settle(&[("high", high), ("low", low.clone())]);
    assert_eq!(
        desired(&device.device),
        json!({ "own": 1, "a": { "b": 2 }, "c": 2 })
    );
    let version = device.device.twin.desired.version();
    device.settle(&[("low", low)]);
    assert_eq!(
        desired(&device.device),
        json!({ "own": 1, "a": { "b": 1 } })
    );
    assert_eq!(device.device.twin.desired.version(), version + 1);
    device.settle(&[]);
    assert_eq!(desired(&device.device), json!({ "own": 1 }));
}

#[test]
fn what_somebody_changes_by_hand_is_put_right() {
    let all = [("x", settings(1, json!({ "properties.desired.a": 1 })))];
    let mut device = Device::new(&json!({}), &json!({}));
    device.settle(&all);
    let patch = json!({ "a": 5, "own": 2 });
    let change = ServiceChange {
        tags: None,
        desired: patch.as_object(),
    };
    device.device.twin.patch(change, now(1)).unwrap();
    device.settle(&all);
    assert_eq!(desired(&device.device), json!({ "a": 1, "own": 2 }));
}

#[test]
fn a_change_that_a_twin_may_not_have_is_not_made() {
    let texts: Vec<_> = (0..7).map(|_| "x".repeat(4000)).collect();
    let large = settings(1, json!({ "properties.desired.large": texts }));
    let mut device = Device::new(
        &json!({}),
        &json!({ "own": ["y".repeat(4000), "z".repeat(2000)] }),
    );
    let before = desired(&device.device);
    device.settle(&[
        ("large", large.clone()),
        ("other", settings(2, json!({ "properties.desired.a": 1 }))),
    ]);
    assert_eq!(desired(&device.device), before);
    assert_eq!(
        statuses(&device.device),
        json!({ "large": "Targeted", "other": "Targeted" })
    );
    let refused = device.plan(&configurations(&[("large", large)])).refused;
    assert_eq!(refused.len(), 1);
}

#[test]
fn modules_are_configured_each_for_itself() {
    let content = json!({ "moduleContent": { "properties.desired.a": 1 } });
    let condition = "FROM devices.modules WHERE moduleId = 'm'";
    let one = json!({ "content": content, "targetCondition": condition });
    let mut device = Device::new(&json!({}), &json!({}));
    device.settle(&[("one", one.clone())]);
    assert_eq!(desired(device.module("m")), json!({ "a": 1 }));
    assert_eq!(statuses(device.module("m")), json!({ "one": "Applied" }));
    assert_eq!(statuses(device.module("$edgeAgent")), json!({}));
    assert_eq!(
        (desired(&device.device), statuses(&device.device)),
        (json!({}), json!({}))
    );
    device.settle(&[]);
    assert_eq!(desired(device.module("m")), json!({}));
}

fn base(priority: i64, name: &str) -> Value {
    json!({ "targetCondition": "*", "priority": priority, "content": { "modulesContent": {
        "$edgeAgent": { "properties.desired": { "base": name, "modules": { "x": { "image": name } } } },
        "$edgeHub": { "properties.desired": { "routes": { "up": name } } },
        "m": { "properties.desired": { "of": name } },
    } } })
}

fn layer(priority: i64, name: &str) -> Value {
    json!({ "targetCondition": "*", "priority": priority, "content": { "modulesContent": {
        "$edgeAgent": { "properties.desired.modules.y": { "image": name } },
        "$edgeHub": { "properties.desired.routes.r": name },
        "m": { "properties.desired.layer": name },
        "y": { "properties.desired.of": name },
    } } })
}

/// What becomes of `$edgeAgent`, and the statuses there.
#[track_caller]
fn check_deployments(all: &[(&str, Value)], expected: &Value, expected_statuses: &Value) {
    let mut device = Device::new(&json!({}), &json!({}));
    device.settle(all);
    let agent = device.module("$edgeAgent");
    assert_eq!(
        (&desired(agent), &statuses(agent)),
        (expected, expected_statuses)
    );
    assert_eq!(statuses(device.module("m")), json!({}));
}

#[test]
fn of_several_deployments_the_one_of_the_highest_priority_is_the_base() {
    let agent = |name: &str| json!({ "base": name, "modules": { "x": { "image": name } } });
    check_deployments(
        &[("a", base(0, "a"))],
        &agent("a"),
        &json!({ "a": "Applied" }),
    );
    check_deployments(
        &[("a", base(5, "a")), ("b", base(3, "b"))],
        &agent("a"),
        &json!({ "a": "Applied", "b": "Targeted" }),
    );
    check_deployments(
        &[("a", base(5, "a")), ("b", base(5, "b"))],
        &agent("b"),
        &json!({ "a": "Targeted", "b": "Applied" }),
    );
}

#[test]
fn layers_of_a_higher_priority_are_put_on_the_base_in_order() {
    let with =
        |y: &str| json!({ "base": "a", "modules": { "x": { "image": "a" }, "y": { "image": y } } });
    check_deployments(
        &[("l", layer(6, "l")), ("a", base(5, "a"))],
        &with("l"),
        &json!({ "a": "Applied", "l": "Applied" }),
    );
    check_deployments(
        &[
            ("l", layer(7, "l")),
            ("k", layer(6, "k")),
            ("a", base(5, "a")),
        ],
        &with("l"),
        &json!({ "a": "Applied", "k": "Applied", "l": "Applied" }),
    );
    check_deployments(
        &[
            ("l", layer(5, "l")),
            ("k", layer(4, "k")),
            ("a", base(5, "a")),
        ],
        &json!({ "base": "a", "modules": { "x": { "image": "a" } } }),
        &json!({ "a": "Applied", "k": "Targeted", "l": "Targeted" }),
    );
    check_deployments(
        &[("l", layer(5, "l"))],
        &json!({}),
        &json!({ "l": "Targeted" }),
    );
}

#[test]
fn deployments_make_modules_and_the_agent_comes_last() {
    let all = [("a", base(1, "a")), ("l", layer(2, "l"))];
    let mut device = Device::new(&json!({}), &json!({}));
    let plan = device.plan(&configurations(&all));
    assert_eq!(plan.missing, [ModuleId::new("y").unwrap()]);
    let last = plan.changed.last().unwrap();
    assert_eq!(last.identity.owner.module(), Some(&ModuleId::edge_agent()));
    device.settle(&all);
    assert_eq!(
        desired(device.module("m")),
        json!({ "of": "a", "layer": "l" })
    );
    assert_eq!(
        desired(device.module("$edgeHub")),
        json!({ "routes": { "up": "a", "r": "l" } })
    );
    assert_eq!(desired(device.module("y")), json!({ "of": "l" }));
    // What the next deployment does not give them any more goes.
    device.settle(&[("a", base(1, "a"))]);
    assert_eq!(desired(device.module("m")), json!({ "of": "a" }));
    assert_eq!(desired(device.module("y")), json!({}));
}

#[test]
fn without_a_base_a_device_goes_on_as_it_is_until_there_is_one_again() {
    let mut device = Device::new(&json!({}), &json!({}));
    device.settle(&[("a", base(1, "a")), ("l", layer(2, "l"))]);
    let before: Vec<_> = device.modules.iter().map(desired).collect();
    device.settle(&[("l", layer(2, "l"))]);
    assert_eq!(
        device.modules.iter().map(desired).collect::<Vec<_>>(),
        before
    );
    assert_eq!(
        statuses(device.module("$edgeAgent")),
        json!({ "l": "Targeted" })
    );
    device.settle(&[]);
    assert_eq!(
        device.modules.iter().map(desired).collect::<Vec<_>>(),
        before
    );
    device.settle(&[("b", base(1, "b"))]);
    assert_eq!(desired(device.module("m")), json!({ "of": "b" }));
    assert_eq!(desired(device.module("y")), json!({}));
}

#[test]
fn a_device_without_modules_takes_no_deployment() {
    let mut device = Device::new(&json!({}), &json!({}));
    device.device.identity.edge = false;
    device.settle(&[("a", base(1, "a"))]);
    assert_eq!(desired(device.module("$edgeAgent")), json!({}));
    assert_eq!(statuses(device.module("$edgeAgent")), json!({}));
}

#[test]
fn a_deployment_comes_whole_or_not_at_all() {
    let mut device = Device::new(&json!({}), &json!({}));
    device.settle(&[("a", base(1, "a"))]);
    let before: Vec<_> = device.modules.iter().map(desired).collect();
    // Each fits, both together do not.
    let texts: Vec<_> = (0..5).map(|_| "x".repeat(4000)).collect();
    let large = |priority: i64, key: &str| {
        let mut large = layer(priority, "l");
        large["content"]["modulesContent"]["m"] =
            json!({ format!("properties.desired.{key}"): texts });
        large
    };
    device.settle(&[
        ("a", base(1, "a")),
        ("k", large(2, "k")),
        ("l", large(3, "l")),
    ]);
    let after: Vec<_> = device.modules.iter().map(desired).take(3).collect();
    assert_eq!(after, before);
    let expected = json!({ "a": "Targeted", "k": "Targeted", "l": "Targeted" });
    assert_eq!(statuses(device.module("$edgeAgent")), expected);
    device.settle(&[("a", base(1, "a")), ("k", large(2, "k"))]);
    assert_eq!(desired(device.module("m"))["k"], json!(texts));
    let expected = json!({ "a": "Applied", "k": "Applied" });
    assert_eq!(statuses(device.module("$edgeAgent")), expected);
}

#[test]
fn a_device_full_of_modules_takes_no_deployment_that_needs_more() {
    let device = Device::new(&json!({}), &json!({}));
    let configurations = configurations(&[("a", base(1, "a")), ("l", layer(2, "l"))]);
    let connection = ConnectionView::NEVER;
    let subject = |record| Subject { record, connection };
    let modules: Vec<_> = device.modules.iter().map(subject).collect();
    let full = plan(
        &configurations,
        &subject(&device.device),
        &modules,
        Room::Full,
        now(1),
    );
    assert!(full.missing.is_empty());
    let [agent] = &full.changed[..] else {
        panic!("{:?}", full.changed);
    };
    assert_eq!(statuses(agent), json!({ "a": "Targeted", "l": "Targeted" }));
    assert_eq!(desired(agent), json!({}));
}

#[test]
fn configurations_of_modules_come_after_deployments() {
    let module = json!({
        "content": { "moduleContent": { "properties.desired.of": "me" } },
        "targetCondition": "FROM devices.modules WHERE moduleId = 'm'",
    });
    let mut device = Device::new(&json!({}), &json!({}));
    device.settle(&[("a", base(1, "a")), ("c", module.clone())]);
    assert_eq!(desired(device.module("m")), json!({ "of": "me" }));
    device.settle(&[("a", base(1, "a"))]);
    assert_eq!(desired(device.module("m")), json!({ "of": "a" }));
    device.settle(&[("c", module)]);
    device.settle(&[]);
    assert_eq!(desired(device.module("m")), json!({}));
}
