use super::*;
use crate::metrics::text::Kind;

const PAGE: &str = include_str!("../../../../docs/metrics.md");

#[test]
fn the_page_has_every_metric_as_the_table_has_it() {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let told: Vec<&str> = rows.collect();
    let expected: Vec<String> = TABLE
        .iter()
        .map(|metric| {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            let labels: Vec<String> = metric
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            format!(
                "| `{}` | {kind} | {} | {}. |",
                metric.name,
                labels.join(", "),
                metric.help
            )
        })
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn names_and_labels_are_those_that_prometheus_takes_and_none_occurs_twice() {
    let is_name = |text: &str| {
        let mut bytes = text.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    for (place, metric) in TABLE.iter().enumerate() {
        assert!(is_name(metric.name), "{}", metric.name);
        assert!(
            metric.labels.iter().all(|label| is_name(label)),
            "{}",
            metric.name
        );
        assert!(!metric.help.contains(['\\', '\n']), "{}", metric.name);
        let again = TABLE[place + 1..]
            .iter()
            .any(|other| other.name == metric.name);
        assert!(!again, "{}", metric.name);
    }
}
