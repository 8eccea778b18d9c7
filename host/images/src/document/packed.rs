//! A module image as it is pushed or saved: the manifest and the config of a component.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use wasm_edge_model::time::Timestamp;

use super::{Descriptor, DocumentFault, ImageManifest, MANIFEST, WASM_CONFIG, WASM_LAYER};
use crate::digest::Digest;

/// What an image says beside its component.
#[derive(Debug, Clone)]
pub struct ImageFacts {
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub author: Option<String>,
    /// The name of the component's file, by which other tools unpack it.
    pub file_name: Option<String>,
    /// What the component needs and offers.
    pub component: ComponentFacts,
    /// Annotations of the manifest: `org.opencontainers.image.version` and others of the OCI image specification,
    /// *Annotations*; `created` is added.
    pub annotations: BTreeMap<String, String>,
}

/// What a component needs and offers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ComponentFacts {
    /// Interfaces that it exports.
    pub exports: Vec<String>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// The world that it is made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// An image that is ready to be pushed or saved, but for the bytes of its component.
#[derive(Debug, Clone)]
pub struct PackedImage {
    /// The manifest.
    pub manifest: Bytes,
    /// Its media type.
    pub media_type: &'static str,
    /// The digest of the manifest: what names the image.
    pub digest: Digest,
    /// The config.
    pub config: Bytes,
    /// What the manifest says of the config.
    pub config_descriptor: Descriptor,
    /// What the manifest says of the component.
    pub layer: Descriptor,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'static str,
    config: DescriptorForm<'a>,
    layers: [DescriptorForm<'a>; 1],
    annotations: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescriptorForm<'a> {
    media_type: &'a str,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<&'a str>,
    architecture: &'static str,
    os: &'static str,
    layer_digests: [String; 1],
    component: &'a ComponentFacts,
}

/// The annotation of when an image was made.
const CREATED: &str = "org.opencontainers.image.created";

/// The annotation that other tools take the name of a file from.
const TITLE: &str = "org.opencontainers.image.title";

impl PackedImage {
    /// The image of a component that has this digest and so many bytes.
    pub fn new(component: Digest, size_bytes: u64, facts: &ImageFacts) -> Self {
        let layer = Descriptor {
            media_type: WASM_LAYER.to_owned(),
            digest: component,
            size_bytes,
        };
        let config = json(&Config {
            created: facts.created.to_string(),
            author: facts.author.as_deref(),
            architecture: "wasm",
            os: "wasip2",
            layer_digests: [component.to_string()],
            component: &facts.component,
        });
        let config_descriptor = Descriptor {
            media_type: WASM_CONFIG.to_owned(),
            digest: Digest::of(&config),
            size_bytes: config.len() as u64,
        };
        let mut annotations = facts.annotations.clone();
        annotations
            .entry(CREATED.to_owned())
            .or_insert_with(|| facts.created.to_string());
        let title = facts.file_name.as_deref().map(|name| (TITLE, name));
        let manifest = json(&Manifest {
            schema_version: 2,
            media_type: MANIFEST,
            config: DescriptorForm::new(&config_descriptor, None),
            layers: [DescriptorForm::new(&layer, title)],
            annotations: &annotations,
        });
        Self {
            digest: Digest::of(&manifest),
            manifest,
            media_type: MANIFEST,
            config,
            config_descriptor,
            layer,
        }
    }
}

impl PackedImage {
    /// An image that was made before, as it is: by its manifest, which is of this media type, and its config.
    ///
    /// # Errors
    /// The manifest is none of a module image.
    pub fn again(manifest: Bytes, media_type: &str, config: Bytes) -> Result<Self, DocumentFault> {
        let read = ImageManifest::read(&manifest, Some(media_type))?;
        Ok(Self {
            digest: Digest::of(&manifest),
            manifest,
            media_type: read.media_type,
            config,
            config_descriptor: read.config,
            layer: read.layer,
        })
    }
}

impl<'a> DescriptorForm<'a> {
    fn new(descriptor: &'a Descriptor, annotation: Option<(&'static str, &'a str)>) -> Self {
        Self {
            media_type: &descriptor.media_type,
            digest: descriptor.digest.to_string(),
            size: descriptor.size_bytes,
            annotations: annotation.into_iter().collect(),
        }
    }
}

fn json(value: &impl Serialize) -> Bytes {
    let bytes = serde_json::to_vec(value);
    bytes.expect("texts and numbers are JSON").into()
}
