//! What came within the present window, and its form on disk.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use wasm_edge_sdk::serde_json;

/// The version of the form on disk.
const FORMAT: u32 = 1;

/// The file in the module's folder, and the one that becomes it when it is whole.
const FILE: &str = "window.json";
const NEW_FILE: &str = "window.new";

/// The numbers of one window.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub(crate) struct Window {
    /// Counts the windows, from 0.
    pub(crate) number: u64,
    /// When it began, in milliseconds since 1970; a window outlives a restart.
    pub(crate) began_unix_ms: u64,
    /// By the field's path.
    pub(crate) fields: BTreeMap<String, Figures>,
}

/// What is known of one field's values.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Figures {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

/// What is sent of one field.
#[derive(Serialize)]
pub(crate) struct Average {
    count: u64,
    average: f64,
    min: f64,
    max: f64,
}

#[derive(Deserialize, Serialize)]
struct Stored {
    format: u32,
    window: Window,
}

impl Window {
    pub(crate) fn add(&mut self, field: &str, value: f64) {
        match self.fields.get_mut(field) {
            Some(figures) => figures.add(value),
            None => {
                let first = Figures {
                    count: 1,
                    sum: value,
                    min: value,
                    max: value,
                };
                self.fields.insert(field.to_owned(), first);
            }
        }
    }

    pub(crate) fn averages(&self) -> BTreeMap<&str, Average> {
        let averages = self.fields.iter();
        averages
            .map(|(field, figures)| (field.as_str(), figures.average()))
            .collect()
    }

    /// The window that follows.
    pub(crate) fn next(&self, began_unix_ms: u64) -> Self {
        Self {
            number: self.number + 1,
            began_unix_ms,
            fields: BTreeMap::new(),
        }
    }

    /// Reads what was stored; `None` where nothing was.
    pub(crate) fn load(folder: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read(folder.join(FILE)) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let stored: Stored = serde_json::from_slice(&text)?;
        match stored.format {
            FORMAT => Ok(Some(stored.window)),
            other => Err(io::Error::other(format!("format {other} is not known"))),
        }
    }

    /// Stores it so that after a crash either this or the one before is there, and whole.
    pub(crate) fn store(&self, folder: &Path) -> io::Result<()> {
        let stored = Stored {
            format: FORMAT,
            window: self.clone(),
        };
        fs::write(folder.join(NEW_FILE), serde_json::to_vec(&stored)?)?;
        fs::rename(folder.join(NEW_FILE), folder.join(FILE))
    }
}

impl Figures {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn average(&self) -> Average {
        let average = self.sum / self.count as f64;
        Average {
            count: self.count,
            average: (average * 1000.0).round() / 1000.0,
            min: self.min,
            max: self.max,
        }
    }
}
