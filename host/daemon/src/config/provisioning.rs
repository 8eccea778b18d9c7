//! `[provisioning]`: who the device is, to which hub it belongs, and how it shows that it is.
//!
//! Reads no secret file: whoever provisions the device does.

use std::path::PathBuf;

use wasm_edge_model::connection_string::{ConnectionString, HostAddress, Party};
use wasm_edge_model::identity::{DeviceId, TwinOwner};

use super::hub::HOST;
use super::read::{Reader, Table};

/// Where the device provisioning service is, unless set.
pub const GLOBAL_ENDPOINT_DEFAULT: &str = "global.azure-devices-provisioning.net";

/// Who the device is, and to which hub it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProvisioningConfig {
    /// A connection string says all.
    ConnectionString {
        /// Where it stands.
        connection_string: ConnectionStringSource,
        /// The device's certificate, where the connection string says `x509=true`.
        certificate: Option<CertificateFiles>,
    },
    /// With a key in a file.
    SasKeyFile {
        /// The hub.
        host_name: HostAddress,
        /// The device.
        device_id: DeviceId,
        /// The file of its key, base64.
        key_file: PathBuf,
    },
    /// With a certificate.
    X509 {
        /// The hub.
        host_name: HostAddress,
        /// The device.
        device_id: DeviceId,
        /// Its certificate.
        certificate: CertificateFiles,
    },
    /// The device provisioning service says which hub.
    Dps(DpsConfig),
}

impl ProvisioningConfig {
    /// The certificate that the device is known by, where it is named.
    pub fn certificate(&self) -> Option<&CertificateFiles> {
        match self {
            Self::ConnectionString { certificate, .. } => certificate.as_ref(),
            Self::X509 { certificate, .. } => Some(certificate),
            Self::Dps(dps) => match &dps.attestation {
                Attestation::Certificate(certificate) => Some(certificate),
                Attestation::Key { .. } => None,
            },
            Self::SasKeyFile { .. } => None,
        }
    }
}

/// Where a connection string stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionStringSource {
    /// In the configuration; of a device.
    Inline(ConnectionString),
    /// In a file.
    File(PathBuf),
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and what it is signed by (PEM).
    pub certificate_file: PathBuf,
    /// Its key (PEM).
    pub private_key_file: PathBuf,
}

/// How a device registers with the device provisioning service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpsConfig {
    /// Whose service it is.
    pub id_scope: String,
    /// Under which name.
    pub registration_id: String,
    /// How it shows that it is.
    pub attestation: Attestation,
    /// Where the service is.
    pub global_endpoint: HostAddress,
    /// When it registers again.
    pub reprovision: Reprovision,
}

/// How a device shows the device provisioning service who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attestation {
    /// By a key.
    Key {
        /// The file of the key, base64.
        file: PathBuf,
        /// Whose key it is.
        owner: KeyOwner,
    },
    /// By a certificate.
    Certificate(CertificateFiles),
}

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyOwner {
    /// The registration's own.
    #[default]
    Registration,
    /// A group's, from which the registration's own is derived.
    Group,
}

/// When a device registers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reprovision {
    /// When its hub refuses it for good.
    #[default]
    OnRefusal,
    /// At each start, too.
    AtStart,
    /// Never.
    Never,
}

/// The keys of `[provisioning]`.
pub(super) const KEYS: [&str; 13] = [
    "source",
    "connection_string",
    "connection_string_file",
    "host_name",
    "device_id",
    "key_file",
    "certificate_file",
    "private_key_file",
    "id_scope",
    "registration_id",
    "group",
    "global_endpoint",
    "reprovision",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ConnectionString,
    SasKeyFile,
    X509,
    Dps,
}

/// The words for the kinds, and the keys that have a meaning with each.
const KINDS: [(&str, Kind); 4] = [
    ("connection-string", Kind::ConnectionString),
    ("sas-key-file", Kind::SasKeyFile),
    ("x509", Kind::X509),
    ("dps", Kind::Dps),
];

const REPROVISIONS: [(&str, Reprovision); 3] = [
    ("on-refusal", Reprovision::OnRefusal),
    ("at-start", Reprovision::AtStart),
    ("never", Reprovision::Never),
];

/// What stands in the section; none where there is no such key, or its value is wrong.
#[derive(Default)]
struct Raw {
    kind: Option<Kind>,
    connection_string: Option<ConnectionString>,
    connection_string_file: Option<PathBuf>,
    host_name: Option<HostAddress>,
    device_id: Option<DeviceId>,
    key_file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
    private_key_file: Option<PathBuf>,
    id_scope: Option<String>,
    registration_id: Option<String>,
    group: Option<bool>,
    global_endpoint: Option<HostAddress>,
    reprovision: Option<Reprovision>,
}

