//! What the hub counts about itself, as Prometheus and other readers of OpenMetrics take it.
//!
//! Owns the names, the counters and the text. Leaves counting to the parts in
//! which things happen, which reach it by [`Hub::metrics`], and the socket
//! that serves the text to the server. Labels are texts of the program
//! alone, never ids of devices, so that the number of series is fixed.
//!
//! | Name | Labels | What it counts |
//! | --- | --- | --- |
//! | `wasm_edge_hub_info` | `version`, `host_name` | always 1 |
//! | `wasm_edge_hub_connections` | `transport` | connections that are open |
//! | `wasm_edge_hub_connections_opened_total` | `transport` | connections that were opened |
//! | `wasm_edge_hub_connections_ended_total` | `transport`, `reason` | connections that ended |
//! | `wasm_edge_hub_refusals_total` | `reason` | who was not let in |
//! | `wasm_edge_hub_requests_total` | `class` | REST requests by the class of their status, such as `2xx` |
//! | `wasm_edge_hub_telemetry_messages_total` | `source` | messages of devices and modules that were accepted |
//! | `wasm_edge_hub_telemetry_bytes_total` | `source` | bytes of their bodies |
//! | `wasm_edge_hub_twin_operations_total` | `operation` | operations on twins: `get`, `report`, `patch`, `replace` |
//! | `wasm_edge_hub_methods_total` | `outcome` | direct methods: `answered`, `not_online`, `no_answer`, `unanswered`, `refused` |
//! | `wasm_edge_hub_commands_total` | `event` | cloud-to-device messages: `sent`, `delivered`, `completed`, `dead`, `purged` |
//! | `wasm_edge_hub_throttled_total` | `operation` | what was put off or refused by the tier's limits |
//! | `wasm_edge_hub_forwarded_total` | `event` | telemetry to brokers: `acknowledged`, or `lost` before it was sent |
//! | `wasm_edge_hub_telemetry_log_bytes` | | what the telemetry that is kept takes on disk |
//! | `wasm_edge_hub_telemetry_log_messages` | | how many messages are kept |
//! | `wasm_edge_hub_telemetry_readers` | | who reads them at the moment |
//! | `wasm_edge_hub_telemetry_failing` | | 1 while the disk takes no telemetry |
//! | `wasm_edge_hub_certificate_expires_timestamp_seconds` | | when the server's certificate ends |
//! | `process_resident_memory_bytes`, `process_open_fds`, `process_cpu_seconds_total`, `process_start_time_seconds` | | of the process |

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use crate::hub::Hub;

mod process;

/// The media type of [`Hub::metrics_text`].
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One label with a text of the program.
type Label = [(&'static str, &'static str); 1];

/// Two labels with texts of the program.
type TwoLabels = [(&'static str, &'static str); 2];

/// What the hub counts; all of it by atomics, so that counting waits for nobody.
pub struct Metrics {
    registry: Registry,
    connections: Family<Label, Gauge>,
    opened: Family<Label, Counter>,
    ended: Family<TwoLabels, Counter>,
    refusals: Family<Label, Counter>,
    requests: Family<Label, Counter>,
    device_telemetry: Telemetry,
    module_telemetry: Telemetry,
    twin_operations: Family<Label, Counter>,
    methods: Family<Label, Counter>,
    commands: Family<Label, Counter>,
    throttled: Family<Label, Counter>,
    forwarded: Family<Label, Counter>,
    log: LogGauges,
    certificate_expires: Gauge,
}

/// The two counters of one kind of source, at hand so that a message costs no look-up.
#[derive(Default)]
struct Telemetry {
    messages: Counter,
    bytes: Counter,
}

/// The state of the telemetry that is kept.
struct LogGauges {
    bytes: Gauge,
    messages: Gauge,
    readers: Gauge,
    failing: Gauge,
}

/// Who sent telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TelemetrySource {
    /// A device.
    Device,
    /// A module of a device.
    Module,
}

