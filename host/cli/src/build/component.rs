//! A component that was built, as its author wants to know it.

use std::path::{Path, PathBuf};

use serde::Serialize;
use wasm_edge_daemon::code::{CodeStore, CodeStoreError};
use wasm_edge_images::source::{ImageError, ImageSource};
use wasm_edge_model::manifest::{ImageReference, Limits};

use crate::output::human;

/// What is shown of a component; the JSON output has this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BuiltComponent {
    /// Its file, absolute.
    pub(crate) path: PathBuf,
    /// The file's size.
    pub(crate) size_bytes: u64,
    /// The digest as a manifest takes it.
    pub(crate) digest: String,
    /// What of it the host calls.
    pub(crate) kind: Kind,
    /// The handlers it has, by the name of their interface; none for a program.
    pub(crate) handlers: Vec<String>,
    /// The interfaces it imports, with package and version.
    pub(crate) imports: Vec<String>,
    /// What its memories take before it does anything.
    pub(crate) memory_initial_bytes: u64,
}

/// The two kinds of components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// It has handlers, which are called.
    Handlers,
    /// It has a loop of its own.
    Program,
}

/// A component that a device would not take.
#[derive(Debug, thiserror::Error)]
#[error("a device would refuse `{}`", path.display())]
pub(crate) struct RefusedComponent {
    /// Its file.
    path: PathBuf,
    #[source]
    reason: RefusedBecause,
}

#[derive(Debug, thiserror::Error)]
enum RefusedBecause {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Code(#[from] CodeStoreError),
}

impl RefusedComponent {
    /// What to do about it.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match &self.reason {
            RefusedBecause::Image(err) => Some(err.hint()),
            RefusedBecause::Code(_) => None,
        }
    }
}

/// Looks at a component as a device would before it runs it. Blocks: it is compiled for that.
///
/// # Errors
/// With the device's own reason.
pub(crate) fn look_at(path: &Path) -> Result<BuiltComponent, RefusedComponent> {
    look(path).map_err(|reason| RefusedComponent {
        path: path.to_owned(),
        reason,
    })
}

fn look(path: &Path) -> Result<BuiltComponent, RefusedBecause> {
    let reference = ImageReference::File {
        path: path.display().to_string(),
    };
    let image = ImageSource::new(Path::new("/")).load(&reference, None)?;
    let facts = CodeStore::inspect(&image)?;
    Ok(BuiltComponent {
        path: path.to_owned(),
        size_bytes: image.bytes.len() as u64,
        digest: image.digest.to_string(),
        kind: if facts.is_program {
            Kind::Program
        } else {
            Kind::Handlers
        },
        handlers: facts
            .exports
            .iter()
            .filter_map(|name| handler(name))
            .collect(),
        imports: facts.imports,
        memory_initial_bytes: facts.memory.most_bytes(),
    })
}

impl BuiltComponent {
    /// What its author has to write into a manifest, beyond what every module needs.
    pub(super) fn warning(&self) -> Option<String> {
        let limit_bytes = Limits::default().memory_limit_bytes;
        (self.memory_initial_bytes > limit_bytes).then(|| {
            format!(
                "`{}` takes {} of memory at its start, and a module gets {} unless its manifest sets `memoryLimitBytes`",
                self.path.display(),
                human::size(self.memory_initial_bytes),
                human::size(limit_bytes),
            )
        })
    }
}

/// `message` of `wasm-edge:module/message-handler@0.1.0`.
fn handler(export: &str) -> Option<String> {
    let interface = export
        .strip_prefix("wasm-edge:module/")?
        .split('@')
        .next()?;
    Some(interface.trim_end_matches("-handler").to_owned())
}

/// Imports by package, each with its interfaces in one text, for people: versions are left out.
pub(crate) fn imports_by_package(imports: &[String]) -> Vec<(String, String)> {
    let mut packages: Vec<(String, String)> = Vec::new();
    for import in imports {
        let name = import.split('@').next().unwrap_or(import);
        let (package, interface) = name.split_once('/').unwrap_or((name, ""));
        match packages.last_mut().filter(|(last, _)| last == package) {
            Some((_, interfaces)) => {
                interfaces.push_str(", ");
                interfaces.push_str(interface);
            }
            None => packages.push((package.to_owned(), interface.to_owned())),
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_have_short_names() {
        let check =
            |export: &str, expected: Option<&str>| assert_eq!(handler(export).as_deref(), expected);
        check("wasm-edge:module/message-handler@0.1.0", Some("message"));
        check("wasm-edge:module/init@0.1.0", Some("init"));
        check("wasi:cli/run@0.2.6", None);
    }

    #[test]
    fn imports_are_gathered_by_package() {
        let imports = [
            "wasi:cli/environment@0.2.6",
            "wasi:cli/exit@0.2.6",
            "wasi:io/poll@0.2.6",
        ];
        let imports = imports.map(str::to_owned);
        let expected = [("wasi:cli", "environment, exit"), ("wasi:io", "poll")];
        let expected = expected.map(|(package, names)| (package.to_owned(), names.to_owned()));
        assert_eq!(imports_by_package(&imports), expected);
    }

    #[test]
    fn a_component_that_needs_more_than_the_default_is_told() {
        let taking = |memory_initial_bytes| BuiltComponent {
            path: "/a.wasm".into(),
            size_bytes: 1,
            digest: String::new(),
            kind: Kind::Program,
            handlers: Vec::new(),
            imports: Vec::new(),
            memory_initial_bytes,
        };
        assert_eq!(taking(16 << 20).warning(), None);
        let warning = taking(17 << 20).warning().unwrap();
        assert!(
            warning.contains("17.0 MiB") && warning.contains("memoryLimitBytes"),
            "{warning}"
        );
    }

    #[test]
    fn what_is_no_component_is_refused_with_the_devices_reason() {
        let folder = tempfile::tempdir().unwrap();
        let check = |bytes: &[u8], expected: &str| {
            let path = folder.path().join("a.wasm");
            std::fs::write(&path, bytes).unwrap();
            let refused = look_at(&path).unwrap_err();
            assert!(refused.to_string().contains("a.wasm"));
            let reason = format!("{:#}", anyhow::Error::new(refused));
            assert!(reason.contains(expected), "{reason}");
        };
        check(b"\0asm\x01\0\0\0", "expected a component");
        check(b"\0asm\x0d\0\x01\0", "there is nothing to run");
    }
}
