//! What was expected against what came out. Pure.
//!
//! Each group is compared in order, one by one. Of an object, the keys that are expected have to be there and
//! fit; further ones may be there too, unless the comparison is exact. Of the log, expected lines have to occur in
//! this order with others between them; all other groups have nothing beside what is expected.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::came_out::{CameOut, Group};
use super::script::{LineFault, Numbered, each_line, syntax};

/// Something that has to come out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expected {
    group: Group,
    json: Map<String, Value>,
}

/// How much is said by an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// What it names.
    Named,
    /// All there is.
    Exact,
}

/// What an expectation and what came out differ in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    /// The group.
    pub(super) group: Group,
    /// Which one of the group, counted from 1.
    pub(super) number: usize,
    /// The line of the file that expects it, if one does.
    pub(super) line: Option<usize>,
    /// What is wrong.
    pub(super) kind: Kind,
}

/// The ways to differ.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Another one came out.
    Differs {
        /// Where, such as `body.load1`.
        path: String,
        /// What was expected there; `None` is nothing.
        wanted: Option<Value>,
        /// What is there.
        found: Option<Value>,
        /// All that was expected.
        expected: Value,
        /// All that came out.
        got: Value,
    },
    /// None came out.
    Missing {
        /// What was expected.
        expected: Value,
    },
    /// None was expected.
    Unexpected {
        /// What came out.
        got: Value,
    },
}

/// Reads the file of `--expect`.
pub(super) fn expectations(text: &str) -> Result<Vec<Numbered<Expected>>, Vec<LineFault>> {
    each_line(text, |line| {
        let json: Map<String, Value> = serde_json::from_str(line).map_err(|err| syntax(&err))?;
        let bodies = ["body", "bodyText", "bodyBase64"];
        if bodies.iter().filter(|key| json.contains_key(**key)).count() > 1 {
            let text = "a message has one of `body`, `bodyText` and `bodyBase64`";
            return Err((None, text.to_owned()));
        }
        let group = Group::of(&json).ok_or_else(|| {
            let keys: Vec<String> = json.keys().map(|key| format!("`{key}`")).collect();
            let text = format!(
                "expected a message (`output`, `properties`, `systemProperties` and one of `body`, `bodyText`, `bodyBase64`) \
                 or one key alone of `reported`, `answer`, `invoked`, `aside`, `retry`, `waiting`, `expired`, `ended`, `log`; found {}",
                if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") }
            );
            (None, text)
        })?;
        Ok(Expected { group, json })
    })
}

/// All differences, by group.
pub(super) fn compare(
    expected: &[Numbered<Expected>],
    came_out: &[CameOut],
    strictness: Strictness,
) -> Vec<Difference> {
    let mut groups: BTreeMap<&Group, (Vec<&Numbered<Expected>>, Vec<&CameOut>)> = BTreeMap::new();
    for one in expected {
        groups.entry(&one.value.group).or_default().0.push(one);
    }
    for one in came_out {
        groups.entry(&one.group).or_default().1.push(one);
    }
    let mut differences = Vec::new();
    for (group, (expected, got)) in groups {
        if *group == Group::Log && strictness == Strictness::Named {
            occurring(&expected, &got, &mut differences);
        } else {
            one_by_one(group, &expected, &got, strictness, &mut differences);
        }
    }
    differences
}

fn one_by_one(
    group: &Group,
    expected: &[&Numbered<Expected>],
    got: &[&CameOut],
    strictness: Strictness,
    differences: &mut Vec<Difference>,
) {
    for index in 0..expected.len().max(got.len()) {
        let kind = match (expected.get(index), got.get(index)) {
            (Some(expected), Some(got)) => differs(&expected.value, got, strictness),
            (Some(expected), None) => Some(Kind::Missing {
                expected: Value::Object(expected.value.json.clone()),
            }),
            (None, Some(got)) => Some(Kind::Unexpected {
                got: got.json.clone(),
            }),
            (None, None) => None,
        };
        differences.extend(kind.map(|kind| Difference {
            group: group.clone(),
            number: index + 1,
            line: expected.get(index).map(|expected| expected.line),
            kind,
        }));
    }
}