/// Reads `[provisioning]`; `None` when it has faults.
pub(super) fn read(reader: &mut Reader<'_>, section: &Table<'_>) -> Option<ProvisioningConfig> {
    let mut raw = Raw::default();
    reader.keys(section, &KEYS, |reader, key, value| match key {
        "source" => raw.kind = reader.word(value, &KINDS),
        "connection_string" => {
            raw.connection_string = reader.secret(value, CONNECTION_STRING, device_string);
        }
        "connection_string_file" => raw.connection_string_file = reader.path(value),
        "host_name" => raw.host_name = reader.parsed(value, HOST, HostAddress::parse),
        "device_id" => {
            let id = |text: &str| DeviceId::new(text).ok();
            raw.device_id = reader.parsed(value, "the id of a device", id);
        }
        "key_file" => raw.key_file = reader.path(value),
        "certificate_file" => raw.certificate_file = reader.path(value),
        "private_key_file" => raw.private_key_file = reader.path(value),
        "id_scope" => {
            raw.id_scope = reader.parsed(value, "an id scope, such as `0ne000A1B2C`", id_scope)
        }
        "registration_id" => {
            let expected = "letters, digits, `-`, `.`, `_` and `:`, at most 128";
            raw.registration_id = reader.parsed(value, expected, registration_id);
        }
        "group" => raw.group = reader.boolean(value),
        "global_endpoint" => raw.global_endpoint = reader.parsed(value, HOST, HostAddress::parse),
        _ => raw.reprovision = reader.word(value, &REPROVISIONS),
    });
    if !section.has("source") {
        let expected = super::read::one_of(KINDS.iter().map(|(word, _)| *word));
        let place = section.own_place();
        reader.fault("provisioning.source", place, MISSING, expected);
    }
    let kind = raw.kind?;
    let keys = Keys { kind, section };
    keys.refuse_foreign(reader);
    match kind {
        Kind::ConnectionString => keys.connection_string(raw, reader),
        Kind::SasKeyFile => keys.sas_key_file(raw, reader),
        Kind::X509 => keys.x509(raw, reader),
        Kind::Dps => keys.dps(raw, reader),
    }
}

/// Where a configuration lacks a key.
const MISSING: &str = "the key is missing";

/// What is expected of a connection string.
const CONNECTION_STRING: &str = "the connection string of a device";

/// A section of a known kind.
struct Keys<'a> {
    kind: Kind,
    section: &'a Table<'a>,
}

