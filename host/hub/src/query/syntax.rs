//! The tree of a query, and its text.
//!
//! Owns the shapes and how they are written so that they are read again.
//! Leaves reading to the parser and meaning to the evaluation.

use std::fmt;

use super::{Query, lexer};

/// What a query answers with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Select {
    /// Whole documents.
    All,
    /// Columns.
    Columns(Vec<Column>),
}

/// A column of the answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) value: ColumnValue,
    /// The name behind `AS`.
    pub(crate) alias: Option<String>,
    /// The key in the answer.
    pub(crate) key: String,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ColumnValue {
    /// What a path finds.
    Path(Path),
    /// Something made of a group of documents; `COUNT` has no path.
    Aggregate(Aggregate, Option<Path>),
}

/// What is made of a group of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregate {
    Count,
    Average,
    Sum,
    Min,
    Max,
}

/// Names that lead to a value; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path(pub(crate) Vec<String>);

/// A part of a condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    Constant(Constant),
    Path(Path),
    IsDefined(Path),
    Negate(Box<Expression>),
    /// `* / %`, from left to right.
    Product(Box<Expression>, Vec<(Arithmetic, Expression)>),
    /// `+ -`, from left to right.
    Sum(Box<Expression>, Vec<(Arithmetic, Expression)>),
    Compare(Box<Expression>, Comparison, Box<Expression>),
    In {
        value: Box<Expression>,
        negated: bool,
        list: Vec<Constant>,
    },
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

/// A value that is written out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Constant {
    Undefined,
    Null,
    Bool(bool),
    /// Finite.
    Number(f64),
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The outermost names of a twin and a job, which may be written in any case.
const ROOTS: [&str; 28] = [
    "deviceId",
    "moduleId",
    "etag",
    "deviceEtag",
    "version",
    "status",
    "statusReason",
    "statusUpdateTime",
    "connectionState",
    "lastActivityTime",
    "cloudToDeviceMessageCount",
    "authenticationType",
    "x509Thumbprint",
    "modelId",
    "tags",
    "properties",
    "capabilities",
    "configurations",
    "deviceScope",
    "parentScopes",
    "jobId",
    "jobType",
    "startTimeUtc",
    "endTimeUtc",
    "createdDateTimeUtc",
    "createdTimeUtc",
    "lastUpdatedDateTimeUtc",
    "outcome",
];

impl Path {
    /// The path of these names, the outermost in the case in which twins have it.
    pub(crate) fn new(mut names: Vec<String>) -> Self {
        if let Some(first) = names.first_mut()
            && let Some(root) = ROOTS.iter().find(|root| root.eq_ignore_ascii_case(first))
        {
            (*root).clone_into(first);
        }
        Self(names)
    }

    /// The last name.
    pub(crate) fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }
}

impl Select {
    pub(crate) fn has_aggregates(&self) -> bool {
        match self {
            Self::All => false,
            Self::Columns(columns) => columns
                .iter()
                .any(|column| matches!(column.value, ColumnValue::Aggregate(..))),
        }
    }
}

impl Aggregate {
    /// The function's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Count => "COUNT",
            Self::Average => "AVG",
            Self::Sum => "SUM",
            Self::Min => "MIN",
            Self::Max => "MAX",
        }
    }

    pub(crate) const ALL: [Self; 5] = [Self::Count, Self::Average, Self::Sum, Self::Min, Self::Max];
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        if let Some(top) = self.top {
            write!(f, "TOP {top} ")?;
        }
        match &self.select {
            Select::All => f.write_str("*")?,
            Select::Columns(columns) => separated(f, columns)?,
        }
        write!(f, " FROM {}", self.source)?;
        if let Some(condition) = &self.condition {
            write!(f, " WHERE {condition}")?;
        }
        if !self.group_by.is_empty() {
            f.write_str(" GROUP BY ")?;
            separated(f, &self.group_by)?;
        }
        Ok(())
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            ColumnValue::Path(path) => write!(f, "{path}")?,
            ColumnValue::Aggregate(aggregate, None) => write!(f, "{}()", aggregate.name())?,
            ColumnValue::Aggregate(aggregate, Some(path)) => {
                write!(f, "{}({path})", aggregate.name())?;
            }
        }
        match &self.alias {
            Some(alias) => write!(f, " AS {}", Name(alias)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            match index {
                // Without brackets it would be read as the source.
                0 if name.eq_ignore_ascii_case("devices") => write!(f, "[[{name}]]")?,
                0 => write!(f, "{}", Name(name))?,
                _ => write!(f, ".{}", Name(name))?,
            }
        }
        Ok(())
    }
}

