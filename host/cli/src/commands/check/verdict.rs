//! What a check came to.

use serde::Serialize;

use crate::output::text::Style;

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Grade {
    /// It could not be looked at, or there is nothing to look at.
    Skipped,
    /// As it should be.
    Ok,
    /// It works, and should be looked at.
    Warning,
    /// It does not work, or soon will not.
    Error,
}

/// A check's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// How good it is.
    #[serde(rename = "result")]
    pub(super) grade: Grade,
    /// What was found, on one line.
    pub(super) summary: String,
    /// More of it, a line each.
    pub(super) details: Vec<String>,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

impl Grade {
    /// Columns of the longest one.
    pub(super) const WIDTH: usize = 7;

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    pub(super) const fn style(self) -> Option<Style> {
        match self {
            Self::Skipped => Some(Style::Dim),
            Self::Ok => None,
            Self::Warning => Some(Style::Yellow),
            Self::Error => Some(Style::Red),
        }
    }
}

impl Verdict {
    pub(super) fn new(grade: Grade, summary: impl Into<String>) -> Self {
        Self {
            grade,
            summary: summary.into(),
            details: Vec::new(),
            hint: None,
        }
    }

    pub(super) fn ok(summary: impl Into<String>) -> Self {
        Self::new(Grade::Ok, summary)
    }

    pub(super) fn warning(summary: impl Into<String>) -> Self {
        Self::new(Grade::Warning, summary)
    }

    pub(super) fn error(summary: impl Into<String>) -> Self {
        Self::new(Grade::Error, summary)
    }

    pub(super) fn skipped(summary: impl Into<String>) -> Self {
        Self::new(Grade::Skipped, summary)
    }

    /// Adds what to do.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds lines with more of it.
    #[must_use]
    pub(super) fn details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }
}
#[cfg(test)]
impl Verdict {
    /// Sees that it has this grade and says all of these.
    #[track_caller]
    pub(super) fn assert(&self, grade: Grade, parts: &[&str]) {
        assert_eq!(self.grade, grade, "{self:?}");
        for part in parts {
            let said = format!("{self:?}");
            assert!(said.contains(part), "{part} is not in {said}");
        }
    }
}
