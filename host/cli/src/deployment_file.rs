//! A manifest from a file, as a device is given it.
//!
//! Owns what has to change on the way from a file into twins: `file:` images are relative to the manifest's
//! folder in the one and absolute in the others. Leaves what a manifest may
//! hold to the model. `run`, `test` and `deploy` call it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::{Checked, ImageReference, Manifest, Origin};

use wasm_edge_model::route::condition::Compatibility;

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;

/// Largest manifest that is read from a file, and largest file of `--twin`, in bytes.
pub(crate) const TEXT_MAX_BYTES: usize = 1 << 20;

/// The schema version of a deployment that names none, as a layered one need not.
const SCHEMA_VERSION: &str = "1.1";

/// Checks the text of a manifest and prints all its faults and warnings.
///
/// # Errors
/// How many faults there are.
pub(crate) fn checked(
    text: &str,
    file: &Path,
    compatibility: Compatibility,
    output: &Output,
) -> Result<Manifest, Failure> {
    let checked = Manifest::check_with(text, Origin::LocalFile, compatibility);
    let Checked { value, warnings } = checked.map_err(|faults| {
        let count = output.faults(file, &faults.0);
        let what = format!("`{}` has {count} and was not applied", file.display());
        Failure::new(ExitStatus::BadConfig, what)
    })?;
    for warning in warnings {
        output.warn(&format!("{}: {warning}", file.display()));
    }
    Ok(value)
}

/// Makes the `file:` images of a manifest in `folder` absolute, in what it says and in what it was made of.
///
/// # Errors
/// A path that is no text: twins hold text.
pub(crate) fn with_absolute_images(
    mut manifest: Manifest,
    folder: &Path,
) -> Result<Manifest, Failure> {
    for (id, spec) in &mut manifest.modules {
        let ImageReference::File { path } = &mut spec.image else {
            continue;
        };
        *path = absolute(folder, path)?;
        let settings = manifest
            .agent_desired
            .get_mut("modules")
            .and_then(|modules| modules.get_mut(id.as_str()))
            .and_then(|module| module.get_mut("settings"));
        if let Some(settings) = settings {
            settings["image"] = Value::from(format!("file:{path}"));
        }
    }
    Ok(manifest)
}

/// The desired properties of each module that the deployment names, `$edgeAgent` and `$edgeHub` always among them.
pub(crate) fn sections(manifest: &Manifest) -> BTreeMap<ModuleId, Map<String, Value>> {
    let versioned = |desired: &Map<String, Value>| {
        let mut desired = desired.clone();
        desired
            .entry("schemaVersion")
            .or_insert_with(|| Value::from(SCHEMA_VERSION));
        desired
    };
    let mut sections = manifest.module_twins.clone();
    sections.insert(ModuleId::edge_agent(), versioned(&manifest.agent_desired));
    // Nothing about routes is said by an empty section, not by none: that would leave the last ones.
    let hub = if manifest.hub_desired.is_empty() {
        Map::new()
    } else {
        versioned(&manifest.hub_desired)
    };
    sections.insert(ModuleId::edge_hub(), hub);
    sections
}

/// The content of the deployment as a hub takes it: an object with `modulesContent`.
pub(crate) fn content(manifest: &Manifest) -> Map<String, Value> {
    let modules: Map<String, Value> = sections(manifest)
        .into_iter()
        .map(|(module, desired)| (module.to_string(), json!({ "properties.desired": desired })))
        .collect();
    Map::from_iter([("modulesContent".to_owned(), Value::Object(modules))])
}

/// The deployment as a device checks it: without a section for routes where nothing is said of them, since there an
/// empty one would be a fault.
pub(crate) fn as_manifest(manifest: &Manifest) -> Value {
    let mut content = content(manifest);
    let modules = content.get_mut("modulesContent");
    if let (true, Some(Value::Object(modules))) = (manifest.hub_desired.is_empty(), modules) {
        modules.remove("$edgeHub");
    }
    Value::Object(content)
}

/// SHA-256 as 64 hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The path from the root on. Its folder is resolved where it is there, so that it reads well; a link in the
/// last place stays one, since it may lead elsewhere tomorrow.
fn absolute(folder: &Path, path: &str) -> Result<String, Failure> {
    let joined = folder.join(path);
    let resolved = match (joined.parent().map(Path::canonicalize), joined.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => joined,
    };
    match resolved.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Failure::new(
            ExitStatus::BadConfig,
            format!("the path of the image `{}` is no text", resolved.display()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(image: &str) -> Manifest {
        let text = json!({ "modulesContent": {
            "$edgeAgent": { "properties.desired.modules.m": {
                "type": "wasm", "settings": { "image": image },
            } },
        } });
        Manifest::check(&text.to_string(), Origin::LocalFile)
            .expect("a valid manifest")
            .value
    }

    #[test]
    fn images_are_absolute_in_what_the_hub_is_told_too() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        let root = folder.path().canonicalize().unwrap();
        let check = |image: &str, expected: &str| {
            let manifest =
                with_absolute_images(manifest(image), &folder.path().join("in")).unwrap();
            let expected = format!("file:{}", expected.replace("ROOT", root.to_str().unwrap()));
            let spec = manifest.modules.values().next().unwrap();
            assert_eq!(spec.image.to_string(), expected);
            let content = Value::Object(content(&manifest));
            let agent = &content["modulesContent"]["$edgeAgent"]["properties.desired"];
            assert_eq!(agent["modules"]["m"]["settings"]["image"], expected);
            assert_eq!(agent["schemaVersion"], "1.1");
        };
        check("file:a.wasm", "ROOT/in/a.wasm");
        check("file:../a.wasm", "ROOT/a.wasm");
        check("file:/x/y/a.wasm", "/x/y/a.wasm");
    }

    #[test]
    fn a_device_takes_what_says_nothing_of_routes() {
        let manifest = manifest("file:/a.wasm");
        let text = as_manifest(&manifest).to_string();
        let again = Manifest::check(&text, Origin::LocalFile).expect("a valid manifest");
        assert_eq!(again.value.modules, manifest.modules);
        // The hub is told all the same, or the last routes would stay.
        let hub = &content(&manifest)["modulesContent"]["$edgeHub"];
        assert_eq!(*hub, json!({ "properties.desired": {} }));
    }

    #[test]
    fn images_of_registries_stay_as_they_are() {
        let manifest = with_absolute_images(manifest("a/b:1"), Path::new("/f")).unwrap();
        let spec = manifest.modules.values().next().unwrap();
        assert_eq!(spec.image.to_string(), "a/b:1");
    }
}
