//! One module of the deployment.

use std::collections::BTreeMap;

use super::super::fault::Findings;
use super::super::image::ImageReference;
use super::super::module::{ENV_MAX, STARTUP_ORDER_DEFAULT};
use super::super::read::{Fields, Place, shown};
use super::super::{DesiredStatus, ModuleSpec, ModuleType, Origin, PullPolicy, RestartPolicy};
use super::options;
use super::sandbox::{self, Sandbox};
use crate::identity::ModuleId;
use crate::json::Content;

/// What a module's settings say.
struct Settings {
    image: ImageReference,
    options: options::Options,
}

pub(super) fn read(
    findings: &mut Findings,
    id: ModuleId,
    place: &Place<'_>,
    origin: Origin,
) -> Option<ModuleSpec> {
    let warnings_before = findings.warnings_count();
    let mut fields = findings.object(place)?;
    let kind = findings.required(&mut fields, "type", "`docker` or `wasm`");
    let kind = kind.and_then(|place| findings.word(&place, ModuleType::WORDS));
    let version = fields
        .take("version")
        .map(|place| findings.text(&place, "a text").unwrap_or_default());
    let status = optional_word(findings, &mut fields, "status", DesiredStatus::WORDS);
    let restart_policy =
        optional_word(findings, &mut fields, "restartPolicy", RestartPolicy::WORDS);
    let pull_policy = optional_word(findings, &mut fields, "imagePullPolicy", PullPolicy::WORDS);
    let order = fields.take("startupOrder");
    let order = order.and_then(|place| findings.integer(&place, 0..=u64::from(u32::MAX)));
    let module_env = fields
        .take("env")
        .map(|place| env(findings, &place))
        .unwrap_or_default();
    let settings = findings.required(&mut fields, "settings", "an object with `image`");
    let settings = settings.and_then(|place| settings_of(findings, &place, kind, origin));
    findings.without_meaning(fields);
    let warnings = findings.warnings_since(warnings_before);
    let warnings = warnings
        .iter()
        .map(|warning| format!("{}: {}", warning.path, warning.problem))
        .collect();
    let Settings { image, options } = settings?;
    let Sandbox {
        limits,
        supervision,
        grants,
        keep_data,
        keep_local_changes,
        args,
    } = options.sandbox;
    let mut env = options.env;
    env.extend(module_env);
    Some(ModuleSpec {
        id,
        module_type: kind?,
        version: version.unwrap_or_default().into(),
        image,
        status: status.unwrap_or(DesiredStatus::Running),
        restart_policy: restart_policy.unwrap_or(RestartPolicy::OnUnhealthy),
        pull_policy: pull_policy.unwrap_or(PullPolicy::OnCreate),
        startup_order: order.map_or(STARTUP_ORDER_DEFAULT, |order| order as u32),
        env,
        args,
        limits,
        supervision,
        grants,
        keep_data,
        keep_local_changes,
        warnings,
    })
}

/// Environment variables: `{"NAME": {"value": ...}}`.
pub(super) fn env(findings: &mut Findings, place: &Place<'_>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let Some(fields) = findings.object(place) else {
        return variables;
    };
    for (entry, place) in fields.rest() {
        let is_forbidden = |c: char| c.is_whitespace() || c.is_control() || "+#$.=".contains(c);
        if entry.key.is_empty() || entry.key.contains(is_forbidden) {
            let problem = format!("`{}` is no name of a variable", shown(entry.key));
            let expected = "a name without `+`, `#`, `$`, `.`, `=` and spaces";
            findings.fault(&place.path, entry.key_position, problem, expected);
        }
        let Some(mut variable) = findings.object(&place) else {
            continue;
        };
        let value = findings.required(&mut variable, "value", VALUE_FORM);
        findings.without_meaning(variable);
        if let Some(value) = value.and_then(|place| env_value(findings, &place)) {
            variables.insert(entry.key.into(), value);
        }
    }
    check_env_count(findings, place, &variables);
    variables
}