impl Keys<'_> {
    fn refuse_foreign(&self, reader: &mut Reader<'_>) {
        let own: &[&str] = match self.kind {
            Kind::ConnectionString => &[
                "connection_string",
                "connection_string_file",
                "certificate_file",
                "private_key_file",
            ],
            Kind::SasKeyFile => &["host_name", "device_id", "key_file"],
            Kind::X509 => &[
                "host_name",
                "device_id",
                "certificate_file",
                "private_key_file",
            ],
            Kind::Dps => &[
                "id_scope",
                "registration_id",
                "key_file",
                "certificate_file",
                "private_key_file",
                "group",
                "global_endpoint",
                "reprovision",
            ],
        };
        for key in KEYS
            .iter()
            .filter(|key| **key != "source" && !own.contains(key))
        {
            if let Some(place) = self.section.place(&[key]) {
                let problem = format!("the key has no meaning with `source = \"{}\"`", self.word());
                let expected = super::read::one_of(own.iter().copied());
                reader.fault(&format!("provisioning.{key}"), place, problem, expected);
            }
        }
    }

    fn connection_string(&self, raw: Raw, reader: &mut Reader<'_>) -> Option<ProvisioningConfig> {
        let (text, file) = ("connection_string", "connection_string_file");
        self.one_of_two(text, file, reader);
        let inline = raw.connection_string.map(ConnectionStringSource::Inline);
        let in_file = raw.connection_string_file.map(ConnectionStringSource::File);
        let certificate = (self.section.has("certificate_file")
            || self.section.has("private_key_file"))
        .then(|| self.certificate(raw.certificate_file, raw.private_key_file, reader));
        let certificate = match certificate {
            Some(files) => Some(files?),
            None => None,
        };
        Some(ProvisioningConfig::ConnectionString {
            connection_string: inline.or(in_file)?,
            certificate,
        })
    }

    fn sas_key_file(&self, raw: Raw, reader: &mut Reader<'_>) -> Option<ProvisioningConfig> {
        let host_name = self.needed("host_name", raw.host_name, reader);
        let device_id = self.needed("device_id", raw.device_id, reader);
        let key_file = self.needed("key_file", raw.key_file, reader);
        Some(ProvisioningConfig::SasKeyFile {
            host_name: host_name?,
            device_id: device_id?,
            key_file: key_file?,
        })
    }

    fn x509(&self, raw: Raw, reader: &mut Reader<'_>) -> Option<ProvisioningConfig> {
        let host_name = self.needed("host_name", raw.host_name, reader);
        let device_id = self.needed("device_id", raw.device_id, reader);
        let certificate = self.certificate(raw.certificate_file, raw.private_key_file, reader);
        Some(ProvisioningConfig::X509 {
            host_name: host_name?,
            device_id: device_id?,
            certificate: certificate?,
        })
    }

    fn dps(&self, raw: Raw, reader: &mut Reader<'_>) -> Option<ProvisioningConfig> {
        let id_scope = self.needed("id_scope", raw.id_scope, reader);
        let registration_id = self.needed("registration_id", raw.registration_id, reader);
        self.one_of_two("key_file", "certificate_file", reader);
        let attestation = if self.section.has("key_file") {
            let owner = match raw.group {
                Some(true) => KeyOwner::Group,
                _ => KeyOwner::Registration,
            };
            raw.key_file.map(|file| Attestation::Key { file, owner })
        } else if self.section.has("certificate_file") {
            self.certificate(raw.certificate_file, raw.private_key_file, reader)
                .map(Attestation::Certificate)
        } else {
            None
        };
        let global_endpoint = raw.global_endpoint.unwrap_or_else(|| {
            HostAddress::parse(GLOBAL_ENDPOINT_DEFAULT).expect("it is the name of a host")
        });
        Some(ProvisioningConfig::Dps(DpsConfig {
            id_scope: id_scope?,
            registration_id: registration_id?,
            attestation: attestation?,
            global_endpoint,
            reprovision: raw.reprovision.unwrap_or_default(),
        }))
    }

    fn certificate(
        &self,
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
        reader: &mut Reader<'_>,
    ) -> Option<CertificateFiles> {
        let certificate = self.needed("certificate_file", certificate, reader);
        let key = self.needed("private_key_file", key, reader);
        Some(CertificateFiles {
            certificate_file: certificate?,
            private_key_file: key?,
        })
    }

    /// The value of a key that has to be there; where it is wrong, that is said already.
    fn needed<T>(&self, key: &str, value: Option<T>, reader: &mut Reader<'_>) -> Option<T> {
        if !self.section.has(key) {
            let path = format!("provisioning.{key}");
            let expected = format!("the key, as `source` is `{}`", self.word());
            reader.fault(&path, self.section.own_place(), MISSING, expected);
        }
        value
    }

    /// Exactly one of two keys has to be there.
    fn one_of_two(&self, one: &str, other: &str, reader: &mut Reader<'_>) {
        let (path, place) = (format!("provisioning.{one}"), self.section.own_place());
        match (self.section.has(one), self.section.has(other)) {
            (true, true) => {
                let problem = format!("`{other}` stands here as well");
                reader.fault(&path, place, problem, "one of them");
            }
            (false, false) => {
                let expected = format!("`{one}` or `{other}`, as `source` is `{}`", self.word());
                reader.fault(&path, place, MISSING, expected);
            }
            _ => {}
        }
    }

    fn word(&self) -> &'static str {
        let found = KINDS.iter().find(|(_, kind)| *kind == self.kind);
        found.map_or("", |(word, _)| word)
    }
}

/// Reads a device's connection string.
///
/// # Errors
/// What is wrong with it, as a text without its secret.
pub fn device_string(text: &str) -> Result<ConnectionString, String> {
    let read: ConnectionString = text.parse().map_err(|err| format!("{err}"))?;
    match &read.party {
        Party::Identity {
            owner: TwinOwner::Device(_),
            ..
        } => Ok(read),
        Party::Identity { .. } => Err("the connection string is a module's".to_owned()),
        Party::Policy { .. } => Err("the connection string is a service's".to_owned()),
    }
}

fn id_scope(text: &str) -> Option<String> {
    let is_scope =
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_scope.then(|| text.to_owned())
}

fn registration_id(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let is_id = (1..=128).contains(&text.len()) && text.bytes().all(allowed);
    is_id.then(|| text.to_owned())
}
