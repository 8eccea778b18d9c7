//! Reading TOML with places: what is there, and what is not.
//!
//! Every function answers `None` after it noted a fault, so that the reader goes on to find the next.

mod faults;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use wasm_edge_model::manifest::Fault;

use self::faults::{SHOWN_MAX_CHARACTERS, shown};
use super::CONFIG_SIZE_MAX_BYTES;
use super::source::{ConfigFaults, Sources};

/// The path of a fault that belongs to no key.
const WHOLE: &str = "configuration";

/// Longest text of a value: a path of Linux, and more than any other.
const TEXT_MAX_BYTES: usize = 4096;

/// The most entries of a list.
const LIST_MAX: usize = 256;

/// A file's TOML.
pub(super) type Document<'a> = Spanned<DeTable<'a>>;

/// Where something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In a file of this number, at this byte.
    File(usize, usize),
    /// In a variable of this number.
    Variable(usize),
}

/// A table, and the path of its keys.
pub(super) struct Table<'a> {
    path: String,
    place: Place,
    entries: BTreeMap<&'a str, Entry<'a>>,
}

#[derive(Clone)]
struct Entry<'a> {
    key: Place,
    value: Place,
    content: Content<'a>,
}

#[derive(Clone)]
enum Content<'a> {
    Toml(&'a DeValue<'a>),
    /// What sources of a section say together.
    Section(BTreeMap<&'a str, Entry<'a>>),
    Variable(&'a str),
}

/// The value of a key.
pub(super) struct Value<'a> {
    path: String,
    entry: &'a Entry<'a>,
}

/// Collects faults while a configuration is read.
pub(super) struct Reader<'s> {
    sources: &'s Sources,
    faults: Vec<(Place, Fault)>,
}

/// Reads each file as TOML.
pub(super) fn documents(sources: &Sources) -> Result<Vec<Document<'_>>, ConfigFaults> {
    let mut reader = Reader::new(sources);
    let mut documents = Vec::with_capacity(sources.files.len());
    for (number, file) in sources.files.iter().enumerate() {
        let length = file.text.len();
        if length > CONFIG_SIZE_MAX_BYTES {
            let problem = format!("the text has {length} bytes");
            let expected = format!("at most {CONFIG_SIZE_MAX_BYTES} bytes");
            reader.fault(WHOLE, Place::File(number, 0), problem, expected);
            continue;
        }
        let (document, errors) = DeTable::parse_recoverable(&file.text);
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            let problem = format!("the text is not TOML: {}", error.message());
            reader.fault(WHOLE, Place::File(number, offset), problem, "TOML 1.0");
        }
        documents.push(document);
    }
    reader.finish(documents)
}

impl<'a> Table<'a> {
    /// All documents as one. Of a section that several have, each key is the last one's.
    pub(super) fn of(
        documents: &'a [Document<'a>],
        sources: &'a Sources,
        known: &[&str],
        reader: &mut Reader<'_>,
    ) -> Self {
        let mut entries: BTreeMap<&str, Entry<'_>> = BTreeMap::new();
        for (number, document) in documents.iter().enumerate() {
            for (key, value) in document.get_ref() {
                let name: &str = key.get_ref();
                let entry = Entry::of(number, key.span().start, value);
                let earlier = entries.get(name).filter(|_| known.contains(&name));
                if let Some(Content::Section(earlier)) = earlier.map(|entry| &entry.content)
                    && let Content::Section(later) = &entry.content
                {
                    let mut merged = earlier.clone();
                    merged.extend(later.clone());
                    let content = Content::Section(merged);
                    entries.insert(name, Entry { content, ..entry });
                    continue;
                }
                // A value of a wrong kind must not vanish behind a later one.
                if let Some(earlier) = earlier {
                    reader.wrong_content(name, earlier, "a table");
                }
                entries.insert(name, entry);
            }
        }
        for (number, variable) in sources.variables().iter().enumerate() {
            let place = Place::Variable(number);
            let section = entries.entry(variable.section).or_insert_with(|| Entry {
                key: place,
                value: place,
                content: Content::Section(BTreeMap::new()),
            });
            let content = Content::Variable(&variable.value);
            let entry = Entry {
                key: place,
                value: place,
                content,
            };
            if let Content::Section(keys) = &mut section.content {
                keys.insert(&variable.key, entry);
            }
        }
        Self {
            path: String::new(),
            place: Place::File(0, 0),
            entries,
        }
    }

    /// Where a value stands, by the names of the tables and its own.
    pub(super) fn place(&self, path: &[&str]) -> Option<Place> {
        let mut entries = &self.entries;
        let (last, sections) = path.split_last()?;
        for section in sections {
            match &entries.get(section)?.content {
                Content::Section(inner) => entries = inner,
                _ => return None,
            }
        }
        entries.get(last).map(|entry| entry.value)
    }

    /// The path of its own key.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Where the table itself stands.
    pub(super) fn own_place(&self) -> Place {
        self.place
    }

    /// Whether it has this key, be its value right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }
}

