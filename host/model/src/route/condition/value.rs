//! Values at work: their types, comparison and arithmetic.
//!
//! Owns what operators do with values that are known. Leaves where values
//! come from, and which types stand together, to others.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use super::Truth;
use crate::route::lexer::Operator;

/// What a part of a condition comes to for a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Undefined,
    Null,
    Bool(bool),
    /// Never NaN, which is undefined.
    Number(f64),
    Text(Cow<'a, str>),
    /// Only functions that ask for types see an array or an object.
    Array,
    Object,
}

/// What is known of a value before there is a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Undefined,
    Null,
    Bool,
    Number,
    Text,
    /// It is in the body, and seen there.
    Any,
}

/// The longest text that is put together, in bytes; a longer one is
/// undefined. Four bodies as large as they may be.
pub(super) const TEXT_MAX_BYTES: usize = 1 << 20;

impl Value<'_> {
    pub(super) fn number(number: f64) -> Self {
        match number.is_nan() {
            true => Self::Undefined,
            false => Self::Number(number),
        }
    }

    pub(super) fn kind(&self) -> Type {
        match self {
            Self::Undefined => Type::Undefined,
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Number(_) => Type::Number,
            Self::Text(_) => Type::Text,
            Self::Array | Self::Object => Type::Any,
        }
    }

    /// Whether it is what `is_defined` and `??` take for a value: arrays and
    /// objects are none to operators.
    pub(super) fn is_defined(&self) -> bool {
        !matches!(self, Self::Undefined | Self::Array | Self::Object)
    }

    pub(super) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Undefined => Value::Undefined,
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(number) => Value::Number(number),
            Self::Text(text) => Value::Text(text.into_owned().into()),
            Self::Array => Value::Array,
            Self::Object => Value::Object,
        }
    }

    /// As an operand of AND, OR and NOT: only true and false are known.
    pub(super) fn logical(&self) -> Truth {
        match self {
            Self::Bool(true) => Truth::True,
            Self::Bool(false) => Truth::False,
            _ => Truth::Undefined,
        }
    }

    /// As an operand of arithmetic, where null acts as 0.
    fn operand(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Null => Some(0.0),
            _ => None,
        }
    }

    pub(super) fn negated(&self) -> Self {
        self.operand()
            .map_or(Self::Undefined, |number| Self::Number(-number))
    }

    /// The order of two values: of one type by value, else by rank of type;
    /// none where one is not known, or has no order.
    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Number(a), Self::Number(b)) => a.partial_cmp(b),
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Self::Null, Self::Null) => Some(Ordering::Equal),
            _ => Some(self.rank()?.cmp(&other.rank()?)),
        }
    }

    fn rank(&self) -> Option<u8> {
        match self {
            Self::Undefined | Self::Array | Self::Object => None,
            Self::Bool(_) => Some(1),
            Self::Number(_) => Some(2),
            Self::Text(_) => Some(3),
            Self::Null => Some(4),
        }
    }

    fn compare(&self, other: &Self, holds: impl Fn(Ordering) -> bool) -> Self {
        self.order(other)
            .map_or(Self::Undefined, |order| Self::Bool(holds(order)))
    }

    fn compute(&self, other: &Self, result: impl Fn(f64, f64) -> f64) -> Self {
        match (self.operand(), other.operand()) {
            (Some(a), Some(b)) => Self::number(result(a, b)),
            _ => Self::Undefined,
        }
    }
}

impl<'a> Value<'a> {
    /// What an operator makes of two values; AND, OR and `??` are not among
    /// these, since they need not know both.
    pub(super) fn combine(self, operator: Operator, right: Value<'a>) -> Self {
        match operator {
            Operator::Equal => self.compare(&right, Ordering::is_eq),
            Operator::NotEqual => self.compare(&right, Ordering::is_ne),
            Operator::Less => self.compare(&right, Ordering::is_lt),
            Operator::LessOrEqual => self.compare(&right, Ordering::is_le),
            Operator::Greater => self.compare(&right, Ordering::is_gt),
            Operator::GreaterOrEqual => self.compare(&right, Ordering::is_ge),
            Operator::Add => self.compute(&right, |a, b| a + b),
            Operator::Subtract => self.compute(&right, |a, b| a - b),
            Operator::Multiply => self.compute(&right, |a, b| a * b),
            Operator::Divide => self.compute(&right, |a, b| a / b),
            Operator::Modulo => self.compute(&right, |a, b| a % b),
            Operator::Concat => self.concat(right),
            Operator::And | Operator::Or | Operator::Coalesce => Self::Undefined,
        }
    }

    pub(super) fn concat(self, right: Value<'a>) -> Self {
        match (self, right) {
            (Self::Text(a), Self::Text(b)) if a.len() + b.len() <= TEXT_MAX_BYTES => {
                Self::Text(a + b)
            }
            _ => Self::Undefined,
        }
    }
}

impl From<Truth> for Value<'_> {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::True => Self::Bool(true),
            Truth::False => Self::Bool(false),
            Truth::Undefined => Self::Undefined,
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined => f.write_str("undefined"),
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(number) if number.is_infinite() => f.write_str(if *number > 0.0 {
                "infinity"
            } else {
                "-infinity"
            }),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "'{}'", text.escape_debug()),
            Self::Array => f.write_str("an array"),
            Self::Object => f.write_str("an object"),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undefined => "undefined",
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Any => "any value",
        })
    }
}
