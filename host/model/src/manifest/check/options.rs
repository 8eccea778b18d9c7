//! `createOptions`: Docker's options for a container, as far as they have a
//! meaning for a component, and our own object `wasm` among them.

use std::collections::BTreeMap;

use super::super::fault::Findings;
use super::super::grant::{GRANTS_MAX, Grant, GrantAccess, GrantKind};
use super::super::limits::Limits;
use super::super::module::{ARGS_MAX, ENV_MAX};
use super::super::read::{Fields, Place, shown};
use super::super::{MANIFEST_LIMITS, check_guest_path, check_host_path};
use super::sandbox::{self, Sandbox};
use super::spec::check_env_count;
use crate::json::{self, Content, Document, Node};

/// The most parts that `createOptions` is cut into, beside the first.
const CHUNKS_MAX: u32 = 99;

/// Nanoseconds of processor time per second in one thousandth of a core.
const NANO_CPUS_PER_MILLI: u64 = 1_000_000;

/// What the options say.
#[derive(Default)]
pub(super) struct Options {
    pub(super) env: BTreeMap<String, String>,
    pub(super) sandbox: Sandbox,
}

/// Takes `createOptions`, `createOptions01`, ... in their order. Parts behind
/// a gap are left out, with a warning, as IoT Edge does.
pub(super) fn take_chunks<'a>(findings: &mut Findings, fields: &mut Fields<'a>) -> Vec<Place<'a>> {
    let mut numbered = BTreeMap::new();
    let settings = std::mem::replace(fields, Fields::empty(fields.path.clone(), fields.position));
    for (entry, place) in settings.rest() {
        match chunk_number(entry.key) {
            None => fields.push(entry),
            Some(number) => match numbered.contains_key(&number) {
                true => findings.warning(
                    &place.path,
                    entry.key_position,
                    "this part is there already",
                ),
                false => drop(numbered.insert(number, place)),
            },
        }
    }
    let mut chunks = Vec::new();
    for (number, place) in numbered {
        match number as usize == chunks.len() && number <= CHUNKS_MAX {
            true => chunks.push(place),
            false => {
                let problem = format!("is left out: part {:02} is missing", chunks.len());
                findings.warning(&place.path, place.position(), problem);
            }
        }
    }
    chunks
}

pub(super) fn read(findings: &mut Findings, chunks: &[Place<'_>]) -> Option<Options> {
    let Some(first) = chunks.first() else {
        return Some(Options::default());
    };
    let root = parsed(findings, first, &chunks[1..])?;
    match &root.content {
        Content::Null => Some(Options::default()),
        _ => docker_options(
            findings,
            &Place {
                node: &root,
                path: first.path.clone(),
            },
        ),
    }
}

/// The options as JSON: null where nothing is said. Tools write them as a
/// text, in parts where it is long, and people as an object.
pub(super) fn parsed(
    findings: &mut Findings,
    first: &Place<'_>,
    rest: &[Place<'_>],
) -> Option<Node> {
    if let (Content::Object(_), []) = (&first.node.content, rest) {
        return Some(first.node.clone());
    }
    let mut text = String::new();
    for chunk in [first].into_iter().chain(rest) {
        text.push_str(findings.text(chunk, "a text of JSON")?);
    }
    if text.trim().is_empty() {
        text = "null".into();
    }
    options_json(findings, first, &text)
}

/// The JSON in the text, put at the place of the text.
fn options_json(findings: &mut Findings, place: &Place<'_>, text: &str) -> Option<Node> {
    let Document {
        mut root,
        repeated_keys,
    } = match json::read(text, MANIFEST_LIMITS) {
        Ok(document) => document,
        Err(error) => {
            let (line, column) = (error.position.line, error.position.column);
            let problem = format!(
                "the text is not JSON: line {line}, column {column}: {}",
                error.problem
            );
            findings.fault(&place.path, place.position(), problem, error.expected);
            return None;
        }
    };
    root.move_to(place.position());
    for repeated in repeated_keys {
        let path = place.path.join(&repeated.path);
        findings.fault(
            &path,
            place.position(),
            "the key is there twice",
            "each key once",
        );
    }
    Some(root)
}

fn docker_options(findings: &mut Findings, place: &Place<'_>) -> Option<Options> {
    let mut fields = findings.object(place)?;
    let wasm = fields.take("wasm");
    let has_own = |key: &str| match wasm.as_ref().map(|place| &place.node.content) {
        Some(Content::Object(members)) => members.iter().any(|member| member.key == key),
        _ => false,
    };
    let own_memory = has_own("memoryLimitBytes");
    let own_cpu = has_own("cpuLimitMillis");
    let own_args = has_own("args");
    let mut sandbox = match &wasm {
        Some(place) => sandbox::read(findings, place)?,
        None => Sandbox::default(),
    };
    let env = fields
        .take_any_case("Env")
        .map(|place| env_list(findings, &place))
        .unwrap_or_default();
    if let Some(place) = fields.take_any_case("Cmd") {
        match own_args {
            true => findings.warning(
                &place.path,
                place.position(),
                "is not used: `wasm.args` is there",
            ),
            false => sandbox.args = arguments(findings, &place)?,
        }
    }
    if let Some(place) = fields.take_any_case("HostConfig") {
        let mut host = findings.object(&place)?;
        memory(findings, &mut host, own_memory, &mut sandbox.limits);
        cpus(findings, &mut host, own_cpu, &mut sandbox.limits);
        if let Some(place) = host.take_any_case("Binds") {
            binds(findings, &place, &mut sandbox.grants);
        }
        findings.without_meaning(host);
    }
    findings.without_meaning(fields);
    Some(Options { env, sandbox })
}

/// The number of a part of `createOptions`, 0 for the first.
fn chunk_number(key: &str) -> Option<u32> {
    let digits = key
        .strip_prefix("createOptions")
        .or_else(|| key.strip_prefix("createoptions"))?;
    match digits {
        "" => Some(0),
        _ if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().unwrap_or(u32::MAX))
        }
        _ => None,
    }
}

