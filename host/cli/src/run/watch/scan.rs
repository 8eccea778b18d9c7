//! What files hold, as a value that differs when their content does, and only then.

use std::fs;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use wasm_edge_images::digest::Digest;

/// Largest file that is read, in bytes: that of a component. Of larger ones the length counts.
const FILE_MAX_BYTES: u64 = 64 << 20;

/// Most files of a crate that are looked at; crates of modules have some dozens.
const FILES_MAX: usize = 10_000;

/// Folders of a crate that no component is built from, or that cargo writes.
const LEFT_OUT: [&str; 4] = ["target", "tests", "benches", "examples"];

/// Files beside the folders that a component is built from.
const OF_CRATE: [&str; 2] = ["Cargo.toml", "build.rs"];

/// The content of many files at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::run) struct Fingerprint(Vec<u8>);

/// The digest of a file's content; `None` if it is not there, no file, or too large for an image. Blocks.
pub(super) fn file(path: &Path) -> Option<Digest> {
    // Looked at before it is opened: opening a named pipe waits for somebody to write.
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > FILE_MAX_BYTES {
        return None;
    }
    Some(Digest::of(&fs::read(path).ok()?))
}

/// The sources of the crate in a folder. Blocks.
pub(in crate::run) fn sources(folder: &Path) -> Fingerprint {
    let mut files: Vec<PathBuf> = OF_CRATE.iter().map(|name| folder.join(name)).collect();
    for part in folders(folder) {
        collect(&part, &mut files);
    }
    files.sort();
    let mut all = Context::new(&SHA256);
    for path in files {
        let content = match file(&path) {
            Some(digest) => digest.to_string(),
            None => fs::metadata(&path).map_or_else(|_| "absent".into(), |it| it.len().to_string()),
        };
        let name = path.strip_prefix(folder).unwrap_or(&path);
        let line = format!("{}\0{content}\n", name.display());
        all.update(line.as_bytes());
    }
    Fingerprint(all.finish().as_ref().to_vec())
}

/// The folders that a crate's sources lie in, each with all that is below.
pub(super) fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_source = |name: &str| !name.starts_with('.') && !LEFT_OUT.contains(&name);
    entries
        .filter(|entry| is_source(&entry.file_name().to_string_lossy()))
        // Of the entry itself: links lead elsewhere, or in a circle.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        if files.len() >= FILES_MAX {
            return;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&entry.path(), files),
            Ok(_) if !entry.file_name().to_string_lossy().starts_with('.') => {
                files.push(entry.path());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_differ_by_what_a_component_is_built_from() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let write = |path: &str, text: &str| {
            let path = here.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("Cargo.toml", "[package]");
        write("src/lib.rs", "//!");
        let first = sources(here);
        let check =
            |differs: bool, what: &str| assert_eq!(sources(here) != first, differs, "{what}");
        write("src/lib.rs", "//!");
        check(false, "the same text anew");
        write("README.md", "# Hello");
        write("target/debug/x.d", "x");
        write("tests/a.rs", "fn a() {}");
        write(".git/HEAD", "x");
        write("src/.lib.rs.swp", "x");
        check(false, "what is not built from");
        write("src/lib.rs", "// !");
        check(true, "another text");
        write("src/lib.rs", "//!");
        check(false, "the first text again");
        write("wit/deps/a.wit", "package a:b;");
        check(true, "a file in another folder");
        fs::remove_dir_all(here.join("wit")).unwrap();
        fs::rename(here.join("src/lib.rs"), here.join("src/main.rs")).unwrap();
        check(true, "another name");
    }

    #[test]
    fn a_crate_is_the_same_by_whatever_path_it_is_reached() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        fs::write(folder.path().join("src/lib.rs"), "//!").unwrap();
        assert_eq!(
            sources(folder.path()),
            sources(&folder.path().join("src/.."))
        );
    }

    #[test]
    fn a_file_is_known_by_its_content_and_its_absence_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        assert_eq!(file(&path), None);
        fs::write(&path, "a").unwrap();
        assert_eq!(file(&path), Some(Digest::of(b"a")));
        assert_eq!(file(folder.path()), None);
    }
}
