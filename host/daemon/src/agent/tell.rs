//! What the agent tells others of the deployment: handles, the hub and the management API.

use wasm_edge_model::status::DeploymentCode;

use super::assemble::Deployment;
use super::handle::Phase;
use super::{Agent, handle, report};
use crate::deployment::sealed::Sections;

impl Agent {
    /// Tells handles where these desired properties are.
    pub(super) fn phase(&self, sections: &Sections, phase: Phase) {
        if self.refused {
            return;
        }
        self.shared.state.send_modify(|state| {
            state.agent_version = sections.agent_version;
            state.hub_version = sections.hub_version;
            state.phase = phase;
        });
    }

    /// Tells the hub how it went with these desired properties.
    pub(super) fn tell(&self, sections: &Sections, code: DeploymentCode, reasons: &[String]) {
        if self.refused {
            return;
        }
        self.outcome.send_modify(|outcome| {
            outcome.agent_version = sections.agent_version;
            outcome.hub_version = sections.hub_version;
            outcome.status = Some(report::status(code, reasons));
        });
    }

    /// Shows what runs, without passwords.
    pub(super) fn show(&self) {
        let shown = |deployment: &Option<Deployment>| {
            let deployment = deployment.as_ref()?;
            Some(deployment.sections.without_secrets())
        };
        let view = handle::DeploymentView {
            current: shown(&self.running),
            last_good: shown(&self.last_good),
        };
        self.shared.show(view);
        let agent = self.running.as_ref().map(|running| &running.sections.agent);
        let agent = agent.cloned().unwrap_or_default();
        self.outcome.send_modify(|outcome| {
            outcome.agent = agent;
            outcome.changes += 1;
        });
    }
}
