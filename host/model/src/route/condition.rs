//! Conditions: which messages of its sources a route takes.
//!
//! Owns the compiled form of what stands behind `WHERE`, and its evaluation.
//! Leaves the route around it to the parent, and what becomes of the answer
//! to the router. The language is that of IoT Hub's routing queries, as IoT
//! Edge has it; `docs/routes.md` describes it.
//!
//! A text becomes words (`route/lexer.rs`), a tree (`condition/syntax.rs`),
//! and a tree with types and known names (`condition/check.rs`), which is
//! evaluated for each message (`condition/evaluate.rs`).

mod body;
mod check;
pub(super) mod error;
mod evaluate;
mod function;
mod hint;
mod reference;
mod syntax;
mod value;

use std::fmt;
use std::sync::Arc;

pub use self::body::{BODY_DEPTH_MAX, BODY_VALUES_MAX, BodyCache, BodyProblem};
use self::check::{Checker, Setting};
pub use self::error::CompileError;
use self::error::{Fault, Span};
use self::evaluate::{Context, Kind, Node};
pub use self::syntax::{DEPTH_MAX, PARTS_MAX};
use self::value::Value;
use super::Source;
use super::lexer;
use crate::identity::DeviceId;
use crate::message::{Message, MessageSource};

/// The longest text of a condition alone, in bytes: that of a route.
pub const CONDITION_TEXT_MAX_BYTES: usize = super::ROUTE_TEXT_MAX_BYTES;

/// A condition, compiled.
///
/// Cloning is cheap: clones share what was compiled. Two are equal when they
/// were written alike and are to behave alike.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Condition(Option<Arc<Compiled>>);

/// What was written, and what it became.
struct Compiled {
    text: String,
    setting: Setting,
    root: Node,
    reads_body: bool,
    remarks: Vec<Remark>,
    never: Option<String>,
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
    /// Where it came from, where that is known.
    pub source: Option<&'a MessageSource>,
    /// The device that routes it.
    pub device: Option<&'a DeviceId>,
    /// When the router took it: RFC 3339, UTC.
    pub enqueued_time: Option<&'a str>,
}

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

/// Something in a condition that may stand, and is hardly what was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Where it stands in the condition: the character, from 1.
    pub column: usize,
    /// What is odd.
    pub text: String,
}

/// A part of a condition and its value for one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// How many parts it is in.
    pub depth: usize,
    /// The part, as it was written.
    pub text: String,
    /// Its value, as it would be written; `undefined`, `an array` and such.
    pub value: String,
    /// Whether it was written as a value, so that its value says nothing new.
    pub is_constant: bool,
}

impl Condition {
    /// The condition that takes every message.
    pub const fn always() -> Self {
        Self(None)
    }

    /// Compiles a condition. With a source, functions that ask for something
    /// which its messages never have are refused.
    ///
    /// # Errors
    /// The first fault: of words, of grammar, of types, or a limit
    /// ([`CONDITION_TEXT_MAX_BYTES`], [`DEPTH_MAX`], [`PARTS_MAX`]). Takes
    /// time linear in the text.
    pub fn parse(
        text: &str,
        compatibility: Compatibility,
        source: Option<&Source>,
    ) -> Result<Self, CompileError> {
        Self::whole(text, compatibility, source).map_err(|fault| fault.into_error(text))
    }

    fn whole(
        text: &str,
        compatibility: Compatibility,
        source: Option<&Source>,
    ) -> Result<Self, Fault> {
        if text.len() > CONDITION_TEXT_MAX_BYTES {
            let problem = format!("the condition has {} bytes", text.len());
            let expected = format!("at most {CONDITION_TEXT_MAX_BYTES} bytes");
            return Err(Fault::new(Span::new(0, 0), problem, expected));
        }
        let (condition, end) = Self::read(text, 0, compatibility, source)?;
        match end == text.len() {
            true => Ok(condition),
            false => Err(lexer::unexpected(text, end, "the end of the condition")),
        }
    }

