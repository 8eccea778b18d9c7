//! What a twin may hold: sizes, depth, keys and numbers.
//!
//! Owns the limits documented for IoT Hub twins and the error that names a
//! breach. Leaves it to callers to keep what was there when a check fails.

use serde_json::{Map, Number, Value};

/// The most that desired or reported properties may hold, in bytes as
/// [`size_bytes`] counts.
pub const SECTION_SIZE_MAX_BYTES: usize = 32 * 1024;

/// The most that tags may hold, in bytes as [`size_bytes`] counts.
pub const TAGS_SIZE_MAX_BYTES: usize = 8 * 1024;

/// How many objects may stand in each other below a section.
pub const DEPTH_MAX: usize = 10;

/// How many objects and arrays may stand in each other below a section.
///
/// IoT Hub counts objects only; this bounds arrays in arrays too.
pub const NESTING_MAX: usize = 32;

/// The longest key, in bytes of UTF-8.
pub const KEY_MAX_BYTES: usize = 1024;

/// The longest text value, in bytes of UTF-8.
pub const TEXT_MAX_BYTES: usize = 4096;

/// The smallest integer.
pub const INTEGER_MIN: i64 = -4_503_599_627_370_496;

/// The largest integer.
pub const INTEGER_MAX: i64 = 4_503_599_627_370_495;

/// What a number counts for, in bytes.
const NUMBER_SIZE_BYTES: usize = 8;

/// What a boolean counts for, in bytes.
const BOOLEAN_SIZE_BYTES: usize = 4;

/// A twin, or a change to one, is against the rules.
///
/// `path` leads to the fault with dots between keys (`desired.a.b`), and is
/// relative to what was checked until [`TwinError::within`] completes it;
/// empty, it means the whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TwinError {
    /// The text is not JSON.
    #[error("not JSON: line {line}, column {column}: {problem}")]
    Syntax {
        /// The line, from 1.
        line: u32,
        /// The character in the line, from 1.
        column: u32,
        /// What is wrong there.
        problem: String,
    },
    /// The text is JSON, but no object.
    #[error("{what} is no JSON object")]
    NotAnObject {
        /// What it is instead.
        what: &'static str,
    },
    /// A key occurs twice in one object.
    #[error("the key `{path}` occurs twice")]
    RepeatedKey {
        /// Where.
        path: String,
    },
    /// A key has no character, or one that is not allowed.
    #[error("the key `{}` {what}", .path.escape_debug())]
    Key {
        /// Where.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A key is too long.
    #[error("a key {} has {length} bytes, more than {limit}", place(.path))]
    KeyTooLong {
        /// The object it stands in.
        path: String,
        /// Its length in bytes.
        length: usize,
        /// [`KEY_MAX_BYTES`].
        limit: usize,
    },
    /// A text is too long.
    #[error("the text at `{path}` has {length} bytes, more than {limit}")]
    TextTooLong {
        /// Where.
        path: String,
        /// Its length in bytes.
        length: usize,
        /// [`TEXT_MAX_BYTES`].
        limit: usize,
    },
    /// An integer is out of range.
    #[error("the integer {number} at `{path}` is out of range: {INTEGER_MIN} to {INTEGER_MAX}")]
    IntegerOutOfRange {
        /// Where.
        path: String,
        /// The integer.
        number: Number,
    },
    /// A null stands in an array, itself or as a member of an object there.
    #[error("a null stands in an array, at `{path}`")]
    NullInArray {
        /// Where.
        path: String,
    },
    /// Objects, or arrays and objects, stand too deep in each other.
    #[error("`{path}` is deeper than {limit} levels")]
    TooDeep {
        /// Where.
        path: String,
        /// [`DEPTH_MAX`] or [`NESTING_MAX`].
        limit: usize,
    },
    /// The whole holds too much.
    #[error("{} would hold {size_bytes} bytes, more than {limit_bytes}", whole(.path))]
    TooLarge {
        /// The section.
        path: String,
        /// What it would hold, as [`size_bytes`] counts.
        size_bytes: usize,
        /// What it may hold.
        limit_bytes: usize,
    },
}

impl TwinError {
    /// Where the fault is; empty where it is the whole.
    pub fn path(&self) -> &str {
        match self {
            Self::Syntax { .. } | Self::NotAnObject { .. } => "",
            Self::RepeatedKey { path }
            | Self::Key { path, .. }
            | Self::KeyTooLong { path, .. }
            | Self::TextTooLong { path, .. }
            | Self::IntegerOutOfRange { path, .. }
            | Self::NullInArray { path }
            | Self::TooDeep { path, .. }
            | Self::TooLarge { path, .. } => path,
        }
    }

    /// The same error with its path inside `section`: `a.b` becomes
    /// `desired.a.b`.
    #[must_use]
    pub fn within(mut self, section: &str) -> Self {
        let path = match &mut self {
            Self::Syntax { .. } | Self::NotAnObject { .. } => return self,
            Self::RepeatedKey { path }
            | Self::Key { path, .. }
            | Self::KeyTooLong { path, .. }
            | Self::TextTooLong { path, .. }
            | Self::IntegerOutOfRange { path, .. }
            | Self::NullInArray { path }
            | Self::TooDeep { path, .. }
            | Self::TooLarge { path, .. } => path,
        };
        *path = joined(section, path);
        self
    }
}

