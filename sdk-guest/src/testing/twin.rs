//! The twin of the module under test: desired and reported properties with their versions, by the device's rules.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::bindings::twin::{DesiredUpdate, TwinError};

/// Longest text of a patch in bytes.
const PATCH_TEXT_MAX_BYTES: usize = 128 * 1024;

/// What a section may hold, in bytes as [`size_bytes`] counts.
const SECTION_SIZE_MAX_BYTES: usize = 32 * 1024;

/// How many objects, and objects and arrays, may stand in each other.
const DEPTH_MAX: usize = 10;
const NESTING_MAX: usize = 32;

/// Longest key and longest text in bytes.
const KEY_MAX_BYTES: usize = 1024;
const TEXT_MAX_BYTES: usize = 4096;

/// The integers that a twin holds.
const INTEGERS: std::ops::RangeInclusive<i64> = -4_503_599_627_370_496..=4_503_599_627_370_495;

const VERSION_KEY: &str = "$version";

/// Keys at the top that belong to the hub and are passed over.
const HUB_KEYS: [&str; 2] = [VERSION_KEY, "$metadata"];

#[derive(Debug)]
pub(super) struct Twin {
    pub(super) desired: Map<String, Value>,
    desired_version: u64,
    pub(super) reported: Map<String, Value>,
    reported_version: u64,
}

impl Twin {
    pub(super) fn new() -> Self {
        Self {
            desired: Map::new(),
            desired_version: 1,
            reported: Map::new(),
            reported_version: 1,
        }
    }

    pub(super) fn desired_text(&self) -> String {
        with_version(&self.desired, self.desired_version)
    }

    pub(super) fn reported_text(&self) -> String {
        with_version(&self.reported, self.reported_version)
    }

    pub(super) fn full(&self) -> DesiredUpdate {
        DesiredUpdate::Full(self.desired_text())
    }

    /// Merges a patch into the desired properties, and gives what the module hears.
    pub(super) fn patch_desired(&mut self, patch: &Value) -> Result<DesiredUpdate, TwinError> {
        let patch = parse_patch(&patch.to_string())?;
        let mut desired = self.desired.clone();
        merge(&mut desired, &patch);
        check_section(&desired)?;
        self.desired = desired;
        self.desired_version += 1;
        Ok(DesiredUpdate::Patch(with_version(
            &patch,
            self.desired_version,
        )))
    }

    /// Puts others in place of the desired properties, and gives what the module hears.
    pub(super) fn replace_desired(&mut self, desired: &Value) -> Result<DesiredUpdate, TwinError> {
        let desired = section(desired)?;
        self.desired = desired;
        self.desired_version += 1;
        Ok(self.full())
    }

    /// Merges a patch into the reported properties, and gives it as read.
    pub(super) fn report(&mut self, patch: &str) -> Result<Value, TwinError> {
        let patch = parse_patch(patch)?;
        let mut reported = self.reported.clone();
        merge(&mut reported, &patch);
        if reported != self.reported {
            check_section(&reported)?;
            self.reported = reported;
            // The hub of a test is never out of reach.
            self.reported_version += 1;
        }
        Ok(patch.into())
    }
}

/// A whole section as a test writes it: nulls are passed over.
pub(super) fn section(value: &Value) -> Result<Map<String, Value>, TwinError> {
    let mut section = Map::new();
    merge(&mut section, &parse_patch(&value.to_string())?);
    check_section(&section)?;
    Ok(section)
}

fn with_version(properties: &Map<String, Value>, version: u64) -> String {
    let mut section = properties.clone();
    section.insert(VERSION_KEY.to_owned(), version.into());
    Value::Object(section).to_string()
}

