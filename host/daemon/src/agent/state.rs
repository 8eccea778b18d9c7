//! What the agent keeps on disk, with the copy that it works on.

use crate::deployment::sealed::{Rejected, SealedFile, Stored, StoredDeployment};

use super::assemble::{self, Deployment};

/// The sealed file and its content.
pub(super) struct Ledger {
    file: SealedFile,
    stored: Stored,
}

impl Ledger {
    /// Reads the file. Blocks.
    pub(super) fn open(file: SealedFile) -> Self {
        let stored = file.read();
        Self { file, stored }
    }

    /// What runs, or ran before this process.
    pub(super) fn current(&self) -> Option<&StoredDeployment> {
        self.stored.current.as_ref()
    }

    /// What was healthy last.
    pub(super) fn last_good(&self) -> Option<&StoredDeployment> {
        self.stored.last_good.as_ref()
    }

    /// What runs, and what was healthy last: the newer one first.
    pub(super) fn deployments(&self) -> impl Iterator<Item = &StoredDeployment> {
        self.current().into_iter().chain(self.last_good())
    }

    /// Whether this very content ran here before, or was about to: in these or other versions.
    pub(super) fn knows(&self, deployment: &Deployment) -> bool {
        let digest = deployment.digest();
        self.deployments()
            .any(|stored| assemble::digest(stored) == digest)
    }

    /// All of it.
    pub(super) fn stored(&self) -> &Stored {
        &self.stored
    }

    /// Whether this very deployment was rejected before: the same content in the same versions.
    pub(super) fn rejects(&self, deployment: &Deployment) -> Option<Rejected> {
        let sections = &deployment.sections;
        self.stored
            .rejected
            .as_ref()
            .filter(|rejected| {
                rejected.agent_version == sections.agent_version
                    && rejected.hub_version == sections.hub_version
                    && rejected.digest == deployment.digest()
            })
            .cloned()
    }

    /// Changes what is kept; done when it is on disk. Nothing is written where nothing changes.
    ///
    /// # Errors
    /// The I/O error; the change holds for this process all the same.
    pub(super) async fn change(&mut self, change: impl FnOnce(&mut Stored)) -> std::io::Result<()> {
        let mut changed = self.stored.clone();
        change(&mut changed);
        if changed == self.stored {
            return Ok(());
        }
        self.stored = changed.clone();
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || file.write(changed))
            .await
            .expect("writing a file does not panic, and the runtime outlives the device")
    }
}
