//! `image push`: a component to a registry, as an image in the layout that other tools for WebAssembly read; or an image of
//! a store, as it is.

mod created;
mod facts;
mod stored;

use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::Bytes;
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
use crate::args::GlobalArgs;
use crate::args::image::ImagePushArgs;
use crate::build::origin;
use crate::commands::running;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::text::{Style, Text};
use crate::output::{Output, human};
use crate::{component_file, config_file, logins, registries};

/// What to do where there is no such file.
const NO_FILE: &str =
    "give the component (.wasm) that was built, or an image of the store of `--data-dir DIR`";

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

/// An image that is ready to go.
struct Parcel {
    packed: PackedImage,
    component: Bytes,
}

/// Pushes a component, or an image of a store, and prints what it is known by now.
pub(super) async fn execute(
    args: ImagePushArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
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
    let Parcel { packed, component } = parcel(&args, global, output).await?;
    check_limits(&packed)?;
    let cannot = || format!("cannot push `{}`", args.reference);
    let progress = output.progress(&format!("pushing {}", args.reference));
    let size_bytes = packed.layer.size_bytes + packed.config_descriptor.size_bytes;
    let tell = |done_bytes| progress.at(done_bytes, size_bytes);
    let pushing = async {
        let mut repository = registry.repository(&args.reference, &Credentials::Anonymous)?;
        let component = BlobSource::Bytes(component);
        repository.push(&packed, &component, &tell).await
    };
    let digest = pushing
        .await
        .map_err(|err| registries::failure(err, cannot()))?;
    progress.end();
    let manifest = ImageManifest::read(&packed.manifest, Some(packed.media_type))?;
    let pushed = Pushed {
        reference: args.reference.to_string(),
        digest: digest.to_string(),
        component_digest: packed.layer.digest.to_string(),
        size_bytes: size_bytes + packed.manifest.len() as u64,
        annotations: manifest.annotations,
    };
    print(&pushed, output)?;
    Ok(ExitStatus::Ok)
}

/// What is to go: the component of a file, or, where there is no such file, an image of the store.
async fn parcel(
    args: &ImagePushArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<Parcel> {
    if args.file.exists() {
        if global.data_dir.is_some() {
            let what = format!(
                "`{}` is a file, and `--data-dir` is for images of a store",
                args.file.display()
            );
            return Err(Failure::new(ExitStatus::Usage, what)
                .hint("leave `--data-dir` away, or name an image that is in its store")
                .into());
        }
        return of_file(args, output).await;
    }
    let folder = running::data_folder(global).await?;
    let (Some(folder), Some(text)) = (folder, args.file.to_str().map(str::to_owned)) else {
        return of_file(args, output).await;
    };
    if args.has_facts() {
        let what = format!("`{text}` is an image, which says itself what it is");
        return Err(Failure::new(ExitStatus::Usage, what)
            .hint("leave away what the image is to say of itself, or push its component's file")
            .into());
    }
    let reading = tokio::task::spawn_blocking(move || stored::parcel(&folder, &text));
    reading.await.context("reading the image")?
}

/// Looks at the component of a file as a device would.
async fn of_file(args: &ImagePushArgs, output: &Output) -> anyhow::Result<Parcel> {
    let path = component_file::whole_path(&args.file, NO_FILE)?;
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
    let facts = facts::of_image(args, of_crate.as_ref(), &component, created);
    let packed = PackedImage::new(image.digest, image.bytes.len() as u64, &facts);
    Ok(Parcel {
        packed,
        component: image.bytes,
    })
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
    ImageManifest::read(&packed.manifest, Some(packed.media_type))
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
