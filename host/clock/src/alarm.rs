//! A wait that is kept and set anew, for those that look at several things with each poll.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

/// Goes off at a time, which may be changed; made once, it needs no memory for each wait.
pub struct Alarm {
    at: Instant,
    inner: Inner,
}

enum Inner {
    Real(Pin<Box<Sleep>>),
    #[cfg(feature = "virtual")]
    Virtual(crate::virtual_clock::VirtualClock, Until),
}

#[cfg(feature = "virtual")]
type Until = crate::virtual_clock::Until;

impl Alarm {
    /// Goes off then.
    pub fn at(at: Instant) -> Self {
        #[cfg(feature = "virtual")]
        if let Some(clock) = crate::virtual_clock::current() {
            let until = clock.until(at);
            return Self {
                at,
                inner: Inner::Virtual(clock, until),
            };
        }
        Self {
            at,
            inner: Inner::Real(Box::pin(tokio::time::sleep_until(at))),
        }
    }

    /// Ready once the time, which is set to `at`, has come.
    pub fn poll_at(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let changed = std::mem::replace(&mut self.at, at) != at;
        match &mut self.inner {
            Inner::Real(sleep) => {
                if changed {
                    sleep.as_mut().reset(at);
                }
                sleep.as_mut().poll(cx)
            }
            #[cfg(feature = "virtual")]
            Inner::Virtual(clock, until) => {
                if changed {
                    *until = clock.until(at);
                }
                Pin::new(until).poll(cx)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_alarm_goes_off_at_the_time_that_was_set_last() {
        let start = Instant::now();
        let mut alarm = Alarm::at(start + Duration::from_secs(100));
        let at = start + Duration::from_secs(5);
        std::future::poll_fn(|cx| alarm.poll_at(at, cx)).await;
        assert_eq!(Instant::now().duration_since(start).as_secs(), 5);
        let at = start + Duration::from_secs(7);
        std::future::poll_fn(|cx| alarm.poll_at(at, cx)).await;
        assert_eq!(Instant::now().duration_since(start).as_secs(), 7);
    }
}
