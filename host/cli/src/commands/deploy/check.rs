//! `deploy check`: reads a deployment manifest as a device would, and prints every fault, the budget of memory, and why
//! the device at hand would refuse it.
//!
//! Nothing is pulled, held or changed: images are those that are here already.

mod budget;
mod images;
mod report;

use std::path::{Path, PathBuf};

use wasm_edge_daemon::config::Config;
use wasm_edge_model::manifest::{Checked, Faults, Manifest, Origin};

use self::budget::{Budgeted, Refusals};
use self::images::{At, Images};
use self::report::Report;
use crate::args::GlobalArgs;
use crate::args::deploy::DeployCheckArgs;
use crate::commands::running;
use crate::exit_codes::ExitStatus;
use crate::failure::{self, Failure};
use crate::output::{Output, human};
use crate::text_file::{self, TextFileError};
use crate::{config_file, registries};

/// More than the manifest's own limit, so that a larger one is refused by the check, as on a device.
const FILE_SIZE_MAX_BYTES: usize = 8 << 20;

/// Checks the file and prints what was found.
///
/// # Errors
/// When it cannot be read, has faults, or would be refused: what was found is the data, the error says how it ends.
pub(super) async fn execute(
    args: DeployCheckArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let text =
        text_file::read(&args.file, FILE_SIZE_MAX_BYTES).map_err(TextFileError::into_failure)?;
    let config = match &args.config {
        Some(file) => Some(config_file::read(Some(file), output)?),
        None => None,
    };
    let file = args.file.display().to_string();
    let checked = match check(&text, config.as_ref()) {
        Ok(checked) => checked,
        Err(faults) => {
            let count = human::count(faults.0.len(), "fault");
            let message = format!("`{file}` has {count}");
            print(&Report::of_faults(file, faults.0), output)?;
            return Err(Failure::new(ExitStatus::BadConfig, message).into());
        }
    };
    let manifest = checked.value;
    let folder = args.file.parent().unwrap_or(Path::new(""));
    let device = running_folder(global, output).await?;
    let images = Images::look(folder.to_owned(), device.as_deref()).await?;
    let at_hand = images.of(&manifest).await;
    let mut refusals = Refusals::default();
    if let Some(config) = &config {
        let registry = registries::quietly(config)?;
        for spec in manifest.modules.values() {
            refusals.add_registry(&registry, spec);
        }
    }
    let policy_max_bytes = config.and_then(|config| config.policy.memory_max_bytes);
    let budgeted = Budgeted::of(
        &manifest,
        &at_hand,
        refusals,
        policy_max_bytes,
        images.free_bytes(),
    );
    let verdict = budgeted.verdict();
    let absent = at_hand.iter().any(|image| image.at == At::Nowhere);
    let unknown = at_hand.iter().any(|image| image.at == At::Unknown);
    let report = Report::of(file, &manifest, checked.warnings, &at_hand, budgeted);
    print(&report, output)?;
    if absent && let Some(device) = &device {
        let device = device.display();
        output.hint(&format!(
            "bring images there with `wasm-edge image pull IMAGE --data-dir {device}`"
        ));
    } else if unknown {
        output.hint(
            "name the data folder of a device with `--data-dir DIR`, and the images that it has are looked at",
        );
    }
    match verdict {
        None => Ok(ExitStatus::Ok),
        Some((status, hint)) => {
            let what = format!("a device would refuse `{}`", report.file);
            Err(Failure::new(status, what).hint(hint).into())
        }
    }
}

/// Reads the manifest as a device with this configuration does; without one, as `run` does.
fn check(text: &str, config: Option<&Config>) -> Result<Checked<Manifest>, Faults> {
    let Some(config) = config else {
        return Manifest::check(text, Origin::LocalFile);
    };
    let origin = match config.deployment.allows_file_images() {
        true => Origin::LocalFile,
        false => Origin::Hub,
    };
    Manifest::check_with(text, origin, config.router.compatibility)
}

/// The data folder of the device that is meant: the named one, or that of the only process that runs. Of several none is
/// meant, which is told.
async fn running_folder(global: &GlobalArgs, output: &Output) -> anyhow::Result<Option<PathBuf>> {
    match running::data_folder(global).await {
        Err(err) if failure::exit_status(&err) == ExitStatus::Ambiguous => {
            output.warn("several devices are running, and the images of none are looked at: choose one with `--data-dir DIR`");
            Ok(None)
        }
        found => found,
    }
}

fn print(report: &Report, output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        output.json(report)?;
    } else {
        report.print(output)?;
    }
    Ok(())
}
