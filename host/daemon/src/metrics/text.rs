//! The text form of metrics: Prometheus' exposition format, version 0.0.4.
//!
//! Written by hand: the names are those of IoT Edge, some of which libraries for OpenMetrics cannot write. Owns the
//! escapes, and that all samples of a name stand together behind its description.

use std::fmt::Write as _;

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from the start of the process on.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A metric as it is told of: [`super::TABLE`] has all.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it tells, a sentence without its end.
    pub help: &'static str,
    /// The names of its labels beside those that all have.
    pub labels: &'static [&'static str],
}

/// Samples, gathered by metric.
pub(super) struct Samples {
    common: [(&'static str, String); 3],
    lines: Vec<String>,
    table: &'static [Metric],
}

impl Samples {
    /// None yet. `table` has every metric that may be sampled, in the order in which they are written.
    pub(super) fn new(table: &'static [Metric]) -> Self {
        Self {
            common: [
                ("iothub", String::new()),
                ("edge_device", String::new()),
                ("instance_number", String::new()),
            ],
            lines: vec![String::new(); table.len()],
            table,
        }
    }

    /// All samples from now on are of this hub, device and process.
    pub(super) fn of(&mut self, hub: &str, device: &str, instance: &str) {
        for (label, value) in self.common.iter_mut().zip([hub, device, instance]) {
            value.clone_into(&mut label.1);
        }
    }

    /// Adds a sample; the values of labels are in the order of [`Metric::labels`].
    pub(super) fn add(&mut self, name: &'static str, values: &[&str], sample: f64) {
        let place = self.table.iter().position(|metric| metric.name == name);
        let place = place.expect("each metric that is sampled is in the table");
        let metric = &self.table[place];
        debug_assert_eq!(metric.labels.len(), values.len(), "{name}");
        let common = self.common.iter();
        let common = common.map(|(label, value)| (*label, value.as_str()));
        let own = metric.labels.iter().copied().zip(values.iter().copied());
        let lines = &mut self.lines[place];
        lines.push_str(name);
        for (place, (label, value)) in common.chain(own).enumerate() {
            lines.push(if place == 0 { '{' } else { ',' });
            // Writing to a text cannot fail.
            let _ = write!(lines, "{label}=\"{}\"", escaped(value));
        }
        let _ = writeln!(lines, "}} {sample}");
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        let mut text = String::new();
        for (metric, lines) in self.table.iter().zip(&self.lines) {
            if lines.is_empty() {
                continue;
            }
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            let (name, help) = (metric.name, metric.help);
            let _ = write!(text, "# HELP {name} {help}.\n# TYPE {name} {kind}\n{lines}");
        }
        text
    }
}

fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_name_stand_together_and_values_are_escaped() {
        const TABLE: &[Metric] = &[
            Metric {
                name: "a_total",
                kind: Kind::Counter,
                help: "Counts",
                labels: &[],
            },
            Metric {
                name: "b",
                kind: Kind::Gauge,
                help: "Shows",
                labels: &["id"],
            },
            Metric {
                name: "c",
                kind: Kind::Gauge,
                help: "Is not there",
                labels: &[],
            },
        ];
        let mut samples = Samples::new(TABLE);
        samples.of("hub", "d\"1", "1");
        samples.add("b", &["x\\y\n"], 0.5);
        samples.add("a_total", &[], 3.0);
        samples.of("hub", "d2", "1");
        samples.add("b", &["z"], 1e21);
        let expected = concat!(
            "# HELP a_total Counts.\n# TYPE a_total counter\n",
            "a_total{iothub=\"hub\",edge_device=\"d\\\"1\",instance_number=\"1\"} 3\n",
            "# HELP b Shows.\n# TYPE b gauge\n",
            "b{iothub=\"hub\",edge_device=\"d\\\"1\",instance_number=\"1\",id=\"x\\\\y\\n\"} 0.5\n",
            "b{iothub=\"hub\",edge_device=\"d2\",instance_number=\"1\",id=\"z\"} 1000000000000000000000\n",
        );
        assert_eq!(samples.finish(), expected);
    }
}
