//! Time as the device's parts see it: the machine's own, or a virtual one that a test bed moves.
//!
//! Runtime, router and daemon read the time and wait here and nowhere else. On a thread that has entered a
//! `virtual_clock::VirtualClock` they get its time; on any other thread, and in a build without the feature
//! `virtual`, every function is tokio's own. As with tokio's time, which clock it is depends on the thread, so
//! that no part has to carry it around: a test bed runs all its tasks on one thread.

#[cfg(feature = "virtual")]
pub mod virtual_clock;

mod alarm;

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

pub use alarm::Alarm;

/// The time was over before the work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// The present time on the monotonic clock.
pub fn now() -> Instant {
    #[cfg(feature = "virtual")]
    if let Some(clock) = virtual_clock::current() {
        return clock.now();
    }
    Instant::now()
}

/// The present time on the wall clock.
pub fn wall_now() -> SystemTime {
    #[cfg(feature = "virtual")]
    if let Some(clock) = virtual_clock::current() {
        return clock.wall_now();
    }
    SystemTime::now()
}

/// Whether the time of this thread is virtual.
pub fn is_virtual() -> bool {
    #[cfg(feature = "virtual")]
    return virtual_clock::current().is_some();
    #[cfg(not(feature = "virtual"))]
    false
}

/// Waits so long.
///
/// # Cancel safety
/// It holds nothing.
pub async fn sleep(time: Duration) {
    #[cfg(feature = "virtual")]
    if let Some(clock) = virtual_clock::current() {
        return clock.until(clock.now() + time).await;
    }
    tokio::time::sleep(time).await;
}

/// Waits until then.
///
/// # Cancel safety
/// It holds nothing.
pub async fn sleep_until(at: Instant) {
    #[cfg(feature = "virtual")]
    if let Some(clock) = virtual_clock::current() {
        return clock.until(at).await;
    }
    tokio::time::sleep_until(at).await;
}

/// Waits for the work, at most so long.
///
/// # Errors
/// [`Elapsed`].
///
/// # Cancel safety
/// That of the work.
pub async fn timeout<F: Future>(time: Duration, work: F) -> Result<F::Output, Elapsed> {
    first(work, sleep(time)).await
}

/// Waits for the work, at most until then.
///
/// # Errors
/// [`Elapsed`].
///
/// # Cancel safety
/// That of the work.
pub async fn timeout_at<F: Future>(at: Instant, work: F) -> Result<F::Output, Elapsed> {
    first(work, sleep_until(at)).await
}

/// The work's output, unless the time is over first; work that is done when the time is over counts.
async fn first<F: Future>(work: F, over: impl Future<Output = ()>) -> Result<F::Output, Elapsed> {
    let (mut work, mut over) = (pin!(work), pin!(over));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        over.as_mut().poll(cx).map(|()| Err(Elapsed))
    })
    .await
}

/// Work is under way that nobody but its own task can see: virtual time stands still until this is dropped.
///
/// A guest that runs, a file that is written by another thread. On the machine's own time it is nothing.
#[must_use = "dropped, time may go on"]
#[derive(Debug)]
pub struct Hold {
    #[cfg(feature = "virtual")]
    clock: Option<virtual_clock::VirtualClock>,
}

/// Inside a [`Hold`], a wait that time has to go on for, until this is dropped.
#[must_use = "dropped, time stands still again"]
#[derive(Debug)]
pub struct Release {
    #[cfg(feature = "virtual")]
    clock: Option<virtual_clock::VirtualClock>,
}

/// Holds virtual time.
pub fn hold() -> Hold {
    #[cfg(feature = "virtual")]
    {
        let clock = virtual_clock::current();
        clock.iter().for_each(virtual_clock::VirtualClock::hold);
        Hold { clock }
    }
    #[cfg(not(feature = "virtual"))]
    Hold {}
}

/// Lets virtual time go on inside a hold.
pub fn release() -> Release {
    #[cfg(feature = "virtual")]
    {
        let clock = virtual_clock::current();
        clock.iter().for_each(virtual_clock::VirtualClock::let_go);
        Release { clock }
    }
    #[cfg(not(feature = "virtual"))]
    Release {}
}

#[cfg(feature = "virtual")]
impl Drop for Hold {
    fn drop(&mut self) {
        self.clock
            .iter()
            .for_each(virtual_clock::VirtualClock::let_go);
    }
}

#[cfg(feature = "virtual")]
impl Drop for Release {
    fn drop(&mut self) {
        self.clock
            .iter()
            .for_each(virtual_clock::VirtualClock::hold);
    }
}
