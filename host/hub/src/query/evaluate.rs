//! Conditions and columns at work: their values for one document.
//!
//! Owns the order in which a tree is looked at. Leaves what operators do to
//! [`super::value`], and what a document is to its [`Document`].

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::syntax::{ColumnValue, Expression, Path, Select};
use super::value::{Operand, Truth};
use super::{Query, Target};

/// Something that is queried.
pub(crate) trait Document {
    /// What a path leads to.
    fn find(&self, path: &[String]) -> Option<Cow<'_, Value>>;
}

impl Document for Value {
    fn find(&self, path: &[String]) -> Option<Cow<'_, Value>> {
        let found = path
            .iter()
            .try_fold(self, |value, name| value.get(name.as_str()));
        found.map(Cow::Borrowed)
    }
}

impl Query {
    /// Whether the condition chooses this document.
    pub(crate) fn chooses(&self, document: &dyn Document) -> bool {
        match &self.condition {
            Some(condition) => condition.holds(document),
            None => true,
        }
    }

    /// Whether it looks at something below this outermost name.
    pub(crate) fn asks_for(&self, root: &str) -> bool {
        let is_below = |path: &Path| path.0.first().is_some_and(|name| name == root);
        let columns = match &self.select {
            Select::All => &[][..],
            Select::Columns(columns) => columns,
        };
        columns.iter().any(|column| match &column.value {
            ColumnValue::Path(path) | ColumnValue::Aggregate(_, Some(path)) => is_below(path),
            ColumnValue::Aggregate(_, None) => false,
        }) || self.group_by.iter().any(is_below)
            || self
                .condition
                .as_ref()
                .is_some_and(|condition| condition.has_path(&is_below))
    }

    /// The columns of a document, when they are its own and not a group's.
    pub(crate) fn row_of(&self, document: &dyn Document) -> Value {
        let Select::Columns(columns) = &self.select else {
            return Value::Object(Map::new());
        };
        let values = columns.iter().filter_map(|column| match &column.value {
            ColumnValue::Path(path) => {
                let value = document.find(&path.0)?;
                Some((column.key.clone(), value.into_owned()))
            }
            ColumnValue::Aggregate(..) => None,
        });
        Value::Object(values.collect())
    }
}

impl Target {
    /// Whether the condition chooses this document.
    pub(crate) fn chooses(&self, document: &dyn Document) -> bool {
        let condition = self.condition.as_ref();
        condition.is_some_and(|condition| condition.holds(document))
    }
}

impl Expression {
    /// Whether the condition is true, and neither false nor unknown.
    pub(crate) fn holds(&self, document: &dyn Document) -> bool {
        self.value(document).truth() == Truth::True
    }

    /// Whether it has such a path anywhere.
    fn has_path(&self, is_such: &dyn Fn(&Path) -> bool) -> bool {
        match self {
            Self::Constant(_) => false,
            Self::Path(path) | Self::IsDefined(path) => is_such(path),
            Self::Negate(inner) | Self::Not(inner) | Self::In { value: inner, .. } => {
                inner.has_path(is_such)
            }
            Self::Product(first, rest) | Self::Sum(first, rest) => {
                first.has_path(is_such) || rest.iter().any(|(_, part)| part.has_path(is_such))
            }
            Self::Compare(left, _, right) => left.has_path(is_such) || right.has_path(is_such),
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.has_path(is_such)),
        }
    }

    fn value<'a>(&'a self, document: &'a dyn Document) -> Operand<'a> {
        match self {
            Self::Constant(constant) => Operand::constant(constant),
            Self::Path(Path(names)) => Operand::of(document.find(names)),
            Self::IsDefined(Path(names)) => Operand::Bool(document.find(names).is_some()),
            Self::Negate(inner) => inner.value(document).negated(),
            Self::Product(first, rest) | Self::Sum(first, rest) => {
                let first = first.value(document);
                rest.iter().fold(first, |left, (operator, right)| {
                    left.calculate(*operator, right.value(document))
                })
            }
            Self::Compare(left, comparison, right) => {
                let (left, right) = (left.value(document), right.value(document));
                left.compare(*comparison, &right).into()
            }
            Self::In {
                value,
                negated,
                list,
            } => {
                let value = value.value(document);
                let is_in = decided(
                    Truth::True,
                    list.iter()
                        .map(|item| value.equals(&Operand::constant(item))),
                );
                if *negated { is_in.not() } else { is_in }.into()
            }
            Self::Not(inner) => inner.value(document).truth().not().into(),
            Self::All(parts) => decided(
                Truth::False,
                parts.iter().map(|part| part.value(document).truth()),
            )
            .into(),
            Self::Any(parts) => decided(
                Truth::True,
                parts.iter().map(|part| part.value(document).truth()),
            )
            .into(),
        }
    }
}

/// AND and OR: one part decides, else one that is not known leaves all unknown.
fn decided(deciding: Truth, parts: impl Iterator<Item = Truth>) -> Truth {
    let mut otherwise = deciding.not();
    for truth in parts {
        if truth == deciding {
            return deciding;
        }
        if truth == Truth::Undefined {
            otherwise = Truth::Undefined;
        }
    }
    otherwise
}
