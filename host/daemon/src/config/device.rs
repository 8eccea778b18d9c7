//! `[deployment]`, `[policy]`, `[metrics]` and `[log]`: what concerns the device itself.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use wasm_edge_images::reference::RegistryHost;
use wasm_edge_model::identity::DeviceId;

use super::read::{Reader, Table};

/// What a device runs, and how deployments are applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeploymentConfig {
    /// The deployment manifest of a device without a hub.
    pub file: Option<PathBuf>,
    /// The id of a device without a hub; none is the host's name.
    pub device_id: Option<DeviceId>,
    /// Whether a deployment may name files of this device as images; none is only one that is a file itself.
    pub file_images: Option<bool>,
    /// How long a deployment has to become healthy after its last group was started; none is the agent's default.
    pub health_timeout: Option<Duration>,
    /// How long a group of one start order has to become ready before the next one is started; none is the agent's
    /// default.
    pub ready_timeout: Option<Duration>,
}

/// What the device's owner allows, whatever a deployment says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyConfig {
    /// How much memory all modules together may take; none leaves it to the machine.
    pub memory_max_bytes: Option<u64>,
    /// The registries that images may be from; none is any.
    pub registries: Option<Vec<RegistryHost>>,
}

/// Where the device's figures can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricsConfig {
    /// Where it listens; none is nowhere.
    pub listen: Option<SocketAddr>,
}

/// What the device says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogConfig {
    /// From which level on.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
}

/// From which level on the device says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What should be looked at.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// Every step.
    Debug,
}

/// The form of what the device says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// The keys of `[deployment]`.
pub(super) const DEPLOYMENT_KEYS: [&str; 5] = [
    "file",
    "device_id",
    "file_images",
    "health_timeout_secs",
    "ready_timeout_secs",
];
/// The keys of `[policy]`.
pub(super) const POLICY_KEYS: [&str; 2] = ["memory_max_bytes", "registries"];
/// The keys of `[metrics]`.
pub(super) const METRICS_KEYS: [&str; 1] = ["listen"];
/// The keys of `[log]`.
pub(super) const LOG_KEYS: [&str; 2] = ["level", "format"];

/// A component may take minutes to be compiled on a slow machine, and an hour is no waiting any more.
pub(super) const DEPLOYMENT_SECS: RangeInclusive<u64> = 1..=3600;

/// From what the smallest module takes to more than a board has.
pub(super) const MEMORY_BYTES: RangeInclusive<u64> = 1024 * 1024..=1 << 40;

const LEVELS: [(&str, LogLevel); 4] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
];

const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

impl DeploymentConfig {
    /// Whether a deployment may name files of this device as images. One that is itself a file of this device may,
    /// unless that is forbidden; one from a hub may not, unless that is allowed.
    pub fn allows_file_images(&self) -> bool {
        self.file_images.unwrap_or(self.file.is_some())
    }
}

/// Reads `[deployment]`.
pub(super) fn read_deployment(reader: &mut Reader<'_>, section: &Table<'_>) -> DeploymentConfig {
    let mut deployment = DeploymentConfig::default();
    reader.keys(section, &DEPLOYMENT_KEYS, |reader, key, value| match key {
        "file" => deployment.file = reader.path(value),
        "device_id" => {
            let id = |text: &str| DeviceId::new(text).ok();
            deployment.device_id = reader.parsed(value, "the id of a device", id);
        }
        "file_images" => deployment.file_images = reader.boolean(value),
        "health_timeout_secs" => {
            deployment.health_timeout = reader.seconds(value, DEPLOYMENT_SECS);
        }
        _ => deployment.ready_timeout = reader.seconds(value, DEPLOYMENT_SECS),
    });
    deployment
}

/// Reads `[policy]`.
pub(super) fn read_policy(reader: &mut Reader<'_>, section: &Table<'_>) -> PolicyConfig {
    let mut policy = PolicyConfig::default();
    reader.keys(section, &POLICY_KEYS, |reader, key, value| match key {
        "memory_max_bytes" => policy.memory_max_bytes = reader.integer(value, MEMORY_BYTES),
        _ => {
            let expected = "an array of hosts of registries, each with a port or without";
            let host = |text: &str| RegistryHost::parse(text).ok();
            policy.registries = reader.list(value, expected, host);
        }
    });
    policy
}

/// Reads `[metrics]`.
pub(super) fn read_metrics(reader: &mut Reader<'_>, section: &Table<'_>) -> MetricsConfig {
    let mut metrics = MetricsConfig::default();
    reader.keys(section, &METRICS_KEYS, |reader, _, value| {
        let expected = "an address with a port, such as `127.0.0.1:9600`";
        metrics.listen = reader.parsed(value, expected, |text| text.parse().ok());
    });
    metrics
}

/// Reads `[log]`.
pub(super) fn read_log(reader: &mut Reader<'_>, section: &Table<'_>) -> LogConfig {
    let mut log = LogConfig::default();
    reader.keys(section, &LOG_KEYS, |reader, key, value| match key {
        "level" => log.level = reader.word(value, &LEVELS).unwrap_or_default(),
        _ => log.format = reader.word(value, &FORMATS).unwrap_or_default(),
    });
    log
}
