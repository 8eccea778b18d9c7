use std::collections::BTreeSet;

use proptest::prelude::*;
use wasm_edge_images::digest::Digest;
use wasm_edge_model::manifest::{Manifest, Origin, RestartPolicy};

use super::*;

/// A module as the manifest parser makes it, with what the planner looks at.
fn placed(id: &str, startup_order: u32, status: DesiredStatus, version: u8) -> Placed {
    let text = format!(
        r#"{{"modulesContent": {{"$edgeAgent": {{"properties.desired": {{
            "schemaVersion": "1.1", "runtime": {{"type": "docker"}}, "modules": {{"{id}": {{
                "type": "wasm", "settings": {{"image": "file:m.wasm"}}}}}}}}}}}}}}"#
    );
    let manifest = Manifest::check(&text, Origin::LocalFile)
        .expect("a valid manifest")
        .value;
    let mut spec = manifest.modules.into_values().next().expect("one module");
    spec.startup_order = startup_order;
    spec.status = status;
    Placed {
        spec,
        image: ImageDigests {
            component: Digest::of(&[version]),
            manifest: None,
        },
    }
}

fn running(id: &str, startup_order: u32) -> Placed {
    placed(id, startup_order, DesiredStatus::Running, 1)
}

fn id(text: &str) -> ModuleId {
    ModuleId::new(text).expect("valid")
}

fn routes(count: usize) -> Wiring {
    let route = |number: usize| {
        let name = wasm_edge_model::route::RouteName::new(&format!("r{number}")).expect("valid");
        Route::parse(name, "FROM /messages/* INTO $upstream").expect("valid")
    };
    Wiring {
        store_max_bytes: None,
        routes: (0..count).map(route).collect(),
        time_to_live: None,
    }
}

fn desired(modules: impl IntoIterator<Item = Placed>, wiring: Wiring) -> Desired {
    let modules = modules.into_iter();
    Desired {
        modules: modules
            .map(|placed| (placed.spec.id.clone(), placed))
            .collect(),
        wiring,
    }
}

/// The state that a deployment leaves when all of it was carried out.
fn settled(desired: &Desired) -> Current {
    let mut current = Current::default();
    for command in plan(&current, desired) {
        carry_out(&mut current, &command, desired);
    }
    current
}

/// Does one step, checking that it makes sense where it stands.
fn carry_out(current: &mut Current, command: &Command, desired: &Desired) {
    match command {
        Command::FetchImages(_) | Command::CheckFit | Command::ProvisionIdentities(_) => {}
        Command::StopModule(id) => {
            let here = current.modules.get_mut(id).expect("it is there");
            assert!(here.started, "{id} is stopped twice");
            here.started = false;
        }
        Command::RemoveModule(id) => {
            let here = current.modules.remove(id).expect("it is there");
            assert!(!here.started, "{id} is let go while it runs");
        }
        Command::ApplyRoutes => current.wiring = Some(desired.wiring.clone()),
        Command::ChangeSettings(id) => {
            current.modules.get_mut(id).expect("it is there").placed = desired.modules[id].clone();
        }
        Command::ChangeStatus(id, status) => {
            let here = current.modules.get_mut(id).expect("it is there");
            here.placed = desired.modules[id].clone();
            here.started &= *status == DesiredStatus::Running;
        }
        Command::CreateModule(id) | Command::UpdateModule(id) => {
            let here = Here {
                placed: desired.modules[id].clone(),
                started: false,
                identity_replaced: false,
            };
            let before = current.modules.insert(id.clone(), here);
            let updates = matches!(command, Command::UpdateModule(_));
            assert_eq!(updates, before.is_some(), "{id}");
            assert!(before.is_none_or(|here| !here.started), "{id} still runs");
        }
        Command::StartModules(ids) => {
            for id in ids {
                let here = current.modules.get_mut(id).expect("it is there");
                assert!(!here.started, "{id} is started twice");
                here.started = true;
            }
        }
    }
}

/// The modules that a step stops, replaces, starts or lets go.
fn disturbed(command: &Command) -> Vec<ModuleId> {
    match command {
        Command::StopModule(id)
        | Command::RemoveModule(id)
        | Command::ChangeStatus(id, _)
        | Command::CreateModule(id)
        | Command::UpdateModule(id) => vec![id.clone()],
        Command::StartModules(ids) => ids.clone(),
        _ => Vec::new(),
    }
}

