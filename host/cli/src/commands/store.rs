//! A device's message store, as a line of text.

use serde::Deserialize;

use crate::output::human;

/// Of what a device tells of its message store, what is shown; what a device of another version leaves out reads as
/// zero.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Store {
    /// The device, where several are told of.
    pub(super) device: String,
    space: Space,
    figures: Figures,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Space {
    file_bytes: u64,
    max_bytes: u64,
    is_failing: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Figures {
    messages: u64,
    written_bytes: u64,
}

impl Store {
    /// What it takes of what it may, and what was written.
    pub(super) fn text(&self) -> String {
        format!(
            "{} of {}; {} written for {}",
            human::size(self.space.file_bytes),
            human::size(self.space.max_bytes),
            human::size(self.figures.written_bytes),
            human::count(
                usize::try_from(self.figures.messages).unwrap_or(usize::MAX),
                "message"
            ),
        )
    }

    /// Whether the disk takes no writes now.
    pub(super) fn is_failing(&self) -> bool {
        self.space.is_failing
    }
}
