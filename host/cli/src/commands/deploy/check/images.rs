//! The images of a manifest that are at hand, and what they need of memory.
//!
//! Files beside the manifest, and images of a data folder's store, which is looked at without being held. Nothing is
//! pulled.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wasm_edge_daemon::code::{CodeStore, MemoryNeeds};
use wasm_edge_daemon::folder::{DataFolderView, FolderError};
use wasm_edge_daemon::free_memory;
use wasm_edge_images::digest::Digest;
use wasm_edge_images::image::ModuleImage;
use wasm_edge_images::reference::Reference;
use wasm_edge_images::source::ImageSource;
use wasm_edge_images::store::{ImageStore, StoredImage};
use wasm_edge_model::error::chain;
use wasm_edge_model::manifest::{ImageReference, Manifest};

use crate::client::target::Target;
use crate::commands::running;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// Where an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// It is a file, which may be missing.
    File,
    /// In the image store.
    Store,
    /// Not in the image store.
    Nowhere,
    /// No store was looked at.
    Unknown,
}

/// An image of a manifest, as far as it is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AtHand {
    pub(super) at: At,
    /// That of its manifest; of a file, that of its component.
    pub(super) digest: Option<Digest>,
    pub(super) needs: Option<MemoryNeeds>,
    /// Why its needs are not known.
    pub(super) problem: Option<String>,
    /// Why no device would run it.
    pub(super) refused: Option<String>,
}

/// What is there of images.
pub(super) struct Images {
    /// Where relative files begin.
    folder: PathBuf,
    /// The store of a data folder and its compiled code, if one was named; no store where it has none yet.
    device: Option<Option<Stored>>,
    free_bytes: Option<u64>,
}

struct Stored {
    store: ImageStore,
    code: Option<CodeStore>,
}

/// Of `GET /v1/info`, what is needed here.
#[derive(Deserialize)]
struct Info {
    pid: u32,
}

/// Of `GET /v1/modules`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Modules {
    modules: Vec<Module>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Module {
    memory_bytes: u64,
    host_memory_bytes: u64,
}

impl AtHand {
    pub(super) fn new(at: At) -> Self {
        Self {
            at,
            digest: None,
            needs: None,
            problem: None,
            refused: None,
        }
    }
}

impl Images {
    /// Looks at the images of a data folder, if there is one.
    ///
    /// # Errors
    /// The folder is none of ours, or cannot be read.
    pub(super) async fn look(folder: PathBuf, device: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = device else {
            return Ok(Self {
                folder,
                device: None,
                free_bytes: None,
            });
        };
        let stored = open(path).map_err(|err| {
            let what = format!("cannot look at the data folder `{}`", path.display());
            err.context(
                Failure::new(ExitStatus::Failure, what).hint("`--data-dir DIR` names another one"),
            )
        })?;
        Ok(Self {
            folder,
            device: Some(stored),
            free_bytes: free_bytes(path).await?,
        })
    }

    /// What is free for the modules of the device whose data folder it is, with what those hold that run there.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        self.free_bytes
    }

    /// The image of each module, in the order of the manifest.
    pub(super) async fn of(&self, manifest: &Manifest) -> Vec<AtHand> {
        let mut known: BTreeMap<String, AtHand> = BTreeMap::new();
        let mut all = Vec::new();
        for spec in manifest.modules.values() {
            let name = spec.image.to_string();
            let image = match known.get(&name) {
                Some(image) => image.clone(),
                None => self.image(&spec.image).await,
            };
            known.insert(name, image.clone());
            all.push(image);
        }
        all
    }

    async fn image(&self, image: &ImageReference) -> AtHand {
        match (image, &self.device) {
            (ImageReference::File { .. }, _) => self.file(image).await,
            (ImageReference::Registry { .. }, None) => AtHand::new(At::Unknown),
            (ImageReference::Registry { .. }, Some(None)) => absent(),
            (ImageReference::Registry { .. }, Some(Some(stored))) => stored.image(image).await,
        }
    }

    async fn file(&self, image: &ImageReference) -> AtHand {
        let (source, image) = (ImageSource::new(&self.folder), image.clone());
        match blocking(move || source.load(&image, None)).await {
            Ok(image) => {
                let digest = Some(image.digest);
                AtHand {
                    digest,
                    ..inspected(At::File, image).await
                }
            }
            Err(err) => AtHand {
                problem: Some(chain(&err)),
                ..AtHand::new(At::File)
            },
        }
    }
}

