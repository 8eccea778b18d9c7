//! The certificate that the server shows: given in files, or signed by the local authority.
//!
//! Owns where it comes from, whether it is still good, and exchanging it while
//! the server runs. Leaves keys and signatures to [`super::authority`].

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use cap_std::fs::Dir;
use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::authority::{self, Authority, AuthorityError, FILE_MAX_BYTES};
use super::names::HostName;

/// Key and certificate of the server in the folder of keys and certificates.
const SERVER_FILE: &str = "server.pem";

/// The first line of [`SERVER_FILE`]: what it is, and its format.
const SERVER_FORMAT: &str = "wasm-edge hub server 1";

/// A certificate of the local authority is made anew when it has less than this left.
const RENEW_BEFORE_SECONDS: i64 = 30 * 24 * 60 * 60;

/// Where the certificate of the server comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// The local authority signs one for these names, and again before it ends.
    Authority {
        /// The names by which clients reach the server.
        names: Vec<HostName>,
    },
    /// Files that somebody else keeps; read at the start and when the server is told to.
    Files {
        /// The certificate, and those between it and what clients trust (PEM).
        chain: PathBuf,
        /// The private key (PEM: PKCS #8, PKCS #1 or SEC 1).
        key: PathBuf,
    },
}

/// Why there is no certificate to show.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The local authority cannot be used.
    #[error("the local certificate authority cannot be used")]
    Authority(#[from] AuthorityError),
    /// A given file cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A given file does not hold what it should.
    #[error("`{}` holds no {expected} in PEM form", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// Key and certificate cannot be used.
    #[error("the certificate in `{}` cannot be used", .path.display())]
    Unusable {
        /// The file of the certificate.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
}

/// A certificate that can be shown.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) key: Arc<CertifiedKey>,
    /// When it ends, in seconds since 1970.
    pub(super) expires: i64,
}

impl CertificateSource {
    /// Reads the certificate, or makes one where ours is missing or not good any more. Blocks.
    pub(super) fn load(
        &self,
        hub: &Dir,
        provider: &CryptoProvider,
        now: Timestamp,
    ) -> Result<Loaded, CertificateError> {
        match self {
            Self::Files { chain, key } => of_files(chain, key, provider),
            Self::Authority { names } => of_authority(names, hub, provider, now),
        }
    }
}

/// Shows the certificate that was loaded last.
#[derive(Debug)]
pub(super) struct Shown {
    /// Written when a certificate was loaded, read at each handshake.
    key: RwLock<Arc<CertifiedKey>>,
}

impl Shown {
    pub(super) fn new(loaded: &Loaded) -> Self {
        Self {
            key: RwLock::new(Arc::clone(&loaded.key)),
        }
    }

    pub(super) fn replace(&self, loaded: &Loaded) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&loaded.key);
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = self.key.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&key))
    }
}

/// The authorities that may issue certificates of devices: the local one, and those in these files. Blocks.
pub(super) fn client_authorities(
    files: &[PathBuf],
    hub: &Dir,
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let mut authorities = vec![Authority::open(hub)?.certificate().clone()];
    for file in files {
        let pems = read_file(file)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pems).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => authorities.extend(certificates),
            _ => {
                return Err(CertificateError::Content {
                    path: file.clone(),
                    expected: "certificate",
                });
            }
        }
    }
    Ok(authorities)
}

