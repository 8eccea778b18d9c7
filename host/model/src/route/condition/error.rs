//! What is wrong with a route or a condition, and where.
//!
//! Owns the fault as the parsers find it, at offsets, and the error that is
//! told, at columns. Leaves the wording to those who find it.

use std::fmt;

/// A text is no route, or no condition.
///
/// Columns count characters of the whole text from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// Where it is wrong.
    pub column: usize,
    /// How many characters are wrong there; 0 where something is missing.
    pub width: usize,
    /// What is wrong.
    pub problem: String,
    /// What would be right there.
    pub expected: String,
    /// What to write in place of it, where that can be guessed.
    pub fix: Option<String>,
}

/// Bytes of a text, from one offset to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::route) struct Span {
    pub(in crate::route) start: usize,
    pub(in crate::route) end: usize,
}

/// What is wrong, at offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::route) struct Fault {
    pub(in crate::route) span: Span,
    pub(in crate::route) problem: String,
    pub(in crate::route) expected: String,
    pub(in crate::route) fix: Option<String>,
}

impl Span {
    pub(in crate::route) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// From the begin of this one to the end of another.
    pub(in crate::route) fn to(self, other: Self) -> Self {
        Self::new(self.start, other.end)
    }

    pub(in crate::route) fn of(self, text: &str) -> &str {
        &text[self.start..self.end]
    }

    /// The column of its first character, and how many it has.
    pub(in crate::route) fn columns(self, text: &str) -> (usize, usize) {
        let column = text[..self.start].chars().count() + 1;
        (column, self.of(text).chars().count())
    }
}

impl Fault {
    pub(in crate::route) fn new(
        span: Span,
        problem: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            span,
            problem: problem.into(),
            expected: expected.into(),
            fix: None,
        }
    }

    pub(in crate::route) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The error that is told of the text.
    pub(in crate::route) fn into_error(self, text: &str) -> CompileError {
        let (column, width) = self.span.columns(text);
        CompileError {
            column,
            width,
            problem: self.problem,
            expected: self.expected,
            fix: self.fix,
        }
    }
}

impl CompileError {
    /// What would be right, with the guess of what to write.
    pub fn what_to_write(&self) -> String {
        match &self.fix {
            Some(fix) => format!("{}: write `{fix}`", self.expected),
            None => self.expected.clone(),
        }
    }
}

impl std::error::Error for CompileError {}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            column, problem, ..
        } = self;
        write!(
            f,
            "column {column}: {problem}; expected {}",
            self.what_to_write()
        )
    }
}
