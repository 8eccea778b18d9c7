//! The options that lead a command to a hub on the network instead of a process of this machine.
//!
//! A connection string holds a key, so that nothing here prints one: clap never gets to check it, which would make it
//! part of an error. What it holds is found out in `client::far`.

use std::convert::Infallible;
use std::fmt;
#[cfg(feature = "hub")]
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

/// The heading over these options.
#[cfg(feature = "hub")]
const HEADING: &str = "A hub on the network";

/// Which hub on the network is meant, if one is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FarHubArgs {
    /// Ask the hub of this connection string, `@FILE` reads it from a file; or WASM_EDGE_HUB_CONNECTION_STRING
    #[cfg(feature = "hub")]
    #[arg(long, value_name = "STRING|@FILE", help_heading = HEADING)]
    pub(crate) hub: Option<Secret>,

    /// Trust the hub by the certificates of this file (PEM) alone, not by those of the system; or WASM_EDGE_HUB_CA
    #[cfg(feature = "hub")]
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub(crate) hub_ca: Option<PathBuf>,
}

/// A text that is not to be printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Takes a text for secret.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What must not be printed.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}
