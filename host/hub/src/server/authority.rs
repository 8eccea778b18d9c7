//! The local certificate authority: made once, kept in `pki/` of the hub's folder, signs what the hub needs.
//!
//! Owns the authority's key and certificate, and what certificates it signs
//! look like. Leaves when a certificate is renewed to [`super::certificate`].
//! Used by the server, and by `hub ca` of the command line, which may do so
//! while the server runs: files are replaced as a whole.
//!
//! ```text
//! authority.key   a line with the format, then key and certificate (PEM); only the hub reads it
//! ca.pem          the certificate alone, for clients
//! server.pem      a line with the format, then key and certificate of the server
//! ```

use std::io;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, date_time_ymd,
};
use ring::digest;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use thiserror::Error;
use wasm_edge_store::file;

use super::names::HostName;

/// The folder of keys and certificates, in the hub's folder.
pub const PKI_FOLDER: &str = "pki";

/// The certificate of the authority in [`PKI_FOLDER`], for clients to trust.
pub const CA_FILE: &str = "ca.pem";

/// Key and certificate of the authority in [`PKI_FOLDER`].
const AUTHORITY_FILE: &str = "authority.key";

/// The first line of [`AUTHORITY_FILE`]: what it is, and its format.
const AUTHORITY_FORMAT: &str = "wasm-edge hub authority 1";

/// Bound on what is read of a file of keys; a key with its certificate has about 1 KiB.
pub(super) const FILE_MAX_BYTES: u64 = 64 * 1024;

/// How long a certificate of a client is valid unless somebody says otherwise.
pub const CLIENT_VALID_DAYS: u32 = 365;

/// How long a certificate may be valid at most: ten years.
pub const CLIENT_VALID_DAYS_MAX: u32 = 3650;

/// How long a certificate of the server is valid: some clients refuse more than 398 days.
pub(super) const SERVER_VALID_DAYS: u32 = 397;

/// Why the local authority cannot be used.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("cannot use `{PKI_FOLDER}/{file}`")]
    Io {
        /// Its name.
        file: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file is of another version, or is none of ours.
    #[error(
        "`{PKI_FOLDER}/{file}` has a format that this version does not know: it begins with `{found}`"
    )]
    Format {
        /// Its name.
        file: &'static str,
        /// Its beginning.
        found: String,
    },
    /// The file is damaged: it is never replaced, since clients trust what it held.
    #[error("`{PKI_FOLDER}/{file}` is damaged: {problem}")]
    Damaged {
        /// Its name.
        file: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate for `{subject}`")]
    Issue {
        /// For whom.
        subject: String,
        /// What is wrong.
        #[source]
        source: rcgen::Error,
    },
}

/// A certificate authority of the hub's own.
pub struct Authority {
    key: KeyPair,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
}

/// A key with its certificate.
pub struct Issued {
    /// The private key (PKCS #8, PEM).
    pub key_pem: String,
    /// The certificate (PEM).
    pub certificate_pem: String,
    /// The certificate.
    pub certificate: CertificateDer<'static>,
}

