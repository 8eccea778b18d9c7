//! What a direct method is called with, and answers: JSON text of a size and depth that every reader takes.
//!
//! Whatever comes from a guest or goes to one is checked here, also what a hub sends.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::guest::METHOD_PAYLOAD_MAX_BYTES;

/// The payload itself if it is one; an empty one stands for `null`.
///
/// # Errors
/// What is wrong with it, in words for whoever sent it.
pub fn checked_payload(payload: String) -> Result<String, String> {
    if payload.is_empty() {
        return Ok("null".to_owned());
    }
    if payload.len() > METHOD_PAYLOAD_MAX_BYTES {
        return Err(format!(
            "the payload has {} bytes, at most {METHOD_PAYLOAD_MAX_BYTES} are allowed",
            payload.len()
        ));
    }
    match serde_json::from_str::<Checked>(&payload) {
        Ok(Checked) => Ok(payload),
        Err(err) => Err(format!("the payload is not JSON: {err}")),
    }
}

/// JSON of which nothing is kept. Unlike `IgnoredAny` it is held to the depth that every reader of it has as its
/// limit (128 in `serde_json`), so that what passes here can be read at the other end.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckedVisitor)
    }
}

struct CheckedVisitor;

impl<'de> Visitor<'de> for CheckedVisitor {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Checked, A::Error> {
        while access.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Checked, A::Error> {
        while access.next_entry::<Checked, Checked>()?.is_some() {}
        Ok(Checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: &str, expected: Result<&str, &str>) {
        match (checked_payload(payload.to_owned()), expected) {
            (Ok(taken), Ok(expected)) => assert_eq!(taken, expected),
            (Err(reason), Err(expected)) => assert!(reason.contains(expected), "{reason}"),
            (found, _) => panic!("{payload:.40} gave {found:?}"),
        }
    }

    #[test]
    fn a_payload_is_json_of_a_size_and_depth_that_every_reader_takes() {
        check("", Ok("null"));
        for json in [
            "null",
            "-1.5e3",
            "[{\"a\": [true, \"\\u00e4\"]}]",
            "18446744073709551615",
        ] {
            check(json, Ok(json));
        }
        for no_json in ["{", "nul", "[1,]", "{1: 2}", "1 2", "\"\u{1}\""] {
            check(no_json, Err("not JSON"));
        }
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        check(&nested(127), Ok(&nested(127)));
        check(&nested(128), Err("recursion limit"));
        let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        check(
            &text(METHOD_PAYLOAD_MAX_BYTES),
            Ok(&text(METHOD_PAYLOAD_MAX_BYTES)),
        );
        check(
            &text(METHOD_PAYLOAD_MAX_BYTES + 1),
            Err("at most 131072 are allowed"),
        );
    }
}
