use std::collections::BTreeMap;

use proptest::prelude::*;
use wasm_edge_model::manifest::{Manifest, Origin};

use super::*;

/// A module as the manifest parser makes it, with what the planner looks at.
fn placed(id: &str, startup_order: u32, status: DesiredStatus, version: u8) -> Placed {
    let text = format!(
        r#"{{"modulesContent": {{"$edgeAgent": {{"properties.desired": {{
            "schemaVersion": "1.1", "runtime": {{"type": "docker"}}, "modules": {{"{id}": {{
                "type": "wasm", "settings": {{"image": "file:{version}.wasm"}}}}}}}}}}}}}}"#
    );
    let manifest = Manifest::check(&text, Origin::LocalFile)
        .expect("a valid manifest")
        .value;
    let mut spec = manifest.modules.into_values().next().expect("one module");
    spec.startup_order = startup_order;
    spec.status = status;
    Placed {
        spec,
        image_digest: format!("sha256:{version}"),
    }
}

fn set(modules: impl IntoIterator<Item = Placed>) -> BTreeMap<ModuleId, Placed> {
    modules
        .into_iter()
        .map(|placed| (placed.spec.id.clone(), placed))
        .collect()
}

fn id(text: &str) -> ModuleId {
    ModuleId::new(text).expect("valid")
}

/// The modules that are there and those that run after the commands, checking that each one makes sense.
fn carry_out(
    current: &BTreeMap<ModuleId, Placed>,
    commands: &[Command],
) -> (Vec<ModuleId>, Vec<ModuleId>) {
    let runs = |placed: &&Placed| placed.spec.status == DesiredStatus::Running;
    let mut there: Vec<ModuleId> = current.keys().cloned().collect();
    let mut running: Vec<ModuleId> = current
        .values()
        .filter(runs)
        .map(|placed| placed.spec.id.clone())
        .collect();
    for command in commands {
        match command {
            Command::RemoveModule(id) => {
                assert!(there.contains(id), "{id} is not there");
                there.retain(|other| other != id);
                running.retain(|other| other != id);
            }
            Command::CreateModule(id) => {
                assert!(!there.contains(id), "{id} is there already");
                there.push(id.clone());
            }
            Command::StartModules(ids) => {
                for id in ids {
                    assert!(
                        there.contains(id) && !running.contains(id),
                        "{id} cannot be started"
                    );
                    running.push(id.clone());
                }
            }
        }
    }
    there.sort();
    running.sort();
    (there, running)
}

#[test]
fn modules_start_by_order_and_stop_the_other_way() {
    let running = DesiredStatus::Running;
    let all = set([
        placed("a", 2, running, 1),
        placed("b", 1, running, 1),
        placed("c", 1, running, 1),
    ]);
    let started = plan(&BTreeMap::new(), &all);
    assert_eq!(
        started[3..],
        [
            Command::StartModules(vec![id("b"), id("c")]),
            Command::StartModules(vec![id("a")]),
        ]
    );
    let stopped = plan(&all, &BTreeMap::new());
    assert_eq!(stopped[0], Command::RemoveModule(id("a")));
    assert_eq!(stopped.len(), 3);
}

#[test]
fn a_stopped_module_is_made_and_not_started() {
    let commands = plan(
        &BTreeMap::new(),
        &set([placed("a", 1, DesiredStatus::Stopped, 1)]),
    );
    assert_eq!(commands, [Command::CreateModule(id("a"))]);
}

fn modules() -> impl Strategy<Value = BTreeMap<ModuleId, Placed>> {
    let module =
        (0_u8..5, 0_u32..3, any::<bool>(), 0_u8..2).prop_map(|(name, order, runs, version)| {
            let status = if runs {
                DesiredStatus::Running
            } else {
                DesiredStatus::Stopped
            };
            placed(&format!("m{name}"), order, status, version)
        });
    proptest::collection::vec(module, 0..5).prop_map(set)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_plan_leads_to_what_is_desired_and_touches_only_what_differs(current in modules(), desired in modules()) {
        let commands = plan(&current, &desired);
        let (there, running) = carry_out(&current, &commands);
        prop_assert_eq!(there, desired.keys().cloned().collect::<Vec<_>>());
        let wanted: Vec<ModuleId> = desired.values()
            .filter(|placed| placed.spec.status == DesiredStatus::Running)
            .map(|placed| placed.spec.id.clone()).collect();
        prop_assert_eq!(running, wanted);
        for command in &commands {
            if let Command::RemoveModule(id) = command {
                prop_assert_ne!(current.get(id), desired.get(id));
            }
        }
        prop_assert!(plan(&desired, &desired).is_empty());
    }
}
