//! The SDK that this binary carries, and which SDK a crate is to be written with.
//!
//! The SDK is on no registry, so the one of this very version is in the binary (`build/sdk_files.rs` makes the table) and is
//! unpacked once for each user, into a folder that is named after its version and content; [`unpack`] does that.
//! `new` writes the folder into a crate's manifest, `build` sees to it that it still is there.

pub(crate) mod unpack;

use std::path::{Path, PathBuf};

use wasm_edge_images::digest::Digest;

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::text_file;
use crate::user_folders;
use unpack::UnpackError;

/// The package's name.
pub(crate) const PACKAGE: &str = "wasm-edge-sdk";

/// The version of this binary, and of the SDK in it.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Path from the SDK's root, and content, sorted by path.
static FILES: Files = include!(concat!(env!("OUT_DIR"), "/sdk_files.rs"));

/// Hexadecimal digits of the content's digest in the folder's name.
const DIGEST_LENGTH: usize = 16;

/// Largest manifest of an SDK that is looked at, in bytes.
const MANIFEST_MAX_BYTES: usize = 1 << 20;

/// Files by their path, which has no link, no `..` and no root in it.
pub(crate) type Files = &'static [(&'static str, &'static [u8])];

/// What `--sdk` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SdkChoice {
    /// The one in this binary.
    Carried,
    /// A folder, or a requirement on the version in a registry.
    Named(String),
}

/// How a crate depends on the SDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SdkDependency {
    /// By the absolute path of its folder.
    Path(String),
    /// By a requirement such as `0.1`, from the registry.
    Version(String),
}

/// What was found out of an SDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChosenSdk {
    /// How to depend on it.
    pub(crate) dependency: SdkDependency,
    /// What the person should know of it.
    pub(crate) warning: Option<String>,
}

/// Why the carried SDK is not in its place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SdkError {
    /// There is no folder of the user's.
    #[error("neither `XDG_DATA_HOME` nor `HOME` is set")]
    NoHome,
    /// It cannot be written.
    #[error("cannot unpack the SDK to `{}`", place.display())]
    Unpack {
        /// Where to.
        place: PathBuf,
        /// Why.
        #[source]
        source: UnpackError,
    },
}

impl SdkError {
    /// What to do about it.
    pub(crate) const HINT: &str = "`wasm-edge new --sdk-dir DIR` unpacks it elsewhere, `--sdk PATH` takes an SDK that is there already";

    fn into_failure(self) -> Failure {
        let failure = Failure::new(
            ExitStatus::Failure,
            "there is no SDK to write the module with",
        );
        failure.hint(Self::HINT).caused_by(self)
    }
}

/// Finds the SDK that `choice` names; the carried one is unpacked below `folder`, or the user's own folder.
///
/// # Errors
/// A [`Failure`] where there is no such SDK, or it cannot be unpacked.
pub(crate) fn choose(choice: &SdkChoice, folder: Option<&Path>) -> anyhow::Result<ChosenSdk> {
    match choice {
        SdkChoice::Carried => {
            let place = place(folder).map_err(SdkError::into_failure)?;
            ensure(&place).map_err(SdkError::into_failure)?;
            Ok(ChosenSdk {
                dependency: SdkDependency::Path(utf8(&place)?),
                warning: None,
            })
        }
        SdkChoice::Named(text) if Path::new(text).is_dir() => in_folder(Path::new(text)),
        SdkChoice::Named(text) if is_requirement(text) => Ok(ChosenSdk {
            dependency: SdkDependency::Version(text.clone()),
            warning: None,
        }),
        SdkChoice::Named(text) => {
            let what = format!("`{text}` is neither a folder nor a version such as `{VERSION}`");
            Err(Failure::new(ExitStatus::NotFound, what)
                .hint("leave `--sdk` out to take the SDK that comes with wasm-edge")
                .into())
        }
    }
}

/// The folder of the carried SDK below `folder`, or below the user's own.
///
/// # Errors
/// [`SdkError::NoHome`].
pub(crate) fn place(folder: Option<&Path>) -> Result<PathBuf, SdkError> {
    let base = match folder {
        // Only an empty path cannot be made absolute, and that is as good as none.
        Some(folder) => std::path::absolute(folder).map_err(|_| SdkError::NoHome)?,
        None => user_folders::data_home()
            .ok_or(SdkError::NoHome)?
            .join("wasm-edge")
            .join("sdk"),
    };
    let digest = digest(FILES).hex();
    Ok(base.join(format!("{VERSION}-{}", &digest[..DIGEST_LENGTH])))
}

/// Sees to it that the carried SDK is whole in its place.
///
/// # Errors
/// [`SdkError::Unpack`].
pub(crate) fn ensure(place: &Path) -> Result<(), SdkError> {
    unpack::ensure(place, FILES).map_err(|source| SdkError::Unpack {
        place: place.to_owned(),
        source,
    })
}

