//! Reading a layout: where its parts are, and which images it has.

use std::collections::BTreeMap;
use std::io::{self, Read};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::fs::OFlags;
use wasm_edge_model::error::chain;
use wasm_edge_model::time::Timestamp;

use super::error::LayoutError;
use super::{CHUNK_BYTES, Loaded, NameNotTaken, PassedOver, tar};
use crate::digest::Digest;
use crate::document::{
    CONFIG_BYTES_MAX, Descriptor, Document, DocumentFault, INDEX, ImageManifest, IndexEntry,
    MANIFEST_BYTES_MAX,
};
use crate::image::IMAGE_BYTES_MAX;
use crate::oci_layout::{BLOBS, INDEX_FILE, NAME_KEY, blob_path};
use crate::reference::Reference;
use crate::store::error::StoreError;
use crate::store::{ImageStore, PutManifest, StoredImage};

/// The full name of an image, as containerd and its friends write it beside a tag.
const FULL_NAME_KEY: &str = "io.containerd.image.name";

/// The most entries of an archive: the blobs of hundreds of images.
const ENTRIES_MAX: usize = 10_000;

/// Images that an error names where none can be used.
const REFUSED_SHOWN: usize = 5;

/// Where the parts of a layout are.
pub(super) trait Parts {
    /// The list of images.
    fn index(&self) -> Result<Vec<u8>, LayoutError>;

    /// A manifest, verified.
    fn manifest(&self, manifest: &Descriptor) -> Result<Vec<u8>, LayoutError>;

    /// Makes sure that a blob is in the store.
    fn bring(&self, blob: &Descriptor) -> Result<(), LayoutError>;
}

/// A folder; links are not followed.
pub(super) struct Folder<'a> {
    store: &'a ImageStore,
    folder: &'a Dir,
}

/// An archive whose blobs are in the store by now.
pub(super) struct Staged<'a> {
    store: &'a ImageStore,
    index: Vec<u8>,
}

/// Takes the images of a layout that are images of modules.
pub(super) fn images(
    store: &ImageStore,
    parts: &dyn Parts,
    name: Option<&Reference>,
    now: Timestamp,
) -> Result<Loaded, LayoutError> {
    let index = Document::read(&parts.index()?, Some(INDEX));
    let index = match index.map_err(of("the list of images"))? {
        Document::Index(index) => index,
        Document::Manifest(manifest) => {
            let found = manifest.media_type.to_owned();
            return Err(of("the list of images")(DocumentFault::MediaType { found }));
        }
    };
    let named = by_image(index.entries);
    if let (Some(_), count @ 2..) = (name, named.len()) {
        return Err(LayoutError::OneName { count });
    }
    let mut loaded = Loaded::default();
    let mut refused = Vec::new();
    for Named { descriptor, texts } in named {
        let digest = descriptor.digest;
        let mut not_taken = Vec::new();
        let names = match name {
            Some(name) if is_another(name, &digest) => {
                let name = name.to_string();
                return Err(LayoutError::OtherDigest { name, digest });
            }
            Some(name) => vec![name.clone()],
            None => names_of(&texts, &digest, &mut not_taken),
        };
        match image(store, parts, &descriptor, &names, now) {
            Ok(image) => {
                loaded.images.push(image);
                loaded.names_not_taken.append(&mut not_taken);
            }
            // A layout may have others beside.
            Err(err @ LayoutError::Document { .. }) => {
                loaded.passed_over.push(PassedOver {
                    digest,
                    names: texts,
                    reason: chain(&err),
                });
                refused.push(err);
            }
            Err(err) => return Err(err),
        }
    }
    match (loaded.images.is_empty(), refused.len()) {
        (false, _) => Ok(loaded),
        (true, 0) => Err(LayoutError::Empty),
        (true, 1) => Err(refused.remove(0)),
        (true, count) => Err(none_usable(count, &loaded.passed_over)),
    }
}

/// An image of a layout with all that it calls it.
struct Named {
    descriptor: Descriptor,
    texts: Vec<String>,
}

/// The images of a list: one under several names has several entries there.
fn by_image(entries: Vec<IndexEntry>) -> Vec<Named> {
    let mut named: BTreeMap<Digest, Named> = BTreeMap::new();
    for entry in entries {
        let descriptor = entry.descriptor;
        let image = named.entry(descriptor.digest).or_insert_with(|| Named {
            descriptor,
            texts: Vec::new(),
        });
        image.texts.extend(text_of(&entry.annotations));
    }
    named.into_values().collect()
}

/// The references among what a layout calls an image; why others are not taken is added.
pub(super) fn names_of(
    texts: &[String],
    digest: &Digest,
    not_taken: &mut Vec<NameNotTaken>,
) -> Vec<Reference> {
    let mut names = Vec::new();
    for text in texts {
        let reason = match reference(text) {
            None => "it is not a full reference, as `HOST/NAME:TAG`",
            // A layout can say what it likes, and a deployment that pins a digest trusts the name.
            Some(name) if is_another(&name, digest) => "it has the digest of another image",
            Some(name) => {
                names.push(name);
                continue;
            }
        };
        not_taken.push(NameNotTaken {
            digest: *digest,
            name: text.clone(),
            reason,
        });
    }
    names
}