/// Checks the properties of a section: keys, depth, values and size.
///
/// Nulls outside arrays are passed over, so that a patch can be checked too.
///
/// # Errors
/// The first breach found, in the order of the keys; the size last. The
/// path is relative to the section.
pub fn check_section(properties: &Map<String, Value>, limit_bytes: usize) -> Result<(), TwinError> {
    check_members(properties, Depth::default())?;
    let size_bytes = size_bytes(properties);
    match size_bytes > limit_bytes {
        true => Err(TwinError::TooLarge {
            path: String::new(),
            size_bytes,
            limit_bytes,
        }),
        false => Ok(()),
    }
}

/// Checks tags: as [`check_section`] with [`TAGS_SIZE_MAX_BYTES`]; paths
/// begin with `tags`.
///
/// # Errors
/// As [`check_section`].
pub fn check_tags(tags: &Map<String, Value>) -> Result<(), TwinError> {
    check_section(tags, TAGS_SIZE_MAX_BYTES).map_err(|error| error.within("tags"))
}

/// What properties count for: the UTF-8 lengths of keys and texts without
/// control characters, 8 bytes for a number, 4 for a boolean, nothing for
/// null and brackets.
pub fn size_bytes(properties: &Map<String, Value>) -> usize {
    properties
        .iter()
        .map(|(key, value)| text_size_bytes(key) + value_size_bytes(value))
        .sum()
}

fn joined(parent: &str, key: &str) -> String {
    match (parent, key) {
        ("", key) => key.into(),
        (parent, "") => parent.into(),
        (parent, key) => format!("{parent}.{key}"),
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Depth {
    objects: usize,
    nesting: usize,
    /// Whether an array is on the way. A patch replaces arrays as they are,
    /// so that a null in one deletes nothing and would stay.
    in_array: bool,
}

// The path of an error grows on its way out, so that checking what is right
// makes none.

fn check_members(members: &Map<String, Value>, depth: Depth) -> Result<(), TwinError> {
    members.iter().try_for_each(|(key, value)| {
        check_key(key)?;
        check_value(value, depth).map_err(|error| error.within(key))
    })
}

fn check_key(key: &str) -> Result<(), TwinError> {
    if key.len() > KEY_MAX_BYTES {
        let (path, length) = (String::new(), key.len());
        return Err(TwinError::KeyTooLong {
            path,
            length,
            limit: KEY_MAX_BYTES,
        });
    }
    let what = match key.chars().find_map(forbidden) {
        Some(what) => what,
        None if key.is_empty() => "is empty",
        None => return Ok(()),
    };
    Err(TwinError::Key {
        path: key.into(),
        what,
    })
}

fn forbidden(c: char) -> Option<&'static str> {
    match c {
        '.' => Some("contains a `.`"),
        '$' => Some("contains a `$`"),
        '#' => Some("contains a `#`"),
        c if c.is_control() => Some("contains a control character"),
        c if c.is_whitespace() => Some("contains a space"),
        _ => None,
    }
}

fn check_value(value: &Value, depth: Depth) -> Result<(), TwinError> {
    let path = String::new();
    match value {
        Value::Null if depth.in_array => Err(TwinError::NullInArray { path }),
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(number) if is_in_range(number) => Ok(()),
        Value::Number(number) => Err(TwinError::IntegerOutOfRange {
            path,
            number: number.clone(),
        }),
        Value::String(text) if text.len() > TEXT_MAX_BYTES => Err(TwinError::TextTooLong {
            path,
            length: text.len(),
            limit: TEXT_MAX_BYTES,
        }),
        Value::String(_) => Ok(()),
        Value::Array(items) => {
            let inner = Depth {
                nesting: depth.nesting + 1,
                in_array: true,
                ..depth
            };
            let inner = deeper(inner)?;
            items.iter().try_for_each(|item| check_value(item, inner))
        }
        Value::Object(members) => {
            let inner = Depth {
                objects: depth.objects + 1,
                nesting: depth.nesting + 1,
                ..depth
            };
            check_members(members, deeper(inner)?)
        }
    }
}

fn is_in_range(number: &Number) -> bool {
    match (number.as_i64(), number.is_u64()) {
        (Some(integer), _) => (INTEGER_MIN..=INTEGER_MAX).contains(&integer),
        (None, is_beyond_i64) => !is_beyond_i64,
    }
}

fn deeper(depth: Depth) -> Result<Depth, TwinError> {
    let too_deep = |limit| {
        Err(TwinError::TooDeep {
            path: String::new(),
            limit,
        })
    };
    match depth {
        Depth { objects, .. } if objects > DEPTH_MAX => too_deep(DEPTH_MAX),
        Depth { nesting, .. } if nesting > NESTING_MAX => too_deep(NESTING_MAX),
        depth => Ok(depth),
    }
}

fn value_size_bytes(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => BOOLEAN_SIZE_BYTES,
        Value::Number(_) => NUMBER_SIZE_BYTES,
        Value::String(text) => text_size_bytes(text),
        Value::Array(items) => items.iter().map(value_size_bytes).sum(),
        Value::Object(members) => size_bytes(members),
    }
}

fn text_size_bytes(text: &str) -> usize {
    text.chars()
        .filter(|c| !c.is_control())
        .map(char::len_utf8)
        .sum()
}

fn place(path: &str) -> String {
    match path {
        "" => "at the top".into(),
        path => format!("in `{path}`"),
    }
}

fn whole(path: &str) -> String {
    match path {
        "" => "the section".into(),
        path => format!("`{path}`"),
    }
}

#[cfg(test)]
mod tests;
