//! What is wrong with a configuration: noting it, and telling all of it in the order of the sources.

use toml::de::DeValue;
use wasm_edge_model::manifest::{FAULTS_MAX, Fault, Faults, without_login};

use super::super::source::{ConfigFaults, Source};
use super::{Content, Entry, Place, Reader, Value, WHOLE};

/// What is shown of a value that is wrong.
pub(super) const SHOWN_MAX_CHARACTERS: usize = 80;

impl Reader<'_> {
    /// Notes a fault of the key `path` at a place.
    pub(in crate::config) fn fault(
        &mut self,
        path: &str,
        place: Place,
        problem: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let (path, position) = match place {
            Place::File(file, offset) => {
                let text = self.sources.files.get(file).map_or("", |file| &file.text);
                (path, Some(position(text, offset)))
            }
            Place::Variable(number) => {
                let variable = self.sources.variables().get(number);
                (variable.map_or(path, |variable| &variable.name), None)
            }
        };
        let fault = Fault {
            path: path.chars().take(200).collect(),
            line: position.map(|(line, _)| line),
            column: position.map(|(_, column)| column),
            problem: problem.into(),
            expected: expected.into(),
        };
        self.faults.push((place, fault));
    }

    pub(super) fn into_faults(mut self) -> ConfigFaults {
        self.faults.sort_by_key(|(place, _)| *place);
        let omitted = self.faults.len().saturating_sub(FAULTS_MAX - 1);
        if omitted > 1 {
            self.faults.truncate(FAULTS_MAX - 1);
            let place = self.faults.last().map(|(place, _)| *place);
            let fault = Fault {
                path: WHOLE.into(),
                line: None,
                column: None,
                problem: format!("{omitted} more faults are not shown"),
                expected: "none".into(),
            };
            self.faults.extend(place.map(|place| (place, fault)));
        }
        let mut by_source: Vec<(Source, Faults)> = Vec::new();
        for (place, fault) in self.faults {
            let source = match place {
                Place::File(file, _) => Source::File(self.sources.files[file].path.clone()),
                Place::Variable(_) => Source::Environment,
            };
            match by_source.last_mut().filter(|(last, _)| *last == source) {
                Some((_, faults)) => faults.0.push(fault),
                None => by_source.push((source, Faults(vec![fault]))),
            }
        }
        ConfigFaults(by_source)
    }

    pub(super) fn wrong_kind(&mut self, value: &Value<'_>, expected: &str) {
        self.wrong_content(&value.path, value.entry, expected);
    }

    pub(super) fn wrong_content(&mut self, path: &str, entry: &Entry<'_>, expected: &str) {
        let kind = match &entry.content {
            Content::Section(_) => "a table",
            Content::Variable(_) => "a text",
            Content::Toml(value) => match value {
                DeValue::String(_) => "a string",
                DeValue::Integer(_) => "a whole number",
                DeValue::Float(_) => "a number with a fraction",
                DeValue::Boolean(_) => "a boolean",
                DeValue::Datetime(_) => "a time",
                DeValue::Array(_) => "an array",
                DeValue::Table(_) => "a table",
            },
        };
        let problem = format!("{kind} stands here");
        self.fault(path, entry.value, problem, expected);
    }
}

/// What is shown of a text that is wrong: its start, without the login that an address may have.
pub(super) fn shown(text: &str) -> String {
    let text = without_login(text);
    let cut: String = text.chars().take(SHOWN_MAX_CHARACTERS).collect();
    cut.escape_debug().to_string()
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
