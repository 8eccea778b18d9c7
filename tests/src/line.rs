//! A line between a device and its hub that a test has in its hand: it can be cut, be silent, be slow, and break in the
//! middle of what it carries.
//!
//! It carries bytes of TCP to a port of this machine, which may change while it runs, and knows nothing of what they
//! mean. What is on its way through it when it is cut is lost, as on a wire.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// How much is carried at once.
const PIECE_BYTES: usize = 2048;

/// How long a silent line looks at nothing but whether it was cut.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a line does with what it is to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Carries it at once.
    Whole,
    /// Carries each piece after this time.
    Slow(Duration),
    /// Takes connections and carries nothing, as a network that drops packets.
    Silent,
    /// Ends connections as they come.
    Cut,
    /// Carries so many bytes, of all connections and both ways together, and then ends those that there are; new ones
    /// are carried whole.
    Torn(u64),
}

/// A line; dropping it ends what it carries.
#[derive(Debug)]
pub struct Line {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    conduct: Conduct,
    target: u16,
    /// Both ends of each connection that is carried, by number.
    open: BTreeMap<u64, [TcpStream; 2]>,
    accepted: u64,
    carried_bytes: u64,
    ended: bool,
}

impl Line {
    /// A line to a port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is no port for it.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                conduct: Conduct::Whole,
                target,
                open: BTreeMap::new(),
                accepted: 0,
                carried_bytes: 0,
                ended: false,
            }),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(&listener));
        Self { port, shared }
    }

    /// The port of 127.0.0.1 where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on it does so; when it is cut, what it carries ends.
    pub fn set(&self, conduct: Conduct) {
        let mut state = self.shared.state();
        state.conduct = conduct;
        if conduct == Conduct::Cut {
            state.end_all();
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Ends what it carries; new connections are carried as before.
    pub fn break_all(&self) {
        self.shared.state().end_all();
    }

    /// From now on connections lead to another port.
    pub fn lead_to(&self, target: u16) {
        self.shared.state().target = target;
        self.break_all();
    }

    /// How many connections it took.
    pub fn connections(&self) -> u64 {
        self.shared.state().accepted
    }

    /// How many bytes it carried, both ways.
    pub fn carried_bytes(&self) -> u64 {
        self.shared.state().carried_bytes
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.ended = true;
        state.end_all();
        drop(state);
        self.shared.changed.notify_all();
        // Who accepts is woken up by a last connection.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let mut state = self.state();
            if state.ended {
                return;
            }
            state.accepted += 1;
            if state.conduct == Conduct::Cut {
                continue;
            }
            let number = state.accepted;
            let target = state.target;
            drop(state);
            let shared = Arc::clone(&self);
            // A hub that does not run takes no connection, and the device sees that its own ends.
            thread::spawn(move || shared.carry(number, stream, target));
        }
    }

    /// Carries one connection until an end of it closes, or the line is cut.
    fn carry(self: Arc<Self>, number: u64, near: TcpStream, target: u16) {
        // Also what is sent before it is whole again is for the hub.
        if !self.wait_carrying(PIECE_BYTES, None) {
            return;
        }
        let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else {
            return;
        };
        let (Ok(near_end), Ok(far_end)) = (near.try_clone(), far.try_clone()) else {
            return;
        };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let mut state = self.state();
        if state.ended || state.conduct == Conduct::Cut {
            return;
        }
        state.open.insert(number, [near_end, far_end]);
        drop(state);
        let back = {
            let (shared, from, to) = (Arc::clone(&self), far.try_clone(), near.try_clone());
            thread::spawn(move || {
                if let (Ok(from), Ok(to)) = (from, to) {
                    shared.pump(number, from, to);
                }
            })
        };
        self.pump(number, near, far);
        let _ = back.join();
        self.state().open.remove(&number);
    }

    /// Carries one way of a connection.
    fn pump(&self, number: u64, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = [0; PIECE_BYTES];
        loop {
            let size = match from.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(size) => size,
            };
            if !self.wait_carrying(size, Some(number)) || write(&mut to, &piece[..size]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    /// Waits until so many bytes may be carried, those of a connection; false when they are lost.
    fn wait_carrying(&self, size: usize, number: Option<u64>) -> bool {
        let come = Instant::now();
        let mut state = self.state();
        loop {
            let lost = number.is_some_and(|number| !state.open.contains_key(&number));
            if state.ended || lost {
                return false;
            }
            let wait = match state.conduct {
                Conduct::Cut => return false,
                Conduct::Whole => Duration::ZERO,
                Conduct::Silent => LOOK_EVERY,
                Conduct::Slow(time) => time.saturating_sub(come.elapsed()),
                Conduct::Torn(left) if number.is_some() => match left.checked_sub(size as u64) {
                    Some(left) => {
                        state.conduct = Conduct::Torn(left);
                        Duration::ZERO
                    }
                    None => {
                        state.conduct = Conduct::Whole;
                        state.end_all();
                        return false;
                    }
                },
                Conduct::Torn(_) => Duration::ZERO,
            };
            if wait.is_zero() {
                state.carried_bytes += size as u64;
                return true;
            }
            let waited = self.changed.wait_timeout(state, wait);
            state = waited.expect("nobody panics with it").0;
        }
    }
}

impl State {
    fn end_all(&mut self) {
        for (_, ends) in std::mem::take(&mut self.open) {
            for end in ends {
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }
}

fn write(to: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}
