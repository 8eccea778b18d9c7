//! Uses its keys: signs and encrypts the body, takes apart what it encrypted, and what was changed since.
//! A message with the property `decrypt` has such text, in hexadecimal, as its body, from another module or an earlier start.

use test_guests::answer;
use wasm_edge_sdk::identity::{self, CryptoError};
use wasm_edge_sdk::{Failure, Message, Result, json, module};

#[derive(Default)]
struct Keys;

#[module]
impl Keys {
    fn message(&mut self, message: &Message) -> Result {
        if message.property("decrypt").is_some() {
            let ciphertext = from_hex(message.text()?.trim_matches('"'))?;
            let plaintext = identity::decrypt(&ciphertext);
            let text = plaintext.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            return answer(&json!({ "text": text.map_err(name) }));
        }
        let body = message.body();
        let encrypted = identity::encrypt(&body);
        let opened = encrypted
            .as_deref()
            .map_err(Clone::clone)
            .and_then(identity::decrypt);
        let mut changed = encrypted.clone().unwrap_or_default();
        if let Some(last) = changed.last_mut() {
            *last ^= 1;
        }
        answer(&json!({
            "signature": identity::sign(&body).map(hex).map_err(name),
            "encrypted": encrypted.map(hex).map_err(name),
            "opened": opened.map(|bytes| bytes == body).map_err(name),
            "changed": identity::decrypt(&changed).map(hex).map_err(name),
        }))
    }
}

fn name(error: CryptoError) -> &'static str {
    match error {
        CryptoError::TooLarge => "too-large",
        CryptoError::InvalidCiphertext => "invalid-ciphertext",
        _ => "other",
    }
}

fn hex(bytes: Vec<u8>) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.map(byte).collect();
    bytes.ok_or_else(|| Failure::reject("body is no hexadecimal text"))
}