fn of_files(
    chain_file: &Path,
    key_file: &Path,
    provider: &CryptoProvider,
) -> Result<Loaded, CertificateError> {
    let content = |path: &Path, expected| CertificateError::Content {
        path: path.to_owned(),
        expected,
    };
    let certificates = read_file(chain_file)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificates).collect();
    let chain = chain.map_err(|_| content(chain_file, "certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&read_file(key_file)?)
        .map_err(|_| content(key_file, "private key"))?;
    let first = chain.first();
    let expires = first.and_then(|first| expiry(first));
    let expires = expires.ok_or_else(|| content(chain_file, "certificate"))?;
    loaded(chain, key, expires, provider).map_err(|source| CertificateError::Unusable {
        path: chain_file.to_owned(),
        source,
    })
}

fn loaded(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    expires: i64,
    provider: &CryptoProvider,
) -> Result<Loaded, rustls::Error> {
    let key = CertifiedKey::from_der(chain, key, provider)?;
    // Some kinds of keys cannot tell, and then the first handshake does.
    if let Err(err @ rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) =
        key.keys_match()
    {
        return Err(err);
    }
    Ok(Loaded {
        key: Arc::new(key),
        expires,
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, CertificateError> {
    use std::io::Read as _;
    let failed = |source| CertificateError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // A chain is shorter by far; a device or a log given by mistake is not read to its end.
    file.take(FILE_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(failed(io::Error::from(io::ErrorKind::FileTooLarge)));
    }
    Ok(bytes)
}

fn of_authority(
    names: &[HostName],
    hub: &Dir,
    provider: &CryptoProvider,
    now: Timestamp,
) -> Result<Loaded, CertificateError> {
    let authority = Authority::open(hub)?;
    let folder = authority::folder(hub)?;
    let stored = authority::read(&folder, SERVER_FILE, SERVER_FORMAT);
    // What is not understood is made anew: nobody depends on this certificate, only on who signed it.
    if let Some(loaded) = stored
        .ok()
        .flatten()
        .and_then(|pems| still_good(&pems, names, &authority, provider, now))
    {
        return Ok(loaded);
    }
    let issued = authority.issue_server(names, now)?;
    let text = format!(
        "{SERVER_FORMAT}\n{}{}",
        issued.key_pem, issued.certificate_pem
    );
    authority::write(&folder, SERVER_FILE, &text)?;
    tracing::info!(?names, "a certificate of the server was made");
    of_pems(text.as_bytes(), provider).ok_or_else(|| {
        CertificateError::Authority(AuthorityError::Damaged {
            file: SERVER_FILE,
            problem: "what was just made cannot be used",
        })
    })
}

fn of_pems(pems: &[u8], provider: &CryptoProvider) -> Option<Loaded> {
    let certificate = CertificateDer::from_pem_slice(pems).ok()?;
    let key = PrivateKeyDer::from_pem_slice(pems).ok()?;
    let expires = expiry(&certificate)?;
    loaded(vec![certificate], key, expires, provider).ok()
}

/// The stored certificate, if it is for these names, of this authority, and does not end soon.
fn still_good(
    pems: &[u8],
    names: &[HostName],
    authority: &Authority,
    provider: &CryptoProvider,
    now: Timestamp,
) -> Option<Loaded> {
    let loaded = of_pems(pems, provider)?;
    let (_, parsed) = x509_parser::parse_x509_certificate(loaded.key.cert.first()?).ok()?;
    let (_, issuer) = x509_parser::parse_x509_certificate(authority.certificate()).ok()?;
    let valid = parsed.validity();
    let now = now.as_second();
    let good = parsed.issuer().as_raw() == issuer.subject().as_raw()
        && valid.not_before.timestamp() <= now
        && now + RENEW_BEFORE_SECONDS < valid.not_after.timestamp()
        && names_of(&parsed)? == names.iter().cloned().collect();
    good.then_some(loaded)
}

fn names_of(certificate: &X509Certificate<'_>) -> Option<BTreeSet<HostName>> {
    let names = certificate.subject_alternative_name().ok()??;
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => name.parse().ok(),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from),
        }
        .map(HostName::from),
        _ => None,
    };
    names.value.general_names.iter().map(name).collect()
}

/// When a certificate ends, in seconds since 1970.
fn expiry(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;
    use crate::server::authority::SERVER_VALID_DAYS;

    fn hub_folder() -> (tempfile::TempDir, Dir) {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        (place, dir)
    }

    fn names(names: &[&str]) -> Vec<HostName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    /// What a server with these names shows so many days after a certain one.
    fn shown(hub: &Dir, host_names: &[&str], day: i64) -> CertificateDer<'static> {
        let source = CertificateSource::Authority {
            names: names(host_names),
        };
        let start: Timestamp = "2026-08-01T10:00:00Z".parse().unwrap();
        let now = Timestamp::from_second(start.as_second() + day * 24 * 60 * 60).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        let loaded = source.load(hub, &provider, now).unwrap();
        loaded.key.cert[0].clone()
    }

    #[test]
    fn a_certificate_stays_until_it_ends_or_names_change() {
        let (_place, hub) = hub_folder();
        let both = ["localhost", "127.0.0.1", "::1"];
        let first = shown(&hub, &both, 0);
        assert_eq!(shown(&hub, &["::1", "127.0.0.1", "localhost"], 1), first);
        let almost = i64::from(SERVER_VALID_DAYS) - 31;
        assert_eq!(shown(&hub, &both, almost), first);
        let renewed = shown(&hub, &both, almost + 1);
        assert_ne!(renewed, first, "it would end within 30 days");
        let other = shown(&hub, &["localhost", "hub.test"], almost + 1);
        assert_ne!(other, renewed, "other names");
        let fewer = shown(&hub, &["localhost"], almost + 1);
        assert_ne!(fewer, other, "a name less");
        let earlier = shown(&hub, &["localhost"], 0);
        assert_ne!(earlier, fewer, "a clock that was set back");
    }

    #[test]
    fn a_stored_certificate_that_is_not_right_is_made_anew() {
        let (_place, hub) = hub_folder();
        let first = shown(&hub, &["localhost"], 0);
        let stored = hub.read_to_string("pki/server.pem").unwrap();
        for wrong in [
            String::new(),
            stored.replacen(" 1\n", " 9\n", 1),
            stored[..300].to_owned(),
        ] {
            hub.write("pki/server.pem", wrong).unwrap();
            assert_ne!(shown(&hub, &["localhost"], 0), first);
        }
        hub.write("pki/server.pem", stored).unwrap();
        assert_eq!(shown(&hub, &["localhost"], 0), first);
        hub.remove_file("pki/authority.key").unwrap();
        assert_ne!(shown(&hub, &["localhost"], 0), first, "another authority");
    }

    #[test]
    fn given_files_are_used_and_wrong_ones_are_named() {
        let (place, hub) = hub_folder();
        let authority = Authority::open(&hub).unwrap();
        let now = Timestamp::now();
        let issue = || authority.issue_server(&names(&["hub.test"]), now).unwrap();
        let (one, other) = (issue(), issue());
        let file = |name: &str, text: &str| {
            let path = place.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let chain = file(
            "chain.pem",
            &(one.certificate_pem.clone() + authority.certificate_pem()),
        );
        let key = file("key.pem", &one.key_pem);
        let load = |chain: &Path, key: &Path| {
            let source = CertificateSource::Files {
                chain: chain.to_owned(),
                key: key.to_owned(),
            };
            source.load(&hub, &rustls::crypto::ring::default_provider(), now)
        };
        assert_eq!(load(&chain, &key).unwrap().key.cert.len(), 2);
        let check = |chain: &Path, key: &Path, expected: &str| {
            let err = load(chain, key).unwrap_err();
            let text = wasm_edge_model::error::chain(&err);
            assert!(text.contains(expected), "{text}");
        };
        check(
            &chain,
            &file("other.pem", &other.key_pem),
            "the certificate in",
        );
        check(&key, &key, "key.pem` holds no certificate");
        check(&chain, &chain, "chain.pem` holds no private key");
        check(&place.path().join("none.pem"), &key, "cannot read");
        check(Path::new("/dev/zero"), &key, "cannot read");
    }
}
