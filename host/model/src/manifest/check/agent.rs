//! The desired properties of `$edgeAgent`: modules, system modules, the
//! runtime's settings.

use std::collections::BTreeMap;

use super::super::fault::Findings;
use super::super::read::{Fields, Place, shown};
use super::super::{
    AgentDesired, BLANKED, DesiredStatus, ModuleSpec, ModuleType, Origin, PullPolicy,
    RegistryCredential, RestartPolicy,
};
use super::keeping::{self, OfRoute};
use super::{Desired, module_id, spec};
use crate::identity::ModuleId;

/// The newest schema version, as major and minor number.
const SCHEMA_VERSION_MAX: (u32, u32) = (1, 1);

pub(super) struct Agent {
    pub(super) desired: AgentDesired,
    pub(super) modules: BTreeMap<ModuleId, ModuleSpec>,
    pub(super) credentials: Vec<RegistryCredential>,
    /// What the options of `edgeHub` say of routes.
    pub(super) route_options: Vec<OfRoute>,
}

pub(super) fn read(findings: &mut Findings, desired: Desired<'_>, origin: Origin) -> Option<Agent> {
    let Desired {
        mut fields,
        has_base,
        mut layers,
        ..
    } = desired;
    take_own_keys(&mut fields);
    let version = schema_version(findings, &mut fields, has_base, SCHEMA_VERSION_MAX);
    let credentials = fields
        .take("runtime")
        .map(|place| runtime(findings, &place));
    let route_options = fields
        .take("systemModules")
        .map(|place| system_modules(findings, &place));
    let mut modules = match fields.take("modules") {
        Some(place) => findings.object(&place)?,
        None => Fields::empty(fields.path.key("modules"), fields.position),
    };
    layers
        .remove("modules")
        .into_iter()
        .flatten()
        .for_each(|entry| modules.push(entry));
    let mut specs = BTreeMap::new();
    for (entry, place) in modules.rest() {
        let Some(id) = module_id(findings, &entry, &place.path) else {
            continue;
        };
        if let Some(spec) = spec::read(findings, id.clone(), &place, origin) {
            specs.insert(id, spec);
        }
    }
    findings.without_meaning(fields);
    Some(Agent {
        desired: AgentDesired {
            schema_version: version,
        },
        modules: specs,
        credentials: credentials.unwrap_or_default(),
        route_options: route_options.unwrap_or_default(),
    })
}

/// Takes away what a hub adds to a section.
pub(super) fn take_own_keys(fields: &mut Fields<'_>) {
    fields.take("$version");
    fields.take("$metadata");
}

/// A schema version from 1.0 up to the newest. The content of a later one
/// may mean something else, so that it is refused.
pub(super) fn schema_version(
    findings: &mut Findings,
    fields: &mut Fields<'_>,
    has_base: bool,
    max: (u32, u32),
) -> Option<String> {
    let expected = format!("a version from `1.0` to `{}.{}`", max.0, max.1);
    let place = match has_base {
        true => findings.required(fields, "schemaVersion", &expected)?,
        false => fields.take("schemaVersion")?,
    };
    let text = findings.text(&place, &expected)?;
    let numbers: Option<Vec<u32>> = text.split('.').map(version_number).collect();
    let is_known = match numbers.as_deref() {
        Some([major, minor, rest @ ..]) if rest.len() <= 2 => {
            *major == max.0
                && (*minor < max.1 || (*minor == max.1 && rest.iter().all(|part| *part == 0)))
        }
        _ => false,
    };
    if !is_known {
        findings.fault(
            &place.path,
            place.position(),
            format!("`{}` stands here", shown(text)),
            expected,
        );
    }
    is_known.then(|| text.into())
}

fn version_number(part: &str) -> Option<u32> {
    part.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| part.parse().ok())
        .flatten()
}

