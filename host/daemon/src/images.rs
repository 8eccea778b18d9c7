//! The supply of images from registries, for all devices of a process: what is pulled, what is taken from the store.
//!
//! Owns the pull policy, one transfer at a time, and letting images go once a day. Leaves what is said to registries
//! and how bytes are kept to the images crate, which image a module runs to the agent, and `file:` images to
//! [`wasm_edge_images::source`]. Used by agents and the management API.

mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wasm_edge_images::credentials::Credentials;
use wasm_edge_images::digest::Digest;
use wasm_edge_images::document::Descriptor;
use wasm_edge_images::image::ModuleImage;
use wasm_edge_images::reference::Reference;
use wasm_edge_images::registry::{MirrorFailure, Registry, RegistryOptions, Repository, Resolved};
use wasm_edge_images::store::error::StoreError;
use wasm_edge_images::store::sink::StoreSink;
use wasm_edge_images::store::{ImageStore, Prune, PutManifest, StoreLimits, StoredImage};
use wasm_edge_model::error::chain;
use wasm_edge_model::manifest::PullPolicy;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::traffic::Counter;
use wasm_edge_store::folder::{DataFolder, FolderError};

pub use self::error::SupplyError;
use crate::clock;
use crate::deployment::sealed;

/// How often images are let go that nobody used for long: their ages are counted in days.
pub const PRUNE_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Gets images of registries; clones share it.
#[derive(Clone)]
pub struct ImageSupply {
    inner: Arc<Inner>,
}

struct Inner {
    store: ImageStore,
    registry: Registry,
    /// One image is transferred at a time: lines are thin, and who wants the same then finds it.
    transferring: tokio::sync::Mutex<()>,
}

/// Which image is wanted, for whom.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The reference.
    pub reference: &'a Reference,
    /// As whom the registry is asked.
    pub credentials: &'a Credentials,
    /// Whether the registry is asked.
    pub policy: PullPolicy,
    /// Who holds the image from then on.
    pub holder: &'a str,
}

/// An image that was had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obtained {
    /// The image, in the store.
    pub image: StoredImage,
    /// What is worth telling of how it was had.
    pub warning: Option<String>,
    /// The mirrors that did not serve it.
    pub mirrors_failed: Vec<MirrorFailed>,
}

/// A mirror that did not serve an image, which came from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorFailed {
    /// Its address.
    pub mirror: String,
    /// Why not, with all causes.
    pub problem: String,
}

/// An image that was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The image, in the store.
    pub image: StoredImage,
    /// What came over the network of its blobs; none of those that were here.
    pub received_bytes: u64,
    /// The mirrors that did not serve it.
    pub mirrors_failed: Vec<MirrorFailed>,
}

/// Told how far a pull is: bytes that are here, and all.
pub type TellReached<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

/// Why the images of a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The store cannot.
    #[error("cannot use the image store")]
    Store(#[from] StoreError),
}

