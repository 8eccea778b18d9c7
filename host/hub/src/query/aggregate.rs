//! Groups of documents: what `GROUP BY` and functions such as `COUNT` make of many.
//!
//! Owns the groups, their order and how many there may be. Leaves which
//! documents come in to whoever scans them.
//!
//! A function passes over what is undefined, null or no value of its kind:
//! `AVG` and `SUM` take numbers, `MIN` and `MAX` numbers, texts and booleans,
//! of which numbers come before texts and these before booleans. Without a
//! value there is none in the answer, but for `COUNT` and `SUM`, which are 0.

use std::collections::BTreeMap;

use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::Query;
use super::evaluate::Document;
use super::syntax::{Aggregate, ColumnValue, Select};

/// Most groups of one query: all are in memory at once.
pub(crate) const GROUPS_MAX: usize = 10_000;

/// What the groups of one query may hold in all, in bytes.
pub(crate) const GROUPS_MAX_BYTES: usize = 16 * 1024 * 1024;

/// How much of a group's values its place in the order shows, in bytes; the rest is in a digest.
const ORDER_TEXT_MAX_BYTES: usize = 128;

/// Where a group stands among the others: by its values, as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct GroupOrder(String, String);

/// The groups of a query.
#[derive(Debug)]
pub(crate) struct Groups<'a> {
    query: &'a Query,
    groups: BTreeMap<GroupOrder, Group>,
    /// What the groups hold, roughly.
    held_bytes: usize,
}

/// There are more groups than there may be, or they are too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyGroups;

#[derive(Debug)]
struct Group {
    /// What the paths behind `GROUP BY` find.
    values: Vec<Option<Value>>,
    /// For each column; nothing for those that are paths.
    states: Vec<State>,
}

#[derive(Debug, Clone)]
enum State {
    Path,
    Count(u64),
    Sum {
        sum: f64,
        count: u64,
        is_average: bool,
    },
    Extreme {
        best: Option<Value>,
        is_max: bool,
    },
}

impl<'a> Groups<'a> {
    pub(crate) fn new(query: &'a Query) -> Self {
        let mut groups = Self {
            query,
            groups: BTreeMap::new(),
            held_bytes: 0,
        };
        if query.group_by.is_empty() {
            // All are one group, also when there are none.
            let group = groups.group(Vec::new());
            groups.groups.insert(GroupOrder::of(&[]), group);
        }
        groups
    }

    /// Takes a document in.
    pub(crate) fn add(&mut self, document: &dyn Document) -> Result<(), TooManyGroups> {
        let paths = self.query.group_by.iter();
        let values: Vec<_> = paths
            .map(|path| document.find(&path.0).map(std::borrow::Cow::into_owned))
            .collect();
        let order = GroupOrder::of(&values);
        if !self.groups.contains_key(&order) {
            if self.groups.len() == GROUPS_MAX {
                return Err(TooManyGroups);
            }
            self.held_bytes += values.iter().flatten().map(size_bytes).sum::<usize>();
            let group = self.group(values);
            self.held_bytes += size_of_val(&group.states[..]) + ORDER_TEXT_MAX_BYTES;
            self.groups.insert(order.clone(), group);
        }
        let Select::Columns(columns) = &self.query.select else {
            return Ok(());
        };
        let group = self.groups.get_mut(&order);
        let group = group.expect("it is there or was just made");
        for (column, state) in columns.iter().zip(&mut group.states) {
            if let ColumnValue::Aggregate(_, path) = &column.value {
                let value = path.as_ref().and_then(|path| document.find(&path.0));
                self.held_bytes += state.add(value.as_deref());
            }
        }
        match self.held_bytes > GROUPS_MAX_BYTES {
            true => Err(TooManyGroups),
            false => Ok(()),
        }
    }

