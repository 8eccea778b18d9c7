//! What is wrong with a manifest, and what is only odd.

use std::fmt;

use crate::json::{JsonError, JsonPath, Position};

/// The most faults, and the most warnings, that are told of one manifest.
pub const FAULTS_MAX: usize = 200;

/// A value that was checked, with what is odd about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked<T> {
    /// The value.
    pub value: T,
    /// What has no meaning or cannot work as written, in the order of the
    /// text; at most [`FAULTS_MAX`].
    pub warnings: Vec<Warning>,
}

/// Something in a manifest that has to be changed.
///
/// Written as one line: `line 3, column 7: $.a.b: problem; expected ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The JSON path; inside `createOptions` it goes on with the path there.
    pub path: String,
    /// The line, from 1; none where nothing stands in the text.
    pub line: Option<u32>,
    /// The character in the line, from 1.
    pub column: Option<u32>,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub expected: String,
}

/// Something in a manifest that has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The JSON path.
    pub path: String,
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
    /// What is odd about it.
    pub problem: String,
}

/// All that has to be changed in a manifest, in the order of the text.
///
/// At most [`FAULTS_MAX`], the last of which then says how many more there
/// are. Written one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl std::error::Error for Faults {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "line {line}, column {column}: ")?;
        }
        write!(
            f,
            "{}: {}; expected {}",
            self.path, self.problem, self.expected
        )
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}: {}: {}",
            self.line, self.column, self.path, self.problem
        )
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

/// Collects faults and warnings while a manifest is read.
#[derive(Debug, Default)]
pub(super) struct Findings {
    faults: Vec<Fault>,
    faults_omitted: usize,
    warnings: Vec<Warning>,
}

impl Findings {
    pub(super) fn fault(
        &mut self,
        path: &JsonPath,
        position: Position,
        problem: impl Into<String>,
        expected: impl Into<String>,
    ) {
        if self.faults.len() + 1 >= FAULTS_MAX {
            self.faults_omitted += 1;
            return;
        }
        self.faults.push(Fault {
            path: path.as_str().into(),
            line: Some(position.line),
            column: Some(position.column),
            problem: problem.into(),
            expected: expected.into(),
        });
    }

    pub(super) fn warning(
        &mut self,
        path: &JsonPath,
        position: Position,
        problem: impl Into<String>,
    ) {
        if self.warnings.len() < FAULTS_MAX {
            let Position { line, column } = position;
            self.warnings.push(Warning {
                path: path.as_str().into(),
                line,
                column,
                problem: problem.into(),
            });
        }
    }

    /// The warnings from this one on, for those who keep their own.
    pub(super) fn warnings_since(&self, count: usize) -> &[Warning] {
        &self.warnings[count..]
    }

    pub(super) fn warnings_count(&self) -> usize {
        self.warnings.len()
    }

    pub(super) fn is_faultless(&self) -> bool {
        self.faults.is_empty()
    }

    /// The value with its warnings, unless there are faults.
    pub(super) fn finish<T>(mut self, value: T) -> Result<Checked<T>, Faults> {
        if !self.is_faultless() {
            return Err(self.into_faults());
        }
        self.warnings
            .sort_by_key(|warning| (warning.line, warning.column));
        Ok(Checked {
            value,
            warnings: self.warnings,
        })
    }

    pub(super) fn into_faults(mut self) -> Faults {
        self.faults.sort_by_key(|fault| (fault.line, fault.column));
        if self.faults_omitted > 0 {
            self.faults.push(Fault {
                path: JsonPath::root().as_str().into(),
                line: None,
                column: None,
                problem: format!("{} more faults are not shown", self.faults_omitted),
                expected: "none".into(),
            });
        }
        Faults(self.faults)
    }
}

impl From<JsonError> for Faults {
    fn from(error: JsonError) -> Self {
        Self(vec![Fault {
            path: JsonPath::root().as_str().into(),
            line: Some(error.position.line),
            column: Some(error.position.column),
            problem: error.problem,
            expected: error.expected,
        }])
    }
}
