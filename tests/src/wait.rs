//! Waiting for something to be so.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

/// After this a wait has failed. Generous, since test machines are slow and shared; no test measures by it.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How often is looked.
pub const LOOK_EVERY: Duration = Duration::from_millis(15);

/// Looks until there is something.
///
/// # Panics
/// When there is nothing within [`LIMIT`].
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    try_until(look).unwrap_or_else(|| panic!("waited {} s in vain: {what}", LIMIT.as_secs()))
}

/// Looks until there is something, for those who say more of a wait in vain.
pub fn try_until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if begun.elapsed() >= LIMIT {
            return None;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Looks until it is so.
///
/// # Panics
/// When it is not within [`LIMIT`].
pub fn until_so(what: &str, mut look: impl FnMut() -> bool) {
    until(what, || look().then_some(()));
}

/// A port of 127.0.0.1 on which nobody listens.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}
