//! The JSON forms of an image.

use serde_json::{Value, json};
use wasm_edge_images::document::{CONFIG_BYTES_MAX, ImageManifest};
use wasm_edge_images::layout::Loaded;
use wasm_edge_images::store::error::StoreError;
use wasm_edge_images::store::partials::PartialDownload;
use wasm_edge_images::store::{ImageStore, StoredImage};
use wasm_edge_model::time::Timestamp;

/// All of a store. Reads from the disk.
pub(super) fn all(store: &ImageStore) -> Value {
    let usage = store.usage();
    let images: Vec<Value> = store.list().iter().map(image).collect();
    let partial = store.partial_downloads();
    let partial: Vec<Value> = partial.iter().map(partial_download).collect();
    json!({
        "images": images,
        "partialDownloads": partial,
        "sizeBytes": usage.size_bytes,
        "maxBytes": usage.max_bytes,
    })
}

fn partial_download(partial: &PartialDownload) -> Value {
    json!({
        "digest": partial.digest.to_string(),
        "sizeBytes": partial.size_bytes,
        "changedTime": partial.changed,
        "underWay": partial.is_under_way,
    })
}

/// Of a list.
pub(super) fn image(image: &StoredImage) -> Value {
    json!({
        "digest": image.manifest_digest.to_string(),
        "componentDigest": image.component.digest.to_string(),
        "names": image.names,
        "sizeBytes": image.size_bytes,
        "lastUsedTime": (image.last_used != Timestamp::UNSET).then_some(image.last_used),
        "heldBy": image.holders,
        "whole": image.is_whole,
    })
}

/// What came of a layout.
pub(super) fn loaded(loaded: &Loaded) -> Value {
    let images: Vec<Value> = loaded.images.iter().map(image).collect();
    let passed_over = loaded.passed_over.iter().map(|image| {
        json!({
            "digest": image.digest.to_string(),
            "names": image.names,
            "reason": image.reason,
        })
    });
    let names_not_taken = loaded.names_not_taken.iter().map(|name| {
        json!({
            "digest": name.digest.to_string(),
            "name": name.name,
            "reason": name.reason,
        })
    });
    json!({
        "images": images,
        "passedOver": Vec::from_iter(passed_over),
        "namesNotTaken": Vec::from_iter(names_not_taken),
    })
}

/// All of it, with what it says of itself. Reads from the disk.
pub(super) fn whole(store: &ImageStore, stored: &StoredImage) -> Result<Value, StoreError> {
    let bytes = store.manifest(&stored.manifest_digest)?;
    let mut shown = image(stored);
    let manifest = ImageManifest::read(&bytes, Some(&stored.media_type));
    let annotations = manifest.map(|manifest| manifest.annotations);
    shown["mediaType"] = json!(stored.media_type);
    shown["componentSizeBytes"] = json!(stored.component.size_bytes);
    shown["componentMediaType"] = json!(stored.component.media_type);
    shown["configMediaType"] = json!(stored.config.media_type);
    shown["annotations"] = json!(annotations.unwrap_or_default());
    shown["config"] = config(store, stored);
    Ok(shown)
}

/// The config as far as it is JSON; other tools may have put anything there.
fn config(store: &ImageStore, stored: &StoredImage) -> Value {
    if stored.config.size_bytes > CONFIG_BYTES_MAX {
        return Value::Null;
    }
    let read = || {
        let (disk, size_bytes) = store.blob(&stored.config.digest).ok()?;
        let mut bytes = vec![0; usize::try_from(size_bytes).ok()?];
        disk.read_at(0, &mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    read().unwrap_or(Value::Null)
}
