//! The task of one module: it owns the module's life and its running instance.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use wasm_edge_model::manifest::{DesiredStatus, ModuleSpec};
use wasm_edge_model::status::RuntimeStatus;
use wasm_edge_runtime::exit::Exit;
use wasm_edge_runtime::guest::LogLevel;
use wasm_edge_runtime::instance::Gauges;

use super::health::Checked;
use super::instance::{News, Running};
use super::life::{self, Action, AfterStop, Ended, Life, LifeEvent, Rules};
use super::link::ModuleLink;
use super::report::{ModuleReport, Runs};
use super::{Module, STOP_GRACE, Surroundings, at};
use crate::clock;

/// What the agent or an operator wants of a module; `done` is told, or dropped, when it is so.
pub(super) struct Order {
    pub(super) command: Command,
    pub(super) done: oneshot::Sender<()>,
}

/// What is wanted.
pub(super) enum Command {
    /// Done when it is started.
    Start,
    /// Done when no instance runs any more.
    Stop,
    /// Done when the restart has begun.
    Restart,
    /// Done when no instance of what was before runs any more.
    Update(Box<Module>),
    /// Done at once.
    SetSpec(Box<ModuleSpec>, String),
}

/// The task of one module.
pub(super) struct ModuleTask {
    around: Arc<Surroundings>,
    module: Module,
    /// What takes its place once its instance has ended, and who waits for that.
    replacement: Option<(Box<Module>, oneshot::Sender<()>)>,
    link: Arc<ModuleLink>,
    orders: mpsc::Receiver<Order>,
    /// Those who wait until no instance runs.
    stopped: Vec<oneshot::Sender<()>>,
    report: Reporter,
    gauges: Arc<Gauges>,
    life: Life,
    /// What led to its status, for a status that needs a reason.
    reason: String,
    running: Option<Running>,
}

/// Where a module shows how it is.
pub(super) struct Reporter {
    report: watch::Sender<ModuleReport>,
    /// Counts the changes of the reports of all modules.
    changes: Arc<watch::Sender<u64>>,
}

enum Wake {
    Order(Option<Order>),
    News(News),
    Time,
}

impl ModuleTask {
    pub(super) fn new(
        around: Arc<Surroundings>,
        module: Module,
        orders: mpsc::Receiver<Order>,
        changes: Arc<watch::Sender<u64>>,
    ) -> (Self, watch::Receiver<ModuleReport>) {
        let gauges = Arc::new(Gauges::default());
        let (report, receiver) = watch::channel(ModuleReport {
            device: around.device.clone(),
            spec: Arc::new(module.spec.clone()),
            image_digest: module.image_digest.clone(),
            component_digest: module.component_digest.clone(),
            takes_messages: module.code.takes_messages(),
            status: match module.spec.status {
                DesiredStatus::Running => RuntimeStatus::Unknown,
                DesiredStatus::Stopped => RuntimeStatus::Stopped,
            },
            status_description: "not started yet".to_owned(),
            ready: false,
            restart_count: 0,
            exit_code: None,
            last_exit_reason: None,
            last_start_time: None,
            last_exit_time: None,
            last_restart_time: None,
            gauges: Arc::clone(&gauges),
            runs: Runs {
                wanted_since: wanted_since(&module.spec, None),
                ..Runs::default()
            },
        });
        let link = ModuleLink::new(&around, &module);
        let task = Self {
            around,
            module,
            replacement: None,
            link,
            orders,
            stopped: Vec::new(),
            report: Reporter { report, changes },
            gauges,
            life: Life::Stopped,
            reason: String::new(),
            running: None,
        };
        task.report.change(|_| {});
        (task, receiver)
    }

    /// Runs until nobody can command it any more and its instance has ended.
    pub(super) async fn run(mut self) {
        let mut commanded = true;
        while commanded || self.running.is_some() {
            let backing_off = match self.life {
                Life::BackingOff { until, .. } => Some(until),
                _ => None,
            };
            let wake = tokio::select! {
                order = self.orders.recv(), if commanded => Wake::Order(order),
                news = news(&mut self.running), if self.running.is_some() => Wake::News(news),
                () = at(backing_off), if backing_off.is_some() => Wake::Time,
            };
            match wake {
                Wake::Order(Some(order)) => self.obey(order),
                Wake::Order(None) => {
                    commanded = false;
                    self.replacement = None;
                    self.happened(LifeEvent::Stop);
                }
                Wake::News(News::Ready) => self.ready(),
                Wake::News(News::Checked(checked)) => self.checked(checked),
                Wake::News(News::Ended(exit)) => self.ended(&exit),
                Wake::News(News::EndedByForce(exit)) => {
                    let grace = STOP_GRACE.as_secs();
                    let text = format!("did not stop within {grace} s, and was ended");
                    self.note(LogLevel::Warn, text);
                    self.ended(&exit);
                }
                Wake::Time => self.happened(LifeEvent::Woke),
            }
        }
    }

