//! The identities of the device's modules at its hub, with the least traffic that keeps them right.
//!
//! Owns when the hub is asked: never for an identity that is known from disk, until the hub refuses it. Keys are made
//! on the device, from its master key and the identity's generation id, and the hub is told them. Leaves the requests
//! to an [`IdentityRegistry`], and sessions to [`crate::upstream`], which asks here for credentials.
//!
//! Source: the identity service of IoT Edge, which does it so.

mod cache;
mod keys;

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, SemaphorePermit};
use wasm_edge_model::identity::ModuleIdentity;
use wasm_edge_model::shared_access::SharedKey;
use wasm_edge_store::folder::device::DeviceFolder;

use self::cache::{Cache, CacheFile};
use self::keys::ModuleKeyring;
use super::Assignment;
use crate::keys::Keyring;
use crate::upstream::UpstreamError;

/// What a module shows to the hub that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleCredential {
    /// Changes when the identity is deleted and made again.
    pub generation_id: String,
    /// The primary key, which tokens are signed with.
    pub key: SharedKey,
}

/// The keys that the hub is told of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleKeys {
    /// The one that is used.
    pub primary: SharedKey,
    /// The other one, which every identity has.
    pub secondary: SharedKey,
}

/// A module identity as the hub has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredModule {
    /// Changes when the identity is deleted and made again.
    pub generation_id: String,
    /// Its keys, if it has any and the hub shows them.
    pub keys: Option<ModuleKeys>,
}

/// The part of a hub's identity registry that a device may use: the modules of its own.
pub trait IdentityRegistry: Send + Sync + 'static {
    /// The identity as it is; nothing if there is none.
    fn read(
        &self,
        module: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Option<RegisteredModule>, UpstreamError>>;

    /// Makes an identity without keys; nothing if there is one by now.
    fn create(
        &self,
        module: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Option<RegisteredModule>, UpstreamError>>;

    /// Gives an identity these keys, and answers with its generation id; nothing if there is no such identity by now.
    fn set_keys(
        &self,
        module: ModuleIdentity,
        keys: ModuleKeys,
    ) -> BoxFuture<'static, Result<Option<String>, UpstreamError>>;

    /// Deletes an identity; one that is not there is fine.
    fn delete(&self, module: ModuleIdentity) -> BoxFuture<'static, Result<(), UpstreamError>>;
}

/// The identities of a device's modules; clones share them.
#[derive(Clone)]
pub struct Identities {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Arc<dyn IdentityRegistry>,
    keys: ModuleKeyring,
    /// What is known; written by whoever holds `turn`, read by all, for moments.
    cache: Mutex<Cache>,
    file: CacheFile,
    /// One at a time asks the hub: two that ask for the same would make it twice, and a hub counts these requests.
    turn: Semaphore,
}

/// How the hub had an identity when it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// There, with our keys.
    Right,
    /// Missing, or with other keys.
    Wrong,
}

/// How often a change of the identity by somebody else, between two requests of ours, is met by beginning anew.
const ATTEMPTS_MAX: u32 = 3;

