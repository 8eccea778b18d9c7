//! The task of one module: it owns the module's life and its running instance.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use wasm_edge_model::manifest::DesiredStatus;
use wasm_edge_model::status::RuntimeStatus;
use wasm_edge_runtime::exit::Exit;
use wasm_edge_runtime::guest::LogLevel;
use wasm_edge_runtime::instance::Gauges;

use super::instance::{News, Running};
use super::life::{self, Action, Ended, Life, LifeEvent};
use super::link::ModuleLink;
use super::report::ModuleReport;
use super::{Module, Surroundings, at};
use crate::clock;

/// What the agent or an operator wants of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Start,
    Stop,
    Restart,
}

/// The task of one module.
pub(super) struct ModuleTask {
    around: Arc<Surroundings>,
    module: Module,
    link: Arc<ModuleLink>,
    commands: mpsc::Receiver<Command>,
    report: watch::Sender<ModuleReport>,
    gauges: Arc<Gauges>,
    life: Life,
    running: Option<Running>,
    starts: u64,
}

enum Wake {
    Command(Option<Command>),
    News(News),
    Time,
}

impl ModuleTask {
    pub(super) fn new(
        around: Arc<Surroundings>,
        module: Module,
        commands: mpsc::Receiver<Command>,
    ) -> (Self, watch::Receiver<ModuleReport>) {
        let gauges = Arc::new(Gauges::default());
        let (report, receiver) = watch::channel(ModuleReport {
            device: around.device.clone(),
            spec: Arc::new(module.spec.clone()),
            image_digest: module.image_digest.clone(),
            status: match module.spec.status {
                DesiredStatus::Running => RuntimeStatus::Unknown,
                DesiredStatus::Stopped => RuntimeStatus::Stopped,
            },
            status_description: "not started yet".to_owned(),
            ready: false,
            restart_count: 0,
            exit_code: None,
            last_start_time: None,
            last_exit_time: None,
            gauges: Arc::clone(&gauges),
        });
        let link = ModuleLink::new(&around, &module);
        let task = Self {
            around,
            module,
            link,
            commands,
            report,
            gauges,
            life: Life::Stopped,
            running: None,
            starts: 0,
        };
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
                command = self.commands.recv(), if commanded => Wake::Command(command),
                news = news(&mut self.running), if self.running.is_some() => Wake::News(news),
                () = at(backing_off), if backing_off.is_some() => Wake::Time,
            };
            match wake {
                Wake::Command(Some(Command::Start)) => self.happened(LifeEvent::Start),
                Wake::Command(Some(Command::Stop)) => self.happened(LifeEvent::Stop),
                Wake::Command(Some(Command::Restart)) => self.happened(LifeEvent::Restart),
                Wake::Command(None) => {
                    commanded = false;
                    self.happened(LifeEvent::Stop);
                }
                Wake::News(News::Ready) => self.ready(),
                Wake::News(News::Ended(exit)) => self.ended(&exit),
                Wake::Time => self.happened(LifeEvent::Woke),
            }
        }
    }

    fn happened(&mut self, event: LifeEvent) {
        let policy = self.module.spec.restart_policy;
        let (life, action) = life::next(
            self.life,
            event,
            policy,
            &self.around.restart_waits,
            Instant::now(),
        );
        self.life = life;
        match action {
            Action::None => {}
            Action::StartInstance => self.start(),
            Action::StopInstance => {
                if let Some(running) = &mut self.running {
                    running.stop();
                }
            }
        }
        self.show_life();
    }

    fn start(&mut self) {
        self.running = Some(Running::start(
            &self.around,
            &self.module,
            &self.link,
            &self.gauges,
        ));
        self.starts += 1;
        let restarts = self.starts - 1;
        self.report.send_modify(|report| {
            report.ready = false;
            report.restart_count = restarts;
            report.last_start_time = Some(clock::now());
        });
    }

    fn ready(&mut self) {
        self.note(LogLevel::Info, "ready".to_owned());
        self.report.send_modify(|report| report.ready = true);
    }

    fn ended(&mut self, exit: &Exit) {
        // Dropped first: what it had in hand is back in its queue before anything else happens.
        self.running = None;
        let level = if exit.is_failure() {
            LogLevel::Error
        } else {
            LogLevel::Info
        };
        self.note(level, exit.reason.to_string());
        for function in &exit.backtrace {
            self.note(LogLevel::Error, format!("    at {function}"));
        }
        self.report.send_modify(|report| {
            report.ready = false;
            report.exit_code = Some(exit.code());
            report.last_exit_time = Some(clock::now());
            report.status_description = exit.reason.to_string();
        });
        let ended = match (exit.is_failure(), exit.over_message) {
            (false, _) => Ended::Well,
            (true, false) => Ended::Badly,
            (true, true) => Ended::OverMessage,
        };
        self.happened(LifeEvent::Exited(ended));
    }

    /// Brings the report in line with the module's life.
    fn show_life(&self) {
        let life = self.life;
        self.report.send_modify(|report| {
            let ended = report.status_description.clone();
            (report.status, report.status_description) = match life {
                Life::Stopped => (RuntimeStatus::Stopped, "stopped".to_owned()),
                Life::Running { .. } => (RuntimeStatus::Running, "running".to_owned()),
                Life::Stopping { .. } => (RuntimeStatus::Running, "stopping".to_owned()),
                Life::BackingOff { .. } => (RuntimeStatus::Backoff, ended),
                Life::Ended { well: true } => (RuntimeStatus::Stopped, ended),
                Life::Ended { well: false } => (RuntimeStatus::Failed, ended),
            };
        });
        if let Life::BackingOff { until, .. } = life {
            let wait = until.duration_since(Instant::now());
            self.note(
                LogLevel::Warn,
                format!("starts again in {} s", wait.as_secs_f64().ceil()),
            );
        }
    }

    fn note(&self, level: LogLevel, text: String) {
        self.around.logs.note(&self.module.spec.id, level, text);
    }
}

async fn news(running: &mut Option<Running>) -> News {
    match running {
        Some(running) => running.news().await,
        None => std::future::pending().await,
    }
}
