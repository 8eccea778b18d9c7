//! Manifests and indexes of images: read with bounds, and made.
//!
//! Pure. Owns what of the OCI image specification a module image uses, and every limit on what a registry or an
//! archive can state. Whoever has bytes from outside compares their digest first and reads them here. Compiling is
//! what shows that the layer is a component.
//!
//! Source: OCI image specification 1.1 (*Image Manifest*, *Image Index*, *Content Descriptors*), and the layout for
//! WebAssembly of the CNCF's runtime group (*Wasm OCI Artifact Layout*).

mod bounded;
mod packed;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use self::packed::{ComponentFacts, ImageFacts, PackedImage};

use self::bounded::{Annotations, Bounded};
use crate::digest::{Digest, DigestError};
use crate::image::IMAGE_BYTES_MAX;

/// The largest manifest or index. Those of module images have 1 or 2 KB; registries themselves take 4 MiB.
pub const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;

/// The largest config. Those of module images have some hundred bytes; it is never read, only kept and passed on.
pub const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// The most entries of an index: more than there are platforms.
const INDEX_ENTRIES_MAX: usize = 100;

/// The most layers that are read, so that an image for containers is told as what it is.
const LAYERS_MAX: usize = 200;

/// The longest media type; that of RFC 6838, section 4.2, with both names.
const MEDIA_TYPE_MAX_BYTES: usize = 255;

/// The media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The media type of a manifest as Docker's registry had it before.
pub const MANIFEST_OF_DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// The media type of an index as Docker's registry had it before.
pub const INDEX_OF_DOCKER: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The media type of the config of a module image.
pub const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// The media type of a component.
pub const WASM_LAYER: &str = "application/wasm";

/// Media types of a component, the present one and those of older tools.
const WASM_LAYERS: [&str; 3] = [
    WASM_LAYER,
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];

/// A blob by its digest, and what it is said to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What kind of content it is.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size_bytes: u64,
}

/// The manifest of a module image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    /// [`MANIFEST`] or [`MANIFEST_OF_DOCKER`].
    pub media_type: &'static str,
    /// The config, of any type.
    pub config: Descriptor,
    /// The one layer: the component, of at most [`IMAGE_BYTES_MAX`].
    pub layer: Descriptor,
    /// What is said of the image, in the words of whoever made it.
    pub annotations: BTreeMap<String, String>,
}

/// An index: images of one name for several platforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageIndex {
    /// [`INDEX`] or [`INDEX_OF_DOCKER`].
    pub media_type: &'static str,
    /// The manifests, in order.
    pub entries: Vec<IndexEntry>,
}

/// A manifest of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The manifest.
    pub descriptor: Descriptor,
    /// `os/architecture`, if it says so.
    pub platform: Option<Platform>,
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
}

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Platform {
    /// The architecture: `wasm` for a module image.
    #[serde(default)]
    pub architecture: String,
    /// The system: `wasip2` for a component.
    #[serde(default)]
    pub os: String,
}

/// What a reference leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// A module image.
    Manifest(ImageManifest),
    /// A choice of images.
    Index(ImageIndex),
}

