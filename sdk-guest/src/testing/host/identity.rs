//! `identity`: the names that the test gave, and keys for tests.

use crate::bindings::generated::wasm_edge::module::identity as wit;
use crate::testing::world::State;
use crate::testing::{Fault, keys, world};

pub use wit::CryptoError;

/// Largest input of `sign` and `encrypt` in bytes.
const INPUT_MAX_BYTES: usize = 64 * 1024;

pub fn device_id() -> String {
    world::current().lock().identity.device.clone()
}

pub fn module_id() -> String {
    world::current().lock().identity.module.clone()
}

pub fn hub_host_name() -> String {
    world::current().lock().identity.hub_host_name.clone()
}

pub fn generation_id() -> String {
    world::current().lock().identity.generation_id.clone()
}

pub fn sign(data: &[u8]) -> Result<Vec<u8>, CryptoError> {
    with_keys(data.len() <= INPUT_MAX_BYTES, |state| {
        Ok(keys::sign(&state.identity.key, data).to_vec())
    })
}

pub fn encrypt(plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
    with_keys(plaintext.len() <= INPUT_MAX_BYTES, |state| {
        state.encrypted += 1;
        Ok(keys::encrypt(
            &sealing_key(state),
            state.encrypted,
            plaintext,
        ))
    })
}

pub fn decrypt(ciphertext: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let fits = ciphertext.len() <= INPUT_MAX_BYTES + keys::OVERHEAD_BYTES;
    with_keys(fits, |state| {
        keys::decrypt(&sealing_key(state), ciphertext).ok_or(CryptoError::InvalidCiphertext)
    })
}

fn with_keys<T>(
    fits: bool,
    call: impl FnOnce(&mut State) -> Result<T, CryptoError>,
) -> Result<T, CryptoError> {
    let world = world::current();
    let mut state = world.lock();
    match fits {
        false => Err(CryptoError::TooLarge),
        true if state.has(&Fault::KeysUnusable) => {
            Err(CryptoError::Other("the keys cannot be read".to_owned()))
        }
        true => call(&mut state),
    }
}

/// Of device, module and generation: nobody else's is the same.
fn sealing_key(state: &State) -> Vec<u8> {
    let identity = &state.identity;
    [&identity.device, &identity.module, &identity.generation_id]
        .map(|part| format!("{}:{part}", part.len()))
        .concat()
        .into_bytes()
}
