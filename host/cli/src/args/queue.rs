//! Arguments of the commands under `queue`.

use clap::{Args, Subcommand};
use wasm_edge_model::identity::DeviceId;

/// The commands under `queue`.
#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List the queues with what waits in them, was put aside and was lost
    List(QueueListArgs),
    /// Show messages that wait or were put aside, and leave them there
    Peek(QueuePeekArgs),
    /// Let messages that were put aside wait again
    Retry(QueueRetryArgs),
    /// Throw messages away
    Purge(QueuePurgeArgs),
}

/// Arguments of `queue list`.
#[derive(Debug, Args)]
pub(crate) struct QueueListArgs {
    /// Only the queues of this device
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
}

/// Arguments of `queue peek`.
#[derive(Debug, Args)]
pub(crate) struct QueuePeekArgs {
    /// The queue: MODULE/INPUT or $upstream
    pub(crate) endpoint: String,
    /// The device, where there are several
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
    /// Messages that were put aside, in place of those that wait
    #[arg(long)]
    pub(crate) aside: bool,
    /// How many to show, from the one that is next
    #[arg(long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
}

/// Arguments of `queue retry`.
#[derive(Debug, Args)]
pub(crate) struct QueueRetryArgs {
    /// The queue: MODULE/INPUT or $upstream
    pub(crate) endpoint: String,
    /// The device, where there are several
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
    #[command(flatten)]
    pub(crate) which: WhichArgs,
}

/// Which of the messages that were put aside.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WhichArgs {
    /// The message, by the id that `queue peek --aside` shows
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// All messages that were put aside there
    #[arg(long)]
    all: bool,
}

/// Arguments of `queue purge`.
#[derive(Debug, Args)]
pub(crate) struct QueuePurgeArgs {
    /// The queue: MODULE/INPUT or $upstream
    pub(crate) endpoint: String,
    /// The device, where there are several
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
    /// Only messages that were put aside
    #[arg(long, conflicts_with = "waiting")]
    pub(crate) aside: bool,
    /// Only messages that wait
    #[arg(long)]
    pub(crate) waiting: bool,
    /// Do it: what is thrown away is gone
    #[arg(long)]
    pub(crate) yes: bool,
}