fn in_folder(folder: &Path) -> anyhow::Result<ChosenSdk> {
    let folder = std::fs::canonicalize(folder)?;
    let manifest = folder.join("Cargo.toml");
    let text = text_file::read(&manifest, MANIFEST_MAX_BYTES).unwrap_or_default();
    if !text.contains(&format!("name = \"{PACKAGE}\"")) {
        let what = format!("`{}` is not the folder of an SDK", folder.display());
        return Err(Failure::new(ExitStatus::NotFound, what)
            .hint(format!(
                "its `Cargo.toml` is to be that of the package `{PACKAGE}`"
            ))
            .into());
    }
    let warning = match version_in(&text) {
        Some(VERSION) => None,
        found => {
            let found = found.unwrap_or("of unknown version");
            Some(format!(
                "the SDK in `{}` is {found}, this is wasm-edge {VERSION}",
                folder.display()
            ))
        }
    };
    Ok(ChosenSdk {
        dependency: SdkDependency::Path(utf8(&folder)?),
        warning,
    })
}

/// The first version that a manifest gives, which is the package's own or its workspace's.
fn version_in(manifest: &str) -> Option<&str> {
    manifest.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        let value = value.trim().strip_prefix('"')?;
        (key.trim() == "version").then(|| value.split('"').next())?
    })
}

/// Whether a text can be a requirement on a version, as cargo takes them.
fn is_requirement(text: &str) -> bool {
    let number = text.trim_start_matches(['^', '~', '=', '>', '<', ' ']);
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-+*^~=<>, ".contains(c);
    number.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(allowed)
}

/// The path as it can stand in a manifest.
fn utf8(path: &Path) -> anyhow::Result<String> {
    let text = path
        .to_str()
        .filter(|text| !text.contains(char::is_control));
    text.map(str::to_owned).ok_or_else(|| {
        let what = format!("`{}` cannot stand in a `Cargo.toml`", path.display());
        Failure::new(ExitStatus::Usage, what)
            .hint("take a folder with a plain name, by `--sdk-dir DIR`")
            .into()
    })
}

/// The digest over all paths and contents, each behind its length.
fn digest(files: Files) -> Digest {
    let mut all = Vec::new();
    for (path, content) in files {
        for part in [path.as_bytes(), content] {
            all.extend_from_slice(&(part.len() as u64).to_be_bytes());
            all.extend_from_slice(part);
        }
    }
    Digest::of(&all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_carries_what_an_sdk_needs_and_no_more() {
        let has = |path: &str| FILES.iter().any(|(file, _)| *file == path);
        for file in [
            "Cargo.toml",
            "LICENSE",
            "src/lib.rs",
            "macros/Cargo.toml",
            "macros/src/lib.rs",
            "macros/wit/deps/io/poll.wit",
            "wit/worlds.wit",
        ] {
            assert!(has(file), "{file}");
        }
        for (file, _) in FILES {
            let junk = file.split('/').any(|part| {
                part.starts_with('.') || part == "target" || part == ".." || part.is_empty()
            });
            assert!(!junk && *file != "Cargo.lock", "{file}");
        }
        assert!(FILES.is_sorted());
    }

    #[test]
    fn the_folder_is_named_after_version_and_content() {
        let check = |one: Files, other: Files| assert_ne!(digest(one), digest(other));
        check(&[("a", b"b")], &[("a", b"c")]);
        check(&[("a", b"b")], &[("b", b"b")]);
        check(&[("a", b"bc")], &[("ab", b"c")]);
        let place = place(Some(Path::new("/sdks"))).unwrap();
        let name = place.strip_prefix("/sdks").unwrap().to_str().unwrap();
        let (version, digest) = name.rsplit_once('-').unwrap();
        assert_eq!((version, digest.len()), (VERSION, DIGEST_LENGTH));
    }

    #[test]
    fn a_version_is_told_from_a_folder() {
        for version in [
            "0.1.0",
            "1",
            "=0.1.0",
            "^0.1",
            ">=0.1, <0.3",
            "1.0.0-rc.1",
            "0.*",
        ] {
            assert!(is_requirement(version), "{version}");
        }
        for other in ["", "sdk", "./0.1", "/0.1.0", "0.1\"", "../sdk", "^"] {
            assert!(!is_requirement(other), "{other}");
        }
    }

    #[test]
    fn the_version_of_a_manifest_is_found() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(version_in(text), expected);
        check(
            "[package]\nname = \"a\"\nversion = \"1.2.3\"",
            Some("1.2.3"),
        );
        check(
            "[workspace.package]\nversion=\"0.1.0\" # ours",
            Some("0.1.0"),
        );
        check("version.workspace = true", None);
        check("serde = { version = \"1\" }", None);
    }
}
