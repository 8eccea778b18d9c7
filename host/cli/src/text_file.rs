//! Reads a whole text that the person named on the command line: a file or, as `-`, standard input; bounded.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// Why a named text could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TextFileError {
    /// It could not be opened or read.
    #[error("cannot read {name}")]
    Read {
        /// The file, in backticks, or standard input.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is longer than the caller's limit.
    #[error("{name} has more than {limit} bytes")]
    TooLong {
        /// The file, in backticks, or standard input.
        name: String,
        /// The limit.
        limit: usize,
    },
    /// It holds bytes that are not UTF-8.
    #[error("{name} is not UTF-8 text: byte {offset} starts no character")]
    NotUtf8 {
        /// The file, in backticks, or standard input.
        name: String,
        /// The first such byte.
        offset: usize,
    },
}

impl TextFileError {
    /// Whether there is no such file.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// As the failure of a command that was given data: `cannot` says what could not be done.
    pub(crate) fn into_input_failure(self, cannot: &str) -> Failure {
        let status = if self.is_not_found() {
            ExitStatus::NotFound
        } else {
            ExitStatus::InvalidInput
        };
        match self {
            Self::Read { name, source } => {
                Failure::new(status, format!("{cannot} from {name}")).caused_by(source)
            }
            other => Failure::new(status, cannot).caused_by(other),
        }
    }

    /// As the failure of a command whose manifest or configuration it is.
    pub(crate) fn into_failure(self) -> Failure {
        let status = if self.is_not_found() {
            ExitStatus::NotFound
        } else {
            ExitStatus::BadConfig
        };
        match self {
            Self::Read { name, source } => {
                Failure::new(status, format!("cannot read {name}")).caused_by(source)
            }
            other => Failure::new(status, other.to_string()),
        }
    }
}

/// Reads the text.
///
/// # Errors
/// Any [`TextFileError`].
pub(crate) fn read(path: &Path, limit: usize) -> Result<String, TextFileError> {
    String::from_utf8(read_bytes(path, limit)?).map_err(|err| {
        let offset = err.utf8_error().valid_up_to();
        let name = name(path);
        TextFileError::NotUtf8 { name, offset }
    })
}

/// Reads what need not be text.
///
/// # Errors
/// [`TextFileError::Read`], [`TextFileError::TooLong`].
pub(crate) fn read_bytes(path: &Path, limit: usize) -> Result<Vec<u8>, TextFileError> {
    let read = if is_standard_input(path) {
        read_some(io::stdin().lock(), limit)
    } else {
        File::open(path).and_then(|file| read_some(file, limit))
    };
    let name = || name(path);
    match read {
        Ok(bytes) if bytes.len() > limit => Err(TextFileError::TooLong {
            name: name(),
            limit,
        }),
        Ok(bytes) => Ok(bytes),
        Err(source) => Err(TextFileError::Read {
            name: name(),
            source,
        }),
    }
}

/// What an argument stands for that may be a text itself, `@FILE`, or `-`: the file to read, if it is one.
pub(crate) fn named_by(argument: &str) -> Option<&Path> {
    match argument.strip_prefix('@') {
        Some(file) => Some(Path::new(file)),
        None => (argument == "-").then(|| Path::new(argument)),
    }
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// How the file is called in messages.
pub(crate) fn name(path: &Path) -> String {
    match is_standard_input(path) {
        true => "standard input".to_owned(),
        false => format!("`{}`", path.display()),
    }
}

/// One byte more than the limit tells that there is more.
fn read_some(source: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: &[u8], limit: usize, expected: Result<&str, &str>) {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("x.json");
        std::fs::write(&file, content).unwrap();
        let found = read(&file, limit).map_err(|err| {
            err.to_string()
                .replace(&file.display().to_string(), "x.json")
        });
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn a_text_is_read_up_to_the_limit() {
        check(b"12345", 5, Ok("12345"));
        check(b"123456", 5, Err("`x.json` has more than 5 bytes"));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        check(
            b"ab\xff",
            5,
            Err("`x.json` is not UTF-8 text: byte 2 starts no character"),
        );
        let missing = read(Path::new("/no/such/file"), 5).unwrap_err();
        assert!(missing.is_not_found());
        assert_eq!(missing.to_string(), "cannot read `/no/such/file`");
    }
}
