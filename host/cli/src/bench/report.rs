//! What `bench` found, as a table and as JSON.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use super::rows::{ROWS, Row};
use crate::output::Output;
use crate::output::table::{Align, Table};

/// Version of the JSON form.
const FORMAT: u32 = 1;

/// One measured row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    /// What was measured.
    pub(super) row: &'static Row,
    /// What came out: the middle one of the samples.
    pub(super) value: f64,
    /// All that were taken, in order of time.
    pub(super) samples: Vec<f64>,
    /// What the value is compared with, measured in the same run in the row's unit.
    pub(super) baseline: Option<Baseline>,
}

/// What a figure is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Baseline {
    /// What it is.
    pub(super) what: &'static str,
    /// What it came to.
    pub(super) value: f64,
}

/// Where the figures come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// Processors that this process may use.
    pub(super) cores: usize,
    /// The kernel's name, release and machine.
    pub(super) kernel: String,
    /// Whether this is a build for measuring.
    pub(super) optimised: bool,
}

/// Writes the figures to `file`, if one is named, and prints them: `json` as it is, or a table.
pub(super) fn tell(
    json: &Value,
    figures: &[Figure],
    file: Option<&Path>,
    output: &Output,
) -> anyhow::Result<()> {
    if let Some(file) = file {
        let text = serde_json::to_string_pretty(json)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    match output.is_json() {
        true => output.json(json)?,
        false => output.table(&table(figures))?,
    }
    Ok(())
}

impl Figure {
    /// A figure of these samples, of which there is at least one.
    pub(super) fn new(row: &'static Row, samples: Vec<f64>) -> Self {
        Self {
            row,
            value: median(&samples),
            samples,
            baseline: None,
        }
    }

    /// With what it is compared with.
    pub(super) fn against(mut self, what: &'static str, samples: &[f64]) -> Self {
        self.baseline = Some(Baseline {
            what,
            value: median(samples),
        });
        self
    }

    /// The value over the budget, or the other way round where more is better: at most 1 keeps the budget.
    fn of_budget(&self) -> Option<f64> {
        self.row
            .budget
            .map(|budget| match self.row.unit.more_is_better() {
                true => budget / self.value,
                false => self.value / budget,
            })
    }

    /// The value over the baseline's.
    fn of_baseline(&self) -> Option<f64> {
        self.baseline
            .as_ref()
            .map(|baseline| self.value / baseline.value)
    }

    fn to_json(&self) -> Value {
        json!({
            "row": self.row.id,
            "what": self.row.what,
            "unit": self.row.unit.as_str(),
            "value": self.value,
            "samples": self.samples,
            "budget": self.row.budget,
            "ofBudget": self.of_budget(),
            "baseline": self.baseline.as_ref().map(|baseline| json!({
                "what": baseline.what,
                "value": baseline.value,
            })),
            "ofBaseline": self.of_baseline(),
        })
    }
}

impl Machine {
    /// The machine of this process.
    pub(super) fn of_this_process() -> Self {
        let name = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: [name.sysname(), name.release(), name.machine()]
                .map(text)
                .join(" "),
            optimised: !cfg!(debug_assertions),
        }
    }
}

/// The JSON form of all figures.
pub(super) fn to_json(machine: &Machine, figures: &[Figure]) -> Value {
    json!({
        "format": FORMAT,
        "version": env!("CARGO_PKG_VERSION"),
        "cores": machine.cores,
        "kernel": machine.kernel,
        "optimised": machine.optimised,
        "figures": figures.iter().map(Figure::to_json).collect::<Vec<_>>(),
    })
}

/// The figures as a table.
pub(super) fn table(figures: &[Figure]) -> Table {
    let mut table = Table::new(&[
        ("ROW", Align::Left),
        ("VALUE", Align::Right),
        ("UNIT", Align::Left),
        ("BUDGET", Align::Right),
        ("OF BUDGET", Align::Right),
        ("BASELINE", Align::Right),
        ("RATIO", Align::Right),
        ("BASELINE IS", Align::Left),
    ]);
    for figure in figures {
        let baseline = figure.baseline.as_ref();
        table.row([
            figure.row.id.to_owned(),
            number(figure.value),
            figure.row.unit.as_str().to_owned(),
            figure.row.budget.map(number).unwrap_or_default(),
            figure.of_budget().map(ratio).unwrap_or_default(),
            baseline
                .map(|baseline| number(baseline.value))
                .unwrap_or_default(),
            figure.of_baseline().map(ratio).unwrap_or_default(),
            baseline
                .map(|baseline| baseline.what.to_owned())
                .unwrap_or_default(),
        ]);
    }
    table
}

/// What can be measured, without figures.
pub(super) fn list() -> Table {
    let mut table = Table::new(&[
        ("ROW", Align::Left),
        ("BUDGET", Align::Right),
        ("UNIT", Align::Left),
        ("WHAT", Align::Left),
    ]);
    for row in &ROWS {
        table.row([
            row.id.to_owned(),
            row.budget.map(number).unwrap_or_default(),
            row.unit.as_str().to_owned(),
            row.what.to_owned(),
        ]);
    }
    table
}

/// Three digits and the thousands apart.
fn number(value: f64) -> String {
    let digits = match value {
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

/// The middle of the samples; the mean of both where there are two.
fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length.is_multiple_of(2) => (sorted[length / 2 - 1] + sorted[length / 2]) / 2.0,
        length => sorted[length / 2],
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows;
    use super::*;

    fn figure(id: &str, samples: &[f64]) -> Figure {
        Figure::new(rows::find(id).unwrap(), samples.to_vec())
    }

    #[test]
    fn the_middle_counts() {
        let check = |samples: &[f64], expected: f64| {
            assert_eq!(median(samples), expected, "{samples:?}");
        };
        check(&[3.0], 3.0);
        check(&[9.0, 1.0, 2.0], 2.0);
        check(&[4.0, 1.0, 2.0, 100.0], 3.0);
    }

    #[test]
    fn a_ratio_to_the_budget_of_at_most_one_keeps_it_whichever_way_is_better() {
        assert_eq!(figure("start-warm", &[10.0]).of_budget(), Some(0.5));
        assert_eq!(figure("pair-64B", &[600_000.0]).of_budget(), Some(0.5));
        assert_eq!(figure("start-cold", &[10.0]).of_budget(), None);
    }

    #[test]
    fn the_table_has_the_value_the_budget_and_the_ratio() {
        let figures = [
            figure("restart", &[512.3]),
            figure("filter-1KB", &[80_000.0]).against("native", &[100_000.0]),
        ];
        let expected = "\
ROW          VALUE  UNIT        BUDGET  OF BUDGET  BASELINE  RATIO  BASELINE IS
restart        512  µs           1,000       0.51         -      -  -
filter-1KB  80,000  messages/s       -          -   100,000   0.80  native
";
        assert_eq!(table(&figures).render(false), expected);
    }

    #[test]
    fn numbers_have_three_digits_and_groups() {
        let check = |value, expected| assert_eq!(number(value), expected);
        check(0.5, "0.50");
        check(12.34, "12.3");
        check(123.4, "123");
        check(1234.0, "1,234");
        check(1_234_567.0, "1,234,567");
    }
}
