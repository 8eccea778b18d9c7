//! Layouts that change their form without a store: a folder to a tar archive and back.
//!
//! For whoever hands archives to a process that may not read the folder, or gets them from it. Nothing is verified
//! here, which is done by whoever takes the images; no name of an archive leads out of the folder.

use std::io::{self, Read, Write};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use wasm_edge_store::file;

use super::tar::{self, Archive};
use crate::digest::Digest;
use crate::oci_layout::{BLOBS, INDEX_FILE, LAYOUT_FILE};

/// Writes the folder of a layout as an archive: its two documents first, which say what the rest is.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] for a folder that is no layout, and those of reading and writing.
pub fn pack(folder: &Path, archive: &mut dyn Write) -> io::Result<()> {
    let folder = Dir::open_ambient_dir(folder, ambient_authority())?;
    for name in [LAYOUT_FILE, INDEX_FILE] {
        add(&folder, name, name, archive)?;
    }
    let blobs = folder.open_dir(BLOBS)?;
    for entry in blobs.entries()? {
        let name = entry?.file_name();
        // What is no blob is passed over, as it is by who reads the archive.
        if let Some(name) = name.to_str().filter(|name| is_blob(name)) {
            add(&blobs, name, &format!("{BLOBS}{name}"), archive)?;
        }
    }
    archive.write_all(tar::END)
}

/// Writes the files of an archive of a layout into a folder that has none of them.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for what is no archive, and those of reading and writing.
pub fn unpack(archive: impl Read, folder: &Path) -> io::Result<()> {
    let folder = Dir::open_ambient_dir(folder, ambient_authority())?;
    let blobs = file::open_folder(&file::open_folder(&folder, "blobs")?, "sha256")?;
    let mut archive = Archive::new(archive);
    while let Some(entry) = archive.next()? {
        let blob = entry.name.strip_prefix(BLOBS);
        let (place, name) = match (entry.name.as_str(), blob) {
            _ if !entry.is_file => continue,
            (name @ (LAYOUT_FILE | INDEX_FILE), _) => (&folder, name),
            (_, Some(name)) if is_blob(name) => (&blobs, name),
            _ => continue,
        };
        let mut file = place.create(name)?.into_std();
        io::copy(&mut archive, &mut file)?;
        file.sync_all()?;
    }
    Ok(())
}

/// Adds a file that is not changed meanwhile.
fn add(folder: &Dir, name: &str, as_name: &str, archive: &mut dyn Write) -> io::Result<()> {
    let file = folder.open(name)?.into_std();
    let size_bytes = file.metadata()?.len();
    archive.write_all(&tar::header(as_name, size_bytes))?;
    let copied = io::copy(&mut file.take(size_bytes), archive)?;
    if copied < size_bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    archive.write_all(tar::padding(size_bytes))
}

fn is_blob(name: &str) -> bool {
    Digest::from_hex(name).is_some()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn folder() -> (TempDir, Dir) {
        let place = TempDir::new().unwrap();
        let dir = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        (place, dir)
    }

    #[test]
    fn a_layout_is_the_same_after_it_was_packed_and_unpacked() {
        let (from_place, from) = folder();
        from.create_dir_all(BLOBS).unwrap();
        let blob = format!("{BLOBS}{}", Digest::of(b"abc").hex());
        let files = [
            (LAYOUT_FILE, &b"{}"[..]),
            (INDEX_FILE, b"[]"),
            (&blob, b"abc"),
        ];
        for (name, content) in files {
            from.write(name, content).unwrap();
        }
        from.write(format!("{BLOBS}.part"), b"x").unwrap();
        let mut archive = Vec::new();
        pack(from_place.path(), &mut archive).unwrap();
        let (to_place, to) = folder();
        unpack(&archive[..], to_place.path()).unwrap();
        for (name, content) in files {
            assert_eq!(to.read(name).unwrap(), content, "{name}");
        }
        let blobs = to.open_dir(BLOBS).unwrap();
        assert_eq!(blobs.entries().unwrap().count(), 1);
        assert!(pack(folder().0.path(), &mut Vec::new()).is_err());
    }

    #[test]
    fn no_name_of_an_archive_leads_elsewhere() {
        let mut archive = Vec::new();
        for name in ["../index.json", "/index.json", "blobs/sha256/../../x", "x"] {
            archive.extend(tar::header(name, 0));
        }
        let (place, _) = folder();
        unpack(&archive[..], place.path()).unwrap();
        let names = std::fs::read_dir(place.path()).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["blobs"]);
    }
}