impl ImageSupply {
    /// Opens the image store of a data folder, in which the deployments of all its devices hold their images, whether
    /// this process runs them or not. Blocks.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        folder: &DataFolder,
        limits: StoreLimits,
        registry: Registry,
    ) -> Result<Self, OpenError> {
        let store = ImageStore::open(&folder.images()?, limits)?;
        for (name, device) in folder.devices()? {
            store.hold(&name, sealed::manifests_held(device));
        }
        Ok(Self::new(store, registry))
    }

    /// The same for a process that asks no registry.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_without_registries(folder: &DataFolder) -> Result<Self, OpenError> {
        let registry = Registry::new(RegistryOptions {
            proxy: None,
            clock: HubClock::new(None),
            connect_timeout: Duration::ZERO,
            hosts: BTreeMap::new(),
            allowed: Some(Vec::new()),
            docker: None,
            counter: Counter::default(),
        });
        Self::open(folder, StoreLimits::default(), registry)
    }

    /// Gets images from this store and these registries.
    pub fn new(store: ImageStore, registry: Registry) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                registry,
                transferring: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// The store. What it does blocks.
    pub fn store(&self) -> &ImageStore {
        &self.inner.store
    }

    /// Whether the policy of the device allows images of this registry, wherever they are.
    ///
    /// # Errors
    /// [`SupplyError::Registry`] if it does not.
    pub fn check_allowed(&self, reference: &Reference) -> Result<(), SupplyError> {
        let allowed = self.inner.registry.check_allowed(reference.registry());
        allowed.map_err(SupplyError::registry(reference))
    }

    /// Asks the registry which image a reference means now, and gets what of it is not here. Images in `keep` make no room
    /// for it: who pulls several wants all of them.
    ///
    /// # Errors
    /// [`SupplyError`].
    ///
    /// # Cancel safety
    /// What came is gone on with another time.
    pub async fn pull(
        &self,
        reference: &Reference,
        credentials: &Credentials,
        keep: BTreeSet<Digest>,
        tell: TellReached<'_>,
    ) -> Result<Pulled, SupplyError> {
        let _kept = self.store().pulling_beside(keep);
        self.fetch(reference, credentials, None, tell).await
    }

    /// Gets an image as its pull policy says. A reference with a digest that is here asks nobody. Where the registry
    /// is out of reach, what is here under the name has to do.
    ///
    /// # Errors
    /// [`SupplyError`].
    ///
    /// # Cancel safety
    /// What came is gone on with another time.
    pub async fn obtain(
        &self,
        wanted: Wanted<'_>,
        tell: TellReached<'_>,
    ) -> Result<Obtained, SupplyError> {
        let Wanted {
            reference,
            credentials,
            policy,
            holder,
        } = wanted;
        self.check_allowed(reference)?;
        let stored = self.stored(reference).await;
        let take = async |image: StoredImage, warning| {
            self.hold_also(holder, image.manifest_digest).await;
            Ok(Obtained {
                image,
                warning,
                mirrors_failed: Vec::new(),
            })
        };
        match (policy, stored) {
            (PullPolicy::Never, None) => Err(SupplyError::NotStored {
                reference: reference.to_string(),
            }),
            (PullPolicy::Never, Some(image)) => take(image, None).await,
            (PullPolicy::OnCreate, Some(image)) if reference.digest().is_some() => {
                take(image, None).await
            }
            (PullPolicy::OnCreate, stored) => {
                let fetched = self.fetch(reference, credentials, Some(holder), tell).await;
                match (fetched, stored) {
                    // It is held since it was put into the store.
                    (Ok(pulled), _) => Ok(Obtained {
                        image: pulled.image,
                        warning: None,
                        mirrors_failed: pulled.mirrors_failed,
                    }),
                    (Err(err), Some(image)) if err.is_out_of_reach() => {
                        let warning = format!(
                            "the image `{reference}` is the one pulled before, `{}`: {}",
                            image.manifest_digest,
                            chain(&err)
                        );
                        take(image, Some(warning)).await
                    }
                    (Err(err), _) => Err(err),
                }
            }
        }
    }

    /// Reads and verifies the component of an image that was had before; one that was damaged or is gone is pulled
    /// again, by its digest, unless the policy says never. Answers the mirrors that did not serve it, too.
    ///
    /// # Errors
    /// [`SupplyError`].
    ///
    /// # Cancel safety
    /// What came is gone on with another time.
    pub async fn component(
        &self,
        wanted: Wanted<'_>,
        manifest: &Digest,
        component: &Digest,
        tell: TellReached<'_>,
    ) -> Result<(ModuleImage, Vec<MirrorFailed>), SupplyError> {
        let failed = SupplyError::store(wanted.reference);
        let read = || {
            let (store, component) = (self.store().clone(), *component);
            on_thread(move || store.component(&component))
        };
        let err = match read().await {
            Ok(image) => return Ok((image, Vec::new())),
            Err(err) => err,
        };
        if wanted.policy == PullPolicy::Never {
            return Err(failed(err));
        }
        tracing::warn!(image = %wanted.reference, err = %chain(&err), "a component is pulled again");
        // What cannot be read is of no more use than what is damaged.
        let (store, digest) = (self.store().clone(), *component);
        on_thread(move || store.discard(&digest)).await;
        let pinned = wanted.reference.pinned(*manifest);
        let holder = Some(wanted.holder);
        let pulled = self
            .fetch(&pinned, wanted.credentials, holder, tell)
            .await?;
        let image = read().await.map_err(failed)?;
        Ok((image, pulled.mirrors_failed))
    }

    /// The image that a reference leads to in the store.
    async fn stored(&self, reference: &Reference) -> Option<StoredImage> {
        let (store, reference) = (self.store().clone(), reference.clone());
        on_thread(move || store.resolve(&reference)).await
    }

    /// Whether the image with this manifest is in the store, whole.
    pub async fn has(&self, manifest: Digest) -> bool {
        let store = self.store().clone();
        on_thread(move || store.by_digest(&manifest).is_some()).await
    }

    /// Says which images somebody holds in the store, and no others.
    pub async fn hold(&self, holder: &str, manifests: BTreeSet<Digest>) {
        let (store, holder) = (self.store().clone(), holder.to_owned());
        on_thread(move || store.hold(&holder, manifests)).await;
    }

    async fn hold_also(&self, holder: &str, manifest: Digest) {
        let (store, holder) = (self.store().clone(), holder.to_owned());
        on_thread(move || store.hold_also(&holder, manifest)).await;
    }

    /// Lets images go from time to time that nobody holds and nobody used for long.
    pub async fn keep(self, every: Duration, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = wasm_edge_clock::sleep(every) => {}
                () = stop.cancelled() => return,
            }
            let store = self.store().clone();
            match on_thread(move || store.prune(Prune::Expired, clock::now())).await {
                Ok(pruned) => {
                    let (images, freed_bytes) = (pruned.images.len(), pruned.freed_bytes);
                    if freed_bytes > 0 {
                        tracing::info!(images, freed_bytes, "images that nobody used were let go");
                    }
                }
                Err(err) => tracing::warn!(err = %chain(&err), "images cannot be let go"),
            }
        }
    }

    async fn fetch(
        &self,
        reference: &Reference,
        credentials: &Credentials,
        holder: Option<&str>,
        tell: TellReached<'_>,
    ) -> Result<Pulled, SupplyError> {
        let registry_failed = SupplyError::registry(reference);
        let repository = self.inner.registry.repository(reference, credentials);
        let mut repository = repository.map_err(&registry_failed)?;
        let resolved = repository.resolve().await.map_err(&registry_failed)?;
        let _turn = self.inner.transferring.lock().await;
        // Until the image is there, its blobs belong to none.
        let guard = self.store().pulling();
        let holder = holder.map(str::to_owned);
        let brought = self
            .bring(&mut repository, reference, resolved, holder, tell)
            .await;
        drop(guard);
        if brought.is_err() {
            // A part of a blob is gone on with; a whole one that belongs to no image is of no use.
            let store = self.store().clone();
            on_thread(move || store.tidy()).await;
        }
        let mut pulled = brought?;
        let failures = repository.take_mirror_failures();
        pulled.mirrors_failed = failures.into_iter().map(MirrorFailed::from).collect();
        let (digest, received_bytes) = (pulled.image.manifest_digest, pulled.received_bytes);
        tracing::info!(image = %reference, %digest, received_bytes, "an image was pulled");
        Ok(pulled)
    }

    /// Gets the blobs of an image, and makes it one.
    async fn bring(
        &self,
        repository: &mut Repository,
        reference: &Reference,
        resolved: Resolved,
        holder: Option<String>,
        tell: TellReached<'_>,
    ) -> Result<Pulled, SupplyError> {
        let transfer = Transfer {
            supply: self,
            reference,
            size_bytes: resolved.image.size_bytes(),
            tell,
        };
        // The small one first: what came of the large one then goes into an image at once.
        let (config, layer) = (&resolved.image.config, &resolved.image.layer);
        let mut received_bytes = transfer.blob(repository, config, 0).await?;
        received_bytes += transfer.blob(repository, layer, config.size_bytes).await?;
        let put = self.put(reference, resolved, holder).await;
        let image = put.map_err(SupplyError::store(reference))?;
        Ok(Pulled {
            image,
            received_bytes,
            mirrors_failed: Vec::new(),
        })
    }

    async fn put(
        &self,
        reference: &Reference,
        resolved: Resolved,
        holder: Option<String>,
    ) -> Result<StoredImage, StoreError> {
        let (store, names) = (self.store().clone(), [reference.clone()]);
        on_thread(move || {
            let manifest = PutManifest {
                digest: resolved.manifest_digest,
                bytes: &resolved.manifest,
                media_type: resolved.image.media_type,
                names: &names,
                holder: holder.as_deref(),
            };
            store.put_manifest(&manifest, clock::now())
        })
        .await
    }
}

