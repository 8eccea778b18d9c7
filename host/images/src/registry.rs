//! Registries: asking them for images, and giving them images.
//!
//! Owns what is said to a registry (OCI distribution specification 1.1): signing in, mirrors, redirects, trying again,
//! resuming. Everything that a registry says is bounded and checked before it is used. Leaves where blobs are kept to
//! the caller, by [`blob::BlobSink`], connecting to the net crate, and which image is wanted when to the agent.

pub mod address;
pub mod blob;
pub mod challenge;
pub mod error;
pub mod message;
mod mirrors;
pub mod probe;
mod pull;
mod push;
mod retry;
mod station;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::spawn_blocking;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::dial::{Dialer, DialerOptions, Security};
use wasm_edge_net::proxy::Proxy;
use wasm_edge_net::traffic::Counter;
use wasm_edge_net::trust;

use self::address::Origin;
use self::blob::{BlobSink, BlobSource};
use self::error::RegistryError;
pub use self::mirrors::{Mirror, MirrorFailure};
use self::mirrors::{Place, everywhere};
use self::station::{Station, StationOptions};
use crate::credentials::{Credentials, DockerConfig, LoginSource, NoLogin};
use crate::digest::Digest;
use crate::document::{Descriptor, ImageManifest, PackedImage};
use crate::reference::{Reference, RegistryHost};

/// The longest file of a password; as long as tokens that serve as one.
const PASSWORD_BYTES_MAX: u64 = 24 * 1024;

/// How long nothing may come of an answer, unless said otherwise. Not a limit of the whole: links are thin.
const PATIENCE: Duration = Duration::from_secs(30);

/// How registries are reached.
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
    /// The certificates (PEM) that it is trusted by; none are those of the system. Whom it names, for tokens and for
    /// storage, may show one of either, unless something is said of that host itself.
    pub ca_file: Option<PathBuf>,
}

/// Asks registries; clones share the settings.
#[derive(Debug, Clone)]
pub struct Registry {
    inner: Arc<RegistryOptions>,
    patience: Duration,
}

