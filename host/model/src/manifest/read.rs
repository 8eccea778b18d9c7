//! Reading JSON values with their places: what is there, and what is not.
//!
//! Every function answers `None` after it noted a fault, so that the reader
//! goes on to find the next.

use std::ops::RangeInclusive;

use super::fault::Findings;
use crate::json::{Content, JsonPath, Node, Position};

/// A value and its path.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    pub(super) node: &'a Node,
    pub(super) path: JsonPath,
}

/// The members of an object that have not been read yet.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    pub(super) path: JsonPath,
    pub(super) position: Position,
    entries: Vec<Entry<'a>>,
}

/// A member of an object.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) key_position: Position,
    pub(super) node: &'a Node,
    /// Only where it is not below that of its object: layered content.
    pub(super) own_path: Option<JsonPath>,
}

impl<'a> Place<'a> {
    pub(super) fn root(node: &'a Node) -> Self {
        Self {
            node,
            path: JsonPath::root(),
        }
    }

    pub(super) fn position(&self) -> Position {
        self.node.position
    }
}

impl<'a> Fields<'a> {
    /// An object that is not there, but may get members.
    pub(super) fn empty(path: JsonPath, position: Position) -> Self {
        Self {
            path,
            position,
            entries: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, entry: Entry<'a>) {
        self.entries.push(entry);
    }

    /// Takes the member of this key. Of a repeated key, which is a fault by
    /// itself, the last counts.
    pub(super) fn take(&mut self, key: &str) -> Option<Place<'a>> {
        self.take_where(|known| known == key)
    }

    /// As [`Fields::take`], upper and lower case alike.
    pub(super) fn take_any_case(&mut self, key: &str) -> Option<Place<'a>> {
        self.take_where(|known| known.eq_ignore_ascii_case(key))
    }

    /// All that is left, in the order of the text, with their keys.
    pub(super) fn rest(self) -> impl Iterator<Item = (Entry<'a>, Place<'a>)> {
        let Self { path, entries, .. } = self;
        entries.into_iter().map(move |entry| {
            let place = entry.place(&path);
            (entry, place)
        })
    }

    fn take_where(&mut self, is_meant: impl Fn(&str) -> bool) -> Option<Place<'a>> {
        let found = self
            .entries
            .iter()
            .rfind(|entry| is_meant(entry.key))?
            .place(&self.path);
        self.entries.retain(|entry| !is_meant(entry.key));
        Some(found)
    }
}

impl<'a> Entry<'a> {
    fn place(&self, parent: &JsonPath) -> Place<'a> {
        let path = self
            .own_path
            .clone()
            .unwrap_or_else(|| parent.key(self.key));
        Place {
            node: self.node,
            path,
        }
    }
}

impl Findings {
    /// Notes that a value is of another kind.
    pub(super) fn wrong_kind(&mut self, place: &Place<'_>, expected: &str) {
        let problem = format!("{} stands here", place.node.kind());
        self.fault(&place.path, place.position(), problem, expected);
    }

    /// Takes a member that must be there.
    pub(super) fn required<'a>(
        &mut self,
        fields: &mut Fields<'a>,
        key: &str,
        expected: &str,
    ) -> Option<Place<'a>> {
        let found = fields.take(key);
        if found.is_none() {
            self.fault(
                &fields.path.key(key),
                fields.position,
                "is missing",
                expected,
            );
        }
        found
    }

    /// Notes that the members which are left have no meaning.
    pub(super) fn without_meaning(&mut self, fields: Fields<'_>) {
        for (entry, place) in fields.rest() {
            self.warning(&place.path, entry.key_position, "has no meaning here");
        }
    }

    pub(super) fn object<'a>(&mut self, place: &Place<'a>) -> Option<Fields<'a>> {
        let Content::Object(members) = &place.node.content else {
            self.wrong_kind(place, "an object");
            return None;
        };
        let entries = members.iter().map(|member| Entry {
            key: &member.key,
            key_position: member.key_position,
            node: &member.value,
            own_path: None,
        });
        Some(Fields {
            path: place.path.clone(),
            position: place.position(),
            entries: entries.collect(),
        })
    }

    /// The elements of an array, at most `max`.
    pub(super) fn array<'a>(&mut self, place: &Place<'a>, max: usize) -> Option<Vec<Place<'a>>> {
        let Content::Array(items) = &place.node.content else {
            self.wrong_kind(place, "an array");
            return None;
        };
        if items.len() > max {
            let problem = format!("{} elements stand here", items.len());
            self.fault(
                &place.path,
                place.position(),
                problem,
                format!("at most {max}"),
            );
            return None;
        }
        let places = items.iter().enumerate();
        Some(
            places
                .map(|(index, node)| Place {
                    node,
                    path: place.path.index(index),
                })
                .collect(),
        )
    }

    pub(super) fn text<'a>(&mut self, place: &Place<'a>, expected: &str) -> Option<&'a str> {
        match &place.node.content {
            Content::String(text) => Some(text),
            _ => {
                self.wrong_kind(place, expected);
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, place: &Place<'_>) -> Option<bool> {
        match &place.node.content {
            Content::Bool(value) => Some(*value),
            _ => {
                self.wrong_kind(place, "`true` or `false`");
                None
            }
        }
    }

    pub(super) fn integer(&mut self, place: &Place<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = || format!("a whole number from {} to {}", range.start(), range.end());
        let Content::Number(number) = &place.node.content else {
            self.wrong_kind(place, &expected());
            return None;
        };
        let integer = number.as_u64().filter(|integer| range.contains(integer));
        if integer.is_none() {
            self.fault(
                &place.path,
                place.position(),
                format!("{number} stands here"),
                expected(),
            );
        }
        integer
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, place: &Place<'_>, words: &[(&str, T)]) -> Option<T> {
        let known = words.iter().map(|(word, _)| format!("`{word}`"));
        let expected = known.collect::<Vec<_>>().join(" or ");
        let text = self.text(place, &expected)?;
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let problem = format!("`{}` stands here", shown(text));
            self.fault(&place.path, place.position(), problem, expected);
        }
        found
    }
}

/// The start of a text that came from outside, fit to be shown.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .take(80)
        .collect::<String>()
        .escape_debug()
        .to_string()
}
