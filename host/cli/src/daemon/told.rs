//! What the log of a daemon has of its images: mirrors that did not serve, and images that are those of before.
//!
//! In the foreground the narrator of `run` says the same to a person.

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use wasm_edge_daemon::agent::progress::Progress;

/// Logs what a device tells until it is stopped.
pub(super) async fn log(mut progress: Receiver<Progress>, stop: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            told = progress.recv() => match told {
                Ok(told) => line(told),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            () = stop.cancelled() => return,
        }
    }
}

fn line(told: Progress) {
    match told {
        Progress::MirrorFailed { mirror, problem } => {
            tracing::warn!(mirror, problem, "a mirror did not serve an image");
        }
        Progress::ImageBefore { module, warning } => {
            tracing::warn!(%module, warning, "an image of before is taken");
        }
        // The agent logs by itself what else the device does.
        Progress::Pulling { .. }
        | Progress::Loading { .. }
        | Progress::Compiled { .. }
        | Progress::Cached { .. }
        | Progress::NotReady { .. } => {}
    }
}