#[track_caller]
fn check(from: &Desired, to: &Desired, expected: &[Command]) {
    assert_eq!(plan(&settled(from), to), expected);
}

#[test]
fn modules_start_by_order_after_all_that_can_fail_and_stop_the_other_way() {
    let all = [running("a", 2), running("b", 1), running("c", 1)];
    let (none, all) = (
        desired([], Wiring::default()),
        desired(all, Wiring::default()),
    );
    let ids = || vec![id("a"), id("b"), id("c")];
    check(
        &none,
        &all,
        &[
            Command::FetchImages(ids()),
            Command::CheckFit,
            Command::ProvisionIdentities(ids()),
            Command::CreateModule(id("a")),
            Command::CreateModule(id("b")),
            Command::CreateModule(id("c")),
            Command::StartModules(vec![id("b"), id("c")]),
            Command::StartModules(vec![id("a")]),
        ],
    );
    check(
        &all,
        &none,
        &[
            Command::StopModule(id("a")),
            Command::StopModule(id("b")),
            Command::StopModule(id("c")),
            Command::RemoveModule(id("a")),
            Command::RemoveModule(id("b")),
            Command::RemoveModule(id("c")),
        ],
    );
}

#[test]
fn a_new_manifest_of_the_same_component_disturbs_nothing() {
    let before = desired([running("a", 1)], routes(1));
    let mut after = before.clone();
    let placed = after.modules.get_mut(&id("a")).expect("there");
    placed.image.manifest = Some(Digest::of(b"manifest"));
    check(&before, &after, &[Command::ChangeSettings(id("a"))]);
}

#[test]
fn a_new_image_replaces_a_module_and_leaves_the_others_alone() {
    let before = desired([running("a", 1), running("b", 1)], routes(1));
    let mut after = before.clone();
    after
        .modules
        .get_mut(&id("b"))
        .expect("there")
        .image
        .component = Digest::of(b"another");
    check(
        &before,
        &after,
        &[
            Command::FetchImages(vec![id("b")]),
            Command::CheckFit,
            Command::ProvisionIdentities(vec![id("b")]),
            Command::StopModule(id("b")),
            Command::UpdateModule(id("b")),
            Command::StartModules(vec![id("b")]),
        ],
    );
}

/// What is done with a module `a` that is to run and cannot stay as it is.
fn made_anew() -> [Command; 6] {
    [
        Command::FetchImages(vec![id("a")]),
        Command::CheckFit,
        Command::ProvisionIdentities(vec![id("a")]),
        Command::StopModule(id("a")),
        Command::UpdateModule(id("a")),
        Command::StartModules(vec![id("a")]),
    ]
}

#[test]
fn a_module_whose_identity_was_made_anew_is_made_anew() {
    let wanted = desired([running("a", 1), running("b", 2)], routes(1));
    let mut current = settled(&wanted);
    current
        .modules
        .get_mut(&id("a"))
        .expect("it is there")
        .identity_replaced = true;
    let expected = made_anew();
    assert_eq!(plan(&current, &wanted), expected);
    for command in &expected {
        carry_out(&mut current, command, &wanted);
    }
    assert_eq!(plan(&current, &wanted), []);
}

#[test]
fn a_status_alone_makes_nothing_anew() {
    let on = desired([running("a", 1)], Wiring::default());
    let off = desired(
        [placed("a", 1, DesiredStatus::Stopped, 1)],
        Wiring::default(),
    );
    check(
        &on,
        &off,
        &[Command::ChangeStatus(id("a"), DesiredStatus::Stopped)],
    );
    check(
        &off,
        &on,
        &[
            Command::ChangeStatus(id("a"), DesiredStatus::Running),
            Command::StartModules(vec![id("a")]),
        ],
    );
}

#[test]
fn what_does_not_alter_how_a_module_runs_is_changed_in_place() {
    let before = desired([running("a", 1)], Wiring::default());
    let check_changed = |change: fn(&mut ModuleSpec), expected: &[Command]| {
        let mut after = before.clone();
        change(&mut after.modules.get_mut(&id("a")).expect("there").spec);
        check(&before, &after, expected);
    };
    let in_place = [Command::ChangeSettings(id("a"))];
    check_changed(|_| {}, &[]);
    check_changed(|spec| spec.warnings.push("odd".to_owned()), &in_place);
    check_changed(|spec| spec.keep_data = true, &in_place);
    check_changed(|spec| spec.keep_local_changes = true, &in_place);
    check_changed(|spec| spec.startup_order = 7, &in_place);
    check_changed(|spec| spec.restart_policy = RestartPolicy::Never, &in_place);
    let anew = made_anew();
    check_changed(
        |spec| drop(spec.env.insert("A".to_owned(), "1".to_owned())),
        &anew,
    );
    check_changed(|spec| spec.args.push("-v".to_owned()), &anew);
    check_changed(|spec| spec.limits.memory_limit_bytes += 1, &anew);
    check_changed(|spec| spec.version.push('2'), &anew);
}

