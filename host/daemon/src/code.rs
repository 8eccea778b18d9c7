//! From a module image to code that can run: loaded from the cache, or compiled once.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cap_std::fs::Dir;
use wasm_edge_images::digest::Digest;
use wasm_edge_images::image::ModuleImage;
use wasm_edge_model::error::chain;
use wasm_edge_runtime::engine::{Engine, EngineError};
#[cfg(feature = "compiler")]
use wasm_edge_runtime::inspection;
use wasm_edge_runtime::precompiled::{
    ComponentDigest, Found, ModuleCode, PrecompiledCache, PrecompiledError, UnusableCode,
};
use wasm_edge_store::keys::{KeyError, MasterKey};

use crate::keys::Keyring;

#[cfg(feature = "compiler")]
pub use wasm_edge_runtime::inspection::ComponentFacts;
pub use wasm_edge_runtime::precompiled::{ENGINE_VERSION, MemoryNeeds, Origin};
pub use wasm_edge_runtime::profile::INSTANCE_RESERVATION_BYTES;

/// Code that is held: that of 50 modules on several devices, and of what ran before them. A module that is built
/// anew again and again must not fill the memory.
const LOADED_MAX: usize = 256;

/// What the key is for that vouches for compiled code.
const CODE_KEY: &[&str] = &["compiled code"];

/// Makes code of images; one for all devices of a process, clones share it.
#[derive(Clone)]
pub struct CodeStore {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    cache: PrecompiledCache,
    /// Code in use, by component. Written by whoever loads, read by the same.
    loaded: Mutex<Loaded>,
    /// One component is compiled at a time: the compiler's memory is the device's largest need.
    compiling: tokio::sync::Mutex<()>,
    compiled: AtomicU64,
}

/// Code that was loaded, the newest last; at most [`LOADED_MAX`] are held here.
#[derive(Default)]
struct Loaded {
    codes: HashMap<ComponentDigest, ModuleCode>,
    order: VecDeque<ComponentDigest>,
}

impl Loaded {
    fn insert(&mut self, digest: ComponentDigest, code: ModuleCode) {
        if self.codes.insert(digest, code).is_none() {
            self.order.push_back(digest);
        }
        if self.order.len() > LOADED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            // Whoever runs it holds it; who needs it again loads it again.
            self.codes.remove(&oldest);
        }
    }
}

/// Why there is no code for an image.
#[derive(Debug, thiserror::Error)]
pub enum CodeStoreError {
    /// The engine cannot run on this machine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The key that vouches for compiled code cannot be used.
    #[error("cannot use the key of the compiled code")]
    Key(#[from] KeyError),
    /// Loading or compiling failed.
    #[error(transparent)]
    Precompiled(#[from] PrecompiledError),
    /// There is no code for it, and this build has no compiler.
    #[error(
        "there is no compiled code for the image `{digest}`, and this build has no compiler: \
         `wasm-edge precompile` of the full build makes it"
    )]
    NoCompiler {
        /// The image.
        digest: String,
    },
    /// The code that is there is not used, and this build has no compiler.
    #[error(
        "the compiled code for the image `{digest}` is not usable, and this build has no compiler: \
         `wasm-edge precompile` of the full build makes it anew"
    )]
    Unusable {
        /// The image.
        digest: String,
        /// Why.
        source: UnusableCode,
    },
}

impl CodeStoreError {
    /// What the system said, where a file could not be read or written.
    pub fn io_kind(&self) -> Option<std::io::ErrorKind> {
        match self {
            Self::Precompiled(PrecompiledError::Io(err)) => Some(err.kind()),
            _ => None,
        }
    }
}

impl CodeStore {
    /// Starts the engine, with the cache in `precompiled/`.
    ///
    /// # Errors
    /// [`CodeStoreError`].
    pub fn open(precompiled: &Dir) -> Result<Self, CodeStoreError> {
        let engine = Engine::new()?;
        let keys = Keyring::new(&MasterKey::open(precompiled)?);
        let cache = PrecompiledCache::open(precompiled, &engine, keys.derive(CODE_KEY))?;
        Ok(Self::of(engine, cache))
    }

    /// Looks at the cache in `precompiled/` of a data folder that another process may hold; nothing is made. `None` where
    /// no code was made.
    ///
    /// # Errors
    /// [`CodeStoreError`].
    pub fn look(precompiled: &Dir) -> Result<Option<Self>, CodeStoreError> {
        if !MasterKey::look(precompiled)? {
            return Ok(None);
        }
        let engine = Engine::new()?;
        let keys = Keyring::new(&MasterKey::open(precompiled)?);
        let cache = PrecompiledCache::look(precompiled, &engine, keys.derive(CODE_KEY))?;
        Ok(cache.map(|cache| Self::of(engine, cache)))
    }

