//! Drives a component by its handlers: `init`, then one event at a time, `shutdown` at the end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use wasmtime::component::Instance;
use wasmtime::{Result, Store};

use super::calls::bounded;
use super::store::BuiltStore;
use super::{Gauges, failure};
use crate::bindings::wasm_edge::module::messages::Failure;
use crate::code::ModuleCode;
use crate::code::exports::Handlers;
use crate::engine::Engine;
use crate::events::{Control, DesiredUpdate, Event, MethodCall, SharedEvents};
use crate::exit::{Exit, ExitReason};
use crate::guest::{Delivery, LogLevel, LogLine, LogStream, cut};
use crate::host::events::{REASON_MAX_BYTES, RETRY_MAX};
use crate::host::messages::MessageHandle;
use crate::host::methods::checked_response;
use crate::state::GuestState;
use crate::timers::Tick;

/// Why the loop ended.
enum End {
    /// For a reason that is known already.
    Exit(ExitReason),
    /// A call failed.
    Failed(wasmtime::Error),
    /// A call failed that handled a message.
    FailedOverMessage(wasmtime::Error),
}

impl From<wasmtime::Error> for End {
    fn from(err: wasmtime::Error) -> Self {
        Self::Failed(err)
    }
}

/// An instance with its handlers.
struct Running<'a> {
    engine: &'a Engine,
    handlers: &'a Handlers,
    store: Store<GuestState>,
    instance: Instance,
    gauges: &'a Gauges,
}

/// Runs the instance to its end.
pub(super) async fn run(code: &ModuleCode, built: BuiltStore, gauges: &Gauges) -> Exit {
    let BuiltStore {
        mut store,
        output,
        limits,
        events,
    } = built;
    let inner = code.inner();
    let instantiated = bounded(&inner.engine, &mut store, async |store| {
        inner.pre.instantiate_async(store).await
    })
    .await;
    let instance = match instantiated {
        Ok(instance) => instance,
        Err(err) => return not_started(failure::exit(&err, &mut store, &limits)),
    };
    let mut running = Running {
        engine: &inner.engine,
        handlers: &inner.handlers,
        store,
        instance,
        gauges,
    };
    let end = match running.init(inner.imports_lifecycle).await {
        Ok(()) => running.serve(&events).await,
        Err(end) => end,
    };
    let exit = match end {
        End::Exit(reason) => Exit::of(reason),
        End::Failed(err) => failure::exit(&err, &mut running.store, &limits),
        End::FailedOverMessage(err) => {
            let exit = failure::exit(&err, &mut running.store, &limits);
            Exit {
                over_message: true,
                ..exit
            }
        }
    };
    output.iter().for_each(|stream| stream.finish());
    exit
}

/// A component that does not get through its instantiation never started.
fn not_started(exit: Exit) -> Exit {
    match exit.reason.clone() {
        ExitReason::Trapped { cause } | ExitReason::HostFault { cause } => Exit {
            reason: ExitReason::NotStarted { cause },
            ..exit
        },
        reason => Exit { reason, ..exit },
    }
}

