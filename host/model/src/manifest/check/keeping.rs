//! How messages on routes are kept: `durability` and `whenFull`, of a route
//! itself or in the options of the system module `edgeHub`.
//!
//! The tools of Azure refuse keys of a route that they do not know, and pass
//! `createOptions` on as they are: there the same is said by the route's name.

use super::super::fault::Findings;
use super::super::read::{Fields, Place};
use super::options;
use super::sandbox::unknown_keys;
use crate::json::{Content, JsonPath, Position};
use crate::route::{Durability, Route, WhenFull};

/// What is said of how a route's messages are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeping {
    durability: Option<Durability>,
    when_full: Option<WhenFull>,
}

/// What the options of `edgeHub` say of a route.
#[derive(Debug)]
pub(super) struct OfRoute {
    name: String,
    path: JsonPath,
    position: Position,
    keeping: Keeping,
}

/// Takes what a route's object, or the object for it in the options, says.
pub(super) fn take(findings: &mut Findings, fields: &mut Fields<'_>) -> Keeping {
    let durability = fields.take("durability");
    let when_full = fields.take("whenFull");
    Keeping {
        durability: durability.and_then(|place| {
            let words = Durability::ALL.map(|durability| (durability.as_str(), durability));
            findings.word(&place, &words)
        }),
        when_full: when_full.and_then(|place| {
            let words = WhenFull::ALL.map(|when_full| (when_full.as_str(), when_full));
            findings.word(&place, &words)
        }),
    }
}

/// Reads what the settings of `edgeHub` say of routes: in `createOptions`, or
/// as plain JSON. All other options are Docker's, and ask for nothing here.
pub(super) fn of_edge_hub(findings: &mut Findings, settings: &mut Fields<'_>) -> Vec<OfRoute> {
    let chunks = options::take_chunks(findings, settings);
    let mut found = Vec::new();
    if let Some(wasm) = settings.take("wasm") {
        found.extend(routes(findings, &wasm));
    }
    let Some((first, rest)) = chunks.split_first() else {
        return found;
    };
    let Some(root) = options::parsed(findings, first, rest) else {
        return found;
    };
    if let Content::Object(members) = &root.content {
        let wasm = members.iter().rfind(|member| member.key == "wasm");
        if let Some(wasm) = wasm {
            let place = Place {
                node: &wasm.value,
                path: first.path.key("wasm"),
            };
            found.extend(routes(findings, &place));
        }
    }
    found
}

/// Lets a route be kept as is said of it; what it says itself counts.
pub(super) fn apply(route: &mut Route, keeping: Keeping) {
    route.durability = route.durability.or(keeping.durability);
    route.when_full = route.when_full.or(keeping.when_full);
}

/// Lets the routes be kept as the options say.
pub(super) fn apply_all(findings: &mut Findings, routes: &mut [Route], options: Vec<OfRoute>) {
    for option in options {
        let mut named = routes.iter_mut();
        match named.find(|route| route.name.as_str() == option.name) {
            Some(route) => apply(route, option.keeping),
            None => findings.warning(
                &option.path,
                option.position,
                "the deployment has no route of this name",
            ),
        }
    }
}

fn routes(findings: &mut Findings, wasm: &Place<'_>) -> Vec<OfRoute> {
    let Some(mut fields) = findings.object(wasm) else {
        return Vec::new();
    };
    let routes = fields.take("routes");
    unknown_keys(findings, fields, "`routes`");
    let routes = routes.and_then(|place| findings.object(&place));
    let mut found = Vec::new();
    for (entry, place) in routes.into_iter().flat_map(Fields::rest) {
        let Some(mut fields) = findings.object(&place) else {
            continue;
        };
        let keeping = take(findings, &mut fields);
        unknown_keys(findings, fields, "`durability` or `whenFull`");
        found.push(OfRoute {
            name: entry.key.into(),
            path: place.path,
            position: entry.key_position,
            keeping,
        });
    }
    found
}