    /// The rows behind `after`, in order, each with its place.
    pub(crate) fn rows(
        &self,
        after: Option<&GroupOrder>,
    ) -> impl Iterator<Item = (&GroupOrder, Value)> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.groups.range((from, Bound::Unbounded));
        behind.map(|(order, group)| (order, self.row(group)))
    }

    fn row(&self, group: &Group) -> Value {
        let Select::Columns(columns) = &self.query.select else {
            return Value::Object(Map::new());
        };
        let mut row = Map::new();
        for (column, state) in columns.iter().zip(&group.states) {
            let value = match &column.value {
                ColumnValue::Path(path) => {
                    let paths = &self.query.group_by;
                    let index = paths.iter().position(|grouped| grouped == path);
                    index.and_then(|index| group.values[index].clone())
                }
                ColumnValue::Aggregate(..) => state.value(),
            };
            if let Some(value) = value {
                row.insert(column.key.clone(), value);
            }
        }
        Value::Object(row)
    }

    fn group(&self, values: Vec<Option<Value>>) -> Group {
        let columns = match &self.query.select {
            Select::All => &[][..],
            Select::Columns(columns) => columns,
        };
        let states = columns.iter().map(|column| State::of(&column.value));
        Group {
            values,
            states: states.collect(),
        }
    }
}

impl GroupOrder {
    fn of(values: &[Option<Value>]) -> Self {
        // Each in an array of its own, so that undefined and null stay apart.
        let written: Vec<Vec<&Value>> = values.iter().map(|value| value.iter().collect()).collect();
        let text = serde_json::to_string(&written).unwrap_or_default();
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        let digest: String = digest.as_ref()[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let end = text.floor_char_boundary(ORDER_TEXT_MAX_BYTES);
        Self(text[..end].to_owned(), digest)
    }
}

impl State {
    fn of(column: &ColumnValue) -> Self {
        let ColumnValue::Aggregate(aggregate, _) = column else {
            return Self::Path;
        };
        let (sum, count) = (0.0, 0);
        match aggregate {
            Aggregate::Count => Self::Count(0),
            Aggregate::Average | Aggregate::Sum => Self::Sum {
                sum,
                count,
                is_average: *aggregate == Aggregate::Average,
            },
            Aggregate::Min | Aggregate::Max => Self::Extreme {
                best: None,
                is_max: *aggregate == Aggregate::Max,
            },
        }
    }

    /// Takes a value in; answers how many bytes more are held, at most.
    fn add(&mut self, value: Option<&Value>) -> usize {
        match self {
            Self::Path => {}
            Self::Count(count) => *count += 1,
            Self::Sum { sum, count, .. } => {
                if let Some(number) = value.and_then(Value::as_f64) {
                    *sum += number;
                    *count += 1;
                }
            }
            Self::Extreme { best, is_max } => {
                let Some(value) = value.filter(|value| rank(value).is_some()) else {
                    return 0;
                };
                let is_better = best.as_ref().is_none_or(|best| {
                    let order = order(value, best);
                    if *is_max {
                        order.is_gt()
                    } else {
                        order.is_lt()
                    }
                });
                if is_better {
                    let before = best.as_ref().map_or(0, size_bytes);
                    *best = Some(value.clone());
                    return size_bytes(value).saturating_sub(before);
                }
            }
        }
        0
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::Path => None,
            Self::Count(count) => Some(Value::from(*count)),
            Self::Sum {
                sum,
                count,
                is_average: true,
            } => match count {
                0 => None,
                _ => number(sum / *count as f64),
            },
            Self::Sum { sum, .. } => number(*sum),
            Self::Extreme { best, .. } => best.clone(),
        }
    }
}

/// What a value takes in memory, roughly.
fn size_bytes(value: &Value) -> usize {
    let own = size_of::<Value>();
    own + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size_bytes).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| key.len() + 2 * own + size_bytes(value))
            .sum(),
        _ => 0,
    }
}

/// The kinds of values that have an extreme, in their order.
fn rank(value: &Value) -> Option<u8> {
    match value {
        Value::Number(_) => Some(0),
        Value::String(_) => Some(1),
        Value::Bool(_) => Some(2),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn order(left: &Value, right: &Value) -> std::cmp::Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.as_f64(), right.as_f64());
            left.partial_cmp(&right)
                .unwrap_or(std::cmp::Ordering::Equal)
        }
        (Value::String(left), Value::String(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        _ => rank(left).cmp(&rank(right)),
    }
}

/// Whole numbers are written without a fraction.
fn number(value: f64) -> Option<Value> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT_MAX {
        return Some(Value::from(value as i64));
    }
    Number::from_f64(value).map(Value::Number)
}