impl From<MirrorFailure> for MirrorFailed {
    fn from(failure: MirrorFailure) -> Self {
        Self {
            mirror: failure.mirror,
            problem: chain(&failure.error).to_string(),
        }
    }
}

/// An image on its way.
struct Transfer<'a> {
    supply: &'a ImageSupply,
    reference: &'a Reference,
    size_bytes: u64,
    tell: TellReached<'a>,
}

impl Transfer<'_> {
    /// Gets one blob unless it is here; answers how many bytes came. `before_bytes` are the blobs before it.
    async fn blob(
        &self,
        repository: &mut Repository,
        blob: &Descriptor,
        before_bytes: u64,
    ) -> Result<u64, SupplyError> {
        let store = self.supply.store();
        let store_failed = SupplyError::store(self.reference);
        let sink = StoreSink::begin(store, blob).await.map_err(&store_failed)?;
        let Some(mut sink) = sink else {
            return Ok(0);
        };
        let resumed_bytes = sink.resumed_bytes();
        let tell = |bytes| (self.tell)(before_bytes + bytes, self.size_bytes);
        tell(resumed_bytes);
        // A part that was here and is damaged is fetched again by it.
        if let Err(err) = repository.pull_blob(blob, &mut sink, &tell).await {
            return Err(match sink.give_up().await {
                Some(failure) => store_failed(failure),
                None => SupplyError::registry(self.reference)(err),
            });
        }
        sink.finish().await.map_err(store_failed)?;
        Ok(blob.size_bytes.saturating_sub(resumed_bytes))
    }
}

async fn on_thread<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(act)
        .await
        .expect("the store does not panic, and the runtime outlives its users")
}
