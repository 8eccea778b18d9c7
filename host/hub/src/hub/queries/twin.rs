//! A stored twin as queries see it.
//!
//! Owns which path leads where. A condition mostly looks at tags, properties
//! and ids: these are found where they are; only for the rest the twin is
//! written out as the service API shows it, once.

use std::borrow::Cow;
use std::cell::OnceCell;

use serde_json::{Map, Value, json};
use wasm_edge_model::twin::Section;

use crate::hub::twins::service_json;
use crate::identity::ConnectionView;
use crate::query::evaluate::Document;
use crate::record::Record;

/// A stored twin as queries see it.
pub(crate) struct TwinDocument<'a> {
    record: &'a Record,
    connection: ConnectionView,
    written: OnceCell<Value>,
}

impl<'a> TwinDocument<'a> {
    pub(crate) fn new(record: &'a Record, connection: ConnectionView) -> Self {
        Self {
            record,
            connection,
            written: OnceCell::new(),
        }
    }

    fn written(&self) -> &Value {
        self.written
            .get_or_init(|| service_json(self.record, self.connection))
    }

    fn section(&self, section: &'a Section, path: &[String]) -> Option<Cow<'_, Value>> {
        match path {
            [name] if name == "$version" => Some(Cow::Owned(Value::from(section.version()))),
            path => below(section.properties(), path).map(Cow::Borrowed),
        }
    }
}

impl Document for TwinDocument<'_> {
    fn find(&self, path: &[String]) -> Option<Cow<'_, Value>> {
        let names: Vec<&str> = path.iter().take(3).map(String::as_str).collect();
        let owner = &self.record.identity.owner;
        let twin = &self.record.twin;
        match names[..] {
            ["deviceId"] => Some(Cow::Owned(json!(owner.device()))),
            ["moduleId"] => Some(Cow::Owned(json!(owner.module()?))),
            ["tags", _, ..] => below(&twin.tags, &path[1..]).map(Cow::Borrowed),
            ["properties", section, name, ..] if name != "$metadata" => match section {
                "desired" => self.section(&twin.desired, &path[2..]),
                "reported" => self.section(&twin.reported, &path[2..]),
                _ => None,
            },
            ["configurations", id, "status"] if path.len() == 3 => {
                let status = self.record.configurations.get(id)?;
                Some(Cow::Owned(json!(status)))
            }
            _ => self.written().find(path),
        }
    }
}

/// What a path leads to in an object; the path has at least one name.
fn below<'a>(members: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let first = members.get(first)?;
    rest.iter()
        .try_fold(first, |value, name| value.as_object()?.get(name))
}

#[cfg(test)]
mod tests {
    use wasm_edge_model::identity::{DeviceId, TwinOwner};

    use super::*;

    const STORED: &str = include_str!("../../record/format-2.json");

    /// Every path of the written twin is found where it is, and nothing beside it.
    #[test]
    fn each_path_finds_what_the_service_sees() {
        let owner = TwinOwner::Device(DeviceId::new("d").unwrap());
        let record = Record::decode(&owner, STORED.as_bytes()).unwrap();
        let written = service_json(&record, ConnectionView::NEVER);
        let document = TwinDocument::new(&record, ConnectionView::NEVER);
        let mut seen = 0;
        let mut open = vec![Vec::new()];
        while let Some(path) = open.pop() {
            let expected = path
                .iter()
                .try_fold(&written, |value, name: &String| value.get(name.as_str()));
            if !path.is_empty() {
                let found = document.find(&path);
                assert_eq!(found.as_deref(), expected, "{path:?}");
                let mut beside = path.clone();
                beside.push("beside".to_owned());
                assert_eq!(document.find(&beside), None, "{beside:?}");
                seen += 1;
            }
            if let Some(Value::Object(members)) = expected {
                open.extend(members.keys().map(|name| {
                    let mut path = path.clone();
                    path.push(name.clone());
                    path
                }));
            }
        }
        assert!(seen > 50, "{seen}");
    }
}
