//! What a support bundle says of the machine, the process and the data folder: names, sizes and numbers, no content.

use std::fs;
use std::io::{Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};

use super::archive::Archive;

/// Files of the machine, and what they are called in the bundle.
const MACHINE: [(&str, &str); 6] = [
    ("/proc/meminfo", "meminfo"),
    ("/proc/loadavg", "loadavg"),
    ("/proc/uptime", "uptime"),
    ("/proc/version", "version"),
    ("/proc/cpuinfo", "cpuinfo"),
    ("/etc/os-release", "os-release"),
];

/// Files about the device's process.
const PROCESS: [&str; 3] = ["status", "limits", "smaps_rollup"];

/// The most bytes that are taken of one of them.
const FILE_MAX_BYTES: usize = 256 * 1024;

/// The most files of the data folder that are listed.
const ENTRIES_MAX: usize = 5000;

/// How deep the data folder is listed.
const DEPTH_MAX: usize = 8;

/// Adds what the machine says of itself.
pub(super) fn add_machine(archive: &mut Archive<impl Write + Seek>) -> anyhow::Result<()> {
    for (path, name) in MACHINE {
        add_file(archive, Path::new(path), &format!("system/{name}"))?;
    }
    Ok(())
}

/// Adds what the machine says of a process of the same user.
pub(super) fn add_process(
    archive: &mut Archive<impl Write + Seek>,
    pid: u64,
) -> anyhow::Result<()> {
    for name in PROCESS {
        let path = format!("/proc/{pid}/{name}");
        add_file(archive, Path::new(&path), &format!("process/{name}"))?;
    }
    Ok(())
}

/// The files of a data folder with their sizes and rights. What is in the modules' own folders is summed up.
pub(super) fn data_folder(path: &Path) -> Value {
    let mut entries = Vec::new();
    list(path, path, 0, &mut entries);
    let is_cut = entries.len() >= ENTRIES_MAX;
    json!({ "path": path.display().to_string(), "entries": entries, "cut": is_cut })
}

fn add_file(
    archive: &mut Archive<impl Write + Seek>,
    path: &Path,
    name: &str,
) -> anyhow::Result<()> {
    let Ok(mut text) = fs::read(path) else {
        return Ok(());
    };
    text.truncate(FILE_MAX_BYTES);
    archive.text(name, &String::from_utf8_lossy(&text))
}

fn list(root: &Path, folder: &Path, depth: usize, entries: &mut Vec<Value>) {
    let mut found: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    found.sort_by_key(fs::DirEntry::file_name);
    for entry in found {
        if entries.len() >= ENTRIES_MAX {
            return;
        }
        let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else {
            continue;
        };
        let shown = path.strip_prefix(root).unwrap_or(&path);
        let is_module_data = shown.starts_with("devices") && entry.file_name() == "data";
        entries.push(json!({
            "path": shown.display().to_string(),
            "sizeBytes": metadata.len(),
            "mode": format!("{:04o}", metadata.mode() & 0o7777),
            "folder": metadata.is_dir(),
        }));
        if metadata.is_dir() && !is_module_data && depth < DEPTH_MAX {
            list(root, &path, depth + 1, entries);
        }
    }
}
