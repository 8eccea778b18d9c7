//! `identity`: who the module is, and the use of its keys.

use crate::bindings::wasm_edge::module::identity;
use crate::guest::CryptoError;
use crate::state::GuestState;

/// Largest input of `sign` and `encrypt` in bytes.
const INPUT_MAX_BYTES: usize = 64 * 1024;

/// What `encrypt` adds, in bytes: version, nonce and tag.
const CIPHERTEXT_OVERHEAD_BYTES: usize = 29;

impl identity::Host for GuestState {
    fn device_id(&mut self) -> wasmtime::Result<String> {
        Ok(self.host.identity().identity.device.to_string())
    }

    fn module_id(&mut self) -> wasmtime::Result<String> {
        Ok(self.host.identity().identity.module.to_string())
    }

    fn hub_host_name(&mut self) -> wasmtime::Result<String> {
        Ok(self.host.identity().hub_host_name.clone())
    }

    fn generation_id(&mut self) -> wasmtime::Result<String> {
        Ok(self.host.identity().generation_id.clone())
    }

    fn sign(&mut self, data: Vec<u8>) -> wasmtime::Result<Result<Vec<u8>, identity::CryptoError>> {
        if data.len() > INPUT_MAX_BYTES {
            return Ok(Err(identity::CryptoError::TooLarge));
        }
        Ok(self.host.sign(&data).map_err(Into::into))
    }

    fn encrypt(
        &mut self,
        plaintext: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, identity::CryptoError>> {
        if plaintext.len() > INPUT_MAX_BYTES {
            return Ok(Err(identity::CryptoError::TooLarge));
        }
        Ok(self.host.encrypt(&plaintext).map_err(Into::into))
    }

    fn decrypt(
        &mut self,
        ciphertext: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, identity::CryptoError>> {
        if ciphertext.len() > INPUT_MAX_BYTES + CIPHERTEXT_OVERHEAD_BYTES {
            return Ok(Err(identity::CryptoError::TooLarge));
        }
        Ok(self.host.decrypt(&ciphertext).map_err(Into::into))
    }
}

impl From<CryptoError> for identity::CryptoError {
    fn from(err: CryptoError) -> Self {
        match err {
            CryptoError::TooLarge => Self::TooLarge,
            CryptoError::InvalidCiphertext => Self::InvalidCiphertext,
            CryptoError::Other(text) => Self::Other(text),
        }
    }
}