impl Authority {
    /// Reads the authority in `hub`, the `hub/` of a data folder; `None` where none was made yet. Blocks.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn read(hub: &Dir) -> Result<Option<Self>, AuthorityError> {
        match hub.open_dir(PKI_FOLDER) {
            Ok(folder) => Self::read_in(&folder),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(AuthorityError::Io {
                file: AUTHORITY_FILE,
                source,
            }),
        }
    }

    /// As [`Authority::read`], for a process that does not hold the data folder. Blocks.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn read_at(hub: &Path) -> Result<Option<Self>, AuthorityError> {
        match Dir::open_ambient_dir(hub, ambient_authority()) {
            Ok(hub) => Self::read(&hub),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(AuthorityError::Io {
                file: AUTHORITY_FILE,
                source,
            }),
        }
    }

    /// Reads the authority in `hub`, or makes it; only for who holds the data folder. Blocks.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn open(hub: &Dir) -> Result<Self, AuthorityError> {
        let folder = folder(hub)?;
        let authority = match Self::read_in(&folder)? {
            Some(authority) => authority,
            None => Self::create(&folder)?,
        };
        let pem = authority.certificate_pem();
        let written = file::read_bounded(&folder, CA_FILE, FILE_MAX_BYTES);
        if !matches!(written, Ok(Some(bytes)) if bytes == pem.as_bytes()) {
            write(&folder, CA_FILE, pem)?;
        }
        Ok(authority)
    }

    /// The certificate for clients to trust (PEM).
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The certificate for clients to trust.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A certificate with which a client can prove who it is: `common_name` is a device's id, or
    /// `device/module`.
    ///
    /// # Errors
    /// [`AuthorityError::Issue`].
    pub fn issue_client(
        &self,
        common_name: &str,
        valid_days: u32,
        now: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        let purpose = ExtendedKeyUsagePurpose::ClientAuth;
        let valid_days = valid_days.min(CLIENT_VALID_DAYS_MAX);
        self.issue(common_name, Vec::new(), purpose, valid_days, now)
    }

    /// A certificate for a server with these names.
    pub(super) fn issue_server(
        &self,
        names: &[HostName],
        now: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        let subject = names.first().map_or("wasm-edge hub", HostName::as_str);
        let failed = |source| issue_failed(subject, source);
        let mut alternatives = Vec::with_capacity(names.len());
        for name in names {
            alternatives.push(match name.as_str().parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().map_err(failed)?),
            });
        }
        let purpose = ExtendedKeyUsagePurpose::ServerAuth;
        self.issue(subject, alternatives, purpose, SERVER_VALID_DAYS, now)
    }

    fn issue(
        &self,
        subject: &str,
        alternatives: Vec<SanType>,
        purpose: ExtendedKeyUsagePurpose,
        valid_days: u32,
        now: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        let failed = |source| issue_failed(subject, source);
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(subject);
        params.subject_alt_names = alternatives;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, valid_days);
        let issuer = Issuer::new(authority_params(&self.key), &self.key);
        let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
        Ok(Issued {
            key_pem: key.serialize_pem(),
            certificate_pem: certificate.pem(),
            certificate: certificate.der().clone(),
        })
    }

    fn create(folder: &Dir) -> Result<Self, AuthorityError> {
        let failed = |source| issue_failed("the authority", source);
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = authority_params(&key).self_signed(&key).map_err(failed)?;
        let text = format!(
            "{AUTHORITY_FORMAT}\n{}{}",
            key.serialize_pem(),
            certificate.pem()
        );
        write(folder, AUTHORITY_FILE, &text)?;
        Ok(Self {
            key,
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
        })
    }

    fn read_in(folder: &Dir) -> Result<Option<Self>, AuthorityError> {
        let file = AUTHORITY_FILE;
        let Some(pems) = read(folder, file, AUTHORITY_FORMAT)? else {
            return Ok(None);
        };
        let damaged = |problem| AuthorityError::Damaged { file, problem };
        let key = PrivatePkcs8KeyDer::from_pem_slice(&pems)
            .map_err(|_| damaged("it holds no private key"))?;
        let key = KeyPair::try_from(&key).map_err(|_| damaged("its private key cannot be read"))?;
        let certificate = CertificateDer::from_pem_slice(&pems)
            .map_err(|_| damaged("it holds no certificate"))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|_| damaged("its certificate cannot be read"))?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(damaged("key and certificate do not belong together"));
        }
        let begin = find(&pems, b"-----BEGIN CERTIFICATE");
        let certificate_pem = String::from_utf8_lossy(&pems[begin..]).into_owned();
        Ok(Some(Self {
            key,
            certificate,
            certificate_pem,
        }))
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

