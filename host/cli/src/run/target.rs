//! What one device is to run: a manifest from a file, or one made for a single component.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use wasm_edge_images::reference::{Reference, ReferenceError};
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::manifest::{ImageReferenceError, Manifest, without_login};
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
        let device = match target.device.clone() {
            Some(device) => device,
            None => device_name::of_host("give one with `--device`")?,
        };
        check_login(&target.file)?;
        let image = image(&target.file);
        let file = match &image {
            Some(image) => PathBuf::from(image.to_string()),
            None => whole_path(
                &target.file,
                "give a deployment manifest (JSON), a component (.wasm), or an image: HOST/NAME:TAG",
            )?,
        };
        let component = Component {
            env: &args.env,
            args: &args.args,
            grants: &args.grants,
            twin: args.twin.as_deref(),
        };
        let (text, component) = if let Some(image) = &image {
            let name = image_name(image, args.name.as_ref())?;
            let text = component_manifest(&image.to_string(), &name, &component)?;
            (text, Some(name))
        } else if is_component(&file)? {
            let name = component_name(&file, args.name.as_ref())?;
            let image = format!("file:{}", file.display());
            (component_manifest(&image, &name, &component)?, Some(name))
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

/// The image of a registry that a person means in place of a file: no such file is there, and the text begins with the
/// name of a host. What ends as files do that are run is a file that is missing.
pub(super) fn image(file: &Path) -> Option<Reference> {
    let text = file.to_str()?;
    let host = text.split_once('/')?.0;
    let is_host = host == "localhost" || (!host.starts_with('.') && host.contains(['.', ':']));
    let is_file = [".json", ".wasm"]
        .iter()
        .any(|ending| text.ends_with(ending));
    if !is_host || is_file || file.exists() {
        return None;
    }
    text.parse().ok()
}

/// Refuses what is no file and looks like an image behind a login, without repeating the password.
fn check_login(file: &Path) -> Result<(), Failure> {
    let text = file.to_str().unwrap_or_default();
    let before = text.split_once('@').map(|(before, _)| before);
    let has_password = before.is_some_and(|before| before.contains(':'));
    match text.parse::<Reference>() {
        Err(err @ ReferenceError::Reference(ImageReferenceError::Login))
            if has_password && !file.exists() =>
        {
            let what = format!("`{}` is not the name of an image", without_login(text));
            Err(Failure::new(ExitStatus::Usage, what).caused_by(err))
        }
        _ => Ok(()),
    }
}

/// The id of the module of an image: the one that was given, or the last part of the image's name.
fn image_name(image: &Reference, given: Option<&ModuleId>) -> anyhow::Result<ModuleId> {
    let last = image.repository().rsplit('/').next().unwrap_or_default();
    // An ending after a dot is a part of this name.
    component_name(Path::new(&format!("{last}.wasm")), given)
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
    image: &str,
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
                    "image": image,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_told_from_a_file_that_is_not_there() {
        let check = |text: &str, expected: Option<&str>| {
            let found = image(Path::new(text)).map(|image| image.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("ghcr.io/a/b", Some("ghcr.io/a/b:latest"));
        check("localhost:5000/b:1.0", Some("localhost:5000/b:1.0"));
        check("localhost/b", Some("localhost/b:latest"));
        for file in [
            "b",
            "b:1.0",
            "a/b",
            "./a.b/c",
            "../a/b",
            "/a.b/c",
            "a.b/c.json",
            "a.b/c.wasm",
        ] {
            check(file, None);
        }
        let name = |text: &str| {
            image_name(&text.parse().unwrap(), None)
                .unwrap()
                .to_string()
        };
        assert_eq!(name("ghcr.io/tools/v1.sensor:2"), "v1.sensor");
    }
}
