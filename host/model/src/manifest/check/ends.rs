//! What is odd about routes: those that take or bring nothing, circles, and
//! the same twice.
//!
//! Nothing here is a fault: a deployment with such routes runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::fault::Findings;
use super::super::read::Place;
use crate::identity::ModuleId;
use crate::json::{JsonPath, Position};
use crate::route::{Route, Sink};

/// A route and where it stands.
pub(super) struct Placed {
    pub(super) route: Route,
    pub(super) path: JsonPath,
    pub(super) position: Position,
}

impl Placed {
    pub(super) fn new(route: Route, place: &Place<'_>) -> Self {
        Self {
            route,
            path: place.path.clone(),
            position: place.position(),
        }
    }

    fn warn(&self, findings: &mut Findings, problem: impl Into<String>) {
        findings.warning(&self.path, self.position, problem);
    }
}

/// Warns of all that is odd about the routes of a deployment.
pub(super) fn check(findings: &mut Findings, routes: &[Placed], modules: &BTreeSet<ModuleId>) {
    for placed in routes {
        begin(findings, placed, modules);
        condition(findings, placed);
        end(findings, placed, modules);
    }
    repeated(findings, routes);
    circles(findings, routes, modules);
}

fn begin(findings: &mut Findings, placed: &Placed, modules: &BTreeSet<ModuleId>) {
    let source = &placed.route.source;
    let is_named = |id: &ModuleId, name: &str| id.as_str().eq_ignore_ascii_case(name);
    match source.module() {
        _ if !source.can_match() => {
            let problem = format!("no message of a device has the source `{source}`");
            placed.warn(findings, problem);
        }
        Some(module) if !modules.iter().any(|id| is_named(id, module)) => {
            let problem =
                format!("the deployment runs no module `{module}`, where the route begins");
            placed.warn(findings, problem);
        }
        _ => {}
    }
}

fn condition(findings: &mut Findings, placed: &Placed) {
    let condition = &placed.route.condition;
    if let Some(reason) = condition.never() {
        placed.warn(findings, format!("the route takes no message: {reason}"));
    }
    for remark in condition.remarks() {
        let problem = format!("column {} of the condition: {}", remark.column, remark.text);
        placed.warn(findings, problem);
    }
}

fn end(findings: &mut Findings, placed: &Placed, modules: &BTreeSet<ModuleId>) {
    match &placed.route.sink {
        Sink::Module { module, .. } if !modules.contains(module) => {
            let problem = format!("the deployment runs no module `{module}`, where the route ends");
            placed.warn(findings, problem);
        }
        _ => {}
    }
}

/// Routes that take the same messages to the same place, where they arrive
/// once.
fn repeated(findings: &mut Findings, routes: &[Placed]) {
    let mut known: BTreeMap<_, &Placed> = BTreeMap::new();
    for placed in routes {
        let route = &placed.route;
        let key = (route.source.prefix(), route.condition.text(), &route.sink);
        match known.get(&key) {
            Some(first) => {
                let problem = format!("the route does what `{}` does", first.route.name);
                placed.warn(findings, problem);
            }
            None => {
                known.insert(key, placed);
            }
        }
    }
}

/// Messages that come back to where they were sent, over one module or
/// several: each circle once, at the first of its routes.
///
/// A module need not send what it gets, and a condition may end it; that is
/// not seen here.
fn circles(findings: &mut Findings, routes: &[Placed], modules: &BTreeSet<ModuleId>) {
    let mut told = BTreeSet::new();
    for start in modules {
        let Some(circle) = circle(start, routes, modules) else {
            continue;
        };
        let members: BTreeSet<&ModuleId> = circle.iter().map(|(module, _)| *module).collect();
        if !told.insert(members) {
            continue;
        }
        let way: Vec<String> = circle
            .iter()
            .map(|(module, _)| format!("`{module}`"))
            .chain([format!("`{start}`")])
            .collect();
        let names: Vec<String> = circle
            .iter()
            .map(|(_, placed)| format!("`{}`", placed.route.name))
            .collect();
        let problem = format!(
            "messages may go in a circle: {}, by {}",
            way.join(" → "),
            names.join(", ")
        );
        circle[0].1.warn(findings, problem);
    }
}

/// The shortest way from a module back to it: the modules on it, each with
/// the route that it sends by.
fn circle<'a>(
    start: &'a ModuleId,
    routes: &'a [Placed],
    modules: &'a BTreeSet<ModuleId>,
) -> Option<Vec<(&'a ModuleId, &'a Placed)>> {
    let mut reached: BTreeMap<&ModuleId, (&ModuleId, &Placed)> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(from) = waiting.pop_front() {
        for placed in routes.iter().filter(|placed| takes(placed, from)) {
            let Sink::Module { module, .. } = &placed.route.sink else {
                continue;
            };
            if modules.contains(module) && !reached.contains_key(module) {
                reached.insert(module, (from, placed));
                waiting.push_back(module);
            }
            if module == start {
                return Some(way_back(start, &reached));
            }
        }
    }
    None
}

fn way_back<'a>(
    start: &'a ModuleId,
    reached: &BTreeMap<&'a ModuleId, (&'a ModuleId, &'a Placed)>,
) -> Vec<(&'a ModuleId, &'a Placed)> {
    let mut way = VecDeque::new();
    let mut at = start;
    loop {
        let (from, placed) = reached[at];
        way.push_front((from, placed));
        if from == start {
            return way.into();
        }
        at = from;
    }
}

/// Whether messages that a module sends may be taken.
fn takes(placed: &Placed, module: &ModuleId) -> bool {
    let route = &placed.route;
    let is_open = route.source.can_match() && route.condition.never().is_none();
    let is_from = match route.source.module() {
        Some(name) => module.as_str().eq_ignore_ascii_case(name),
        None => !route.source.is_twin_change(),
    };
    is_open && is_from
}