impl Identities {
    /// Reads what is known of the identities of `assignment`'s device. Blocks.
    ///
    /// What is stored of another hub or device, or damaged, counts as absent: the hub has it.
    pub fn open(
        assignment: &Assignment,
        folder: Arc<DeviceFolder>,
        keys: &Keyring,
        registry: Arc<dyn IdentityRegistry>,
    ) -> Self {
        let file = CacheFile::new(folder, keys);
        let cache = file.read(assignment);
        let inner = Inner {
            registry,
            keys: ModuleKeyring::new(keys),
            cache: Mutex::new(cache),
            file,
            turn: Semaphore::new(1),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The credential of a module, whose identity is made if the hub has none. No traffic if it is known.
    ///
    /// # Errors
    /// Those of the hub.
    pub async fn ensure(&self, module: &ModuleIdentity) -> Result<ModuleCredential, UpstreamError> {
        if let Some(known) = self.known(module) {
            return Ok(known);
        }
        let _turn = self.turn().await;
        match self.known(module) {
            Some(known) => Ok(known),
            None => Ok(self.establish(module).await?.0),
        }
    }

    /// The credential of a module after the hub refused `refused`: the hub is asked what it has, and told what it
    /// lacks. No traffic if somebody else did so since. Nothing if the hub had just what was refused, and so refuses
    /// for another reason; a credential that was told anew may be the one that was refused, and is worth another try.
    ///
    /// # Errors
    /// Those of the hub.
    pub async fn renew(
        &self,
        module: &ModuleIdentity,
        refused: &ModuleCredential,
    ) -> Result<Option<ModuleCredential>, UpstreamError> {
        let _turn = self.turn().await;
        match self.known(module) {
            Some(known) if known != *refused => Ok(Some(known)),
            _ => {
                let (credential, found) = self.establish(module).await?;
                let is_as_refused = found == Found::Right && credential == *refused;
                Ok((!is_as_refused).then_some(credential))
            }
        }
    }

    /// Deletes the identity of a module at the hub; one that is not there is fine.
    ///
    /// # Errors
    /// Those of the hub.
    pub async fn delete(&self, module: &ModuleIdentity) -> Result<(), UpstreamError> {
        let _turn = self.turn().await;
        self.inner.registry.delete(module.clone()).await?;
        self.record(module, None).await;
        Ok(())
    }

    fn known(&self, module: &ModuleIdentity) -> Option<ModuleCredential> {
        let cache = self.cache();
        let generation_id = cache.generation_of(&module.module)?;
        Some(self.inner.keys.credential(&module.module, generation_id))
    }

    /// Makes the hub have the identity with our keys; says whether it had to.
    async fn establish(
        &self,
        module: &ModuleIdentity,
    ) -> Result<(ModuleCredential, Found), UpstreamError> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some((generation_id, found)) = self.try_to_establish(module).await? {
                self.record(module, Some(&generation_id)).await;
                let credential = self.inner.keys.credential(&module.module, &generation_id);
                return Ok((credential, found));
            }
        }
        Err(UpstreamError::Unreachable {
            cause: format!("the identity `{module}` is being changed by somebody else"),
        })
    }

    /// The generation of the identity that has our keys now, and whether it had them before; nothing if somebody else
    /// made, deleted or replaced it in between.
    async fn try_to_establish(
        &self,
        module: &ModuleIdentity,
    ) -> Result<Option<(String, Found)>, UpstreamError> {
        let registry = &self.inner.registry;
        let found = match registry.read(module.clone()).await? {
            Some(found) => found,
            // A hub makes these with the device, and lets nobody else make them.
            None if module.module.is_system() => {
                return Err(UpstreamError::Refused {
                    cause: format!(
                        "it has no `{module}`: the device is not an IoT Edge device there"
                    ),
                });
            }
            None => match registry.create(module.clone()).await? {
                Some(made) => made,
                None => return Ok(None),
            },
        };
        let keys = self.inner.keys.of(&module.module, &found.generation_id);
        if found.keys.as_ref() == Some(&keys) {
            return Ok(Some((found.generation_id, Found::Right)));
        }
        let generation_id = registry.set_keys(module.clone(), keys).await?;
        let generation_id = generation_id.filter(|now| *now == found.generation_id);
        Ok(generation_id.map(|generation_id| (generation_id, Found::Wrong)))
    }

    async fn record(&self, module: &ModuleIdentity, generation_id: Option<&str>) {
        let changed = self.cache().set(&module.module, generation_id);
        if let Some(changed) = changed {
            self.inner.file.write(changed).await;
        }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        let cache = self.inner.cache.lock();
        cache.unwrap_or_else(PoisonError::into_inner)
    }

    async fn turn(&self) -> SemaphorePermit<'_> {
        let turn = self.inner.turn.acquire().await;
        turn.expect("nobody closes it")
    }
}

#[cfg(test)]
mod tests;
