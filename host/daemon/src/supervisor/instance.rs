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

use super::health::{Checked, HealthChecks, Questions};
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
    /// How its health is asked; absent for a component without `health`.
    checks: Option<HealthChecks>,
    /// The questions about its health, once it is ready.
    questions: Option<Questions>,
    stopping: Option<Stopping>,
}

/// An instance that is to stop.
#[derive(Clone, Copy)]
struct Stopping {
    /// It was told so.
    told: bool,
    /// It is ended where it stands then.
    end_at: Instant,
}

/// What a running instance comes up with.
pub(super) enum News {
    /// It said that it is ready.
    Ready,
    /// It said how it is, or did not in time.
    Checked(Checked),
    /// It ended.
    Ended(Exit),
    /// It did not stop within its grace, and was ended where it stood.
    EndedByForce(Exit),
}

impl Running {
    /// Starts an instance.
    pub(super) fn start(
        around: &Surroundings,
        module: &Module,
        link: &Arc<ModuleLink>,
        gauges: &Arc<Gauges>,
        checks: HealthChecks,
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
            Ok(data) => Box::pin(contained(
                around.interposed(InstanceConfig {
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
                    random_seed: None,
                }),
            )),
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
            checks: module.code.has_health().then_some(checks),
            questions: None,
            stopping: None,
        }
    }

    /// Asks for its health by other settings from now on.
    pub(super) fn set_health_checks(&mut self, checks: HealthChecks) {
        if let Some(present) = &mut self.checks {
            *present = checks;
        }
        if let Some(questions) = &mut self.questions {
            questions.set(checks);
        }
    }

    /// Asks the instance to stop: it finishes what it has in hand, and is ended where it stands if that takes
    /// too long.
    pub(super) fn stop(&mut self) {
        self.listening = None;
        self.questions = None;
        let end_at = wasm_edge_clock::now() + STOP_GRACE + STOP_MARGIN;
        let told = self.control.try_send(Control::Shutdown(STOP_GRACE)).is_ok();
        self.stopping = Some(Stopping { told, end_at });
    }

    /// Runs the instance until something is to be told of it.
    ///
    /// # Cancel safety
    /// The instance stands still while this is not polled, and goes on with the next call.
    pub(super) async fn news(&mut self) -> News {
        loop {
            let end_at = self.stopping.map(|stopping| stopping.end_at);
            let unstopped = self.stopping.filter(|stopping| !stopping.told);
            let untold = self.stopping.is_none() && self.told != Some(self.twin.desired_revision());
            tokio::select! {
                biased;
                exit = &mut self.ended => return News::Ended(exit),
                () = at(end_at), if end_at.is_some() => {
                    return News::EndedByForce(Exit::of(ExitReason::Stopped));
                }
                Ok(_) = self.ready.wait_for(|ready| *ready), if !self.ready_seen => {
                    self.ready_seen = true;
                    if self.stopping.is_none() {
                        self.questions = self.checks.map(Questions::new);
                    }
                    return News::Ready;
                }
                permit = self.control.reserve(), if unstopped.is_some() => {
                    self.stopping = unstopped.map(|stopping| Stopping { told: true, ..stopping });
                    if let (Ok(permit), Some(stopping)) = (permit, unstopped) {
                        permit.send(Control::Shutdown(stopping.grace_left()));
                    }
                }
                permit = self.control.reserve(), if untold => if let Ok(permit) = permit {
                    let (update, version) = self.twin.desired_update(self.told);
                    self.desired.mark_unchanged();
                    self.told = Some(version);
                    permit.send(Control::Desired(update));
                },
                changed = self.desired.changed(), if !untold => drop(changed),
                checked = next_checked(&mut self.questions, &self.control),
                    if self.questions.is_some() => return News::Checked(checked),
            }
        }
    }
}

impl Stopping {
    /// What is left of the time to stop.
    fn grace_left(self) -> Duration {
        self.end_at
            .saturating_duration_since(wasm_edge_clock::now() + STOP_MARGIN)
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

async fn next_checked(
    questions: &mut Option<Questions>,
    control: &mpsc::Sender<Control>,
) -> Checked {
    match questions {
        Some(questions) => questions.next(control).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;
    use cap_std::fs::Dir;
    use wasm_edge_model::identity::ModuleId;
    use wasm_edge_runtime::events::DesiredUpdate;
    use wasm_edge_store::keys::MasterKey;

    use super::*;
    use crate::keys::Keyring;
    use crate::twins::Twins;

    /// An instance that is busy for so long and looks at its controls then; it ends when it is told to.
    fn busy_for(time: Duration) -> (tempfile::TempDir, Running) {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let folder = Dir::open_ambient_dir(temp.path(), ambient_authority()).expect("it opens");
        let keys = Keyring::new(&MasterKey::open(&folder).expect("made"));
        let twins = Twins::open(&folder, &keys).expect("opened");
        let twin = twins.of(&ModuleId::new("m").expect("valid")).expect("read");
        let (control, mut receiver) = mpsc::channel(CONTROLS_MAX);
        let ended = async move {
            wasm_edge_clock::sleep(time).await;
            loop {
                match receiver.recv().await {
                    Some(Control::Shutdown(grace)) => {
                        let code = i32::try_from(grace.as_millis()).expect("some seconds");
                        return Exit::of(ExitReason::Exited { code });
                    }
                    Some(_) => {}
                    None => return Exit::of(ExitReason::Stopped),
                }
            }
        };
        let running = Running {
            ended: Box::pin(ended),
            control,
            listening: None,
            desired: twin.watch_desired(),
            told: Some(twin.desired_revision()),
            twin,
            ready: watch::channel(false).1,
            ready_seen: true,
            checks: None,
            questions: None,
            stopping: None,
        };
        (temp, running)
    }

    /// Ends an instance that is busy for so long, with this many controls in its queue.
    async fn stopped(busy: Duration, waiting: usize) -> News {
        let (_temp, mut running) = busy_for(busy);
        for _ in 0..waiting {
            let update = DesiredUpdate::Patch("{}".to_owned());
            let waits = running.control.try_send(Control::Desired(update));
            waits.expect("there is room for so many");
        }
        running.stop();
        running.news().await
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_is_told_to_stop_and_how_long_it_has() {
        let check = async |busy_ms: u64, waiting: usize, expected_ms: i32| {
            let busy = Duration::from_millis(busy_ms);
            match stopped(busy, waiting).await {
                News::Ended(exit) => assert_eq!(exit.code(), expected_ms, "{busy_ms} {waiting}"),
                _ => panic!("{busy_ms} {waiting}"),
            }
        };
        check(0, 0, 5000).await;
        check(3000, 0, 5000).await;
        // With a full queue it is told when there is room, and has the rest.
        check(3000, CONTROLS_MAX, 2000).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_does_not_stop_is_ended_after_its_grace() {
        let begun = wasm_edge_clock::now();
        let ended = stopped(Duration::from_secs(3600), CONTROLS_MAX).await;
        assert!(matches!(ended, News::EndedByForce(_)));
        let waited = wasm_edge_clock::now().duration_since(begun);
        assert_eq!(waited, STOP_GRACE + STOP_MARGIN);
    }
}
