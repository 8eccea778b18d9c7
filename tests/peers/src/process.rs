//! What the kernel says of a process: bytes that went to the disk, and memory.

use std::fs;

use anyhow::Context;

/// A process, by its folder in `/proc`.
pub(crate) struct Process(String);

impl Process {
    /// This one.
    pub(crate) fn own() -> Self {
        Self("self".to_owned())
    }

    /// The one with this id.
    pub(crate) fn with_id(id: u32) -> Self {
        Self(id.to_string())
    }

    /// Bytes that it caused to be written to storage, in whole pages.
    pub(crate) fn written_bytes(&self) -> anyhow::Result<u64> {
        self.number("io", "write_bytes:")
    }

    /// Its resident memory now, in kibibytes.
    pub(crate) fn resident_kib(&self) -> anyhow::Result<u64> {
        self.number("status", "VmRSS:")
    }

    /// The most that its resident memory has been, in kibibytes.
    pub(crate) fn peak_resident_kib(&self) -> anyhow::Result<u64> {
        self.number("status", "VmHWM:")
    }

    fn number(&self, file: &str, name: &str) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/{file}", self.0);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
        let number = text.lines().find_map(|line| {
            line.strip_prefix(name)?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        });
        number.with_context(|| format!("no `{name}` in `{path}`"))
    }
}