impl<'a> Entry<'a> {
    fn of(file: usize, key_offset: usize, value: &'a Spanned<DeValue<'a>>) -> Self {
        let content = match value.get_ref() {
            DeValue::Table(table) => Content::Section(Self::all(file, table)),
            plain => Content::Toml(plain),
        };
        Self {
            key: Place::File(file, key_offset),
            value: Place::File(file, value.span().start),
            content,
        }
    }

    fn all(file: usize, table: &'a DeTable<'a>) -> BTreeMap<&'a str, Self> {
        let entries = table.iter().map(|(key, value)| {
            let name: &str = key.get_ref();
            (name, Self::plain(file, key.span().start, value))
        });
        entries.collect()
    }

    fn plain(file: usize, key_offset: usize, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self {
            key: Place::File(file, key_offset),
            value: Place::File(file, value.span().start),
            content: Content::Toml(value.get_ref()),
        }
    }
}

impl Value<'_> {
    /// The path of the key.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Where the key stands.
    pub(super) fn place(&self) -> Place {
        self.entry.key
    }
}

impl<'s> Reader<'s> {
    pub(super) fn new(sources: &'s Sources) -> Self {
        Self {
            sources,
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
        for (name, entry) in &table.entries {
            let path = match table.path.as_str() {
                "" => (*name).to_owned(),
                parent => format!("{parent}.{name}"),
            };
            match known.contains(name) {
                true => read(self, name, &Value { path, entry }),
                false => {
                    let expected = one_of(known.iter().copied());
                    self.fault(&path, entry.key, "the key is not known", expected);
                }
            }
        }
    }

    /// Reads each entry of a table whose keys are names of its owner's.
    pub(super) fn each(
        &mut self,
        table: &Table<'_>,
        mut read: impl FnMut(&mut Self, &str, &Value<'_>),
    ) {
        for (name, entry) in &table.entries {
            let path = format!("{}.\"{}\"", table.path, name.escape_debug());
            read(self, name, &Value { path, entry });
        }
    }

    pub(super) fn table<'a>(&mut self, value: &Value<'a>) -> Option<Table<'a>> {
        let table = |entries| Table {
            path: value.path.clone(),
            place: value.entry.key,
            entries,
        };
        match (&value.entry.content, value.entry.key) {
            (Content::Section(entries), _) => Some(table(entries.clone())),
            (Content::Toml(DeValue::Table(inner)), Place::File(file, _)) => {
                Some(table(Entry::all(file, inner)))
            }
            _ => {
                self.wrong_kind(value, "a table");
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, value: &Value<'_>, words: &[(&str, T)]) -> Option<T> {
        let expected = one_of(words.iter().map(|(word, _)| *word));
        self.parsed(value, &expected, |text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value)
        })
    }

    /// A text that `parse` makes something of. What stands there is shown when it does not.
    pub(super) fn parsed<T>(
        &mut self,
        value: &Value<'_>,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.raw_text(value, expected)?;
        let parsed = parse(text);
        if parsed.is_none() {
            let problem = format!("`{}` stands here", shown(text));
            self.fault(&value.path, value.entry.value, problem, expected);
        }
        parsed
    }

    /// A text that holds a secret: `parse` says what is wrong with it, without repeating it.
    pub(super) fn secret<T, E: std::fmt::Display>(
        &mut self,
        value: &Value<'_>,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.raw_text(value, expected)?;
        self.made(value, expected, parse(text))
    }

    /// What was made of a value, or what is wrong with it.
    pub(super) fn made<T, E: std::fmt::Display>(
        &mut self,
        value: &Value<'_>,
        expected: &str,
        made: Result<T, E>,
    ) -> Option<T> {
        made.inspect_err(|err| {
            self.fault(&value.path, value.entry.value, err.to_string(), expected);
        })
        .ok()
    }

    /// The path of a file; one that is relative begins at the folder of the configuration that names it.
    pub(super) fn path(&mut self, value: &Value<'_>) -> Option<PathBuf> {
        let expected = "the path of a file";
        let named = self.parsed(value, expected, |text| {
            let is_path = !text.is_empty() && !text.contains('\0');
            is_path.then(|| PathBuf::from(text))
        })?;
        Some(match value.entry.value {
            Place::File(file, _) => self.sources.folder(file).join(named),
            Place::Variable(_) => named,
        })
    }

