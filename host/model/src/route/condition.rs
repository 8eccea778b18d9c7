//! Conditions: which messages of its sources a route takes.
//!
//! Owns the compiled form of what stands behind `WHERE`, and its evaluation.
//! Leaves the route around it to the parent, and what becomes of the answer
//! to the router. The language is that of IoT Hub's routing queries, as IoT
//! Edge has it; see `docs/routes.md`.

use std::fmt;
use std::sync::Arc;

use crate::identity::DeviceId;
use crate::message::{Message, MessageSource};

/// A condition, compiled.
///
/// Cloning is cheap: clones share what was compiled. Two are equal when they
/// were written alike.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Condition(Option<Arc<Compiled>>);

/// What was written, and what it became.
#[derive(PartialEq, Eq)]
struct Compiled {
    text: String,
}

/// What a condition comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// The message is taken.
    True,
    /// It is not.
    False,
    /// Something in the condition is not known of this message, which is not
    /// taken.
    Undefined,
}

/// What is known of a message beside what it holds itself. Where the message
/// holds a system property of the same name, that one counts.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Where it came from.
    pub source: &'a MessageSource,
    /// The device that routes it.
    pub device: Option<&'a DeviceId>,
    /// When the router took it: RFC 3339, UTC.
    pub enqueued_time: Option<&'a str>,
}

/// The body of one message, read at most once, and not before a condition
/// asks for it.
///
/// One belongs to one message, whatever the number of conditions; after
/// [`BodyCache::clear`] it can be used for the next, in the same memory. A new
/// one allocates nothing.
#[derive(Debug, Default)]
pub struct BodyCache {}

/// Whose behaviour conditions have, where IoT Edge's hub does not do what the
/// documentation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compatibility {
    /// That of the documentation.
    #[default]
    Documented,
    /// That of IoT Edge's hub.
    EdgeHub,
}

impl Condition {
    /// The condition that takes every message.
    pub const fn always() -> Self {
        Self(None)
    }

    /// Whether it takes every message, so that it need not be evaluated.
    pub fn is_always(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the body may have to be read for it.
    pub fn reads_body(&self) -> bool {
        false
    }

    /// The condition, as it was written; `true` where none was.
    pub fn text(&self) -> &str {
        self.0
            .as_ref()
            .map_or("true", |compiled| compiled.text.as_str())
    }

    /// What it comes to for a message. `body` is that of the message, and the
    /// same for all conditions that are asked about it.
    ///
    /// Takes time linear in the condition and in the texts that it looks at.
    pub fn evaluate(&self, _message: &Message, _facts: Facts<'_>, _body: &mut BodyCache) -> Truth {
        Truth::True
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Always"),
            Some(compiled) => f.debug_tuple("Where").field(&compiled.text).finish(),
        }
    }
}

impl BodyCache {
    /// One for a message that nobody looked at yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the message and keeps the memory.
    pub fn clear(&mut self) {}
}