/// An open connection; it is counted as long as the value lives.
#[derive(Debug)]
#[must_use = "the connection counts as ended when this is dropped"]
pub struct OpenConnection {
    open: Gauge,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new(host_name: &str) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::ProcessCollector));
        let info = Info::new([
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("host_name", host_name.to_owned()),
        ]);
        registry.register("wasm_edge_hub", "The hub and its version", info);
        let metrics = Self::registered(&mut registry);
        Self {
            registry,
            ..metrics
        }
    }

    fn registered(registry: &mut Registry) -> Self {
        let (device_telemetry, module_telemetry) = Telemetry::registered(registry);
        let log = LogGauges::registered(registry);
        let mut family = |name, help| made(registry, name, help);
        let (connections_opened, refusals, requests, twin_operations, methods, commands, throttled) = (
            family(
                "wasm_edge_hub_connections_opened",
                "Connections that were opened",
            ),
            family("wasm_edge_hub_refusals", "Who was not let in"),
            family(
                "wasm_edge_hub_requests",
                "REST requests by the class of their status",
            ),
            family("wasm_edge_hub_twin_operations", "Operations on twins"),
            family("wasm_edge_hub_methods", "Direct methods by their outcome"),
            family(
                "wasm_edge_hub_commands",
                "What became of cloud-to-device messages",
            ),
            family(
                "wasm_edge_hub_throttled",
                "What the limits of the tier put off or refused",
            ),
        );
        let connections = made(
            registry,
            "wasm_edge_hub_connections",
            "Connections that are open",
        );
        let ended = made(
            registry,
            "wasm_edge_hub_connections_ended",
            "Connections that ended",
        );
        let forwarded = made(
            registry,
            "wasm_edge_hub_forwarded",
            "Telemetry that went to brokers, or was gone before",
        );
        Self {
            registry: Registry::default(),
            connections,
            opened: connections_opened,
            ended,
            refusals,
            requests,
            device_telemetry,
            module_telemetry,
            twin_operations,
            methods,
            commands,
            throttled,
            forwarded,
            log,
            certificate_expires: made(
                registry,
                "wasm_edge_hub_certificate_expires_timestamp_seconds",
                "When the certificate of the server ends",
            ),
        }
    }

    /// A connection was opened, by a transport such as `tls`.
    pub fn connection_opened(&self, transport: &'static str) -> OpenConnection {
        let label = [("transport", transport)];
        self.opened.get_or_create(&label).inc();
        let open = self.connections.get_or_create_owned(&label);
        open.inc();
        OpenConnection { open }
    }

    /// A connection ended.
    pub fn connection_ended(&self, transport: &'static str, reason: &'static str) {
        let labels = [("transport", transport), ("reason", reason)];
        self.ended.get_or_create(&labels).inc();
    }

    /// Somebody was not let in: no place, no handshake in time, no right.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&[("reason", reason)]).inc();
    }

    /// A REST request was answered with this status.
    pub fn request_answered(&self, status: u16) {
        let class = match status {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        self.requests.get_or_create(&[("class", class)]).inc();
    }

    /// A message with a body of this length was accepted.
    pub fn telemetry_accepted(&self, source: TelemetrySource, body_bytes: u64) {
        let counters = match source {
            TelemetrySource::Device => &self.device_telemetry,
            TelemetrySource::Module => &self.module_telemetry,
        };
        counters.messages.inc();
        counters.bytes.inc_by(body_bytes);
    }

    /// An operation on a twin was done, such as `get`, `report`, `patch`, `replace`.
    pub fn twin_operation(&self, operation: &'static str) {
        let label = [("operation", operation)];
        self.twin_operations.get_or_create(&label).inc();
    }

    /// A direct method ended, such as `answered`, `not_online`, `no_answer`.
    pub fn method_ended(&self, outcome: &'static str) {
        self.methods.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Something happened to cloud-to-device messages: `sent`, `delivered`, `completed`, `dead`, `purged`.
    pub fn commands(&self, event: &'static str, count: u64) {
        let counter = self.commands.get_or_create_owned(&[("event", event)]);
        counter.inc_by(count);
    }

    /// An operation was put off or refused, since the limits of the tier were reached.
    pub fn throttled(&self, operation: &'static str) {
        let label = [("operation", operation)];
        self.throttled.get_or_create(&label).inc();
    }

    /// So many messages were taken by a broker (`acknowledged`), or were gone before they went there (`lost`).
    pub(crate) fn forwarded(&self, event: &'static str, count: u64) {
        let counter = self.forwarded.get_or_create_owned(&[("event", event)]);
        counter.inc_by(count);
    }

    /// The certificate that the server shows from now on ends then, in seconds since 1970.
    pub(crate) fn certificate_expires(&self, timestamp_seconds: i64) {
        self.certificate_expires.set(timestamp_seconds);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Hub {
    /// All that is counted, in the OpenMetrics text format of [`METRICS_CONTENT_TYPE`].
    pub fn metrics_text(&self) -> String {
        let metrics = self.metrics();
        let log = self.telemetry_status();
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.log.bytes.set(number(log.bytes));
        metrics.log.messages.set(number(log.next - log.earliest));
        metrics.log.readers.set(number(log.readers as u64));
        metrics.log.failing.set(i64::from(log.failing));
        let mut text = String::new();
        encode(&mut text, &metrics.registry).expect("a String takes all");
        text
    }
}

impl Telemetry {
    /// The counters of devices and those of modules.
    fn registered(registry: &mut Registry) -> (Self, Self) {
        let messages: Family<Label, Counter> = made(
            registry,
            "wasm_edge_hub_telemetry_messages",
            "Messages of devices and modules that were accepted",
        );
        let bytes: Family<Label, Counter> = made(
            registry,
            "wasm_edge_hub_telemetry_bytes",
            "Bytes of the bodies of messages that were accepted",
        );
        let of = |source| Self {
            messages: messages.get_or_create_owned(&[("source", source)]),
            bytes: bytes.get_or_create_owned(&[("source", source)]),
        };
        (of("device"), of("module"))
    }
}

impl LogGauges {
    fn registered(registry: &mut Registry) -> Self {
        let mut gauge = |name, help| made(registry, name, help);
        Self {
            bytes: gauge(
                "wasm_edge_hub_telemetry_log_bytes",
                "What the telemetry that is kept takes on disk",
            ),
            messages: gauge(
                "wasm_edge_hub_telemetry_log_messages",
                "Messages that are kept",
            ),
            readers: gauge("wasm_edge_hub_telemetry_readers", "Who reads telemetry"),
            failing: gauge(
                "wasm_edge_hub_telemetry_failing",
                "1 while the disk takes no telemetry",
            ),
        }
    }
}

fn made<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::tests::hub;

    /// The line of this series in the text, without it.
    fn value<'a>(text: &'a str, series: &str) -> Option<&'a str> {
        let rest = text.lines().find_map(|line| line.strip_prefix(series));
        rest.map(str::trim)
    }

    #[tokio::test]
    async fn what_was_counted_is_in_the_text() {
        let hub = hub();
        let metrics = hub.metrics();
        let open = metrics.connection_opened("tls");
        drop(metrics.connection_opened("tls"));
        metrics.connection_ended("tls", "closed");
        metrics.refused("connections_limit");
        metrics.request_answered(204);
        metrics.request_answered(201);
        metrics.telemetry_accepted(TelemetrySource::Module, 256);
        metrics.telemetry_accepted(TelemetrySource::Module, 4);
        metrics.twin_operation("report");
        metrics.method_ended("answered");
        metrics.commands("sent", 1);
        metrics.throttled("telemetry");
        let text = hub.metrics_text();
        let check = |series: &str, expected: &str| {
            assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
        };
        check(r#"wasm_edge_hub_connections{transport="tls"}"#, "1");
        check(
            r#"wasm_edge_hub_connections_opened_total{transport="tls"}"#,
            "2",
        );
        check(
            r#"wasm_edge_hub_connections_ended_total{transport="tls",reason="closed"}"#,
            "1",
        );
        check(
            r#"wasm_edge_hub_refusals_total{reason="connections_limit"}"#,
            "1",
        );
        check(r#"wasm_edge_hub_requests_total{class="2xx"}"#, "2");
        check(
            r#"wasm_edge_hub_telemetry_messages_total{source="device"}"#,
            "0",
        );
        check(
            r#"wasm_edge_hub_telemetry_messages_total{source="module"}"#,
            "2",
        );
        check(
            r#"wasm_edge_hub_telemetry_bytes_total{source="module"}"#,
            "260",
        );
        check(
            r#"wasm_edge_hub_twin_operations_total{operation="report"}"#,
            "1",
        );
        check(r#"wasm_edge_hub_methods_total{outcome="answered"}"#, "1");
        check(r#"wasm_edge_hub_commands_total{event="sent"}"#, "1");
        check(
            r#"wasm_edge_hub_throttled_total{operation="telemetry"}"#,
            "1",
        );
        check("wasm_edge_hub_telemetry_failing", "0");
        assert!(
            value(&text, "process_resident_memory_bytes").is_some(),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
        drop(open);
        let text = hub.metrics_text();
        assert_eq!(
            value(&text, r#"wasm_edge_hub_connections{transport="tls"}"#),
            Some("0")
        );
    }

    #[tokio::test]
    async fn the_tables_name_every_metric() {
        let text = hub().metrics_text();
        let (source, docs) = (
            include_str!("metrics.rs"),
            include_str!("../../../docs/hub.md"),
        );
        for row in source
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `"))
        {
            let told = docs
                .lines()
                .any(|line| line.strip_prefix("| `") == Some(row));
            assert!(told, "docs/hub.md lacks `{row}");
        }
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        for name in names.filter_map(|line| line.split(' ').next()) {
            let described = source
                .lines()
                .any(|line| line.starts_with("//! |") && line.contains(&format!("`{name}")));
            assert!(described, "`{name}`");
        }
    }
}
