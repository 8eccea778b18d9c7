//! Why a process or a hub could not be asked, and what a person can do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "hub")]
use wasm_edge_net::dial::DialError;

use super::answer::Refusal;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// Who is asked, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A process of this machine.
    Device,
    /// A hub on the network.
    #[cfg(feature = "hub")]
    Hub,
}

/// Why a running device or a hub could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The data folder cannot be opened.
    #[error("cannot open the data folder `{}`", path.display())]
    DataFolder {
        /// As given.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No process listens there.
    #[error("no device is running in `{}`", path.display())]
    NotListening {
        /// The data folder.
        path: PathBuf,
    },
    /// The socket is there, and cannot be connected to.
    #[error("cannot connect to the device in `{}`", path.display())]
    Connect {
        /// The data folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no connection to the hub on the network.
    #[cfg(feature = "hub")]
    #[error("cannot reach the hub")]
    Dial(#[source] DialError),
    /// It takes too long.
    #[error("the {peer} did not {what} within {} s", limit.as_secs())]
    Timeout {
        /// Who.
        peer: Peer,
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
    },
    /// The connection ended or did not speak HTTP.
    #[error("the connection to the {peer} broke")]
    Broken {
        /// To whom.
        peer: Peer,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// A document above [`super::BODY_SIZE_MAX_BYTES`].
    #[error("the {peer}'s answer is larger than {limit} bytes")]
    TooLarge {
        /// Whose.
        peer: Peer,
        /// The limit.
        limit: usize,
    },
    /// A line of a stream above [`super::lines::LINE_SIZE_MAX_BYTES`].
    #[error("the {peer} sent a line of more than {limit} bytes")]
    LineTooLong {
        /// Who.
        peer: Peer,
        /// The limit.
        limit: usize,
    },
    /// Not the JSON that was expected.
    #[error("the answer is not the expected JSON")]
    NotJson(#[source] serde_json::Error),
    /// The answer is an error.
    #[error("{0}")]
    Refused(Refusal),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Device => "device",
            #[cfg(feature = "hub")]
            Self::Hub => "hub",
        })
    }
}

impl From<ClientError> for Failure {
    fn from(err: ClientError) -> Self {
        let start =
            "start one with `wasm-edge run FILE`, or name its data folder with `--data-dir DIR`";
        let (status, hint) = match err {
            ClientError::Refused(refusal) => return refusal.into(),
            ClientError::NotListening { .. } | ClientError::DataFolder { .. } => {
                (ExitStatus::NotRunning, Some(start))
            }
            ClientError::Connect { .. } => (
                ExitStatus::NotRunning,
                Some("the socket is open to the user that runs the device only"),
            ),
            ClientError::Timeout { .. } | ClientError::Broken { .. } => {
                (ExitStatus::NotRunning, None)
            }
            #[cfg(feature = "hub")]
            ClientError::Dial(ref err) => dialing(err),
            ClientError::TooLarge { .. }
            | ClientError::LineTooLong { .. }
            | ClientError::NotJson(_) => (
                ExitStatus::Failure,
                Some("is it of the same version as this command?"),
            ),
        };
        let failure = Self::new(status, err.to_string());
        let failure = match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        };
        match err {
            ClientError::DataFolder { source, .. } | ClientError::Connect { source, .. } => {
                failure.caused_by(source)
            }
            #[cfg(feature = "hub")]
            ClientError::Dial(source) => failure.caused_by(source),
            ClientError::Broken { source, .. } => failure.caused_by(source),
            ClientError::NotJson(source) => failure.caused_by(source),
            _ => failure,
        }
    }
}

/// How a command ends whose hub cannot be reached, and what can be done about it.
#[cfg(feature = "hub")]
fn dialing(err: &DialError) -> (ExitStatus, Option<&'static str>) {
    match err {
        DialError::Resolve { .. } | DialError::Connect { .. } | DialError::Timeout { .. } => (
            ExitStatus::NotRunning,
            Some("does the hub run, and are host and port those of its HTTPS?"),
        ),
        DialError::ProxyConnect { .. } | DialError::Proxy { .. } => (
            ExitStatus::NotRunning,
            Some("the proxy is that of `https_proxy`; `no_proxy` names hosts to reach without it"),
        ),
        DialError::Tls { .. } | DialError::WebSocket { .. } => (
            ExitStatus::NotRunning,
            Some("is the port that of the hub's HTTPS?"),
        ),
        DialError::Certificate { .. } if err.may_be_the_clock() => (
            ExitStatus::Failure,
            Some("is the clock of this machine right?"),
        ),
        DialError::Certificate { .. } | DialError::Name { .. } => (
            ExitStatus::Failure,
            Some(
                "`--hub-ca FILE` names what to trust; `wasm-edge hub ca` prints the CA of a hub, on its machine",
            ),
        ),
    }
}
