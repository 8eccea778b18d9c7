//! Reads any text as a token, and as what a token is made of: what verifies was signed, and is for what was signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::shared_access::resource::Resource;
use wasm_edge_model::shared_access::{SCHEME, SharedAccessSignature, SharedKey, sign};
use wasm_edge_model::time::Timestamp;

/// What is known of a token: by whoever reads it, and by whoever signed it.
type Meaning = (Resource, Timestamp);

fn key(byte: u8) -> SharedKey {
    SharedKey::from_bytes(&[byte; 32]).expect("32 bytes are a key")
}

/// What the text means if it is a token signed with `key`.
fn verified(text: &str, key: &SharedKey) -> Option<Meaning> {
    let token = SharedAccessSignature::parse(text).ok()?;
    let raw = format!("sr={}", token.signed_resource());
    let (_, fields) = text.split_once(' ').expect("a token begins with a word");
    let found = fields.split('&').filter(|field| field.starts_with("sr="));
    assert_eq!(found.collect::<Vec<_>>(), [&*raw]);
    assert_eq!(
        Resource::parse(token.signed_resource()).as_ref(),
        Ok(token.resource())
    );
    token
        .is_signed_with(key)
        .then(|| (token.resource().clone(), token.expires_at()))
}

/// A device's resource covers the device and its modules and nobody else.
fn check_scope(resource: &Resource, owner: &TwinOwner) {
    if let TwinOwner::Module(module) = owner
        && resource.covers(&TwinOwner::Device(module.device.clone()))
    {
        assert!(resource.covers(owner));
    }
}

fuzz_target!(|text: &str| {
    // No text is signed with a key that nobody signed with.
    for text in [text.to_owned(), format!("{SCHEME} {text}")] {
        assert_eq!(verified(&text, &key(1)), None, "{text}");
    }

    // Lines: what to sign, until when, under which policy, and what to put where into the token.
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (resource, expiry, policy, place, put) = (line(), line(), line(), line(), line());
    let seconds = expiry.parse::<i64>().unwrap_or(1_800_000_000);
    let expires_at = Timestamp::from_unix_millis(seconds.saturating_mul(1000).max(0));
    let policy = Some(policy).filter(|policy| !policy.is_empty());
    let token = sign(&key(2), resource, expires_at, policy);
    let Some(meaning) = verified(&token, &key(2)) else {
        // Too long, or no resource of a hub.
        return;
    };
    assert_eq!(
        meaning.1.unix_millis() / 1000,
        expires_at.unix_millis() / 1000
    );
    assert_eq!(verified(&token, &key(3)), None);
    for owner in [place, put].iter().filter_map(|text| text.parse().ok()) {
        check_scope(&meaning.0, &owner);
    }

    // However it is changed: it does not verify, or means the same.
    let place = place.parse::<usize>().unwrap_or_default() % (token.len() + 1);
    let (before, after) = token.split_at(place);
    let mut rest = after.chars();
    rest.next();
    let changed = [
        format!("{before}{put}{after}"),
        format!("{before}{put}{}", rest.as_str()),
        format!("{before}{put}"),
        format!("{before}&{put}{after}"),
    ];
    for changed in changed {
        if let Some(found) = verified(&changed, &key(2)) {
            assert_eq!(found, meaning, "{changed}");
        }
    }
});
