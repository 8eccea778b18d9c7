//! Drives a program: its `run` has a loop of its own and hears of everything through `events`.

use std::sync::atomic::Ordering;

use wasmtime::{Result, Store};

use super::calls::{bounded, unbounded};
use super::failure;
use super::store::BuiltStore;
use crate::code::ModuleCode;
use crate::events::{Control, Event, SharedEvents};
use crate::exit::{Exit, ExitReason};
use crate::host::events::fail_open_deliveries;
use crate::state::GuestState;

/// Runs the program to its end.
pub(super) async fn run(code: &ModuleCode, built: BuiltStore) -> Exit {
    let BuiltStore {
        mut store,
        output,
        limits,
        events,
    } = built;
    let inner = code.inner();
    let Some(pre) = &inner.handlers.program else {
        return Exit::of(ExitReason::HostFault {
            cause: "a program without `wasi:cli/run`".to_owned(),
        });
    };
    let instantiated = bounded(&inner.engine, &mut store, async |store| {
        pre.instantiate_async(store).await
    })
    .await;
    let program = match instantiated {
        Ok(program) => program,
        Err(err) => return failure::exit(&err, &mut store, &limits),
    };
    if !inner.imports_lifecycle {
        store.data().host.ready();
    }
    let running = unbounded(&inner.engine, &mut store, async |store| {
        program.wasi_cli_run().call_run(store).await
    });
    let ended = if code.takes_messages() {
        Some(running.await)
    } else {
        // It cannot be told to stop: it is ended where it stands.
        tokio::select! {
            ended = running => Some(ended),
            () = stop_wanted(&events) => None,
        }
    };
    let exit = match ended {
        None => Exit::of(ExitReason::Stopped),
        Some(ended) => {
            ended_by_itself(ended).unwrap_or_else(|err| failure::exit(&err, &mut store, &limits))
        }
    };
    output.iter().for_each(|stream| stream.finish());
    let exit = over_messages(exit, &mut store);
    if events.was_told_to_stop() && !exit.is_failure() {
        Exit::of(ExitReason::Stopped)
    } else {
        exit
    }
}

/// What a failed program had in hand counts as a failed try.
fn over_messages(exit: Exit, store: &mut Store<GuestState>) -> Exit {
    if !exit.is_failure() {
        return exit;
    }
    let failed = fail_open_deliveries(&mut store.data_mut().table, &exit.reason.to_string());
    let gauges = &store.data().gauges;
    gauges.messages_failed.fetch_add(failed, Ordering::Relaxed);
    Exit {
        over_message: failed > 0,
        ..exit
    }
}

fn ended_by_itself(ended: Result<std::result::Result<(), ()>>) -> Result<Exit> {
    let code = if ended?.is_ok() { 0 } else { 1 };
    Ok(Exit::of(ExitReason::Exited { code }))
}

/// Drops all events but the one that ends the instance.
async fn stop_wanted(events: &SharedEvents) {
    while !matches!(
        events.next().await,
        None | Some(Event::Control(Control::Shutdown(_)))
    ) {}
}
