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
use crate::output::text::Text;
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
    /// Whether that is the image of a registry.
    pub(super) is_image: bool,
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
        let image = image(&target.file)?;
        let file = match &image {
            Some(image) => {
                tell_short(&target.file, image, output);
                PathBuf::from(image.to_string())
            }
            None => whole_path(&target.file, &what_to_give(&target.file))?,
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
            is_image: image.is_some(),
            file,
        })
    }
}

/// The image of a registry that a person means in place of a file: no such file is there, and the text begins with the
/// name of a host, or has a tag or a digest. What ends as files do that are run is a file that is missing.
///
/// # Errors
/// What can only be an image, and is none.
fn image(file: &Path) -> Result<Option<Reference>, Failure> {
    let Some(text) = file.to_str().filter(|_| !is_file(file)) else {
        return Ok(None);
    };
    let (first, rest) = match text.split_once('/') {
        Some((first, rest)) => (first, rest),
        None => ("", text),
    };
    let has_port = first == "localhost" || first.contains(':');
    let is_named = has_port || first.contains('.') || rest.contains([':', '@']);
    match text.parse() {
        Ok(image) if is_named => Ok(Some(image)),
        Err(err) if has_port || matches!(err, ReferenceError::HostAlone { .. }) => {
            let what = format!("`{}` names no image", text.escape_debug());
            Err(Failure::new(ExitStatus::Usage, what).caused_by(err))
        }
        _ => Ok(None),
    }
}

/// Whether a person means a file by this, whether it is there or not.
fn is_file(file: &Path) -> bool {
    let text = file.to_string_lossy();
    let is_path = text.starts_with(['.', '/', '~']);
    let has_ending = [".json", ".wasm"]
        .iter()
        .any(|ending| text.ends_with(ending));
    is_path || has_ending || file.exists()
}

/// Says how a name was read that has no host.
fn tell_short(file: &Path, image: &Reference, output: &Output) {
    let whole = image.to_string();
    let text = file.to_string_lossy();
    if !whole.starts_with(text.split('/').next().unwrap_or_default()) {
        let what = format!("there is no file `{text}`, so it is the image `{whole}`");
        output.note(&Text::new().plain(&what));
    }
}

/// What can be run, for who named a file that is not there.
fn what_to_give(file: &Path) -> String {
    let image = match file.to_str().map(str::parse::<Reference>) {
        Some(Ok(image)) if !is_file(file) => {
            format!("an image by its whole name, as `{image}`")
        }
        _ => "an image: HOST/NAME:TAG".to_owned(),
    };
    format!("give a deployment manifest (JSON), a component (.wasm), or {image}")
}

/// The failure of `--watch` where nothing but images of registries runs.
pub(super) fn nothing_to_watch() -> Failure {
    let what = "there is nothing to watch: the image of a registry is no file that changes here";
    Failure::new(ExitStatus::Usage, what)
        .hint("leave `--watch` away; `--reapply` takes what a tag names by now")
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
            let found = image(Path::new(text)).unwrap();
            let found = found.map(|image| image.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("ghcr.io/a/b", Some("ghcr.io/a/b:latest"));
        check("localhost:5000/b:1.0", Some("localhost:5000/b:1.0"));
        check("localhost/b", Some("localhost/b:latest"));
        check("b:1.0", Some("docker.io/library/b:1.0"));
        check("a/b:1.0", Some("docker.io/a/b:1.0"));
        for file in [
            "b",
            "a/b",
            "A/b:1.0",
            "./a.b/c",
            "../a/b:1",
            "/a.b/c",
            "~/b:1",
            "a.b/c.json",
            "a.b/c.wasm",
        ] {
            check(file, None);
        }
        for neither in [
            "localhost",
            "localhost:5000",
            "a.b:80",
            "a:5000/B",
            "localhost/B:1",
        ] {
            assert!(image(Path::new(neither)).is_err(), "{neither}");
        }
        let name = |text: &str| {
            image_name(&text.parse().unwrap(), None)
                .unwrap()
                .to_string()
        };
        assert_eq!(name("ghcr.io/tools/v1.sensor:2"), "v1.sensor");
    }
}
