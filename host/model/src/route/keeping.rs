//! How messages on a route are kept: how long before they are acknowledged, and what gives way when there is
//! no room.
//!
//! Owns the two words and their text forms. The manifest and the device's configuration read them, the router
//! acts on them.

use std::fmt;
use std::str::FromStr;

/// When a message counts as kept, weakest first.
///
/// A message that goes to several endpoints takes the strongest of their routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// At once: it is in memory, and lost with the process.
    None,
    /// Once it is written: it survives the process, and not a power cut.
    Process,
    /// Once it is synced to the disk: it survives a power cut.
    Power,
}

/// What happens to a message for which there is no room at an endpoint; the first gives up least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum WhenFull {
    /// It is not taken; its sender sees `would-block`.
    #[default]
    Refuse,
    /// The oldest of its sender that wait there give way.
    DropOldest,
    /// It is dropped there, and counted; its sender sees nothing.
    DropNewest,
    /// Of the older half of those that its sender has waiting there, every
    /// second one gives way.
    ThinOut,
}

/// A text is none of the words that are possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not possible", .text.escape_debug())]
pub struct KeepingError {
    /// The text, cut to a readable length.
    pub text: String,
}

impl Durability {
    /// All of them, weakest first.
    pub const ALL: [Self; 3] = [Self::None, Self::Process, Self::Power];

    /// The text form: `none`, `process`, `power`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Process => "process",
            Self::Power => "power",
        }
    }
}

impl WhenFull {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Refuse,
        Self::DropOldest,
        Self::DropNewest,
        Self::ThinOut,
    ];

    /// The text form: `refuse`, `drop-oldest`, `drop-newest`, `thin-out`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::DropOldest => "drop-oldest",
            Self::DropNewest => "drop-newest",
            Self::ThinOut => "thin-out",
        }
    }
}

impl FromStr for Durability {
    type Err = KeepingError;

    fn from_str(text: &str) -> Result<Self, KeepingError> {
        find(Self::ALL, Self::as_str, text)
    }
}

impl FromStr for WhenFull {
    type Err = KeepingError;

    fn from_str(text: &str) -> Result<Self, KeepingError> {
        find(Self::ALL, Self::as_str, text)
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for WhenFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

fn find<T: Copy, const N: usize>(
    all: [T; N],
    as_str: fn(T) -> &'static str,
    text: &str,
) -> Result<T, KeepingError> {
    let found = all.into_iter().find(|value| as_str(*value) == text);
    found.ok_or_else(|| KeepingError {
        text: text.chars().take(60).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_it_is_shown() {
        for durability in Durability::ALL {
            assert_eq!(durability.to_string().parse(), Ok(durability));
        }
        for when_full in WhenFull::ALL {
            assert_eq!(when_full.to_string().parse(), Ok(when_full));
        }
        let err = "Power".parse::<Durability>().unwrap_err();
        assert_eq!(err.to_string(), "`Power` is not possible");
    }

    #[test]
    fn the_strongest_is_the_greatest() {
        assert_eq!(Durability::ALL.iter().max(), Some(&Durability::Power));
    }
}