/// A name, in brackets where it needs them.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lexer::is_plain_name(self.0) && !lexer::is_reserved(self.0) {
            true => f.write_str(self.0),
            false => write!(f, "[[{}]]", self.0),
        }
    }
}

/// How tightly parts hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Any,
    All,
    Not,
    Compare,
    Sum,
    Product,
    Negate,
    Atom,
}

impl Expression {
    fn strength(&self) -> Strength {
        match self {
            Self::Constant(_) | Self::Path(_) | Self::IsDefined(_) => Strength::Atom,
            Self::Negate(_) => Strength::Negate,
            Self::Product(..) => Strength::Product,
            Self::Sum(..) => Strength::Sum,
            Self::Compare(..) | Self::In { .. } => Strength::Compare,
            Self::Not(_) => Strength::Not,
            Self::All(_) => Strength::All,
            Self::Any(_) => Strength::Any,
        }
    }

    /// Writes the part, in parentheses unless it is at least so strong.
    fn write(&self, f: &mut fmt::Formatter<'_>, least: Strength) -> fmt::Result {
        match self.strength() >= least {
            true => write!(f, "{self}"),
            false => write!(f, "({self})"),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(constant) => write!(f, "{constant}"),
            Self::Path(path) => write!(f, "{path}"),
            Self::IsDefined(path) => write!(f, "IS_DEFINED({path})"),
            Self::Negate(inner) => {
                f.write_str("- ")?;
                inner.write(f, Strength::Negate)
            }
            Self::Product(first, rest) => folded(f, first, rest, Strength::Negate),
            Self::Sum(first, rest) => folded(f, first, rest, Strength::Product),
            Self::Compare(left, comparison, right) => {
                left.write(f, Strength::Sum)?;
                write!(f, " {} ", comparison.text())?;
                right.write(f, Strength::Sum)
            }
            Self::In {
                value,
                negated,
                list,
            } => {
                value.write(f, Strength::Sum)?;
                f.write_str(if *negated { " NIN [" } else { " IN [" })?;
                separated(f, list)?;
                f.write_str("]")
            }
            Self::Not(inner) => {
                f.write_str("NOT ")?;
                inner.write(f, Strength::Not)
            }
            Self::All(parts) => joined(f, parts, " AND ", Strength::Not),
            Self::Any(parts) => joined(f, parts, " OR ", Strength::All),
        }
    }
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined => f.write_str("undefined"),
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(text) => {
                f.write_str("'")?;
                for character in text.chars() {
                    match character {
                        '\'' | '\\' => write!(f, "\\{character}")?,
                        '\0'..'\u{20}' | '\u{7f}' => write!(f, "\\u{:04x}", u32::from(character))?,
                        _ => write!(f, "{character}")?,
                    }
                }
                f.write_str("'")
            }
        }
    }
}

impl Arithmetic {
    fn text(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

impl Comparison {
    fn text(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

fn folded(
    f: &mut fmt::Formatter<'_>,
    first: &Expression,
    rest: &[(Arithmetic, Expression)],
    least: Strength,
) -> fmt::Result {
    first.write(f, least)?;
    rest.iter().try_for_each(|(operator, part)| {
        write!(f, " {} ", operator.text())?;
        part.write(f, least)
    })
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    parts: &[Expression],
    word: &str,
    least: Strength,
) -> fmt::Result {
    parts.iter().enumerate().try_for_each(|(index, part)| {
        if index > 0 {
            f.write_str(word)?;
        }
        part.write(f, least)
    })
}

fn separated(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    items.iter().enumerate().try_for_each(|(index, item)| {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")
    })
}
