//! Arguments of `bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `bench`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: Option<BenchCommand>,

    /// Only rows whose name begins so, such as `pss` or `filter-1KB`; all without it
    pub(crate) rows: Vec<String>,

    /// The folder of the components that are measured: empty.wasm, load.wasm and source.wasm
    #[arg(long, value_name = "DIR", env = "WASM_EDGE_BENCH_COMPONENTS")]
    pub(crate) components: Option<PathBuf>,

    /// A deployment manifest whose memory is measured while it runs, for the row `pss-demo`
    #[arg(long, value_name = "FILE")]
    pub(crate) demo: Option<PathBuf>,

    /// Fewer messages, instances and repetitions: to see that all runs, not how fast
    #[arg(long)]
    pub(crate) quick: bool,

    /// Print the rows and their budgets, and measure nothing
    #[arg(long)]
    pub(crate) list: bool,

    /// Also write the figures as JSON into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// What else `bench` measures.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Put connections, telemetry, patches and calls on a hub, and on a plain MQTT broker beside it
    Hub(Box<HubBenchArgs>),
    /// Count what an idle device of a hub sends and receives, and how it comes back after an outage
    Daemon(DaemonBenchArgs),
}

/// Arguments of `bench daemon`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DaemonBenchArgs {
    /// The folder of the components that are measured, as of `bench`
    #[arg(long, value_name = "DIR", env = "WASM_EDGE_BENCH_COMPONENTS")]
    pub(crate) components: Option<PathBuf>,

    /// How long devices are idle at least: whole periods of their pings
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1440))]
    pub(crate) minutes: u16,

    /// How long the hub is away
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub(crate) outage_seconds: u16,

    /// Short times and frequent pings: to see that all runs, not what it costs
    #[arg(long)]
    pub(crate) quick: bool,

    /// Also write the figures as JSON into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Arguments of `bench hub`.
#[derive(Clone, Debug, Args)]
pub(crate) struct HubBenchArgs {
    /// A connection string of the service: measure that hub, and not one that is started for it
    #[arg(long, value_name = "CONNECTION_STRING")]
    pub(crate) hub: Option<String>,

    /// The certificates to know that hub by; those of the system without it
    #[arg(long, value_name = "FILE", requires = "hub")]
    pub(crate) hub_ca: Option<PathBuf>,

    /// The port where devices connect to that hub
    #[arg(long, value_name = "PORT", requires = "hub", default_value_t = 8883)]
    pub(crate) mqtt_port: u16,

    /// The process of that hub, if it runs on this machine: for its memory
    #[arg(long, value_name = "PID", requires = "hub")]
    pub(crate) hub_pid: Option<u32>,

    /// An MQTT broker with TLS to put the same load on, as far as it goes, at `HOST:PORT`
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) broker: Option<String>,

    /// The certificates to know the broker by; those of the system without it
    #[arg(long, value_name = "FILE", requires = "broker")]
    pub(crate) broker_ca: Option<PathBuf>,

    /// The process of the broker, if it runs on this machine: for its memory
    #[arg(long, value_name = "PID", requires = "broker")]
    pub(crate) broker_pid: Option<u32>,

    /// Measure the broker alone
    #[arg(long, requires = "broker", conflicts_with = "hub")]
    pub(crate) broker_only: bool,

    /// How many devices connect
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) connections: u16,

    /// How many of them publish, each with several messages in flight, and report properties
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) publishers: u16,

    /// How many messages each of these has in flight
    #[arg(long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) in_flight: u16,

    /// How long a message's body is
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=200_000))]
    pub(crate) size_bytes: u32,

    /// How long each load is counted
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=600))]
    pub(crate) seconds: u16,

    /// Few connections and short times: to see that all runs, not how fast
    #[arg(long)]
    pub(crate) quick: bool,

    /// Also write the figures as JSON into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}
