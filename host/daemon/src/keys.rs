//! The device's keys: what modules sign and encrypt with, and what the device's own files are sealed with.
//!
//! All are derived (HKDF-SHA256, RFC 5869) from one random master key; sealing is AES-256-GCM.
//! Hub keys are used for `sign` only, since a hub can regenerate them.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use wasm_edge_model::identity::ModuleIdentity;
use wasm_edge_runtime::guest::CryptoError;
use wasm_edge_store::folder::FolderError;
use wasm_edge_store::folder::device::DeviceFolder;
use wasm_edge_store::keys::{KeyError, MasterKey};
use zeroize::Zeroizing;

/// The first byte of what `seal` makes: the form that follows.
const SEALED_VERSION: u8 = 1;

/// Keys derived from a master key.
pub struct Keyring {
    root: hkdf::Prk,
}

/// Why the keys of a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// They cannot be read.
    #[error("cannot use the device's keys")]
    Keys(#[from] KeyError),
}

/// A key to seal and open with.
pub struct SealingKey {
    key: LessSafeKey,
    random: SystemRandom,
}

impl Keyring {
    /// Derives from the master key of a device, which is made where there is none. Blocks.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(folder: &DeviceFolder) -> Result<Self, OpenError> {
        Ok(Self::new(&MasterKey::open(&folder.keys()?)?))
    }

    /// Derives from this master key.
    pub fn new(master: &MasterKey) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"wasm-edge keys 1");
        Self {
            root: salt.extract(master.as_bytes()),
        }
    }

    /// 32 bytes for one purpose.
    pub fn derive(&self, purpose: &[&str]) -> Zeroizing<[u8; 32]> {
        let lengths: Vec<[u8; 8]> = purpose
            .iter()
            .map(|part| (part.len() as u64).to_be_bytes())
            .collect();
        // Each part behind its length: no two purposes give the same bytes.
        let info: Vec<&[u8]> = purpose
            .iter()
            .zip(&lengths)
            .flat_map(|(part, length)| [length.as_slice(), part.as_bytes()])
            .collect();
        let mut bytes = Zeroizing::new([0; 32]);
        self.root
            .expand(&info, hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(bytes.as_mut_slice()))
            .expect("32 bytes are what HKDF-SHA256 gives");
        bytes
    }

    /// The key that a module encrypts with: another one for each generation of the identity.
    pub fn module_key(&self, identity: &ModuleIdentity, generation_id: &str) -> SealingKey {
        let purpose = [
            "module encryption",
            identity.device.as_str(),
            identity.module.as_str(),
            generation_id,
        ];
        SealingKey::new(&self.derive(&purpose))
    }

    /// The key that the device's own files are sealed with.
    pub fn file_key(&self, file: &str) -> SealingKey {
        SealingKey::new(&self.derive(&["file", file]))
    }
}

impl SealingKey {
    fn new(bytes: &Zeroizing<[u8; 32]>) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, bytes.as_slice()).expect("AES-256 takes 32 bytes");
        Self {
            key: LessSafeKey::new(key),
            random: SystemRandom::new(),
        }
    }

    /// Encrypts and authenticates: version (1), nonce (12), ciphertext, tag (16).
    ///
    /// # Errors
    /// [`CryptoError::Other`] when the system gives no random numbers.
    pub fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut nonce = [0; NONCE_LEN];
        self.random
            .fill(&mut nonce)
            .map_err(|_| CryptoError::Other("the system gives no random numbers".into()))?;
        let mut sealed =
            Vec::with_capacity(1 + NONCE_LEN + plaintext.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(plaintext);
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from([SEALED_VERSION]),
                &mut sealed,
            )
            .map_err(|_| CryptoError::TooLarge)?;
        sealed.splice(0..0, [SEALED_VERSION].into_iter().chain(nonce));
        Ok(sealed)
    }

    /// Gives back what `seal` was given.
    ///
    /// # Errors
    /// [`CryptoError::InvalidCiphertext`] for anything that this key did not seal.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let (version, rest) = sealed.split_first().ok_or(CryptoError::InvalidCiphertext)?;
        let (nonce, text) = rest
            .split_at_checked(NONCE_LEN)
            .ok_or(CryptoError::InvalidCiphertext)?;
        if *version != SEALED_VERSION {
            return Err(CryptoError::InvalidCiphertext);
        }
        let nonce =
            Nonce::try_assume_unique_for_key(nonce).map_err(|_| CryptoError::InvalidCiphertext)?;
        let mut text = text.to_vec();
        let opened = self
            .key
            .open_in_place(nonce, Aad::from([SEALED_VERSION]), &mut text)
            .map_err(|_| CryptoError::InvalidCiphertext)?;
        Ok(opened.to_vec())
    }
}

/// HMAC-SHA256 of `data`, as IoT Edge's workload API signs.
pub fn sign(primary_key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, primary_key), data)
        .as_ref()
        .to_vec()
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;
    use cap_std::fs::Dir;

    use super::*;

    fn keyring() -> (tempfile::TempDir, Keyring) {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let folder = Dir::open_ambient_dir(temp.path(), ambient_authority()).expect("it opens");
        let keyring = Keyring::new(&MasterKey::open(&folder).expect("made"));
        (temp, keyring)
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_only() {
        let (_temp, keyring) = keyring();
        let identity: ModuleIdentity = "/devices/d/modules/m".parse().expect("valid");
        let sealed = keyring
            .module_key(&identity, "1")
            .seal(b"secret")
            .expect("sealed");
        assert_eq!(sealed.len(), b"secret".len() + 29);
        assert_eq!(
            keyring.module_key(&identity, "1").open(&sealed),
            Ok(b"secret".to_vec())
        );
        assert_eq!(
            keyring.module_key(&identity, "2").open(&sealed),
            Err(CryptoError::InvalidCiphertext)
        );
        let other: ModuleIdentity = "/devices/d/modules/n".parse().expect("valid");
        assert_eq!(
            keyring.module_key(&other, "1").open(&sealed),
            Err(CryptoError::InvalidCiphertext)
        );
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (_temp, keyring) = keyring();
        let key = keyring.file_key("f");
        let sealed = key.seal(b"text").expect("sealed");
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(
                key.open(&changed),
                Err(CryptoError::InvalidCiphertext),
                "byte {place}"
            );
        }
        for length in 0..sealed.len() {
            assert_eq!(
                key.open(&sealed[..length]),
                Err(CryptoError::InvalidCiphertext),
                "length {length}"
            );
        }
    }

    #[test]
    fn purposes_that_read_alike_when_joined_give_different_keys() {
        let (_temp, keyring) = keyring();
        assert_ne!(keyring.derive(&["ab", "c"]), keyring.derive(&["a", "bc"]));
    }

    /// RFC 4231, test case 2.
    #[test]
    fn a_signature_is_hmac_sha256() {
        let hex: String = sign(b"Jefe", b"what do ya want for nothing?")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
