//! IoT Hub's query language: what a text asks of which twins.
//!
//! Owns the language from text to answer for one document: words, grammar,
//! limits, faults with their columns, conditions, columns and groups. Leaves
//! finding documents, pages and time to the hub, which runs queries, and to
//! the worker that carries out configurations, whose target conditions and
//! metrics are written in it.
//!
//! ```text
//! SELECT [TOP n] ( * | column [AS name], … )
//! FROM devices | devices.modules | devices.jobs
//! [WHERE condition] [GROUP BY path, …]
//!
//! column     path | COUNT() | AVG(path) | SUM(path) | MIN(path) | MAX(path)
//! path       name.name.…; a name with other characters than letters, digits, `_` and `$`,
//!            or that is a keyword, is written `[[name]]`
//! condition  path, 'text' or "text", number, true, false, null, undefined, IS_DEFINED(path),
//!            + - * / %, = != <> < <= > >=, IN [..], NIN [..], NOT, AND, OR, ( )
//! ```
//!
//! Keywords, functions and the outermost names of a twin (`deviceId`) may be
//! in any case. From tightest to loosest: `-` before a number, `* / %`,
//! `+ -`, comparisons, `NOT`, `AND`, `OR`.
//!
//! What a path does not find is undefined, and so is what an operator cannot
//! make of its values: arithmetic with other things than numbers, an order
//! between different types, any comparison with an object or an array. Values
//! of different types are not equal. `AND`, `OR` and `NOT` are three-valued,
//! and a document is chosen where the condition is true and nothing else.
//!
//! Source: Azure IoT Hub, "IoT Hub query language for device and module
//! twins, jobs, and message routing".

use std::fmt;

use serde_json::Value;
use thiserror::Error;

pub(crate) mod aggregate;
pub(crate) mod evaluate;
mod lexer;
mod parse;
pub(crate) mod syntax;
mod value;

use syntax::{Expression, Path, Select};

/// Longest query, in bytes.
pub const QUERY_MAX_BYTES: usize = 16 * 1024;

/// How deep parentheses, `NOT` and `-` may stand in each other: parsing and evaluating recurse once for
/// each.
pub const DEPTH_MAX: usize = 32;

/// Most columns of a query, and most paths behind `GROUP BY`.
pub const COLUMNS_MAX: usize = 64;

/// A text is no query.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("column {column}: {problem}; expected {expected}")]
pub struct QueryError {
    /// The character where it is wrong, from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
    /// What would be right there.
    pub expected: String,
}

/// A query, understood.
///
/// Displays as a text that is read as the same query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub(crate) select: Select,
    /// How many documents or groups are wanted at most.
    pub(crate) top: Option<u64>,
    pub(crate) source: Source,
    pub(crate) condition: Option<Expression>,
    pub(crate) group_by: Vec<Path>,
}

/// Which twins a configuration is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    pub(crate) source: Source,
    /// None: none of them.
    pub(crate) condition: Option<Expression>,
}

/// The collection of documents that a query is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The twins of devices.
    Devices,
    /// The twins of modules.
    Modules,
    /// What jobs do to devices; there are none.
    Jobs,
}

impl Source {
    /// The text behind `FROM`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Modules => "devices.modules",
            Self::Jobs => "devices.jobs",
        }
    }
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// [`QueryError`] at the first fault.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        parse::query(text)
    }

    /// Which documents it is about.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Whether it asks for whole twins, not for columns.
    pub fn is_whole(&self) -> bool {
        self.select == Select::All
    }

    /// Whether its rows come from groups of documents.
    pub fn is_grouped(&self) -> bool {
        !self.group_by.is_empty() || self.select.has_aggregates()
    }

    /// Whether the condition chooses this document, a twin as the service API shows it.
    pub fn matches(&self, document: &Value) -> bool {
        self.chooses(document)
    }

    /// The columns of this document, when they are its own and not a group's.
    pub fn row(&self, document: &Value) -> Value {
        self.row_of(document)
    }
}

impl Target {
    /// Reads the target condition of a configuration: a condition on devices, `*` for all of them,
    /// `FROM devices.modules [WHERE condition]` for modules; an empty one is for none.
    ///
    /// # Errors
    /// [`QueryError`] at the first fault.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        parse::target(text)
    }

    /// Which twins are looked at.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Whether the condition chooses this document, a twin as the service API shows it.
    pub fn matches(&self, document: &Value) -> bool {
        self.chooses(document)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
