//! Whom to trust, and as whom to be known: certificates of authorities, and a certificate of one's own with its key.
//!
//! Owns reading them. A key is in no error and in no debug output. Leaves which files to read to the callers, and TLS
//! to [`crate::dial`].

pub mod validity;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use zeroize::Zeroizing;

use self::validity::Validity;

/// The largest file of certificates: some hundreds of them, more than any system trusts.
pub const PEM_SIZE_MAX_BYTES: usize = 1 << 20;

/// Why nothing is known to trust by, or to be known by.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is too large.
    #[error("`{}` has more than {PEM_SIZE_MAX_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file holds something else than certificates.
    #[error("`{}` holds no certificate in the PEM form that can be trusted", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file holds something else than a private key.
    #[error("`{}` holds no private key in the PEM form", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key cannot be used, or is not that of the certificate.
    #[error("the private key does not go with the certificate")]
    Identity(#[source] rustls::Error),
    /// The system has no certificates.
    #[error("this system trusts no certificates")]
    NoRoots,
}

/// A certificate of one's own, with those that lead to its authority, and its key.
pub struct ClientIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientIdentity {
    /// Reads a certificate, with those that follow it in the file, and its key, both in the PEM form.
    ///
    /// # Errors
    /// [`TrustError::Read`], [`TrustError::TooLarge`], [`TrustError::NoCertificate`], [`TrustError::NoKey`].
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TrustError> {
        let chain = certificates(certificate)?;
        let pem = Zeroizing::new(read(key)?);
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TrustError::NoKey {
            path: key.to_owned(),
        })?;
        Ok(Self { chain, key })
    }

    /// The certificate and those that lead to its authority, in the DER form.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    pub(crate) fn into_parts(self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain, self.key)
    }
}

impl Clone for ClientIdentity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// Without the key.
impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity").finish_non_exhaustive()
    }
}

/// The certificates to trust: those of a file in the PEM form, else those of the system.
///
/// # Errors
/// Any [`TrustError`] but those of a key.
pub fn roots(file: Option<&Path>) -> Result<RootCertStore, TrustError> {
    match file {
        Some(path) => roots_of_file(path),
        None => roots_of_system(),
    }
}

/// From when to when each certificate of a file in the PEM form is good; nothing for one that does not say so.
///
/// # Errors
/// [`TrustError::Read`], [`TrustError::TooLarge`], [`TrustError::NoCertificate`].
pub fn validities(file: &Path) -> Result<Vec<Option<Validity>>, TrustError> {
    let certificates = certificates(file)?;
    Ok(certificates.iter().map(|der| Validity::of(der)).collect())
}

/// The certificates to trust: those of a file in the PEM form, and those of the system, if it has any.
///
/// # Errors
/// As [`roots`], of the file.
pub fn roots_with(file: &Path) -> Result<RootCertStore, TrustError> {
    let mut roots = roots_of_file(file)?;
    if let Ok(of_system) = roots_of_system() {
        roots.roots.extend(of_system.roots);
    }
    Ok(roots)
}

/// No certificate at all, where none will be looked at.
pub fn nobody() -> RootCertStore {
    RootCertStore::empty()
}

fn roots_of_file(path: &Path) -> Result<RootCertStore, TrustError> {
    let pem = read(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate.map(|certificate| roots.add(certificate));
        if !matches!(added, Ok(Ok(()))) {
            roots = RootCertStore::empty();
            break;
        }
    }
    match roots.is_empty() {
        true => Err(TrustError::NoCertificate {
            path: path.to_owned(),
        }),
        false => Ok(roots),
    }
}

/// Those that cannot be read or used are passed over, as other programs do.
fn roots_of_system() -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(TrustError::NoRoots),
        false => Ok(roots),
    }
}

/// Those of a file in the PEM form, one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    found.ok_or_else(|| TrustError::NoCertificate {
        path: path.to_owned(),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    let failed = |source| TrustError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    let mut bounded = file.take(PEM_SIZE_MAX_BYTES as u64 + 1);
    bounded.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > PEM_SIZE_MAX_BYTES {
        let path = path.to_owned();
        return Err(TrustError::TooLarge { path });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_no_trust() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("ca.pem");
        for content in [
            "",
            "no pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            std::fs::write(&file, content).unwrap();
            let found = roots(Some(&file));
            assert!(
                matches!(found, Err(TrustError::NoCertificate { .. })),
                "{content}"
            );
        }
        let missing = roots(Some(&folder.path().join("none")));
        assert!(matches!(missing, Err(TrustError::Read { .. })));
        std::fs::write(&file, vec![b'x'; PEM_SIZE_MAX_BYTES + 1]).unwrap();
        let large = roots(Some(&file));
        assert!(matches!(large, Err(TrustError::TooLarge { .. })));
    }

    #[test]
    fn an_identity_is_a_certificate_and_its_key_which_is_not_shown() {
        let made = rcgen::generate_simple_self_signed(["board".to_owned()]).unwrap();
        let folder = tempfile::TempDir::new().unwrap();
        let at = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let certificate = at("cert.pem", &made.cert.pem());
        let key = at("key.pem", &made.signing_key.serialize_pem());
        let identity = ClientIdentity::read(&certificate, &key).unwrap();
        assert_eq!(identity.chain(), [made.cert.der().clone()]);
        assert_eq!(format!("{identity:?}"), "ClientIdentity { .. }");
        let err = ClientIdentity::read(&certificate, &certificate).unwrap_err();
        assert!(matches!(err, TrustError::NoKey { .. }), "{err}");
        let err = ClientIdentity::read(&key, &key).unwrap_err();
        assert!(matches!(err, TrustError::NoCertificate { .. }), "{err}");
    }
}
