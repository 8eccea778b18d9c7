//! From what a person wrote to an image of the store: a reference, or the first digits of a digest. Pure.
//!
//! Owns what such a text may look like, for all commands. Leaves references in deployments, which mean one image or
//! none, to [`ImageStore::resolve`].

use wasm_edge_model::manifest::without_login;

use super::{ImageName, ImageStore, StoredImage};
use crate::reference::Reference;

/// Digits that are enough to name an image, if only one has them; fewer are more likely a slip.
const DIGITS_MIN: usize = 4;

/// What digests begin with.
const ALGORITHM: &str = "sha256:";

/// Images that an error names.
const CANDIDATES_SHOWN: usize = 10;

/// Digits of digests in an error; those of images that are told apart have more of them alike.
const DIGITS_SHOWN: usize = 12;

/// An image that was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The image, whole or not.
    pub image: StoredImage,
    /// By what it was meant, as [`ImageStore::remove`] takes it.
    pub name: ImageName,
}

/// Why a text means no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is none.
    #[error("the image store does not have `{}`", .text.escape_debug())]
    Missing {
        /// The text.
        text: String,
    },
    /// There are several.
    #[error("`{}` may be one of {count} images", .text.escape_debug())]
    Ambiguous {
        /// The text.
        text: String,
        /// How many there are.
        count: usize,
        /// The first of them, by digest and name.
        candidates: Vec<String>,
    },
}

impl LookupError {
    /// What to do about it: a sentence without a final period.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing { text } if is_short(text) => {
                format!("a digest is named by its first {DIGITS_MIN} digits or more")
            }
            Self::Missing { .. } => "see which there are with `wasm-edge image list`".to_owned(),
            Self::Ambiguous {
                candidates, count, ..
            } => {
                let more = match count - candidates.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("say which: {}{more}", candidates.join(", "))
            }
        }
    }
}

impl ImageStore {
    /// The image that a person means by a text: by a reference, by the digest of its manifest or of its component, or
    /// by the first digits of one of them, in capital letters or not, with `sha256:` or without. A name that is there
    /// counts before digits.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn find(&self, text: &str) -> Result<Found, LookupError> {
        find(text, self.list())
    }
}

fn find(text: &str, images: Vec<StoredImage>) -> Result<Found, LookupError> {
    let digits = digits(text);
    if let (Ok(reference), false) = (text.parse(), has_algorithm(text))
        && let Some(image) = named(&reference, &images)
    {
        let (image, name) = (image.clone(), ImageName::Reference(reference));
        return Ok(Found { image, name });
    }
    let missing = || LookupError::Missing {
        text: without_login(text).into_owned(),
    };
    let digits = digits.filter(|digits| digits.len() >= DIGITS_MIN);
    let digits = digits.ok_or_else(missing)?;
    let begins = |hex: String| hex.starts_with(&digits);
    let meant = |image: &StoredImage| {
        begins(image.manifest_digest.hex()) || begins(image.component.digest.hex())
    };
    let mut meant: Vec<StoredImage> = images.into_iter().filter(meant).collect();
    match (meant.pop(), meant.len()) {
        (Some(image), 0) => {
            let name = ImageName::Digest(image.manifest_digest);
            Ok(Found { image, name })
        }
        (Some(last), others) => {
            meant.push(last);
            let shown = meant.iter().take(CANDIDATES_SHOWN);
            Err(LookupError::Ambiguous {
                text: text.to_owned(),
                count: others + 1,
                candidates: shown.map(|image| candidate(image, &digits)).collect(),
            })
        }
        (None, _) => Err(missing()),
    }
}

fn named<'a>(reference: &Reference, images: &'a [StoredImage]) -> Option<&'a StoredImage> {
    let name = reference.to_string();
    images.iter().find(|image| match reference.digest() {
        Some(digest) => image.manifest_digest == *digest,
        None => image.names.contains(&name),
    })
}

/// The digits of a text that may be the beginning of a digest, in small letters.
fn digits(text: &str) -> Option<String> {
    let rest = match has_algorithm(text) {
        true => &text[ALGORITHM.len()..],
        false => text,
    };
    let are_digits = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    are_digits.then(|| rest.to_ascii_lowercase())
}

fn has_algorithm(text: &str) -> bool {
    text.get(..ALGORITHM.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(ALGORITHM))
}

fn is_short(text: &str) -> bool {
    digits(text).is_some_and(|digits| digits.len() < DIGITS_MIN)
}

