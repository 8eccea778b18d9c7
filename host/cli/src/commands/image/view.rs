//! Images as they are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasm_edge_model::time::Timestamp;

use crate::output::table::{Align, Table};
use crate::output::text::Text;
use crate::output::{Output, OutputError, human};

/// Digits of a digest that tell images apart for people, as other tools show them.
const DIGITS_SHOWN: usize = 12;

/// The column that values of fields begin in.
const VALUE_COLUMN: usize = 13;

/// An image of the store, as it is answered; what a process of another version leaves out reads as empty or zero.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Image {
    /// The digest of its manifest.
    pub(super) digest: String,
    /// The digest of its component.
    pub(super) component_digest: String,
    /// The references that lead to it.
    pub(super) names: Vec<String>,
    /// What it takes.
    pub(super) size_bytes: u64,
    /// When it was used last.
    pub(super) last_used_time: Option<Timestamp>,
    /// Who holds it.
    pub(super) held_by: Vec<String>,
    /// Whether all of it is there; not said by a process of an older version.
    pub(super) whole: Option<bool>,
}

/// Images that went.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Removed {
    /// Those of which nothing is left.
    pub(super) removed: Vec<Image>,
    /// What was freed on disk.
    pub(super) freed_bytes: u64,
}

impl Image {
    /// A name of it; its digest where it has none.
    pub(super) fn name(&self) -> &str {
        self.names.first().unwrap_or(&self.digest)
    }

    /// What it takes, and whether a part of that is missing.
    pub(super) fn size(&self) -> String {
        let size = human::size(self.size_bytes);
        match self.whole {
            Some(false) => format!("{size} (not whole)"),
            _ => size,
        }
    }
}

/// The first digits of a digest.
pub(super) fn short(digest: &str) -> String {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    digits.chars().take(DIGITS_SHOWN).collect()
}

/// Images in a table, one name a row.
pub(super) fn table(images: &[Image], now: jiff::Timestamp) -> Table {
    let mut table = Table::new(&[
        ("IMAGE", Align::Left),
        ("DIGEST", Align::Left),
        ("SIZE", Align::Right),
        ("USED", Align::Left),
        ("HELD BY", Align::Left),
    ]);
    for image in images {
        let unnamed = [String::new()];
        let names = match image.names.as_slice() {
            [] => unnamed.as_slice(),
            names => names,
        };
        for name in names {
            let used = image.last_used_time;
            let used = used.map(|time| human::relative(time.as_jiff(), now));
            table.row([
                name.clone(),
                short(&image.digest),
                image.size(),
                used.unwrap_or_default(),
                image.held_by.join(", "),
            ]);
        }
    }
    table
}

/// Prints a field of an image.
pub(super) fn field(output: &Output, name: &str, value: &str) -> Result<(), OutputError> {
    let text = Text::new().plain("  ").plain(name).pad_to(VALUE_COLUMN);
    output.line(&text.plain(value))
}

/// Prints what an image says of itself.
pub(super) fn annotations(
    output: &Output,
    annotations: &BTreeMap<String, String>,
) -> Result<(), OutputError> {
    for (index, (name, value)) in annotations.iter().enumerate() {
        let title = if index == 0 { "annotations" } else { "" };
        field(output, title, &format!("{name}: {value}"))?;
    }
    Ok(())
}

/// Prints what went.
pub(super) fn print_removed(removed: &Removed, output: &Output) -> Result<(), OutputError> {
    if output.is_json() {
        return output.json(removed);
    }
    for image in &removed.removed {
        let text = format!("removed {} ({})", image.name(), short(&image.digest));
        output.line(&Text::new().plain(&text))?;
    }
    let count = human::count(removed.removed.len(), "image");
    let text = format!(
        "{count} removed, {} freed",
        human::size(removed.freed_bytes)
    );
    output.line(&Text::new().plain(&text))
}