pub(super) fn check_env_count(
    findings: &mut Findings,
    place: &Place<'_>,
    variables: &BTreeMap<String, String>,
) {
    if variables.len() > ENV_MAX {
        let problem = format!("{} variables stand here", variables.len());
        findings.fault(
            &place.path,
            place.position(),
            problem,
            format!("at most {ENV_MAX}"),
        );
    }
}

const VALUE_FORM: &str = "a text, a number or a boolean";

fn env_value(findings: &mut Findings, place: &Place<'_>) -> Option<String> {
    match &place.node.content {
        Content::String(text) if text.contains('\0') => {
            let problem = "a NUL character stands in the value";
            findings.fault(&place.path, place.position(), problem, "a text without it");
            None
        }
        Content::String(text) => Some(text.clone()),
        Content::Number(number) => Some(number.to_string()),
        Content::Bool(value) => Some(value.to_string()),
        _ => {
            findings.wrong_kind(place, VALUE_FORM);
            None
        }
    }
}

fn optional_word<T: Copy>(
    findings: &mut Findings,
    fields: &mut Fields<'_>,
    key: &str,
    words: &[(&str, T)],
) -> Option<T> {
    let place = fields.take(key)?;
    findings.word(&place, words)
}

fn settings_of(
    findings: &mut Findings,
    place: &Place<'_>,
    kind: Option<ModuleType>,
    origin: Origin,
) -> Option<Settings> {
    let mut fields = findings.object(place)?;
    let image = image(findings, &mut fields, origin);
    let chunks = options::take_chunks(findings, &mut fields);
    let wasm = fields.take("wasm");
    findings.without_meaning(fields);
    let options = match (kind?, chunks.first(), wasm) {
        (ModuleType::Docker, _, Some(wasm)) => {
            let problem = "a module of type `docker` cannot have it here";
            let expected = "`wasm` inside `createOptions`, or type `wasm`";
            findings.fault(&wasm.path, wasm.position(), problem, expected);
            return None;
        }
        (ModuleType::Wasm, Some(chunk), _) => {
            let problem = "a module of type `wasm` cannot have it";
            findings.fault(
                &chunk.path,
                chunk.position(),
                problem,
                "`settings.wasm`, or type `docker`",
            );
            return None;
        }
        (ModuleType::Docker, _, None) => options::read(findings, &chunks)?,
        (ModuleType::Wasm, None, Some(wasm)) => options::Options {
            sandbox: sandbox::read(findings, &wasm)?,
            ..Default::default()
        },
        (ModuleType::Wasm, None, None) => options::Options::default(),
    };
    Some(Settings {
        image: image?,
        options,
    })
}

fn image(
    findings: &mut Findings,
    fields: &mut Fields<'_>,
    origin: Origin,
) -> Option<ImageReference> {
    const FORM: &str = "an image such as `registry.example.com/team/filter:1.0`";
    let digest = fields.take("digest");
    let place = findings.required(fields, "image", FORM)?;
    let text = findings.text(&place, FORM)?;
    let image = match ImageReference::parse(text) {
        Ok(ImageReference::File { .. }) if origin == Origin::Hub => {
            let problem = "`file:` images are for local files only";
            findings.fault(&place.path, place.position(), problem, FORM);
            return None;
        }
        Ok(image) => image,
        Err(error) => {
            findings.fault(&place.path, place.position(), error.to_string(), FORM);
            return None;
        }
    };
    let Some(digest_place) = digest else {
        return Some(image);
    };
    let expected = "the image's digest, `sha256:` and 64 hexadecimal digits";
    let digest = findings.text(&digest_place, expected)?;
    match image.with_digest(digest) {
        Ok(image) => Some(image),
        Err(error) => {
            findings.fault(
                &digest_place.path,
                digest_place.position(),
                error.to_string(),
                expected,
            );
            None
        }
    }
}
