//! A body as a flat list of its values, and how one is found there.

use std::borrow::Cow;
use std::ops::Range;

use super::super::reference::Step;
use super::super::value::Value;
use super::reader;

/// A body as a list of its values, each container before what is in it, each
/// key before its value. Texts and numbers stay where they are written.
#[derive(Debug, Default)]
pub(super) struct Tape {
    pub(super) entries: Vec<Entry>,
    /// The texts that are not written in the body as they are, with escapes
    /// replaced.
    pub(super) unescaped: String,
    /// The whole text, where the body is not UTF-8.
    decoded: Option<String>,
}

/// A value, or a key. Offsets count bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Entry {
    Null,
    Bool(bool),
    /// From one offset of the body to another, as are texts.
    Number(u32, u32),
    Text(u32, u32),
    /// A text in `unescaped`.
    Unescaped(u32, u32),
    /// The index behind its last entry.
    Array(u32),
    Object(u32),
}

impl Tape {
    /// Reads a text; false if it is no JSON object, or beyond the limits.
    pub(super) fn read(&mut self, text: Cow<'_, str>) -> bool {
        let is_read = reader::object(&text, self).is_some();
        self.decoded = match text {
            Cow::Owned(text) => Some(text),
            Cow::Borrowed(_) => None,
        };
        is_read
    }

    /// Forgets everything, and keeps memory up to a bound.
    pub(super) fn clear(&mut self, kept_max_bytes: usize) {
        self.entries.clear();
        self.unescaped.clear();
        self.decoded = None;
        self.entries.shrink_to(kept_max_bytes / size_of::<Entry>());
        self.unescaped.shrink_to(kept_max_bytes);
    }

    /// The value at a path; none where nothing is.
    pub(super) fn value<'a>(&'a self, body: &'a [u8], path: &[Step]) -> Option<Value<'a>> {
        let mut at = 0;
        for step in path {
            at = match (step, self.entries[at]) {
                (Step::Name(name), Entry::Object(end)) => self.member(body, at, end, name)?,
                (Step::Index(index), Entry::Array(end)) => self.element(at, end, *index)?,
                _ => return None,
            };
        }
        Some(match self.entries[at] {
            Entry::Null => Value::Null,
            Entry::Bool(value) => Value::Bool(value),
            // What a number of JSON means has a place among ours, if only as
            // infinity.
            Entry::Number(start, end) => self
                .written(body, start, end)
                .parse()
                .map_or(Value::Undefined, Value::number),
            Entry::Array(_) => Value::Array,
            Entry::Object(_) => Value::Object,
            Entry::Text(..) | Entry::Unescaped(..) => Value::Text(self.text(body, at).into()),
        })
    }

    /// Where the value of a key is: of a repeated key the last counts.
    fn member(&self, body: &[u8], object: usize, end: u32, name: &str) -> Option<usize> {
        let mut found = None;
        let mut at = object + 1;
        while at < end as usize {
            if self.text(body, at) == name {
                found = Some(at + 1);
            }
            at = self.behind(at + 1);
        }
        found
    }

    fn element(&self, array: usize, end: u32, index: usize) -> Option<usize> {
        let mut at = array + 1;
        let mut left = index;
        while at < end as usize {
            if left == 0 {
                return Some(at);
            }
            left -= 1;
            at = self.behind(at);
        }
        None
    }

    /// The index behind a value and all that is in it.
    fn behind(&self, at: usize) -> usize {
        match self.entries[at] {
            Entry::Array(end) | Entry::Object(end) => end as usize,
            _ => at + 1,
        }
    }

    fn text<'a>(&'a self, body: &'a [u8], at: usize) -> &'a str {
        match self.entries[at] {
            Entry::Text(start, end) => self.written(body, start, end),
            Entry::Unescaped(start, end) => &self.unescaped[range(start, end)],
            _ => "",
        }
    }

    fn written<'a>(&'a self, body: &'a [u8], start: u32, end: u32) -> &'a str {
        match &self.decoded {
            Some(decoded) => &decoded[range(start, end)],
            None => std::str::from_utf8(&body[range(start, end)])
                .expect("the body was text when it was read, and is the same"),
        }
    }
}

fn range(start: u32, end: u32) -> Range<usize> {
    start as usize..end as usize
}
