//! Reads any bytes as the manifest or the index of an image, as a registry or an archive gives them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasm_edge_images::document::{
    CONFIG_BYTES_MAX, Document, INDEX, ImageManifest, MANIFEST, MANIFEST_BYTES_MAX,
};
use wasm_edge_images::image::IMAGE_BYTES_MAX;

fuzz_target!(|bytes: &[u8]| {
    for announced in [
        None,
        Some(MANIFEST),
        Some(INDEX),
        Some("text/plain; charset=utf-8"),
    ] {
        match Document::read(bytes, announced) {
            Ok(Document::Manifest(image)) => {
                assert!(image.config.size_bytes <= CONFIG_BYTES_MAX);
                assert!(image.layer.size_bytes <= IMAGE_BYTES_MAX);
                assert_eq!(ImageManifest::read(bytes, announced).ok(), Some(image));
            }
            Ok(Document::Index(index)) => {
                assert!(ImageManifest::read(bytes, announced).is_err());
                match index.choose() {
                    Ok(chosen) => assert!(chosen.size_bytes <= MANIFEST_BYTES_MAX),
                    Err(fault) => check(&fault.to_string()),
                }
            }
            Err(fault) => check(&fault.to_string()),
        }
    }
});

/// What is told is short, and steers no terminal.
fn check(told: &str) {
    assert!(told.len() < 8 * 1024, "{}", told.len());
    assert!(!told.contains(char::is_control), "{told:?}");
}