/// What the authority's certificate says; all of it follows from the key, so that it can issue without reading it.
///
/// It is valid over fixed years: a clock that is wrong as it is made does no harm.
fn authority_params(key: &KeyPair) -> CertificateParams {
    let digest = digest::digest(&digest::SHA256, key.der_bytes());
    let number: String = digest.as_ref()[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut params = CertificateParams::default();
    // A name of its own, or clients that trust two of them cannot tell which one signed.
    params.distinguished_name = named(&format!("wasm-edge hub authority {number}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params
}

/// Where `part` begins in `bytes`; their end where it does not occur.
fn find(bytes: &[u8], part: &[u8]) -> usize {
    let found = bytes.windows(part.len()).position(|window| window == part);
    found.unwrap_or(bytes.len())
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Makes a certificate valid from a day before `now`, as clocks differ, for so many days.
fn set_validity(params: &mut CertificateParams, now: Timestamp, valid_days: u32) {
    let day = |days: i64| {
        let seconds = now.as_second().saturating_add(days * 24 * 60 * 60);
        let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        let date = time.to_zoned(TimeZone::UTC).date();
        let number = |part: i8| u8::try_from(part).expect("months and days begin with 1");
        match i32::from(date.year()) {
            // Beyond these years certificates have another form of time.
            ..1970 => date_time_ymd(1970, 1, 1),
            2050.. => date_time_ymd(2049, 12, 31),
            year => date_time_ymd(year, number(date.month()), number(date.day())),
        }
    };
    params.not_before = day(-1);
    params.not_after = day(i64::from(valid_days));
}

fn issue_failed(subject: &str, source: rcgen::Error) -> AuthorityError {
    AuthorityError::Issue {
        subject: subject.to_owned(),
        source,
    }
}

/// The folder of keys and certificates in the hub's folder, made if it is missing.
pub(super) fn folder(hub: &Dir) -> Result<Dir, AuthorityError> {
    file::open_folder(hub, PKI_FOLDER).map_err(|source| AuthorityError::Io {
        file: AUTHORITY_FILE,
        source,
    })
}

/// What stands behind the first line of a file, which is to be `format`.
pub(super) fn read(
    folder: &Dir,
    file: &'static str,
    format: &str,
) -> Result<Option<Vec<u8>>, AuthorityError> {
    let read = file::read_bounded(folder, file, FILE_MAX_BYTES);
    let Some(bytes) = read.map_err(|source| AuthorityError::Io { file, source })? else {
        return Ok(None);
    };
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (first, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    if first != format.as_bytes() {
        let found = first.escape_ascii().take(60).map(char::from).collect();
        return Err(AuthorityError::Format { file, found });
    }
    Ok(Some(rest.to_vec()))
}

/// Replaces a file of keys or certificates.
pub(super) fn write(folder: &Dir, file: &'static str, text: &str) -> Result<(), AuthorityError> {
    file::write_atomic(folder, file, text.as_bytes())
        .map_err(|source| AuthorityError::Io { file, source })
}

#[cfg(test)]
mod tests {
    use cap_std::fs::PermissionsExt as _;
    use wasm_edge_store::file::PRIVATE_FILE_MODE;

    use super::*;

    fn hub_folder() -> (tempfile::TempDir, Dir) {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        (place, dir)
    }

    fn now() -> Timestamp {
        "2026-08-01T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn an_authority_is_made_once_and_its_files_are_private() {
        let (_place, hub) = hub_folder();
        assert!(Authority::read(&hub).unwrap().is_none());
        let made = Authority::open(&hub).unwrap();
        let again = Authority::open(&hub).unwrap();
        let read = Authority::read(&hub).unwrap().unwrap();
        assert_eq!(made.certificate_pem(), again.certificate_pem());
        assert_eq!(made.certificate_pem(), read.certificate_pem());
        let exported = hub.read_to_string("pki/ca.pem").unwrap();
        assert_eq!(exported, made.certificate_pem());
        assert!(!exported.contains("PRIVATE KEY"));
        for file in ["pki/authority.key", "pki/ca.pem"] {
            let mode = hub.metadata(file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, PRIVATE_FILE_MODE, "{file}");
        }
    }

    #[test]
    fn an_export_that_is_missing_or_wrong_is_written_again() {
        let (_place, hub) = hub_folder();
        let authority = Authority::open(&hub).unwrap();
        for content in [None, Some("something else")] {
            match content {
                Some(text) => hub.write("pki/ca.pem", text).unwrap(),
                None => hub.remove_file("pki/ca.pem").unwrap(),
            }
            Authority::open(&hub).unwrap();
            let exported = hub.read_to_string("pki/ca.pem").unwrap();
            assert_eq!(exported, authority.certificate_pem());
        }
    }

    #[test]
    fn a_file_that_is_not_right_is_named_and_left_alone() {
        let (_place, hub) = hub_folder();
        Authority::open(&hub).unwrap();
        let right = hub.read_to_string("pki/authority.key").unwrap();
        let (_other_place, other) = hub_folder();
        Authority::open(&other).unwrap();
        let other = other.read_to_string("pki/authority.key").unwrap();
        let split = |text: &str| {
            let at = text.find("-----BEGIN CERTIFICATE").unwrap();
            (text[..at].to_owned(), text[at..].to_owned())
        };
        let (key, certificate) = split(&right);
        let check = |content: String, expected: &str| {
            hub.write("pki/authority.key", &content).unwrap();
            let err = Authority::open(&hub).unwrap_err().to_string();
            assert!(err.contains(expected), "{err}");
            assert_eq!(hub.read_to_string("pki/authority.key").unwrap(), content);
        };
        check(
            right.replacen(" 1\n", " 2\n", 1),
            "`wasm-edge hub authority 2`",
        );
        check(String::new(), "begins with ``");
        check(key.clone(), "it holds no certificate");
        check(
            format!("{AUTHORITY_FORMAT}\n{certificate}"),
            "it holds no private key",
        );
        check(key + &split(&other).1, "do not belong together");
    }

    #[test]
    fn what_it_issues_names_its_subject_and_ends_in_time() {
        let (_place, hub) = hub_folder();
        let authority = Authority::open(&hub).unwrap();
        let issued = authority.issue_client("d 1/ü", 30, now()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&issued.certificate).unwrap();
        let (_, of_authority) =
            x509_parser::parse_x509_certificate(authority.certificate()).unwrap();
        assert_eq!(parsed.subject().to_string(), "CN=d 1/ü");
        assert_eq!(parsed.issuer().as_raw(), of_authority.subject().as_raw());
        assert!(of_authority.is_ca() && !parsed.is_ca());
        let day = |timestamp| Timestamp::from_second(timestamp).unwrap().to_string();
        let validity = parsed.validity();
        assert_eq!(day(validity.not_before.timestamp()), "2026-07-31T00:00:00Z");
        assert_eq!(day(validity.not_after.timestamp()), "2026-08-31T00:00:00Z");
        assert!(issued.key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    }

    #[test]
    fn a_clock_far_off_makes_certificates_too() {
        let (_place, hub) = hub_folder();
        let authority = Authority::open(&hub).unwrap();
        for now in [
            "1970-01-01T00:00:00Z",
            "2049-12-31T23:59:59Z",
            "9000-02-28T00:00:00Z",
        ] {
            authority
                .issue_client("d", 30, now.parse().unwrap())
                .unwrap();
        }
    }
}
