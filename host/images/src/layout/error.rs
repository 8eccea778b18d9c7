//! Why a layout cannot be loaded.

use std::io;

use crate::digest::Digest;
use crate::document::DocumentFault;
use crate::store::error::StoreError;

/// Why a layout cannot be loaded. What it repeats of a layout's own words is cut and escaped.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// It cannot be read, or ended too early.
    #[error("cannot read the image layout")]
    Read(#[source] io::Error),
    /// A part cannot be read.
    #[error("cannot read `{}` of the image layout", .name.escape_debug())]
    Part {
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is no tar archive.
    #[error("it is not a tar archive")]
    NotTar,
    /// It has more entries than a layout with many images.
    #[error("the archive has more than {max} entries")]
    TooManyEntries {
        /// The limit.
        max: usize,
    },
    /// A part that is needed is no file, but a link or something else.
    #[error("`{}` in the image layout is not a file", .name.escape_debug())]
    NotAFile {
        /// Its name.
        name: String,
    },
    /// It has no list of images, so is no layout.
    #[error("it has no `index.json`, so is no OCI image layout")]
    NoIndex,
    /// A part is there twice.
    #[error("`{}` is twice in the image layout", .name.escape_debug())]
    Twice {
        /// Its name.
        name: String,
    },
    /// A part is larger than it may be.
    #[error("`{}` in the image layout has {size_bytes} bytes, more than {max_bytes}", .name.escape_debug())]
    TooLarge {
        /// Its name.
        name: String,
        /// Its size.
        size_bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// A list of images, or a manifest, cannot be used.
    #[error("{what} in the image layout cannot be used")]
    Document {
        /// Which.
        what: String,
        /// Why not.
        #[source]
        source: DocumentFault,
    },
    /// A blob that a manifest names is not in it.
    #[error("the blob `{digest}` is not in the image layout")]
    Missing {
        /// The blob.
        digest: Digest,
    },
    /// It has no image at all.
    #[error("the image layout has no images")]
    Empty,
    /// It has several images, and none of a module.
    #[error("none of the {count} images in the image layout can be used: {told}")]
    NoneUsable {
        /// How many.
        count: usize,
        /// The first of them, each with why not.
        told: String,
    },
    /// One name was given for several images.
    #[error("the image layout has {count} images, and one name was given")]
    OneName {
        /// How many.
        count: usize,
    },
    /// The name that was given has the digest of another image.
    #[error("`{name}` names another image than this one, whose digest is `{digest}`")]
    OtherDigest {
        /// The name.
        name: String,
        /// The image.
        digest: Digest,
    },
    /// The store did not take a part.
    #[error("cannot keep `{digest}`")]
    Store {
        /// The blob.
        digest: Digest,
        /// Why.
        #[source]
        source: Box<StoreError>,
    },
}

impl LayoutError {
    /// What to do about it, where something can be done: a sentence without a final period.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotTar => Some("unpack it first if it is compressed, as with `gunzip`"),
            Self::NoIndex => Some(
                "make one with `wasm-edge image save`, or with `skopeo copy docker://IMAGE oci-archive:FILE`",
            ),
            Self::OtherDigest { .. } => Some("leave the digest out of the name, or correct it"),
            Self::OneName { .. } => Some("load it without a name, and its own names hold"),
            Self::Document {
                source:
                    DocumentFault::Layers { .. }
                    | DocumentFault::Layer { .. }
                    | DocumentFault::Platforms { .. },
                ..
            } => Some("load the image of a module: one with a component as its only layer"),
            Self::NoneUsable { .. } => {
                Some("load images of modules: those with a component as their only layer")
            }
            Self::Part { .. } => Some("check that this user may read the layout and its folders"),
            Self::Missing { .. } | Self::Read(_) => Some("make the layout anew: it is not whole"),
            Self::Store { source, .. } => match &**source {
                StoreError::Digest { .. } | StoreError::Size { .. } => {
                    Some("make the layout anew: it was damaged or changed")
                }
                err => err.hint(),
            },
            _ => None,
        }
    }
}
