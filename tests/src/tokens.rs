//! Shared access signatures, as a client makes them, and as nobody should.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;

/// What a token is made of; each part can be made wrong.
#[derive(Clone, Debug)]
pub struct Token {
    /// The key, base64.
    pub key: String,
    /// The resource as it stands in the token.
    pub sr: String,
    /// The expiry as it stands in the token.
    pub se: String,
    /// The policy, if it is a service's.
    pub skn: Option<String>,
}

impl Token {
    /// A good token for a resource such as `localhost/devices/d1`, for an hour.
    pub fn new(key: &str, resource: &str) -> Self {
        Self {
            key: key.to_owned(),
            sr: encode(resource),
            se: (now_seconds() + 3600).to_string(),
            skn: None,
        }
    }

    /// The same under a shared access policy.
    #[must_use]
    pub fn of_policy(mut self, name: &str) -> Self {
        self.skn = Some(name.to_owned());
        self
    }

    /// The same, but it expires in so many seconds, or expired so many ago.
    #[must_use]
    pub fn expires_in(mut self, seconds: i64) -> Self {
        self.se = (now_seconds() + seconds).to_string();
        self
    }

    /// The same with another resource as it stands in the token.
    #[must_use]
    pub fn raw_resource(mut self, sr: &str) -> Self {
        sr.clone_into(&mut self.sr);
        self
    }

    /// The signature over this text, percent-encoded.
    ///
    /// # Panics
    /// When the key is not base64.
    pub fn signature_of(&self, text: &str) -> String {
        let key = BASE64.decode(&self.key).expect("keys are base64");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        encode(&BASE64.encode(hmac::sign(&key, text.as_bytes())))
    }

    /// The token, signed as it has to be.
    pub fn text(&self) -> String {
        self.with_signature(&self.signature_of(&format!("{}\n{}", self.sr, self.se)))
    }

    /// The token with another signature.
    pub fn with_signature(&self, signature: &str) -> String {
        let (sr, se) = (&self.sr, &self.se);
        let policy = self.skn.as_ref().map(|name| format!("&skn={name}"));
        let policy = policy.unwrap_or_default();
        format!("SharedAccessSignature sr={sr}&sig={signature}&se={se}{policy}")
    }
}

/// Percent-encodes all that is not a letter or a digit.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn now_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.expect("it is after 1970").as_secs();
    i64::try_from(seconds).expect("it is before the year 9999")
}
