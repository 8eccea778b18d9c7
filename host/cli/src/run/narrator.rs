//! What `run` says of its devices' deployments on standard error: what is compiled, and what became of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wasm_edge_daemon::agent::handle::{DeploymentState, Phase};
use wasm_edge_daemon::agent::progress::Progress;
use wasm_edge_daemon::device::Device;

use crate::output::text::Text;
use crate::output::{Output, human};
use crate::registries;

/// Tells of all devices until it is closed.
pub(super) struct Narrator {
    readers: JoinSet<()>,
    stop: CancellationToken,
}

/// One device.
struct Reader {
    output: Output,
    /// What its lines begin with: the device, if there are several.
    prefix: String,
    progress: broadcast::Receiver<Progress>,
    state: watch::Receiver<DeploymentState>,
    /// What was told last.
    told: Option<DeploymentState>,
    mirrors: MirrorsTold,
}

/// The mirrors of which it was told that they did not serve, whichever device met them. As many as the configuration
/// names; locked for one short step.
type MirrorsTold = Arc<Mutex<BTreeSet<String>>>;

impl Narrator {
    /// Begins to tell of what happens from now on.
    pub(super) fn open(devices: &[Device], output: &Output) -> Self {
        let stop = CancellationToken::new();
        let mut readers = JoinSet::new();
        let mirrors = MirrorsTold::default();
        for device in devices {
            let prefix = if devices.len() > 1 {
                format!("{}: ", device.view().device)
            } else {
                String::new()
            };
            let reader = Reader {
                output: output.clone(),
                prefix,
                progress: device.agent().progress(),
                state: device.agent().watch(),
                told: None,
                mirrors: Arc::clone(&mirrors),
            };
            readers.spawn(reader.run(stop.clone()));
        }
        Self { readers, stop }
    }

    /// Tells what is left, and ends.
    pub(super) async fn close(mut self) {
        self.stop.cancel();
        while self.readers.join_next().await.is_some() {}
    }
}

impl Reader {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                progress = self.progress.recv() => match progress {
                    Ok(progress) => self.tell(&progress),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                changed = self.state.changed() => match changed {
                    Ok(()) => self.tell_state(),
                    Err(_) => return,
                },
                () = stop.cancelled() => return,
            }
        }
    }

    fn tell(&self, progress: &Progress) {
        let prefix = &self.prefix;
        match progress {
            Progress::Pulling {
                module,
                done_bytes,
                size_bytes,
            } if done_bytes == size_bytes => self.note(&format!(
                "{prefix}pulled the image of {module}, {}",
                human::size(*size_bytes)
            )),
            Progress::Pulling { .. } | Progress::Loading { .. } | Progress::Cached { .. } => {}
            Progress::Compiled { module, took } => self.note(&format!(
                "{prefix}compiled {module} in {:.1} s",
                took.as_secs_f64()
            )),
            Progress::MirrorFailed { mirror, problem } => {
                let mut told = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
                if told.insert(mirror.clone()) {
                    self.output
                        .warn(&registries::mirror_failed(mirror, problem));
                }
            }
            Progress::ImageBefore { module, warning } => {
                self.output.warn(&format!("{prefix}{module}: {warning}"));
            }
            Progress::NotReady { module } => self
                .output
                .warn(&format!("{prefix}{module} is not ready; the others go on")),
        }
    }

    fn tell_state(&mut self) {
        let state = self.state.borrow_and_update().clone();
        if !state.is_settled() || self.told.as_ref() == Some(&state) {
            return;
        }
        let (prefix, version) = (&self.prefix, state.agent_version);
        match &state.phase {
            Phase::Refused { reasons, .. } => {
                for reason in reasons {
                    self.output.warn(&format!("{prefix}{reason}"));
                }
                self.output.warn(&format!(
                    "{prefix}the deployment (version {version}) is refused; what ran before runs on"
                ));
            }
            Phase::RolledBack { reason } => self.output.warn(&format!(
                "{prefix}the deployment (version {version}) was rolled back to the last good one: {reason}"
            )),
            Phase::Unhealthy { reason } => self.output.warn(&format!(
                "{prefix}the deployment (version {version}) is unhealthy, and there is no other to go back to: {reason}"
            )),
            // The first one is what `run` was started for.
            Phase::Applied if self.told.is_some() => {
                self.note(&format!("{prefix}the deployment (version {version}) is applied"));
            }
            _ => {}
        }
        self.told = Some(state);
    }

    fn note(&self, text: &str) {
        self.output.note(&Text::new().plain(text));
    }
}
