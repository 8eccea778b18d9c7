//! Bodies as conditions read them: once for a message, into a flat list.
//!
//! Owns when a body is read and how it is decoded. Leaves reading to
//! [`reader`], finding a value to [`tape`], and which bodies may be read to
//! the message's content type, checked by [`super::evaluate`].

mod reader;
mod tape;

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::fmt;

use bytes::Bytes;

use self::tape::Tape;
use super::reference::Step;
use super::value::Value;

/// The most values and keys of a body that is read; one with more is not.
///
/// Each takes 16 bytes: a megabyte for the largest.
pub const BODY_VALUES_MAX: usize = 65_536;

/// How deep arrays and objects may stand in each other in a body that is
/// read.
pub const BODY_DEPTH_MAX: usize = 64;

/// How much memory is kept for the next message.
const KEPT_MAX_BYTES: usize = 64 * 1024;

/// The body of one message, read at most once, and not before a condition
/// asks for it.
///
/// One belongs to one message, whatever the number of conditions; after
/// [`BodyCache::clear`] it can be used for the next, in the same memory. A new
/// one allocates nothing.
#[derive(Default)]
pub struct BodyCache {
    read: OnceCell<Option<Tape>>,
    spare: Cell<Tape>,
}

/// Why conditions do not see a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyProblem {
    /// The message does not say that the body is JSON.
    #[error("its `contentType` is not `application/json`")]
    ContentType,
    /// The message does not say in which characters.
    #[error("its `contentEncoding` is not `utf-8`, `utf-16` or `utf-32`")]
    ContentEncoding,
    /// It is something else, or has too many values ([`BODY_VALUES_MAX`]) or
    /// levels ([`BODY_DEPTH_MAX`]).
    #[error("it is not a JSON object in this encoding and within the limits")]
    NotAnObject,
}

/// How the characters of a body are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16,
    Utf32,
}

impl BodyCache {
    /// One for a message that nobody looked at yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the message and keeps the memory, up to a bound.
    pub fn clear(&mut self) {
        if let Some(Some(mut tape)) = self.read.take() {
            tape.clear(KEPT_MAX_BYTES);
            self.spare.set(tape);
        }
    }

    /// The value at a path; none where nothing is. Undefined where the body is
    /// no JSON object in this encoding, or beyond the limits.
    pub(super) fn value<'a>(
        &'a self,
        body: &'a Bytes,
        encoding: Encoding,
        path: &[Step],
    ) -> Option<Value<'a>> {
        let read = || {
            let mut tape = self.spare.take();
            let is_read = tape.read(encoding.decode(body)?);
            is_read.then_some(tape)
        };
        match self.read.get_or_init(read) {
            Some(tape) => tape.value(body, path),
            None => Some(Value::Undefined),
        }
    }

    /// Whether the body can be read; reads it.
    pub(super) fn is_readable(&self, body: &Bytes, encoding: Encoding) -> bool {
        !matches!(self.value(body, encoding, &[]), Some(Value::Undefined))
    }
}

impl fmt::Debug for BodyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyCache")
            .field("is_read", &self.read.get().is_some())
            .finish_non_exhaustive()
    }
}

impl Encoding {
    /// That of a content encoding, upper and lower case alike.
    pub(super) fn named(name: &str) -> Option<Self> {
        let is = |known| name.eq_ignore_ascii_case(known);
        match () {
            () if is("utf-8") => Some(Self::Utf8),
            () if is("utf-16") => Some(Self::Utf16),
            () if is("utf-32") => Some(Self::Utf32),
            () => None,
        }
    }

    /// The text of a body; a byte order mark says the order of bytes and is
    /// no part of it, and without one the low byte is first.
    fn decode(self, body: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            Self::Utf8 => {
                let text = std::str::from_utf8(body).ok()?;
                Some(Cow::Borrowed(text))
            }
            Self::Utf16 => {
                let (units, rest) = body.as_chunks::<2>();
                let is_big = units.first() == Some(&[0xfe, 0xff]);
                let units = units.iter().map(|unit| match is_big {
                    true => u16::from_be_bytes(*unit),
                    false => u16::from_le_bytes(*unit),
                });
                let text: Result<String, _> = char::decode_utf16(units).collect();
                text.ok().filter(|_| rest.is_empty()).map(Cow::Owned)
            }
            Self::Utf32 => {
                let (units, rest) = body.as_chunks::<4>();
                let is_big = units.first() == Some(&[0, 0, 0xfe, 0xff]);
                let units = units.iter().map(|unit| match is_big {
                    true => u32::from_be_bytes(*unit),
                    false => u32::from_le_bytes(*unit),
                });
                let text: Option<String> = units.map(char::from_u32).collect();
                text.filter(|_| rest.is_empty()).map(Cow::Owned)
            }
        }
    }
}

#[cfg(test)]
mod tests;
