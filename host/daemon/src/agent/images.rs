//! Images of a deployment: from what a module's manifest names to digests, and from there to code.
//!
//! Owns the order of places where code is looked for, what is told of a pull, and what a tag means where nobody can be
//! asked: what it meant when it ran. Leaves files to the images crate, registries and the store to the supply, and
//! compiling to the code store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use wasm_edge_images::credentials::Credentials;
use wasm_edge_images::digest::Digest;
use wasm_edge_images::image::ModuleImage;
use wasm_edge_images::reference::Reference;
use wasm_edge_images::source::ImageSource;
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::{ImageReference, ModuleSpec, RegistryCredential};
use wasm_edge_runtime::precompiled::{ModuleCode, Origin};

use super::error::ModuleError;
use super::handle::{Tags, image_folder};
use super::progress::Progress;
use crate::code::CodeStore;
use crate::deployment::sealed::{ImageDigests, StoredDeployment};
use crate::images::{ImageSupply, MirrorFailed, Wanted};

/// How many times it is told at most how far a pull is.
const PULL_STEPS: u64 = 50;

/// Who holds an image while it is tried out.
const TRYING_OUT: &str = "a deployment that is being checked";

/// Tells how far it is.
pub(super) type Tell<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// Gets images and their code; clones share it.
#[derive(Clone)]
pub(super) struct Images {
    code: CodeStore,
    supply: ImageSupply,
    /// As whom images are held in the store.
    holder: String,
    /// What the stored deployments ran; none before the first. Written by the agent, each time for one short step.
    ran: Arc<Mutex<Option<Ran>>>,
}

/// The references that named the images of modules, and which ones those were.
type Ran = BTreeMap<ModuleId, Vec<(String, ImageDigests)>>;

/// What stored deployments say of a module's image.
enum Before {
    /// It ran under the same name.
    Ran(ImageDigests),
    /// The module had another one, or was not there.
    Otherwise,
    /// There was no deployment.
    Nothing,
}

/// An image that was tried out.
pub(super) struct TriedImage {
    /// Which one it is.
    pub(super) meant: Meant,
    /// Its code.
    pub(super) code: ModuleCode,
    /// Whether the code had to be made.
    pub(super) origin: Origin,
}

/// An image that a module is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meant {
    pub(super) digests: ImageDigests,
    /// What is worth telling of how it was had.
    pub(super) warning: Option<String>,
}

/// What an image is asked for with.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    /// The deployment's passwords of registries.
    credentials: &'a [RegistryCredential],
    tell: Tell<'a>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(credentials: &'a [RegistryCredential], tell: Tell<'a>) -> Self {
        Self { credentials, tell }
    }

    /// Tells of mirrors that did not serve.
    fn tell_mirrors(&self, failed: Vec<MirrorFailed>) {
        for MirrorFailed { mirror, problem } in failed {
            (self.tell)(Progress::MirrorFailed { mirror, problem });
        }
    }

    /// Tells that the image that a module had before is taken.
    fn tell_before(&self, module: &ModuleId, warning: &str) {
        (self.tell)(Progress::ImageBefore {
            module: module.clone(),
            warning: warning.to_owned(),
        });
    }

    /// Tells of a pull of a module's image, in steps.
    fn pulling(&self, module: &ModuleId) -> impl Fn(u64, u64) + Send + Sync + use<'a> {
        let (tell, module) = (self.tell, module.clone());
        // The last step that was told; written by whoever tells.
        let told = AtomicU64::new(0);
        move |done_bytes, size_bytes| {
            let step = done_bytes.saturating_mul(PULL_STEPS) / size_bytes.max(1) + 1;
            if told.fetch_max(step, Ordering::Relaxed) < step {
                tell(Progress::Pulling {
                    module: module.clone(),
                    done_bytes,
                    size_bytes,
                });
            }
        }
    }
}

impl Images {
    pub(super) fn new(code: CodeStore, supply: ImageSupply, holder: String) -> Self {
        Self {
            code,
            supply,
            holder,
            ran: Arc::default(),
        }
    }

