//! What a log cannot do, and why.

use std::io;

use thiserror::Error;

/// Why the log did not do what it was asked.
#[derive(Debug, Error)]
pub enum LogError {
    /// The system failed with the folder; trying again may help.
    #[error("cannot {action} the log's folder")]
    Folder {
        /// What was tried.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The system failed with a file; trying again may help.
    #[error("cannot {action} the log's file `{file}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The name of the file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// A file of another kind or of another version of this build's format.
    #[error("the log's file `{file}` has the format `{found}`, this build reads `{expected}`")]
    Format {
        /// The name of the file.
        file: String,
        /// What it says.
        found: String,
        /// What this build reads and writes.
        expected: String,
    },
    /// No segment was begun since the log was opened: [`Log::roll`](super::Log::roll) first.
    #[error("the log has no segment to write to")]
    NoSegment,
    /// The records would not fit into the active segment: roll first.
    #[error("the log's active segment is full")]
    SegmentFull,
    /// The segment was not sealed, or is not there.
    #[error("the log has no sealed segment `{segment}`")]
    NotSealed {
        /// The segment.
        segment: u64,
    },
    /// What was being read was replaced meanwhile, and positions in it mean something else: begin
    /// again at the start of the segment.
    #[error("the log's segment `{segment}` was replaced while it was read")]
    Replaced {
        /// The segment that has now what was there.
        segment: u64,
    },
}

impl LogError {
    /// For `map_err`: what was tried with which file.
    pub(super) fn io(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            file: file.to_owned(),
            source,
        }
    }

    /// For `map_err`: what was tried with the folder.
    pub(super) fn folder(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Folder { action, source }
    }

    /// The system's reason, if it was the system.
    pub fn system(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } | Self::Folder { source, .. } => Some(source),
            _ => None,
        }
    }
}
