//! Serves the metrics of this process's devices where the configuration says so.

use std::sync::Arc;

use wasm_edge_daemon::config::device::MetricsConfig;
use wasm_edge_daemon::metrics::Metrics;
use wasm_edge_daemon::metrics::serve::MetricsServer;

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// Begins to serve, if there is an address to listen on.
///
/// # Errors
/// When it cannot listen there.
pub(crate) async fn start(
    config: &MetricsConfig,
    metrics: Metrics,
) -> Result<Option<MetricsServer>, Failure> {
    let Some(listen) = config.listen else {
        return Ok(None);
    };
    let started = MetricsServer::start(listen, Arc::new(move || metrics.text())).await;
    let server = started.map_err(|err| {
        Failure::new(
            ExitStatus::Failure,
            format!("cannot serve metrics on `{listen}`"),
        )
        .caused_by(err)
        .hint("choose another address by `listen` in `[metrics]`, or end what holds it")
    })?;
    tracing::info!(address = %server.address(), "metrics are served");
    Ok(Some(server))
}
