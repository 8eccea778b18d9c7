//! Arguments of `bench`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `bench`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {
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
