//! Values of conditions, and what operators make of them.
//!
//! Owns types, order and equality. Leaves where values come from to the
//! evaluation.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::syntax::{Arithmetic, Comparison, Constant};

/// A value at work.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand<'a> {
    Undefined,
    Null,
    Bool(bool),
    /// Finite.
    Number(f64),
    Text(Cow<'a, str>),
    /// An object or an array, of which nothing is known but that it is there.
    Composite,
}

/// What is known of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    True,
    False,
    Undefined,
}

impl<'a> Operand<'a> {
    pub(crate) fn of(value: Option<Cow<'a, Value>>) -> Self {
        match value {
            None => Self::Undefined,
            Some(Cow::Borrowed(value)) => match value {
                Value::String(text) => Self::Text(Cow::Borrowed(text)),
                other => Self::simple(other),
            },
            Some(Cow::Owned(Value::String(text))) => Self::Text(Cow::Owned(text)),
            Some(Cow::Owned(other)) => Self::simple(&other),
        }
    }

    fn simple(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => number.as_f64().map_or(Self::Undefined, Self::finite),
            Value::String(_) | Value::Array(_) | Value::Object(_) => Self::Composite,
        }
    }

    pub(crate) fn constant(constant: &'a Constant) -> Self {
        match constant {
            Constant::Undefined => Self::Undefined,
            Constant::Null => Self::Null,
            Constant::Bool(value) => Self::Bool(*value),
            Constant::Number(number) => Self::Number(*number),
            Constant::Text(text) => Self::Text(Cow::Borrowed(text)),
        }
    }

    fn finite(number: f64) -> Self {
        match number.is_finite() {
            true => Self::Number(number),
            false => Self::Undefined,
        }
    }

    pub(crate) fn truth(&self) -> Truth {
        match self {
            Self::Bool(true) => Truth::True,
            Self::Bool(false) => Truth::False,
            _ => Truth::Undefined,
        }
    }

    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Number(number) => Self::Number(-number),
            _ => Self::Undefined,
        }
    }

    pub(crate) fn calculate(self, operator: Arithmetic, right: Self) -> Self {
        let (Self::Number(left), Self::Number(right)) = (self, right) else {
            return Self::Undefined;
        };
        Self::finite(match operator {
            Arithmetic::Add => left + right,
            Arithmetic::Subtract => left - right,
            Arithmetic::Multiply => left * right,
            Arithmetic::Divide => left / right,
            Arithmetic::Modulo => left % right,
        })
    }

    /// Whether both are the same; unknown for what has no value of its own.
    pub(crate) fn equals(&self, other: &Self) -> Truth {
        match (self, other) {
            (Self::Undefined | Self::Composite, _) | (_, Self::Undefined | Self::Composite) => {
                Truth::Undefined
            }
            (left, right) => (left == right).into(),
        }
    }

    pub(crate) fn compare(&self, comparison: Comparison, other: &Self) -> Truth {
        let ordered = |is_right: fn(Ordering) -> bool| match self.order(other) {
            Some(order) => is_right(order).into(),
            None => Truth::Undefined,
        };
        match comparison {
            Comparison::Equal => self.equals(other),
            Comparison::NotEqual => self.equals(other).not(),
            Comparison::Less => ordered(Ordering::is_lt),
            Comparison::LessOrEqual => ordered(Ordering::is_le),
            Comparison::Greater => ordered(Ordering::is_gt),
            Comparison::GreaterOrEqual => ordered(Ordering::is_ge),
        }
    }

    /// Numbers by value, texts by their bytes; nothing else has an order.
    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => left.partial_cmp(right),
            (Self::Text(left), Self::Text(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
            _ => None,
        }
    }
}

impl Truth {
    pub(crate) fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Undefined => Self::Undefined,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl From<Truth> for Operand<'_> {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::True => Self::Bool(true),
            Truth::False => Self::Bool(false),
            Truth::Undefined => Self::Undefined,
        }
    }
}
