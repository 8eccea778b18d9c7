//! Reading TOML with places: what is there, and what is not.
//!
//! Every function answers `None` after it noted a fault, so that the reader goes on to find the next.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use wasm_edge_model::manifest::{FAULTS_MAX, Fault, Faults};

use super::CONFIG_SIZE_MAX_BYTES;

/// The path of a fault that belongs to no key.
const WHOLE: &str = "configuration";

/// A table, and the path of its keys.
pub(super) struct Table<'a> {
    path: String,
    entries: &'a DeTable<'a>,
}

/// The value of a key.
pub(super) struct Value<'a> {
    path: String,
    value: &'a Spanned<DeValue<'a>>,
}

/// Collects faults while a configuration is read.
pub(super) struct Reader<'t> {
    text: &'t str,
    faults: Vec<Fault>,
}

/// Reads the text as TOML.
pub(super) fn document(text: &str) -> Result<Spanned<DeTable<'_>>, Faults> {
    let mut reader = Reader::new(text);
    if text.len() > CONFIG_SIZE_MAX_BYTES {
        let problem = format!("the text has {} bytes", text.len());
        let expected = format!("at most {CONFIG_SIZE_MAX_BYTES} bytes");
        reader.fault(WHOLE, 0, problem, expected);
        return Err(reader.into_faults());
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        let problem = format!("the text is not TOML: {}", error.message());
        reader.fault(WHOLE, offset, problem, "TOML 1.0");
    }
    reader.finish(document)
}

impl<'a> Table<'a> {
    /// The whole document.
    pub(super) fn of(document: &'a Spanned<DeTable<'a>>) -> Self {
        Self {
            path: String::new(),
            entries: document.get_ref(),
        }
    }
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            faults: Vec::new(),
        }
    }

    /// Reads each key that is known; any other is a fault.
    pub(super) fn keys(
        &mut self,
        table: &Table<'_>,
        known: &[&str],
        mut read: impl FnMut(&mut Self, &str, &Value<'_>),
    ) {
        for (key, value) in table.entries {
            let name: &str = key.get_ref();
            let path = match table.path.as_str() {
                "" => name.to_owned(),
                parent => format!("{parent}.{name}"),
            };
            match known.contains(&name) {
                true => read(self, name, &Value { path, value }),
                false => {
                    let expected = one_of(known.iter().copied());
                    let offset = key.span().start;
                    self.fault(&path, offset, "the key is not known", expected);
                }
            }
        }
    }

    pub(super) fn table<'a>(&mut self, value: &Value<'a>) -> Option<Table<'a>> {
        match value.value.get_ref() {
            DeValue::Table(entries) => Some(Table {
                path: value.path.clone(),
                entries,
            }),
            _ => {
                self.wrong_kind(value, "a table");
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, value: &Value<'_>, words: &[(&str, T)]) -> Option<T> {
        let expected = one_of(words.iter().map(|(word, _)| *word));
        let DeValue::String(text) = value.value.get_ref() else {
            self.wrong_kind(value, &expected);
            return None;
        };
        let found = words.iter().find(|(word, _)| *word == text.as_ref());
        if found.is_none() {
            let shown: String = text.chars().take(80).collect();
            let problem = format!("`{}` stands here", shown.escape_debug());
            self.fault(&value.path, value.value.span().start, problem, expected);
        }
        found.map(|(_, value)| *value)
    }

    pub(super) fn integer(&mut self, value: &Value<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(number) = value.value.get_ref() else {
            self.wrong_kind(value, &expected);
            return None;
        };
        let integer = u64::from_str_radix(number.as_str(), number.radix()).ok();
        let integer = integer.filter(|integer| range.contains(integer));
        if integer.is_none() {
            let shown: String = number.to_string().chars().take(80).collect();
            let problem = format!("{shown} stands here");
            self.fault(&value.path, value.value.span().start, problem, expected);
        }
        integer
    }

    /// The value, unless there are faults.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Faults> {
        match self.faults.is_empty() {
            true => Ok(value),
            false => Err(self.into_faults()),
        }
    }

    fn into_faults(mut self) -> Faults {
        self.faults.sort_by_key(|fault| (fault.line, fault.column));
        let omitted = self.faults.len().saturating_sub(FAULTS_MAX - 1);
        if omitted > 1 {
            self.faults.truncate(FAULTS_MAX - 1);
            self.faults.push(Fault {
                path: WHOLE.into(),
                line: None,
                column: None,
                problem: format!("{omitted} more faults are not shown"),
                expected: "none".into(),
            });
        }
        Faults(self.faults)
    }

    fn wrong_kind(&mut self, value: &Value<'_>, expected: &str) {
        let kind = match value.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let problem = format!("{kind} stands here");
        self.fault(&value.path, value.value.span().start, problem, expected);
    }

    fn fault(
        &mut self,
        path: &str,
        offset: usize,
        problem: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let (line, column) = position(self.text, offset);
        self.faults.push(Fault {
            path: path.chars().take(200).collect(),
            line: Some(line),
            column: Some(column),
            problem: problem.into(),
            expected: expected.into(),
        });
    }
}

/// Line and character in it of a byte, both from 1.
fn position(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    (number(line), number(column))
}

/// Words as they are told: `a`, `b` or `c`.
fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
