//! An image of a store as it is pushed: the same manifest, config and component, and so the same digest.
//!
//! The store is looked at without being held, whether a process runs with it or not.

use std::io;
use std::path::Path;

use bytes::Bytes;
use wasm_edge_daemon::folder::{DataFolderView, FolderError};
use wasm_edge_images::document::{CONFIG_BYTES_MAX, PackedImage};
use wasm_edge_images::store::lookup::LookupError;
use wasm_edge_images::store::{ImageStore, StoredImage};

use super::Parcel;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// Finds the image that a text means in the store of a data folder, and reads it, verified. Blocks.
///
/// # Errors
/// There is none, or it cannot be read.
pub(super) fn parcel(folder: &Path, text: &str) -> anyhow::Result<Parcel> {
    let missing = || {
        let what = format!(
            "`{text}` is no file, and there is no image store in `{}`",
            folder.display()
        );
        Failure::new(ExitStatus::NotFound, what)
            .hint("`--data-dir DIR` names the data folder that has the image")
    };
    let view = match DataFolderView::open(folder) {
        Err(FolderError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(missing().into());
        }
        view => view?,
    };
    let store = ImageStore::look(view.images()?.ok_or_else(missing)?)?;
    let found = store.find(text).map_err(|err| {
        let status = match err {
            LookupError::Missing { .. } => ExitStatus::NotFound,
            LookupError::Ambiguous { .. } => ExitStatus::Ambiguous,
        };
        let what = format!(
            "`{text}` is no file, and not pushed from `{}`",
            folder.display()
        );
        Failure::new(status, what).hint(err.hint()).caused_by(err)
    })?;
    let what = || format!("cannot read `{text}` of the image store");
    let read = read(&store, &found.image);
    Ok(read.map_err(|err| {
        Failure::new(ExitStatus::Failure, what())
            .hint("pull it again: what is damaged is had anew")
            .caused_by(err)
    })?)
}

fn read(store: &ImageStore, image: &StoredImage) -> anyhow::Result<Parcel> {
    store.verify(image)?;
    let manifest = store.manifest(&image.manifest_digest)?;
    let (disk, size_bytes) = store.blob(&image.config.digest)?;
    anyhow::ensure!(
        size_bytes <= CONFIG_BYTES_MAX,
        "its config has {size_bytes} bytes"
    );
    let mut config = vec![0; usize::try_from(size_bytes)?];
    disk.read_at(0, &mut config)?;
    let config = Bytes::from(config);
    let packed = PackedImage::again(Bytes::from(manifest), &image.media_type, config)?;
    let component = store.component(&image.component.digest)?.bytes;
    Ok(Parcel { packed, component })
}
