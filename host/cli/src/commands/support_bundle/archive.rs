//! The archive of a support bundle: a zip in memory or in a file, bounded, whose names are safe to unpack.

use std::io::{Seek, Write};

use serde_json::Value;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::redact::Redactor;

/// The most bytes of all files together, before they are compressed.
const SIZE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A bundle in the making. All that goes in passes through the redactor.
pub(super) struct Archive<W: Write + Seek> {
    zip: ZipWriter<W>,
    redactor: Redactor,
    left_bytes: u64,
    /// Names of files that were cut off or left out, for want of room.
    cut: Vec<String>,
}

impl<W: Write + Seek> Archive<W> {
    pub(super) fn new(place: W, redactor: Redactor) -> Self {
        Self {
            zip: ZipWriter::new(place),
            redactor,
            left_bytes: SIZE_MAX_BYTES,
            cut: Vec::new(),
        }
    }

    /// Adds a file of JSON.
    pub(super) fn json(&mut self, name: &str, mut value: Value) -> anyhow::Result<()> {
        self.redactor.value(&mut value);
        self.begin(name)?;
        self.line(name, &serde_json::to_string_pretty(&value)?)?;
        Ok(())
    }

    /// Adds a file of text.
    pub(super) fn text(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        self.begin(name)?;
        for line in text.lines() {
            if !self.line(name, line)? {
                break;
            }
        }
        Ok(())
    }

    /// Begins a file whose lines follow.
    pub(super) fn begin(&mut self, name: &str) -> anyhow::Result<()> {
        // Without times and with the same rights for all: nothing of this machine that was not asked for.
        let options = SimpleFileOptions::default().unix_permissions(0o600);
        self.zip.start_file(name, options)?;
        Ok(())
    }

    /// Adds a line to the file that was begun last; `false` if there is no more room.
    pub(super) fn line(&mut self, name: &str, line: &str) -> anyhow::Result<bool> {
        let line = self.redactor.text(line) + "\n";
        let Some(left) = self.left_bytes.checked_sub(line.len() as u64) else {
            self.cut.push(name.to_owned());
            return Ok(false);
        };
        self.left_bytes = left;
        self.zip.write_all(line.as_bytes())?;
        Ok(true)
    }

    /// Names of files that are not whole.
    pub(super) fn cut(&self) -> &[String] {
        &self.cut
    }

    /// Where the whole archive is now.
    pub(super) fn finish(self) -> anyhow::Result<W> {
        Ok(self.zip.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use serde_json::json;

    use super::super::redact::Environment;
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_and_told_and_the_archive_is_sound() {
        let mut archive =
            Archive::new(Cursor::new(Vec::new()), Redactor::new(Environment::Blanked));
        archive
            .json("a.json", json!({ "password": "hunter22", "x": 1 }))
            .unwrap();
        archive.begin("b.ndjson").unwrap();
        let line = "x".repeat(1 << 20);
        let written = (0..100)
            .take_while(|_| archive.line("b.ndjson", &line).unwrap())
            .count();
        assert_eq!(written, 63);
        archive.text("c.txt", "hunter22 is short enough").unwrap();
        assert_eq!(archive.cut(), ["b.ndjson"]);
        let bytes = archive.finish().unwrap();
        assert!(bytes.get_ref().len() < 1 << 20);
        let mut zip = zip::ZipArchive::new(bytes).unwrap();
        let mut text = String::new();
        zip.by_name("c.txt")
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "[blanked] is short enough\n");
        assert_eq!(
            zip.by_name("b.ndjson").unwrap().size(),
            63 * ((1 << 20) + 1)
        );
    }
}
