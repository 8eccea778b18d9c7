//! Refusals: why somebody was not let in, for the log and the figures.
//!
//! Owns the reasons. Leaves to the faces what they answer, which is the same
//! for all of them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::shared_access::TokenError;
use wasm_edge_model::time::Timestamp;

use super::throttle::Bucket;
use crate::error::HubError;

/// How many refusals go to the log at once, and how many more each second; an attacker makes as
/// many as he likes.
const LOGGED_PER_SECOND: u32 = 10;

/// Why somebody was not let in. It is for the log: outside all look alike.
#[derive(Debug, Error)]
pub enum Denied {
    /// There was neither a token nor a certificate.
    #[error("neither a token nor a certificate was shown")]
    NoCredentials,
    /// The token is none.
    #[error("the token cannot be read")]
    Token(#[source] TokenError),
    /// The token is for something else.
    #[error("the token is for another hub, device or module")]
    OtherResource,
    /// The token has expired.
    #[error("the token expired at {at}")]
    Expired {
        /// When it did.
        at: Timestamp,
    },
    /// There is no such device or module.
    #[error("there is no such identity")]
    Unknown,
    /// The device is disabled.
    #[error("the device is disabled")]
    Disabled,
    /// The identity has no keys.
    #[error("the identity does not show who it is by tokens")]
    NotByToken,
    /// The token is not signed with a key of whom it names.
    #[error("the token is signed with no key of the identity or policy")]
    Signature,
    /// There is no such shared access policy.
    #[error("there is no such shared access policy")]
    UnknownPolicy,
    /// The caller is known and may not do this.
    #[error("the caller may not do this")]
    NoRight,
    /// The identity is not one that shows a certificate.
    #[error("the identity does not show who it is by a certificate")]
    NotByCertificate,
    /// The certificate cannot be read.
    #[error("the certificate cannot be read")]
    Certificate,
    /// The certificate is not valid now.
    #[error("the certificate has expired or is not valid yet")]
    CertificateExpired,
    /// The registry has another thumbprint.
    #[error("the certificate's thumbprint is not that of the identity")]
    Thumbprint,
    /// No authority that is trusted has issued the certificate.
    #[error("the certificate is from no trusted authority: {problem}")]
    Authority {
        /// What verifying it found.
        problem: String,
    },
    /// The certificate names somebody else.
    #[error("the certificate's common name is not that of the identity")]
    CommonName,
    /// The hub could not decide: no refusal, but a fault.
    #[error("the hub could not decide")]
    Hub(#[source] HubError),
}

impl Denied {
    /// Whether the hub failed, rather than refused: trying again may help.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Hub(_))
    }

    /// The reason as figures name it, such as `signature`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoCredentials => "no_credentials",
            Self::Token(_) => "malformed_token",
            Self::OtherResource => "other_resource",
            Self::Expired { .. } => "expired",
            Self::Unknown => "unknown_identity",
            Self::Disabled => "disabled",
            Self::NotByToken => "not_by_token",
            Self::Signature => "signature",
            Self::UnknownPolicy => "unknown_policy",
            Self::NoRight => "no_right",
            Self::NotByCertificate => "not_by_certificate",
            Self::Certificate => "malformed_certificate",
            Self::CertificateExpired => "certificate_expired",
            Self::Thumbprint => "thumbprint",
            Self::Authority { .. } => "authority",
            Self::CommonName => "common_name",
            Self::Hub(_) => "fault",
        }
    }
}

/// Writes refusals to the log, not more of them than the log can take.
#[derive(Debug)]
pub(crate) struct RefusalLog {
    /// Room for lines, and how many found none. Written at each refusal; short sections only.
    room: Mutex<(Bucket, u64)>,
}

impl RefusalLog {
    pub(crate) fn new(now: Instant) -> Self {
        let bucket = Bucket::new(LOGGED_PER_SECOND, Duration::from_secs(1), now);
        Self {
            room: Mutex::new((bucket, 0)),
        }
    }

    pub(crate) fn note(&self, denied: &Denied, owner: Option<&TwinOwner>, now: Instant) {
        let owner = owner.map(tracing::field::display);
        if denied.is_fault() {
            let error = chain(denied);
            tracing::error!(owner, error, "nobody can be let in or refused");
        } else if let Some(unlogged) = self.take_room(now) {
            let reason = chain(denied);
            tracing::debug!(owner, reason, unlogged, "access was refused");
        }
    }

    /// Room for a line, with how many before it found none.
    fn take_room(&self, now: Instant) -> Option<u64> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let (bucket, unlogged) = &mut *room;
        if bucket.take(1, now).is_err() {
            *unlogged += 1;
            return None;
        }
        Some(std::mem::take(unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_takes_ten_refusals_each_second_and_tells_how_many_it_did_not() {
        let start = Instant::now();
        let log = RefusalLog::new(start);
        let taken = (0..1000).filter(|_| log.take_room(start).is_some());
        assert_eq!(taken.count(), 10);
        let later = start + Duration::from_millis(100);
        assert_eq!(log.take_room(later), Some(990));
        assert_eq!(log.take_room(later), None);
        assert_eq!(log.take_room(later + Duration::from_secs(1)), Some(1));
    }
}
