//! The one place that builds a store, with every limit set.

use std::sync::Arc;

use wasm_edge_model::manifest::Limits;
use wasmtime::component::ResourceTable;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::WasiCtx;

use super::InstanceConfig;
use super::failure::DeadlineExceeded;
use crate::budget::{HostBudget, MemoryLimiter};
use crate::deadline::{Deadline, Verdict};
use crate::events::SharedEvents;
use crate::filesystem::guard::{Files, FilesError};
use crate::guest::{LogLevel, LogLine, LogStream, ModuleHost};
use crate::state::GuestState;
use crate::stdio::LineStream;
use crate::{seed, wasi};

/// Bytes that one call of a guest may pass to the host: a message or a patch, with room to spare.
const HOST_CALL_MAX_BYTES: usize = 1 << 20;

/// Resources of the host that one instance may hold: messages, streams, pollables, files.
const RESOURCES_MAX: usize = 1024;

/// Handles that all tables of a component may hold; a resource may have several.
const HANDLES_MAX: usize = 4 * RESOURCES_MAX;

/// Random bytes that a guest may ask for at a time.
const RANDOM_MAX_BYTES: u64 = 64 * 1024;

/// A store, and the streams to finish when it ends.
pub(super) struct BuiltStore {
    pub(super) store: Store<GuestState>,
    pub(super) output: [LineStream; 2],
    pub(super) limits: Limits,
    pub(super) events: SharedEvents,
}

/// Builds the store of one instance.
pub(super) fn build(config: InstanceConfig) -> Result<BuiltStore, FilesError> {
    let InstanceConfig {
        code,
        host,
        limits,
        env,
        args,
        grants,
        data,
        own_folder,
        control,
        methods,
        messages,
        gauges,
        random_seed,
    } = config;
    let events = SharedEvents::new(control, methods, messages);
    let note = noting(&host);
    let files = Files::open(
        &data,
        limits.data_limit_bytes,
        &grants,
        &own_folder,
        Box::new(note.clone()),
    )?;
    for path in &files.missing {
        note(format!("the granted `{path}` is not there"));
    }
    let output = [
        LineStream::new(Arc::clone(&host), LogStream::Stdout),
        LineStream::new(Arc::clone(&host), LogStream::Stderr),
    ];
    let mut builder = WasiCtx::builder();
    builder
        .stdout(output[0].clone())
        .stderr(output[1].clone())
        .envs(&env)
        .max_random_size(RANDOM_MAX_BYTES);
    wasi::clocks::choose(&mut builder);
    if let Some(seed) = random_seed {
        seed::random(&mut builder, seed);
    }
    builder
        .arg(host.identity().identity.module.as_str())
        .args(&args);
    let mut table = ResourceTable::new();
    table.set_max_capacity(RESOURCES_MAX);
    let state = GuestState {
        host,
        kind: code.kind(),
        wasi: builder.build(),
        table,
        files,
        limiter: MemoryLimiter::new(limits.memory_limit_bytes, Arc::clone(&gauges.memory_bytes)),
        budget: HostBudget::new(limits.host_memory_limit_bytes),
        clock: code.inner().engine.clock(),
        deadline: Deadline::new(limits.call_deadline, limits.cpu_limit_millis),
        events: events.clone(),
        gauges,
        staged: Vec::new(),
    };
    let mut store = Store::new(&code.inner().engine.inner().wasmtime, state);
    bound(&mut store);
    Ok(BuiltStore {
        store,
        output,
        limits,
        events,
    })
}

/// Sets the limits that wasmtime itself enforces.
fn bound(store: &mut Store<GuestState>) {
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(HOST_CALL_MAX_BYTES);
    store.set_max_component_handles(HANDLES_MAX);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| match store.data().deadline.tick() {
        Verdict::Yield => Ok(UpdateDeadline::Yield(1)),
        Verdict::Throttle(pause) => Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::time::sleep(pause)),
        )),
        Verdict::Exceeded => Err(wasmtime::Error::new(DeadlineExceeded)),
    });
}

/// Writes what the host has to say into the module's log.
fn noting(host: &Arc<dyn ModuleHost>) -> impl Fn(String) + Clone + Send + Sync + 'static + use<> {
    let host = Arc::clone(host);
    move |text| {
        host.log(LogLine {
            stream: LogStream::Host,
            level: LogLevel::Warn,
            text,
            fields: Vec::new(),
        });
    }
}
