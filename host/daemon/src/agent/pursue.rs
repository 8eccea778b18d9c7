//! Brings the device to what is desired, and decides what follows from how that went.
//!
//! Owns the way of one deployment: read, applied, watched, and then accepted, refused or rolled back. Leaves the
//! steps to [`super::carry_out`], and when to begin anew to the agent's loop.

use std::time::Duration;

use wasm_edge_model::status::DeploymentCode;

use super::Agent;
use super::assemble::{self, Deployment, Refusal, Unread};
use super::error::DeployError;
use super::follow::Changes;
use super::handle::Phase;
use super::health::{Verdict, Watch};
use super::plan;
use super::report;
use crate::deployment::sealed::{Rejected, Sections, StoredDeployment};

/// How long a device that has just started looks for the images of a new deployment before it begins with the one that
/// it ran before: what is in the store is found sooner, and a pull over a thin link may take hours.
const BEGIN_PATIENCE: Duration = Duration::from_secs(2);

/// How carrying out a deployment ended.
pub(super) enum Carried {
    /// All was started.
    Out,
    /// Something newer is desired.
    Interrupted,
}

/// What came of pursuing what is desired.
pub(super) enum Pursued {
    /// Nothing more comes of it by itself.
    Settled,
    /// Something newer is desired.
    Superseded,
    /// It is worth another try later.
    Later,
}

impl Pursued {
    /// The same, but tried again where nothing more would come of what may end differently later.
    fn again_if(self, is_passing: bool) -> Self {
        match self {
            Self::Settled if is_passing => Self::Later,
            pursued => pursued,
        }
    }
}

impl Agent {
    /// Brings the device to what is desired now. `force` tries again what was rejected before.
    pub(super) async fn pursue(&mut self, changes: &Changes, force: bool) -> Pursued {
        self.note_replaced_identities();
        let sections = self.own.sections();
        self.phase(&sections, Phase::Preparing);
        let Some(read) = self.read_patiently(&sections, changes).await else {
            return Pursued::Superseded;
        };
        let deployment = match read {
            Ok(deployment) => deployment,
            Err(unread) => return self.refuse(&sections, unread, changes).await,
        };
        if let Some(rejected) = self.ledger.rejects(&deployment)
            && !force
        {
            return self.stay_back(rejected, changes).await;
        }
        if self.is_settled_with(&deployment) {
            self.accept(&deployment).await;
            return Pursued::Settled;
        }
        match self.apply(deployment, changes).await {
            Ok(pursued) => pursued,
            Err(err) => {
                let unread = Unread {
                    refusal: Refusal::failed(err.reasons()),
                    is_passing: err.is_passing(),
                };
                self.refuse(&sections, unread, changes).await
            }
        }
    }

    /// Reads what is desired. On a device that has just started, what it ran before does not wait for images that take
    /// long to come, but is started meanwhile. Nothing if something newer is desired.
    async fn read_patiently(
        &mut self,
        sections: &Sections,
        changes: &Changes,
    ) -> Option<Result<Deployment, Unread>> {
        if self.running.is_none() && self.ledger.current().is_some() {
            tokio::select! {
                read = self.read(sections) => return Some(read),
                () = changes.wait() => return None,
                // What was found out and pulled so far is not lost.
                () = wasm_edge_clock::sleep(BEGIN_PATIENCE) => {}
            }
            let device = &self.parts.device;
            tracing::info!(%device, "the deployment before is started, since the images of the new one are still to come");
            if matches!(self.resume(changes).await, Pursued::Superseded) {
                return None;
            }
        }
        tokio::select! {
            read = self.read(sections) => Some(read),
            // Pulling may take long, and what was pulled so far is not lost.
            () = changes.wait() => None,
        }
    }

    /// Notes which modules have to be made anew under identities that were.
    fn note_replaced_identities(&mut self) {
        let replaced = self.parts.sessions.replaced();
        for id in replaced.borrow().iter() {
            if let Some(here) = self.current.modules.get_mut(id) {
                here.identity_replaced = true;
            }
        }
    }

