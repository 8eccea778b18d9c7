//! The engine: the one place that makes a wasmtime engine, its linker and its clock of epochs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::Thread;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::wasm_edge::module as wit;
use crate::deadline::TICK;
use crate::profile::EngineProfile;
use crate::state::GuestState;
use crate::wasi;

/// Ticks without a running guest after which the ticking thread sleeps until one runs.
const IDLE_TICKS: u32 = 100;

/// Runs components; one for the whole process, cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<EngineInner>,
}

pub(crate) struct EngineInner {
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) linker: Linker<GuestState>,
    pub(crate) profile: EngineProfile,
    ticker: Arc<Ticker>,
}

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the WebAssembly engine: {cause}")]
pub struct EngineError {
    cause: String,
}

impl Engine {
    /// Makes the engine for this machine's profile and starts its clock.
    ///
    /// # Errors
    /// [`EngineError`] where the machine cannot run it.
    pub fn new() -> Result<Self, EngineError> {
        Self::build(EngineProfile::of_this_machine()).map_err(|err| EngineError {
            cause: format!("{err:#}"),
        })
    }

    fn build(profile: EngineProfile) -> wasmtime::Result<Self> {
        let wasmtime = wasmtime::Engine::new(&profile.config()?)?;
        let mut linker = Linker::new(&wasmtime);
        wasi::add_to_linker(&mut linker)?;
        add_module_interfaces(&mut linker)?;
        let ticker = Arc::new(Ticker::default());
        start_ticker(&wasmtime, &ticker)?;
        Ok(Self {
            inner: Arc::new(EngineInner {
                wasmtime,
                linker,
                profile,
                ticker,
            }),
        })
    }

    /// The profile that this engine loads code of.
    pub fn profile(&self) -> EngineProfile {
        self.inner.profile
    }

    pub(crate) fn inner(&self) -> &EngineInner {
        &self.inner
    }

    /// Keeps the epochs ticking while a guest may run.
    pub(crate) fn running(&self) -> Running {
        self.inner.ticker.enter();
        Running {
            ticker: Arc::clone(&self.inner.ticker),
            _hold: wasm_edge_clock::hold(),
        }
    }

    /// The clock of epochs, for host calls that wait on behalf of a guest.
    pub(crate) fn clock(&self) -> Clock {
        Clock {
            ticker: Arc::clone(&self.inner.ticker),
        }
    }
}

fn add_module_interfaces(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    type T = GuestState;
    type D = HasSelf<GuestState>;
    wit::identity::add_to_linker::<T, D>(linker, |t| t)?;
    wit::messages::add_to_linker::<T, D>(linker, |t| t)?;
    wit::twin::add_to_linker::<T, D>(linker, |t| t)?;
    wit::methods::add_to_linker::<T, D>(linker, |t| t)?;
    wit::log::add_to_linker::<T, D>(linker, |t| t)?;
    wit::timer::add_to_linker::<T, D>(linker, |t| t)?;
    wit::lifecycle::add_to_linker::<T, D>(linker, |t| t)?;
    wit::events::add_to_linker::<T, D>(linker, |t| t)
}

/// Counts running guests; the ticking thread sleeps for good while there are none.
#[derive(Default)]
struct Ticker {
    running: AtomicUsize,
    asleep: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

impl Ticker {
    fn enter(&self) {
        self.running.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    fn leave(&self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// The clock of epochs as a running guest's host calls see it.
pub(crate) struct Clock {
    ticker: Arc<Ticker>,
}

impl Clock {
    /// The guest waits and does not run, until the answer is dropped: a device whose modules all wait sleeps.
    pub(crate) fn pause(&self) -> Paused {
        self.ticker.leave();
        Paused {
            ticker: Arc::clone(&self.ticker),
            _release: wasm_edge_clock::release(),
        }
    }
}

/// A guest that waits; it may run again when this is dropped.
pub(crate) struct Paused {
    ticker: Arc<Ticker>,
    _release: wasm_edge_clock::Release,
}

impl Drop for Paused {
    fn drop(&mut self) {
        self.ticker.enter();
    }
}

/// A guest that may run; ends when dropped.
pub(crate) struct Running {
    ticker: Arc<Ticker>,
    _hold: wasm_edge_clock::Hold,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ticker.leave();
    }
}

/// The thread ends by itself once the engine is gone.
fn start_ticker(wasmtime: &wasmtime::Engine, ticker: &Arc<Ticker>) -> std::io::Result<()> {
    let engine = wasmtime.weak();
    let weak = Arc::downgrade(ticker);
    let handle = std::thread::Builder::new()
        .name("epoch".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || tick(&engine, &weak))?;
    let _ = ticker.thread.set(handle.thread().clone());
    Ok(())
}

fn tick(engine: &wasmtime::EngineWeak, ticker: &Weak<Ticker>) {
    let mut idle = 0;
    loop {
        let Some(alive) = ticker.upgrade() else {
            return;
        };
        idle = if alive.running.load(Ordering::SeqCst) == 0 {
            idle + 1
        } else {
            0
        };
        let sleeps = idle > IDLE_TICKS;
        if sleeps {
            alive.asleep.store(true, Ordering::SeqCst);
            // A guest that came in just now saw no sleeper: look once more before sleeping.
            if alive.running.load(Ordering::SeqCst) > 0 {
                alive.asleep.store(false, Ordering::SeqCst);
                continue;
            }
        }
        drop(alive);
        if sleeps {
            std::thread::park();
            idle = 0;
            if let Some(alive) = ticker.upgrade() {
                alive.asleep.store(false, Ordering::SeqCst);
            }
        } else {
            std::thread::sleep(TICK);
        }
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}

impl Drop for EngineInner {
    fn drop(&mut self) {
        self.ticker.wake();
    }
}