    /// Takes note of what stored deployments ran, in place of what was noted before.
    pub(super) fn note_ran<'a>(&self, stored: impl Iterator<Item = &'a StoredDeployment>) {
        let mut ran: Option<Ran> = None;
        for deployment in stored {
            let ran = ran.get_or_insert_default();
            for (module, reference, digests) in deployment.images_named() {
                // The first that has a name is the newest.
                let images = ran.entry(module.clone()).or_default();
                images.push((reference, digests));
            }
        }
        *self.ran.lock().unwrap_or_else(PoisonError::into_inner) = ran;
    }

    fn before(&self, spec: &ModuleSpec) -> Before {
        let ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ran) = &*ran else {
            return Before::Nothing;
        };
        let reference = spec.image.to_string();
        let images = ran.get(&spec.id).into_iter().flatten();
        let mut same = images.filter(|(known, _)| *known == reference);
        match same.next() {
            Some((_, digests)) => Before::Ran(*digests),
            None => Before::Otherwise,
        }
    }

    /// The image that a module names now: of a file its bytes are read for that and let go, one of a registry is had
    /// as its pull policy says, and is in the store. Where that leaves open which one it is, the one that ran under
    /// the same name has to do.
    pub(super) async fn resolve(
        &self,
        spec: &ModuleSpec,
        asking: Asking<'_>,
    ) -> Result<Meant, ModuleError> {
        match &spec.image {
            ImageReference::File { .. } => {
                let component = read_file(&spec.image, None).await?.digest;
                let manifest = None;
                let digests = ImageDigests {
                    component,
                    manifest,
                };
                Ok(digests.into())
            }
            ImageReference::Registry { .. } => {
                let reference = Reference::try_from(&spec.image)?;
                let err = match self.obtain(spec, &reference, asking).await {
                    Err(ModuleError::Supply(err)) if err.leaves_open() => err,
                    obtained => return obtained,
                };
                match self.before(spec) {
                    Before::Ran(digests) if self.has(&digests).await => {
                        let warning = format!(
                            "the image `{reference}` is the one that ran before, `{}`: {}",
                            digests.shown(),
                            chain(&err)
                        );
                        asking.tell_before(&spec.id, &warning);
                        Ok(Meant {
                            digests,
                            warning: Some(warning),
                        })
                    }
                    _ => Err(err.into()),
                }
            }
        }
    }

    /// Whether an image is in the store, or its code is here.
    async fn has(&self, digests: &ImageDigests) -> bool {
        let in_store = match digests.manifest {
            Some(manifest) => self.supply.has(manifest).await,
            None => false,
        };
        in_store || self.find(&digests.component).await.is_some()
    }

    /// The image that a module named before: nobody is asked for it as long as its code or itself is here, and else it
    /// is asked for by its digest. The policy of the device holds for it as for any other.
    pub(super) async fn resolve_again(
        &self,
        spec: &ModuleSpec,
        before: ImageDigests,
        asking: Asking<'_>,
    ) -> Result<Meant, ModuleError> {
        if let ImageReference::Registry { .. } = spec.image {
            self.supply
                .check_allowed(&Reference::try_from(&spec.image)?)?;
        }
        if self.has(&before).await {
            return Ok(before.into());
        }
        let Some(manifest) = before.manifest else {
            return self.resolve(spec, asking).await;
        };
        let pinned = Reference::try_from(&spec.image)?.pinned(manifest);
        self.obtain(spec, &pinned, asking).await
    }

    async fn obtain(
        &self,
        spec: &ModuleSpec,
        reference: &Reference,
        asking: Asking<'_>,
    ) -> Result<Meant, ModuleError> {
        let credentials = Credentials::of_manifest(asking.credentials, reference.registry());
        let tell = asking.pulling(&spec.id);
        let wanted = self.wanted(spec, reference, &credentials);
        let obtained = self.supply.obtain(wanted, &tell).await?;
        asking.tell_mirrors(obtained.mirrors_failed);
        if let Some(warning) = &obtained.warning {
            asking.tell_before(&spec.id, warning);
        }
        let digests = ImageDigests {
            component: obtained.image.component.digest,
            manifest: Some(obtained.image.manifest_digest),
        };
        Ok(Meant {
            digests,
            warning: obtained.warning,
        })
    }

    fn wanted<'a>(
        &'a self,
        spec: &ModuleSpec,
        reference: &'a Reference,
        credentials: &'a Credentials,
    ) -> Wanted<'a> {
        Wanted {
            reference,
            credentials,
            policy: spec.pull_policy,
            holder: &self.holder,
        }
    }

    /// Holds the images with these manifests in the store, and no others.
    pub(super) async fn hold(&self, manifests: BTreeSet<Digest>) {
        self.supply.hold(&self.holder, manifests).await;
    }

    /// The code of an image by the digest of its component alone, if this device has it.
    pub(super) async fn find(&self, component: &Digest) -> Option<ModuleCode> {
        match self.code.find(component).await {
            Ok(code) => code,
            Err(err) => {
                tracing::warn!(digest = %component, %err, "code that was compiled cannot be loaded");
                None
            }
        }
    }

    /// The code of a module's image.
    pub(super) async fn load(
        &self,
        spec: &ModuleSpec,
        image: ImageDigests,
        asking: Asking<'_>,
    ) -> Result<(ModuleCode, Origin), ModuleError> {
        let module = || spec.id.clone();
        let tell = asking.tell;
        if let Some(code) = self.find(&image.component).await {
            tell(Progress::Cached { module: module() });
            return Ok((code, Origin::Cached));
        }
        let image = self.read(spec, image, asking).await?;
        tell(Progress::Loading {
            module: module(),
            size_bytes: image.bytes.len(),
        });
        let begun = wasm_edge_clock::now();
        let (code, origin) = self.code.load(image).await?;
        tell(match origin {
            Origin::Compiled => Progress::Compiled {
                module: module(),
                took: begun.elapsed(),
            },
            Origin::Cached => Progress::Cached { module: module() },
        });
        Ok((code, origin))
    }

    /// Gets the image that a module names, and its code. None for one of an unchanged deployment which something else
    /// has taken the place of since: it will not run.
    pub(super) async fn try_out(
        &self,
        spec: &ModuleSpec,
        tags: Tags,
        asking: Asking<'_>,
    ) -> Result<Option<TriedImage>, ModuleError> {
        let images = Self {
            holder: TRYING_OUT.to_owned(),
            ..self.clone()
        };
        let before = match (tags, &spec.image) {
            (Tags::AsBefore, ImageReference::Registry { .. }) => self.before(spec),
            _ => Before::Nothing,
        };
        let tried = async {
            let meant = match before {
                Before::Ran(digests) => images.resolve_again(spec, digests, asking).await?,
                Before::Otherwise => return Ok(None),
                Before::Nothing => images.resolve(spec, asking).await?,
            };
            let (code, origin) = images.load(spec, meant.digests, asking).await?;
            Ok(Some(TriedImage {
                meant,
                code,
                origin,
            }))
        };
        let tried = tried.await;
        // It may be let go again, and was used just now, so stays for some days.
        images.hold(BTreeSet::new()).await;
        tried
    }

    /// The bytes of an image, verified.
    async fn read(
        &self,
        spec: &ModuleSpec,
        image: ImageDigests,
        asking: Asking<'_>,
    ) -> Result<ModuleImage, ModuleError> {
        let component = image.component;
        let Some(manifest) = image.manifest else {
            return read_file(&spec.image, Some(component)).await;
        };
        let reference = Reference::try_from(&spec.image)?;
        let credentials = Credentials::of_manifest(asking.credentials, reference.registry());
        let tell = asking.pulling(&spec.id);
        let wanted = self.wanted(spec, &reference, &credentials);
        let (image, mirrors_failed) = self
            .supply
            .component(wanted, &manifest, &component, &tell)
            .await?;
        asking.tell_mirrors(mirrors_failed);
        Ok(image)
    }
}

impl From<ImageDigests> for Meant {
    fn from(digests: ImageDigests) -> Self {
        Self {
            digests,
            warning: None,
        }
    }
}

async fn read_file(
    reference: &ImageReference,
    digest: Option<Digest>,
) -> Result<ModuleImage, ModuleError> {
    let reference = reference.clone();
    let loaded = tokio::task::spawn_blocking(move || {
        ImageSource::new(image_folder()).load(&reference, digest.as_ref())
    });
    let image = loaded
        .await
        .expect("reading a file does not panic, and the runtime outlives the device")?;
    Ok(image)
}