#[test]
fn other_routes_alone_touch_no_module() {
    let before = desired([running("a", 1)], routes(1));
    let after = Desired {
        wiring: routes(2),
        ..before.clone()
    };
    check(&before, &after, &[Command::ApplyRoutes]);
}

fn modules() -> impl Strategy<Value = Desired> {
    let module = (
        0_u8..5,
        0_u32..3,
        any::<bool>(),
        0_u8..2,
        any::<bool>(),
        0_u8..2,
    );
    let module = module.prop_map(|(name, order, runs, version, keep_data, env)| {
        let status = if runs {
            DesiredStatus::Running
        } else {
            DesiredStatus::Stopped
        };
        let mut placed = placed(&format!("m{name}"), order, status, version);
        placed.spec.keep_data = keep_data;
        placed.spec.env.insert("E".to_owned(), env.to_string());
        placed
    });
    (proptest::collection::vec(module, 0..5), 0_usize..3)
        .prop_map(|(modules, count)| desired(modules, routes(count)))
}

/// Carries out the plan up to its step `stop`, as when it fails or the process ends there.
fn interrupted(current: &mut Current, desired: &Desired, stop: usize) {
    for command in plan(current, desired).iter().take(stop) {
        carry_out(current, command, desired);
    }
}

fn assert_reached(current: &Current, desired: &Desired) {
    assert_eq!(current.wiring.as_ref(), Some(&desired.wiring));
    let here: Vec<&Placed> = current.modules.values().map(|here| &here.placed).collect();
    assert_eq!(here, desired.modules.values().collect::<Vec<_>>());
    for here in current.modules.values() {
        let runs = here.placed.spec.status == DesiredStatus::Running;
        assert_eq!(here.started, runs, "{}", here.placed.spec.id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_plan_leads_to_what_is_desired_and_a_second_one_is_empty(before in modules(), after in modules()) {
        let mut current = settled(&before);
        let commands = plan(&current, &after);
        for command in &commands {
            carry_out(&mut current, command, &after);
        }
        assert_reached(&current, &after);
        prop_assert_eq!(plan(&current, &after), vec![]);
    }

    #[test]
    fn only_what_differs_in_how_it_runs_is_disturbed(before in modules(), after in modules()) {
        let touched: BTreeSet<ModuleId> =
            plan(&settled(&before), &after).iter().flat_map(disturbed).collect();
        let alike = |placed: &Placed| {
            let spec = &placed.spec;
            (spec.status, spec.env.clone(), placed.image.component)
        };
        for (id, placed) in &after.modules {
            let differs = before.modules.get(id).is_none_or(|before| alike(before) != alike(placed));
            prop_assert_eq!(touched.contains(id), differs, "{}", id);
        }
    }

    #[test]
    fn from_wherever_a_plan_ended_the_next_one_goes_on(
        before in modules(), between in modules(), after in modules(),
        first in 0_usize..16, second in 0_usize..16,
    ) {
        let mut current = settled(&before);
        interrupted(&mut current, &between, first);
        interrupted(&mut current, &after, second);
        interrupted(&mut current, &after, usize::MAX);
        assert_reached(&current, &after);
        prop_assert_eq!(plan(&current, &after), vec![]);
    }

    #[test]
    fn what_can_fail_comes_before_what_touches_anything(before in modules(), after in modules()) {
        let commands = plan(&settled(&before), &after);
        let can_fail = |command: &Command| matches!(
            command,
            Command::FetchImages(_) | Command::CheckFit | Command::ProvisionIdentities(_)
        );
        let first_touch = commands.iter().position(|command| !can_fail(command));
        let last_risk = commands.iter().rposition(can_fail);
        if let (Some(touch), Some(risk)) = (first_touch, last_risk) {
            prop_assert!(risk < touch, "{:?}", commands);
        }
    }
}
