//! What wasmtime itself needs for the least that a component can do: the baseline of `wasm-edge bench`.
//!
//! Nothing of a module instance is used here but its compiled code: no limits, no host, no queue. Called by the
//! device's `measure`.

use std::time::{Duration, Instant};

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Result, Store};

use crate::precompiled::ModuleCode;

/// The function that is called: it takes nothing and has no error to give back.
const INTERFACE: &str = "wasm-edge:module/health@0.1.0";
const FUNCTION: &str = "check";

/// A component cannot be measured.
#[derive(Debug, thiserror::Error)]
#[error("wasmtime cannot call the component: {cause}")]
pub struct MeasureError {
    cause: String,
}

impl From<wasmtime::Error> for MeasureError {
    fn from(err: wasmtime::Error) -> Self {
        Self {
            cause: format!("{err:#}"),
        }
    }
}

/// Calls `check` of the interface `health` so often with nothing in between, and answers with the time for all.
///
/// # Errors
/// [`MeasureError`] for a component without it, or one that calls the host in it.
pub async fn bare_calls(code: &ModuleCode, calls: u64) -> Result<Duration, MeasureError> {
    Ok(call(code, calls).await?)
}

/// Gives a component an environment without variables, which the SDK asks for once, and nothing else.
fn linker(engine: &Engine, component: &Component) -> Result<Linker<()>> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    linker.define_unknown_imports_as_traps(component)?;
    let ty = component.component_type();
    if let Some((name, _)) = ty
        .imports(engine)
        .find(|(name, _)| name.starts_with("wasi:cli/environment@"))
    {
        linker
            .instance(name)?
            .func_wrap("get-environment", |_, ()| {
                Ok((Vec::<(String, String)>::new(),))
            })?;
    }
    Ok(linker)
}

async fn call(code: &ModuleCode, calls: u64) -> Result<Duration> {
    let engine = &code.inner().engine.inner().wasmtime;
    let component = code.inner().pre.component();
    let linker = linker(engine, component)?;
    let mut store = Store::new(engine, ());
    store.set_epoch_deadline(u64::MAX / 2);
    let instance = linker.instantiate_async(&mut store, component).await?;
    let function = instance
        .get_export_index(&mut store, None, INTERFACE)
        .and_then(|interface| instance.get_export_index(&mut store, Some(&interface), FUNCTION));
    let Some(function) = function else {
        return Err(wasmtime::Error::msg(format!("it has no `{INTERFACE}`")));
    };
    let check =
        instance.get_typed_func::<(), (std::result::Result<(), String>,)>(&mut store, function)?;
    let begun = Instant::now();
    for _ in 0..calls {
        let (answer,) = check.call_async(&mut store, ()).await?;
        answer.map_err(wasmtime::Error::msg)?;
    }
    Ok(begun.elapsed())
}

/// Makes so many instances, one after the other, with nothing in them, and answers with the time for all.
///
/// # Errors
/// [`MeasureError`] for a component that calls the host while it is instantiated.
pub async fn bare_instances(code: &ModuleCode, instances: u64) -> Result<Duration, MeasureError> {
    Ok(instantiate(code, instances).await?)
}

async fn instantiate(code: &ModuleCode, instances: u64) -> Result<Duration> {
    let engine = &code.inner().engine.inner().wasmtime;
    let component = code.inner().pre.component();
    let linker = linker(engine, component)?;
    let pre = linker.instantiate_pre(component)?;
    let begun = Instant::now();
    for _ in 0..instances {
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        pre.instantiate_async(&mut store).await?;
    }
    Ok(begun.elapsed())
}
