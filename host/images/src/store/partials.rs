//! Downloads of the store that are not whole: under way, or cut and kept to be gone on with.
//!
//! Owns what is told of them. Leaves when they go to `room`.

use std::time::{SystemTime, UNIX_EPOCH};

use wasm_edge_model::time::Timestamp;

use super::ImageStore;
use super::files::partial_name;
use crate::digest::Digest;

/// A download that is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialDownload {
    /// What comes.
    pub digest: Digest,
    /// What is there of it; while it is under way, what is kept free for it.
    pub size_bytes: u64,
    /// When something came of it last, where that is known.
    pub changed: Option<Timestamp>,
    /// Whether it is under way.
    pub is_under_way: bool,
}

impl ImageStore {
    /// The downloads that are not whole, by digest.
    pub fn partial_downloads(&self) -> Vec<PartialDownload> {
        let state = self.state();
        let found = state.partials.iter();
        let of = |(digest, size_bytes)| PartialDownload {
            digest,
            size_bytes,
            changed: None,
            is_under_way: state.active.contains(&digest),
        };
        let found = found.map(|(digest, partial)| of((*digest, partial.size_bytes)));
        let mut found: Vec<PartialDownload> = found.collect();
        drop(state);
        for partial in &mut found {
            let modified = self.inner.files.modified(&partial_name(&partial.digest));
            partial.changed = modified.and_then(timestamp);
        }
        found
    }
}

/// Of a time before 1970 nothing is known.
fn timestamp(time: SystemTime) -> Option<Timestamp> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    let millis = i64::try_from(since.as_millis()).ok()?;
    Some(Timestamp::from_unix_millis(millis))
}