    fn obey(&mut self, order: Order) {
        let Order { command, done } = order;
        match command {
            Command::Start => self.happened(LifeEvent::Start),
            Command::Restart => self.happened(LifeEvent::Restart),
            Command::SetSpec(spec, image_digest) => self.set_spec(*spec, image_digest),
            Command::Stop => {
                self.happened(LifeEvent::Stop);
                if self.running.is_some() {
                    self.stopped.push(done);
                    return;
                }
            }
            Command::Update(module) => {
                self.replacement = Some((module, done));
                let replaced = match self.running {
                    Some(_) => None,
                    None => self.replace(),
                };
                self.happened(LifeEvent::Replace);
                if let Some(done) = replaced {
                    let _ = done.send(());
                }
                return;
            }
        }
        let _ = done.send(());
    }

    fn happened(&mut self, event: LifeEvent) {
        let (life, action) = life::next(self.life, event, &self.rules(), wasm_edge_clock::now());
        let changed = life != self.life;
        self.life = life;
        match action {
            Action::None => {}
            Action::StartInstance => self.start(),
            Action::RestartInstance => {
                self.report.change(|report| {
                    report.restart_count += 1;
                    report.last_restart_time = Some(clock::now());
                });
                self.start();
            }
            Action::StopInstance => {
                if let Some(running) = &mut self.running {
                    running.stop();
                }
            }
        }
        if changed {
            self.show_life();
        }
    }

    fn start(&mut self) {
        self.running = Some(Running::start(
            &self.around,
            &self.module,
            &self.link,
            &self.gauges,
            self.rules().health,
        ));
        self.report.change(|report| {
            report.ready = false;
            report.last_start_time = Some(clock::now());
            report.runs.starts += 1;
            report.runs.running_since = Some(wasm_edge_clock::now());
        });
    }

    fn ready(&mut self) {
        self.note(LogLevel::Info, "ready".to_owned());
        self.report.change(|report| report.ready = true);
    }

    /// Says what a health check found, unless it is what is known already.
    fn checked(&mut self, checked: Checked) {
        let (before, most) = (self.life, self.rules().health.failures_max);
        let event = match &checked {
            Ok(()) => LifeEvent::CheckPassed,
            Err(text) => {
                self.reason = format!("unhealthy: {text}");
                LifeEvent::CheckFailed
            }
        };
        let was_unhealthy = matches!(before, Life::Unhealthy { .. });
        if let (Err(text), Life::Running { failed_checks, .. }) = (&checked, before) {
            let failed = failed_checks.saturating_add(1);
            let text = format!("health check failed, {failed} of {most}: {text}");
            self.note(LogLevel::Warn, text);
        }
        if checked.is_ok() && was_unhealthy {
            self.note(LogLevel::Info, "healthy again".to_owned());
        }
        self.happened(event);
        if let Life::Unhealthy { .. } = self.life {
            // The text may be another one now.
            self.show_life();
        }
    }

    fn ended(&mut self, exit: &Exit) {
        // Dropped first: what it had in hand is back in its queue before anything else happens.
        self.running = None;
        if let Some(interposer) = &self.around.interposer {
            interposer.ended(exit);
        }
        let level = if exit.is_failure() {
            LogLevel::Error
        } else {
            LogLevel::Info
        };
        let reason = exit.reason.to_string();
        self.note(level, reason.clone());
        for function in &exit.backtrace {
            self.note(LogLevel::Error, format!("    at {function}"));
        }
        let was_unhealthy = matches!(
            self.life,
            Life::Stopping {
                then: AfterStop::BackOff { .. }
            }
        );
        if !was_unhealthy {
            self.reason.clone_from(&reason);
        }
        self.report.change(|report| {
            report.ready = false;
            report.exit_code = Some(exit.code());
            report.last_exit_reason = Some(self.reason.clone());
            report.last_exit_time = Some(clock::now());
            report.runs.ends += 1;
            let since = report.runs.running_since.take();
            report.runs.ended += since.map_or(Duration::ZERO, |since| {
                wasm_edge_clock::now().saturating_duration_since(since)
            });
        });
        let replaced = self.replace();
        let ended = match (exit.is_failure(), exit.over_message) {
            (false, _) => Ended::Well,
            (true, false) => Ended::Badly,
            (true, true) => Ended::OverMessage,
        };
        self.happened(LifeEvent::Exited(ended));
        for done in self.stopped.drain(..).chain(replaced) {
            let _ = done.send(());
        }
    }

