//! Where a module's image comes from: an OCI reference or a file.
//!
//! The grammar is that of the distribution project's references
//! (`host[:port]/path[:tag][@digest]`). Leaves out its defaults: the
//! registry client knows what no host and no tag mean.

use std::borrow::Cow;
use std::fmt;

/// What stands in place of a login.
const BLANK_LOGIN: &str = "*****:*****";

/// What is shown in place of a secret, and is none itself: who copies it has lost the secret.
pub const BLANKED: &str = "*****";

/// The longest name of an image, without tag and digest, in characters.
const NAME_MAX_CHARS: usize = 255;

/// The longest tag, in characters.
const TAG_MAX_CHARS: usize = 128;

/// The longest path of a `file:` image, in bytes.
const FILE_PATH_MAX_BYTES: usize = 4096;

/// Where a module's image comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageReference {
    /// A registry.
    Registry {
        /// `[host[:port]/]path[:tag][@sha256:hex]`, checked.
        reference: String,
    },
    /// A file of this machine.
    File {
        /// Absolute, or relative to the manifest's folder.
        path: String,
    },
}

/// Why a text is no reference of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageReferenceError {
    /// It is empty.
    #[error("the image has no name")]
    Empty,
    /// A user and perhaps a password stand in it, which are not repeated.
    #[error(
        "a login is no part of an image's name: it stands in `registryCredentials` of the deployment, in `[registries]` of the configuration, or is left by `docker login`"
    )]
    Login,
    /// The name is longer than 255 characters.
    #[error("the image's name has {length} characters, more than {NAME_MAX_CHARS}")]
    TooLong {
        /// Its length in characters.
        length: usize,
    },
    /// The registry's host or port is malformed.
    #[error("the registry `{}` is malformed", .host.escape_debug())]
    Host {
        /// Host and port.
        host: String,
    },
    /// A part of the path is malformed.
    #[error("`{}` in the image's name is malformed: letters must be lower-case, words are joined by `.`, `_`, `__` or `-`", .part.escape_debug())]
    Part {
        /// The part.
        part: String,
    },
    /// The tag is malformed.
    #[error("the tag `{}` is malformed", .tag.escape_debug())]
    Tag {
        /// The tag.
        tag: String,
    },
    /// The digest is malformed, or of another kind than SHA-256.
    #[error("the digest `{}` is not `sha256:` and 64 hexadecimal digits in lower case", .digest.escape_debug())]
    Digest {
        /// The digest.
        digest: String,
    },
    /// The digest beside the reference is not the one in it.
    #[error("the reference names another digest, `{digest}`")]
    OtherDigest {
        /// The one in the reference.
        digest: String,
    },
    /// There is a digest beside a `file:` image.
    #[error("a `file:` image has no digest")]
    DigestOfFile,
    /// The path of a `file:` image is empty, too long, or not of this machine.
    #[error("`{}` is no path of a file on this machine", .path.escape_debug())]
    File {
        /// The path.
        path: String,
    },
}

impl ImageReference {
    /// Reads a reference to a registry, or `file:` and a path
    /// (`file:///path` too).
    ///
    /// # Errors
    /// [`ImageReferenceError`], the first found from the end of the text.
    pub fn parse(text: &str) -> Result<Self, ImageReferenceError> {
        match text.strip_prefix("file:") {
            Some(path) => file(path),
            None => registry(text),
        }
    }

    /// The same image, which must have this digest.
    ///
    /// # Errors
    /// [`ImageReferenceError::Digest`] and
    /// [`ImageReferenceError::OtherDigest`];
    /// [`ImageReferenceError::DigestOfFile`] for a file, which is read as it
    /// is.
    pub fn with_digest(self, digest: &str) -> Result<Self, ImageReferenceError> {
        check_digest(digest)?;
        match self {
            Self::File { .. } => Err(ImageReferenceError::DigestOfFile),
            Self::Registry { reference } => match reference.split_once('@') {
                None => Ok(Self::Registry {
                    reference: format!("{reference}@{digest}"),
                }),
                Some((_, known)) if known == digest => Ok(Self::Registry { reference }),
                Some((_, known)) => Err(ImageReferenceError::OtherDigest {
                    digest: known.into(),
                }),
            },
        }
    }

