//! The options that lead a command to a hub on the network instead of a process of this machine.

use clap::Args;

/// Which hub on the network is meant, if one is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FarHubArgs {}
