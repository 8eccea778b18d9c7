//! Getting space back between two groups, and how much there is.
//!
//! Segments whose messages are all done are removed, wherever they stand. When the files come near their
//! limit, or there are many small ones, runs of segments with little in them are merged (`merge`).

use super::{WriteError, Writer};

/// The part of the limit beyond which segments are merged, in eighths.
const MERGE_FROM_EIGHTHS: u64 = 7;

/// Segments there may be beside those that the bytes account for; many restarts leave many small ones.
const SMALL_SEGMENTS_MAX: u64 = 32;

impl Writer {
    /// Frees one segment's worth of space, if there is any to free; says whether it did.
    pub(super) fn tidy(&mut self) -> bool {
        let freed = match self.idle_segment() {
            Some(segment) => self.remove(segment),
            None if self.wants_merge() => self.merge_emptiest(),
            None => Ok(false),
        };
        match freed {
            Ok(freed) => freed,
            Err(error) => {
                // It is tried again after the next group.
                tracing::debug!(%error, "cannot free space in the message store");
                self.shared.figures.failed();
                false
            }
        }
    }

    /// Frees what can be freed without writing, as there may be no room to write.
    ///
    /// What waits and does nothing but say that places are done can take effect before it is written: with the
    /// segment its messages are gone, which is what it says.
    pub(super) fn make_room(&mut self) -> bool {
        let intake = &self.shared.intake;
        let done = intake.pending_done(|commit| commit.messages.is_empty(), |_| true);
        {
            let mut index = self.shared.index();
            for done in done {
                index.done(done);
            }
        }
        let freed = self.idle_segment().map(|segment| self.remove(segment));
        matches!(freed, Some(Ok(true)))
    }

    /// Whether so many bytes more stay within the limit; the last segment's worth is for what says that places
    /// are done, which is how space comes back, and for merging.
    pub(super) fn check_room(&self, bytes: u64) -> Result<(), WriteError> {
        let settings = &self.shared.settings;
        let limit = settings
            .max_bytes
            .saturating_sub(u64::from(settings.segment_bytes));
        if self.log.bytes() + bytes > limit {
            return Err(WriteError::Full {
                max_bytes: settings.max_bytes,
            });
        }
        Ok(())
    }

    pub(super) fn publish_space(&self) {
        let live = {
            let index = self.shared.index();
            let segments = self.log.segments();
            let live = segments.iter().map(|segment| {
                let found = index.segment(segment.id);
                segment.bytes * found.live / found.places.max(1)
            });
            live.sum()
        };
        self.shared.publish_space(self.log.bytes(), live);
    }

    fn idle_segment(&self) -> Option<u64> {
        self.shared.index().idle_segment(self.newest)
    }

    /// Removes a segment with nothing left in it.
    fn remove(&mut self, segment: u64) -> Result<bool, WriteError> {
        // What says that its messages are done has to last before they go: it may have sent others.
        self.sync()?;
        let gone = {
            let mut index = self.shared.index();
            self.log.remove(segment)?;
            index.remove_segment(segment)
        };
        for lane in gone {
            self.shared.intake.drop_lane(lane);
        }
        self.shared.figures.freed(1);
        self.publish_space();
        Ok(true)
    }

    fn wants_merge(&self) -> bool {
        let settings = &self.shared.settings;
        let bytes = self.log.bytes();
        let segments = self.log.segments().len() as u64;
        let full = bytes / u64::from(settings.segment_bytes);
        bytes > settings.max_bytes / 8 * MERGE_FROM_EIGHTHS
            || segments > SMALL_SEGMENTS_MAX + 2 * full
    }
}