    /// The digest that the image must have, if the reference names one.
    pub fn digest(&self) -> Option<&str> {
        match self {
            Self::Registry { reference } => Some(reference.split_once('@')?.1),
            Self::File { .. } => None,
        }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry { reference } => f.write_str(reference),
            Self::File { path } => write!(f, "file:{path}"),
        }
    }
}

/// The text of a reference as it can be shown: a user and a password before a host, as addresses have them and references
/// must not, are blanked.
pub fn without_login(text: &str) -> Cow<'_, str> {
    match login_end(text) {
        Some(end) => Cow::Owned(format!("{BLANK_LOGIN}{}", &text[end..])),
        None => Cow::Borrowed(text),
    }
}

/// Where what looks like a login ends, at its `@`. No digest has a slash, and none follows what has a colon and no path
/// but a tag; whoever is in doubt takes it for a login, since its text is then not repeated.
fn login_end(text: &str) -> Option<usize> {
    if text.starts_with("file:") {
        return None;
    }
    let (before, after) = text.split_once('@')?;
    if after.contains('/') {
        // A password may have an `@`, and so has a digest behind the path.
        return text[..text.rfind('/')?].rfind('@');
    }
    let is_address = before.contains("://");
    let is_named = before.contains(':') && !before.contains('/');
    (is_address || (is_named && !is_digest_like(after))).then(|| text.rfind('@'))?
}

/// Whether it is meant as a digest, be it well-formed or not: `sha256:` and such.
fn is_digest_like(text: &str) -> bool {
    let algorithm = text.split_once(':').map(|(algorithm, _)| algorithm);
    let number = algorithm.and_then(|algorithm| algorithm.strip_prefix("sha"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn file(path: &str) -> Result<ImageReference, ImageReferenceError> {
    let error = || ImageReferenceError::File { path: cut(path) };
    let path = match path.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(_host) => return Err(error()),
        None => path,
    };
    let is_file = !path.is_empty() && !path.ends_with('/') && !path.contains(char::is_control);
    match is_file && path.len() <= FILE_PATH_MAX_BYTES {
        true => Ok(ImageReference::File { path: path.into() }),
        false => Err(error()),
    }
}

fn registry(text: &str) -> Result<ImageReference, ImageReferenceError> {
    if login_end(text).is_some() {
        return Err(ImageReferenceError::Login);
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    digest.map_or(Ok(()), check_digest)?;
    // A colon before the last slash belongs to a port.
    let tag_at = rest
        .rfind(':')
        .filter(|colon| !rest[*colon..].contains('/'));
    let (name, tag) = match tag_at {
        Some(colon) => (&rest[..colon], Some(&rest[colon + 1..])),
        None => (rest, None),
    };
    tag.map_or(Ok(()), check_tag)?;
    check_name(name)?;
    Ok(ImageReference::Registry {
        reference: text.into(),
    })
}

fn check_name(name: &str) -> Result<(), ImageReferenceError> {
    if name.is_empty() {
        return Err(ImageReferenceError::Empty);
    }
    let length = name.chars().count();
    if length > NAME_MAX_CHARS {
        return Err(ImageReferenceError::TooLong { length });
    }
    let path = match name.split_once('/') {
        Some((first, path)) if is_host_like(first) => {
            check_host(first)?;
            path
        }
        _ => name,
    };
    match path.split('/').find(|part| !is_part(part)) {
        Some(part) => Err(ImageReferenceError::Part { part: cut(part) }),
        None => Ok(()),
    }
}

/// Whether the first part of a name is a host: the rule of the Docker tools.
fn is_host_like(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':', '['])
        || first.contains(|c: char| c.is_ascii_uppercase())
}

fn check_host(first: &str) -> Result<(), ImageReferenceError> {
    let error = || ImageReferenceError::Host { host: cut(first) };
    let (is_host, port) = match first.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(error)?;
            (address.parse::<std::net::Ipv6Addr>().is_ok(), port)
        }
        None => {
            let (host, port) = first.split_at(first.find(':').unwrap_or(first.len()));
            (host.split('.').all(is_host_label), port)
        }
    };
    let is_port = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    match is_host && is_port {
        true => Ok(()),
        false => Err(error()),
    }
}

fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Whether it is words of lower-case letters and digits, joined by `.`, `_`,
/// `__` or any number of `-`.
fn is_part(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    let ends_in_words = is_word(*first) && is_word(*last);
    let mut joints = bytes
        .split(|b| is_word(*b))
        .filter(|joint| !joint.is_empty());
    ends_in_words
        && joints
            .all(|joint| matches!(joint, b"." | b"_" | b"__") || joint.iter().all(|b| *b == b'-'))
}

fn check_tag(tag: &str) -> Result<(), ImageReferenceError> {
    let is_tag = !tag.is_empty()
        && tag.len() <= TAG_MAX_CHARS
        && !tag.starts_with(['.', '-'])
        && tag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    match is_tag {
        true => Ok(()),
        false => Err(ImageReferenceError::Tag { tag: cut(tag) }),
    }
}

fn check_digest(digest: &str) -> Result<(), ImageReferenceError> {
    let is_hex =
        |hex: &str| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match digest.strip_prefix("sha256:").is_some_and(is_hex) {
        true => Ok(()),
        false => Err(ImageReferenceError::Digest {
            digest: cut(digest),
        }),
    }
}

/// The start of a text that came from outside, for a message to a person.
fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn references_of_registries_are_read() {
        let check = |text: &str| {
            assert_eq!(ImageReference::parse(text).unwrap().to_string(), text);
        };
        check("filter");
        check("filter:1.0");
        check("library/filter");
        check("localhost/filter:1");
        check("localhost:5000/filter");
        check("Registry/filter");
        check("registry.example.com/team/a.b_c__d---e:V1_2.3-x");
        check("192.168.0.1:5000/filter");
        check("[::1]:5000/filter:1");
        check("[fe80::1]/filter");
        check("mcr.microsoft.com/azureiotedge-agent:1.0");
        check(&format!("a/b@{DIGEST}"));
        check(&format!("host:1/a/b:tag@{DIGEST}"));
        check(&format!("a:{}", "t".repeat(128)));
    }

    #[test]
    fn other_references_are_refused() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                ImageReference::parse(text).unwrap_err().to_string(),
                expected,
                "{text}"
            );
        };
        let part = |part| {
            format!(
                "`{part}` in the image's name is malformed: letters must be lower-case, words are joined by `.`, `_`, `__` or `-`"
            )
        };
        check("", "the image has no name");
        check(":1", "the image has no name");
        check("Filter", &part("Filter"));
        check("a/Filter:1", &part("Filter"));
        check("a//b", &part(""));
        check("a/b/", &part(""));
        check("/a", &part(""));
        check("a/.b", &part(".b"));
        check("a/b..c", &part("b..c"));
        check("a/b___c", &part("b___c"));
        check("a/b-_c", &part("b-_c"));
        check("a b", &part("a b"));
        check("ä", &part("ä"));
        check("https://a.com/b", "the registry `https:` is malformed");
        check("a.com:x/b", "the registry `a.com:x` is malformed");
        check("a.com:70000/b", "the registry `a.com:70000` is malformed");
        check("a.com:+80/b", "the registry `a.com:+80` is malformed");
        check("-a.com/b", "the registry `-a.com` is malformed");
        check("[::1/b", "the registry `[::1` is malformed");
        check("[x]/b", "the registry `[x]` is malformed");
        check("a:", "the tag `` is malformed");
        check("a:.b", "the tag `.b` is malformed");
        check(
            &format!("a:{}", "t".repeat(129)),
            &format!("the tag `{}` is malformed", "t".repeat(80)),
        );
        let digest = |text| {
            format!("the digest `{text}` is not `sha256:` and 64 hexadecimal digits in lower case")
        };
        check("a@", &digest(""));
        check("a@sha256:12", &digest("sha256:12"));
        check("a@b@c", &digest("b@c"));
        check(
            &"a".repeat(256),
            "the image's name has 256 characters, more than 255",
        );
    }

    #[test]
    fn a_login_is_refused_and_never_repeated() {
        let check = |text: &str, shown: &str| {
            let err = ImageReference::parse(text).unwrap_err();
            assert_eq!(err, ImageReferenceError::Login, "{text}");
            assert_eq!(without_login(text), shown);
            // What is shown is refused for the same reason.
            let err = ImageReference::parse(shown).unwrap_err();
            assert_eq!(err, ImageReferenceError::Login, "{shown}");
        };
        check("joe:secret@host/x:1", "*****:*****@host/x:1");
        check("joe@host:5000/x", "*****:*****@host:5000/x");
        check("joe:s@cr/t@host/a/b", "*****:*****@host/a/b");
        check("joe:secret@host:5000", "*****:*****@host:5000");
        check("joe:secret@", "*****:*****@");
        check("joe:secret@shaker:5000", "*****:*****@shaker:5000");
        check("https://joe:secret@host/x", "*****:*****@host/x");
        check("https://joe:secret@host", "*****:*****@host");
        check(
            &format!("joe:s@t@host/x:1@{DIGEST}"),
            &format!("*****:*****@host/x:1@{DIGEST}"),
        );
        for reference in [
            "host/x:1",
            "",
            "a:1@sha256:12",
            "a@b",
            "host:1/a@sha512:1",
            "file:a@b/c",
        ] {
            assert_eq!(without_login(reference), reference);
        }
    }

    #[test]
    fn files_are_named_with_and_without_slashes() {
        let check = |text: &str, expected: Option<&str>| {
            let path = match ImageReference::parse(text) {
                Ok(ImageReference::File { path }) => Some(path),
                Ok(other) => panic!("{other} is no file"),
                Err(_) => None,
            };
            assert_eq!(path.as_deref(), expected, "{text}");
        };
        check("file:a.wasm", Some("a.wasm"));
        check("file:../a b.wasm", Some("../a b.wasm"));
        check("file:/a.wasm", Some("/a.wasm"));
        check("file:///a.wasm", Some("/a.wasm"));
        check("file://host/a.wasm", None);
        check("file:", None);
        check("file:a/", None);
        check("file:a\0", None);
    }

    #[test]
    fn a_digest_beside_the_reference_joins_it() {
        let parse = |text: &str| ImageReference::parse(text).unwrap();
        let joined = parse("a:1").with_digest(DIGEST).unwrap();
        assert_eq!(joined.to_string(), format!("a:1@{DIGEST}"));
        assert_eq!(joined.digest(), Some(DIGEST));
        assert_eq!(joined.clone().with_digest(DIGEST).unwrap(), joined);
        let other = DIGEST.replace('0', "1");
        let error = joined.with_digest(&other).unwrap_err();
        assert_eq!(
            error,
            ImageReferenceError::OtherDigest {
                digest: DIGEST.into()
            }
        );
        assert!(parse("a").with_digest("sha256:").is_err());
        let error = parse("file:a").with_digest(DIGEST).unwrap_err();
        assert_eq!(error, ImageReferenceError::DigestOfFile);
        assert_eq!(parse("file:a").digest(), None);
    }
}
