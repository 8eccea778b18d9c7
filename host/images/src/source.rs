//! Getting the image that a manifest names.
//!
//! Owns the ways from a reference to bytes: a file now, a registry later. The bytes are checked by
//! [`ModuleImage::check`] whichever way they came.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use wasm_edge_model::manifest::ImageReference;

use crate::digest::Digest;
use crate::image::{IMAGE_BYTES_MAX, ImageFault, ModuleImage};

/// Gets the images of one manifest.
///
/// It reads what the manifest's author names, with the rights of this process, so a daemon asks its policy
/// before it uses `file:` images of a manifest that came from elsewhere.
#[derive(Debug, Clone)]
pub struct ImageSource {
    /// The manifest's folder.
    folder: PathBuf,
}

/// Why an image could not be had. [`ImageError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is no such file.
    #[error("no file `{}`", path.display())]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It is a folder, a device or something else that is not a file.
    #[error("`{}` is not a file", path.display())]
    NotAFile {
        /// What it is not.
        path: PathBuf,
    },
    /// It could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It is larger than an image may be.
    #[error("`{}` is larger than {limit_bytes} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// [`IMAGE_BYTES_MAX`].
        limit_bytes: u64,
    },
    /// It is not the image that was asked for.
    #[error("`{}` is not the image expected", path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        #[source]
        source: ImageFault,
    },
    /// The image is in a registry.
    #[error("pulling from a registry is not in this version (image `{reference}`)")]
    Registry {
        /// The reference.
        reference: String,
    },
}

impl ImageSource {
    /// Gets images for a manifest in this folder; `file:` paths that are not absolute start there.
    pub fn new(folder: &Path) -> Self {
        ImageSource {
            folder: folder.to_owned(),
        }
    }

    /// Reads and checks an image, against a digest where the manifest gives one.
    ///
    /// It blocks while it reads at most [`IMAGE_BYTES_MAX`] bytes: async callers use a thread for blocking
    /// work.
    ///
    /// # Errors
    /// [`ImageError`]; `Read` may end differently another time.
    pub fn load(
        &self,
        reference: &ImageReference,
        digest: Option<&Digest>,
    ) -> Result<ModuleImage, ImageError> {
        match reference {
            ImageReference::File { path } => load_file(self.folder.join(path), digest),
            ImageReference::Registry { reference } => Err(ImageError::Registry {
                reference: reference.clone(),
            }),
        }
    }
}

impl ImageError {
    /// What to do about it: a sentence without a final period.
    pub fn hint(&self) -> &'static str {
        match self {
            ImageError::NotFound { .. } => {
                "build the component first, or correct the path: it is relative to the manifest's folder"
            }
            ImageError::NotAFile { .. } => "name the component's `.wasm` file itself",
            ImageError::Read { .. } => "check that this user may read the file and its folders",
            ImageError::TooLarge { .. } => {
                "build the component optimised and without debug information, as with `cargo build --release`"
            }
            ImageError::Fault { source, .. } => match source {
                ImageFault::Digest { .. } => {
                    "build the version that the manifest names, or correct its digest"
                }
                ImageFault::CoreModule => "build it for `wasm32-wasip2`, which gives a component",
                ImageFault::UnknownVersion => "build it with tools of the present component model",
                ImageFault::NotWasm => "name the component's binary `.wasm` file",
            },
            ImageError::Registry { .. } => "use a `file:` image",
        }
    }
}

fn load_file(path: PathBuf, digest: Option<&Digest>) -> Result<ModuleImage, ImageError> {
    match read_bounded(&path, IMAGE_BYTES_MAX) {
        Ok(Content::Bytes(bytes)) => {
            ModuleImage::check(bytes, digest).map_err(|source| ImageError::Fault { path, source })
        }
        Ok(Content::NotAFile) => Err(ImageError::NotAFile { path }),
        Ok(Content::TooLarge) => Err(ImageError::TooLarge {
            path,
            limit_bytes: IMAGE_BYTES_MAX,
        }),
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            Err(ImageError::NotFound { path })
        }
        Err(source) => Err(ImageError::Read { path, source }),
    }
}

