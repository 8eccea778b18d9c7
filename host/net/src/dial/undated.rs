//! Judging certificates while the time is not known, to ask a hub what time it is.
//!
//! All else of a certificate is judged as always: its name, its authority, its signatures. Of its dates each stands for
//! itself: it is taken to be valid when it says to be. This is for nothing but reading a time, by which the same
//! certificate is judged afterwards.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use crate::clock::HubClock;

/// How often another time is tried: once for each certificate of a chain that is longer than any in use.
const TRIES_MAX: usize = 6;

/// The verifier of rustls, which does not mind the dates while the clock cannot be right.
#[derive(Debug)]
pub(super) struct Undated {
    inner: Arc<WebPkiServerVerifier>,
    clock: HubClock,
}

impl Undated {
    pub(super) fn new(inner: Arc<WebPkiServerVerifier>, clock: HubClock) -> Self {
        Self { inner, clock }
    }
}

impl ServerCertVerifier for Undated {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |time| {
            let inner = &self.inner;
            inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, time)
        };
        let mut verified = verify(now);
        if self.clock.is_plausible() {
            return verified;
        }
        for _ in 0..TRIES_MAX {
            let Err(Error::InvalidCertificate(err)) = &verified else {
                break;
            };
            let time = match err {
                CertificateError::NotValidYetContext { not_before, .. } => *not_before,
                CertificateError::ExpiredContext { not_after, .. } => *not_after,
                _ => break,
            };
            verified = verify(time);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