/// JSON merge patch (RFC 7396).
fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, change) in patch {
        match change {
            Value::Null => drop(target.remove(key)),
            Value::Object(changes) => {
                let member = target.entry(key.clone()).or_insert(Value::Null);
                if !member.is_object() {
                    *member = Map::new().into();
                }
                if let Value::Object(members) = member {
                    merge(members, changes);
                }
            }
            other => drop(target.insert(key.clone(), other.clone())),
        }
    }
}

fn parse_patch(text: &str) -> Result<Map<String, Value>, TwinError> {
    if text.len() > PATCH_TEXT_MAX_BYTES {
        return Err(TwinError::Limit(format!(
            "the patch has {} bytes, at most {PATCH_TEXT_MAX_BYTES} are allowed",
            text.len()
        )));
    }
    let Distinct(value) =
        serde_json::from_str(text).map_err(|err| match err.to_string().strip_prefix(REPEATED) {
            Some(rest) => TwinError::Limit(format!("{REPEATED}{rest}")),
            None => TwinError::InvalidJson(format!("not JSON: {err}")),
        })?;
    let Value::Object(mut patch) = value else {
        return Err(TwinError::InvalidJson("is no JSON object".to_owned()));
    };
    patch.retain(|key, _| !HUB_KEYS.contains(&key.as_str()));
    check_members(&patch, Depth::default()).map_err(TwinError::Limit)?;
    Ok(patch)
}

fn check_section(properties: &Map<String, Value>) -> Result<(), TwinError> {
    check_members(properties, Depth::default()).map_err(TwinError::Limit)?;
    let size = size_bytes(properties);
    if size > SECTION_SIZE_MAX_BYTES {
        return Err(TwinError::Limit(format!(
            "the section would hold {size} bytes, more than {SECTION_SIZE_MAX_BYTES}"
        )));
    }
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Depth {
    objects: usize,
    nesting: usize,
    in_array: bool,
}

fn check_members(members: &Map<String, Value>, depth: Depth) -> Result<(), String> {
    members.iter().try_for_each(|(key, value)| {
        let is_wrong =
            |c: char| matches!(c, '.' | '$' | '#') || c.is_control() || c.is_whitespace();
        if key.is_empty() || key.len() > KEY_MAX_BYTES {
            return Err(format!(
                "a key has 1 to {KEY_MAX_BYTES} bytes, not {}",
                key.len()
            ));
        }
        if key.contains(is_wrong) {
            return Err(format!(
                "the key `{}` contains one of `.`, `$`, `#`, space and control characters",
                key.escape_debug()
            ));
        }
        check_value(value, depth).map_err(|fault| format!("`{key}`: {fault}"))
    })
}

fn check_value(value: &Value, depth: Depth) -> Result<(), String> {
    match value {
        Value::Null if depth.in_array => Err("a null stands in an array".to_owned()),
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(number) if is_in_range(number) => Ok(()),
        Value::Number(number) => Err(format!("the integer {number} is out of range")),
        Value::String(text) if text.len() > TEXT_MAX_BYTES => Err(format!(
            "the text has {} bytes, more than {TEXT_MAX_BYTES}",
            text.len()
        )),
        Value::String(_) => Ok(()),
        Value::Array(items) => {
            let inner = deeper(depth, 0, true)?;
            items.iter().try_for_each(|item| check_value(item, inner))
        }
        Value::Object(members) => check_members(members, deeper(depth, 1, depth.in_array)?),
    }
}

fn deeper(depth: Depth, objects: usize, in_array: bool) -> Result<Depth, String> {
    let inner = Depth {
        objects: depth.objects + objects,
        nesting: depth.nesting + 1,
        in_array,
    };
    if inner.objects > DEPTH_MAX || inner.nesting > NESTING_MAX {
        return Err(format!(
            "is deeper than {DEPTH_MAX} objects, or {NESTING_MAX} levels"
        ));
    }
    Ok(inner)
}

fn is_in_range(number: &Number) -> bool {
    match number.as_i64() {
        Some(integer) => INTEGERS.contains(&integer),
        None => !number.is_u64(),
    }
}

fn size_bytes(members: &Map<String, Value>) -> usize {
    let sizes = members
        .iter()
        .map(|(key, value)| text_size_bytes(key) + value_size_bytes(value));
    sizes.sum()
}

fn value_size_bytes(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text_size_bytes(text),
        Value::Array(items) => items.iter().map(value_size_bytes).sum(),
        Value::Object(members) => size_bytes(members),
    }
}

