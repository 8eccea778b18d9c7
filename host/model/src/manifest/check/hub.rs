//! The desired properties of `$edgeHub`: routes, and how messages are kept.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::fault::Findings;
use super::super::read::{Entry, Fields, Place};
use super::super::{StoreAndForward, TIME_TO_LIVE_DEFAULT};
use super::agent::{schema_version, take_own_keys};
use super::ends::{self, Placed};
use super::keeping::{self, OfRoute};
use super::{Compatibility, Desired};
use crate::identity::ModuleId;
use crate::json::Content;
use crate::route::{PRIORITY_MAX, Route, RouteName};

/// The newest schema version, as major and minor number.
const SCHEMA_VERSION_MAX: (u32, u32) = (1, 3);

#[derive(Default)]
pub(super) struct Hub {
    pub(super) routes: Vec<Route>,
    pub(super) store_and_forward: StoreAndForward,
}

/// What routes are read by, beside their text.
pub(super) struct Around {
    /// The modules of the deployment.
    pub(super) modules: BTreeSet<ModuleId>,
    /// What the options of `edgeHub` say of routes.
    pub(super) route_options: Vec<OfRoute>,
    /// Whose behaviour conditions have.
    pub(super) compatibility: Compatibility,
}

pub(super) fn read(findings: &mut Findings, desired: Desired<'_>, around: Around) -> Hub {
    let Desired {
        mut fields,
        has_base,
        mut layers,
        ..
    } = desired;
    take_own_keys(&mut fields);
    schema_version(findings, &mut fields, has_base, SCHEMA_VERSION_MAX);
    let written = fields
        .take("routes")
        .and_then(|place| findings.object(&place));
    let empty = || Fields::empty(fields.path.key("routes"), fields.position);
    let mut entries = written.unwrap_or_else(empty);
    layers
        .remove("routes")
        .into_iter()
        .flatten()
        .for_each(|entry| entries.push(entry));
    let mut placed: Vec<Placed> = entries
        .rest()
        .filter_map(|(entry, place)| route(findings, &entry, &place, &around))
        .collect();
    placed.sort_by(|a, b| a.route.name.cmp(&b.route.name));
    ends::check(findings, &placed, &around.modules);
    let mut routes: Vec<Route> = placed.into_iter().map(|placed| placed.route).collect();
    keeping::apply_all(findings, &mut routes, around.route_options);
    let keeping = fields.take("storeAndForwardConfiguration");
    let store_and_forward = keeping.and_then(|place| store_and_forward(findings, &place));
    findings.without_meaning(fields);
    Hub {
        routes,
        store_and_forward: store_and_forward.unwrap_or_default(),
    }
}

fn route(
    findings: &mut Findings,
    entry: &Entry<'_>,
    place: &Place<'_>,
    around: &Around,
) -> Option<Placed> {
    let name = match RouteName::new(entry.key) {
        Ok(name) => Some(name),
        Err(error) => {
            let expected = "a name without `.`, `$`, `#` and spaces";
            findings.fault(&place.path, entry.key_position, error.to_string(), expected);
            None
        }
    };
    let text_place = match &place.node.content {
        Content::Object(_) => {
            let mut fields = findings.object(place)?;
            findings.required(&mut fields, "route", ROUTE_FORM)?
        }
        _ => place.clone(),
    };
    let text = findings.text(&text_place, ROUTE_FORM)?;
    if text.trim().is_empty() {
        // As IoT Edge does: its tools leave such a text where a route was.
        findings.warning(
            &text_place.path,
            text_place.position(),
            "the route is empty and takes nothing",
        );
        return None;
    }
    let mut route = match Route::parse_with(name?, text, around.compatibility) {
        Ok(route) => route,
        Err(error) => {
            let problem = format!("column {} of the route: {}", error.column, error.problem);
            let position = text_place.position();
            findings.fault(&text_place.path, position, problem, error.what_to_write());
            return None;
        }
    };
    if let Content::Object(_) = &place.node.content {
        options(findings, place, &mut route);
    }
    Some(Placed::new(route, &text_place))
}

const ROUTE_FORM: &str = "`FROM source INTO sink`";

fn options(findings: &mut Findings, place: &Place<'_>, route: &mut Route) {
    let Some(mut fields) = findings.object(place) else {
        return;
    };
    fields.take("route");
    if let Some(place) = fields.take("priority") {
        let priority = findings.integer(&place, 0..=u64::from(PRIORITY_MAX));
        route.priority = priority.map_or(route.priority, |priority| priority as u32);
    }
    if let Some(place) = fields.take("timeToLiveSecs") {
        let seconds = findings.integer(&place, 0..=u64::from(u32::MAX));
        route.time_to_live = seconds
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs);
    }
    let keeping = keeping::take(findings, &mut fields);
    keeping::apply(route, keeping);
    findings.without_meaning(fields);
}

fn store_and_forward(findings: &mut Findings, place: &Place<'_>) -> Option<StoreAndForward> {
    let mut fields = findings.object(place)?;
    let time_to_live = match fields.take("timeToLiveSecs") {
        Some(place) => time_to_live(findings, &place),
        None => Some(TIME_TO_LIVE_DEFAULT),
    };
    let limits = fields.take("storeLimits");
    findings.without_meaning(fields);
    let mut size_max_bytes = None;
    if let Some(mut limits) = limits.and_then(|place| findings.object(&place)) {
        let size = limits.take("maxSizeBytes");
        size_max_bytes = size.and_then(|place| findings.integer(&place, 0..=u64::MAX));
        findings.without_meaning(limits);
    }
    Some(StoreAndForward {
        time_to_live,
        size_max_bytes,
    })
}

/// None, for ever, where the number is negative.
fn time_to_live(findings: &mut Findings, place: &Place<'_>) -> Option<Duration> {
    let is_negative = match &place.node.content {
        Content::Number(number) => number.as_i64().is_some_and(|seconds| seconds < 0),
        _ => false,
    };
    match is_negative {
        true => None,
        // The hub counts these seconds in 32 bits, with a sign.
        false => findings
            .integer(place, 0..=u64::from(u32::MAX))
            .map(Duration::from_secs),
    }
}