    /// A list of texts, each of which `parse` makes something of; of a variable, they stand between commas. `expected` is
    /// what the list is to be, and each entry that is wrong is told with its place.
    pub(super) fn list<T>(
        &mut self,
        value: &Value<'_>,
        expected: &str,
        mut parse: impl FnMut(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let texts = self.texts(value, expected)?;
        if texts.len() > LIST_MAX {
            let problem = format!("there are {} entries, more than {LIST_MAX}", texts.len());
            self.fault(&value.path, value.entry.value, problem, expected);
            return None;
        }
        let mut all = Vec::with_capacity(texts.len());
        let mut is_whole = true;
        for (number, (place, text)) in texts.into_iter().enumerate() {
            if let Some(parsed) = parse(text) {
                all.push(parsed);
                continue;
            }
            is_whole = false;
            let path = format!("{}[{number}]", value.path);
            let problem = format!("`{}` stands here", shown(text));
            self.fault(&path, place, problem, expected);
        }
        is_whole.then_some(all)
    }

    /// The texts of a list, each with its place.
    fn texts<'v>(&mut self, value: &Value<'v>, expected: &str) -> Option<Vec<(Place, &'v str)>> {
        let place = value.entry.value;
        match (&value.entry.content, place) {
            (Content::Variable(text), _) => {
                let texts = text.split(',').map(str::trim);
                let texts = texts.filter(|text| !text.is_empty());
                Some(texts.map(|text| (place, text)).collect())
            }
            (Content::Toml(DeValue::Array(entries)), Place::File(file, _)) => {
                let texts = entries.iter().map(|entry| match entry.get_ref() {
                    DeValue::String(text) => {
                        Some((Place::File(file, entry.span().start), text.as_ref()))
                    }
                    _ => None,
                });
                let texts = texts.collect();
                if Option::is_none(&texts) {
                    let problem = "something else than a string is in the array";
                    self.fault(&value.path, place, problem, expected);
                }
                texts
            }
            _ => {
                self.wrong_kind(value, expected);
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, value: &Value<'_>) -> Option<bool> {
        let expected = "`true` or `false`";
        match &value.entry.content {
            Content::Toml(DeValue::Boolean(boolean)) => Some(*boolean),
            Content::Variable(_) => self.parsed(value, expected, |text| text.parse().ok()),
            _ => {
                self.wrong_kind(value, expected);
                None
            }
        }
    }

    pub(super) fn integer(&mut self, value: &Value<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let (integer, shown) = match &value.entry.content {
            Content::Toml(DeValue::Integer(number)) => {
                let integer = u64::from_str_radix(number.as_str(), number.radix());
                (integer.ok(), number.to_string())
            }
            Content::Variable(text) => (text.parse().ok(), (*text).to_owned()),
            _ => {
                self.wrong_kind(value, &expected);
                return None;
            }
        };
        let integer = integer.filter(|integer| range.contains(integer));
        if integer.is_none() {
            let shown: String = shown.chars().take(SHOWN_MAX_CHARACTERS).collect();
            let problem = format!("{shown} stands here");
            self.fault(&value.path, value.entry.value, problem, expected);
        }
        integer
    }

    /// As [`Self::seconds`], in place of what is the default; a fault leaves that.
    pub(super) fn seconds_into(
        &mut self,
        value: &Value<'_>,
        range: RangeInclusive<u64>,
        time: &mut Duration,
    ) {
        *time = self.seconds(value, range).unwrap_or(*time);
    }

    /// A time in whole seconds.
    pub(super) fn seconds(
        &mut self,
        value: &Value<'_>,
        range: RangeInclusive<u64>,
    ) -> Option<Duration> {
        self.integer(value, range).map(Duration::from_secs)
    }

    /// The value, unless there are faults.
    pub(super) fn finish<T>(self, value: T) -> Result<T, ConfigFaults> {
        match self.faults.is_empty() {
            true => Ok(value),
            false => Err(self.into_faults()),
        }
    }

    fn raw_text<'a>(&mut self, value: &Value<'a>, expected: &str) -> Option<&'a str> {
        let text: &str = match &value.entry.content {
            Content::Toml(DeValue::String(text)) => text,
            Content::Variable(text) => text,
            _ => {
                self.wrong_kind(value, expected);
                return None;
            }
        };
        if text.len() > TEXT_MAX_BYTES {
            let problem = format!("a text of {} bytes stands here", text.len());
            self.fault(&value.path, value.entry.value, problem, expected);
            return None;
        }
        Some(text)
    }
}

/// Words as they are told: `a`, `b` or `c`.
pub(super) fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
