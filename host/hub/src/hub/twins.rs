//! Twins: the service's side, and the reported properties that come from sessions.
//!
//! Owns applying changes by compare-and-set and the twin as the service API
//! shows it. Leaves merging, limits, versions and metadata to the model.

use serde_json::{Map, Value, json};
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::twin::{Applied, ServiceChange, Twin, TwinError};

use super::documents::Write;
use super::{Hub, IfMatch};
use crate::error::HubError;
use crate::identity::{ConnectionView, Identity, IdentityStatus};
use crate::record::Record;
use crate::session::desired::{Announcement, ChangeKind};

/// Longest id of a model of digital twins, as in the Digital Twins Definition Language.
pub const MODEL_ID_MAX_BYTES: usize = 2048;

/// A change of tags and desired properties.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TwinPatch {
    /// For the tags, if any.
    pub tags: Option<Map<String, Value>>,
    /// For the desired properties, if any.
    pub desired: Option<Map<String, Value>>,
}

/// What becomes of properties that are replaced by the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Same {
    /// Nothing: their version stays.
    LeftAlone,
    /// They get a new version, and the device hears of it.
    NewVersion,
}

impl TwinPatch {
    /// Reads the body of a patch, as [`TwinPatch::from_json`] does, and refuses one that would change
    /// reported properties: those are the device's to write.
    ///
    /// Who sends back a twin as it was read, with something of it changed, wants no such change:
    /// reported properties with their metadata are passed over, and so is a section of them
    /// without any.
    ///
    /// # Errors
    /// [`HubError::Invalid`].
    pub fn from_patch(body: Value) -> Result<Self, HubError> {
        let is_written = |section: Option<&Value>| match section {
            Some(Value::Object(members)) => {
                !members.is_empty() && !members.keys().any(|key| key.starts_with('$'))
            }
            Some(_) => true,
            None => false,
        };
        for (name, section) in [
            ("properties.reported", body.pointer("/properties/reported")),
            ("reported", body.get("reported")),
        ] {
            if is_written(section) {
                return Err(HubError::Invalid {
                    problem: format!("`{name}` can be changed by the device only"),
                });
            }
        }
        Self::from_json(body)
    }

    /// Reads the body of a request: a twin with `tags` and `properties.desired`, each if present.
    ///
    /// All else is passed over: clients send back the whole twin.
    ///
    /// # Errors
    /// [`HubError::Invalid`].
    pub fn from_json(body: Value) -> Result<Self, HubError> {
        let mut body = object("the twin", body)?;
        let tags = body
            .remove("tags")
            .map(|tags| object("`tags`", tags))
            .transpose()?;
        let properties = body.remove("properties");
        let properties = properties
            .map(|value| object("`properties`", value))
            .transpose()?;
        let desired = properties.and_then(|mut properties| properties.remove("desired"));
        let desired = desired
            .map(|value| object("`properties.desired`", value))
            .transpose()?;
        Ok(Self { tags, desired })
    }
}

fn object(name: &str, value: Value) -> Result<Map<String, Value>, HubError> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(HubError::Invalid {
            problem: format!("{name} is not a JSON object"),
        }),
    }
}

impl Hub {
    /// The twin of a device or module as the service API shows it.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::Store`] and its kin.
    pub async fn twin_json(&self, owner: &TwinOwner) -> Result<Value, HubError> {
        let record = self.load(owner).await?.record;
        let view = self.view(&record.identity).await?;
        Ok(service_json(&record, view))
    }

    /// Merges a change into tags and desired properties; answers the new twin.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::PreconditionFailed`],
    /// [`HubError::Twin`], [`HubError::Store`] and its kin.
    pub async fn patch_twin(
        &self,
        owner: &TwinOwner,
        patch: &TwinPatch,
        if_match: IfMatch,
    ) -> Result<Value, HubError> {
        let now = self.now();
        let change = ServiceChange {
            tags: patch.tags.as_ref(),
            desired: patch.desired.as_ref(),
        };
        let kind = ChangeKind::Patch;
        let changing = self.change_twin(owner, &if_match, kind, |twin| twin.patch(change, now));
        let twin = changing.await?;
        self.metrics().twin_operation("patch");
        Ok(twin)
    }

    /// Puts others in place of all tags and desired properties, which are emptied when the
    /// replacement does not have them; answers the new twin.
    ///
    /// # Errors
    /// As [`Hub::patch_twin`].
    pub async fn replace_twin(
        &self,
        owner: &TwinOwner,
        replacement: &TwinPatch,
        if_match: IfMatch,
    ) -> Result<Value, HubError> {
        let (now, empty) = (self.now(), Map::new());
        let change = ServiceChange {
            tags: Some(replacement.tags.as_ref().unwrap_or(&empty)),
            desired: Some(replacement.desired.as_ref().unwrap_or(&empty)),
        };
        let kind = ChangeKind::Replacement;
        let changing = self.change_twin(owner, &if_match, kind, |twin| twin.replace(change, now));
        let twin = changing.await?;
        self.metrics().twin_operation("replace");
        Ok(twin)
    }

