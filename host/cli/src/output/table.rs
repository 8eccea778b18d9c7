//! Aligned tables with a header and without lines.
//!
//! Layout is comfy-table's; cells are made harmless here, so that a cell is one line whatever it holds.

use comfy_table::{CellAlignment, presets};

use super::escape::harmless;
use super::text::{Style, Text};

/// Which side a column's text leans to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Names and texts.
    Left,
    /// Numbers and sizes.
    Right,
}

/// Rows under a header.
pub(crate) struct Table {
    inner: comfy_table::Table,
    /// The first column has the device.
    shows_device: bool,
}

impl Table {
    /// A table with these columns; headers are in capital letters by custom.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(presets::NOTHING);
        inner.set_header(columns.iter().map(|(name, _)| *name));
        for (index, (_, align)) in columns.iter().enumerate() {
            let column = inner.column_mut(index).expect("the header made the column");
            column.set_padding((0, 2));
            if *align == Align::Right {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self {
            inner,
            shows_device: false,
        }
    }

    /// A table of what devices have; with `shows_device`, a column before these says whose it is.
    pub(crate) fn of_devices(columns: &[(&str, Align)], shows_device: bool) -> Self {
        if !shows_device {
            return Self::new(columns);
        }
        let columns = [&[("DEVICE", Align::Left)], columns].concat();
        Self {
            shows_device,
            ..Self::new(&columns)
        }
    }

    /// Appends a row of a table of what devices have.
    pub(crate) fn row_of(&mut self, device: &str, cells: Vec<String>) {
        let device = self.shows_device.then(|| device.to_owned());
        self.row(device.into_iter().chain(cells));
    }

    /// Appends a row; an empty cell reads `-`, so that columns stay countable for people and for `awk`.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.inner
            .add_row(cells.into_iter().map(|cell| match cell.is_empty() {
                true => "-".to_owned(),
                false => harmless(&cell).into_owned(),
            }));
    }

    /// The table as lines, each with its line feed and without trailing spaces.
    pub(crate) fn render(&self, color: bool) -> String {
        let mut out = String::new();
        for (index, line) in self.inner.lines().enumerate() {
            let line = line.trim_end();
            match index {
                0 => out.push_str(&Text::new().styled(Style::Bold, line).render(color)),
                _ => out.push_str(line),
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_under_their_header() {
        let mut table = Table::new(&[
            ("MODULE", Align::Left),
            ("COUNT", Align::Right),
            ("IMAGE", Align::Left),
        ]);
        table.row([
            "sensor".to_owned(),
            "7".to_owned(),
            "file:a.wasm".to_owned(),
        ]);
        table.row([
            "a-longer-name".to_owned(),
            "12345678".to_owned(),
            String::new(),
        ]);
        let expected = "\
MODULE            COUNT  IMAGE
sensor                7  file:a.wasm
a-longer-name  12345678  -
";
        assert_eq!(table.render(false), expected);
        assert!(table.render(true).starts_with("\x1b[1mMODULE"));
    }

    #[test]
    fn a_cell_cannot_break_out_of_its_row() {
        let mut table = Table::new(&[("MODULE", Align::Left)]);
        table.row(["a\nb\x1b[2J".to_owned()]);
        assert_eq!(table.render(false), "MODULE\na\\nb\\u{1b}[2J\n");
    }
}