    fn of(engine: Engine, cache: PrecompiledCache) -> Self {
        Self {
            inner: Arc::new(Inner {
                engine,
                cache,
                loaded: Mutex::default(),
                compiling: tokio::sync::Mutex::default(),
                compiled: AtomicU64::new(0),
            }),
        }
    }

    /// The profile of the engine that the code is for, such as `native64-1`.
    pub fn profile(&self) -> &'static str {
        self.inner.engine.profile().name()
    }

    /// How many components were compiled since the start.
    pub fn compiled(&self) -> u64 {
        self.inner.compiled.load(Ordering::Relaxed)
    }

    /// The code of an image, and whether it had to be compiled.
    ///
    /// # Errors
    /// [`CodeStoreError::Precompiled`] for an image that cannot be a module, [`CodeStoreError::NoCompiler`].
    pub async fn load(&self, image: ModuleImage) -> Result<(ModuleCode, Origin), CodeStoreError> {
        let digest = *image.digest.as_bytes();
        // Held by the one that compiles; others wait here and then find its code.
        let _compiling = self.inner.compiling.lock().await;
        if let Some(code) = self.loaded().codes.get(&digest) {
            return Ok((code.clone(), Origin::Cached));
        }
        let inner = Arc::clone(&self.inner);
        let made = tokio::task::spawn_blocking(move || inner.make(&digest, &image));
        let (code, origin) = made
            .await
            .expect("loading does not panic, and the runtime outlives the device")?;
        if origin == Origin::Compiled {
            self.inner.compiled.fetch_add(1, Ordering::Relaxed);
        }
        self.loaded().insert(digest, code.clone());
        Ok((code, origin))
    }

    /// The code of an image by its digest alone: what is in use, or was compiled before.
    ///
    /// # Errors
    /// [`CodeStoreError::Precompiled`] if what was compiled cannot be read.
    pub async fn find(&self, digest: &Digest) -> Result<Option<ModuleCode>, CodeStoreError> {
        let key = *digest.as_bytes();
        let _compiling = self.inner.compiling.lock().await;
        if let Some(code) = self.loaded().codes.get(&key) {
            return Ok(Some(code.clone()));
        }
        let inner = Arc::clone(&self.inner);
        let found = tokio::task::spawn_blocking(move || inner.cache.load(&inner.engine, &key));
        let found = found
            .await
            .expect("loading does not panic, and the runtime outlives the device")?;
        match found {
            Found::Code(code) => {
                self.loaded().insert(key, code.clone());
                Ok(Some(code))
            }
            Found::Absent => Ok(None),
            Found::Unusable(why) => {
                tracing::warn!(image = %digest, reason = %chain(&why), "compiled code is not usable");
                Ok(None)
            }
        }
    }

    /// Removes the code of images that nothing in this process uses; does nothing without a compiler, which could not
    /// make it again. Blocks.
    ///
    /// # Errors
    /// [`CodeStoreError::Precompiled`] if the folder cannot be read.
    pub fn drop_unused(&self) -> Result<(), CodeStoreError> {
        if cfg!(not(feature = "compiler")) {
            return Ok(());
        }
        let used: Vec<ComponentDigest> = self.loaded().codes.keys().copied().collect();
        Ok(self.inner.cache.keep_only(&used)?)
    }

    /// What a component is seen to be, compiled in memory and checked as one that is to run. Blocks.
    ///
    /// # Errors
    /// [`CodeStoreError::Precompiled`] with the reason why a device would refuse it, [`CodeStoreError::Engine`].
    #[cfg(feature = "compiler")]
    pub fn inspect(image: &ModuleImage) -> Result<ComponentFacts, CodeStoreError> {
        Ok(inspection::inspect(&Engine::new()?, &image.bytes)?)
    }

    /// Removes the code of all but the so many images that were compiled last, in this process or before.
    ///
    /// # Errors
    /// [`CodeStoreError::Precompiled`] if the folder cannot be read.
    pub fn keep_newest(&self, count: usize) -> Result<(), CodeStoreError> {
        Ok(self.inner.cache.keep_newest(count)?)
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.inner
            .loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn make(
        &self,
        digest: &ComponentDigest,
        image: &ModuleImage,
    ) -> Result<(ModuleCode, Origin), CodeStoreError> {
        let found = self.cache.load(&self.engine, digest)?;
        if let Found::Code(code) = found {
            return Ok((code, Origin::Cached));
        }
        #[cfg(feature = "compiler")]
        {
            if let Found::Unusable(why) = found {
                let (image, reason) = (image.digest, chain(&why));
                tracing::warn!(%image, %reason, "compiled code is not usable and is made anew");
            }
            let code = self.cache.compile(&self.engine, digest, &image.bytes)?;
            Ok((code, Origin::Compiled))
        }
        #[cfg(not(feature = "compiler"))]
        {
            let digest = image.digest.to_string();
            Err(match found {
                Found::Unusable(source) => CodeStoreError::Unusable { digest, source },
                _ => CodeStoreError::NoCompiler { digest },
            })
        }
    }
}
