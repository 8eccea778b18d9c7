//! JSON as people write it: every value with its line and column.
//!
//! Owns a strict RFC 8259 reader with limits on size, depth and number of
//! values, which finds repeated keys and keeps positions, and the text form
//! of JSON paths. Leaves meaning to its callers: the manifest and the twin
//! patch, which must name the place of a fault; all else reads with serde.

mod reader;

use std::fmt;

use serde_json::{Map, Number, Value};

/// How much of a key is shown in a path, in characters. An id has at most
/// 128; the bound keeps the paths of many values below one long key small.
pub const PATH_KEY_MAX_CHARS: usize = 160;

/// How many repeated keys are told of one text.
pub const REPEATED_KEYS_MAX: usize = 100;

/// How much a text may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// Length of the text in bytes.
    pub size_max_bytes: usize,
    /// How deep arrays and objects may stand in each other.
    ///
    /// Reading recurses once per level; 64 levels are safe on small stacks.
    pub depth_max: usize,
    /// How many values, counted everywhere.
    ///
    /// A value takes about 64 bytes of memory beside its text.
    pub values_max: usize,
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The position of its first character.
    pub position: Position,
    /// What it is.
    pub content: Content,
}

/// What a JSON value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(String),
    /// An array.
    Array(Vec<Node>),
    /// An object; its members in the order of the text, repeated ones
    /// included.
    Object(Vec<Member>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_position: Position,
    /// The value.
    pub value: Node,
}

/// A text that is JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The outermost value.
    pub root: Node,
    /// The keys that occur twice in one object: each repetition, in the
    /// order of the text, the first [`REPEATED_KEYS_MAX`] of them.
    pub repeated_keys: Vec<RepeatedKey>,
}

/// A key that its object had before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatedKey {
    /// The path of the member.
    pub path: JsonPath,
    /// Where the repetition stands.
    pub position: Position,
}

/// A text is not JSON, or beyond a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {problem}; expected {expected}", .position.line, .position.column)]
pub struct JsonError {
    /// Where.
    pub position: Position,
    /// What is wrong there.
    pub problem: String,
    /// What would be right there.
    pub expected: String,
}

/// The path of a value: `$.modules.filter['a b'][0]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsonPath(String);

/// Reads a text as JSON.
///
/// A byte order mark at the start is passed over.
///
/// # Errors
/// [`JsonError`] at the first fault of syntax, or where a limit is passed.
pub fn read(text: &str, limits: JsonLimits) -> Result<Document, JsonError> {
    reader::Reader::new(text, limits).document()
}

impl Default for Position {
    fn default() -> Self {
        Self { line: 1, column: 1 }
    }
}

impl JsonPath {
    /// The path of the outermost value.
    pub fn root() -> Self {
        Self("$".into())
    }

    /// The path of a member of this object. Of a key over
    /// [`PATH_KEY_MAX_CHARS`] the rest is written as `…`.
    pub fn key(&self, key: &str) -> Self {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let is_plain = key.len() <= PATH_KEY_MAX_CHARS
            && key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.chars().all(is_word);
        match is_plain {
            true => Self(format!("{}.{key}", self.0)),
            false => Self(format!("{}['{}']", self.0, escaped(key))),
        }
    }

    /// The path of an element of this array.
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The path of what has the path `inner` in a text at this path.
    pub fn join(&self, inner: &Self) -> Self {
        Self(format!("{}{}", self.0, &inner.0[1..]))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Node {
    /// Puts the value and all in it at one place, as when it was read from a
    /// text that is itself a value.
    pub fn move_to(&mut self, position: Position) {
        self.position = position;
        match &mut self.content {
            Content::Array(items) => items.iter_mut().for_each(|item| item.move_to(position)),
            Content::Object(members) => members.iter_mut().for_each(|member| {
                member.key_position = position;
                member.value.move_to(position);
            }),
            _ => {}
        }
    }

    /// The same value without positions; of a repeated key the last counts.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(number) => Value::Number(number.clone()),
            Content::String(text) => Value::String(text.clone()),
            Content::Array(items) => items.iter().map(Self::to_value).collect(),
            Content::Object(members) => Value::Object(to_map(members)),
        }
    }

    /// What kind of value it is, for messages: `a number`, `an object`, ...
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::Null => "null",
            Content::Bool(_) => "a boolean",
            Content::Number(_) => "a number",
            Content::String(_) => "a text",
            Content::Array(_) => "an array",
            Content::Object(_) => "an object",
        }
    }
}

/// The members of an object without positions; of a repeated key the last
/// counts.
pub fn to_map(members: &[Member]) -> Map<String, Value> {
    members
        .iter()
        .map(|member| (member.key.clone(), member.value.to_value()))
        .collect()
}

fn escaped(key: &str) -> String {
    let mut text = String::new();
    for (index, c) in key.chars().enumerate() {
        match c {
            _ if index == PATH_KEY_MAX_CHARS => {
                text.push('…');
                break;
            }
            '\'' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests;
