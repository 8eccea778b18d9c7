//! What cargo says in JSON: its answer to `metadata`, and the messages of a build.
//!
//! Pure. Only the keys that are needed here are read; others come and go with cargo's versions.

use std::path::PathBuf;

use serde::Deserialize;

use crate::sdk;

/// What is known of a workspace before it is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Workspace {
    /// Its root, whose manifest has the profiles.
    pub(super) root: PathBuf,
    /// The folders of the SDK that its members depend on by path.
    pub(super) sdk_paths: Vec<PathBuf>,
}

/// What a build came to, message by message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The components.
    pub(super) components: Vec<PathBuf>,
    /// The version of the SDK that was built with.
    pub(super) sdk_version: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Workspace {
    /// Of the answer to `cargo metadata --format-version 1 --no-deps`.
    pub(super) fn of(answer: &[u8]) -> Result<Self, serde_json::Error> {
        let metadata: Metadata = serde_json::from_slice(answer)?;
        let dependencies = metadata.packages.into_iter().flat_map(|p| p.dependencies);
        let mut sdk_paths: Vec<PathBuf> = dependencies
            .filter(|dependency| dependency.name == sdk::PACKAGE)
            .filter_map(|dependency| dependency.path)
            .collect();
        sdk_paths.sort();
        sdk_paths.dedup();
        Ok(Self {
            root: metadata.workspace_root,
            sdk_paths,
        })
    }
}

impl Outcome {
    /// Takes in one line of a build with `--message-format json-render-diagnostics`.
    pub(super) fn take(&mut self, line: &[u8]) -> Result<(), serde_json::Error> {
        let message: Message = serde_json::from_slice(line)?;
        let Some(target) = message.target else {
            return Ok(());
        };
        if message.reason != "compiler-artifact" {
            return Ok(());
        }
        // Cargo writes the name of a library with underscores, older ones as the package has it.
        if target.name.replace('_', "-") == sdk::PACKAGE {
            self.sdk_version = version(&message.package_id).map(str::to_owned);
        }
        let is_module = target
            .kind
            .iter()
            .any(|kind| kind == "cdylib" || kind == "bin");
        let component = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "wasm");
        if is_module {
            self.components
                .extend(message.filenames.into_iter().filter(component));
        }
        Ok(())
    }
}

/// The version at the end of a package id (the cargo book, *Package ID Specifications*): `…#name@1.2.3` or `…#1.2.3`.
fn version(package_id: &str) -> Option<&str> {
    let (_, fragment) = package_id.rsplit_once('#')?;
    let version = fragment.rsplit('@').next()?;
    version
        .starts_with(|c: char| c.is_ascii_digit())
        .then_some(version)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workspace_is_known_by_its_root_and_its_sdk() {
        let dependency = |name: &str, path: Option<&str>| json!({ "name": name, "path": path });
        let answer = json!({
            "version": 1,
            "workspace_root": "/w",
            "packages": [
                { "name": "a", "dependencies": [
                    dependency("serde", None),
                    dependency("wasm-edge-sdk", Some("/sdk")),
                ] },
                { "name": "b", "dependencies": [
                    dependency("wasm-edge-sdk", Some("/sdk")),
                    dependency("wasm-edge-sdk", None),
                    dependency("c", Some("/w/c")),
                ] },
            ],
        });
        let expected = Workspace {
            root: "/w".into(),
            sdk_paths: vec!["/sdk".into()],
        };
        let found = Workspace::of(answer.to_string().as_bytes()).unwrap();
        assert_eq!(found, expected);
    }

    #[test]
    fn components_are_what_libraries_and_programs_come_to() {
        let artifact = |kind: &str, name: &str, files: &[&str]| {
            json!({
                "reason": "compiler-artifact", "package_id": "path+file:///a#0.1.0", "fresh": false,
                "target": { "name": name, "kind": [kind] }, "filenames": files,
            })
        };
        let mut outcome = Outcome::default();
        for message in [
            artifact("cdylib", "greeter", &["/t/greeter.wasm", "/t/greeter.d"]),
            artifact("bin", "beat", &["/t/beat.wasm"]),
            artifact("lib", "serde", &["/t/libserde.rlib"]),
            artifact("example", "other", &["/t/other.wasm"]),
            artifact("custom-build", "build-script-build", &["/t/build.wasm"]),
            json!({ "reason": "compiler-message", "target": { "name": "x", "kind": ["bin"] }, "filenames": ["/x.wasm"] }),
            json!({ "reason": "build-finished", "success": true }),
        ] {
            outcome.take(message.to_string().as_bytes()).unwrap();
        }
        let expected: Vec<PathBuf> = vec!["/t/greeter.wasm".into(), "/t/beat.wasm".into()];
        assert_eq!((outcome.components, outcome.sdk_version), (expected, None));
        assert!(Outcome::default().take(b"warning: x").is_err());
    }

    #[test]
    fn the_version_of_the_sdk_is_that_of_its_package_id() {
        let check = |id: &str, expected: Option<&str>| {
            let line = json!({
                "reason": "compiler-artifact", "package_id": id,
                "target": { "name": "wasm_edge_sdk", "kind": ["lib"] },
            });
            let mut outcome = Outcome::default();
            outcome.take(line.to_string().as_bytes()).unwrap();
            assert_eq!(outcome.sdk_version.as_deref(), expected, "{id}");
        };
        check(
            "path+file:///sdk/0.1.0-0a#wasm-edge-sdk@0.1.0",
            Some("0.1.0"),
        );
        check("path+file:///wasm-edge-sdk#0.2.0-rc.1", Some("0.2.0-rc.1"));
        check(
            "registry+https://host/index#wasm-edge-sdk@1.0.0",
            Some("1.0.0"),
        );
        check("wasm-edge-sdk 0.1.0 (path+file:///sdk)", None);
    }
}
