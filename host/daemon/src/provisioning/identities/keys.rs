//! The keys of modules at the hub: derived, so that none has to be stored and a hub that lost them is told the same.
//!
//! HMAC-SHA256, keyed for this purpose, over `{module}:{generation id}:primary` and `:secondary`, as IoT Edge's
//! identity service derives them.

use ring::hmac;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::shared_access::SharedKey;

use super::{ModuleCredential, ModuleKeys};
use crate::keys::Keyring;

/// Makes the keys of modules.
pub(super) struct ModuleKeyring {
    key: hmac::Key,
}

impl ModuleKeyring {
    pub(super) fn new(keys: &Keyring) -> Self {
        let key = keys.derive(&["module identity keys"]);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()),
        }
    }

    pub(super) fn of(&self, module: &ModuleId, generation_id: &str) -> ModuleKeys {
        let derive = |which| self.derive(module, generation_id, which);
        ModuleKeys {
            primary: derive("primary"),
            secondary: derive("secondary"),
        }
    }

    pub(super) fn credential(&self, module: &ModuleId, generation_id: &str) -> ModuleCredential {
        ModuleCredential {
            generation_id: generation_id.to_owned(),
            key: self.derive(module, generation_id, "primary"),
        }
    }

    fn derive(&self, module: &ModuleId, generation_id: &str, which: &str) -> SharedKey {
        let over = format!("{module}:{generation_id}:{which}");
        let tag = hmac::sign(&self.key, over.as_bytes());
        SharedKey::from_bytes(tag.as_ref()).expect("32 bytes are a key")
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;
    use cap_std::fs::Dir;
    use wasm_edge_store::keys::MasterKey;

    use super::*;

    #[test]
    fn keys_differ_by_module_generation_and_place_and_stay_the_same() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        let keyring = || ModuleKeyring::new(&Keyring::new(&MasterKey::open(&folder).unwrap()));
        let id = |text| ModuleId::new(text).unwrap();
        let first = keyring().of(&id("m"), "1");
        assert_eq!(first, keyring().of(&id("m"), "1"));
        assert_ne!(first.primary, first.secondary);
        assert_ne!(first, keyring().of(&id("n"), "1"));
        assert_ne!(first, keyring().of(&id("m"), "2"));
        let credential = keyring().credential(&id("m"), "1");
        assert_eq!(credential.key, first.primary);
    }
}
