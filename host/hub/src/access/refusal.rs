//! Refusals: why somebody was not let in, in the log and in figures.
//!
//! Owns the reasons. Leaves to the faces what they answer, which is the same
//! for all of them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// The names of the reasons, as figures show them, in the order of [`Denied::index`].
const REASONS: [&str; 17] = [
    "no_credentials",
    "malformed_token",
    "other_resource",
    "expired",
    "unknown_identity",
    "disabled",
    "not_by_token",
    "signature",
    "unknown_policy",
    "no_right",
    "not_by_certificate",
    "malformed_certificate",
    "certificate_expired",
    "thumbprint",
    "authority",
    "common_name",
    "fault",
];

impl Denied {
    /// Whether the hub failed, rather than refused: trying again may help.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Hub(_))
    }

    /// The reason as figures name it, such as `signature`.
    pub fn reason(&self) -> &'static str {
        REASONS[self.index()]
    }

    fn index(&self) -> usize {
        match self {
            Self::NoCredentials => 0,
            Self::Token(_) => 1,
            Self::OtherResource => 2,
            Self::Expired { .. } => 3,
            Self::Unknown => 4,
            Self::Disabled => 5,
            Self::NotByToken => 6,
            Self::Signature => 7,
            Self::UnknownPolicy => 8,
            Self::NoRight => 9,
            Self::NotByCertificate => 10,
            Self::Certificate => 11,
            Self::CertificateExpired => 12,
            Self::Thumbprint => 13,
            Self::Authority { .. } => 14,
            Self::CommonName => 15,
            Self::Hub(_) => 16,
        }
    }
}

/// What was refused since the hub was opened.
pub struct Refusals {
    counts: [AtomicU64; REASONS.len()],
    /// Room for lines in the log, and how many found none. Written at each refusal; short sections only.
    log: Mutex<(Bucket, u64)>,
}

impl Refusals {
    /// Nothing was refused.
    pub(crate) fn new() -> Self {
        let bucket = Bucket::new(LOGGED_PER_SECOND, Duration::from_secs(1), Instant::now());
        Self {
            counts: Default::default(),
            log: Mutex::new((bucket, 0)),
        }
    }

    /// How many were refused for each reason.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = self
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        REASONS.into_iter().zip(counts)
    }

    pub(crate) fn note(&self, denied: &Denied, owner: Option<&TwinOwner>) {
        self.counts[denied.index()].fetch_add(1, Ordering::Relaxed);
        let owner = owner.map(tracing::field::display);
        if denied.is_fault() {
            tracing::error!(
                owner,
                error = chain(denied),
                "nobody can be let in or refused"
            );
            return;
        }
        let unlogged = {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            let (bucket, unlogged) = &mut *log;
            if bucket.take(1, Instant::now()).is_err() {
                *unlogged += 1;
                return;
            }
            std::mem::take(unlogged)
        };
        tracing::debug!(
            owner,
            reason = chain(denied),
            unlogged,
            "access was refused"
        );
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.counts()).finish()
    }
}
