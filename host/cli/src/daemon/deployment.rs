//! The deployment manifest of a device without a hub: read and checked before anything is started, applied when it is
//! another one than the last.

use std::path::Path;

use anyhow::Context;
use wasm_edge_daemon::config::Config;
use wasm_edge_daemon::deployment::AppliedManifest;
use wasm_edge_daemon::device::Device;
use wasm_edge_daemon::upstream::HubPlace;
use wasm_edge_model::manifest::Manifest;

use crate::component_file;
use crate::deployment_file;
use crate::output::Output;
use crate::text_file::{self, TextFileError};

/// A checked manifest; its `file:` images are absolute.
pub(super) struct LocalDeployment {
    manifest: Manifest,
    /// SHA-256 of its text.
    digest: String,
}

/// Reads the file that the configuration names, if it names one; all its faults and warnings are printed.
///
/// # Errors
/// When it cannot be read or has faults.
pub(super) fn read(config: &Config, output: &Output) -> anyhow::Result<Option<LocalDeployment>> {
    let Some(file) = &config.deployment.file else {
        return Ok(None);
    };
    let file = component_file::whole_path(file, "`file` in `[deployment]` names it")?;
    let text = text_file::read(&file, deployment_file::TEXT_MAX_BYTES)
        .map_err(TextFileError::into_failure)?;
    let manifest = deployment_file::checked(&text, &file, config.router.compatibility, output)?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    Ok(Some(LocalDeployment {
        manifest: deployment_file::with_absolute_images(manifest, folder)?,
        digest: deployment_file::sha256(text.as_bytes()),
    }))
}

impl LocalDeployment {
    /// Sets the twins of the device, unless they were set from the same text before: changes made since then stay.
    ///
    /// # Errors
    /// When they cannot be stored.
    pub(super) async fn apply(self, device: &Device) -> anyhow::Result<()> {
        let HubPlace::Local(hub) = &device.view().hub else {
            return Ok(());
        };
        let applied = AppliedManifest {
            manifest_sha256: self.digest,
            device_generation_id: hub.generation_id(),
        };
        if device.applied()?.as_ref() == Some(&applied) {
            tracing::info!("the deployment is the one applied last; twins stay as they are");
            return Ok(());
        }
        hub.apply(deployment_file::sections(&self.manifest))
            .await
            .context("the deployment cannot be applied")?;
        device
            .record_applied(&applied)
            .context("cannot record the deployment")
    }
}
