//! Deployment manifests: what a device is to run, and how it is wired.
//!
//! Owns the checked form of IoT Edge's deployment JSON and how one is read:
//! as a whole, every fault with its JSON path, line and column. Leaves
//! pulling images, opening what grants name and comparing with what runs to
//! the device, and its own policy too. `docs/manifest.md` is the reference
//! for those who write one.

mod fault;

mod grant;
mod image;
mod limits;
mod module;
mod supervision;

mod check;
mod read;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::identity::ModuleId;
use crate::json::JsonLimits;
use crate::route::Route;
use crate::route::condition::Compatibility;
pub use fault::{Checked, FAULTS_MAX, Fault, Faults, Warning};
pub use grant::{
    GRANTS_MAX, Grant, GrantAccess, GrantKind, PATH_MAX_BYTES, PlaceError, check_guest_path,
    check_host_path,
};
pub use image::{BLANKED, ImageReference, ImageReferenceError, without_login};
pub use limits::Limits;
pub use module::{
    ARGS_MAX, DesiredStatus, ENV_MAX, ModuleSpec, ModuleType, PullPolicy, RestartPolicy,
    STARTUP_ORDER_DEFAULT,
};
pub use supervision::Supervision;

/// The longest text of a manifest.
pub const MANIFEST_SIZE_MAX_BYTES: usize = 1024 * 1024;

/// How much a manifest may hold. The values bound the memory that reading
/// takes to a few MiB.
pub const MANIFEST_LIMITS: JsonLimits = JsonLimits {
    size_max_bytes: MANIFEST_SIZE_MAX_BYTES,
    depth_max: 48,
    values_max: 65_536,
};

/// How long messages wait when a deployment says nothing of it.
pub const TIME_TO_LIVE_DEFAULT: Duration = Duration::from_secs(7200);

/// Where a manifest comes from, which decides what it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A file of this machine, given by a person: `file:` images are allowed.
    LocalFile,
    /// A hub: images come from registries only.
    Hub,
}

/// A deployment, checked as a whole.
///
/// Its `Debug` form shows no password.
#[derive(Clone, PartialEq)]
pub struct Manifest {
    /// What it says of the agent itself.
    pub agent: AgentDesired,
    /// The modules to run.
    pub modules: BTreeMap<ModuleId, ModuleSpec>,
    /// The routes between them, in the order of their names.
    pub routes: Vec<Route>,
    /// How messages are kept.
    pub store_and_forward: StoreAndForward,
    /// The desired properties of modules.
    pub module_twins: BTreeMap<ModuleId, Map<String, Value>>,
    /// How to sign in to registries.
    pub registry_credentials: Vec<RegistryCredential>,
    /// The desired properties of `$edgeAgent` as they were written, with
    /// their passwords: what its twin holds.
    pub agent_desired: Map<String, Value>,
    /// The desired properties of `$edgeHub` as they were written.
    pub hub_desired: Map<String, Value>,
}

/// What a deployment says of the agent itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentDesired {
    /// The schema version; none in a layered deployment, which need not name
    /// one.
    pub schema_version: Option<String>,
}

/// How long, and how much of, messages are kept for those who are away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreAndForward {
    /// How long a message may wait; none is for ever.
    pub time_to_live: Option<Duration>,
    /// How much may be stored; none leaves it to the device.
    pub size_max_bytes: Option<u64>,
}

/// How to sign in to a registry. Its `Debug` form shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryCredential {
    /// The registry's host, with port if it has one.
    pub address: String,
    /// The name to sign in with.
    pub username: String,
    /// The password.
    pub password: String,
}

impl Manifest {
    /// Reads a manifest and checks all of it.
    ///
    /// `text` is IoT Edge's deployment JSON, of at most
    /// [`MANIFEST_SIZE_MAX_BYTES`], or an object with such a deployment as
    /// its `content`. Warnings name what has no meaning here.
    ///
    /// # Errors
    /// [`Faults`]: all that were found, in the order of the text. When the
    /// text is not JSON, that alone.
    pub fn check(text: &str, origin: Origin) -> Result<Checked<Self>, Faults> {
        Self::check_with(text, origin, Compatibility::default())
    }

    /// As [`Manifest::check`], with routes whose conditions behave as is said.
    ///
    /// # Errors
    /// As [`Manifest::check`].
    pub fn check_with(
        text: &str,
        origin: Origin,
        compatibility: Compatibility,
    ) -> Result<Checked<Self>, Faults> {
        check::manifest(text, origin, compatibility)
    }
}

impl Default for StoreAndForward {
    /// Two hours, as much as the device allows.
    fn default() -> Self {
        Self {
            time_to_live: Some(TIME_TO_LIVE_DEFAULT),
            size_max_bytes: None,
        }
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest")
            .field("agent", &self.agent)
            .field("modules", &self.modules)
            .field("routes", &self.routes)
            .field("store_and_forward", &self.store_and_forward)
            .field("module_twins", &self.module_twins)
            .field("registry_credentials", &self.registry_credentials)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RegistryCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryCredential")
            .field("address", &self.address)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}