/// A repository that is being asked: its connections and its token live as long as it does.
pub struct Repository {
    registry: Registry,
    reference: Reference,
    credentials: Credentials,
    /// The mirrors and then the registry itself, once somebody was asked; without those that failed.
    places: Vec<Place>,
    /// The mirrors that failed, until somebody takes note of them.
    failed: Vec<MirrorFailure>,
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
            patience: PATIENCE,
        }
    }

    /// The same, which waits for so long where nothing goes on.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Whether the device may have images of a registry.
    ///
    /// # Errors
    /// [`RegistryError::NotAllowed`].
    pub fn check_allowed(&self, host: &RegistryHost) -> Result<(), RegistryError> {
        match &self.inner.allowed {
            Some(allowed) if !allowed.contains(host) => Err(RegistryError::NotAllowed {
                host: host.to_string(),
            }),
            _ => Ok(()),
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
        self.check_allowed(reference.registry())?;
        Ok(Repository {
            registry: self.clone(),
            reference: reference.clone(),
            credentials: credentials.clone(),
            places: Vec::new(),
            failed: Vec::new(),
        })
    }

    fn settings(&self, origin: &Origin) -> Option<&HostSettings> {
        let explicit = format!("{}:{}", origin.host.name(), origin.port);
        let mut keys = [origin.key(), explicit].into_iter();
        keys.find_map(|key| self.inner.hosts.get(&RegistryHost::parse(&key).ok()?))
    }

    /// Whether somebody may be spoken to without TLS.
    fn is_plain(&self, origin: &Origin) -> bool {
        self.settings(origin)
            .is_some_and(|settings| settings.plain_http)
    }

    fn counter(&self) -> Counter {
        self.inner.counter.clone()
    }

    /// What connects to somebody whom a station named, or to itself. It is made when it is needed: certificates of a
    /// system take much memory.
    async fn dialer(&self, origin: &Origin, station: &Origin) -> Result<Dialer, RegistryError> {
        let ca_file = |origin| {
            self.settings(origin)
                .map(|settings| settings.ca_file.clone())
        };
        let own = ca_file(origin);
        let of_station = ca_file(station).flatten();
        let without_tls = origin.security == Security::Plain;
        let roots = spawn_blocking(move || match (own, of_station) {
            _ if without_tls => Ok(trust::nobody()),
            (None, Some(of_station)) => trust::roots_with(&of_station),
            (own, _) => trust::roots(own.flatten().as_deref()),
        });
        let roots = roots.await.expect("reading certificates does not panic");
        let dialer = roots.and_then(|roots| {
            Dialer::new(DialerOptions {
                roots: Arc::new(roots),
                proxy: self.inner.proxy.clone(),
                identity: None,
                clock: self.inner.clock.clone(),
                connect_timeout: self.inner.connect_timeout,
            })
        });
        dialer.map_err(|source| RegistryError::Trust {
            host: origin.to_string(),
            source,
        })
    }

    /// A place where a repository can be had.
    async fn station(
        &self,
        host: &RegistryHost,
        repository: String,
        given: Credentials,
        actions: &'static str,
    ) -> Result<Station, RegistryError> {
        let settings = self.inner.hosts.get(host);
        let is_plain = settings.is_some_and(|settings| settings.plain_http);
        let origin = Origin::new(&host.address(), station::security(is_plain));
        let mut credentials = given;
        if credentials.is_anonymous()
            && let Some(settings) = settings
        {
            credentials = settings.signed(&origin).await?;
        }
        let mut helper = None;
        if credentials.is_anonymous()
            && let Some(docker) = &self.inner.docker
        {
            match docker.credentials(&Reference::at(host, &repository)) {
                Ok(found) => credentials = found,
                Err(NoLogin::Helper(program)) => helper = Some(program),
                Err(NoLogin::Malformed(source)) => {
                    return Err(RegistryError::Login {
                        host: host.to_string(),
                        path: docker.path().to_owned(),
                        source,
                    });
                }
            }
        }
        let options = StationOptions {
            origin,
            repository,
            credentials,
            helper,
            actions,
        };
        Ok(Station::new(self.clone(), options))
    }
}

impl HostSettings {
    async fn signed(&self, origin: &Origin) -> Result<Credentials, RegistryError> {
        let (Credentials::Basic { username, .. }, Some(path)) =
            (&self.credentials, &self.password_file)
        else {
            return Ok(self.credentials.clone());
        };
        let (username, path) = (username.clone(), path.clone());
        let named = path.clone();
        let reading = spawn_blocking(move || password(&path));
        let password = reading.await.expect("reading a file does not panic");
        match password {
            Ok(password) => {
                let source = LoginSource::PasswordFile(named);
                Ok(Credentials::basic(username, password, source))
            }
            Err(source) => Err(RegistryError::PasswordFile {
                host: origin.to_string(),
                path: named,
                source,
            }),
        }
    }
}

