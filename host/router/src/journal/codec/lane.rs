//! How the name of a lane is written.

use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::InputName;

use crate::endpoint::Endpoint;
use crate::journal::commit::{LaneKind, LaneName};
use crate::journal::wire::{Malformed, Reader, put_number, put_text};

const ASIDE: u8 = 1;
const TO_MODULE: u8 = 2;
const HAS_SENDER: u8 = 4;

pub(super) fn encode(out: &mut Vec<u8>, name: &LaneName) {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    out.push(
        flag(name.kind == LaneKind::Aside, ASIDE)
            | flag(name.endpoint.module().is_some(), TO_MODULE)
            | flag(name.sender.is_some(), HAS_SENDER),
    );
    put_number(out, u64::from(name.priority));
    if let Endpoint::Module { module, input } = &name.endpoint {
        put_text(out, module.as_str());
        put_text(out, input.as_str());
    }
    if let Some(sender) = &name.sender {
        put_text(out, sender.as_str());
    }
}

pub(super) fn decode(reader: &mut Reader<'_>) -> Result<LaneName, Malformed> {
    let flags = reader.byte("flags")?;
    let priority = reader.small("priority")?;
    let endpoint = if flags & TO_MODULE == 0 {
        Endpoint::Upstream
    } else {
        Endpoint::Module {
            module: module(reader)?,
            input: InputName::new(reader.text("input")?)
                .map_err(|_| Malformed { what: "input" })?,
        }
    };
    let sender = if flags & HAS_SENDER == 0 {
        None
    } else {
        Some(module(reader)?)
    };
    let kind = if flags & ASIDE == 0 {
        LaneKind::Waiting
    } else {
        LaneKind::Aside
    };
    Ok(LaneName {
        endpoint,
        priority,
        sender,
        kind,
    })
}

/// Reads the id of a module.
pub(super) fn module(reader: &mut Reader<'_>) -> Result<ModuleId, Malformed> {
    ModuleId::new(reader.text("module")?).map_err(|_| Malformed { what: "module" })
}