fn env_list(findings: &mut Findings, place: &Place<'_>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for item in nullable_array(findings, place, ENV_MAX).unwrap_or_default() {
        let Some(text) = findings.text(&item, "a text `NAME=value`") else {
            continue;
        };
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() && !text.contains('\0') => {
                variables.insert(name.into(), value.into());
            }
            _ => {
                let problem = format!("`{}` stands here", shown(text));
                findings.fault(&item.path, item.position(), problem, "a text `NAME=value`");
            }
        }
    }
    check_env_count(findings, place, &variables);
    variables
}

/// A list of arguments.
pub(super) fn arguments(findings: &mut Findings, place: &Place<'_>) -> Option<Vec<String>> {
    let items = nullable_array(findings, place, ARGS_MAX)?;
    let mut arguments = Vec::with_capacity(items.len());
    for item in items {
        let text = findings.text(&item, "a text")?;
        if text.contains('\0') {
            let problem = "a NUL character stands in the argument";
            findings.fault(&item.path, item.position(), problem, "a text without it");
        }
        arguments.push(text.into());
    }
    Some(arguments)
}

/// Docker's tools write `null` for an empty list.
fn nullable_array<'a>(
    findings: &mut Findings,
    place: &Place<'a>,
    max: usize,
) -> Option<Vec<Place<'a>>> {
    match &place.node.content {
        Content::Null => Some(Vec::new()),
        _ => findings.array(place, max),
    }
}

/// `HostConfig.Memory`, in bytes; 0 says nothing. More than a module can
/// have is as much as it can have.
fn memory(findings: &mut Findings, host: &mut Fields<'_>, is_overruled: bool, limits: &mut Limits) {
    let Some(place) = host.take_any_case("Memory") else {
        return;
    };
    let Some(bytes) = docker_number(findings, &place, *Limits::MEMORY_BYTES.start()) else {
        return;
    };
    match is_overruled {
        true => findings.warning(
            &place.path,
            place.position(),
            "is not used: `wasm.memoryLimitBytes` is there",
        ),
        false => limits.memory_limit_bytes = bytes.min(*Limits::MEMORY_BYTES.end()),
    }
}

/// `HostConfig.NanoCpus`, in thousand-millionths of a core; 0 says nothing.
fn cpus(findings: &mut Findings, host: &mut Fields<'_>, is_overruled: bool, limits: &mut Limits) {
    let Some(place) = host.take_any_case("NanoCpus") else {
        return;
    };
    let least = Limits::CPU_MILLIS.start() * NANO_CPUS_PER_MILLI;
    let Some(nano_cpus) = docker_number(findings, &place, least) else {
        return;
    };
    let millis = nano_cpus
        .div_ceil(NANO_CPUS_PER_MILLI)
        .min(*Limits::CPU_MILLIS.end());
    match is_overruled {
        true => findings.warning(
            &place.path,
            place.position(),
            "is not used: `wasm.cpuLimitMillis` is there",
        ),
        false => limits.cpu_limit_millis = Some(millis as u32),
    }
}

/// A number of Docker's, where 0 stands for none.
fn docker_number(findings: &mut Findings, place: &Place<'_>, least: u64) -> Option<u64> {
    let number = findings
        .integer(place, 0..=i64::MAX as u64)
        .filter(|number| *number > 0)?;
    if number < least {
        let expected = format!("0 or a whole number from {least}");
        findings.fault(
            &place.path,
            place.position(),
            format!("{number} stands here"),
            expected,
        );
        return None;
    }
    Some(number)
}

fn binds(findings: &mut Findings, place: &Place<'_>, grants: &mut Vec<Grant>) {
    for item in nullable_array(findings, place, GRANTS_MAX).unwrap_or_default() {
        let Some(text) = findings.text(&item, BIND_FORM) else {
            continue;
        };
        if let Some(grant) = bind(findings, &item, text) {
            sandbox::add_grant(findings, &item, grants, grant);
        }
    }
}

const BIND_FORM: &str = "a text `/host/path:/module/path` or `/host/path:/module/path:ro`";

fn bind(findings: &mut Findings, place: &Place<'_>, text: &str) -> Option<Grant> {
    let mut parts = text.split(':');
    let (Some(host), Some(guest), mode, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        let problem = format!("`{}` stands here", shown(text));
        findings.fault(&place.path, place.position(), problem, BIND_FORM);
        return None;
    };
    if !host.is_empty() && !host.contains('/') && !host.starts_with('.') {
        let problem = format!(
            "the volume `{}` has no meaning here: what lasts is in `/data`",
            shown(host)
        );
        findings.warning(&place.path, place.position(), problem);
        return None;
    }
    let mut access = GrantAccess::ReadWrite;
    for option in mode.unwrap_or("rw").split(',') {
        match option {
            "ro" => access = GrantAccess::Read,
            "rw" => access = GrantAccess::ReadWrite,
            other => {
                let problem = format!("`{}` has no meaning here", shown(other));
                findings.warning(&place.path, place.position(), problem);
            }
        }
    }
    let host = sandbox::checked_path(findings, place, host, check_host_path);
    let guest = sandbox::checked_path(findings, place, guest, check_guest_path);
    Some(Grant {
        kind: GrantKind::Any,
        host: host?,
        guest: guest?,
        access,
    })
}
