//! How a module is, for the agent and the management API.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::manifest::{ImageReference, ModuleSpec};
use wasm_edge_model::status::RuntimeStatus;
use wasm_edge_model::time::Timestamp;
use wasm_edge_runtime::instance::Gauges;

/// A module as it is now.
#[derive(Clone, Debug)]
pub struct ModuleReport {
    /// The device.
    pub device: DeviceId,
    /// What the manifest says of it.
    pub spec: Arc<ModuleSpec>,
    /// The digest that names its image to people: of the manifest of an image of a registry, else of its component.
    pub image_digest: String,
    /// The digest of its component.
    pub component_digest: String,
    /// Whether its component takes messages.
    pub takes_messages: bool,
    /// Its status.
    pub status: RuntimeStatus,
    /// What there is to say about it.
    pub status_description: String,
    /// Whether the present instance is ready.
    pub ready: bool,
    /// Restarts since the module was taken on or updated.
    pub restart_count: u64,
    /// Exit code of the last instance that ended.
    pub exit_code: Option<i32>,
    /// Why the last instance ended.
    pub last_exit_reason: Option<String>,
    /// When the present or last instance was started.
    pub last_start_time: Option<Timestamp>,
    /// When the last instance ended.
    pub last_exit_time: Option<Timestamp>,
    /// When it was restarted last.
    pub last_restart_time: Option<Timestamp>,
    /// What it uses.
    pub gauges: Arc<Gauges>,
    /// How often and how long it ran.
    pub runs: Runs,
}

/// How often and how long the instances of a module ran, from when it was taken on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// Instances that were started.
    pub starts: u64,
    /// Instances that ended.
    pub ends: u64,
    /// How long those ran that have ended.
    pub ended: Duration,
    /// Since when the present one runs.
    pub running_since: Option<Instant>,
    /// Since when the module is to run.
    pub wanted_since: Option<Instant>,
}

impl ModuleReport {
    /// The module's name.
    pub fn module(&self) -> &ModuleId {
        &self.spec.id
    }

    /// Whether no instance runs and none is about to be started for the first time.
    pub fn is_down(&self) -> bool {
        !matches!(
            self.status,
            RuntimeStatus::Running | RuntimeStatus::Unhealthy | RuntimeStatus::Unknown
        )
    }

    /// Whether an instance of it runs, well or not.
    pub fn has_instance(&self) -> bool {
        matches!(
            self.status,
            RuntimeStatus::Running | RuntimeStatus::Unhealthy
        )
    }

    /// How long its instances ran, and how long the module has been wanted to run.
    pub fn running_times(&self, now: Instant) -> (Duration, Duration) {
        let since = |time: Option<Instant>| {
            time.map_or(Duration::ZERO, |time| now.saturating_duration_since(time))
        };
        let ran = self.runs.ended + since(self.runs.running_since);
        (ran, since(self.runs.wanted_since))
    }

    /// The JSON form of the management API, without what the router knows.
    pub fn to_json(&self) -> Value {
        let image = match &self.spec.image {
            ImageReference::Registry { reference } => reference.clone(),
            ImageReference::File { path } => format!("file:{path}"),
        };
        json!({
            "device": self.device,
            "module": self.spec.id,
            "type": "wasm",
            "desiredStatus": self.spec.status,
            "status": self.status,
            "statusDescription": self.status_description,
            "restartCount": self.restart_count,
            "restartPolicy": self.spec.restart_policy,
            "startupOrder": self.spec.startup_order,
            "image": image,
            "imageDigest": self.image_digest,
            "componentDigest": self.component_digest,
            "exitCode": self.exit_code,
            "lastStartTime": self.last_start_time,
            "lastExitTime": self.last_exit_time,
            "lastExitReason": self.last_exit_reason,
            "lastRestartTime": self.last_restart_time,
            "ready": self.ready,
            "memoryBytes": self.gauges.memory_bytes(),
            "memoryLimitBytes": self.spec.limits.memory_limit_bytes,
            "hostMemoryBytes": self.gauges.host_memory_bytes(),
            "messagesHandled": self.gauges.messages_handled(),
            "messagesFailed": self.gauges.messages_failed(),
            "warnings": self.spec.warnings,
        })
    }
}
