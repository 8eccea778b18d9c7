//! The hub: identity registry, twins, direct methods, telemetry; embedded in a process or on its own.
//!
//! # Shape (being filled in)
//! ```text
//! hub::Hub: Clone + Send + Sync            // a handle; Drop of the last one closes nothing on disk, `close` ends sessions
//!   async fn open(folder: &cap_std::fs::Dir, options: HubOptions) -> Result<Hub, HubError>   // folder = DataFolder::hub()
//!   async fn with_store(store: Arc<dyn HubStore>, options: HubOptions) -> Result<Hub, HubError>
//!   fn host_name(&self) -> &str
//!   async fn close(&self)                                             // ends every session and stream
//!   // identity registry; `ensure_*` are idempotent, create missing ones with generated keys
//!   async fn ensure_device(&self, &DeviceId) -> Result<Identity, HubError>       // with capabilities.iotEdge
//!   async fn ensure_module(&self, &ModuleIdentity) -> Result<Identity, HubError> // the device must exist
//!   async fn identity(&self, &TwinOwner) -> Result<Identity, HubError>           // HubError::NotFound{owner}
//!   async fn create(&self, NewIdentity) / update(&self, &TwinOwner, IdentityUpdate, IfMatch) -> Result<Identity, HubError>
//!   async fn delete_device(&self, &DeviceId, IfMatch) / delete_module(&self, &ModuleIdentity, IfMatch) -> Result<(), HubError>
//!   async fn devices(&self, after: Option<&DeviceId>, limit: usize) -> Result<Vec<Identity>, HubError>
//!   async fn modules(&self, &DeviceId) -> Result<Vec<Identity>, HubError>
//!   // twins, service side; JSON as the service API shows it
//!   async fn twin_json(&self, &TwinOwner) -> Result<Value, HubError>
//!   async fn patch_twin(&self, &TwinOwner, &TwinPatch, IfMatch) -> Result<Value, HubError>
//!   async fn replace_twin(&self, &TwinOwner, &TwinPatch, IfMatch) -> Result<Value, HubError>
//!   async fn apply_configuration(&self, &DeviceId, content: &Map<String, Value>) -> Result<(), HubError> // {"modulesContent":{..}}
//!   // sessions, device side
//!   async fn connect(&self, &TwinOwner) -> Result<(Session, SessionEvents), HubError>   // newer wins
//!   async fn invoke_method(&self, &TwinOwner, MethodCall) -> Result<MethodResult, HubError>
//!   fn telemetry(&self) -> Result<TelemetryReader, HubError>          // next().await -> Option<TelemetryEvent::{Message(Arc<Telemetry>), Lost(u64)}>
//!   fn rest(&self) -> axum::Router
//! identity::Identity { owner: TwinOwner, generation_id: String, etag: .., status, authentication: Authentication{kind, keys: Option<SymmetricKeys{primary, secondary: SharedKey}>, ..}, .. }
//!   SharedKey: as_base64() -> &str, decode() -> Vec<u8>
//! session::Session: Clone (its connection lives as long as its SessionEvents)
//!   fn owner(&self) -> &TwinOwner
//!   async fn twin(&self) -> Result<SessionTwin { desired: Map, desired_version: u64, reported: Map, reported_version: u64 }, SessionError>
//!   async fn report(&self, patch: &Map) -> Result<u64 /* new reported version */, SessionError>
//!   async fn send(&self, message: Message) -> Result<(), SessionError>   // Ok = accepted
//!   fn accept_methods(&self, bool)                                     // false at first: callers get 404103
//! session::SessionEvents
//!   async fn next(&mut self) -> SessionEvent                           // cancel safe
//! session::SessionEvent::{ Desired(DesiredChange{ patch: Map, previous_version: u64, version: u64 }), Method(MethodRequest), Closed(CloseReason) }
//!   DesiredChange: a merge patch from `previous_version` to `version`; several changes may come as one; read `twin()` when you do not have `previous_version`
//! method::MethodRequest { name, payload: Value, .. } fn respond(self, status: i32, payload: Value); dropping it answers 504 to the caller
//! ```
