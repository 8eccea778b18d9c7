//! Why a connection to a broker was not made, or ended.

use std::io;
use std::time::Duration;

use rumqttc::mqttbytes::v4::ConnectReturnCode;
use thiserror::Error;

/// Why a connection to a broker was not made, or ended.
#[derive(Debug, Error)]
pub enum MqttError {
    /// The broker did not let us in.
    #[error("the broker refused the connection: {0}")]
    Refused(Refusal),
    /// The broker took too long.
    #[error("the broker did not {what} within {} s", limit.as_secs_f32())]
    Timeout {
        /// What it did not do.
        what: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// The broker broke the protocol.
    #[error("the broker sent what is not expected of one: {0}")]
    Violation(&'static str),
    /// The broker closed the connection.
    #[error("the broker closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection to the broker broke")]
    Broken(#[source] io::Error),
    /// What was to be sent is too large; nothing was sent.
    #[error("a packet or text of {size_bytes} bytes is above the limit of {limit}")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Nothing can be published to such a topic; nothing was sent.
    #[error("a topic is empty, or has wildcards or null characters")]
    Topic,
}

/// Why a broker does not let somebody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Return code 1.
    #[error("it does not speak MQTT 3.1.1")]
    ProtocolVersion,
    /// Return code 2.
    #[error("it does not take the client id")]
    ClientId,
    /// Return code 3.
    #[error("it is not available")]
    Unavailable,
    /// Return code 4.
    #[error("user name or password are wrong")]
    Credentials,
    /// Return code 5.
    #[error("user name or password have no right")]
    NotAuthorized,
}

impl Refusal {
    pub(super) fn of(code: ConnectReturnCode) -> Self {
        match code {
            ConnectReturnCode::RefusedProtocolVersion => Self::ProtocolVersion,
            ConnectReturnCode::BadClientId => Self::ClientId,
            ConnectReturnCode::ServiceUnavailable => Self::Unavailable,
            ConnectReturnCode::BadUserNamePassword => Self::Credentials,
            ConnectReturnCode::NotAuthorized | ConnectReturnCode::Success => Self::NotAuthorized,
        }
    }
}
