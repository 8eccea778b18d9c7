//! What a device reports of its modules and of the deployment.
//!
//! Owns the words and the JSON form of `$edgeAgent`'s reported properties.
//! Leaves the states behind them to the supervisor.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::manifest::{DesiredStatus, PullPolicy, RestartPolicy};
use crate::time::Timestamp;

/// The schema version of the reported properties.
pub const REPORTED_SCHEMA_VERSION: &str = "1.0";

/// What a module is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeStatus {
    /// Nobody knows, as when the device is off.
    Unknown,
    /// It ended and waits for its restart.
    Backoff,
    /// It runs.
    Running,
    /// It runs, but its health check fails.
    Unhealthy,
    /// It ended in order, or was stopped.
    Stopped,
    /// It ended with a failure and is not restarted.
    Failed,
    /// It is to be removed.
    Dead,
}

/// What is reported of one module, under its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleStatus {
    /// `docker` or `wasm`, as in the manifest.
    #[serde(rename = "type")]
    pub module_type: String,
    /// What the manifest wants of it.
    pub status: DesiredStatus,
    /// When it is restarted.
    pub restart_policy: RestartPolicy,
    /// When its image is pulled.
    pub image_pull_policy: PullPolicy,
    /// The version in the manifest; free text.
    pub version: String,
    /// Its environment, as `{"NAME": {"value": ...}}`.
    pub env: Map<String, Value>,
    /// The image it runs.
    pub settings: ModuleStatusSettings,
    /// What it is doing.
    pub runtime_status: RuntimeStatus,
    /// How it ended last; 0 is well.
    pub exit_code: i64,
    /// What is to be known beside: why it is not running, and the warnings
    /// of its part of the manifest.
    pub status_description: String,
    /// When it was started last; [`Timestamp::UNSET`] if never.
    pub last_start_time_utc: Timestamp,
    /// When it ended last; [`Timestamp::UNSET`] if never.
    pub last_exit_time_utc: Timestamp,
    /// How often it was restarted since it was created or updated.
    pub restart_count: u32,
    /// When it was restarted last; [`Timestamp::UNSET`] if never.
    pub last_restart_time_utc: Timestamp,
}

/// Which image a module runs, as reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleStatusSettings {
    /// The reference in the manifest.
    pub image: String,
    /// The digest of what runs, `sha256:...`, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_hash: Option<String>,
}

/// How the last deployment went, as reported in `lastDesiredStatus`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentStatus {
    /// The outcome.
    pub code: DeploymentCode,
    /// What is to be said beside; empty when all went well.
    pub description: String,
}

/// The outcome of a deployment, a number in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u16", try_from = "u16")]
pub enum DeploymentCode {
    /// 200: applied.
    Applied,
    /// 400: the manifest is faulty.
    Faulty,
    /// 406: not known, as when the device is off.
    Unknown,
    /// 412: the schema version is not supported.
    SchemaVersion,
    /// 417: there are no desired properties.
    Empty,
    /// 500: it could not be applied.
    Failed,
}

/// Each code with its number.
const CODES: [(DeploymentCode, u16); 6] = [
    (DeploymentCode::Applied, 200),
    (DeploymentCode::Faulty, 400),
    (DeploymentCode::Unknown, 406),
    (DeploymentCode::SchemaVersion, 412),
    (DeploymentCode::Empty, 417),
    (DeploymentCode::Failed, 500),
];

impl From<DeploymentCode> for u16 {
    fn from(code: DeploymentCode) -> Self {
        CODES[code as usize].1
    }
}

impl TryFrom<u16> for DeploymentCode {
    type Error = String;

    fn try_from(number: u16) -> Result<Self, String> {
        let found = CODES.iter().find(|(_, known)| *known == number);
        found
            .map(|(code, _)| *code)
            .ok_or_else(|| format!("{number} is no code of a deployment"))
    }
}

impl std::fmt::Display for RuntimeStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Unknown => "unknown",
            Self::Backoff => "backoff",
            Self::Running => "running",
            Self::Unhealthy => "unhealthy",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Dead => "dead",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_module_is_reported_in_the_documented_form() {
        let status = ModuleStatus {
            module_type: "docker".into(),
            status: DesiredStatus::Running,
            restart_policy: RestartPolicy::OnUnhealthy,
            image_pull_policy: PullPolicy::OnCreate,
            version: "1.0".into(),
            env: Map::new(),
            settings: ModuleStatusSettings {
                image: "a/b:1".into(),
                image_hash: None,
            },
            runtime_status: RuntimeStatus::Backoff,
            exit_code: 1,
            status_description: "trap: unreachable".into(),
            last_start_time_utc: Timestamp::from_unix_millis(0),
            last_exit_time_utc: Timestamp::UNSET,
            restart_count: 2,
            last_restart_time_utc: Timestamp::UNSET,
        };
        let expected = json!({
            "type": "docker", "status": "running", "restartPolicy": "on-unhealthy",
            "imagePullPolicy": "on-create", "version": "1.0", "env": {},
            "settings": {"image": "a/b:1"},
            "runtimeStatus": "backoff", "exitCode": 1, "statusDescription": "trap: unreachable",
            "lastStartTimeUtc": "1970-01-01T00:00:00.0000000Z",
            "lastExitTimeUtc": "0001-01-01T00:00:00.0000000Z",
            "restartCount": 2, "lastRestartTimeUtc": "0001-01-01T00:00:00.0000000Z",
        });
        assert_eq!(serde_json::to_value(&status).unwrap(), expected);
        assert_eq!(
            serde_json::from_value::<ModuleStatus>(expected).unwrap(),
            status
        );
    }

    #[test]
    fn statuses_and_codes_are_the_documented_ones() {
        let check = |status: RuntimeStatus, expected: &str| {
            assert_eq!(serde_json::to_value(status).unwrap(), json!(expected));
            assert_eq!(status.to_string(), expected);
        };
        check(RuntimeStatus::Unknown, "unknown");
        check(RuntimeStatus::Backoff, "backoff");
        check(RuntimeStatus::Running, "running");
        check(RuntimeStatus::Unhealthy, "unhealthy");
        check(RuntimeStatus::Stopped, "stopped");
        check(RuntimeStatus::Failed, "failed");
        check(RuntimeStatus::Dead, "dead");
        for (code, number) in CODES {
            assert_eq!(serde_json::to_value(code).unwrap(), json!(number));
            assert_eq!(
                serde_json::from_value::<DeploymentCode>(json!(number)).unwrap(),
                code
            );
        }
        assert!(serde_json::from_value::<DeploymentCode>(json!(201)).is_err());
    }
}
