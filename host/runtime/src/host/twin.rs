//! `twin`: the module's own twin.

use wasm_edge_model::twin::{TwinError as PatchError, parse_patch};

use crate::bindings::wasm_edge::module::twin;
use crate::events::DesiredUpdate;
use crate::guest::TwinError;
use crate::state::GuestState;

/// Longest text of a patch in bytes: a section of 32 KB with room for white space and escapes.
const PATCH_TEXT_MAX_BYTES: usize = 128 * 1024;

impl twin::Host for GuestState {
    fn desired(&mut self) -> wasmtime::Result<String> {
        Ok(self.host.desired())
    }

    fn reported(&mut self) -> wasmtime::Result<String> {
        Ok(self.host.reported())
    }

    async fn update_reported(
        &mut self,
        patch: String,
    ) -> wasmtime::Result<Result<(), twin::TwinError>> {
        if patch.len() > PATCH_TEXT_MAX_BYTES {
            return Ok(Err(twin::TwinError::Limit(format!(
                "the patch has {} bytes, at most {PATCH_TEXT_MAX_BYTES} are allowed",
                patch.len()
            ))));
        }
        let patch = match parse_patch(&patch) {
            Ok(patch) => patch,
            Err(err @ (PatchError::Syntax { .. } | PatchError::NotAnObject { .. })) => {
                return Ok(Err(twin::TwinError::InvalidJson(err.to_string())));
            }
            Err(err) => return Ok(Err(twin::TwinError::Limit(err.to_string()))),
        };
        Ok(self.host.update_reported(patch).await.map_err(Into::into))
    }
}

impl From<TwinError> for twin::TwinError {
    fn from(err: TwinError) -> Self {
        match err {
            TwinError::InvalidJson(text) => Self::InvalidJson(text),
            TwinError::Limit(text) => Self::Limit(text),
            TwinError::WouldBlock => Self::WouldBlock,
            TwinError::Other(text) => Self::Other(text),
        }
    }
}

impl From<DesiredUpdate> for twin::DesiredUpdate {
    fn from(update: DesiredUpdate) -> Self {
        match update {
            DesiredUpdate::Full(text) => Self::Full(text),
            DesiredUpdate::Patch(text) => Self::Patch(text),
        }
    }
}
