//! A clock that moves only when it is told to, and knows when nothing is left to do at its present time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

thread_local! {
    /// The clock that this thread has entered.
    static CURRENT: RefCell<Option<VirtualClock>> = const { RefCell::new(None) };
}

/// A virtual clock; clones are the same one.
#[derive(Clone, Debug)]
pub struct VirtualClock {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    started: Instant,
    wall_started: SystemTime,
    elapsed: Duration,
    /// Who waits, by time and then by who came first.
    waiting: BTreeMap<(Instant, u64), Waker>,
    next_id: u64,
    holds: usize,
    /// The thread found nothing to do since somebody asked.
    idle: bool,
    asking: Option<Waker>,
}

/// This thread is on virtual time until this is dropped.
#[must_use = "dropped, the thread is on the machine's own time again"]
#[derive(Debug)]
pub struct Entered {
    /// What a thread has entered, it leaves itself.
    not_send: PhantomData<*const ()>,
}

/// The clock of this thread.
pub(crate) fn current() -> Option<VirtualClock> {
    CURRENT.with_borrow(Clone::clone)
}

impl VirtualClock {
    /// A clock that stands at this wall-clock time.
    pub fn new(wall: SystemTime) -> Self {
        Self {
            shared: Arc::new(Mutex::new(State {
                started: Instant::now(),
                wall_started: wall,
                elapsed: Duration::ZERO,
                waiting: BTreeMap::new(),
                next_id: 0,
                holds: 0,
                idle: false,
                asking: None,
            })),
        }
    }

    /// Puts this thread on this clock.
    pub fn enter(&self) -> Entered {
        CURRENT.set(Some(self.clone()));
        Entered {
            not_send: PhantomData,
        }
    }

    /// The present time.
    pub fn now(&self) -> Instant {
        let state = self.lock();
        state.started + state.elapsed
    }

    /// The present time on the wall clock.
    pub fn wall_now(&self) -> SystemTime {
        let state = self.lock();
        state.wall_started + state.elapsed
    }

    /// When the next of those who wait is to go on.
    pub fn next_due(&self) -> Option<Instant> {
        self.lock().waiting.keys().next().map(|(at, _)| *at)
    }

    /// Moves on to this time, and wakes those who waited for it. The clock does not go back.
    pub fn move_to(&self, at: Instant) {
        let due = {
            let mut state = self.lock();
            state.elapsed = state.elapsed.max(at.duration_since(state.started));
            let now = state.started + state.elapsed;
            let later = state.waiting.split_off(&(now, u64::MAX));
            std::mem::replace(&mut state.waiting, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// To be called when the thread has nothing to do (tokio's `on_thread_park`): wakes who asks, unless time is held.
    pub fn parked(&self) {
        let asking = {
            let mut state = self.lock();
            if state.holds > 0 {
                return;
            }
            state.idle = true;
            state.asking.take()
        };
        if let Some(asking) = asking {
            asking.wake();
        }
    }

    /// Waits until nothing is left to do at the present time: each task waits for the clock, or for another.
    pub async fn idle(&self) {
        let mut asked = false;
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if asked && state.idle {
                return Poll::Ready(());
            }
            asked = true;
            state.idle = false;
            state.asking = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn until(&self, at: Instant) -> Until {
        Until {
            clock: self.clone(),
            at,
            id: None,
        }
    }

    pub(crate) fn hold(&self) {
        self.lock().holds += 1;
    }

    pub(crate) fn let_go(&self) {
        let mut state = self.lock();
        state.holds = state.holds.saturating_sub(1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// A wait for a time of a virtual clock.
#[derive(Debug)]
pub(crate) struct Until {
    clock: VirtualClock,
    at: Instant,
    id: Option<u64>,
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let mut state = this.clock.lock();
        if state.started + state.elapsed >= this.at {
            if let Some(id) = this.id.take() {
                state.waiting.remove(&(this.at, id));
            }
            return Poll::Ready(());
        }
        let id = *this.id.get_or_insert_with(|| {
            state.next_id += 1;
            state.next_id
        });
        state.waiting.insert((this.at, id), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Until {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.clock.lock().waiting.remove(&(self.at, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Runs work on virtual time, on this thread.
    fn on_virtual_time<F: Future>(work: impl FnOnce(VirtualClock) -> F) -> F::Output {
        let clock = VirtualClock::new(SystemTime::UNIX_EPOCH);
        let _entered = clock.enter();
        let parked = clock.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .on_thread_park(move || parked.parked())
            .build()
            .expect("a runtime");
        runtime.block_on(work(clock))
    }

    #[test]
    fn those_who_wait_go_on_in_the_order_of_their_times() {
        let order = on_virtual_time(async |clock| {
            let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
            for seconds in [3, 1, 2] {
                let tx = tx.clone();
                tokio::spawn(async move {
                    crate::sleep(seconds * SECOND).await;
                    let wall = crate::wall_now().duration_since(SystemTime::UNIX_EPOCH);
                    let _ = tx.send((seconds, wall.expect("after the epoch")));
                });
            }
            clock.idle().await;
            while let Some(due) = clock.next_due() {
                clock.move_to(due);
                clock.idle().await;
            }
            let mut order = Vec::new();
            while let Ok(next) = rx.try_recv() {
                order.push(next);
            }
            order
        });
        assert_eq!(order, [(1, SECOND), (2, 2 * SECOND), (3, 3 * SECOND)]);
    }

    #[test]
    fn idle_waits_for_work_that_is_held_in_another_thread() {
        let done = on_virtual_time(async |clock| {
            let (tx, rx) = tokio::sync::oneshot::channel();
            let (go, gone) = std::sync::mpsc::channel::<()>();
            let mut done = tokio::spawn(async move {
                let _hold = crate::hold();
                let work = tokio::task::spawn_blocking(move || gone.recv().is_ok());
                let _ = tx.send(());
                work.await.expect("no panic")
            });
            rx.await.expect("it began");
            let asked = clock.idle();
            let mut asked = std::pin::pin!(asked);
            // Nothing else is to do, and still it is not idle.
            let early = crate::first(&mut asked, std::future::ready(())).await;
            assert!(early.is_err());
            go.send(()).expect("it waits");
            asked.await;
            crate::first(&mut done, std::future::ready(())).await
        });
        assert!(matches!(done, Ok(Ok(true))));
    }

    #[test]
    fn a_timeout_is_over_when_the_clock_says_so_and_what_is_dropped_waits_no_more() {
        on_virtual_time(async |clock| {
            let waits = tokio::spawn(crate::timeout(SECOND, std::future::pending::<()>()));
            clock.idle().await;
            let dropped = clock.until(clock.now() + SECOND / 2);
            let mut dropped = Box::pin(dropped);
            assert!(
                crate::first(&mut dropped, std::future::ready(()))
                    .await
                    .is_err()
            );
            drop(dropped);
            let due = clock.next_due().expect("the timeout");
            assert_eq!(due.duration_since(clock.now()), SECOND);
            clock.move_to(due);
            assert_eq!(waits.await.expect("no panic"), Err(crate::Elapsed));
            assert_eq!(clock.next_due(), None);
        });
    }
}
