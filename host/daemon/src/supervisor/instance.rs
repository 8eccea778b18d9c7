//! One running instance as its module's task sees it: control goes in, its end comes out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use wasm_edge_runtime::events::Control;
use wasm_edge_runtime::exit::{Exit, ExitReason};
use wasm_edge_runtime::instance::{self, Gauges, InstanceConfig};

use super::link::{self, ModuleLink};
use super::{Module, STOP_GRACE, Surroundings, at};
use crate::methods::Listening;
use crate::twins::Twin;

/// Controls that may wait for an instance; a busy one is told the newest state later, not more.
const CONTROLS_MAX: usize = 16;

/// Beyond the grace period, the time until an instance that does not stop is ended where it stands.
const STOP_MARGIN: Duration = Duration::from_millis(500);

/// A running instance.
pub(super) struct Running {
    ended: Pin<Box<dyn Future<Output = Exit> + Send>>,
    control: mpsc::Sender<Control>,
    /// Held while it takes direct methods.
    listening: Option<Listening>,
    twin: Twin,
    desired: watch::Receiver<u64>,
    /// The version of the desired properties that the instance was told last.
    told: Option<u64>,
    ready: watch::Receiver<bool>,
    ready_seen: bool,
    end_at: Option<Instant>,
}

/// What a running instance comes up with.
pub(super) enum News {
    /// It said that it is ready.
    Ready,
    /// It ended.
    Ended(Exit),
}

impl Running {
    /// Starts an instance.
    pub(super) fn start(
        around: &Surroundings,
        module: &Module,
        link: &Arc<ModuleLink>,
        gauges: &Arc<Gauges>,
    ) -> Self {
        let id = &module.spec.id;
        let ready = link.watch_ready();
        let (control, receiver) = mpsc::channel(CONTROLS_MAX);
        let listens = module
            .code
            .takes_methods()
            .then(|| around.methods.listen(id));
        let (listening, methods) = listens.unzip();
        let ended: Pin<Box<dyn Future<Output = Exit> + Send>> = match around.folder.module_data(id)
        {
            Err(err) => {
                let cause = format!("cannot open its folder: {err}");
                Box::pin(std::future::ready(Exit::of(ExitReason::NotStarted {
                    cause,
                })))
            }
            Ok(data) => Box::pin(contained(InstanceConfig {
                code: module.code.clone(),
                host: Arc::clone(link) as Arc<dyn wasm_edge_runtime::guest::ModuleHost>,
                limits: module.spec.limits.clone(),
                env: module
                    .spec
                    .env
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect(),
                args: module.spec.args.clone(),
                grants: module.spec.grants.clone(),
                data,
                own_folder: around.own_folder.clone(),
                control: receiver,
                methods,
                messages: module.code.takes_messages().then(|| {
                    link::messages(around.router.inbox(id), around.logs.clone(), id.clone())
                }),
                gauges: Arc::clone(gauges),
            })),
        };
        Self {
            ended,
            control,
            listening,
            twin: module.twin.clone(),
            desired: module.twin.watch_desired(),
            told: None,
            ready,
            ready_seen: false,
            end_at: None,
        }
    }

    /// Asks the instance to stop; it is ended where it stands if it does not.
    pub(super) fn stop(&mut self) {
        self.end_at = Some(Instant::now() + STOP_GRACE + STOP_MARGIN);
        self.listening = None;
        if self
            .control
            .try_send(Control::Shutdown(STOP_GRACE))
            .is_err()
        {
            // It has not looked at its controls for long: there is nothing to wait for.
            self.end_at = Some(Instant::now());
        }
    }

    /// Runs the instance until something is to be told of it.
    ///
    /// # Cancel safety
    /// The instance stands still while this is not polled, and goes on with the next call.
    pub(super) async fn news(&mut self) -> News {
        loop {
            let untold = self.told != Some(self.twin.desired_version()) && self.end_at.is_none();
            let end_at = self.end_at;
            tokio::select! {
                biased;
                exit = &mut self.ended => return News::Ended(exit),
                () = at(end_at), if end_at.is_some() => {
                    return News::Ended(Exit::of(ExitReason::Stopped));
                }
                Ok(_) = self.ready.wait_for(|ready| *ready), if !self.ready_seen => {
                    self.ready_seen = true;
                    return News::Ready;
                }
                permit = self.control.reserve(), if untold => if let Ok(permit) = permit {
                    let (update, version) = self.twin.desired_update(self.told);
                    self.desired.mark_unchanged();
                    self.told = Some(version);
                    permit.send(Control::Desired(update));
                },
                changed = self.desired.changed(), if !untold => drop(changed),
            }
        }
    }
}

/// Runs an instance; a panic of the host on its behalf ends this instance and nothing else.
async fn contained(config: InstanceConfig) -> Exit {
    let running = std::panic::AssertUnwindSafe(instance::run(config));
    running.catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let cause = text.unwrap_or_else(|| "a panic without a text".to_owned());
        Exit::of(ExitReason::HostFault { cause })
    })
}
