//! A crate built to components, and what came out.
//!
//! [`build`] runs cargo with the right target and flags, finds the components by cargo's own messages, and looks at
//! each as a device would. It prints nothing itself, but cargo's errors go to standard error as they come.
//! The verbs `build` and `run --watch` call it.

pub(crate) mod cargo;
pub(crate) mod component;
pub(crate) mod flags;
mod messages;
pub(crate) mod origin;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::sdk::{self, SdkError};
use cargo::{Cargo, CargoError, Stopper};
use component::{BuiltComponent, RefusedComponent, look_at};
use flags::Profile;
use messages::Workspace;

/// The compiler's target for components of WASI 0.2.
const TARGET: &str = "wasm32-wasip2";

/// What to build and how.
#[derive(Clone, Debug)]
pub(crate) struct BuildRequest {
    /// The crate's folder.
    pub(crate) folder: PathBuf,
    /// Optimised or not.
    pub(crate) profile: Profile,
    /// Whether names of functions are kept, for backtraces.
    pub(crate) names: bool,
    /// Further arguments of cargo's.
    pub(crate) cargo_args: Vec<OsString>,
    /// How cargo talks to the person.
    pub(crate) voice: Voice,
}

/// How cargo talks on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Voice {
    /// Whether in colour.
    pub(crate) color: bool,
    /// Whether errors and warnings only.
    pub(crate) quiet: bool,
}

/// What a build came to.
#[derive(Debug)]
pub(crate) struct Built {
    /// The components, by path; at least one.
    pub(crate) components: Vec<BuiltComponent>,
    /// What the person should know.
    pub(crate) warnings: Vec<String>,
    /// How long cargo took.
    pub(crate) took: Duration,
}

