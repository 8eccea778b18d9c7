//! Client certificates: what a TLS handshake brought, and whose it is.
//!
//! Owns reading and comparing certificates, and the authorities that are
//! trusted to issue them. Leaves the handshake, which proves that the other
//! side has the certificate's key, to the server, and which way an identity
//! shows itself to the registry.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ring::digest;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use thiserror::Error;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::time::Timestamp;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::refusal::Denied;
use crate::hub::Hub;
use crate::identity::Thumbprints;

/// Most certificates in a chain that is verified; real ones have two or three.
const CHAIN_MAX: usize = 8;

/// A client certificate of a finished handshake: that the other side has its key is proven,
/// nothing else. Clones share it.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate(Arc<[CertificateDer<'static>]>);

impl PeerCertificate {
    /// What `peer_certificates` of a rustls connection gave: the leaf first; nothing without one.
    pub fn new(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let chain = chain.iter().take(CHAIN_MAX);
        let chain: Arc<[_]> = chain.map(|der| der.clone().into_owned()).collect();
        (!chain.is_empty()).then_some(Self(chain))
    }

    /// The thumbprints of the leaf.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.leaf())
    }

    fn leaf(&self) -> &CertificateDer<'static> {
        self.0.first().expect("a chain holds at least the leaf")
    }

    pub(super) fn read(&self) -> Result<Leaf, Denied> {
        Leaf::read(self.leaf()).ok_or(Denied::Certificate)
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerCertificate({:?})", self.fingerprint())
    }
}

/// The thumbprints of a certificate: SHA-1 and SHA-256 of its DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    sha1: [u8; 20],
    sha256: [u8; 32],
}

impl Fingerprint {
    /// Those of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        // SHA-1 is what IoT Hub's thumbprints are; its weakness lets the owner of a certificate
        // make a second one, and nobody take another's.
        let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der);
        let sha256 = digest::digest(&digest::SHA256, der);
        Self {
            sha1: sha1.as_ref().try_into().expect("SHA-1 has 20 bytes"),
            sha256: sha256.as_ref().try_into().expect("SHA-256 has 32 bytes"),
        }
    }

    /// Whether one of the thumbprints of an identity is one of these: hexadecimal digits of either
    /// case.
    pub fn is_one_of(&self, thumbprints: &Thumbprints) -> bool {
        [&thumbprints.primary, &thumbprints.secondary]
            .into_iter()
            .flatten()
            .any(|text| is_hex_of(text, &self.sha1) || is_hex_of(text, &self.sha256))
    }

    /// The SHA-256 thumbprint, as it may be given for an identity.
    pub fn sha256(&self) -> String {
        hex(&self.sha256)
    }

    /// The SHA-1 thumbprint, as it may be given for an identity.
    pub fn sha1(&self) -> String {
        hex(&self.sha1)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sha256())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn is_hex_of(text: &str, bytes: &[u8]) -> bool {
    text.eq_ignore_ascii_case(&hex(bytes))
}

/// What of a leaf matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    /// The common name, if there is exactly one.
    common_name: Option<String>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Leaf {
    fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let time = |seconds: i64| Timestamp::from_unix_millis(seconds.saturating_mul(1000));
        let mut names = certificate.subject().iter_common_name();
        let name = match (names.next(), names.next()) {
            (Some(name), None) => name.as_str().ok().map(str::to_owned),
            _ => None,
        };
        let validity = certificate.validity();
        Some(Self {
            common_name: name,
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
        })
    }

    pub(super) fn is_valid_at(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    pub(super) fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether the common name is that of `owner`: `{d}`, for a module `{d}/{m}`. Ids hold no
    /// slash, so that no device's name can be a module's.
    pub(super) fn names(&self, owner: &TwinOwner) -> bool {
        let device = owner.device().as_str();
        self.common_name
            .as_deref()
            .is_some_and(|name| match owner.module() {
                None => name == device,
                Some(module) => name.split_once('/') == Some((device, module.as_str())),
            })
    }
}

/// The authorities that may issue certificates of devices and modules.
#[derive(Debug)]
pub(crate) struct Authorities {
    /// Set when the hub is opened and when its certificates are read again; read at each
    /// connection with a certificate; short sections only.
    trusted: RwLock<Trusted>,
}

#[derive(Debug)]
struct Trusted {
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Counts how often others were set.
    since: u64,
}

/// An authority's certificate cannot be used.
#[derive(Debug, Error)]
#[error("the certificate of a client authority cannot be used: {problem}")]
pub struct AuthorityError {
    problem: String,
}

impl Authorities {
    pub(crate) fn none() -> Self {
        let trusted = Trusted {
            verifier: None,
            since: 0,
        };
        Self {
            trusted: RwLock::new(trusted),
        }
    }

    pub(super) fn trusted_since(&self) -> u64 {
        self.read(|trusted| trusted.since)
    }

    /// Verifies the chain; answers since when its authority has been trusted.
    pub(super) fn verify(
        &self,
        certificate: &PeerCertificate,
        now: Timestamp,
    ) -> Result<u64, Denied> {
        let (verifier, since) = self.read(|trusted| (trusted.verifier.clone(), trusted.since));
        let problem = |problem: String| Denied::Authority { problem };
        let verifier = verifier.ok_or_else(|| problem("none is trusted".to_owned()))?;
        let seconds = u64::try_from(now.unix_millis() / 1000).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let (leaf, chain) = (certificate.leaf(), &certificate.0[1..]);
        match verifier.verify_client_cert(leaf, chain, now) {
            Ok(_) => Ok(since),
            Err(rustls::Error::InvalidCertificate(
                rustls::CertificateError::Expired
                | rustls::CertificateError::ExpiredContext { .. }
                | rustls::CertificateError::NotValidYet
                | rustls::CertificateError::NotValidYetContext { .. },
            )) => Err(Denied::CertificateExpired),
            Err(err) => Err(problem(err.to_string())),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Trusted) -> T) -> T {
        look(&self.trusted.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Hub {
    /// Says which authorities may issue certificates of devices and modules, in place of those
    /// before; without any, none may.
    ///
    /// # Errors
    /// [`AuthorityError`]; those before stay.
    pub fn trust_client_authorities(
        &self,
        certificates: &[CertificateDer<'_>],
    ) -> Result<(), AuthorityError> {
        let failed = |err: &dyn fmt::Display| AuthorityError {
            problem: err.to_string(),
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            let certificate = certificate.clone().into_owned();
            roots.add(certificate).map_err(|err| failed(&err))?;
        }
        let verifier = if roots.is_empty() {
            None
        } else {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            Some(builder.build().map_err(|err| failed(&err))?)
        };
        let mut trusted = self
            .authorities()
            .trusted
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        trusted.verifier = verifier;
        trusted.since += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
