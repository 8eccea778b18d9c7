//! What can be read of the machine, from files in the forms that Linux writes (proc(5), and `Documentation/driver-api/thermal`).

use std::fs;

use serde::{Deserialize, Serialize};
use wasm_edge_sdk::{Value, json};

/// A value that can be read; its name says the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Field {
    Load1,
    Load5,
    Load15,
    MemoryUsedPercent,
    MemoryAvailableBytes,
    TemperatureCelsius,
}

impl Field {
    pub(crate) const ALL: [Self; 6] = [
        Self::Load1,
        Self::Load5,
        Self::Load15,
        Self::MemoryUsedPercent,
        Self::MemoryAvailableBytes,
        Self::TemperatureCelsius,
    ];

    fn file(self) -> &'static str {
        match self {
            Self::Load1 | Self::Load5 | Self::Load15 => "/proc/loadavg",
            Self::MemoryUsedPercent | Self::MemoryAvailableBytes => "/proc/meminfo",
            Self::TemperatureCelsius => "/sys/class/thermal/thermal_zone0/temp",
        }
    }

    /// Reads the value now, or says why it cannot be read.
    pub(crate) fn read(self) -> Result<Value, String> {
        let file = self.file();
        let text =
            fs::read_to_string(file).map_err(|err| format!("cannot read `{file}`: {err}"))?;
        self.parse(&text)
            .ok_or_else(|| format!("`{file}` is not of the form expected"))
    }

    fn parse(self, text: &str) -> Option<Value> {
        Some(match self {
            Self::Load1 => json!(load(text, 0)?),
            Self::Load5 => json!(load(text, 1)?),
            Self::Load15 => json!(load(text, 2)?),
            Self::MemoryUsedPercent => json!(memory_used_percent(text)?),
            Self::MemoryAvailableBytes => json!(memory_bytes(text, "MemAvailable:")?),
            // The kernel writes thousandths of a degree.
            Self::TemperatureCelsius => json!(text.trim().parse::<f64>().ok()? / 1000.0),
        })
    }
}

fn load(text: &str, column: usize) -> Option<f64> {
    text.split_whitespace().nth(column)?.parse().ok()
}

/// What is not available of the whole, with one digit behind the point.
fn memory_used_percent(text: &str) -> Option<f64> {
    let total = memory_bytes(text, "MemTotal:")?;
    let available = memory_bytes(text, "MemAvailable:")?;
    let permille = (total.checked_sub(available)?.checked_mul(1000)?).checked_div(total)?;
    Some(permille as f64 / 10.0)
}

fn memory_bytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str =
        "MemTotal:        1000 kB\nMemFree:          10 kB\nMemAvailable:     250 kB\n";

    fn check(field: Field, text: &str, expected: Option<Value>) {
        assert_eq!(field.parse(text), expected, "{field:?} of {text:?}");
    }

    #[test]
    fn the_kernels_forms_are_read() {
        check(
            Field::Load1,
            "0.41 0.30 0.25 1/90 1868\n",
            Some(json!(0.41)),
        );
        check(
            Field::Load15,
            "0.41 0.30 0.25 1/90 1868\n",
            Some(json!(0.25)),
        );
        check(Field::MemoryUsedPercent, MEMINFO, Some(json!(75.0)));
        check(Field::MemoryAvailableBytes, MEMINFO, Some(json!(256_000)));
        check(Field::TemperatureCelsius, "48312\n", Some(json!(48.312)));
    }

    #[test]
    fn other_forms_are_no_value() {
        check(Field::Load5, "0.41\n", None);
        check(
            Field::MemoryUsedPercent,
            "MemTotal: 0 kB\nMemAvailable: 0 kB\n",
            None,
        );
        check(Field::MemoryAvailableBytes, "MemAvailable: 250\n", None);
        check(Field::TemperatureCelsius, "", None);
    }
}
