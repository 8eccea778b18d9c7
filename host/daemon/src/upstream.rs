//! The way to the hub: no more than IoT Hub offers.
//!
//! An acknowledgement comes later or not at all, a version may be missing, changes may have gaps, and
//! anything may take long. Whoever runs a device brings an implementation; [`pump`] moves messages over
//! it, and [`crate::twins`] keeps twins in step with it.

pub mod gate;
pub mod iothub;
pub mod local;
pub mod pump;
pub mod status;

pub(crate) mod backoff;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use wasm_edge_model::identity::ModuleIdentity;
use wasm_edge_model::message::Message;
use zeroize::Zeroizing;

use self::status::UpstreamStatus;

/// A hub, as a device reaches it.
pub trait Upstream: Send + Sync + 'static {
    /// The host name of the hub, which modules see.
    fn host_name(&self) -> String;

    /// Makes sure that the module identity exists, and answers with its credentials.
    ///
    /// Called at each deployment; safe to repeat.
    fn provision(
        &self,
        module: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Credentials, UpstreamError>>;

    /// Deletes a module identity with its twin; its session ends. One that is not there is fine.
    ///
    /// Called when the module has left the deployment for good; safe to repeat. Never for system modules.
    fn deprovision(&self, module: ModuleIdentity) -> BoxFuture<'static, Result<(), UpstreamError>>;

    /// Opens the session of one module identity. A session opened later ends the one before.
    ///
    /// Direct methods reach it only if the module takes any: to a caller it is not there otherwise.
    fn connect(
        &self,
        module: ModuleIdentity,
        interest: Interest,
    ) -> BoxFuture<'static, Result<Session, UpstreamError>>;

    /// Ends when the way to the hub is there again after it was not, counted from this call on: what failed before
    /// is worth another try at once. By default nothing is known of that.
    fn opened(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    /// How the way to the hub is; nothing where there is no way that could be cut, as in one process.
    fn status(&self) -> Option<UpstreamStatus> {
        None
    }
}

/// The way of a device to its hub.
#[derive(Clone)]
pub enum Way {
    /// To a hub in the same process, which answers on the control socket too.
    Embedded(Arc<dyn Upstream>),
    /// To a hub on the network.
    Network(Arc<dyn Upstream>),
    /// There is no hub: the device keeps identities and twins itself.
    None,
}

/// Where the hub of a device is, for those who show it or ask it.
#[derive(Clone)]
pub enum HubPlace {
    /// In the same process; it answers on the control socket too.
    Embedded,
    /// On the network.
    Network,
    /// Nowhere: the device keeps identities and twins itself.
    Local(local::LocalHub),
}

impl HubPlace {
    /// The word of the management API for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Network => "network",
            Self::Local(_) => "none",
        }
    }
}

/// What a session is opened for, beside twin and telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Whether the module takes direct methods.
    pub methods: bool,
}

/// What a module identity is known by.
#[derive(Clone)]
pub struct Credentials {
    /// Changes when the identity is deleted and created again.
    pub generation_id: String,
    /// The primary key's bytes.
    pub primary_key: Zeroizing<Vec<u8>>,
}

/// An open session of one module identity.
pub struct Session {
    /// Calls to the hub; several may be under way at once.
    pub calls: Arc<dyn SessionCalls>,
    /// What the hub says by itself; closed when the session ends.
    pub events: mpsc::Receiver<SessionEvent>,
    /// The generation of the identity that the session is one of, where that is known: another one than that of
    /// [`Credentials`] before means that the identity was made anew.
    pub generation_id: Option<String>,
}

/// What a session can ask of the hub.
pub trait SessionCalls: Send + Sync + 'static {
    /// Whether messages can be sent at all; where they cannot, they wait for another session.
    fn takes_messages(&self) -> bool {
        true
    }

    /// The whole twin of the module.
    fn twin(&self) -> BoxFuture<'static, Result<TwinDocument, UpstreamError>>;

    /// Merges a patch into the reported properties; answers with their new version if the hub tells it.
    fn report(
        &self,
        patch: Map<String, Value>,
    ) -> BoxFuture<'static, Result<Option<u64>, UpstreamError>>;

    /// Says whether direct methods reach this session from now on; at first what [`Interest`] says.
    fn accept_methods(&self, accepts: bool) -> BoxFuture<'static, Result<(), UpstreamError>>;

    /// Sends a message under the module's identity; done when the hub has it for good.
    ///
    /// Several may be under way at once. The hub takes them in the order in which they were first polled, and
    /// acknowledges in any. After [`UpstreamError::Unreachable`] those behind it count as not sent either; one
    /// that is dropped may have been taken or not.
    fn send(&self, message: Arc<Message>) -> BoxFuture<'static, Result<(), UpstreamError>>;
}

/// A twin as its module sees it (IoT Hub, module twins).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TwinDocument {
    /// Desired properties without `$version`.
    pub desired: Map<String, Value>,
    /// Their version.
    pub desired_version: u64,
    /// Reported properties without `$version`.
    pub reported: Map<String, Value>,
    /// Their version.
    pub reported_version: u64,
}

/// What the hub says by itself.
#[derive(Debug)]
pub enum SessionEvent {
    /// The desired properties changed by this merge patch and have this version now.
    Desired {
        /// Merge patch without `$version`.
        patch: Map<String, Value>,
        /// The version after it.
        version: u64,
    },
    /// Changes may have been missed: the twin has to be read anew.
    Gap,
    /// A direct method was called.
    Method {
        /// Its name.
        name: String,
        /// JSON text.
        payload: String,
        /// Where the answer goes. Dropped means that there is none.
        respond: oneshot::Sender<MethodAnswer>,
    },
}

/// A module's answer to a direct method: status and JSON text.
pub type MethodAnswer = wasm_edge_runtime::guest::MethodResponse;

/// Why the hub did not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UpstreamError {
    /// It cannot be reached now; the same may work later.
    #[error("the hub cannot be reached: {cause}")]
    Unreachable {
        /// What happened.
        cause: String,
    },
    /// It refuses, and will refuse the same again.
    #[error("the hub refuses: {cause}")]
    Refused {
        /// Its words.
        cause: String,
    },
}
