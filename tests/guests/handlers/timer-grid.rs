//! A timer whose handler takes longer than its period, and three that are due once while it is busy.
//!
//! Each tick of `grid` is answered with how many periods it stands for so far, missed ones included, and with the least and the most that this may be:
//! the whole periods until the handler before it had ended, and until now.

use std::time::{Duration, Instant};

use test_guests::answer;
use wasm_edge_sdk::timer::{self, Tick};
use wasm_edge_sdk::{Result, json, module};

const PERIOD: Duration = Duration::from_millis(30);

/// How long each handler keeps the module busy: no multiple of the period.
const BUSY: Duration = Duration::from_millis(100);

#[derive(Default)]
struct TimerGrid {
    /// Before and after the timer was started.
    started: Option<(Instant, Instant)>,
    periods: u64,
    free_since: Option<Instant>,
}

#[module]
impl TimerGrid {
    fn init(&mut self) -> Result {
        let before = Instant::now();
        timer::every("grid", PERIOD)?;
        self.started = Some((before, Instant::now()));
        for (name, after) in [("a", 20), ("b", 10), ("c", 40)] {
            timer::once(name, Duration::from_millis(after))?;
        }
        let begun = Instant::now();
        while begun.elapsed() < BUSY {}
        Ok(())
    }

    fn timer(&mut self, tick: Tick) -> Result {
        let now = Instant::now();
        if tick.name != "grid" {
            return answer(&json!({ "once": tick.name, "missed": tick.missed }));
        }
        let Some((before, after)) = self.started else {
            return Ok(());
        };
        self.periods += 1 + tick.missed;
        let free_since = self.free_since.unwrap_or(after);
        let told = json!({
            "periods": self.periods,
            "missed": tick.missed,
            "least": whole(free_since.duration_since(after)),
            "most": whole(now.duration_since(before)),
        });
        while now.elapsed() < BUSY {}
        self.free_since = Some(Instant::now());
        answer(&told)
    }
}

fn whole(time: Duration) -> u128 {
    time.as_nanos() / PERIOD.as_nanos()
}
