//! What one device is to run: a manifest from a file, or one made for a single component.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::manifest::Manifest;
use wasm_edge_model::route::condition::Compatibility;

use crate::args::run::{EnvArg, GrantArg, GrantKind, RunArgs, Target};
use crate::component_file::{is_component, whole_path};
use crate::deployment_file::{self, TEXT_MAX_BYTES, sha256};
use crate::device_name;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::text_file::{self, TextFileError};

/// A checked target.
pub(super) struct Loaded {
    /// The device.
    pub(super) device: DeviceId,
    /// What it runs; its `file:` images are absolute.
    pub(super) manifest: Manifest,
    /// SHA-256 of the manifest's text, 64 hexadecimal digits.
    pub(super) digest: String,
    /// The single component, if it is one.
    pub(super) component: Option<ModuleId>,
    /// The file by which the default data folder is found again.
    pub(super) file: PathBuf,
}

/// What a person says of a single component.
pub(crate) struct Component<'a> {
    /// Its environment variables.
    pub(crate) env: &'a [EnvArg],
    /// Its arguments.
    pub(crate) args: &'a [String],
    /// What it may open.
    pub(crate) grants: &'a [GrantArg],
    /// The file with its desired properties.
    pub(crate) twin: Option<&'a Path>,
}

impl Loaded {
    /// Reads and checks a target; all faults and warnings of the manifest are printed.
    pub(super) fn read(
        target: Target,
        args: &RunArgs,
        compatibility: Compatibility,
        output: &Output,
    ) -> anyhow::Result<Self> {
        let file = whole_path(
            &target.file,
            "give a deployment manifest (JSON) or a component (.wasm)",
        )?;
        let device = match target.device {
            Some(device) => device,
            None => device_name::of_host("give one with `--device`")?,
        };
        let (text, component) = if is_component(&file)? {
            let name = component_name(&file, args.name.as_ref())?;
            let component = Component {
                env: &args.env,
                args: &args.args,
                grants: &args.grants,
                twin: args.twin.as_deref(),
            };
            (component_manifest(&file, &name, &component)?, Some(name))
        } else {
            if let Some(option) = args.component_option() {
                let what = format!(
                    "`{option}` applies to a single component, and `{}` is a manifest",
                    target.file.display()
                );
                return Err(Failure::new(ExitStatus::Usage, what)
                    .hint("set it in the manifest: `env`, `createOptions`, or the module's `properties.desired`")
                    .into());
            }
            (
                text_file::read(&file, TEXT_MAX_BYTES).map_err(TextFileError::into_failure)?,
                None,
            )
        };
        let folder = file.parent().unwrap_or(Path::new("/"));
        let manifest = check(&text, &target.file, compatibility, output)?;
        let manifest = deployment_file::with_absolute_images(manifest, folder)?;
        Ok(Self {
            device,
            manifest,
            digest: sha256(text.as_bytes()),
            component,
            file,
        })
    }
}

/// Checks a manifest; all its faults and warnings are printed.
pub(crate) fn check(
    text: &str,
    file: &Path,
    compatibility: Compatibility,
    output: &Output,
) -> Result<Manifest, Failure> {
    let hint = || {
        let file = file.display();
        format!("`wasm-edge deploy check {file}` shows them again")
    };
    let checked = deployment_file::checked(text, file, compatibility, output);
    checked.map_err(|failure| failure.hint(hint()))
}

/// The id of a single component: the one that was given, or its file's name.
pub(crate) fn component_name(file: &Path, given: Option<&ModuleId>) -> anyhow::Result<ModuleId> {
    if let Some(name) = given {
        return Ok(name.clone());
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    ModuleId::new(&stem).map_err(|err| {
        let what = format!("the file's name `{stem}` cannot be a module's id");
        Failure::new(ExitStatus::Usage, what)
            .hint("give a name with `--name`")
            .caused_by(err)
            .into()
    })
}

/// The manifest for a single component: all that it sends goes upstream.
pub(crate) fn component_manifest(
    file: &Path,
    name: &ModuleId,
    component: &Component<'_>,
) -> anyhow::Result<String> {
    let env: Map<String, Value> = component
        .env
        .iter()
        .map(|env| (env.name.clone(), json!({ "value": env.value })))
        .collect();
    let grants: Vec<Value> = component
        .grants
        .iter()
        .map(|grant| {
            let kind = match grant.kind {
                GrantKind::File => "file",
                GrantKind::Folder => "folder",
            };
            let access = if grant.writable { "read-write" } else { "read" };
            json!({ kind: grant.path, "access": access })
        })
        .collect();
    let mut content = json!({
        "$edgeAgent": { "properties.desired": {
            "schemaVersion": "1.1",
            "runtime": { "type": "docker", "settings": {} },
            "modules": { name.as_str(): {
                "type": "wasm",
                "env": env,
                "settings": {
                    "image": format!("file:{}", file.display()),
                    "wasm": { "grants": grants, "args": component.args },
                },
            } },
        } },
        "$edgeHub": { "properties.desired": {
            "schemaVersion": "1.1",
            "routes": { "upstream": format!("FROM /messages/modules/{name}/* INTO $upstream") },
        } },
    });
    if let Some(twin) = component.twin {
        let text = text_file::read(twin, TEXT_MAX_BYTES).map_err(TextFileError::into_failure)?;
        let desired: Value = serde_json::from_str(&text).map_err(|err| {
            Failure::new(
                ExitStatus::BadConfig,
                format!("`{}` is not JSON", twin.display()),
            )
            .caused_by(err)
        })?;
        content[name.as_str()] = json!({ "properties.desired": desired });
    }
    Ok(json!({ "modulesContent": content }).to_string())
}
