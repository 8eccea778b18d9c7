//! Certificates of clients, and authorities that issue them.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use ring::digest;

/// An authority of the test's own.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, as a client shows it.
#[derive(Debug)]
pub struct ClientCertificate {
    der: Vec<u8>,
    pem: String,
    key_pem: String,
}

impl Authority {
    /// A new one; any number may have the same name.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(name: &str) -> Self {
        let mut params = params(name, (2020, 2099));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.extended_key_usages.clear();
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.self_signed(&key).expect("it can be signed");
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Its own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate with this common name, from the start of one year to that of another.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn issue(&self, name: &str, years: (i32, i32)) -> ClientCertificate {
        let key = KeyPair::generate().expect("a key can be made");
        let made = params(name, years).signed_by(&key, &self.issuer);
        ClientCertificate::new(&made.expect("it can be signed"), &key)
    }

    /// Issues a server's certificate for this name, and answers it with its key (PEM).
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn issue_server(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = params(name, (2020, 2099));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let name = name.to_owned().try_into().expect("a name of a host");
        params.subject_alt_names = vec![SanType::DnsName(name)];
        let made = params.signed_by(&key, &self.issuer);
        let certificate = made.expect("it can be signed");
        (certificate.pem(), key.serialize_pem())
    }
}

impl ClientCertificate {
    /// A self-signed one with this common name.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn self_signed(name: &str, years: (i32, i32)) -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let made = params(name, years).self_signed(&key);
        Self::new(&made.expect("it can be signed"), &key)
    }

    /// The certificate (PEM).
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its key (PEM).
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Its SHA-1 thumbprint.
    pub fn sha1(&self) -> String {
        hex(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der)
    }

    /// Its SHA-256 thumbprint.
    pub fn sha256(&self) -> String {
        hex(&digest::SHA256, &self.der)
    }

    fn new(certificate: &Certificate, key: &KeyPair) -> Self {
        Self {
            der: certificate.der().to_vec(),
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}

fn params(name: &str, years: (i32, i32)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn hex(algorithm: &'static digest::Algorithm, der: &[u8]) -> String {
    let digest = digest::digest(algorithm, der);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