    /// Makes the device match a deployment, and watches it.
    async fn apply(
        &mut self,
        deployment: Deployment,
        changes: &Changes,
    ) -> Result<Pursued, DeployError> {
        self.phase(&deployment.sections, Phase::Applying);
        match self.carry_out(&deployment, changes).await? {
            Carried::Interrupted => Ok(Pursued::Superseded),
            Carried::Out => Ok(self.watch_health(deployment, changes).await),
        }
    }

    /// Whether this is what runs and was found healthy, so that there is nothing to do and nothing to watch.
    fn is_settled_with(&self, deployment: &Deployment) -> bool {
        self.touched.is_empty() && plan::plan(&self.current, &deployment.desired).is_empty()
    }

    /// Tells why what is desired is not applied. What ran before runs on; a device that has just started
    /// begins with it.
    async fn refuse(&mut self, sections: &Sections, unread: Unread, changes: &Changes) -> Pursued {
        let Unread {
            refusal: Refusal { code, reasons },
            is_passing,
        } = unread;
        let none_yet = code == DeploymentCode::Empty && self.ledger.current().is_none();
        let is_told = self.outcome.borrow().status == Some(report::status(code, &reasons));
        if none_yet && is_told {
            // Before the hub was asked, and again when it had none either.
        } else if none_yet {
            tracing::info!(device = %self.parts.device, "there is no deployment yet");
        } else {
            tracing::error!(device = %self.parts.device, reasons = reasons.join("; "), "the deployment is refused");
        }
        self.tell(sections, code, &reasons);
        let phase = if none_yet {
            Phase::None
        } else {
            Phase::Refused {
                reasons,
                is_passing,
            }
        };
        if self.running.is_some() {
            // What is resumed here may take its whole time to become healthy.
            self.phase(sections, phase.clone());
        }
        self.refused = true;
        let pursued = self.resume(changes).await;
        self.refused = false;
        self.phase(sections, phase);
        pursued.again_if(is_passing)
    }

    /// Goes on with what was accepted before: what was interrupted over something that is refused is brought to
    /// its end, and a device that has just started begins with what it ran.
    async fn resume(&mut self, changes: &Changes) -> Pursued {
        if let Some(running) = self.running.clone() {
            if self.is_settled_with(&running) {
                return Pursued::Settled;
            }
            return match self.apply(running, changes).await {
                Ok(pursued) => pursued,
                Err(err) => self.cannot_run_stored(&err),
            };
        }
        match self.ledger.current().cloned() {
            Some(stored) => self.go_back_to(&stored, changes).await,
            None => Pursued::Settled,
        }
    }

    /// Stays with the last good deployment, or begins with it, since what is desired was not healthy before.
    async fn stay_back(&mut self, rejected: Rejected, changes: &Changes) -> Pursued {
        let sections = self.own.sections();
        let reasons = [rejected.reason.clone()];
        self.tell(&sections, DeploymentCode::Failed, &reasons);
        self.refused = true;
        let pursued = match (&self.running, self.ledger.last_good()) {
            (None, Some(good)) => {
                let good = good.clone();
                self.go_back_to(&good, changes).await
            }
            _ => Pursued::Settled,
        };
        self.refused = false;
        let reason = rejected.reason;
        self.phase(&sections, Phase::RolledBack { reason });
        pursued
    }

    /// Runs a deployment that was stored; nothing follows if it cannot be run.
    async fn go_back_to(&mut self, stored: &StoredDeployment, changes: &Changes) -> Pursued {
        let carried = match self.read_stored(stored).await {
            Ok(deployment) => self.carry_out(&deployment, changes).await,
            Err(refusal) => {
                let reasons = refusal.reasons.join("; ");
                tracing::error!(device = %self.parts.device, reasons, "the deployment before cannot be run");
                return Pursued::Settled;
            }
        };
        match carried {
            Ok(Carried::Out) => {
                self.touched.clear();
                Pursued::Settled
            }
            Ok(Carried::Interrupted) => Pursued::Superseded,
            Err(err) => self.cannot_run_stored(&err),
        }
    }

