//! Why the image store could not do what it was asked for.

use std::io;

use wasm_edge_model::error::chain;

use crate::digest::Digest;
use crate::document::DocumentFault;
use crate::image::ImageFault;

/// Why the image store could not do what it was asked for. Nothing that was in it is lost by any of these.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file of it cannot be read or written.
    #[error("cannot {action} `{name}` in the image store")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file, from the store's folder.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk is full.
    #[error("no space is left on the disk of the image store (`{name}` cannot be written)")]
    DiskFull {
        /// The file, from the store's folder.
        name: String,
    },
    /// It would become larger than it may be, with all gone that nobody holds.
    #[error(
        "{needed_bytes} bytes more do not fit into the image store, which may have {max_bytes} bytes: deployments hold \
         {held_bytes}, and what is being fetched or was fetched with it takes {busy_bytes}"
    )]
    NoRoom {
        /// What was to come.
        needed_bytes: u64,
        /// What deployments hold.
        held_bytes: u64,
        /// What else cannot go: what is on its way, and images that the same call asked for.
        busy_bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// It has as many names as it may have.
    #[error("the image store has {max} names, and may not have more")]
    TooManyNames {
        /// The limit.
        max: usize,
    },
    /// What came is not what its digest says.
    #[error("the digest of what came is `{found}`, expected `{expected}`")]
    Digest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
        /// Whether a part of it was there from before, so that it is worth beginning anew.
        resumed: bool,
    },
    /// More or less came than was said.
    #[error("{found_bytes} bytes came of `{digest}`, expected {expected_bytes}")]
    Size {
        /// What was asked for.
        digest: Digest,
        /// Its size.
        expected_bytes: u64,
        /// What came; more may have been to come.
        found_bytes: u64,
    },
    /// Somebody else is getting the same.
    #[error("`{digest}` is being fetched already")]
    Busy {
        /// What.
        digest: Digest,
    },
    /// It is not in the store, or not whole.
    #[error("the image store does not have `{what}`")]
    Missing {
        /// A reference or a digest.
        what: String,
    },
    /// A part of an image is missing.
    #[error("the image `{what}` is not whole in the image store: `{blob}` is missing")]
    NotWhole {
        /// The image, by a name or its digest.
        what: String,
        /// What is missing.
        blob: Digest,
    },
    /// It was damaged, and is thrown away.
    #[error("`{digest}` was damaged in the image store")]
    Damaged {
        /// What.
        digest: Digest,
        /// How.
        #[source]
        source: ImageFault,
    },
    /// Deployments need it.
    #[error("the image `{what}` is held by {}", .holders.join(", "))]
    Held {
        /// The image.
        what: String,
        /// Who holds it.
        holders: Vec<String>,
    },
    /// A manifest is none that can run here.
    #[error("the manifest `{digest}` cannot be used")]
    Manifest {
        /// Its digest.
        digest: Digest,
        /// Why not.
        #[source]
        source: DocumentFault,
    },
    /// A newer version of wasm-edge wrote the store.
    #[error("the image store has version `{found}`, this version reads version `1`")]
    Version {
        /// The version.
        found: String,
    },
}

impl StoreError {
    /// What to do about it, where something can be done: a sentence without a final period.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::DiskFull { .. } => {
                Some("free space on that disk, or let images go with `wasm-edge image prune --all`")
            }
            Self::NoRoom { .. } => Some("raise `max_bytes` in `[images]` of the configuration"),
            Self::Damaged { .. } | Self::NotWhole { .. } => {
                Some("pull the image again with `wasm-edge image pull`, or load it again")
            }
            Self::TooManyNames { .. } => Some("let images go with `wasm-edge image prune --all`"),
            Self::Held { .. } => Some("apply a deployment without this image first"),
            Self::Version { .. } => Some(
                "use the version of wasm-edge that wrote it, or remove the folder `images` of the data folder",
            ),
            _ => None,
        }
    }

    /// Whether there is no room: on the disk, or in what the store may take.
    pub fn is_no_room(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::NoRoom { .. })
    }

    pub(super) fn io(action: &'static str, name: &str, source: io::Error) -> Self {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        let name = name.to_owned();
        if full.contains(&source.kind()) {
            Self::DiskFull { name }
        } else {
            Self::Io {
                action,
                name,
                source,
            }
        }
    }

    /// The error with its causes in one line, for logs.
    pub(super) fn told(&self) -> String {
        chain(self)
    }
}
