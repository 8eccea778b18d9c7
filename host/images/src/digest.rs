//! The digest that names the bytes of an image.
//!
//! Pure. Whoever reads bytes computes it; whoever was given one in a manifest compares.

use std::fmt;
use std::str::FromStr;

use ring::digest::{Context, SHA256};

/// Bytes of a SHA-256 value.
const SHA256_BYTES: usize = 32;

/// The SHA-256 of some bytes, written `sha256:` and 64 lower-case hexadecimal digits
/// (OCI image specification, *Digests*).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; SHA256_BYTES]);

/// Computes the digest of bytes that come one after another and are never in memory together.
#[derive(Clone)]
pub struct Hasher(Context);

/// A text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// It names no algorithm, or another one.
    #[error("`{text}` does not start with `sha256:`")]
    Algorithm {
        /// The text, its first 80 characters.
        text: String,
    },
    /// What follows the algorithm is not 64 lower-case hexadecimal digits.
    #[error("`{text}` does not end in 64 lower-case hexadecimal digits")]
    Digits {
        /// The text, its first 80 characters.
        text: String,
    },
}

impl Digest {
    /// Computes the digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let value = ring::digest::digest(&SHA256, bytes);
        Digest(value.as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; SHA256_BYTES] {
        &self.0
    }

    /// Reads the digits alone, as [`Digest::hex`] writes them.
    pub fn from_hex(digits: &str) -> Option<Self> {
        parse_hex(digits.as_bytes()).map(Digest)
    }

    /// The 64 hexadecimal digits alone, as used in names of files.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Hasher {
    /// Begins with no bytes.
    pub fn new() -> Self {
        Hasher(Context::new(&SHA256))
    }

    /// Adds bytes behind those before.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes.
    pub fn finish(self) -> Digest {
        let value = self.0.finish();
        Digest(value.as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let shown = || text.chars().take(80).collect();
        let digits = text
            .strip_prefix("sha256:")
            .ok_or_else(|| DigestError::Algorithm { text: shown() })?;
        parse_hex(digits.as_bytes())
            .map(Digest)
            .ok_or_else(|| DigestError::Digits { text: shown() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn parse_hex(digits: &[u8]) -> Option<[u8; SHA256_BYTES]> {
    if digits.len() != 2 * SHA256_BYTES {
        return None;
    }
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut value = [0; SHA256_BYTES];
    for (byte, pair) in value.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digests_are_those_of_the_sha_256_standard() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(Digest::of(b"abc").to_string(), ABC);
    }

    #[test]
    fn bytes_in_pieces_have_the_digest_of_the_whole() {
        let mut hasher = Hasher::new();
        assert_eq!(hasher.clone().finish().to_string(), EMPTY);
        hasher.update(b"a");
        hasher.update(b"");
        hasher.update(b"bc");
        assert_eq!(hasher.finish().to_string(), ABC);
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        assert_eq!(EMPTY.parse(), Ok(Digest::of(b"")));
        assert_eq!(ABC.parse(), Ok(Digest::of(b"abc")));
    }

    #[test]
    fn other_texts_are_refused_by_what_is_wrong() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                text.parse::<Digest>().map_err(|err| err.to_string()),
                Err(expected.to_owned())
            );
        };
        check("", "`` does not start with `sha256:`");
        check("sha512:00", "`sha512:00` does not start with `sha256:`");
        check("SHA256:00", "`SHA256:00` does not start with `sha256:`");
        check(
            "sha256:",
            "`sha256:` does not end in 64 lower-case hexadecimal digits",
        );
        check(
            "sha256:00",
            "`sha256:00` does not end in 64 lower-case hexadecimal digits",
        );
        for changed in [
            ABC.to_uppercase().replace("SHA256", "sha256"),
            ABC.replace('b', "g"),
            format!("{ABC}0"),
        ] {
            assert!(
                matches!(changed.parse::<Digest>(), Err(DigestError::Digits { .. })),
                "{changed}"
            );
        }
    }
}