    fn cannot_run_stored(&self, err: &DeployError) -> Pursued {
        let reasons = err.reasons().join("; ");
        tracing::error!(device = %self.parts.device, reasons, "the deployment before cannot be run");
        if err.is_passing() {
            Pursued::Later
        } else {
            Pursued::Settled
        }
    }

    /// Watches a deployment whose last group was started until it is healthy or its time is over.
    async fn watch_health(&mut self, deployment: Deployment, changes: &Changes) -> Pursued {
        let timeout = self.parts.settings.health_timeout;
        let mut watch = Watch::new(self.touched.clone(), timeout, wasm_edge_clock::now());
        self.phase(&deployment.sections, Phase::Watching);
        self.tell(&deployment.sections, DeploymentCode::Applied, &[]);
        let mut modules = self.parts.supervisor.watch();
        loop {
            modules.mark_unchanged();
            match watch.look(&self.parts.supervisor.reports(), wasm_edge_clock::now()) {
                Verdict::Healthy => {
                    self.accept(&deployment).await;
                    return Pursued::Settled;
                }
                Verdict::Unhealthy(reasons) => {
                    return self.roll_back(&deployment, &reasons, changes).await;
                }
                Verdict::Undecided(until) => {
                    tokio::select! {
                        _ = modules.changed() => {}
                        () = wasm_edge_clock::sleep_until(until) => {}
                        () = changes.wait() => return Pursued::Superseded,
                    }
                }
            }
        }
    }

    /// A deployment is healthy: it is the one to go back to from now on.
    async fn accept(&mut self, deployment: &Deployment) {
        self.touched.clear();
        self.healthy = true;
        self.tell(&deployment.sections, DeploymentCode::Applied, &[]);
        self.last_good = Some(deployment.clone());
        self.running = Some(deployment.clone());
        let stored = deployment.to_stored();
        let kept = self.ledger.change(|all| {
            all.current = Some(stored.clone());
            all.last_good = Some(stored);
            all.rejected = None;
        });
        if let Err(err) = kept.await {
            tracing::error!(device = %self.parts.device, %err, "the deployment cannot be stored");
        }
        self.show();
        let (device, version) = (&self.parts.device, deployment.sections.agent_version);
        let modules = deployment.desired.modules.len();
        tracing::info!(%device, version, modules, "the deployment is applied");
        self.phase(&deployment.sections, Phase::Applied);
    }

    /// Brings the last good deployment back in place of one that is not healthy.
    async fn roll_back(
        &mut self,
        deployment: &Deployment,
        reasons: &[String],
        changes: &Changes,
    ) -> Pursued {
        let sections = &deployment.sections;
        let reason = format!(
            "not healthy within {} s: {}",
            self.parts.settings.health_timeout.as_secs_f64(),
            reasons.join("; ")
        );
        self.tell(
            sections,
            DeploymentCode::Failed,
            std::slice::from_ref(&reason),
        );
        let digest = deployment.digest();
        let good = self
            .last_good
            .as_ref()
            .map(Deployment::to_stored)
            .or_else(|| self.ledger.last_good().cloned())
            .filter(|good| assemble::digest(good) != digest);
        let Some(good) = good else {
            tracing::error!(device = %self.parts.device, reason, "the deployment is unhealthy, and there is no other to go back to");
            self.phase(sections, Phase::Unhealthy { reason });
            return Pursued::Settled;
        };
        tracing::error!(device = %self.parts.device, reason, "the deployment is rolled back");
        let rejected = Rejected {
            digest,
            agent_version: sections.agent_version,
            hub_version: sections.hub_version,
            reason: reason.clone(),
        };
        let kept = self
            .ledger
            .change(|all| all.rejected = Some(rejected))
            .await;
        if let Err(err) = kept {
            tracing::error!(device = %self.parts.device, %err, "the rejected deployment cannot be recorded");
        }
        let pursued = self.go_back_to(&good, changes).await;
        self.phase(sections, Phase::RolledBack { reason });
        pursued
    }
}
