//! Which hub the device belongs to: at its start, and when that hub will not have it any more.
//!
//! Owns when the provisioning service is asked and how long is waited between two tries. Leaves one registration to
//! [`super::dps`], and starting a device for an assignment to the root.

use cap_std::fs::Dir;
use wasm_edge_clock::sleep;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::dial::Dialer;
use wasm_edge_net::traffic::Counter;
use wasm_edge_store::keys::KeyError;

use super::dps::{Assigned, DpsError, Registration};
use super::kept::KeptAssignment;
use super::source::{DpsSource, Origin, Source, assignment};
use super::{Assignment, DeviceCredential};
use crate::config::hub::HubConfig;
use crate::config::provisioning::Reprovision;
use crate::upstream::backoff::{Backoff, Jitter, Trouble};

/// What asking the provisioning service needs.
pub struct ProvisionerOptions {
    /// What connects; with the device's certificate, if it has one.
    pub dialer: Dialer,
    /// The time that tokens are made by.
    pub clock: HubClock,
    /// Where bytes are counted.
    pub counter: Counter,
    /// How hubs and the service are reached.
    pub hub: HubConfig,
    /// `provisioning/` of the data folder.
    pub folder: Dir,
}

/// Says which hub the device belongs to.
pub struct Provisioner {
    kind: Kind,
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
    /// [`KeyError`] when what is stored cannot be opened or kept.
    pub fn new(source: Source, options: ProvisionerOptions) -> Result<Self, KeyError> {
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
}

impl Registered {
    fn open(source: DpsSource, options: ProvisionerOptions) -> Result<Self, KeyError> {
        let DpsSource {
            id_scope,
            registration_id,
            key,
            endpoint,
            reprovision,
        } = source;
        let subject = format!("{endpoint}/{id_scope}/registrations/{registration_id}");
        Ok(Self {
            kept: KeptAssignment::open(options.folder, subject)?,
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
