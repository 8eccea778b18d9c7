//! `image push`: a component to a registry, as an image in the layout that other tools for WebAssembly read.

mod created;
mod facts;

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use wasm_edge_daemon::code::CodeStore;
use wasm_edge_images::credentials::Credentials;
use wasm_edge_images::document::{ImageManifest, PackedImage};
use wasm_edge_images::image::ModuleImage;
use wasm_edge_images::registry::blob::BlobSource;
use wasm_edge_images::source::ImageSource;
use wasm_edge_model::manifest::ImageReference;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::traffic::Counter;

use super::view;
use crate::args::image::ImagePushArgs;
use crate::build::origin;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::text::{Style, Text};
use crate::output::{Output, human};
use crate::{component_file, config_file, logins, registries};

/// A component of this size takes seconds to be looked at, which is told before.
const ANNOUNCED_BYTES: usize = 1 << 20;

/// What was pushed; the JSON output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pushed {
    reference: String,
    digest: String,
    component_digest: String,
    size_bytes: u64,
    annotations: std::collections::BTreeMap<String, String>,
}

/// Looks at the component as a device would, pushes it, and prints what it is known by now.
pub(super) async fn execute(args: ImagePushArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    if args.reference.digest().is_some() {
        let what = format!(
            "`{}` has a digest, which is what comes of a push",
            args.reference
        );
        return Err(Failure::new(ExitStatus::Usage, what)
            .hint("leave away what follows `@`")
            .into());
    }
    let config = config_file::read(args.way.config.as_deref(), output)?;
    let (clock, counter) = (HubClock::new(None), Counter::default());
    let registry = registries::open(&logins::added_to(config, output), clock, counter, output)?;
    let path = component_file::whole_path(&args.file, "give the component (.wasm) that was built")?;
    let created = created::of_file(&path)?;
    let image = read(path.clone()).await?;
    if image.bytes.len() >= ANNOUNCED_BYTES {
        let size = human::size(image.bytes.len() as u64);
        output.note(&Text::new().plain(&format!("looking at {size} as a device would")));
    }
    let looked = image.clone();
    let looking =
        tokio::task::spawn_blocking(move || (CodeStore::inspect(&looked), origin::of(&path)));
    let (component, of_crate) = looking.await.context("looking at the component")?;
    let component = component.map_err(|err| {
        let what = format!("a device would refuse `{}`", args.file.display());
        Failure::new(ExitStatus::InvalidInput, what).caused_by(err)
    })?;
    let facts = facts::of_image(&args, of_crate.as_ref(), &component, created);
    let packed = PackedImage::new(image.digest, image.bytes.len() as u64, &facts);
    check_limits(&packed)?;
    let cannot = || format!("cannot push `{}`", args.reference);
    let progress = output.progress(&format!("pushing {}", args.reference));
    let size_bytes = packed.layer.size_bytes + packed.config_descriptor.size_bytes;
    let tell = |done_bytes| progress.at(done_bytes, size_bytes);
    let pushing = async {
        let mut repository = registry.repository(&args.reference, &Credentials::Anonymous)?;
        let component = BlobSource::Bytes(image.bytes.clone());
        repository.push(&packed, &component, &tell).await
    };
    let digest = pushing
        .await
        .map_err(|err| registries::failure(err, cannot()))?;
    progress.end();
    let pushed = Pushed {
        reference: args.reference.to_string(),
        digest: digest.to_string(),
        component_digest: image.digest.to_string(),
        size_bytes: size_bytes + packed.manifest.len() as u64,
        annotations: ImageManifest::read(&packed.manifest, None)?.annotations,
    };
    print(&pushed, output)?;
    Ok(ExitStatus::Ok)
}

/// The component, checked to be one.
async fn read(path: PathBuf) -> anyhow::Result<ModuleImage> {
    let reference = ImageReference::File {
        path: path.to_string_lossy().into_owned(),
    };
    let loading = tokio::task::spawn_blocking(move || {
        ImageSource::new(Path::new("/")).load(&reference, None)
    });
    let loaded = loading.await.context("reading the component")?;
    Ok(loaded.map_err(|err| {
        let hint = err.hint();
        Failure::new(ExitStatus::InvalidInput, "cannot use the component")
            .hint(hint)
            .caused_by(err)
    })?)
}

/// What no device would pull back is not pushed.
fn check_limits(packed: &PackedImage) -> Result<(), Failure> {
    ImageManifest::read(&packed.manifest, None)
        .map(drop)
        .map_err(|err| {
            Failure::new(
                ExitStatus::InvalidInput,
                "the image would be refused by devices",
            )
            .hint("its annotations may be too long or too many")
            .caused_by(err)
        })
}

fn print(pushed: &Pushed, output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        output.json(pushed)?;
        return Ok(());
    }
    output.line(&Text::new().styled(Style::Bold, &pushed.reference))?;
    view::field(output, "digest", &pushed.digest)?;
    view::field(output, "component", &pushed.component_digest)?;
    view::field(output, "size", &human::size(pushed.size_bytes))?;
    Ok(view::annotations(output, &pushed.annotations)?)
}
