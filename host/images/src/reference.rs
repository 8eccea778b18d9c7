//! The reference of an image in a registry, with everything that was left out filled in.
//!
//! Pure. Owns what no host and no tag mean, and the one form of a reference that is compared, stored and shown. The
//! grammar is the model's.

use std::fmt;
use std::str::FromStr;

use wasm_edge_model::connection_string::HostAddress;
use wasm_edge_model::manifest::{ImageReference, ImageReferenceError};

use crate::digest::{Digest, DigestError};

/// The registry of a reference that names none, as in every tool for images.
const HOST_DEFAULT: &str = "docker.io";

/// Other names of that registry.
const HOST_DEFAULT_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// Where that registry answers.
const HOST_DEFAULT_ADDRESS: &str = "registry-1.docker.io";

/// What stands before a name of one part in that registry.
const NAMESPACE_DEFAULT: &str = "library";

/// The tag of a reference without tag and digest.
const TAG_DEFAULT: &str = "latest";

/// The host of a registry, in small letters, with a port if it is not the usual one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryHost(String);

/// An image in a registry: which host, which repository there, and a tag, a digest or both.
///
/// Its text form is canonical: `host[:port]/repository[:tag][@digest]`. One of tag and digest is always there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: RegistryHost,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no reference of an image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It names a file.
    #[error("a `file:` image is in no registry")]
    File,
    /// It is no reference at all.
    #[error(transparent)]
    Reference(#[from] ImageReferenceError),
    /// It does not name the host of a registry.
    #[error("`{}` is not the host of a registry, with a port or without", .host.escape_debug())]
    Host {
        /// The text, its first 80 characters.
        host: String,
    },
    /// It is the host of a registry alone.
    #[error("`{}` is the host of a registry, and no image there: HOST/NAME:TAG names one", .host.escape_debug())]
    HostAlone {
        /// The text.
        host: String,
    },
    /// Its digest is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl RegistryHost {
    /// Reads `name`, `name:port`, `1.2.3.4:port` or `[::1]:port`. Other names of `docker.io` become that.
    ///
    /// # Errors
    /// [`ReferenceError::Host`].
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let host = text.to_ascii_lowercase();
        if HostAddress::parse(&host).is_none() {
            return Err(ReferenceError::Host {
                host: text.chars().take(80).collect(),
            });
        }
        Ok(match HOST_DEFAULT_ALIASES.contains(&host.as_str()) {
            true => RegistryHost(HOST_DEFAULT.to_owned()),
            false => RegistryHost(host),
        })
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it answers, with a port if that is not the usual one.
    pub fn address(&self) -> HostAddress {
        let name = match self.0.as_str() {
            HOST_DEFAULT => HOST_DEFAULT_ADDRESS,
            name => name,
        };
        HostAddress::parse(name).expect("the name was read as an address")
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Reference {
    /// A repository of a registry, under the usual tag.
    pub(crate) fn at(registry: &RegistryHost, repository: &str) -> Self {
        Self {
            registry: registry.clone(),
            repository: repository.to_owned(),
            tag: Some(TAG_DEFAULT.to_owned()),
            digest: None,
        }
    }

    /// The host of the registry.
    pub fn registry(&self) -> &RegistryHost {
        &self.registry
    }

    /// The name of the repository there.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if it names one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest, if it names one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same image, which must have this manifest.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// What a manifest is asked for by: the digest, else the tag.
    pub fn asked_by(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.clone().unwrap_or_else(|| TAG_DEFAULT.to_owned()),
        }
    }
}

impl TryFrom<&ImageReference> for Reference {
    type Error = ReferenceError;

    fn try_from(image: &ImageReference) -> Result<Self, ReferenceError> {
        match image {
            ImageReference::File { .. } => Err(ReferenceError::File),
            ImageReference::Registry { reference } => reference.parse(),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let ImageReference::Registry { reference } = ImageReference::parse(text)? else {
            return Err(ReferenceError::File);
        };
        let (rest, digest) = match reference.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (reference.as_str(), None),
        };
        // A colon before the last slash belongs to a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if digest.is_none() && is_host_alone(name, tag) {
            let host = rest.to_owned();
            return Err(ReferenceError::HostAlone { host });
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_host_like(first) => (host(first)?, path),
            _ => (RegistryHost(HOST_DEFAULT.to_owned()), name),
        };
        let is_short = registry.as_str() == HOST_DEFAULT && !path.contains('/');
        let repository = match is_short {
            true => format!("{NAMESPACE_DEFAULT}/{path}"),
            false => path.to_owned(),
        };
        let tag = match (tag, digest) {
            (None, None) => Some(TAG_DEFAULT),
            (tag, _) => tag,
        };
        let filled_in = Self {
            registry,
            repository,
            tag: tag.map(str::to_owned),
            digest,
        };
        // What is stored under this form has to be found by it: with its host a name may be too long, and a host in
        // small letters may read as a file.
        match ImageReference::parse(&filled_in.to_string())? {
            ImageReference::Registry { .. } => Ok(filled_in),
            ImageReference::File { .. } => Err(ReferenceError::File),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// The first part of a name as a host. One that is a host by its capital letters alone would be none in small ones.
fn host(first: &str) -> Result<RegistryHost, ReferenceError> {
    let host = RegistryHost::parse(first)?;
    match is_host_like(host.as_str()) {
        true => Ok(host),
        false => Err(ReferenceError::Host {
            host: first.to_owned(),
        }),
    }
}

/// Whether the first part of a name is a host: the rule of the Docker tools.
fn is_host_like(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':', '['])
        || first.contains(|c: char| c.is_ascii_uppercase())
}

/// Whether a name without a path is that of a host, and its tag, if there is one, a port.
fn is_host_alone(name: &str, tag: Option<&str>) -> bool {
    let is_port = |tag: &str| tag.parse::<u16>().is_ok();
    match tag {
        _ if name.contains('/') => false,
        None => name == "localhost",
        Some(tag) => is_host_like(name) && is_port(tag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn what_was_left_out_is_filled_in_and_the_form_is_one() {
        let check = |text: &str, expected: &str| {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), expected, "{text}");
            let again: Reference = expected.parse().unwrap();
            assert_eq!(again, reference, "{text}");
        };
        check("filter", "docker.io/library/filter:latest");
        check("filter:1", "docker.io/library/filter:1");
        check("filter.v2:latest", "docker.io/library/filter.v2:latest");
        check("team/filter", "docker.io/team/filter:latest");
        check("docker.io/filter", "docker.io/library/filter:latest");
        check("index.docker.io/a/b:1", "docker.io/a/b:1");
        check("registry-1.docker.io/b", "docker.io/library/b:latest");
        check("localhost/filter:1", "localhost/filter:1");
        check("localhost:5000/filter", "localhost:5000/filter:latest");
        check(
            "Registry.Example.ORG/a/b",
            "registry.example.org/a/b:latest",
        );
        check("[::1]:5000/a", "[::1]:5000/a:latest");
        check(&format!("a.b/c@{DIGEST}"), &format!("a.b/c@{DIGEST}"));
        check(
            &format!("a.b:1/c:2@{DIGEST}"),
            &format!("a.b:1/c:2@{DIGEST}"),
        );
        check(
            &format!("c@{DIGEST}"),
            &format!("docker.io/library/c@{DIGEST}"),
        );
    }

    #[test]
    fn other_texts_are_refused() {
        let check = |text: &str, expected: &str| {
            let err = text.parse::<Reference>().unwrap_err();
            assert_eq!(err.to_string(), expected, "{text}");
        };
        check("file:a.wasm", "a `file:` image is in no registry");
        check("", "the image has no name");
        check(
            "a.b:05000/c",
            "`a.b:05000` is not the host of a registry, with a port or without",
        );
        check(
            "Registry/c",
            "`Registry` is not the host of a registry, with a port or without",
        );
        check("a.b/c:", "the tag `` is malformed");
        for host in ["localhost:5000", "localhost", "127.0.0.1:80", "a.b:5000"] {
            let expected = format!(
                "`{host}` is the host of a registry, and no image there: HOST/NAME:TAG names one"
            );
            check(host, &expected);
        }
        check("File:5000/a", "a `file:` image is in no registry");
        check(
            &"a/b".repeat(82),
            "the image's name has 256 characters, more than 255",
        );
    }

    #[test]
    fn a_manifest_is_asked_for_by_its_digest_and_else_by_its_tag() {
        let check = |text: &str, expected: &str| {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.asked_by(), expected);
        };
        check("a", "latest");
        check("a:1", "1");
        check(&format!("a:1@{DIGEST}"), DIGEST);
        let pinned = "a:1".parse::<Reference>().unwrap();
        let pinned = pinned.pinned(DIGEST.parse().unwrap());
        assert_eq!(
            pinned.to_string(),
            format!("docker.io/library/a:1@{DIGEST}")
        );
    }

    #[test]
    fn the_registry_that_is_not_named_answers_elsewhere() {
        let check = |text: &str, expected: &str| {
            let host = RegistryHost::parse(text).unwrap();
            assert_eq!(host.address().to_string(), expected);
        };
        check("docker.io", "registry-1.docker.io");
        check("index.docker.io", "registry-1.docker.io");
        check("a.b:5000", "a.b:5000");
    }
}
