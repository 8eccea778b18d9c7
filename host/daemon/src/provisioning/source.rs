//! What the configuration says of the device's hub, with the files that it names read.
//!
//! Owns reading keys, connection strings and certificates from files, and that others may not read them. Leaves what
//! can be wrong with the keys of the configuration to [`crate::config`].

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use wasm_edge_model::connection_string::{
    CONNECTION_STRING_MAX_BYTES, ConnectionString, ConnectionStringError, HostAddress,
};
use wasm_edge_model::shared_access::{SharedKey, SharedKeyError};
use wasm_edge_net::trust::{ClientIdentity, TrustError};
use zeroize::Zeroizing;

use super::dps::key_of_group;
use super::provisioner::Provisioned;
use super::{Assignment, DeviceCredential, MQTT_PORT, NotADevice};
use crate::config::hub::HubConfig;
use crate::config::provisioning::{
    Attestation, CertificateFiles, ConnectionStringSource, DpsConfig, KeyOwner, ProvisioningConfig,
    Reprovision,
};

/// The longest file of a key or a connection string: the longest text, and the line's end.
const SECRET_MAX_BYTES: usize = CONNECTION_STRING_MAX_BYTES + 2;

/// The permission bits that let everybody read or write.
const OTHERS: u32 = 0o006;

/// Where the device's hub and credential come from, and the certificate that it is known by, if there is one.
pub struct Source {
    pub(super) origin: Origin,
    certificate: Option<ClientIdentity>,
}

/// Where the hub and the credential come from.
pub(super) enum Origin {
    /// They are known.
    Given {
        assignment: Assignment,
        credential: DeviceCredential,
    },
    /// The provisioning service says which hub.
    Dps(DpsSource),
}

/// Who registers with the provisioning service.
pub(super) struct DpsSource {
    pub(super) id_scope: String,
    pub(super) registration_id: String,
    /// The registration's own key, if there is one.
    pub(super) key: Option<SharedKey>,
    pub(super) endpoint: HostAddress,
    pub(super) reprovision: Reprovision,
}

/// Why the device does not know who it is.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds something else than a key.
    #[error("`{}` does not hold a key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SharedKeyError,
    },
    /// A file holds something else than a connection string.
    #[error("`{}` does not hold a connection string", path.display())]
    ConnectionString {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ConnectionStringError,
    },
    /// A connection string is not that of a device.
    #[error("the connection string cannot be used")]
    NotADevice(#[from] NotADevice),
    /// A connection string is that of a device with a certificate, and there is none.
    #[error(
        "the connection string says `x509=true`, and `certificate_file` and `private_key_file` are not set"
    )]
    NoCertificate,
    /// A certificate or its key cannot be used.
    #[error("the device's certificate cannot be used")]
    Certificate(#[from] TrustError),
}

impl Source {
    /// Reads what `config` names. Blocks.
    ///
    /// A secret that everybody may read is told in the log.
    ///
    /// # Errors
    /// [`SourceError`]; none shows what a file holds.
    pub fn read(config: &ProvisioningConfig, hub: &HubConfig) -> Result<Self, SourceError> {
        match config {
            ProvisioningConfig::ConnectionString {
                connection_string,
                certificate,
            } => Self::of_connection_string(connection_string, certificate.as_ref(), hub),
            ProvisioningConfig::SasKeyFile {
                host_name,
                device_id,
                key_file,
            } => {
                let assignment = assignment(host_name.clone(), device_id.clone(), hub);
                let credential = DeviceCredential::Key(key(key_file)?);
                Ok(Self::given(assignment, credential, None))
            }
            ProvisioningConfig::X509 {
                host_name,
                device_id,
                certificate,
            } => {
                let assignment = assignment(host_name.clone(), device_id.clone(), hub);
                let certificate = identity(certificate)?;
                let credential = DeviceCredential::Certificate;
                Ok(Self::given(assignment, credential, Some(certificate)))
            }
            ProvisioningConfig::Dps(dps) => Self::of_dps(dps),
        }
    }

    /// The device of a connection string that is at hand.
    ///
    /// # Errors
    /// [`SourceError::NotADevice`], [`SourceError::NoCertificate`].
    pub fn of_text(text: ConnectionString, hub: &HubConfig) -> Result<Self, SourceError> {
        let source = ConnectionStringSource::Inline(text);
        Self::of_connection_string(&source, None, hub)
    }

