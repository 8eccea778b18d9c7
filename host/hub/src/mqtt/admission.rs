//! From a CONNECT to a session.
//!
//! Owns the order in which it is decided: the tier's limit, the hub's name,
//! the credentials, then the session and what is remembered of it. Leaves
//! each decision to its owner.

use std::time::{Duration, Instant};

use wasm_edge_model::identity::TwinOwner;

use super::connect::{Greeting, Refusal};
use super::memory::Memory;
use crate::access::certificate::PeerCertificate;
use crate::access::throttle::Operation;
use crate::access::{Credentials, Pass};
use crate::error::HubError;
use crate::hub::Hub;
use crate::session::{Session, SessionEvents};

/// A client that was let in.
pub(super) struct Admitted {
    pub(super) session: Session,
    pub(super) events: SessionEvents,
    pub(super) memory: Memory,
    /// When its credentials are good no more.
    pub(super) expires: Option<Instant>,
}

/// Lets a client in, or not.
pub(super) async fn admit(
    hub: Hub,
    greeting: Box<Greeting>,
    certificate: Option<PeerCertificate>,
) -> Result<Box<Admitted>, Refusal> {
    if hub.throttle(Operation::Connection).is_err() {
        return Err(Refusal::Unavailable);
    }
    if !hub
        .names()
        .any(|name| name.eq_ignore_ascii_case(&greeting.host_name))
    {
        hub.metrics().refused("other_hub");
        return Err(Refusal::NotAuthorized);
    }
    let credentials = Credentials {
        token: greeting.token.as_deref(),
        certificate: certificate.as_ref(),
    };
    let admitted = hub.admit(&greeting.owner, &credentials).await;
    let pass = admitted.map_err(|denied| {
        if denied.is_fault() {
            Refusal::Unavailable
        } else {
            Refusal::NotAuthorized
        }
    })?;
    // Wall-clock time, once; from here on it is counted.
    let expires = pass.expires_at.map(|at| {
        let left_ms = at.unix_millis().saturating_sub(hub.now().unix_millis());
        tokio::time::Instant::now().into_std()
            + Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))
    });
    let connected = connect(&hub, &greeting, pass).await;
    let (session, events, memory) = connected.map_err(|err| match err {
        HubError::NotFound { .. } | HubError::Disabled { .. } => Refusal::NotAuthorized,
        err => {
            tracing::warn!(owner = %greeting.owner, ?err, "a client could not be let in");
            Refusal::Unavailable
        }
    })?;
    Ok(Box::new(Admitted {
        session,
        events,
        memory,
        expires,
    }))
}

async fn connect(
    hub: &Hub,
    greeting: &Greeting,
    pass: Pass,
) -> Result<(Session, SessionEvents, Memory), HubError> {
    let owner = &greeting.owner;
    let (session, events) = hub.connect_admitted(pass).await?;
    let generation_id = session.generation_id().to_owned();
    let kept = !greeting.clean_session;
    let memory = Memory::open(hub.clone(), owner.clone(), generation_id, kept).await?;
    if let (TwinOwner::Device(device), false) = (owner, kept) {
        hub.purge_commands(device).await?;
    }
    if let Some(model_id) = &greeting.model_id {
        hub.note_model(owner, model_id).await?;
    }
    Ok((session, events, memory))
}
