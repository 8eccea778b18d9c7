//! Whether somebody is the registration that he says he is.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::percent_decode_str;
use ring::hmac;

use super::Shared;
use crate::tokens::Token;

/// Who connects, as the user name says.
pub(super) struct Registrant {
    pub(super) registration_id: String,
}

impl Registrant {
    /// Reads `{scope}/registrations/{id}/api-version=…&ClientVersion=…`, where the client id has to be the same.
    pub(super) fn read(shared: &Shared, client_id: &str, user_name: &str) -> Option<Self> {
        let rest = user_name.strip_prefix(&shared.id_scope)?;
        let (id, query) = rest.strip_prefix("/registrations/")?.split_once('/')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let has_version = pairs.any(|(key, value)| key == "api-version" && value == "2019-03-31");
        (has_version && id == client_id).then(|| Self {
            registration_id: id.to_owned(),
        })
    }

    /// Whether a token is that of the registration, by a key of its own or of a group's.
    pub(super) fn is_signed(&self, shared: &Shared, token: &str) -> bool {
        let id = &self.registration_id;
        let state = shared.state();
        let own = state.individual.get(id).cloned();
        let mut keys = state
            .groups
            .iter()
            .map(|group| derived(group, id))
            .chain(own);
        keys.any(|key| {
            is_good(
                token,
                &key,
                &format!("{}/registrations/{id}", shared.id_scope),
            )
        })
    }

    /// Whether a certificate (DER) was issued to the registration: it is its common name.
    pub(super) fn is_certified(&self, certificate: &[u8]) -> bool {
        let id = self.registration_id.as_bytes();
        // A UTF8String or PrintableString behind the object identifier 2.5.4.3; those of the issuer come first.
        [0x0c, 0x13].into_iter().any(|kind| {
            let mut name = vec![0x55, 0x04, 0x03, kind];
            name.push(u8::try_from(id.len()).expect("ids are short"));
            name.extend_from_slice(id);
            certificate.windows(name.len()).any(|bytes| bytes == name)
        })
    }
}

/// The key of a registration by that of its group.
fn derived(group: &str, registration_id: &str) -> String {
    let group = BASE64.decode(group).expect("keys are base64");
    let group = hmac::Key::new(hmac::HMAC_SHA256, &group);
    BASE64.encode(hmac::sign(&group, registration_id.as_bytes()))
}

fn is_good(token: &str, key: &str, resource: &str) -> bool {
    let Some(fields) = token.strip_prefix("SharedAccessSignature ") else {
        return false;
    };
    let field = |name: &str| {
        let mut pairs = fields.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    };
    let (Some(sr), Some(se), Some(sig)) = (field("sr"), field("se"), field("sig")) else {
        return false;
    };
    let decode = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let signed = Token::new(key, "").signature_of(&format!("{sr}\n{se}"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let is_valid = se
        .parse()
        .is_ok_and(|end: u64| now.is_ok_and(|now| end > now.as_secs()));
    // The documentation has this name in it, and the SDK for Python sends none.
    let is_named = field("skn").is_none_or(|name| name == "registration");
    decode(sr) == resource && is_named && decode(sig) == decode(&signed) && is_valid
}
