//! What is wrong with what the hub says, told in the log: the first time of each kind for each module, and again only
//! after a while, since a hub may lie as often as it likes.
//!
//! Pure but for the log: the time is passed in.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use wasm_edge_model::identity::ModuleId;

/// How long the same is not told again.
const PAUSE: Duration = Duration::from_secs(10 * 60);

/// In which way the hub said what makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lie {
    /// Bytes that are no packet for clients; the connection ends over them.
    Packet,
    /// An answer about the twin that is none.
    TwinAnswer,
    /// A change of desired properties that cannot be read.
    Desired,
    /// A call of a direct method without JSON.
    Method,
    /// Something to a topic that has no meaning.
    Topic,
}

/// What was told last, and how often each has happened since then: as many entries as modules and kinds.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    told: BTreeMap<(ModuleId, Lie), Told>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    since: u64,
}

impl Complaints {
    /// It happened; answers how often it has happened untold before, if it is to be told now.
    pub(super) fn happened(&mut self, module: &ModuleId, lie: Lie, now: Instant) -> Option<u64> {
        let key = (module.clone(), lie);
        match self.told.get_mut(&key) {
            Some(told) if now.saturating_duration_since(told.at) < PAUSE => {
                told.since += 1;
                None
            }
            Some(told) => {
                told.at = now;
                Some(std::mem::take(&mut told.since))
            }
            None => {
                self.told.insert(key, Told { at: now, since: 0 });
                Some(0)
            }
        }
    }

    /// A module is gone for good.
    pub(super) fn forget(&mut self, module: &ModuleId) {
        self.told.retain(|(told, _), _| told != module);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_at_once_and_again_after_a_while_with_what_was_passed_over() {
        let start = Instant::now();
        let (a, b) = (ModuleId::new("a").unwrap(), ModuleId::new("b").unwrap());
        let mut complaints = Complaints::default();
        let mut check = |module, lie, secs, expected| {
            let now = start + Duration::from_secs(secs);
            assert_eq!(complaints.happened(module, lie, now), expected, "{secs}");
        };
        check(&a, Lie::Packet, 0, Some(0));
        check(&a, Lie::Packet, 1, None);
        check(&a, Lie::Desired, 1, Some(0));
        check(&b, Lie::Packet, 1, Some(0));
        check(&a, Lie::Packet, 599, None);
        check(&a, Lie::Packet, 600, Some(2));
        check(&a, Lie::Packet, 601, None);
        complaints.forget(&a);
        assert_eq!(complaints.told.len(), 1);
    }
}