fn is_another(name: &Reference, digest: &Digest) -> bool {
    name.digest().is_some_and(|own| own != digest)
}

fn none_usable(count: usize, passed_over: &[PassedOver]) -> LayoutError {
    let shown = passed_over.iter().take(REFUSED_SHOWN);
    let mut told: Vec<String> = shown.map(|image| image.reason.clone()).collect();
    if count > told.len() {
        told.push(format!("{} more", count - told.len()));
    }
    LayoutError::NoneUsable {
        count,
        told: told.join("; "),
    }
}

fn image(
    store: &ImageStore,
    parts: &dyn Parts,
    entry: &Descriptor,
    names: &[Reference],
    now: Timestamp,
) -> Result<StoredImage, LayoutError> {
    let (digest, bytes, manifest) = manifest(parts, entry)?;
    parts.bring(&manifest.config)?;
    parts.bring(&manifest.layer)?;
    let put = PutManifest {
        digest,
        bytes: &bytes,
        media_type: manifest.media_type,
        names,
        holder: None,
    };
    store.put_manifest(&put, now).map_err(refused(digest))
}

/// The manifest of an entry; through one index, as of an image for several platforms.
fn manifest(
    parts: &dyn Parts,
    entry: &Descriptor,
) -> Result<(Digest, Vec<u8>, ImageManifest), LayoutError> {
    let read = |descriptor: &Descriptor| {
        let bytes = parts.manifest(descriptor)?;
        let fault = of(&format!("`{}`", descriptor.digest));
        let document = Document::read(&bytes, Some(&descriptor.media_type)).map_err(&fault)?;
        Ok((bytes, document))
    };
    let (bytes, document) = read(entry)?;
    let index = match document {
        Document::Manifest(manifest) => return Ok((entry.digest, bytes, manifest)),
        Document::Index(index) => index,
    };
    let fault = of(&format!("`{}`", entry.digest));
    let chosen = index.choose().map_err(&fault)?;
    match read(chosen)? {
        (bytes, Document::Manifest(manifest)) => Ok((chosen.digest, bytes, manifest)),
        (_, Document::Index(index)) => Err(fault(DocumentFault::MediaType {
            found: index.media_type.to_owned(),
        })),
    }
}

/// What an entry is called, by the key that has a reference where one has.
pub(super) fn text_of(annotations: &BTreeMap<String, String>) -> Option<String> {
    let keys = [NAME_KEY, FULL_NAME_KEY];
    let texts = || keys.into_iter().filter_map(|key| annotations.get(key));
    let full = texts().find(|text| reference(text).is_some());
    full.or_else(|| texts().next()).cloned()
}

/// A reference. A tag alone names nothing outside its layout.
fn reference(text: &str) -> Option<Reference> {
    text.contains('/').then(|| text.parse().ok())?
}

fn of(what: &str) -> impl Fn(DocumentFault) -> LayoutError + use<> {
    let what = what.to_owned();
    move |source| LayoutError::Document {
        what: what.clone(),
        source,
    }
}

fn refused(digest: Digest) -> impl Fn(StoreError) -> LayoutError {
    move |source| LayoutError::Store {
        digest,
        source: Box::new(source),
    }
}

impl<'a> Folder<'a> {
    pub(super) fn new(store: &'a ImageStore, folder: &'a Dir) -> Self {
        Self { store, folder }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, LayoutError> {
        let Some((file, size_bytes)) = open_part(self.folder, name)? else {
            return Ok(None);
        };
        check_size(name, size_bytes, MANIFEST_BYTES_MAX)?;
        let mut bytes = Vec::new();
        let read = file.take(MANIFEST_BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(unreadable(name))?;
        Ok(Some(bytes))
    }
}

/// Opens a part of a folder that is a file; links are not followed.
pub(super) fn open_part(
    folder: &Dir,
    name: &str,
) -> Result<Option<(std::fs::File, u64)>, LayoutError> {
    let mut options = OpenOptions::new();
    options.read(true);
    // Of a named pipe nobody waits for the other end.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.custom_flags(flags.bits().cast_signed());
    let file = match folder.open_with(name, &options) {
        Ok(file) => file.into_std(),
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) if err.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            let name = name.to_owned();
            return Err(LayoutError::NotAFile { name });
        }
        Err(err) => return Err(unreadable(name)(err)),
    };
    let metadata = file.metadata().map_err(unreadable(name))?;
    if !metadata.is_file() {
        let name = name.to_owned();
        return Err(LayoutError::NotAFile { name });
    }
    Ok(Some((file, metadata.len())))
}

/// Why a part of a folder cannot be read.
pub(super) fn unreadable(name: &str) -> impl Fn(io::Error) -> LayoutError {
    move |source| LayoutError::Part {
        name: name.to_owned(),
        source,
    }
}