impl Repository {
    /// Asks which image the reference means, and reads its manifest: one request, two where it leads to an index.
    ///
    /// # Errors
    /// Any [`RegistryError`]: [`RegistryError::Everywhere`] where its mirrors failed as well.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn resolve(&mut self) -> Result<Resolved, RegistryError> {
        self.reach().await?;
        loop {
            let resolved = pull::resolve(&mut self.places[0].station, &self.reference).await;
            match resolved {
                Ok(resolved) => return Ok(resolved),
                Err(err) => self.next_place(err)?,
            }
        }
    }

    /// Gets what the sink does not hold yet of a blob, and compares size and digest of the whole. After an error the
    /// sink holds what can be gone on with, or nothing.
    ///
    /// # Errors
    /// Any [`RegistryError`], as [`Self::resolve`].
    ///
    /// # Cancel safety
    /// The sink holds what came.
    pub async fn pull_blob<S: BlobSink>(
        &mut self,
        blob: &Descriptor,
        sink: &mut S,
        progress: Progress<'_>,
    ) -> Result<(), RegistryError> {
        self.reach().await?;
        loop {
            let pulled = pull::blob(&mut self.places[0].station, blob, sink, progress).await;
            match pulled {
                Ok(()) => return Ok(()),
                // What cannot be kept cannot be kept from a mirror's fellow either.
                Err(err @ RegistryError::Sink { .. }) => return Err(err),
                Err(err) => self.next_place(err)?,
            }
        }
    }

    /// Takes note of the mirrors that failed since this was asked last, though somebody else served. Those that only
    /// lack the image are not among them: a mirror need not have everything.
    pub fn take_mirror_failures(&mut self) -> Vec<MirrorFailure> {
        let mut failed = std::mem::take(&mut self.failed);
        failed.retain(|failure| !failure.error.is_missing());
        failed
    }

    /// Gives an image to the registry itself, under the reference's tag, else its digest: blobs that it has already are not sent.
    /// Answers the digest of the manifest. The progress is that of the component.
    ///
    /// # Errors
    /// Any [`RegistryError`].
    ///
    /// # Cancel safety
    /// The registry may have some blobs, and no manifest that names them.
    pub async fn push(
        &mut self,
        image: &PackedImage,
        component: &BlobSource,
        progress: Progress<'_>,
    ) -> Result<Digest, RegistryError> {
        if let Some(expected) = self
            .reference
            .digest()
            .filter(|digest| **digest != image.digest)
        {
            return Err(RegistryError::Digest {
                asked: format!("the image for `{}`", self.reference),
                expected: *expected,
                found: image.digest,
            });
        }
        let tag = self.reference.tag();
        let under = tag.map_or_else(|| image.digest.to_string(), str::to_owned);
        let host = self.reference.registry();
        let repository = self.reference.repository().to_owned();
        let given = self.credentials.clone();
        let station = self.registry.station(host, repository, given, "pull,push");
        let mut station = station.await?;
        push::blob(&mut station, &image.layer, component, progress).await?;
        let config = BlobSource::Bytes(image.config.clone());
        push::blob(&mut station, &image.config_descriptor, &config, &|_| {}).await?;
        push::manifest(&mut station, image, &under).await?;
        Ok(image.digest)
    }

    /// Finds out where the repository can be had.
    async fn reach(&mut self) -> Result<(), RegistryError> {
        if !self.places.is_empty() {
            return Ok(());
        }
        let host = self.reference.registry();
        let repository = self.reference.repository();
        let settings = self.registry.inner.hosts.get(host);
        let mut places = Vec::new();
        for mirror in settings.iter().flat_map(|settings| &settings.mirrors) {
            let path = match mirror.prefix.as_str() {
                "" => repository.to_owned(),
                prefix => format!("{prefix}/{repository}"),
            };
            // What was given is for the registry. A mirror has what is said of its own host.
            let given = Credentials::Anonymous;
            match self
                .registry
                .station(&mirror.host, path, given, "pull")
                .await
            {
                Ok(station) => places.push(Place {
                    mirror: Some(mirror.clone()),
                    station,
                }),
                Err(error) => self.failed.push(MirrorFailure::of(mirror, error)),
            }
        }
        let given = self.credentials.clone();
        let own = self
            .registry
            .station(host, repository.to_owned(), given, "pull");
        places.push(Place {
            mirror: None,
            station: own.await?,
        });
        self.places = places;
        Ok(())
    }

    /// Goes on to the next place after a mirror failed; an error, if that was the last one.
    fn next_place(&mut self, err: RegistryError) -> Result<(), RegistryError> {
        let Some(mirror) = &self.places[0].mirror else {
            return Err(everywhere(std::mem::take(&mut self.failed), err));
        };
        self.failed.push(MirrorFailure::of(mirror, err));
        self.places.remove(0);
        Ok(())
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("reference", &self.reference)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// The first line of a file.
fn password(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut bounded = File::open(path)?.take(PASSWORD_BYTES_MAX + 1);
    bounded.read_to_string(&mut text)?;
    if text.len() as u64 > PASSWORD_BYTES_MAX {
        let problem = format!("it has more than {PASSWORD_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    let line = text.lines().next().unwrap_or_default();
    Ok(line.to_owned())
}
