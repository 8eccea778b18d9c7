//! Letting images go: when that is asked for, when nobody used them for long, and when room is wanted.
//!
//! Owns what is written and removed then, and in which order. Leaves which images go to [`super::retention`].

use wasm_edge_model::time::Timestamp;

use super::error::StoreError;
use super::index::Entry;
use super::retention::{self, Goal};
use super::state::{self, Idle, State};
use super::{ImageName, ImageStore, Prune, Pruned};
use crate::digest::Digest;

impl ImageStore {
    /// Takes a name off an image, or an image with all its names: what is given is a reference or the digest of a
    /// manifest. What no name leads to any more goes.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Held`], [`StoreError::Io`].
    pub fn remove(&self, what: &ImageName) -> Result<Pruned, StoreError> {
        let mut state = self.state();
        let missing = || StoreError::Missing {
            what: what.to_string(),
        };
        let digest = match what {
            ImageName::Digest(digest) => Some(*digest),
            ImageName::Reference(reference) => state
                .named(&reference.to_string())
                .or_else(|| reference.digest().copied()),
        };
        let digest = digest.filter(|digest| state.images.contains_key(digest));
        let digest = digest.ok_or_else(missing)?;
        let name = match what {
            ImageName::Reference(reference) if reference.digest().is_none() => {
                Some(reference.to_string())
            }
            _ => None,
        };
        let stays = |entry: &Entry| {
            entry.manifest != digest || name.as_ref().is_some_and(|_| entry.name != name)
        };
        let goes = !state
            .entries
            .iter()
            .any(|entry| entry.manifest == digest && stays(entry));
        let holders = state.holders(&digest);
        if goes && !holders.is_empty() {
            let what = what.to_string();
            return Err(StoreError::Held { what, holders });
        }
        let entries = state.entries.iter().filter(|entry| stays(entry));
        let entries = entries.cloned().collect();
        self.let_go(&mut state, entries)
    }

    /// Lets images go. What a deployment holds stays, whatever is asked.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn prune(&self, which: Prune, now: Timestamp) -> Result<Pruned, StoreError> {
        let mut state = self.state();
        // What is held is in use: it gets its days when it is let go. So does what nobody knows the use of.
        let mut held = state.held();
        let is_used =
            |entry: &Entry| held.contains(&entry.manifest) || entry.last_used == Timestamp::UNSET;
        let used = state::with_use(&state.entries, is_used, now);
        held.extend(self.kept());
        let max_bytes = match which {
            Prune::Expired => self.inner.limits.max_bytes,
            Prune::Unheld => 0,
        };
        let goal = Goal {
            now,
            unused_max: Some(self.inner.limits.unused_max),
            max_bytes: max_bytes.saturating_sub(state.unnamed_bytes()),
        };
        let gone = retention::plan(&state.candidates(&held), goal);
        let entries = used
            .into_iter()
            .filter(|entry| !gone.contains(&entry.manifest))
            .collect();
        let idle = match which {
            Prune::Expired => Idle::Stale,
            Prune::Unheld => Idle::All,
        };
        let before = state.size_bytes();
        state.sweep_partials(&self.inner.files, idle);
        let freed_bytes = before.saturating_sub(state.size_bytes());
        let mut pruned = match self.let_go(&mut state, entries) {
            Err(StoreError::DiskFull { .. }) if gone.is_empty() => {
                tracing::warn!("the disk is full: when images were used last is not noted");
                Pruned::default()
            }
            pruned => pruned?,
        };
        pruned.freed_bytes += freed_bytes;
        Ok(pruned)
    }

    /// Makes these the entries, and removes what they do not speak of any more. On a full disk what goes makes the room
    /// that their index needs.
    fn let_go(&self, state: &mut State, entries: Vec<Entry>) -> Result<Pruned, StoreError> {
        let before = state.size_bytes();
        let listed = state.list();
        let files = &self.inner.files;
        match state.change_entries(files, entries.clone()) {
            Err(err @ StoreError::DiskFull { .. }) => {
                let wanted = self.pulls().wanted.clone();
                if !state.let_go_first(files, entries, &wanted)? {
                    return Err(err);
                }
            }
            changed => changed?,
        }
        self.sweep_blobs(state);
        let images = listed
            .into_iter()
            .filter(|image| !state.images.contains_key(&image.manifest_digest))
            .collect();
        Ok(Pruned {
            images,
            freed_bytes: before.saturating_sub(state.size_bytes()),
        })
    }

    /// Lets the longest unused images go until so many bytes more fit; none where that would not be enough.
    pub(super) fn make_room(&self, state: &mut State, needed_bytes: u64) -> Result<(), StoreError> {
        let max_bytes = self.inner.limits.max_bytes;
        let fits = |size_bytes: u64| size_bytes.saturating_add(needed_bytes) <= max_bytes;
        if fits(state.size_bytes()) {
            return Ok(());
        }
        self.sweep_blobs(state);
        let held = state.held();
        let mut staying = held.clone();
        staying.extend(self.kept());
        let candidates = state.candidates(&staying);
        // Downloads that were cut go before images do.
        let busy_bytes = state.unnamed_bytes().saturating_sub(state.idle_bytes());
        let goal = Goal {
            now: Timestamp::UNSET,
            unused_max: None,
            max_bytes: max_bytes
                .saturating_sub(needed_bytes)
                .saturating_sub(busy_bytes),
        };
        let gone = retention::plan(&candidates, goal);
        let size_of = |stays: &dyn Fn(&Digest) -> bool| {
            retention::size_bytes(candidates.iter().filter(|image| stays(&image.manifest)))
        };
        let left_bytes = busy_bytes + size_of(&|manifest| !gone.contains(manifest));
        if !fits(left_bytes) {
            let held_bytes = size_of(&|manifest| held.contains(manifest));
            return Err(StoreError::NoRoom {
                needed_bytes,
                held_bytes,
                busy_bytes: left_bytes.saturating_sub(held_bytes),
                max_bytes,
            });
        }
        state.sweep_partials(&self.inner.files, Idle::All);
        let entries = state.entries.iter();
        let entries = entries.filter(|entry| !gone.contains(&entry.manifest));
        let entries = entries.cloned().collect();
        let pruned = self.let_go(state, entries)?;
        for image in &pruned.images {
            let (image, names) = (image.manifest_digest, image.names.join(", "));
            tracing::info!(%image, names, "an image was let go to make room for another one");
        }
        Ok(())
    }
}
