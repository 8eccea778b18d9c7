//! A program under test: its `main` on a thread of its own, which takes turns with the test's.
//!
//! The program has its turn until it waits for an event that is not there; then the test goes on.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::host::messages::Held;
use super::record::{Outcome, Sent};
use super::world::{self, State, World};
use crate::bindings::{timer, twin};
use crate::methods::Response;

/// How long a program may take, in real time, until it waits for the next event: beyond it, it is taken for one that loops for ever.
const TURN_MAX: Duration = Duration::from_secs(60);

/// A program with a loop of its own, for [`Harness::program`](super::Harness::program).
pub struct Program {
    main: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    thread: Option<(JoinHandle<()>, Arc<World>)>,
}

/// What `main` may answer.
pub trait MainAnswer {
    #[doc(hidden)]
    fn into_result(self) -> Result<(), String>;
}

impl MainAnswer for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: fmt::Display> MainAnswer for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(|err| err.to_string())
    }
}

/// What the two threads tell each other.
#[derive(Default)]
pub(super) struct Board {
    events: VecDeque<Happening>,
    /// The program waits, until this instant of the clock or for ever.
    idle: Option<Until>,
    ended: Option<Outcome>,
    /// The test has let go of it.
    killed: bool,
    /// What became of each message, in the order in which they were handed over.
    pub(super) deliveries: Vec<Delivered>,
    /// The answer to each method, likewise.
    pub(super) responses: Vec<Option<Response>>,
}

/// What a program did with a message that it was handed.
pub(super) struct Delivered {
    pub(super) outcome: Outcome,
    pub(super) staged: Vec<Sent>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    Instant(Duration),
    Ever,
}

/// An event as the test gives it; the program's side makes the resources.
pub(super) enum Happening {
    Message {
        number: usize,
        held: Arc<Held>,
    },
    Desired(twin::DesiredUpdate),
    Method {
        number: usize,
        name: String,
        payload: String,
    },
    Timer(timer::Tick),
    Shutdown(u32),
}

/// The payload of the unwinding that ends a program which the test has let go of.
struct Killed;

impl Board {
    pub(super) fn ended(&self) -> Option<&Outcome> {
        self.ended.as_ref()
    }

    pub(super) fn offer(&mut self, happening: Happening) {
        self.events.push_back(happening);
    }

    /// Hands a message over, and gives its number.
    pub(super) fn offer_message(&mut self, held: Arc<Held>) -> usize {
        let number = self.deliveries.len();
        self.deliveries.push(Delivered {
            outcome: Outcome::Kept,
            staged: Vec::new(),
        });
        self.offer(Happening::Message { number, held });
        number
    }

    /// Calls a method, and gives its number.
    pub(super) fn offer_method(&mut self, name: String, payload: String) -> usize {
        let number = self.responses.len();
        self.responses.push(None);
        self.offer(Happening::Method {
            number,
            name,
            payload,
        });
        number
    }

    /// Whether `next` would find nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// A delivery that was not ended yet.
    pub(super) fn open_delivery(&mut self, number: usize) -> Option<&mut Delivered> {
        let delivered = self.deliveries.get_mut(number)?;
        (delivered.outcome == Outcome::Kept).then_some(delivered)
    }

    /// Notes how `main` ended. A message that it panicked over is a failed try.
    fn end(&mut self, outcome: Outcome) {
        if matches!(outcome, Outcome::Trapped(_)) {
            let kept = self.deliveries.iter_mut();
            for delivered in kept.filter(|delivered| delivered.outcome == Outcome::Kept) {
                delivered.outcome = outcome.clone();
            }
        }
        self.ended = Some(outcome);
    }

    /// When the program stops waiting by itself.
    pub(super) fn wakes_at(&self) -> Option<Duration> {
        match self.idle {
            Some(Until::Instant(instant)) => Some(instant),
            _ => None,
        }
    }

    /// Whether the program waits, and goes on waiting.
    fn is_still(&self, now: Duration) -> bool {
        let waits = match self.idle {
            Some(Until::Instant(instant)) => instant > now,
            Some(Until::Ever) => true,
            None => false,
        };
        waits && self.events.is_empty()
    }
}

impl Program {
    pub(super) fn new<A: MainAnswer>(main: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self {
            main: Arc::new(move || main().into_result()),
            thread: None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.thread.is_some()
    }

    pub(super) fn start(&mut self, world: &Arc<World>) {
        {
            let mut state = world.lock();
            state.board = Board::default();
        }
        let (main, world) = (Arc::clone(&self.main), Arc::clone(world));
        let entered = Arc::clone(&world);
        let run = move || {
            let outcome = match entered.enter(|| main()) {
                Ok(Ok(())) => Outcome::Done,
                Ok(Err(text)) => Outcome::Failed(text),
                Err(payload) if is_killed(payload.as_ref()) => Outcome::Done,
                Err(_) => entered.trapped(),
            };
            entered.lock().board.end(outcome);
            entered.turn.notify_all();
        };
        let builder = thread::Builder::new().name("program under test".to_owned());
        let thread = builder.spawn(run).expect("a test can start a thread");
        self.thread = Some((thread, world));
    }

    /// Gives the program its turn: until it waits, or has ended.
    #[track_caller]
    pub(super) fn take_turn<'a>(
        world: &'a World,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        world.turn.notify_all();
        loop {
            if state.board.ended.is_some() || state.board.is_still(state.now) {
                return state;
            }
            let waited = world.turn.wait_timeout(state, TURN_MAX);
            let (locked, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = locked;
            assert!(
                !timeout.timed_out(),
                "the program has not waited for an event for {} s",
                TURN_MAX.as_secs()
            );
        }
    }

    /// Ends the thread, wherever it waits; how `main` ended is the board's to say.
    pub(super) fn stop(&mut self) {
        if let Some(thread) = self.kill() {
            // Its panics ended inside.
            let _ = thread.join();
        }
    }

    fn kill(&mut self) -> Option<JoinHandle<()>> {
        let (thread, world) = self.thread.take()?;
        world.lock().board.killed = true;
        world.turn.notify_all();
        Some(thread)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Not joined: where it loops for ever the test is to fail, not to wait.
        self.kill();
    }
}

fn is_killed(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Killed>()
}

/// The program's side of waiting: the next event, or `None` when the time is over.
pub(super) fn next(timeout: Option<Duration>) -> Option<(Arc<World>, Happening)> {
    let world = world::current();
    let happening = wait(&world, timeout).board.events.pop_front()?;
    Some((world, happening))
}

/// Waits until there is an event, and leaves it there.
pub(super) fn wait<'a>(world: &'a World, timeout: Option<Duration>) -> MutexGuard<'a, State> {
    let mut state = world.lock();
    let until = match timeout {
        Some(timeout) => Until::Instant(state.now + timeout),
        None => Until::Ever,
    };
    loop {
        if state.board.killed {
            drop(state);
            panic::resume_unwind(Box::new(Killed));
        }
        let is_over = matches!(until, Until::Instant(instant) if instant <= state.now);
        if !state.board.events.is_empty() || is_over {
            state.board.idle = None;
            return state;
        }
        state.board.idle = Some(until);
        world.turn.notify_all();
        state = world.wait(state);
    }
}
