//! Layouts that change their form without a store: a folder to a tar archive and back.
//!
//! For whoever hands archives to a process that may not read the folder, or gets them from it. Nothing is verified
//! here, which is done by whoever takes the images; no name of an archive leads out of the folder.

use std::io::{self, Read, Write};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use wasm_edge_store::file;

use super::CHUNK_BYTES;
use super::error::LayoutError;
use super::load::{open_part, unreadable};
use super::tar::{self, Archive};
use crate::digest::Digest;
use crate::oci_layout::{BLOBS, INDEX_FILE, LAYOUT_FILE};

/// Why a folder is not written as an archive.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The folder cannot be used, or not read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
}

/// Writes the folder of a layout as an archive: its two documents first, which say what the rest is. Links are not
/// followed.
///
/// # Errors
/// [`PackError`]; [`LayoutError::NoIndex`] for a folder that is no layout.
pub fn pack(folder: &Path, archive: &mut dyn Write) -> Result<(), PackError> {
    let whole = || folder.display().to_string();
    let opened = Dir::open_ambient_dir(folder, ambient_authority());
    let folder = opened.map_err(|err| unreadable(&whole())(err))?;
    add(&folder, LAYOUT_FILE, LAYOUT_FILE, archive)?;
    if !add(&folder, INDEX_FILE, INDEX_FILE, archive)? {
        return Err(LayoutError::NoIndex.into());
    }
    let entries = folder.open_dir(BLOBS).and_then(|blobs| {
        let entries = blobs.entries()?;
        Ok((blobs, entries))
    });
    let (blobs, entries) = match entries {
        Ok(found) => found,
        // Who reads the archive says which blob it misses.
        Err(err) if err.kind() == io::ErrorKind::NotFound => return end(archive),
        Err(err) => return Err(unreadable(BLOBS)(err).into()),
    };
    for entry in entries {
        let name = entry.map_err(unreadable(BLOBS))?.file_name();
        // What is no blob is passed over, as it is by who reads the archive.
        if let Some(name) = name.to_str().filter(|name| is_blob(name)) {
            add(&blobs, name, &format!("{BLOBS}{name}"), archive)?;
        }
    }
    end(archive)
}

fn end(archive: &mut dyn Write) -> Result<(), PackError> {
    archive.write_all(tar::END).map_err(PackError::Write)
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

/// Adds a file that is not changed meanwhile; answers whether there is one.
fn add(
    folder: &Dir,
    name: &str,
    as_name: &str,
    archive: &mut dyn Write,
) -> Result<bool, PackError> {
    let opened = open_part(folder, name).map_err(|err| match err {
        LayoutError::NotAFile { .. } => LayoutError::NotAFile {
            name: as_name.to_owned(),
        },
        err => err,
    })?;
    let Some((mut file, size_bytes)) = opened else {
        return Ok(false);
    };
    let header = tar::header(as_name, size_bytes);
    archive.write_all(&header).map_err(PackError::Write)?;
    let mut left = size_bytes;
    let mut buffer = vec![0; CHUNK_BYTES];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK_BYTES);
        let chunk = &mut buffer[..most.min(CHUNK_BYTES)];
        let read = file.read(chunk).map_err(unreadable(as_name))?;
        if read == 0 {
            let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(unreadable(as_name)(cut).into());
        }
        archive
            .write_all(&chunk[..read])
            .map_err(PackError::Write)?;
        left -= read as u64;
    }
    let padding = tar::padding(size_bytes);
    archive.write_all(padding).map_err(PackError::Write)?;
    Ok(true)
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
    }

    #[test]
    fn a_folder_that_is_no_layout_or_has_no_files_is_told_as_an_archive_is() {
        let (place, dir) = folder();
        let told = || {
            let err = pack(place.path(), &mut Vec::new()).unwrap_err();
            err.to_string()
        };
        assert_eq!(told(), LayoutError::NoIndex.to_string());
        dir.write(INDEX_FILE, "{}").unwrap();
        // Which blobs are missing is said by who reads it.
        pack(place.path(), &mut Vec::new()).unwrap();
        let blob = format!("{BLOBS}{}", Digest::of(b"abc").hex());
        dir.create_dir_all(&blob).unwrap();
        assert_eq!(
            told(),
            format!("`{blob}` in the image layout is not a file")
        );
        dir.remove_dir(&blob).unwrap();
        dir.symlink("../../index.json", &blob).unwrap();
        assert_eq!(
            told(),
            format!("`{blob}` in the image layout is not a file")
        );
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
