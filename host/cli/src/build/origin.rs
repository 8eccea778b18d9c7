//! The crate that a component was built from, for what an image says of itself.
//!
//! Found from the component's file alone: it lies in the target folder of a workspace, and a package of that
//! workspace has a target of its name. Where that is not so, nothing is known and the person says it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;

use super::cargo::Cargo;

/// What a crate says of itself, as far as it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CrateFacts {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its licence, an SPDX expression.
    pub(crate) licence: Option<String>,
    /// Where its sources are.
    pub(crate) source: Option<String>,
    /// What it is, in a sentence.
    pub(crate) description: Option<String>,
    /// Where it is described.
    pub(crate) documentation: Option<String>,
    /// Who wrote it.
    pub(crate) authors: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    description: Option<String>,
    documentation: Option<String>,
    #[serde(default)]
    authors: Vec<String>,
    #[serde(default)]
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    #[serde(default)]
    kind: Vec<String>,
}

/// The crate of a component; the path is absolute. Asks cargo, so blocks for a moment; nothing where there is no cargo,
/// or several crates could be meant.
pub(crate) fn of(component: &Path) -> Option<CrateFacts> {
    let folder = component
        .ancestors()
        .skip(1)
        .find(|folder| folder.join("Cargo.toml").is_file())?;
    // A crate that cargo cannot read is no reason not to push what was built of it before.
    let answer = Cargo::in_folder(folder).metadata(Stdio::null()).ok()?;
    in_metadata(&answer, component)
}

fn in_metadata(answer: &[u8], component: &Path) -> Option<CrateFacts> {
    let metadata: Metadata = serde_json::from_slice(answer).ok()?;
    if !component.starts_with(&metadata.target_directory) {
        return None;
    }
    let stem = same_name(component.file_stem()?.to_str()?);
    let makes_it = |package: &Package| {
        let mut targets = package.targets.iter();
        targets.any(|target| {
            let is_module = target
                .kind
                .iter()
                .any(|kind| kind == "cdylib" || kind == "bin");
            is_module && same_name(&target.name) == stem
        })
    };
    let mut found = metadata.packages.into_iter().filter(makes_it);
    match (found.next(), found.next()) {
        (Some(package), None) => Some(package.into()),
        _ => None,
    }
}

/// Names of libraries have underscores where packages have hyphens.
fn same_name(name: &str) -> String {
    name.replace('-', "_")
}

impl From<Package> for CrateFacts {
    fn from(package: Package) -> Self {
        Self {
            name: package.name,
            version: package.version,
            licence: package.license,
            source: package.repository,
            description: package.description,
            documentation: package.documentation,
            authors: package.authors,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_component_in_the_target_folder_is_of_the_crate_with_its_name() {
        let package = |name: &str, kind: &str| {
            json!({
                "name": name, "version": "1.2.0", "license": "MIT", "repository": "https://example.org/a",
                "description": null, "authors": [],
                "targets": [{ "name": name.replace('-', "_"), "kind": [kind] }],
            })
        };
        let answer = json!({
            "version": 1, "workspace_root": "/w", "target_directory": "/w/target",
            "packages": [package("fast-filter", "cdylib"), package("other", "lib"), package("twice", "bin"),
                package("twice", "cdylib")],
        });
        let answer = answer.to_string();
        let check = |path: &str, expected: Option<&str>| {
            let found = in_metadata(answer.as_bytes(), Path::new(path));
            assert_eq!(found.map(|facts| facts.name).as_deref(), expected, "{path}");
        };
        check(
            "/w/target/wasm32-wasip2/release/fast_filter.wasm",
            Some("fast-filter"),
        );
        check("/w/target/fast-filter.wasm", Some("fast-filter"));
        check("/w/target/other.wasm", None);
        check("/w/target/twice.wasm", None);
        check("/w/fast_filter.wasm", None);
        check("/w/targets/fast_filter.wasm", None);
        let found = in_metadata(answer.as_bytes(), Path::new("/w/target/fast-filter.wasm"));
        let expected = CrateFacts {
            name: "fast-filter".to_owned(),
            version: "1.2.0".to_owned(),
            licence: Some("MIT".to_owned()),
            source: Some("https://example.org/a".to_owned()),
            ..CrateFacts::default()
        };
        assert_eq!(found, Some(expected));
    }
}
