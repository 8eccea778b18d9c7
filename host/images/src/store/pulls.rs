//! The pulls that are under way, and what they keep from being let go or swept away.
//!
//! Owns blobs that belong to no image yet, and images that may not make room for others. Leaves letting go to the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};

use super::ImageStore;
use crate::digest::Digest;

/// The pulls that are under way.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    count: usize,
    /// Blobs that they asked for, which may belong to no image yet.
    pub(super) wanted: BTreeSet<Digest>,
    /// Images that make no room for them, by guard.
    kept: BTreeMap<u64, BTreeSet<Digest>>,
    /// The next guard's number.
    next: u64,
}

/// Keeps what belongs to no image yet from being swept away, until it is dropped.
#[derive(Debug)]
pub struct PullGuard {
    store: ImageStore,
    number: u64,
}

impl ImageStore {
    /// Keeps what is put here from now on, until its image is there and held.
    pub fn pulling(&self) -> PullGuard {
        self.pulling_beside(BTreeSet::new())
    }

    /// Keeps what is put here as [`ImageStore::pulling`] does, and these images, which make no room for it.
    pub fn pulling_beside(&self, images: BTreeSet<Digest>) -> PullGuard {
        let mut pulls = self.pulls();
        pulls.count += 1;
        pulls.next += 1;
        let number = pulls.next;
        if !images.is_empty() {
            pulls.kept.insert(number, images);
        }
        PullGuard {
            store: self.clone(),
            number,
        }
    }

    /// Images that make no room while something is pulled.
    pub(super) fn kept(&self) -> BTreeSet<Digest> {
        self.pulls().kept.values().flatten().copied().collect()
    }

    pub(super) fn pulls(&self) -> MutexGuard<'_, Pulls> {
        let pulls = self.inner.pulls.lock();
        pulls.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PullGuard {
    fn drop(&mut self) {
        let mut pulls = self.store.pulls();
        pulls.count -= 1;
        pulls.kept.remove(&self.number);
        if pulls.count == 0 {
            // What was asked for stays if it belongs to an image by now.
            pulls.wanted.clear();
        }
    }
}
