//! Tests that are short in `make test` and long in `make soak`: how much they do, and random moments that can be repeated.

use std::env;
use std::fmt::Debug;
use std::str::FromStr;
use std::time::UNIX_EPOCH;

/// How much of something is done: the environment's number, else that of `make test`.
///
/// # Panics
/// When the variable is no number.
pub fn amount<T: FromStr<Err: Debug>>(variable: &str, short: T) -> T {
    match env::var(variable) {
        Ok(value) => value.parse().expect("an amount is a number"),
        Err(_) => short,
    }
}

/// Numbers that look random (xorshift), the same for the same seed.
#[derive(Debug)]
pub struct Chance {
    seed: u64,
    state: u64,
}

impl Default for Chance {
    fn default() -> Self {
        Self::new()
    }
}

impl Chance {
    /// From the seed `WASM_EDGE_SOAK_SEED`, else from one of the clock.
    pub fn new() -> Self {
        let of_clock = UNIX_EPOCH.elapsed().unwrap_or_default().subsec_nanos();
        Self::of(amount("WASM_EDGE_SOAK_SEED", u64::from(of_clock)))
    }

    /// From this seed, as one of several of a test, whose seed is printed.
    pub fn of(seed: u64) -> Self {
        Self {
            seed,
            state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        }
    }

    /// What a failing test prints, so that it can be repeated.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The next number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 16) % bound
    }
}