/// Why bytes are no manifest or index of a module image.
#[derive(Debug, thiserror::Error)]
pub enum DocumentFault {
    /// They are more than a manifest may have.
    #[error("it has more than {MANIFEST_BYTES_MAX} bytes")]
    TooLarge,
    /// They are no JSON of this form, or beyond a limit.
    #[error("it is not a manifest that can be read")]
    Json(#[from] serde_json::Error),
    /// It is of another kind.
    #[error("its media type is `{}`, expected a manifest or an index of images", .found.escape_debug())]
    MediaType {
        /// The media type.
        found: String,
    },
    /// It says that it is something else than it was said to be.
    #[error("it says it is `{}`, and was announced as `{}`", .inside.escape_debug(), .outside.escape_debug())]
    OtherMediaType {
        /// What it says.
        inside: String,
        /// What was said of it.
        outside: String,
    },
    /// It is manifest and index at once, or none of them.
    #[error("it has the parts of a manifest and those of an index, or of neither")]
    Ambiguous,
    /// It is of another version of the specification.
    #[error("its `schemaVersion` is {found}, expected 2")]
    SchemaVersion {
        /// The version.
        found: u64,
    },
    /// A digest in it is none.
    #[error("a digest in it is none")]
    Digest(#[from] DigestError),
    /// It has not one layer.
    #[error("it has {count} layers, expected one: a component")]
    Layers {
        /// How many.
        count: usize,
    },
    /// Its layer is of another kind.
    #[error("its layer is `{}`, expected `{WASM_LAYER}`", .found.escape_debug())]
    Layer {
        /// The layer's media type.
        found: String,
    },
    /// A blob in it is too large.
    #[error("its {part} has {size_bytes} bytes, more than {limit_bytes}")]
    Size {
        /// Which.
        part: &'static str,
        /// The size it states.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// An index has no entry for us.
    #[error("it is for other platforms ({}), none is `wasm`", .platforms.escape_debug())]
    Platforms {
        /// Those it is for.
        platforms: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: u64,
    media_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Bounded<RawDescriptor, LAYERS_MAX>>,
    manifests: Option<Bounded<RawDescriptor, INDEX_ENTRIES_MAX>>,
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Annotations,
}

impl Document {
    /// Reads bytes that were announced as this media type (parameters behind `;` do not count), if as any.
    ///
    /// # Errors
    /// Any [`DocumentFault`] but [`DocumentFault::Platforms`].
    pub fn read(bytes: &[u8], announced: Option<&str>) -> Result<Self, DocumentFault> {
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(DocumentFault::TooLarge);
        }
        let raw: RawDocument = serde_json::from_slice(bytes)?;
        if raw.schema_version != 2 {
            let found = raw.schema_version;
            return Err(DocumentFault::SchemaVersion { found });
        }
        let media_type = media_type(raw.media_type.as_deref(), announced)?;
        match (raw.config, raw.layers, raw.manifests) {
            (Some(config), Some(layers), None) if is_manifest(media_type) => {
                let annotations = raw.annotations.0;
                manifest(media_type, config, layers.0, annotations).map(Self::Manifest)
            }
            (None, None, Some(manifests)) if !is_manifest(media_type) => {
                let entries = manifests.0.into_iter().map(IndexEntry::read);
                Ok(Self::Index(ImageIndex {
                    media_type,
                    entries: entries.collect::<Result<_, _>>()?,
                }))
            }
            _ => Err(DocumentFault::Ambiguous),
        }
    }
}

impl ImageManifest {
    /// Reads the manifest of a module image; an index is none.
    ///
    /// # Errors
    /// As [`Document::read`], and [`DocumentFault::MediaType`] for an index.
    pub fn read(bytes: &[u8], announced: Option<&str>) -> Result<Self, DocumentFault> {
        match Document::read(bytes, announced)? {
            Document::Manifest(manifest) => Ok(manifest),
            Document::Index(index) => Err(DocumentFault::MediaType {
                found: index.media_type.to_owned(),
            }),
        }
    }

    /// How many bytes config and component have together.
    pub fn size_bytes(&self) -> u64 {
        self.config.size_bytes + self.layer.size_bytes
    }
}

impl ImageIndex {
    /// The entry that is a module image: one for `wasm` (on `wasip2` before others), else the only one if it does not
    /// say what it is for.
    ///
    /// # Errors
    /// [`DocumentFault::Platforms`].
    pub fn choose(&self) -> Result<&Descriptor, DocumentFault> {
        let wasm = |entry: &&IndexEntry| {
            let platform = entry.platform.as_ref();
            platform.is_some_and(|platform| platform.architecture == "wasm")
        };
        let wasip2 = |entry: &&IndexEntry| {
            let platform = entry.platform.as_ref();
            platform.is_some_and(|platform| platform.os == "wasip2")
        };
        let ours = || self.entries.iter().filter(wasm);
        let sole = match self.entries.as_slice() {
            [sole] if sole.platform.is_none() => Some(sole),
            _ => None,
        };
        let chosen = ours().find(wasip2).or_else(|| ours().next()).or(sole);
        chosen
            .map(|entry| &entry.descriptor)
            .ok_or_else(|| DocumentFault::Platforms {
                platforms: self.platforms(),
            })
    }

    /// The first platforms, as they are shown.
    fn platforms(&self) -> String {
        let shown = self.entries.iter().take(5).map(|entry| {
            let platform = entry.platform.clone().unwrap_or_default();
            let text = format!("{}/{}", platform.os, platform.architecture);
            text.chars().take(40).collect::<String>()
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

impl IndexEntry {
    fn read(raw: RawDescriptor) -> Result<Self, DocumentFault> {
        Ok(Self {
            platform: raw.platform.clone(),
            annotations: raw.annotations.0.clone(),
            descriptor: raw.checked("manifest", MANIFEST_BYTES_MAX)?,
        })
    }
}

impl RawDescriptor {
    fn checked(self, part: &'static str, limit_bytes: u64) -> Result<Descriptor, DocumentFault> {
        let size_bytes = self.size;
        if size_bytes > limit_bytes {
            return Err(DocumentFault::Size {
                part,
                size_bytes,
                limit_bytes,
            });
        }
        Ok(Descriptor {
            digest: self.digest.parse()?,
            media_type: cut(&self.media_type),
            size_bytes,
        })
    }
}

fn manifest(
    media_type: &'static str,
    config: RawDescriptor,
    layers: Vec<RawDescriptor>,
    annotations: BTreeMap<String, String>,
) -> Result<ImageManifest, DocumentFault> {
    let count = layers.len();
    let [layer] =
        <[RawDescriptor; 1]>::try_from(layers).map_err(|_| DocumentFault::Layers { count })?;
    if !WASM_LAYERS.contains(&layer.media_type.as_str()) {
        let found = cut(&layer.media_type);
        return Err(DocumentFault::Layer { found });
    }
    Ok(ImageManifest {
        media_type,
        config: config.checked("config", CONFIG_BYTES_MAX)?,
        layer: layer.checked("component", IMAGE_BYTES_MAX)?,
        annotations,
    })
}

fn is_manifest(media_type: &str) -> bool {
    [MANIFEST, MANIFEST_OF_DOCKER].contains(&media_type)
}

/// What a document is, by what it says itself and what was said of it. Servers of files say of all of them that they
/// are JSON, or text, which counts as nothing.
fn media_type(
    inside: Option<&str>,
    announced: Option<&str>,
) -> Result<&'static str, DocumentFault> {
    const ANY: [&str; 4] = [
        "",
        "application/json",
        "application/octet-stream",
        "text/plain",
    ];
    let outside = announced.map(|text| text.split(';').next().unwrap_or(text).trim());
    let outside = outside.filter(|text| !ANY.contains(text));
    let found = match (inside, outside) {
        (Some(inside), Some(outside)) if inside != outside => {
            return Err(DocumentFault::OtherMediaType {
                inside: cut(inside),
                outside: cut(outside),
            });
        }
        (inside, outside) => inside.or(outside).unwrap_or("none"),
    };
    let known = [MANIFEST, INDEX, MANIFEST_OF_DOCKER, INDEX_OF_DOCKER];
    let known = known.into_iter().find(|known| *known == found);
    known.ok_or_else(|| DocumentFault::MediaType { found: cut(found) })
}

/// The start of a text that came from outside.
fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(MEDIA_TYPE_MAX_BYTES);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests;
