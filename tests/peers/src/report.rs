//! Figures as a table, and as JSON; beside them what `wasm-edge bench` measured in the same run.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Value, json};

use crate::load::{BODY_BYTES, Measured};
use crate::queue::Store;

/// The name under which the product's own figures stand.
const PRODUCT: &str = "wasm-edge";

/// What one of the compared came to with groups of one size: the middle of the samples, each figure by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figure {
    name: String,
    group: u64,
    samples: usize,
    measured: Measured,
}

/// Rounds of kill -9 that a store has passed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kills {
    store: &'static str,
    rounds: u64,
    opened_ms: f64,
}

impl Figure {
    /// Of the samples, of which there may be none.
    pub(crate) fn of(name: &str, group: u64, samples: Vec<Measured>) -> Option<Self> {
        let middle = |field: fn(&Measured) -> f64| {
            let mut values: Vec<f64> = samples.iter().map(field).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        Some(Self {
            name: name.to_owned(),
            group,
            samples: samples.len(),
            measured: Measured {
                append_per_s: middle(|it| it.append_per_s)?,
                drain_per_s: middle(|it| it.drain_per_s)?,
                append_p50_us: middle(|it| it.append_p50_us)?,
                append_p99_us: middle(|it| it.append_p99_us)?,
                append_written_ratio: middle(|it| it.append_written_ratio)?,
                written_ratio: middle(|it| it.written_ratio)?,
                full_kib: middle(|it| it.full_kib as f64)? as u64,
                drained_kib: middle(|it| it.drained_kib as f64)? as u64,
                memory_kib: middle(|it| it.memory_kib as f64)? as u64,
                lost_after_kill: samples.iter().filter_map(|it| it.lost_after_kill).max(),
            },
        })
    }
}

impl Kills {
    /// All rounds were passed.
    pub(crate) fn of(store: Store, rounds: u64, opened: Duration) -> Self {
        Self {
            store: store.name(),
            rounds,
            opened_ms: opened.as_secs_f64() * 1e3,
        }
    }
}

/// What `wasm-edge bench` wrote.
pub(crate) fn read_beside(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read `{}`", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("cannot read `{}`", file.display()))
}

/// The product's figures for groups of one size, of what `wasm-edge bench` measured.
fn product(bench: &Value, group: u64) -> Option<Figure> {
    let value = |row: &str| {
        let figures = bench["figures"].as_array()?;
        let figure = figures.iter().find(|figure| figure["row"] == row)?;
        figure["value"].as_f64()
    };
    let of_group = |kind: &str| value(&format!("{kind}-{group}"));
    let lone = |row: &str| if group == 1 { value(row) } else { None };
    Some(Figure {
        name: PRODUCT.to_owned(),
        group,
        samples: 0,
        measured: Measured {
            append_per_s: of_group("store")?,
            drain_per_s: of_group("drain")?,
            written_ratio: of_group("written")? / BODY_BYTES as f64,
            append_p50_us: lone("store-p50").unwrap_or_default(),
            append_p99_us: lone("store-p99").unwrap_or_default(),
            ..Measured::default()
        },
    })
}

/// The figures in lines, the product's first in each group of lines, with its ratio to the others.
pub(crate) fn table(figures: &[Figure], bench: Option<&Value>) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    let mut groups: Vec<u64> = figures.iter().map(|figure| figure.group).collect();
    groups.dedup();
    for group in groups {
        let ours = bench.and_then(|bench| product(bench, group));
        let of_group = figures.iter().filter(|figure| figure.group == group);
        rows.extend(ours.iter().map(|figure| row(figure, None)));
        rows.extend(of_group.map(|figure| row(figure, ours.as_ref())));
    }
    let widths: Vec<usize> = (0..HEADER.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let line = |row: &[String; HEADER.len()]| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ") + "\n"
    };
    rows.iter().map(line).collect()
}

const HEADER: [&str; 13] = [
    "STORE",
    "GROUP",
    "IN/S",
    "OUT/S",
    "P50 US",
    "P99 US",
    "WRITTEN IN",
    "IN+OUT",
    "FULL KIB",
    "DRAINED",
    "MEMORY KIB",
    "LOST",
    "WASM-EDGE IN, OUT, WRITTEN",
];

fn row(figure: &Figure, ours: Option<&Figure>) -> [String; HEADER.len()] {
    let measured = &figure.measured;
    let is_product = figure.name == PRODUCT;
    // What the product does not say of itself stays empty.
    let if_known = |known: bool, text: String| if known { text } else { "-".to_owned() };
    let peer = !is_product;
    let lone = measured.append_p50_us > 0.0;
    [
        figure.name.clone(),
        figure.group.to_string(),
        format!("{:.0}", measured.append_per_s),
        format!("{:.0}", measured.drain_per_s),
        if_known(lone, format!("{:.0}", measured.append_p50_us)),
        if_known(lone, format!("{:.0}", measured.append_p99_us)),
        if_known(peer, format!("{:.2}", measured.append_written_ratio)),
        format!("{:.2}", measured.written_ratio),
        if_known(peer, measured.full_kib.to_string()),
        if_known(peer, measured.drained_kib.to_string()),
        if_known(peer, measured.memory_kib.to_string()),
        measured
            .lost_after_kill
            .map_or("-".to_owned(), |lost| lost.to_string()),
        ours.map_or("-".to_owned(), |ours| ratios(&ours.measured, measured)),
    ]
}

/// How many times as fast the product is, in and out, and how many times as much it writes.
fn ratios(ours: &Measured, theirs: &Measured) -> String {
    let ratio = |ours: f64, theirs: f64| match theirs > 0.0 {
        true => format!("{:.2}", ours / theirs),
        false => "-".to_owned(),
    };
    [
        ratio(ours.append_per_s, theirs.append_per_s),
        ratio(ours.drain_per_s, theirs.drain_per_s),
        ratio(ours.written_ratio, theirs.written_ratio),
    ]
    .join("  ")
}

/// All that was measured.
pub(crate) fn to_json(figures: &[Figure], kills: &[Kills]) -> Value {
    json!({ "format": 1, "bodyBytes": BODY_BYTES, "figures": figures, "kills": kills })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(append_per_s: f64) -> Measured {
        Measured {
            append_per_s,
            drain_per_s: 10.0,
            append_p50_us: 5.0,
            written_ratio: 4.0,
            ..Measured::default()
        }
    }

    #[test]
    fn the_middle_sample_counts_and_without_samples_there_is_no_figure() {
        let samples = [30.0, 10.0, 20.0].map(measured).to_vec();
        let figure = Figure::of("redb", 32, samples).unwrap();
        assert_eq!(figure.measured.append_per_s, 20.0);
        assert_eq!(Figure::of("redb", 32, Vec::new()), None);
    }

    #[test]
    fn the_product_stands_beside_the_others_with_its_ratio() {
        let row = |row: &str, value: f64| json!({ "row": row, "value": value });
        let bench = json!({ "figures": [
            row("store-32", 400.0), row("drain-32", 5.0), row("written-32", 512.0),
        ] });
        let figures = [Figure::of("redb", 32, vec![measured(200.0)]).unwrap()];
        let table = table(&figures, Some(&bench));
        let lines: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[1][..5], ["wasm-edge", "32", "400", "5", "-"]);
        assert_eq!(lines[2][..5], ["redb", "32", "200", "10", "5"]);
        assert_eq!(lines[2][12..], ["2.00", "0.50", "0.50"]);
    }
}
