//! An image that was read and checked: its digest and its bytes.
//!
//! Pure. [`ModuleImage::check`] is the one place where bytes from outside become an image.

use bytes::Bytes;

use crate::digest::Digest;

/// Largest image, in bytes. The largest components in use (interpreters with their libraries) have 40 MB;
/// the bytes are in memory while they are checked and compiled.
pub const IMAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The first bytes of every WebAssembly binary.
const MAGIC: &[u8] = b"\0asm";

/// Version and layer of a component (component model, *Binary Format*).
const COMPONENT: &[u8] = &[0x0d, 0x00, 0x01, 0x00];

/// Version and layer of a core module (WebAssembly core specification, *Binary Format*).
const CORE_MODULE: &[u8] = &[0x01, 0x00, 0x00, 0x00];

/// A component's bytes under their digest.
#[derive(Debug, Clone)]
pub struct ModuleImage {
    /// The digest of the bytes.
    pub digest: Digest,
    /// The component in its binary format.
    pub bytes: Bytes,
}

/// Why bytes are not the image that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageFault {
    /// They have another digest.
    #[error("its digest is `{found}`, expected `{expected}`")]
    Digest {
        /// The one in the manifest.
        expected: Digest,
        /// The one of the bytes.
        found: Digest,
    },
    /// They are a core module.
    #[error("it is a core module, expected a component")]
    CoreModule,
    /// They are of a version of the component model's binary format that is not known.
    #[error("it is WebAssembly of an unknown version, expected a component")]
    UnknownVersion,
    /// They are something else.
    #[error("it is not WebAssembly, expected a component in its binary format")]
    NotWasm,
}

impl ModuleImage {
    /// Checks bytes that came from outside: against the digest where one was asked for, and that they start
    /// like a component. The rest is checked by the compiler.
    ///
    /// # Errors
    /// [`ImageFault`] says what they are instead.
    pub fn check(bytes: Bytes, expected: Option<&Digest>) -> Result<Self, ImageFault> {
        let digest = Digest::of(&bytes);
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(ImageFault::Digest {
                expected: *expected,
                found: digest,
            });
        }
        let version = bytes.strip_prefix(MAGIC).ok_or(ImageFault::NotWasm)?;
        if version.starts_with(COMPONENT) {
            Ok(ModuleImage { digest, bytes })
        } else if version.starts_with(CORE_MODULE) {
            Err(ImageFault::CoreModule)
        } else {
            Err(ImageFault::UnknownVersion)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &'static [u8], expected: Result<(), ImageFault>) {
        let checked = ModuleImage::check(Bytes::from_static(bytes), None);
        assert_eq!(
            checked.map(|image| assert_eq!(image.bytes, bytes)),
            expected
        );
    }

    #[test]
    fn only_components_are_images() {
        check(b"\0asm\x0d\0\x01\0", Ok(()));
        check(b"\0asm\x0d\0\x01\0more", Ok(()));
        check(b"\0asm\x01\0\0\0", Err(ImageFault::CoreModule));
        check(b"\0asm\x0c\0\x01\0", Err(ImageFault::UnknownVersion));
        check(b"\0asm", Err(ImageFault::UnknownVersion));
        check(b"(component)", Err(ImageFault::NotWasm));
        check(b"", Err(ImageFault::NotWasm));
    }

    #[test]
    fn a_digest_that_was_asked_for_must_be_the_one_of_the_bytes() {
        let bytes = Bytes::from_static(b"\0asm\x0d\0\x01\0");
        let found = Digest::of(&bytes);
        assert!(ModuleImage::check(bytes.clone(), Some(&found)).is_ok());
        let expected = Digest::of(b"other");
        let fault = ModuleImage::check(bytes, Some(&expected)).map(|image| image.digest);
        assert_eq!(fault, Err(ImageFault::Digest { expected, found }));
    }
}
