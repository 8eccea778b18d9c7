//! How a device's way to its hub is: what the management API shows, and what the root waits for.

use serde_json::{Map, Value, json};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::time::Timestamp;

/// Whether the hub lets the device in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was tried yet, or the last session has just ended.
    #[default]
    Connecting,
    /// At least one module has a session.
    Connected {
        /// Since when.
        since: Timestamp,
    },
    /// No module has a session, since the hub cannot be reached.
    Unreachable {
        /// Why, at the last try.
        cause: String,
        /// Since when.
        since: Timestamp,
    },
    /// No module has a session, since the hub does not let any in.
    Refused {
        /// Why, at the last try.
        cause: String,
        /// Since when.
        since: Timestamp,
    },
}

/// The way to the hub at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// Whether the hub lets the device in.
    pub standing: Standing,
    /// What carries the sessions, such as `mqtt`; none before the first.
    pub transport: Option<&'static str>,
    /// Why a session was not opened or ended last, and when.
    pub last_failure: Option<(Timestamp, String)>,
    /// The open sessions, by module.
    pub sessions: Vec<SessionStatus>,
}

/// An open session of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// The module.
    pub module: ModuleId,
    /// Since when.
    pub since: Timestamp,
    /// When the token expires by which it was opened; before that it renews itself.
    pub token_expires_at: Timestamp,
    /// How often a connection was made for this module since the start, this one included.
    pub connections: u64,
}

impl Standing {
    /// One word for it, as the management API has it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected { .. } => "connected",
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { .. } => "refused",
        }
    }

    /// Whether a module has a session.
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }
}

impl UpstreamStatus {
    /// The form of the management API.
    pub fn to_json(&self) -> Map<String, Value> {
        let (since, cause) = match &self.standing {
            Standing::Connecting => (None, None),
            Standing::Connected { since } => (Some(since), None),
            Standing::Unreachable { cause, since } | Standing::Refused { cause, since } => {
                (Some(since), Some(cause))
            }
        };
        let failure = self.last_failure.as_ref();
        let failure = failure.map(|(at, cause)| json!({ "time": at, "cause": cause }));
        let sessions = self.sessions.iter().map(|session| {
            json!({
                "module": session.module,
                "since": session.since,
                "tokenExpires": session.token_expires_at,
                "connections": session.connections,
            })
        });
        let all = [
            ("standing", self.standing.word().into()),
            ("since", json!(since)),
            ("cause", json!(cause)),
            ("transport", json!(self.transport)),
            ("lastFailure", failure.into()),
            ("sessions", sessions.collect()),
        ];
        all.into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }
}
