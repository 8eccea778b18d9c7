//! The machine that is simulated: it warms up, and its pressure with it, until it starts again from cold.

use serde::Serialize;

/// A machine that is cold, and one that has to start again, in degrees Celsius.
const TEMPERATURE_MIN: f64 = 21.0;
const TEMPERATURE_MAX: f64 = 100.0;

/// The pressure that goes with these, in bar.
const PRESSURE_MIN: f64 = 1.0;
const PRESSURE_MAX: f64 = 10.0;

/// What a step adds to the temperature: at least, and at most so much more.
const STEP_MIN: f64 = -0.25;
const STEP_SPAN: f64 = 1.5;

/// Around the machine, in degrees Celsius and percent.
const AMBIENT_TEMPERATURE: f64 = 21.0;
const AMBIENT_HUMIDITY: f64 = 25.0;

/// One reading, in the form of the tutorial's sensor.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reading {
    pub(crate) machine: Machine,
    pub(crate) ambient: Ambient,
    /// RFC 3339, UTC.
    pub(crate) time_created: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Machine {
    pub(crate) temperature: f64,
    pub(crate) pressure: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Ambient {
    pub(crate) temperature: f64,
    pub(crate) humidity: f64,
}

pub(crate) struct Simulation {
    temperature: f64,
    chance: Chance,
}

impl Simulation {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            temperature: TEMPERATURE_MIN,
            chance: Chance(seed | 1),
        }
    }

    /// The machine is cold again.
    pub(crate) fn reset(&mut self) {
        self.temperature = TEMPERATURE_MIN;
    }

    /// The machine as it is.
    pub(crate) fn machine(&self) -> Machine {
        let warm = (self.temperature - TEMPERATURE_MIN) / (TEMPERATURE_MAX - TEMPERATURE_MIN);
        Machine {
            temperature: rounded(self.temperature),
            pressure: rounded(PRESSURE_MIN + warm * (PRESSURE_MAX - PRESSURE_MIN)),
        }
    }

    /// What is around it.
    pub(crate) fn ambient(&mut self) -> Ambient {
        let mut around = |middle: f64| rounded(middle + self.chance.next() - 0.5);
        Ambient {
            temperature: around(AMBIENT_TEMPERATURE),
            humidity: around(AMBIENT_HUMIDITY),
        }
    }

    /// Lets the machine run on for a while.
    pub(crate) fn step(&mut self) {
        self.temperature += STEP_MIN + STEP_SPAN * self.chance.next();
        if self.temperature > TEMPERATURE_MAX {
            self.reset();
        }
    }
}

/// Three digits behind the point are more than a sensor has.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Numbers that look like chance (xorshift); a simulation needs no better.
struct Chance(u64);

impl Chance {
    /// At least 0, and less than 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_warms_up_between_its_limits_and_starts_again() {
        let mut simulation = Simulation::new(7);
        let mut temperatures = Vec::new();
        for _ in 0..1_000 {
            simulation.step();
            let machine = simulation.machine();
            assert!((PRESSURE_MIN - 0.5..=PRESSURE_MAX).contains(&machine.pressure));
            let ambient = simulation.ambient();
            assert!((20.5..=21.5).contains(&ambient.temperature));
            assert!((24.5..=25.5).contains(&ambient.humidity));
            temperatures.push(machine.temperature);
        }
        let hottest = temperatures.iter().copied().fold(f64::MIN, f64::max);
        assert!((95.0..=TEMPERATURE_MAX).contains(&hottest), "{hottest}");
        let restarts = temperatures.windows(2).filter(|two| two[1] < two[0] - 50.0);
        assert!(restarts.count() > 2);
    }

    #[test]
    fn a_cold_machine_is_at_its_least() {
        let mut simulation = Simulation::new(1);
        let cold = Machine {
            temperature: 21.0,
            pressure: 1.0,
        };
        assert_eq!(simulation.machine(), cold);
        (0..20).for_each(|_| simulation.step());
        assert_ne!(simulation.machine(), cold);
        simulation.reset();
        assert_eq!(simulation.machine(), cold);
    }
}