fn text_size_bytes(text: &str) -> usize {
    let counted = text.chars().filter(|c| !c.is_control());
    counted.map(char::len_utf8).sum()
}

const REPEATED: &str = "a key occurs twice: ";

/// A JSON value that says no object's key twice, which the type of `serde_json` would hide.
struct Distinct(Value);

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DistinctVisitor).map(Self)
    }
}

struct DistinctVisitor;

impl<'de> Visitor<'de> for DistinctVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Distinct(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Distinct(value))) = members.next_entry::<String, _>()? {
            if object.insert(key.clone(), value).is_some() {
                return Err(A::Error::custom(format_args!("{REPEATED}`{key}`")));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check_report(before: Value, patch: Value, expected: Value) {
        let mut twin = Twin::new();
        twin.report(&before.to_string()).expect("valid");
        twin.report(&patch.to_string()).expect("valid");
        assert_eq!(Value::from(twin.reported), expected, "{before} and {patch}");
    }

    fn check_refused(patch: &str, expected: &str) {
        let refused = Twin::new().report(patch).expect_err(patch);
        let text = match refused {
            TwinError::InvalidJson(text) => format!("invalid: {text}"),
            TwinError::Limit(text) => format!("limit: {text}"),
            other => panic!("{other:?}"),
        };
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn patches_merge_as_the_device_merges_them() {
        check_report(json!({"a": 1}), json!({"a": null}), json!({}));
        check_report(
            json!({"a": {"b": 1}}),
            json!({"a": {"c": 2, "b": null}}),
            json!({"a": {"c": 2}}),
        );
        check_report(
            json!({"a": [1]}),
            json!({"a": {"b": {"c": null}}}),
            json!({"a": {"b": {}}}),
        );
        check_report(
            json!({}),
            json!({"$version": 9, "a": [1, 2]}),
            json!({"a": [1, 2]}),
        );
    }

    #[test]
    fn what_the_device_refuses_is_refused() {
        check_refused("{", "invalid: not JSON");
        check_refused("[1]", "invalid: is no JSON object");
        check_refused(r#"{"a":{"b":1,"b":2}}"#, "limit: a key occurs twice: `b`");
        check_refused(r#"{"a":{"b c":1}}"#, "limit: `a`: the key `b c`");
        check_refused(r#"{"":1}"#, "limit: a key has 1 to");
        check_refused(r#"{"a":[null]}"#, "limit: `a`: a null");
        check_refused(r#"{"a":4503599627370496}"#, "out of range");
        check_refused(r#"{"a":18446744073709551615}"#, "out of range");
        check_refused(&json!({"a": "x".repeat(4097)}).to_string(), "4097 bytes");
        let deep = (0..11).fold(json!(1), |inner, _| json!({"a": inner}));
        check_refused(&json!({"a": deep}).to_string(), "deeper");
        let deep = (0..33).fold(json!(1), |inner, _| json!([inner]));
        check_refused(&json!({"a": deep}).to_string(), "deeper");
        let large: Map<String, Value> = (0..9)
            .map(|n| (n.to_string(), "x".repeat(4_000).into()))
            .collect();
        check_refused(&Value::from(large).to_string(), "36009 bytes");
    }

    #[test]
    fn a_refused_patch_changes_nothing() {
        let mut twin = Twin::new();
        let before = twin.reported_text();
        twin.report(r#"{"a":1,"b.c":2}"#).expect_err("a dot");
        assert_eq!(twin.reported_text(), before);
    }
}