/// What reading a path gave.
enum Content {
    Bytes(Bytes),
    NotAFile,
    TooLarge,
}

fn read_bounded(path: &Path, limit_bytes: u64) -> io::Result<Content> {
    // Looked at before it is opened: opening a named pipe waits for somebody to write.
    if !fs::metadata(path)?.is_file() {
        return Ok(Content::NotAFile);
    }
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    // The length is not trusted: a file may grow while it is read.
    let read = file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    let too_large = u64::try_from(read).is_ok_and(|read| read > limit_bytes);
    Ok(if too_large {
        Content::TooLarge
    } else {
        Content::Bytes(bytes.into())
    })
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    fn file(path: &str) -> ImageReference {
        ImageReference::File {
            path: path.to_owned(),
        }
    }

    /// The error of loading, its cause, and the hint; the folder is written `DIR`.
    fn check(dir: &Path, reference: ImageReference, expected: [&str; 3]) {
        let err = ImageSource::new(dir)
            .load(&reference, None)
            .expect_err("an error");
        let text = err.to_string().replace(&dir.display().to_string(), "DIR");
        let cause = err.source().map(ToString::to_string).unwrap_or_default();
        assert_eq!([text.as_str(), cause.as_str(), err.hint()], expected);
    }

    #[test]
    fn a_file_is_found_from_the_manifests_folder_and_by_absolute_path() {
        let dir = folder();
        fs::create_dir(dir.path().join("deployments")).unwrap();
        let path = dir.path().join("filter.wasm");
        fs::write(&path, COMPONENT).unwrap();
        let source = ImageSource::new(&dir.path().join("deployments"));
        for path in ["../filter.wasm", path.to_str().unwrap()] {
            let image = source
                .load(&file(path), Some(&Digest::of(COMPONENT)))
                .unwrap();
            assert_eq!(image.digest, Digest::of(COMPONENT));
            assert_eq!(image.bytes, COMPONENT);
        }
    }

    #[test]
    fn each_error_says_what_to_do() {
        let dir = folder();
        fs::write(dir.path().join("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
        check(
            dir.path(),
            file("none.wasm"),
            [
                "no file `DIR/none.wasm`",
                "",
                "build the component first, or correct the path: it is relative to the manifest's folder",
            ],
        );
        check(
            dir.path(),
            file("."),
            [
                "`DIR/.` is not a file",
                "",
                "name the component's `.wasm` file itself",
            ],
        );
        check(
            dir.path(),
            file("core.wasm"),
            [
                "`DIR/core.wasm` is not the image expected",
                "it is a core module, expected a component",
                "build it for `wasm32-wasip2`, which gives a component",
            ],
        );
        check(
            dir.path(),
            ImageReference::Registry {
                reference: "example.org/a:1".to_owned(),
            },
            [
                "pulling from a registry is not in this version (image `example.org/a:1`)",
                "",
                "use a `file:` image",
            ],
        );
    }

    #[test]
    fn reading_stops_behind_the_limit() {
        let dir = folder();
        let path = dir.path().join("large.wasm");
        fs::write(&path, [0; 100]).unwrap();
        assert!(matches!(read_bounded(&path, 99), Ok(Content::TooLarge)));
        assert!(
            matches!(read_bounded(&path, 100), Ok(Content::Bytes(bytes)) if bytes.len() == 100)
        );
    }

    #[test]
    fn a_file_above_the_limit_is_refused() {
        let dir = folder();
        let path = dir.path().join("large.wasm");
        // Sparse: the length costs no space.
        File::create(&path)
            .unwrap()
            .set_len(IMAGE_BYTES_MAX + 1)
            .unwrap();
        let err = ImageSource::new(dir.path())
            .load(&file("large.wasm"), None)
            .expect_err("an error");
        assert!(matches!(err, ImageError::TooLarge { .. }), "{err:?}");
    }
}