fn runtime(findings: &mut Findings, place: &Place<'_>) -> Vec<RegistryCredential> {
    let Some(mut fields) = findings.object(place) else {
        return Vec::new();
    };
    if let Some(kind) = findings.required(&mut fields, "type", "`docker` or `wasm`") {
        findings.word(&kind, ModuleType::WORDS);
    }
    let settings = fields.take("settings");
    findings.without_meaning(fields);
    let settings = settings.and_then(|place| findings.object(&place));
    let Some(mut settings) = settings else {
        return Vec::new();
    };
    // Every generated manifest has these two; neither asks for anything.
    if let Some(place) = settings.take("minDockerVersion") {
        findings.text(&place, "a text");
    }
    if let Some(place) = settings.take("loggingOptions") {
        let text = findings.text(&place, "a text").unwrap_or_default();
        if !matches!(text.trim(), "" | "{}") {
            findings.warning(&place.path, place.position(), "has no meaning here");
        }
    }
    let credentials = settings.take("registryCredentials");
    findings.without_meaning(settings);
    let credentials = credentials.and_then(|place| findings.object(&place));
    let credentials = credentials.into_iter().flat_map(Fields::rest);
    credentials
        .filter_map(|(_, place)| credential(findings, &place))
        .collect()
}

fn credential(findings: &mut Findings, place: &Place<'_>) -> Option<RegistryCredential> {
    let mut fields = findings.object(place)?;
    let mut text = |key, expected| {
        let place = findings.required(&mut fields, key, expected)?;
        let text = findings.text(&place, expected)?;
        Some((place, text))
    };
    let address = text("address", "the host of a registry");
    let username = text("username", "a text");
    let password = text("password", "a text");
    findings.without_meaning(fields);
    let (place, address) = address?;
    if address.is_empty() || address.contains(char::is_whitespace) {
        let problem = format!("`{}` stands here", shown(address));
        findings.fault(
            &place.path,
            place.position(),
            problem,
            "the host of a registry",
        );
    }
    let (username, (place, password)) = (username?.1, password?);
    if password == BLANKED {
        findings.fault(
            &place.path,
            place.position(),
            format!("`{BLANKED}` stands here, which is shown in place of a password"),
            "the password",
        );
    }
    Some(RegistryCredential {
        address: address.into(),
        username: username.into(),
        password: password.into(),
    })
}

/// Checks the form of the system modules. The agent and the router are in
/// this very process: their images and options ask for nothing, but for what
/// those of `edgeHub` say of routes.
fn system_modules(findings: &mut Findings, place: &Place<'_>) -> Vec<OfRoute> {
    let Some(mut fields) = findings.object(place) else {
        return Vec::new();
    };
    if let Some(place) = fields.take("edgeAgent") {
        system_module(findings, &place, |_, _| {});
    }
    let mut route_options = Vec::new();
    if let Some(place) = fields.take("edgeHub") {
        system_module(findings, &place, |findings, settings| {
            route_options = keeping::of_edge_hub(findings, settings);
        });
    }
    findings.without_meaning(fields);
    route_options
}

fn system_module(
    findings: &mut Findings,
    place: &Place<'_>,
    read_settings: impl FnOnce(&mut Findings, &mut Fields<'_>),
) {
    let Some(mut fields) = findings.object(place) else {
        return;
    };
    if let Some(kind) = findings.required(&mut fields, "type", "`docker` or `wasm`") {
        findings.word(&kind, ModuleType::WORDS);
    }
    if let Some(settings) = findings.required(&mut fields, "settings", "an object with `image`") {
        system_settings(findings, &settings, read_settings);
    }
    if let Some(place) = fields.take("status") {
        findings.word(&place, DesiredStatus::WORDS);
    }
    if let Some(place) = fields.take("restartPolicy") {
        findings.word(&place, RestartPolicy::WORDS);
    }
    if let Some(place) = fields.take("imagePullPolicy") {
        findings.word(&place, PullPolicy::WORDS);
    }
    if let Some(place) = fields.take("startupOrder") {
        findings.integer(&place, 0..=u64::from(u32::MAX));
    }
    if let Some(place) = fields.take("env") {
        spec::env(findings, &place);
    }
    if let Some(place) = fields.take("version") {
        findings.text(&place, "a text");
    }
    findings.without_meaning(fields);
}

fn system_settings(
    findings: &mut Findings,
    place: &Place<'_>,
    read: impl FnOnce(&mut Findings, &mut Fields<'_>),
) {
    let Some(mut fields) = findings.object(place) else {
        return;
    };
    if let Some(image) = findings.required(&mut fields, "image", "the reference of an image") {
        findings.text(&image, "the reference of an image");
    }
    read(findings, &mut fields);
}