/// Why there is no component that a device would take.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// There is no crate.
    #[error("no crate in `{}`", folder.display())]
    NoCrate {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The compiler cannot make components.
    #[error("the compiler's target `{TARGET}` is not installed")]
    NoTarget,
    /// The SDK that the crate depends on is gone.
    #[error("the SDK in `{}`, which the crate depends on, is not there", path.display())]
    NoSdk {
        /// The path in the crate's manifest.
        path: PathBuf,
        /// Where the one of this version is, if it could be unpacked.
        place: Option<PathBuf>,
    },
    /// Cargo could not do it, or could not be run.
    #[error(transparent)]
    Cargo(#[from] CargoError),
    /// Cargo built something else.
    #[error("no component came out of `{}`", folder.display())]
    NoComponent {
        /// The crate's folder.
        folder: PathBuf,
    },
    /// The SDK that the crate depends on is the carried one, and cannot be put into its place.
    #[error(transparent)]
    Sdk(#[from] SdkError),
    /// A device would not take it.
    #[error(transparent)]
    Refused(#[from] RefusedComponent),
}

/// Builds a crate and looks at what came out. Blocks for as long as the compiler takes; `stopper` ends it before.
///
/// # Errors
/// [`BuildError`]; what the compiler says is on standard error by then.
pub(crate) fn build(
    request: &BuildRequest,
    stopper: Option<&Stopper>,
) -> Result<Built, BuildError> {
    let begun = Instant::now();
    let folder = &request.folder;
    if !folder.join("Cargo.toml").is_file() {
        let folder = folder.clone();
        return Err(BuildError::NoCrate { folder });
    }
    let cargo = Cargo::in_folder(folder);
    let workspace = cargo.workspace()?;
    see_to_sdk(&workspace)?;
    if !cargo.has_target(TARGET) {
        return Err(BuildError::NoTarget);
    }
    let manifest = fs::read_to_string(workspace.root.join("Cargo.toml")).unwrap_or_default();
    let args = flags::of(request, &manifest, |name| std::env::var_os(name).is_some());
    let outcome = cargo.build(&args, stopper)?;
    let took = begun.elapsed();
    if outcome.components.is_empty() {
        let folder = folder.clone();
        return Err(BuildError::NoComponent { folder });
    }
    let looked = outcome.components.iter().map(|path| look_at(path));
    let components = looked.collect::<Result<Vec<_>, _>>()?;
    let of_sdk = outcome.sdk_version.and_then(other_sdk);
    let of_components = components.iter().filter_map(BuiltComponent::warning);
    Ok(Built {
        warnings: of_sdk.into_iter().chain(of_components).collect(),
        components,
        took,
    })
}

/// Whether a path is a crate's folder, or its manifest; answers the folder.
pub(crate) fn crate_folder(path: &Path) -> Option<PathBuf> {
    if path.ends_with("Cargo.toml") {
        let folder = path.parent()?;
        let here = folder.as_os_str().is_empty();
        return Some(if here {
            PathBuf::from(".")
        } else {
            folder.to_owned()
        });
    }
    path.join("Cargo.toml").is_file().then(|| path.to_owned())
}

/// The carried SDK is looked at before each use; another one has to be there.
fn see_to_sdk(workspace: &Workspace) -> Result<(), BuildError> {
    for path in &workspace.sdk_paths {
        let place = sdk::place(None).ok();
        if place.as_ref() == Some(path) {
            sdk::ensure(path)?;
        } else if !path.join("Cargo.toml").is_file() {
            return Err(BuildError::NoSdk {
                path: path.clone(),
                place: place.filter(|place| sdk::ensure(place).is_ok()),
            });
        }
    }
    Ok(())
}

fn other_sdk(version: String) -> Option<String> {
    let ours = sdk::VERSION;
    (version != ours).then(|| {
        format!(
            "it is built with the SDK {version}, and this is wasm-edge {ours}, which brings an SDK of its own"
        )
    })
}

impl BuildError {
    /// As the failure of a command that was to build the crate in `folder`.
    pub(crate) fn into_failure(self, folder: &Path) -> Failure {
        let status = match &self {
            Self::NoCrate { .. } | Self::NoSdk { .. } => ExitStatus::NotFound,
            Self::Refused(_) => ExitStatus::InvalidInput,
            Self::NoTarget | Self::Cargo(_) | Self::NoComponent { .. } | Self::Sdk(_) => {
                ExitStatus::Failure
            }
        };
        let failure = Failure::new(status, format!("cannot build `{}`", folder.display()));
        let failure = match self.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        };
        failure.caused_by(self)
    }

    /// What to do about it.
    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoCrate { .. } => "`wasm-edge new NAME` makes a crate",
            Self::NoTarget => {
                return Some(format!(
                    "`rustup target add {TARGET}` installs it; where rustup's server cannot be reached, \
                     `scripts/ensure-wasm-target.sh` of wasm-edge's repository builds it"
                ));
            }
            Self::NoSdk { place, .. } => {
                let place = place.as_ref()?.display();
                return Some(format!(
                    "that of this version is in `{place}`: write this path into `Cargo.toml`"
                ));
            }
            Self::Cargo(err) => err.hint()?,
            Self::NoComponent { .. } => {
                "a module with handlers has `crate-type = [\"cdylib\"]` under `[lib]` in its `Cargo.toml`, \
                 a program has a `src/main.rs`"
            }
            Self::Sdk(_) => SdkError::HINT,
            Self::Refused(refused) => refused.hint()?,
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_named_by_its_folder_or_its_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        assert_eq!(crate_folder(here), None);
        fs::write(here.join("Cargo.toml"), "").unwrap();
        assert_eq!(crate_folder(here).as_deref(), Some(here));
        let manifest = here.join("Cargo.toml");
        assert_eq!(crate_folder(&manifest).as_deref(), Some(here));
        let relative = crate_folder(Path::new("Cargo.toml"));
        assert_eq!(relative.as_deref(), Some(Path::new(".")));
    }

    #[test]
    fn an_sdk_of_another_version_is_told() {
        assert_eq!(other_sdk(sdk::VERSION.to_owned()), None);
        let told = other_sdk("0.0.1".to_owned()).unwrap();
        assert!(told.contains("SDK 0.0.1"), "{told}");
    }
}
