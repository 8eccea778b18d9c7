//! The JSON forms of an image.

use serde_json::{Value, json};
use wasm_edge_images::document::{CONFIG_BYTES_MAX, ImageManifest};
use wasm_edge_images::store::error::StoreError;
use wasm_edge_images::store::{ImageStore, StoredImage};

/// Of a list.
pub(super) fn image(image: &StoredImage) -> Value {
    json!({
        "digest": image.manifest_digest.to_string(),
        "componentDigest": image.component.digest.to_string(),
        "names": image.names,
        "sizeBytes": image.size_bytes,
        "lastUsedTime": image.last_used,
        "heldBy": image.holders,
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
