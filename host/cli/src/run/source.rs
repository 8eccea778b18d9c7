//! The crate that a target is built from: built before it is run, and again when its sources change.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::watch::scan::{self, Fingerprint};
use crate::args::run::{RunArgs, Target};
use crate::build::cargo::Stopper;
use crate::build::flags::Profile;
use crate::build::{self, BuildRequest, Built, Voice};
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::text::Text;
use crate::output::{Output, Verbosity};

/// The deployment manifest of a crate, which `new` writes.
const MANIFEST: &str = "deployment.json";

/// A crate, and the state of its sources that was built last.
#[derive(Clone, Debug)]
pub(super) struct CrateSource {
    request: BuildRequest,
    built: Fingerprint,
}

/// Ends the build when who waits for it does not wait any more.
struct StopOnDrop(Stopper);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Builds the crate that a target names, if it names one, and answers what is to be run in its place; `None` if it was
/// stopped before.
///
/// # Errors
/// When there is nothing to run for a reason that is told.
pub(super) async fn built(
    target: Target,
    args: &RunArgs,
    output: &Output,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(Target, Option<CrateSource>)>> {
    let Some(folder) = build::crate_folder(&target.file) else {
        return Ok(Some((target, None)));
    };
    let mut source = CrateSource {
        request: BuildRequest {
            folder: folder.clone(),
            profile: Profile::Release,
            names: false,
            cargo_args: Vec::new(),
            voice: Voice {
                color: output.colors_messages(),
                quiet: output.verbosity() == Verbosity::Quiet,
            },
        },
        built: Fingerprint::default(),
    };
    let built = tokio::select! {
        built = source.build() => built?,
        () = stop.cancelled() => return Ok(None),
    };
    tell(&built, output);
    let file = to_run(&folder, &built, args, output)?;
    Ok(Some((Target { file, ..target }, Some(source))))
}

/// Says what a build came to.
pub(super) fn tell(built: &Built, output: &Output) {
    for warning in &built.warnings {
        output.warn(warning);
    }
    output.note(&Text::new().plain(&took("built", built.took)));
}

/// `built in 1.2 s`.
pub(super) fn took(what: &str, took: Duration) -> String {
    format!("{what} in {:.1} s", took.as_secs_f64())
}

/// The crate's deployment manifest, else the component itself; with an option of a single component, the component.
fn to_run(
    folder: &Path,
    built: &Built,
    args: &RunArgs,
    output: &Output,
) -> anyhow::Result<PathBuf> {
    let manifest = folder.join(MANIFEST);
    if manifest.is_file() && args.component_option().is_none() {
        warn_of_other_component(&manifest, built, output);
        return Ok(manifest);
    }
    match built.components.as_slice() {
        [only] => Ok(only.path.clone()),
        several => {
            let what = format!(
                "`{}` has {} components, and no `{MANIFEST}` says how to run them",
                folder.display(),
                several.len()
            );
            Err(Failure::new(ExitStatus::Ambiguous, what)
                .hint("write one, or name the component itself")
                .into())
        }
    }
}

/// A manifest that names another file than the one that was built would run what was built some day.
fn warn_of_other_component(manifest: &Path, built: &Built, output: &Output) {
    let text = std::fs::read_to_string(manifest).unwrap_or_default();
    let is_named = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        text.contains(name.as_ref())
    };
    for component in &built.components {
        if !is_named(&component.path) {
            output.warn(&format!(
                "`{}` names no `{}`: what was built is not what runs",
                manifest.display(),
                component.path.display()
            ));
        }
    }
}

impl CrateSource {
    /// The crate's folder.
    pub(super) fn folder(&self) -> &Path {
        &self.request.folder
    }

    /// Whether the sources are others than those that were built last.
    pub(super) fn is_stale(&self, now: &Fingerprint) -> bool {
        self.built != *now
    }

    /// Builds it. Dropping the future ends cargo.
    pub(super) async fn build(&mut self) -> anyhow::Result<Built> {
        let request = self.request.clone();
        let stopper = StopOnDrop(Stopper::default());
        let of_build = stopper.0.clone();
        let building = tokio::task::spawn_blocking(move || {
            // Before the build: what changes meanwhile is not in it.
            let sources = scan::sources(&request.folder);
            let folder = request.folder.clone();
            let built = build::build(&request, Some(&of_build));
            (sources, built.map_err(|err| err.into_failure(&folder)))
        });
        let (sources, built) = building.await.context("the build did not end")?;
        // Of a failed one, too: the same sources would fail again.
        self.built = sources;
        Ok(built?)
    }
}