    /// Compiles the condition at an offset, up to `INTO` or the end, and gives
    /// it with the offset of that.
    pub(super) fn read(
        text: &str,
        offset: usize,
        compatibility: Compatibility,
        source: Option<&Source>,
    ) -> Result<(Self, usize), Fault> {
        let setting = Setting {
            compatibility,
            is_twin_change: source.map(Source::is_twin_change),
            is_folding: true,
        };
        let (syntax, end) = syntax::condition(text, offset)?;
        let mut checker = Checker::new(text, setting);
        let root = checker.node(&syntax)?;
        let written = syntax.span.of(text);
        let column = |span: Span| text[syntax.span.start..span.start].chars().count() + 1;
        let remarks = checker.oddities.iter().map(|(span, oddity)| Remark {
            column: column(*span),
            text: oddity.clone(),
        });
        let compiled = Compiled {
            text: written.to_owned(),
            setting,
            reads_body: root.reads_body(),
            remarks: remarks.collect(),
            never: check::never(&root, text),
            root,
        };
        Ok((Self(Some(Arc::new(compiled))), end))
    }

    /// Whether it takes every message, so that it need not be evaluated.
    pub fn is_always(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|compiled| matches!(compiled.root.kind, Kind::Constant(Value::Bool(true))))
    }

    /// Why it takes no message whatever, where that is seen.
    pub fn never(&self) -> Option<&str> {
        self.0.as_ref()?.never.as_deref()
    }

    /// What in it is hardly meant.
    pub fn remarks(&self) -> &[Remark] {
        self.0.as_ref().map_or(&[], |compiled| &compiled.remarks)
    }

    /// Whether the body may have to be read for it.
    pub fn reads_body(&self) -> bool {
        self.0.as_ref().is_some_and(|compiled| compiled.reads_body)
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
    /// Allocates nothing but for the first look at the body, and for texts
    /// that are put together or changed in case.
    pub fn evaluate(&self, message: &Message, facts: Facts<'_>, body: &mut BodyCache) -> Truth {
        let Some(compiled) = &self.0 else {
            return Truth::True;
        };
        let context = compiled.context(message, &facts, body);
        compiled.root.truth(&context)
    }

    /// Why the body of a message is not seen by this condition, if it asks for
    /// it.
    pub fn body_problem(
        &self,
        message: &Message,
        facts: Facts<'_>,
        body: &mut BodyCache,
    ) -> Option<BodyProblem> {
        let compiled = self.0.as_ref().filter(|compiled| compiled.reads_body)?;
        compiled.context(message, &facts, body).body_problem()
    }

    /// The value of each part for a message, a part before those in it.
    pub fn explain(&self, message: &Message, facts: Facts<'_>, body: &mut BodyCache) -> Vec<Part> {
        let Some(compiled) = &self.0 else {
            return Vec::new();
        };
        // Compiled anew, since constants hide what they were made of.
        let setting = Setting {
            is_folding: false,
            ..compiled.setting
        };
        let text = compiled.text.as_str();
        let root = syntax::condition(text, 0)
            .and_then(|(syntax, _)| Checker::new(text, setting).node(&syntax));
        let mut parts = Vec::new();
        if let Ok(root) = root {
            let context = compiled.context(message, &facts, body);
            explain(&root, text, &context, 0, &mut parts);
        }
        parts
    }
}

fn explain(node: &Node, text: &str, context: &Context<'_>, depth: usize, parts: &mut Vec<Part>) {
    parts.push(Part {
        depth,
        text: node.span.of(text).to_owned(),
        value: node.value(context).to_string(),
        is_constant: matches!(node.kind, Kind::Constant(_)),
    });
    for part in node.parts() {
        explain(part, text, context, depth + 1, parts);
    }
}

impl Compiled {
    fn context<'a>(
        &self,
        message: &'a Message,
        facts: &'a Facts<'a>,
        body: &'a BodyCache,
    ) -> Context<'a> {
        Context {
            message,
            facts,
            body,
            compatibility: self.setting.compatibility,
        }
    }
}

impl PartialEq for Compiled {
    fn eq(&self, other: &Self) -> bool {
        let meaning = |compiled: &Self| {
            (
                compiled.setting.compatibility,
                compiled.setting.is_twin_change,
            )
        };
        self.text == other.text && meaning(self) == meaning(other)
    }
}

impl Eq for Compiled {}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Always"),
            Some(compiled) => f.debug_tuple("Where").field(&compiled.text).finish(),
        }
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::True => "true",
            Self::False => "false",
            Self::Undefined => "undefined",
        })
    }
}

#[cfg(test)]
mod tests;
