//! Which hub the device belongs to: at its start, and when that hub will not have it any more.
//!
//! Owns when the provisioning service is asked and how long is waited between two tries. Leaves one registration to
//! `dps`, and starting a device for an assignment to the root.

use tokio::sync::watch;
use wasm_edge_clock::sleep;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::dial::Dialer;
use wasm_edge_net::traffic::Counter;
use wasm_edge_store::folder::{DataFolder, FolderError};
use wasm_edge_store::keys::KeyError;

use super::dps::{Assigned, DpsError, Registration};
use super::kept::KeptAssignment;
use super::source::{DpsSource, Origin, Source, assignment};
use super::{Assignment, DeviceCredential};
use crate::config::hub::HubConfig;
use crate::config::provisioning::Reprovision;
use crate::upstream::backoff::{Backoff, Jitter, Trouble};
use crate::upstream::status::Standing;

/// What asking the provisioning service needs.
pub struct ProvisionerOptions<'a> {
    /// What connects; with the device's certificate, if it has one.
    pub dialer: Dialer,
    /// The time that tokens are made by.
    pub clock: HubClock,
    /// Where bytes are counted.
    pub counter: Counter,
    /// How hubs and the service are reached.
    pub hub: HubConfig,
    /// Where an assignment is kept.
    pub folder: &'a DataFolder,
}

/// Says which hub the device belongs to.
pub struct Provisioner {
    kind: Kind,
}

/// Why it is not known which hub was assigned before.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionerError {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The key that the assignment is sealed with cannot be used.
    #[error("cannot use the key of what was assigned")]
    Key(#[from] KeyError),
}

/// The hub of the device, and how the device shows that it is it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioned {
    /// Which hub, and which device this is.
    pub assignment: Assignment,
    /// How the device shows it.
    pub credential: DeviceCredential,
}

enum Kind {
    Given(Provisioned),
    Registered(Box<Registered>),
}

/// A device that the provisioning service assigns.
struct Registered {
    registration: Registration,
    kept: KeptAssignment,
    reprovision: Reprovision,
    hub: HubConfig,
}

impl Provisioner {
    /// Says what `source` says, or asks the service that it names. Blocks.
    ///
    /// # Errors
    /// [`ProvisionerError`].
    pub fn new(source: Source, options: ProvisionerOptions<'_>) -> Result<Self, ProvisionerError> {
        let kind = match source.origin {
            Origin::Given {
                assignment,
                credential,
            } => Kind::Given(Provisioned {
                assignment,
                credential,
            }),
            Origin::Dps(source) => Kind::Registered(Box::new(Registered::open(source, options)?)),
        };
        Ok(Self { kind })
    }

    /// The hub of the device.
    ///
    /// What is given or was assigned before is answered at once. Else the service is asked until it answers, with
    /// waits between the tries; what it says is in the log.
    ///
    /// # Cancel safety
    /// The registration under way is given up.
    pub async fn provision(&self) -> Provisioned {
        match &self.kind {
            Kind::Given(provisioned) => provisioned.clone(),
            Kind::Registered(registered) => registered.provision().await,
        }
    }

    /// Ends when the device belongs to another hub than `current`, or is another device there: what it is then.
    ///
    /// As long as the hub of `current` refuses it, the service is asked, with waits that grow. Where no service is to
    /// be asked this never ends.
    ///
    /// # Cancel safety
    /// The registration under way is given up.
    pub async fn reassigned(
        &self,
        current: &Assignment,
        mut standing: watch::Receiver<Standing>,
    ) -> Provisioned {
        if let Kind::Registered(registered) = &self.kind
            && registered.reprovision != Reprovision::Never
        {
            return registered.reassigned(current, &mut standing).await;
        }
        std::future::pending().await
    }
}

impl Registered {
    fn open(source: DpsSource, options: ProvisionerOptions<'_>) -> Result<Self, ProvisionerError> {
        let DpsSource {
            id_scope,
            registration_id,
            key,
            endpoint,
            reprovision,
        } = source;
        let subject = format!("{endpoint}/{id_scope}/registrations/{registration_id}");
        Ok(Self {
            kept: KeptAssignment::open(options.folder.provisioning()?, subject)?,
            registration: Registration {
                id_scope,
                registration_id,
                key,
                endpoint,
                transport: options.hub.transport,
                dialer: options.dialer,
                clock: options.clock,
                counter: options.counter,
            },
            reprovision,
            hub: options.hub,
        })
    }

    async fn provision(&self) -> Provisioned {
        let kept = self.kept.read().await;
        let at_start = self.reprovision == Reprovision::AtStart;
        let mut backoff = Backoff::default();
        loop {
            if let Some(kept) = kept.as_ref().filter(|_| !at_start) {
                return self.provisioned(kept.clone());
            }
            match (self.register().await, &kept) {
                (Ok(assigned), _) => return self.provisioned(assigned),
                (Err(err), Some(kept)) => {
                    tracing::warn!(%err, "the device keeps the hub that it was assigned before");
                    return self.provisioned(kept.clone());
                }
                (Err(err), None) => {
                    let wait = backoff.next(trouble(&err), Jitter::random());
                    tracing::warn!(%err, wait_secs = wait.as_secs(), "the device has no hub yet");
                    sleep(wait).await;
                }
            }
        }
    }

    async fn reassigned(
        &self,
        current: &Assignment,
        standing: &mut watch::Receiver<Standing>,
    ) -> Provisioned {
        let is_refused = |standing: &Standing| matches!(standing, Standing::Refused { .. });
        let mut backoff = Backoff::default();
        loop {
            let refused = standing.wait_for(|standing| {
                if standing.is_connected() {
                    backoff.reset();
                }
                is_refused(standing)
            });
            if refused.await.is_err() {
                // The way to the hub has ended, and with it the device.
                return std::future::pending().await;
            }
            sleep(backoff.next(Trouble::Refused, Jitter::random())).await;
            if !is_refused(&standing.borrow()) {
                continue;
            }
            match self
                .register()
                .await
                .map(|assigned| self.provisioned(assigned))
            {
                Ok(provisioned) if provisioned.assignment != *current => return provisioned,
                Ok(_) => tracing::info!("the device belongs to the hub that refuses it"),
                Err(err) => tracing::warn!(%err, "the device keeps the hub that refuses it"),
            }
        }
    }

    /// Registers, and keeps what was assigned.
    async fn register(&self) -> Result<Assigned, DpsError> {
        let assigned = self.registration.register().await?;
        tracing::info!(hub = %assigned.hub, device = %assigned.device, "the provisioning service assigned a hub");
        if self.kept.read().await.as_ref() != Some(&assigned) {
            self.kept.write(&assigned).await;
        }
        Ok(assigned)
    }

    fn provisioned(&self, assigned: Assigned) -> Provisioned {
        let Assigned { hub, device } = assigned;
        let key = self.registration.key.clone();
        Provisioned {
            assignment: assignment(hub, device, &self.hub),
            credential: key.map_or(DeviceCredential::Certificate, DeviceCredential::Key),
        }
    }
}

fn trouble(err: &DpsError) -> Trouble {
    match err {
        DpsError::Unreachable { .. } => Trouble::Unreachable,
        DpsError::Refused { .. } => Trouble::Refused,
    }
}
