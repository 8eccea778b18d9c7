//! What can go wrong with a database, and which failures mean that its file is damaged.

use std::io;

use thiserror::Error;

use super::{DAMAGED_FILES_MAX, KEY_MAX_BYTES, VALUE_MAX_BYTES};

/// Why a database cannot be opened or used.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// The file cannot be reached.
    #[error("cannot {action} the database `{file}`")]
    Io {
        /// The file's name.
        file: String,
        /// What was tried: `create`, `open`, `read`, `write`, `put aside`.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The content of the file is not that of a database, or does not hold together.
    #[error("the database `{file}` is damaged: {cause}")]
    Damaged {
        /// The file's name.
        file: String,
        /// What is wrong.
        cause: String,
    },
    /// The file is damaged, and as many damaged ones are kept already as are kept.
    #[error(
        "the database `{file}` is damaged ({cause}) and {DAMAGED_FILES_MAX} damaged ones are kept: \
         move away the files `{file}.damaged-*`"
    )]
    TooManyDamaged {
        /// The file's name.
        file: String,
        /// What is wrong.
        cause: String,
    },
    /// The database holds something else, or the same in another version.
    #[error("the database `{file}` has format `{found}`, this version reads `{expected}`")]
    Format {
        /// The file's name.
        file: String,
        /// Kind and version found.
        found: String,
        /// Kind and version that this build reads.
        expected: String,
    },
    /// The file is open already, here or in another process.
    #[error("the database `{file}` is open already")]
    InUse {
        /// The file's name.
        file: String,
    },
    /// A key is too long.
    #[error(
        "a key of {found} bytes is over the {KEY_MAX_BYTES} bytes that the database `{file}` takes"
    )]
    KeyTooLong {
        /// The file's name.
        file: String,
        /// Length of the key in bytes.
        found: usize,
    },
    /// A value is too long.
    #[error(
        "a value of {found} bytes is over the {VALUE_MAX_BYTES} bytes that the database `{file}` takes"
    )]
    ValueTooLong {
        /// The file's name.
        file: String,
        /// Length of the value in bytes.
        found: usize,
    },
}

pub(super) fn damaged(file: &str, cause: impl ToString) -> DatabaseError {
    DatabaseError::Damaged {
        file: file.to_owned(),
        cause: cause.to_string(),
    }
}

pub(super) fn access(file: &str, action: &'static str, source: io::Error) -> DatabaseError {
    DatabaseError::Io {
        file: file.to_owned(),
        action,
        source,
    }
}

/// Sorts a failure to open.
pub(super) fn opening(file: &str, err: redb::DatabaseError) -> DatabaseError {
    match err {
        redb::DatabaseError::DatabaseAlreadyOpen => DatabaseError::InUse {
            file: file.to_owned(),
        },
        redb::DatabaseError::UpgradeRequired(version) => DatabaseError::Format {
            file: file.to_owned(),
            found: format!("file format {version}"),
            expected: "the present file format".to_owned(),
        },
        err => using(file, "open", err.into()),
    }
}

/// Sorts a failure of a database that is or was open.
pub(super) fn using(file: &str, action: &'static str, err: redb::Error) -> DatabaseError {
    match err {
        redb::Error::Corrupted(cause) => damaged(file, cause),
        // The library says so of a file without its mark, and of one that is cut off.
        redb::Error::Io(err)
            if matches!(
                err.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            damaged(file, err)
        }
        redb::Error::Io(source) => access(file, action, source),
        err => access(file, action, io::Error::other(err)),
    }
}