impl Running<'_> {
    async fn init(&mut self, says_ready: bool) -> std::result::Result<(), End> {
        if let Some(indices) = &self.handlers.init {
            let guest = indices.load(&mut self.store, &self.instance)?;
            let answer = bounded(self.engine, &mut self.store, async |store| {
                guest.call_init(store).await
            })
            .await?;
            if let Err(text) = answer {
                return Err(End::Exit(ExitReason::InitFailed {
                    text: cut(text, REASON_MAX_BYTES),
                }));
            }
            self.let_out().await;
        }
        if !says_ready {
            self.store.data().host.ready();
        }
        Ok(())
    }

    /// Takes events until the end.
    async fn serve(&mut self, events: &SharedEvents) -> End {
        loop {
            let handled = match events.next().await {
                None => return End::Exit(ExitReason::Stopped),
                Some(Event::Control(Control::Shutdown(grace))) => {
                    return self.shutdown(grace).await;
                }
                Some(Event::Control(Control::Desired(update))) => self.desired(update).await,
                Some(Event::Method(call)) => self.method(call).await,
                Some(Event::Control(Control::Health(answer))) => self.health(answer).await,
                Some(Event::Tick(tick)) => self.timer(tick).await,
                Some(Event::Message(delivery)) => match self.message(delivery).await {
                    Ok(()) => Ok(()),
                    Err(err) => return End::FailedOverMessage(err),
                },
            };
            if let Err(err) = handled {
                return End::Failed(err);
            }
            self.gauges
                .host_memory_bytes
                .store(self.store.data().budget.used_bytes(), Ordering::Relaxed);
        }
    }

    async fn message(&mut self, delivery: Delivery) -> Result<()> {
        let Some(indices) = &self.handlers.message else {
            return Ok(());
        };
        let guest = indices.load(&mut self.store, &self.instance)?;
        let Delivery {
            message,
            id,
            input,
            previous_tries,
            completion,
        } = delivery;
        let handle = self.store.data_mut().table.push(MessageHandle::new(
            message,
            id,
            input,
            previous_tries,
            None,
        ))?;
        let rep = handle.rep();
        let answer = bounded(self.engine, &mut self.store, async |store| {
            guest
                .call_handle(store, wasmtime::component::Resource::new_borrow(rep))
                .await
        })
        .await;
        let answer = match completion.injected() {
            Some(failure) => answer.and(Err(failure::injected(failure))),
            None => answer,
        };
        match answer {
            Ok(answer) => {
                self.store.data_mut().table.delete(handle)?;
                let staged = self.store.data_mut().take_staged();
                match answer {
                    Ok(()) => match completion.complete(staged).await {
                        Ok(()) => {
                            self.gauges.messages_handled.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(err) => {
                            self.note(LogLevel::Warn, format!("a message comes again: {err}"))
                        }
                    },
                    Err(Failure::Retry(after_ms)) => {
                        completion.retry(Duration::from_millis(after_ms.into()).min(RETRY_MAX));
                    }
                    Err(Failure::Reject(reason)) => {
                        self.gauges.messages_failed.fetch_add(1, Ordering::Relaxed);
                        completion.reject(cut(reason, REASON_MAX_BYTES));
                    }
                }
                Ok(())
            }
            Err(err) => {
                self.gauges.messages_failed.fetch_add(1, Ordering::Relaxed);
                completion.fail(cut(format!("{:#}", err.root_cause()), REASON_MAX_BYTES));
                Err(err)
            }
        }
    }

    async fn desired(&mut self, update: DesiredUpdate) -> Result<()> {
        let Some(indices) = &self.handlers.twin else {
            return Ok(());
        };
        let guest = indices.load(&mut self.store, &self.instance)?;
        let answer = bounded(self.engine, &mut self.store, async |store| {
            guest.call_handle(store, &update.into()).await
        })
        .await?;
        self.noted("twin-handler", answer).await;
        Ok(())
    }

    async fn timer(&mut self, tick: Tick) -> Result<()> {
        let Some(indices) = &self.handlers.timer else {
            return Ok(());
        };
        let guest = indices.load(&mut self.store, &self.instance)?;
        let answer = bounded(self.engine, &mut self.store, async |store| {
            guest.call_handle(store, &tick.into()).await
        })
        .await?;
        self.noted("timer-handler", answer).await;
        Ok(())
    }

    async fn method(&mut self, call: MethodCall) -> Result<()> {
        let Some(indices) = &self.handlers.method else {
            return Ok(());
        };
        let guest = indices.load(&mut self.store, &self.instance)?;
        let MethodCall {
            name,
            payload,
            respond,
        } = call;
        let response = bounded(self.engine, &mut self.store, async |store| {
            guest.call_handle(store, &name, &payload).await
        })
        .await?;
        self.let_out().await;
        // A caller that has given up is no fault of this module.
        let _ = respond.send(checked_response(response));
        Ok(())
    }

    async fn health(
        &mut self,
        answer: tokio::sync::oneshot::Sender<Result<(), String>>,
    ) -> Result<()> {
        let Some(indices) = &self.handlers.health else {
            return Ok(());
        };
        let guest = indices.load(&mut self.store, &self.instance)?;
        let checked = bounded(self.engine, &mut self.store, async |store| {
            guest.call_check(store).await
        })
        .await?;
        match &checked {
            Ok(()) => self.let_out().await,
            Err(_) => drop(self.store.data_mut().take_staged()),
        }
        // A device that has waited too long is no fault of this module.
        let _ = answer.send(checked.map_err(|text| cut(text, REASON_MAX_BYTES)));
        Ok(())
    }

    async fn shutdown(&mut self, grace: Duration) -> End {
        let Some(indices) = &self.handlers.shutdown else {
            return End::Exit(ExitReason::Stopped);
        };
        let grace_ms = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
        let guest = match indices.load(&mut self.store, &self.instance) {
            Ok(guest) => guest,
            Err(err) => return End::Failed(err),
        };
        match bounded(self.engine, &mut self.store, async |store| {
            guest.call_shutdown(store, grace_ms).await
        })
        .await
        {
            Ok(()) => {
                self.let_out().await;
                End::Exit(ExitReason::Stopped)
            }
            Err(err) => End::Failed(err),
        }
    }

    /// Ends an export that may answer with an error: what it sent goes out only if it was well.
    async fn noted(&mut self, export: &str, answer: std::result::Result<(), String>) {
        match answer {
            Ok(()) => self.let_out().await,
            Err(text) => {
                drop(self.store.data_mut().take_staged());
                self.note(
                    LogLevel::Error,
                    format!("{export}: {}", cut(text, REASON_MAX_BYTES)),
                );
            }
        }
    }

    /// Lets out what an export sent that had no message to complete.
    async fn let_out(&mut self) {
        let staged = self.store.data_mut().take_staged();
        if staged.is_empty() {
            return;
        }
        let committed = self.store.data().host.commit(staged);
        if let Err(err) = committed.await {
            self.note(
                LogLevel::Error,
                format!("messages could not be sent: {err}"),
            );
        }
    }

    fn note(&self, level: LogLevel, text: String) {
        self.store.data().host.log(LogLine {
            stream: LogStream::Host,
            level,
            text,
            fields: Vec::new(),
        });
    }
}