    /// Takes on what is to take its place, if anything is; no instance runs now. Answers who waits for it.
    fn replace(&mut self) -> Option<oneshot::Sender<()>> {
        let (module, done) = self.replacement.take()?;
        self.module = *module;
        self.link = ModuleLink::new(&self.around, &self.module);
        let digest = self.module.image_digest.clone();
        let component = self.module.component_digest.clone();
        self.note(LogLevel::Info, format!("updated, image {digest}"));
        self.report.change(|report| {
            report.runs.wanted_since = wanted_since(&self.module.spec, report.runs.wanted_since);
            report.spec = Arc::new(self.module.spec.clone());
            report.image_digest = digest;
            report.component_digest = component;
            report.restart_count = 0;
            report.last_restart_time = None;
        });
        Some(done)
    }

    fn set_spec(&mut self, spec: ModuleSpec, image_digest: String) {
        self.module.spec = spec.clone();
        self.module.image_digest.clone_from(&image_digest);
        let checks = self.rules().health;
        if let Some(running) = &mut self.running {
            running.set_health_checks(checks);
        }
        self.report.change(|report| {
            report.runs.wanted_since = wanted_since(&spec, report.runs.wanted_since);
            report.spec = Arc::new(spec);
            report.image_digest = image_digest;
        });
    }

    /// Brings the report in line with the module's life.
    fn show_life(&self) {
        let (life, reason) = (self.life, || self.reason.clone());
        let (status, description) = match life {
            Life::Stopped => (RuntimeStatus::Stopped, "stopped".to_owned()),
            Life::Running { .. } => (RuntimeStatus::Running, "running".to_owned()),
            Life::Unhealthy { .. } => (RuntimeStatus::Unhealthy, reason()),
            Life::Stopping {
                then: AfterStop::BackOff { .. },
            } => (
                RuntimeStatus::Unhealthy,
                format!("{}; stopping", self.reason),
            ),
            Life::Stopping { .. } => (RuntimeStatus::Running, "stopping".to_owned()),
            Life::BackingOff { .. } => (RuntimeStatus::Backoff, reason()),
            Life::Ended { well: true } => (RuntimeStatus::Stopped, reason()),
            Life::Ended { well: false } => (RuntimeStatus::Failed, reason()),
        };
        self.report.change(|report| {
            report.status = status;
            report.status_description = description;
        });
        if let Life::BackingOff { until, .. } = life {
            let wait = until.duration_since(wasm_edge_clock::now());
            self.note(
                LogLevel::Warn,
                format!("starts again in {} s", wait.as_secs_f64().ceil()),
            );
        }
    }

    fn rules(&self) -> Rules {
        Rules::of(
            &self.module.spec,
            &self.around.restart_waits,
            &self.around.health_checks,
        )
    }

    fn note(&self, level: LogLevel, text: String) {
        self.around.logs.note(&self.module.spec.id, level, text);
    }
}

impl Reporter {
    fn change(&self, change: impl FnOnce(&mut ModuleReport)) {
        self.report.send_modify(change);
        self.changes.send_modify(|count| *count += 1);
    }
}

/// Since when a module is to run, if it is; `before` is what held until now.
fn wanted_since(spec: &ModuleSpec, before: Option<Instant>) -> Option<Instant> {
    match spec.status {
        DesiredStatus::Running => before.or_else(|| Some(wasm_edge_clock::now())),
        DesiredStatus::Stopped => None,
    }
}

async fn news(running: &mut Option<Running>) -> News {
    match running {
        Some(running) => running.news().await,
        None => std::future::pending().await,
    }
}
