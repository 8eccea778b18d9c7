//! What the OCI image layout calls its files, in the image store and outside. Pure.
//!
//! Source: OCI image specification, *Image Layout*.

use crate::digest::Digest;

/// The file that makes a folder a layout.
pub(crate) const LAYOUT_FILE: &str = "oci-layout";

/// Its content.
pub(crate) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The list of images.
pub(crate) const INDEX_FILE: &str = "index.json";

/// Where blobs lie.
pub(crate) const BLOBS: &str = "blobs/sha256/";

/// The name of an image in the list: a reference, or a tag alone.
pub(crate) const NAME_KEY: &str = "org.opencontainers.image.ref.name";

/// Where a blob lies.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}{}", digest.hex())
}