    /// Which hub it is, where no service has to be asked.
    pub fn known(&self) -> Option<Provisioned> {
        match &self.origin {
            Origin::Given {
                assignment,
                credential,
            } => Some(Provisioned {
                assignment: assignment.clone(),
                credential: credential.clone(),
            }),
            Origin::Dps(_) => None,
        }
    }

    /// Hands over the certificate that the device's own connections show, if there is one.
    pub fn take_certificate(&mut self) -> Option<ClientIdentity> {
        self.certificate.take()
    }

    fn given(
        assignment: Assignment,
        credential: DeviceCredential,
        certificate: Option<ClientIdentity>,
    ) -> Self {
        Self {
            origin: Origin::Given {
                assignment,
                credential,
            },
            certificate,
        }
    }

    fn of_connection_string(
        text: &ConnectionStringSource,
        certificate: Option<&CertificateFiles>,
        hub: &HubConfig,
    ) -> Result<Self, SourceError> {
        let mut text = match text {
            ConnectionStringSource::Inline(text) => text.clone(),
            ConnectionStringSource::File(path) => connection_string(path)?,
        };
        text.gateway = hub.gateway.clone().or(text.gateway);
        let (mut assignment, credential) = Assignment::of_connection_string(text)?;
        if let Some(port) = hub.mqtt_port {
            assignment.mqtt_port = port;
        }
        assignment.https_port = hub.https_port;
        let certificate = match (&credential, certificate) {
            (DeviceCredential::Certificate, None) => return Err(SourceError::NoCertificate),
            (DeviceCredential::Certificate, Some(files)) => Some(identity(files)?),
            (DeviceCredential::Key(_), _) => None,
        };
        Ok(Self::given(assignment, credential, certificate))
    }

    fn of_dps(dps: &DpsConfig) -> Result<Self, SourceError> {
        let (key, certificate) = match &dps.attestation {
            Attestation::Key { file, owner } => {
                let key = key(file)?;
                let key = match owner {
                    KeyOwner::Registration => key,
                    KeyOwner::Group => key_of_group(&key, &dps.registration_id),
                };
                (Some(key), None)
            }
            Attestation::Certificate(files) => (None, Some(identity(files)?)),
        };
        Ok(Self {
            origin: Origin::Dps(DpsSource {
                id_scope: dps.id_scope.clone(),
                registration_id: dps.registration_id.clone(),
                key,
                endpoint: dps.global_endpoint.clone(),
                reprovision: dps.reprovision,
            }),
            certificate,
        })
    }
}

/// A device of a hub, reached as the configuration says.
pub(super) fn assignment(
    host: HostAddress,
    device: wasm_edge_model::identity::DeviceId,
    hub: &HubConfig,
) -> Assignment {
    let named = hub.gateway.as_ref().unwrap_or(&host).port();
    Assignment {
        mqtt_port: hub.mqtt_port.or(named).unwrap_or(MQTT_PORT),
        https_port: hub.https_port,
        gateway: hub.gateway.clone(),
        hub: host,
        device,
    }
}

fn key(path: &Path) -> Result<SharedKey, SourceError> {
    let text = secret(path)?;
    SharedKey::new(text.trim()).map_err(|source| SourceError::Key {
        path: path.to_owned(),
        source,
    })
}

fn connection_string(path: &Path) -> Result<ConnectionString, SourceError> {
    let text = secret(path)?;
    text.parse()
        .map_err(|source| SourceError::ConnectionString {
            path: path.to_owned(),
            source,
        })
}

fn identity(files: &CertificateFiles) -> Result<ClientIdentity, SourceError> {
    let CertificateFiles {
        certificate_file,
        private_key_file,
    } = files;
    let identity = ClientIdentity::read(certificate_file, private_key_file)?;
    if let Ok(metadata) = std::fs::metadata(private_key_file) {
        warn_if_exposed(private_key_file, metadata.permissions().mode());
    }
    Ok(identity)
}

/// The text of a small file that holds a secret.
fn secret(path: &Path) -> Result<Zeroizing<String>, SourceError> {
    let read = || {
        let file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        let mut text = Zeroizing::new(String::new());
        file.take(SECRET_MAX_BYTES as u64 + 1)
            .read_to_string(&mut text)?;
        if text.len() > SECRET_MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        warn_if_exposed(path, mode);
        Ok(text)
    };
    read().map_err(|source| SourceError::Read {
        path: path.to_owned(),
        source,
    })
}

fn warn_if_exposed(path: &Path, mode: u32) {
    if mode & OTHERS != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{:o}", mode & 0o777),
            "everybody on this machine can read or change a secret; set the file's mode to 600"
        );
    }
}

#[cfg(test)]
mod tests;
