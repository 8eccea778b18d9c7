//! Many identities in one request: POST `/devices`.
//!
//! Owns reading its items and the form of its answer. Leaves what each does
//! to the registry. The items are done one after the other, each by itself:
//! one that fails is told, and the others are done all the same.
//!
//! Source: Azure IoT Hub, REST reference, "Bulk registry operations".

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};

use super::failure::Failure;
use super::request::Body;
use crate::error::HubError;
use crate::hub::twins::TwinPatch;
use crate::hub::{Hub, IfMatch};
use crate::identity::IdentityRequest;

/// Most items of a request.
const BULK_ITEMS_MAX: usize = 100;

/// An item, read.
struct Item {
    owner: TwinOwner,
    action: Action,
}

/// What becomes of a device or module.
enum Action {
    Create(Box<IdentityRequest>, TwinPatch),
    Update(Box<IdentityRequest>, IfMatch),
    Delete(IfMatch),
    UpdateTwin(TwinPatch, IfMatch),
}

/// What is read of an item beside the identity that it may describe.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawItem {
    id: String,
    module_id: Option<String>,
    #[serde(rename = "eTag")]
    etag: Option<String>,
    #[serde(rename = "twinETag")]
    twin_etag: Option<String>,
    import_mode: Option<String>,
}

/// Does all items; 200 if each was done, else 400 with those that were not.
pub(super) async fn apply(
    State(hub): State<Hub>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let Value::Array(items) = body.document()? else {
        return Err(Failure::invalid("the body is no JSON array of items"));
    };
    if items.len() > BULK_ITEMS_MAX {
        let message = format!(
            "the body has {} items, more than {BULK_ITEMS_MAX}",
            items.len()
        );
        return Err(Failure::invalid(message));
    }
    let mut errors = Vec::new();
    for item in items {
        let named = ["id", "moduleId", "importMode"].map(|key| item[key].clone());
        let done = match Item::parse(item) {
            Ok(item) => item.apply(&hub).await.map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = done {
            errors.push(error(named, &failure));
        }
    }
    let is_successful = errors.is_empty();
    let status = if is_successful {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    let answer = json!({ "isSuccessful": is_successful, "errors": errors, "warnings": [] });
    Ok((status, Json(answer)))
}

fn error([device, module, operation]: [Value; 3], failure: &Failure) -> Value {
    json!({
        "deviceId": device,
        "moduleId": module,
        "operation": operation,
        "errorCode": failure.name(),
        "errorStatus": failure.message(),
    })
}

impl Item {
    fn parse(item: Value) -> Result<Self, Failure> {
        let invalid = |err: &dyn std::fmt::Display| Failure::invalid(format!("the item: {err}"));
        if !item.is_object() {
            return Err(invalid(&"no JSON object"));
        }
        let raw = RawItem::deserialize(&item).map_err(|err| invalid(&err))?;
        let device = DeviceId::new(&raw.id).map_err(|err| invalid(&err))?;
        let module = raw.module_id.as_deref().filter(|module| !module.is_empty());
        let owner = match module.map(ModuleId::new).transpose() {
            Ok(None) => TwinOwner::Device(device),
            Ok(Some(module)) => TwinOwner::Module(ModuleIdentity { device, module }),
            Err(err) => return Err(invalid(&err)),
        };
        let mode = raw.import_mode.as_deref().unwrap_or("create");
        let if_match = |name: &str, etag: &Option<String>| match etag {
            Some(etag) => Ok(IfMatch::parse(etag)),
            None => Err(Failure::invalid(format!("the item has no `{name}`"))),
        };
        let identity = |item: Value| {
            let request = IdentityRequest::deserialize(without_ids(item));
            request.map(Box::new).map_err(|err| invalid(&err))
        };
        // The SDKs differ in the case of its letters.
        let action = match &*mode.to_ascii_lowercase() {
            "create" => Action::Create(identity(item.clone())?, twin(item)?),
            "update" => Action::Update(identity(item)?, IfMatch::Any),
            "updateifmatchetag" => Action::Update(identity(item)?, if_match("eTag", &raw.etag)?),
            "delete" => Action::Delete(IfMatch::Any),
            "deleteifmatchetag" => Action::Delete(if_match("eTag", &raw.etag)?),
            "updatetwin" => Action::UpdateTwin(twin(item)?, IfMatch::Any),
            "updatetwinifmatchetag" => {
                let if_match = if_match("twinETag", &raw.twin_etag)?;
                Action::UpdateTwin(twin(item)?, if_match)
            }
            _ => {
                let other = mode.escape_debug();
                return Err(Failure::invalid(format!(
                    "`importMode` is `{other}`; expected `create`, `update`, `updateIfMatchETag`, \
                     `delete`, `deleteIfMatchETag`, `updateTwin` or `updateTwinIfMatchETag`"
                )));
            }
        };
        Ok(Self { owner, action })
    }

    async fn apply(self, hub: &Hub) -> Result<(), HubError> {
        let owner = &self.owner;
        match self.action {
            Action::Create(request, twin) => {
                let spec = request.check(owner).map_err(|source| HubError::Identity {
                    owner: owner.clone(),
                    source,
                })?;
                hub.create_with(owner, spec, &twin).await.map(drop)
            }
            Action::Update(request, if_match) => {
                hub.update_as(owner, &request, if_match).await.map(drop)
            }
            Action::Delete(if_match) => match owner {
                TwinOwner::Device(device) => hub.delete_device(device, if_match).await,
                TwinOwner::Module(module) => hub.delete_module(module, if_match).await,
            },
            Action::UpdateTwin(patch, if_match) => {
                hub.patch_twin(owner, &patch, if_match).await.map(drop)
            }
        }
    }
}

/// The tags and desired properties of an item; null stands for none.
fn twin(item: Value) -> Result<TwinPatch, Failure> {
    let twin = members(item)
        .into_iter()
        .filter(|(name, value)| matches!(&**name, "tags" | "properties") && !value.is_null());
    Ok(TwinPatch::from_patch(Value::Object(twin.collect()))?)
}

/// The item as the description of an identity, whose id is known already.
fn without_ids(item: Value) -> Value {
    let mut members = members(item);
    members.remove("deviceId");
    members.remove("moduleId");
    Value::Object(members)
}

fn members(item: Value) -> Map<String, Value> {
    match item {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