impl Parts for Folder<'_> {
    fn index(&self) -> Result<Vec<u8>, LayoutError> {
        self.read(INDEX_FILE)?.ok_or(LayoutError::NoIndex)
    }

    fn manifest(&self, manifest: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        let digest = manifest.digest;
        let bytes = self.read(&blob_path(&digest))?;
        let bytes = bytes.ok_or(LayoutError::Missing { digest })?;
        let found = Digest::of(&bytes);
        match found == digest {
            true => Ok(bytes),
            false => Err(refused(digest)(StoreError::Digest {
                expected: digest,
                found,
                resumed: false,
            })),
        }
    }

    fn bring(&self, blob: &Descriptor) -> Result<(), LayoutError> {
        let digest = blob.digest;
        let opened = open_part(self.folder, &blob_path(&digest))?;
        let (mut file, _) = opened.ok_or(LayoutError::Missing { digest })?;
        keep(self.store, blob, &mut file)
    }
}

impl<'a> Staged<'a> {
    /// Reads an archive to its end. Its blobs go into the store, each verified; those that can belong to no image of a
    /// module are passed over.
    pub(super) fn read(store: &'a ImageStore, archive: impl Read) -> Result<Self, LayoutError> {
        let mut archive = tar::Archive::new(archive);
        let mut index = None;
        let mut count = 0;
        while let Some(entry) = archive.next().map_err(of_tar)? {
            count += 1;
            if count > ENTRIES_MAX {
                return Err(LayoutError::TooManyEntries { max: ENTRIES_MAX });
            }
            let blob = entry.name.strip_prefix(BLOBS);
            let blob = blob.and_then(Digest::from_hex);
            if blob.is_none() && entry.name != INDEX_FILE {
                continue;
            }
            let (name, size_bytes) = (entry.name, entry.size_bytes);
            if !entry.is_file {
                return Err(LayoutError::NotAFile { name });
            }
            match blob {
                Some(_) if size_bytes > IMAGE_BYTES_MAX => {}
                Some(digest) => {
                    let blob = Descriptor {
                        media_type: String::new(),
                        digest,
                        size_bytes,
                    };
                    keep(store, &blob, &mut archive)?;
                }
                None if index.is_some() => return Err(LayoutError::Twice { name }),
                None => {
                    check_size(&name, size_bytes, MANIFEST_BYTES_MAX)?;
                    let mut bytes = vec![0; usize::try_from(size_bytes).unwrap_or_default()];
                    archive.read_exact(&mut bytes).map_err(LayoutError::Read)?;
                    index = Some(bytes);
                }
            }
        }
        let index = index.ok_or(LayoutError::NoIndex)?;
        Ok(Self { store, index })
    }
}

impl Parts for Staged<'_> {
    fn index(&self) -> Result<Vec<u8>, LayoutError> {
        Ok(self.index.clone())
    }

    fn manifest(&self, manifest: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        let digest = manifest.digest;
        self.store.manifest(&digest).map_err(|err| match err {
            StoreError::Missing { .. } => LayoutError::Missing { digest },
            err => refused(digest)(err),
        })
    }

    fn bring(&self, blob: &Descriptor) -> Result<(), LayoutError> {
        let digest = blob.digest;
        match self.store.blob(&digest) {
            Ok((_, size_bytes)) if size_bytes == blob.size_bytes => Ok(()),
            Ok((_, found_bytes)) => Err(refused(digest)(StoreError::Size {
                digest,
                expected_bytes: blob.size_bytes,
                found_bytes,
            })),
            Err(StoreError::Missing { .. }) => Err(LayoutError::Missing { digest }),
            Err(err) => Err(refused(digest)(err)),
        }
    }
}

/// Puts what is read into the store as a blob, unless it is there.
fn keep(store: &ImageStore, blob: &Descriptor, content: &mut dyn Read) -> Result<(), LayoutError> {
    let failed = refused(blob.digest);
    let Some(mut download) = store.begin(blob).map_err(&failed)? else {
        return Ok(());
    };
    // All of it comes, whatever a pull that was cut has left.
    download.restart().map_err(&failed)?;
    download.keep_no_part();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return download.finish().map_err(&failed),
            Ok(read) => download.append(&buffer[..read]).map_err(&failed)?,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(LayoutError::Read(err)),
        }
    }
}

fn of_tar(err: io::Error) -> LayoutError {
    match err.kind() {
        io::ErrorKind::InvalidData => LayoutError::NotTar,
        _ => LayoutError::Read(err),
    }
}

fn check_size(name: &str, size_bytes: u64, max_bytes: u64) -> Result<(), LayoutError> {
    match size_bytes <= max_bytes {
        true => Ok(()),
        false => Err(LayoutError::TooLarge {
            name: name.to_owned(),
            size_bytes,
            max_bytes,
        }),
    }
}

/// The largest config is taken as it is, unread.
const _: () = assert!(CONFIG_BYTES_MAX <= IMAGE_BYTES_MAX);