/// An image as an error names it: with so many digits that it is told apart, as far as digits do that.
fn candidate(image: &StoredImage, digits: &str) -> String {
    let shown = DIGITS_SHOWN.max(digits.len() + 1);
    let hex: String = image.manifest_digest.hex().chars().take(shown).collect();
    match image.names.first() {
        Some(name) => format!("`{hex}` ({name})"),
        None => format!("`{hex}`"),
    }
}

#[cfg(test)]
mod tests {
    use wasm_edge_model::time::Timestamp;

    use super::*;
    use crate::digest::Digest;
    use crate::document::Descriptor;

    /// A digest that begins with these digits.
    fn digest(start: &str) -> Digest {
        Digest::from_hex(&format!("{start:0<64}")).unwrap()
    }

    fn image(name: Option<&str>, manifest: &str, component: &str) -> StoredImage {
        let part = |digest| Descriptor {
            media_type: String::new(),
            digest,
            size_bytes: 1,
        };
        StoredImage {
            manifest_digest: digest(manifest),
            media_type: String::new(),
            component: part(digest(component)),
            config: part(digest("ff")),
            size_bytes: 3,
            names: name.map(str::to_owned).into_iter().collect(),
            last_used: Timestamp::UNSET,
            holders: Vec::new(),
            is_whole: true,
        }
    }

    fn images() -> Vec<StoredImage> {
        vec![
            image(Some("a.org/sensor:1"), "abcd1", "12345"),
            image(Some("a.org/sensor:2"), "abcd2", "12345"),
            image(Some("docker.io/library/beef:latest"), "0001", "77777"),
            image(None, "beef1", "88888"),
        ]
    }

    #[test]
    fn an_image_is_meant_by_name_and_by_digits_of_either_digest() {
        let check = |text: &str, manifest: &str, by_name: bool| {
            let found = find(text, images()).unwrap_or_else(|err| panic!("{text}: {err}"));
            assert_eq!(found.image.manifest_digest, digest(manifest), "{text}");
            let is_name = matches!(found.name, ImageName::Reference(_));
            assert_eq!(is_name, by_name, "{text}");
        };
        check("a.org/sensor:1", "abcd1", true);
        check("abcd1", "abcd1", false);
        check("ABCD2", "abcd2", false);
        check("sha256:abcd1", "abcd1", false);
        check("SHA256:ABCD1", "abcd1", false);
        check(&digest("abcd2").to_string(), "abcd2", false);
        check(&digest("abcd2").to_string().to_uppercase(), "abcd2", false);
        check(&digest("77777").to_string(), "0001", false);
        check("7777", "0001", false);
        check(&format!("a.org/sensor@{}", digest("abcd2")), "abcd2", true);
        // A name that is there is meant by its letters, and not as digits.
        check("beef", "0001", true);
        check("beef1", "beef1", false);
        check("sha256:beef", "beef1", false);
    }

    #[test]
    fn what_means_none_or_several_is_told_so() {
        let check = |text: &str, expected: &str, hint: &str| {
            let err = find(text, images()).unwrap_err();
            assert_eq!(err.to_string(), expected);
            assert_eq!(err.hint(), hint);
        };
        check(
            "abcd",
            "`abcd` may be one of 2 images",
            "say which: `abcd10000000` (a.org/sensor:1), `abcd20000000` (a.org/sensor:2)",
        );
        check(
            "sha256:12345",
            "`sha256:12345` may be one of 2 images",
            "say which: `abcd10000000` (a.org/sensor:1), `abcd20000000` (a.org/sensor:2)",
        );
        let list = "see which there are with `wasm-edge image list`";
        check(
            "a.org/none",
            "the image store does not have `a.org/none`",
            list,
        );
        check("9999", "the image store does not have `9999`", list);
        check("", "the image store does not have ``", list);
        check("sha256:", "the image store does not have `sha256:`", list);
        check("é\n", "the image store does not have `é\\n`", list);
        let short = "a digest is named by its first 4 digits or more";
        check("abc", "the image store does not have `abc`", short);
        check(
            "sha256:a",
            "the image store does not have `sha256:a`",
            short,
        );
    }

    #[test]
    fn of_many_images_only_some_are_named() {
        let many = (0..30).map(|n| image(None, &format!("abcd{n:02}"), "1"));
        let err = find("abcd", many.collect()).unwrap_err();
        assert!(
            err.hint().ends_with("`abcd09000000` and 20 more"),
            "{}",
            err.hint()
        );
    }
}
