//! What a registry says beside images: how to sign in (`WWW-Authenticate`), a token, why it refuses, where to go on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasm_edge_images::registry::address::Address;
use wasm_edge_images::registry::challenge::{self, Challenge};
use wasm_edge_images::registry::message;
use wasm_edge_net::dial::Security;

fuzz_target!(|bytes: &[u8]| {
    // Headers are parted at the ends of lines, which none has in itself.
    let challenges = challenge::read(bytes.split(|byte| *byte == b'\n'));
    for challenge in &challenges {
        let Challenge::Bearer {
            realm,
            service,
            scope,
        } = challenge
        else {
            continue;
        };
        let query = challenge::query(service.as_deref(), scope.as_deref(), "repository:a/b:pull");
        assert!(
            query.bytes().all(|byte| (0x21..0x7f).contains(&byte)),
            "{query:?}"
        );
        check_address(realm);
    }
    if let Some(token) = challenge::token(bytes) {
        assert!(token.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
    }
    if let Some(told) = message::read(bytes) {
        assert!(!told.contains(char::is_control), "{told:?}");
    }
    message::wants_tls(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_address(text);
    }
});

/// Without TLS nobody is gone to but who is named so.
fn check_address(location: &str) {
    let nobody = |_: &_| false;
    let from = Address::read("https://registry.example.org/v2/a/blobs/b?c=d", nobody);
    match from.expect("an address").redirected(location, nobody) {
        Ok(address) => {
            assert_eq!(address.origin.security, Security::Tls, "{address}");
            assert!(address.target.starts_with('/'), "{address}");
            let is_visible = |byte: u8| (0x21..0x7f).contains(&byte);
            assert!(address.target.bytes().all(is_visible), "{address}");
        }
        Err(fault) => assert!(!fault.to_string().contains(char::is_control), "{fault}"),
    }
}
