//! Which images go: those that nobody holds and nobody used for long, and the longest unused where room is wanted.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wasm_edge_model::time::Timestamp;

use crate::digest::Digest;

/// An image as it is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its manifest.
    pub(super) manifest: Digest,
    /// When it was used last.
    pub(super) last_used: Timestamp,
    /// Whether a deployment holds it.
    pub(super) held: bool,
    /// Its blobs, the manifest among them, with their sizes.
    pub(super) blobs: Vec<(Digest, u64)>,
}

/// What has to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Goal {
    /// The time.
    pub(super) now: Timestamp,
    /// Those that were not used for so long go; none go for their age where there is none.
    pub(super) unused_max: Option<Duration>,
    /// What all may take.
    pub(super) max_bytes: u64,
}

/// The manifests that go, the longest unused first. What is held stays, even where the goal is missed.
pub(super) fn plan(candidates: &[Candidate], goal: Goal) -> Vec<Digest> {
    let mut free: Vec<&Candidate> = candidates.iter().filter(|image| !image.held).collect();
    free.sort_by_key(|image| (image.last_used, image.manifest));
    let mut gone = BTreeSet::new();
    for image in free {
        // Nobody knows when it was used: its time begins when that is noted.
        let expired = image.last_used != Timestamp::UNSET
            && goal
                .unused_max
                .is_some_and(|max| image.last_used.after(max) <= goal.now);
        let staying = candidates
            .iter()
            .filter(|image| !gone.contains(&image.manifest));
        if expired || size_bytes(staying) > goal.max_bytes {
            gone.insert(image.manifest);
        }
    }
    let mut order: Vec<&Candidate> = candidates.iter().collect();
    order.sort_by_key(|image| (image.last_used, image.manifest));
    let order = order.into_iter().map(|image| image.manifest);
    order.filter(|manifest| gone.contains(manifest)).collect()
}

/// What images take together: a blob that several have counts once.
pub(super) fn size_bytes<'a>(images: impl Iterator<Item = &'a Candidate>) -> u64 {
    let blobs: BTreeMap<Digest, u64> = images
        .flat_map(|image| image.blobs.iter().copied())
        .collect();
    blobs
        .values()
        .fold(0, |sum, size| sum.saturating_add(*size))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn day(number: u32) -> Timestamp {
        Timestamp::from_unix_millis(0).after(DAY * number)
    }

    /// An image `name`, used last on a day, with blobs `(name, size)`.
    fn image(name: &str, used: u32, held: bool, blobs: &[(&str, u64)]) -> Candidate {
        Candidate {
            manifest: Digest::of(name.as_bytes()),
            last_used: day(used),
            held,
            blobs: blobs
                .iter()
                .map(|(blob, size)| (Digest::of(blob.as_bytes()), *size))
                .collect(),
        }
    }

    fn check(images: &[Candidate], unused_max_days: Option<u32>, max_bytes: u64, gone: &[&str]) {
        let goal = Goal {
            now: day(100),
            unused_max: unused_max_days.map(|days| DAY * days),
            max_bytes,
        };
        let expected: Vec<Digest> = gone
            .iter()
            .map(|name| Digest::of(name.as_bytes()))
            .collect();
        assert_eq!(plan(images, goal), expected);
    }

    #[test]
    fn what_nobody_used_for_long_goes_unless_it_is_held() {
        let images = [
            image("fresh", 99, false, &[]),
            image("old", 93, false, &[]),
            image("older", 10, false, &[]),
            image("held", 1, true, &[]),
            image("of tomorrow", 101, false, &[]),
        ];
        check(&images, Some(7), u64::MAX, &["older", "old"]);
        check(&images, Some(8), u64::MAX, &["older"]);
        check(&images, None, u64::MAX, &[]);
    }

    #[test]
    fn the_longest_unused_make_room_and_what_is_held_stays_even_if_it_is_not_enough() {
        let images = [
            image("a", 3, false, &[("a", 10)]),
            image("b", 1, false, &[("b", 10)]),
            image("c", 2, true, &[("c", 10)]),
        ];
        check(&images, None, 30, &[]);
        check(&images, None, 29, &["b"]);
        check(&images, None, 19, &["b", "a"]);
        check(&images, None, 5, &["b", "a"]);
    }

    #[test]
    fn a_shared_blob_counts_once_and_frees_nothing_while_another_has_it() {
        let images = [
            image("a", 1, false, &[("shared", 100), ("a", 1)]),
            image("b", 2, false, &[("shared", 100), ("b", 1)]),
            image("c", 3, true, &[("c", 1)]),
        ];
        assert_eq!(size_bytes(images.iter()), 103);
        check(&images, None, 103, &[]);
        check(&images, None, 102, &["a"]);
        check(&images, None, 100, &["a", "b"]);
    }
}
