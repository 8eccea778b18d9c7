//! How the device comes to its hub: which hub it is, as whom the device speaks to it, and the identities of its modules.
//!
//! Owns what the device is told or learns of its hub, and the credentials of module identities. Leaves sessions and
//! messages to [`crate::upstream`], which gets an [`Assignment`] and [`Identities`](identities::Identities) from the
//! root.

pub mod identities;
pub mod provisioner;
pub mod rest;
pub mod source;

mod dps;
mod kept;

use wasm_edge_model::connection_string::{ConnectionString, Credential, HostAddress, Party};
use wasm_edge_model::identity::{DeviceId, TwinOwner};
use wasm_edge_model::shared_access::SharedKey;

/// Where a hub speaks MQTT, unless something else is set.
pub const MQTT_PORT: u16 = 8883;

/// Where a hub speaks HTTPS and WebSocket, unless something else is set.
pub const HTTPS_PORT: u16 = 443;

/// The hub of the device, and which of its devices this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The hub, by the name it knows itself by; tokens are made for it.
    pub hub: HostAddress,
    /// Where to connect instead, when the hub is reached through a gateway.
    pub gateway: Option<HostAddress>,
    /// Which device.
    pub device: DeviceId,
    /// Where MQTT is spoken.
    pub mqtt_port: u16,
    /// Where HTTPS and WebSocket are spoken.
    pub https_port: u16,
}

/// How the device itself shows who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceCredential {
    /// By tokens signed with this key.
    Key(SharedKey),
    /// By the certificate that the dialler of the device's own connections shows.
    Certificate,
}

/// Why a connection string is not that of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotADevice {
    /// It opens the hub itself.
    #[error("it is that of a shared access policy: one of a device has `DeviceId`")]
    Policy,
    /// It opens a module.
    #[error("it is that of a module: one of a device has no `ModuleId`")]
    Module,
}

impl Assignment {
    /// The hub and the device of a connection string, and how the device shows that it is it.
    ///
    /// A port in it is that of MQTT.
    ///
    /// # Errors
    /// [`NotADevice`].
    pub fn of_connection_string(
        text: ConnectionString,
    ) -> Result<(Self, DeviceCredential), NotADevice> {
        let mqtt_port = text.address().port().unwrap_or(MQTT_PORT);
        let Party::Identity { owner, credential } = text.party else {
            return Err(NotADevice::Policy);
        };
        let TwinOwner::Device(device) = owner else {
            return Err(NotADevice::Module);
        };
        let assignment = Self {
            hub: text.host,
            gateway: text.gateway,
            device,
            mqtt_port,
            https_port: HTTPS_PORT,
        };
        Ok((assignment, credential.into()))
    }

    /// Where to connect: the gateway, if there is one.
    pub fn address(&self) -> &HostAddress {
        self.gateway.as_ref().unwrap_or(&self.hub)
    }
}

impl From<Credential> for DeviceCredential {
    fn from(credential: Credential) -> Self {
        match credential {
            Credential::Key(key) => Self::Key(key),
            Credential::Certificate => Self::Certificate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_known_by_its_connection_string() {
        let check = |text: &str, expected: Result<(&str, &str, u16), NotADevice>| {
            let parsed = text.parse().expect("a connection string");
            let found = Assignment::of_connection_string(parsed);
            let found = found.map(|(found, credential)| {
                assert_eq!(
                    credential == DeviceCredential::Certificate,
                    text.contains("x509")
                );
                assert_eq!(found.device.as_str(), "d1");
                assert_eq!(found.https_port, 443);
                let names = (
                    found.hub.name().to_owned(),
                    found.address().name().to_owned(),
                );
                (names, found.mqtt_port)
            });
            let expected =
                expected.map(|(hub, address, port)| ((hub.to_owned(), address.to_owned()), port));
            assert_eq!(found, expected, "{text}");
        };
        let key = "SharedAccessKey=MDEyMzQ1Njc4OWFiY2RlZg==";
        check(
            &format!("HostName=hub.example;DeviceId=d1;{key}"),
            Ok(("hub.example", "hub.example", 8883)),
        );
        check(
            &format!("HostName=hub.example:9883;DeviceId=d1;{key}"),
            Ok(("hub.example", "hub.example", 9883)),
        );
        check(
            "HostName=hub.example;DeviceId=d1;x509=true;GatewayHostName=gw:1",
            Ok(("hub.example", "gw", 1)),
        );
        check(
            &format!("HostName=hub.example;DeviceId=d1;ModuleId=m;{key}"),
            Err(NotADevice::Module),
        );
        check(
            &format!("HostName=hub.example;SharedAccessKeyName=service;{key}"),
            Err(NotADevice::Policy),
        );
    }
}