/// Each expected line has to occur after the one before.
fn occurring(
    expected: &[&Numbered<Expected>],
    got: &[&CameOut],
    differences: &mut Vec<Difference>,
) {
    let mut rest = got.iter();
    for (index, one) in expected.iter().enumerate() {
        let before = rest.clone();
        let occurs = rest.any(|got| differs(&one.value, got, Strictness::Named).is_none());
        if !occurs {
            // Those after it are looked for all the same.
            rest = before;
            differences.push(Difference {
                group: Group::Log,
                number: index + 1,
                line: Some(one.line),
                kind: Kind::Missing {
                    expected: Value::Object(one.value.json.clone()),
                },
            });
        }
    }
}

fn differs(expected: &Expected, got: &CameOut, strictness: Strictness) -> Option<Kind> {
    let wanted = Value::Object(expected.json.clone());
    let shown = with_body_as(&expected.json, got);
    let (path, wanted_here, found) = difference(&wanted, &shown, strictness, "")?;
    Some(Kind::Differs {
        path,
        wanted: wanted_here,
        found,
        expected: wanted,
        got: got.json.clone(),
    })
}

/// What came out, its body in the form in which it is expected.
fn with_body_as(expected: &Map<String, Value>, got: &CameOut) -> Value {
    let mut shown = got.json.clone();
    let Value::Object(object) = &mut shown else {
        return shown;
    };
    let as_wanted = if expected.contains_key("body") {
        let json = serde_json::from_slice(&got.body).ok();
        json.map(|json| ("body", json))
    } else if expected.contains_key("bodyText") {
        let text = std::str::from_utf8(&got.body).ok();
        text.map(|text| ("bodyText", text.into()))
    } else if expected.contains_key("bodyBase64") {
        Some(("bodyBase64", BASE64.encode(&got.body).into()))
    } else {
        None
    };
    if let Some((key, body)) = as_wanted {
        for other in ["body", "bodyText", "bodyBase64"] {
            object.remove(other);
        }
        object.insert(key.to_owned(), body);
    }
    shown
}

type Found = (String, Option<Value>, Option<Value>);

/// The first difference: where, what was wanted there, what is there.
fn difference(wanted: &Value, found: &Value, strictness: Strictness, path: &str) -> Option<Found> {
    let below = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let missing = wanted.iter().find_map(|(key, value)| match found.get(key) {
                None => Some((below(key), Some(value.clone()), None)),
                Some(found) => difference(value, found, strictness, &below(key)),
            });
            missing.or_else(|| {
                let mut more = found.iter().filter(|(key, _)| !wanted.contains_key(*key));
                let (key, value) = more.next().filter(|_| strictness == Strictness::Exact)?;
                Some((below(key), None, Some(value.clone())))
            })
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let mut pairs = wanted.iter().zip(found).enumerate();
            pairs.find_map(|(index, (wanted, found))| {
                difference(wanted, found, strictness, &format!("{path}[{index}]"))
            })
        }
        _ if same(wanted, found) => None,
        _ => Some((path.to_owned(), Some(wanted.clone()), Some(found.clone()))),
    }
}

/// Whether two values are the same; numbers by what they are, not by how they are written.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

impl Difference {
    /// The JSON form.
    pub(super) fn to_json(&self) -> Value {
        let mut json = json!({
            "group": self.group.to_string(),
            "number": self.number,
            "line": self.line,
        });
        let more = match &self.kind {
            Kind::Differs {
                path,
                expected,
                got,
                ..
            } => json!({ "kind": "differs", "path": path, "expected": expected, "got": got }),
            Kind::Missing { expected } => json!({ "kind": "missing", "expected": expected }),
            Kind::Unexpected { got } => json!({ "kind": "unexpected", "got": got }),
        };
        if let (Value::Object(json), Value::Object(more)) = (&mut json, more) {
            json.extend(more);
        }
        json
    }
}

#[cfg(test)]
mod tests;
