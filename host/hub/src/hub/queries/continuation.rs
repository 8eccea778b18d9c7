//! Continuation tokens: where the next page of a query begins.
//!
//! Owns their form. A token is checked, and good for the query that it was
//! given for alone; it carries no right, so that one who makes up a token for
//! a query of his own sees nothing that the query would not show him anyway.
//! The hub keeps nothing: a token is good as long as the collection is there,
//! also after a restart.
//!
//! A token is `1.` and base64 (URL alphabet, no padding) of 16 bytes of
//! HMAC-SHA256 over the rest, keyed by the query's text, and the rest: JSON.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::QueryFailure;
use crate::query::aggregate::GroupOrder;
use crate::store::DocumentKey;

/// Longest token that is looked at: the longest that is made is far below.
const TOKEN_MAX_BYTES: usize = 4096;

const PREFIX: &str = "1.";
const TAG_BYTES: usize = 16;

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Continuation {
    pub(super) position: Position,
    /// How many items the pages before had, for `TOP`.
    pub(super) taken: u64,
}

/// What comes before the page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Position {
    /// Nothing.
    #[default]
    Start,
    /// This document.
    Document(DocumentKey),
    /// This group.
    Group(GroupOrder),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<GroupOrder>,
    taken: u64,
}

impl Continuation {
    /// The token for the query `text`.
    pub(super) fn seal(&self, text: &str) -> String {
        let stored = Stored {
            document: match &self.position {
                Position::Document(key) => Some(key.as_str().to_owned()),
                _ => None,
            },
            group: match &self.position {
                Position::Group(order) => Some(order.clone()),
                _ => None,
            },
            taken: self.taken,
        };
        let payload = serde_json::to_vec(&stored).unwrap_or_default();
        let tag = hmac::sign(&key(text), &payload);
        let bytes = [&tag.as_ref()[..TAG_BYTES], &payload].concat();
        format!("{PREFIX}{}", BASE64.encode(bytes))
    }

    /// Reads a token of the query `text`.
    pub(super) fn open(token: &str, text: &str) -> Result<Self, QueryFailure> {
        Self::read(token, text).ok_or(QueryFailure::Continuation)
    }

    fn read(token: &str, text: &str) -> Option<Self> {
        if token.len() > TOKEN_MAX_BYTES {
            return None;
        }
        let bytes = BASE64.decode(token.strip_prefix(PREFIX)?).ok()?;
        let (tag, payload) = bytes.split_at_checked(TAG_BYTES)?;
        if hmac::sign(&key(text), payload).as_ref()[..TAG_BYTES] != *tag {
            return None;
        }
        let stored: Stored = serde_json::from_slice(payload).ok()?;
        let position = match (stored.document, stored.group) {
            (Some(text), None) => Position::Document(DocumentKey::from_stored(text.as_bytes())?),
            (None, Some(order)) => Position::Group(order),
            _ => return None,
        };
        Some(Self {
            position,
            taken: stored.taken,
        })
    }
}

fn key(text: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use wasm_edge_model::identity::{DeviceId, TwinOwner};

    use super::*;

    fn at(device: &str) -> Continuation {
        let owner = TwinOwner::Device(DeviceId::new(device).unwrap());
        Continuation {
            position: Position::Document(DocumentKey::of(&owner)),
            taken: 7,
        }
    }

    #[test]
    fn a_token_comes_back_for_its_query_alone() {
        let token = at("d").seal("SELECT * FROM devices");
        let opened = Continuation::open(&token, "SELECT * FROM devices").unwrap();
        assert_eq!(opened, at("d"));
        assert!(Continuation::open(&token, "SELECT * FROM devices ").is_err());
    }

    #[test]
    fn a_token_that_was_changed_anywhere_is_refused() {
        let token = at("d").seal("q");
        for index in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let opened = Continuation::open(&changed, "q");
            assert!(opened.is_err() || changed == token, "{index}");
        }
        for text in [
            "",
            "1.",
            "2.AAAA",
            "1.AAAA",
            &"1.A".repeat(10_000),
            &token[1..],
        ] {
            assert!(Continuation::open(text, "q").is_err(), "{text:.20}");
        }
    }

    #[test]
    fn the_longest_token_is_read() {
        let longest = "x".repeat(128);
        let token = at(&longest).seal("q");
        assert!(token.len() < TOKEN_MAX_BYTES / 4, "{}", token.len());
        assert_eq!(Continuation::open(&token, "q").unwrap(), at(&longest));
    }
}