impl Stored {
    async fn image(&self, image: &ImageReference) -> AtHand {
        let Ok(reference) = Reference::try_from(image) else {
            return AtHand::new(At::Unknown);
        };
        let Some(image) = self.store.resolve(&reference) else {
            return absent();
        };
        let digest = Some(image.manifest_digest);
        AtHand {
            digest,
            ..self.needs(&image).await
        }
    }

    /// Of its compiled code where that is here; else of the component itself.
    async fn needs(&self, image: &StoredImage) -> AtHand {
        let component = image.component.digest;
        if let Some(code) = &self.code
            && let Ok(Some(code)) = code.find(&component).await
        {
            return AtHand {
                needs: Some(code.memory_needs()),
                ..AtHand::new(At::Store)
            };
        }
        let store = self.store.clone();
        match blocking(move || store.component(&component)).await {
            Ok(image) => inspected(At::Store, image).await,
            Err(err) => AtHand {
                problem: Some(chain(&err)),
                ..AtHand::new(At::Store)
            },
        }
    }
}

fn absent() -> AtHand {
    AtHand {
        problem: Some("its image is not here, and was not pulled".to_owned()),
        ..AtHand::new(At::Nowhere)
    }
}

/// The store in a data folder; none where there is no folder yet, or no image was ever put into it.
fn open(path: &Path) -> anyhow::Result<Option<Stored>> {
    let view = match DataFolderView::open(path) {
        Err(FolderError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        view => view?,
    };
    let Some(images) = view.images()? else {
        return Ok(None);
    };
    let store = ImageStore::look(images)?;
    let code = match view.precompiled()? {
        Some(precompiled) => CodeStore::look(&precompiled)?,
        None => None,
    };
    Ok(Some(Stored { store, code }))
}

async fn free_bytes(path: &Path) -> anyhow::Result<Option<u64>> {
    let Some(client) = running::listening(path)? else {
        return Ok(free_memory::of(None).map(|free| free.available_bytes));
    };
    let get = async |part| {
        let answer = client.get(&Target::path(&["v1", part])).await;
        answer.map_err(Failure::from)
    };
    let info: Info = serde_json::from_value(get("info").await?)?;
    let modules: Modules = serde_json::from_value(get("modules").await?)?;
    let held = modules.modules.iter();
    let held = held.map(|module| module.memory_bytes.saturating_add(module.host_memory_bytes));
    let free = free_memory::of(Some(info.pid));
    Ok(free.map(|free| held.fold(free.available_bytes, u64::saturating_add)))
}

/// What a component is seen to need.
#[cfg(feature = "compiler")]
async fn inspected(at: At, image: ModuleImage) -> AtHand {
    match blocking(move || CodeStore::inspect(&image)).await {
        Ok(facts) => AtHand {
            needs: Some(facts.memory),
            ..AtHand::new(at)
        },
        Err(err) => AtHand {
            refused: Some(chain(&err)),
            ..AtHand::new(at)
        },
    }
}

/// Without a compiler that is not known.
#[cfg(not(feature = "compiler"))]
async fn inspected(at: At, _image: ModuleImage) -> AtHand {
    AtHand {
        problem: Some("its code is not here, and this build has no compiler".to_owned()),
        ..AtHand::new(at)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .expect("reading and compiling do not panic, and the runtime outlives the command")
}
