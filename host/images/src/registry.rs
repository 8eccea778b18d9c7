//! Registries: asking them for images, and giving them images.
//!
//! Owns what is said to a registry (OCI distribution specification 1.1): signing in, mirrors, redirects, trying again,
//! resuming. Everything that a registry says is bounded and checked before it is used. Leaves where blobs are kept to
//! the caller, by [`blob::BlobSink`], connecting to the net crate, and which image is wanted when to the agent.

pub mod blob;
pub mod error;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::proxy::Proxy;
use wasm_edge_net::traffic::Counter;

use self::blob::{BlobSink, BlobSource};
use self::error::RegistryError;
use crate::credentials::{Credentials, DockerConfig};
use crate::digest::Digest;
use crate::document::{Descriptor, ImageManifest, PackedImage};
use crate::reference::{Reference, RegistryHost};

/// How registries are reached. `Default` is without proxy, by the system's clock and certificates, as nobody.
#[derive(Debug)]
pub struct RegistryOptions {
    /// What everything goes through, if there is one.
    pub proxy: Option<Proxy>,
    /// The time that certificates are judged by.
    pub clock: HubClock,
    /// How long a connection may take in all, with TLS.
    pub connect_timeout: Duration,
    /// What is said of single hosts.
    pub hosts: BTreeMap<RegistryHost, HostSettings>,
    /// The only registries that may be asked, with their mirrors; none is any.
    pub allowed: Option<Vec<RegistryHost>>,
    /// Passwords of Docker's `config.json`, for hosts of which nothing else says one.
    pub docker: Option<DockerConfig>,
    /// Where bytes are counted.
    pub counter: Counter,
}

/// What is said of one host. `Default` is what holds for a host of which nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// As whom it is asked.
    pub credentials: Credentials,
    /// A file that holds the password for the user of `credentials`; it is read each time it is needed.
    pub password_file: Option<PathBuf>,
    /// What is asked before the host itself, in this order.
    pub mirrors: Vec<Mirror>,
    /// Whether it is spoken to without TLS.
    pub plain_http: bool,
    /// The certificates (PEM) that it is trusted by; none are those of the system.
    pub ca_file: Option<PathBuf>,
}

/// Where images of a registry can be had as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The host; whether it is spoken to without TLS, and by which certificates it is trusted, its own settings say.
    pub host: RegistryHost,
    /// What stands before the name of a repository there; empty for nothing.
    pub prefix: String,
}

/// Asks registries; clones share the settings.
#[derive(Debug, Clone)]
pub struct Registry {
    inner: Arc<RegistryOptions>,
}

/// A repository that is being asked: its connections and its token live as long as it does.
#[derive(Debug)]
pub struct Repository {
    registry: Registry,
    reference: Reference,
    credentials: Credentials,
}

/// What a reference leads to, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The digest of the manifest.
    pub manifest_digest: Digest,
    /// The bytes of the manifest.
    pub manifest: Bytes,
    /// What it says.
    pub image: ImageManifest,
    /// The index that it was chosen from, if the reference leads to one: its digest and its bytes.
    pub index: Option<(Digest, Bytes)>,
}

/// How far a transfer is, told as it goes on: bytes of this blob, those that were there before included.
pub type Progress<'a> = &'a (dyn Fn(u64) + Send + Sync);

impl Registry {
    /// What asks so.
    pub fn new(options: RegistryOptions) -> Self {
        Self {
            inner: Arc::new(options),
        }
    }

    /// A repository, asked with the credentials that came with the reference; where they are those of nobody, with those
    /// of the settings.
    ///
    /// # Errors
    /// [`RegistryError::NotAllowed`].
    pub fn repository(
        &self,
        reference: &Reference,
        credentials: &Credentials,
    ) -> Result<Repository, RegistryError> {
        if let Some(allowed) = &self.inner.allowed
            && !allowed.contains(reference.registry())
        {
            let host = reference.registry().to_string();
            return Err(RegistryError::NotAllowed { host });
        }
        Ok(Repository {
            registry: self.clone(),
            reference: reference.clone(),
            credentials: credentials.clone(),
        })
    }
}

impl Repository {
    /// Asks which image the reference means, and reads its manifest: one request, two where it leads to an index.
    ///
    /// # Errors
    /// Any [`RegistryError`].
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn resolve(&mut self) -> Result<Resolved, RegistryError> {
        Err(self.unanswered())
    }

    /// Gets what the sink does not hold yet of a blob, and compares size and digest of the whole. After an error the
    /// sink holds what can be gone on with, or nothing.
    ///
    /// # Errors
    /// Any [`RegistryError`].
    ///
    /// # Cancel safety
    /// The sink holds what came.
    pub async fn pull_blob<S: BlobSink>(
        &mut self,
        _blob: &Descriptor,
        _sink: &mut S,
        _progress: Progress<'_>,
    ) -> Result<(), RegistryError> {
        Err(self.unanswered())
    }

    /// Gives an image to the registry under the reference's tag: blobs that it has already are not sent. Answers the
    /// digest of the manifest.
    ///
    /// # Errors
    /// Any [`RegistryError`].
    ///
    /// # Cancel safety
    /// The registry may have some blobs, and no manifest that names them.
    pub async fn push(
        &mut self,
        _image: &PackedImage,
        _component: BlobSource,
        _progress: Progress<'_>,
    ) -> Result<Digest, RegistryError> {
        Err(self.unanswered())
    }

    fn unanswered(&self) -> RegistryError {
        let _ = (&self.registry, self.credentials.header());
        RegistryError::NotAllowed {
            host: self.reference.registry().to_string(),
        }
    }
}