    /// Replaces the desired properties alone; `same` is for those that are so already.
    pub(super) async fn set_desired(
        &self,
        owner: &TwinOwner,
        desired: &Map<String, Value>,
        same: Same,
    ) -> Result<(), HubError> {
        let now = self.now();
        let change = ServiceChange {
            tags: None,
            desired: Some(desired),
        };
        let mut announced = None;
        self.change(owner, |record| {
            announced = None;
            let before = record.twin.desired.properties().clone();
            let applied = record
                .twin
                .replace(change, now)
                .map_err(|source| refused(owner, source))?;
            let unchanged = before == *record.twin.desired.properties();
            if unchanged && same == Same::LeftAlone {
                return Ok(((), Write::Nothing));
            }
            announced = self.announce(owner, applied, ChangeKind::Replacement);
            Ok(((), Write::Record))
        })
        .await?;
        if let Some(announced) = announced {
            announced.keep();
        }
        Ok(())
    }

    /// Merges a patch of the session of an owner and a generation into the reported properties, if
    /// they have the expected version; answers their new version.
    pub(crate) async fn report(
        &self,
        (owner, generation_id): (&TwinOwner, &str),
        patch: &Map<String, Value>,
        expected: Option<u64>,
    ) -> Result<u64, HubError> {
        let now = self.now();
        self.change(owner, |record| {
            let identity = &record.identity;
            if identity.generation_id != generation_id {
                return Err(HubError::NotFound {
                    owner: owner.clone(),
                });
            }
            if identity.status == IdentityStatus::Disabled {
                return Err(HubError::Disabled {
                    device: owner.device().clone(),
                });
            }
            let version = record.twin.reported.version();
            if expected.is_some_and(|expected| expected != version) {
                return Err(HubError::PreconditionFailed {
                    owner: owner.clone(),
                    etag: version.to_string(),
                });
            }
            let applied = record
                .twin
                .report(patch, now)
                .map_err(|source| refused(owner, source))?;
            Ok((applied.version, Write::Record))
        })
        .await
    }

    /// Notes which model of digital twins a device or module says it has.
    ///
    /// A model id longer than [`MODEL_ID_MAX_BYTES`] is passed over: it is for show only.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::Store`] and its kin.
    pub async fn note_model(&self, owner: &TwinOwner, model_id: &str) -> Result<(), HubError> {
        if model_id.len() > MODEL_ID_MAX_BYTES {
            tracing::debug!(%owner, "a model id is too long and passed over");
            return Ok(());
        }
        self.change(owner, |record| {
            if record.model_id == model_id {
                return Ok(((), Write::Nothing));
            }
            model_id.clone_into(&mut record.model_id);
            Ok(((), Write::Record))
        })
        .await
    }

    async fn change_twin(
        &self,
        owner: &TwinOwner,
        if_match: &IfMatch,
        kind: ChangeKind,
        mut change: impl FnMut(&mut Twin) -> Result<Option<Applied>, TwinError>,
    ) -> Result<Value, HubError> {
        let mut announced = None;
        let changed = self.change(owner, |record| {
            announced = None;
            if_match.check(owner, || record.twin.etag())?;
            let version = record.twin.version;
            let applied = change(&mut record.twin).map_err(|source| refused(owner, source))?;
            let same = record.twin.version == version;
            announced = self.announce(owner, applied, kind);
            let write = if same { Write::Nothing } else { Write::Record };
            Ok((record.clone(), write))
        });
        let record = changed.await?;
        if let Some(announced) = announced {
            announced.keep();
        }
        let view = self.view(&record.identity).await?;
        Ok(service_json(&record, view))
    }

    /// Before a change of desired properties is written: afterwards its session may look already.
    fn announce(
        &self,
        owner: &TwinOwner,
        applied: Option<Applied>,
        kind: ChangeKind,
    ) -> Option<Announcement> {
        self.connections().announce(owner, applied?, kind)
    }
}

fn refused(owner: &TwinOwner, source: TwinError) -> HubError {
    HubError::Twin {
        owner: owner.clone(),
        source,
    }
}

/// The twin with what the registry knows about its owner.
pub(crate) fn service_json(record: &Record, connection: ConnectionView) -> Value {
    let Identity {
        owner,
        authentication,
        ..
    } = &record.identity;
    let mut json = record.twin.service_view();
    let common = json!({
        "deviceId": owner.device(),
        "deviceEtag": record.identity.etag(),
        "status": record.identity.status,
        "statusUpdateTime": record.identity.status_updated,
        "connectionState": connection.state(),
        "lastActivityTime": connection.last_activity,
        "cloudToDeviceMessageCount": connection.commands,
        "authenticationType": authentication.kind,
        "x509Thumbprint": authentication.thumbprints,
        "modelId": record.model_id,
    });
    let special = match owner.module() {
        Some(module) => json!({ "moduleId": module }),
        None => json!({
            "statusReason": record.identity.status_reason,
            "capabilities": { "iotEdge": record.identity.edge },
            "parentScopes": record.identity.parent_scopes(),
        }),
    };
    for value in [common, special] {
        if let Value::Object(members) = value {
            json.extend(members);
        }
    }
    if !record.configurations.is_empty() {
        json.insert("configurations".to_owned(), configurations_json(record));
    }
    if let Some(scope) = record.identity.device_scope() {
        json.insert("deviceScope".to_owned(), Value::from(scope));
    }
    Value::Object(json)
}

/// The configurations that are for a twin: `{"id": {"status": "Applied"}}`.
pub(crate) fn configurations_json(record: &Record) -> Value {
    let entries = record.configurations.iter();
    let entries = entries.map(|(id, status)| (id.clone(), json!({ "status": status })));
    Value::Object(entries.collect())
}

#[cfg(test)]
mod tests;
