//! What a device counts about itself, as Prometheus takes it.
//!
//! Owns which metrics there are and where their numbers come from: everything is read from the parts when somebody
//! asks, and nothing is done until then. Names are those of IoT Edge's agent and hub where they have a meaning here,
//! so that its dashboards find them; ours begin with `wasm_edge_`. Labels are names of modules of the deployment and
//! words of the program, so that the number of series is bounded. `docs/metrics.md` is the reference.

pub mod serve;
pub mod text;

mod machine;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use wasm_edge_model::identity::ModuleId;
use wasm_edge_router::snapshot::{EndpointSnapshot, RouterSnapshot, SenderSnapshot};

use self::text::Samples;
use crate::api::DeviceView;
use crate::supervisor::report::ModuleReport;

pub use self::table::TABLE;

/// The most modules of one device whose numbers are told: more than fit into a deployment.
const MODULES_MAX: usize = 512;

/// What metrics are made of.
pub struct Metrics {
    devices: Vec<DeviceView>,
    hub_host_name: String,
    data_folder: PathBuf,
    instance: String,
    started: tokio::time::Instant,
}

impl Metrics {
    /// The metrics of these devices of a process that starts now.
    pub fn new(devices: Vec<DeviceView>, hub_host_name: String, data_folder: &Path) -> Self {
        Self {
            devices,
            hub_host_name,
            data_folder: data_folder.to_owned(),
            instance: crate::clock::now().unix_millis().to_string(),
            started: wasm_edge_clock::now(),
        }
    }

    /// All of them as text. Blocks for a moment, while it looks at the disk.
    pub fn text(&self) -> String {
        let mut samples = Samples::new(TABLE);
        for (place, view) in self.devices.iter().enumerate() {
            samples.of(&self.hub_host_name, view.device.as_str(), &self.instance);
            if place == 0 {
                self.process(&mut samples);
            }
            device(&mut samples, view);
        }
        samples.finish()
    }

    /// What is the same for all devices of the process, told once.
    fn process(&self, samples: &mut Samples) {
        let uptime = wasm_edge_clock::now().duration_since(self.started);
        samples.add(
            "edgeAgent_iotedged_uptime_seconds",
            &[],
            uptime.as_secs_f64(),
        );
        let facts = [env!("CARGO_PKG_VERSION"), std::env::consts::OS];
        samples.add("edgeAgent_metadata", &facts, 0.0);
        if let Some(seconds) = machine::uptime_seconds() {
            samples.add("edgeAgent_host_uptime_seconds", &[], seconds);
        }
        if let Some(disk) = machine::disk(&self.data_folder) {
            samples.add(
                "edgeAgent_available_disk_space_bytes",
                &["data"],
                disk.free_bytes,
            );
            samples.add(
                "edgeAgent_total_disk_space_bytes",
                &["data"],
                disk.total_bytes,
            );
        }
        if let Some(memory) = machine::memory() {
            samples.add("edgeAgent_used_memory_bytes", &["host"], memory.used_bytes);
            samples.add(
                "edgeAgent_total_memory_bytes",
                &["host"],
                memory.total_bytes,
            );
        }
        if let Some(bytes) = machine::resident_bytes() {
            samples.add("edgeAgent_used_memory_bytes", &["edgeAgent"], bytes);
        }
    }
}

fn device(samples: &mut Samples, view: &DeviceView) {
    let now = wasm_edge_clock::now();
    let reports = view.supervisor.reports();
    let connected = reports
        .iter()
        .filter(|report| report.has_instance())
        .count();
    samples.add("edgehub_connected_clients", &[], connected as f64);
    for report in reports.iter().take(MODULES_MAX) {
        module(samples, report, now);
    }
    router(samples, &view.router.snapshot());
    for (name, count) in view.agent.method_counts() {
        samples.add(
            "edgeagent_direct_method_invocations_count",
            &[name],
            count as f64,
        );
    }
    upstream(samples, view, now);
}

fn module(samples: &mut Samples, report: &ModuleReport, now: tokio::time::Instant) {
    let name = report.module().as_str();
    let version = report.spec.version.as_str();
    let (ran, expected) = report.running_times(now);
    let mut add = |metric, sample| samples.add(metric, &[name], sample);
    add(
        "edgeAgent_total_time_running_correctly_seconds",
        ran.as_secs_f64(),
    );
    add(
        "edgeAgent_total_time_expected_running_seconds",
        expected.as_secs_f64(),
    );
    add(
        "edgeAgent_used_memory_bytes",
        report.gauges.memory_bytes() as f64,
    );
    add(
        "edgeAgent_total_memory_bytes",
        report.spec.limits.memory_limit_bytes as f64,
    );
    add(
        "wasm_edge_module_host_memory_bytes",
        report.gauges.host_memory_bytes() as f64,
    );
    add("wasm_edge_module_ready", f64::from(u8::from(report.ready)));
    add(
        "wasm_edge_module_messages_handled_total",
        report.gauges.messages_handled() as f64,
    );
    add(
        "wasm_edge_module_messages_failed_total",
        report.gauges.messages_failed() as f64,
    );
    let labels = [name, version];
    samples.add(
        "edgeAgent_module_start_total",
        &labels,
        report.runs.starts as f64,
    );
    samples.add(
        "edgeAgent_module_stop_total",
        &labels,
        report.runs.ends as f64,
    );
}

fn router(samples: &mut Samples, snapshot: &RouterSnapshot) {
    for sender in snapshot.senders.iter().take(MODULES_MAX) {
        sent_by(samples, sender);
    }
    for endpoint in snapshot.endpoints.iter().take(MODULES_MAX) {
        endpoint_of(samples, endpoint);
    }
    if let Some(store) = &snapshot.store {
        samples.add("wasm_edge_store_bytes", &[], store.space.file_bytes as f64);
        samples.add(
            "wasm_edge_store_max_bytes",
            &[],
            store.space.max_bytes as f64,
        );
        samples.add(
            "wasm_edge_store_written_bytes_total",
            &[],
            store.figures.written_bytes as f64,
        );
    }
}

fn sent_by(samples: &mut Samples, sender: &SenderSnapshot) {
    let id = sender.module.as_str();
    let counters = &sender.counters;
    samples.add(
        "edgehub_messages_received_total",
        &[id],
        counters.taken as f64,
    );
    let mut dropped = |reason: &str, count: u64| {
        samples.add(
            "edgehub_messages_dropped_total",
            &[reason, id],
            count as f64,
        );
    };
    dropped("no_route", counters.no_route);
    dropped("ttl_expiry", counters.expired);
    samples.add(
        "wasm_edge_messages_refused_total",
        &[id],
        (counters.would_block + counters.invalid) as f64,
    );
}

fn endpoint_of(samples: &mut Samples, endpoint: &EndpointSnapshot) {
    let name = endpoint.endpoint.to_string();
    let to = endpoint
        .endpoint
        .module()
        .map_or("$upstream", ModuleId::as_str);
    let input = endpoint.endpoint.input();
    let input = input.map_or("", |input| input.as_str());
    let counters = &endpoint.counters;
    samples.add(
        "edgehub_messages_sent_total",
        &[to, input],
        counters.delivered as f64,
    );
    let mut queued = endpoint.queued_messages;
    for priority in &endpoint.priorities {
        let label = priority.priority.to_string();
        samples.add(
            "edgehub_queue_length",
            &[&name, &label],
            priority.messages as f64,
        );
        queued = queued.saturating_sub(priority.messages);
    }
    if endpoint.priorities.is_empty() {
        samples.add("edgehub_queue_length", &[&name, "0"], queued as f64);
    }
    samples.add(
        "wasm_edge_queue_in_hand",
        &[&name],
        endpoint.in_hand_messages as f64,
    );
    samples.add(
        "wasm_edge_queue_aside",
        &[&name],
        endpoint.aside_messages as f64,
    );
    for (reason, count) in [
        ("expired", counters.expired),
        ("removed", counters.removed),
        ("dropped-oldest", counters.dropped_oldest),
        ("dropped-newest", counters.dropped_newest),
        ("thinned-out", counters.thinned_out),
        ("purged", counters.purged),
        ("damaged", counters.damaged),
    ] {
        samples.add(
            "wasm_edge_messages_lost_total",
            &[&name, reason],
            count as f64,
        );
    }
}

fn upstream(samples: &mut Samples, view: &DeviceView, now: tokio::time::Instant) {
    samples.add(
        "wasm_edge_upstream_messages_sent_total",
        &[],
        view.pumped.sent() as f64,
    );
    samples.add(
        "wasm_edge_upstream_messages_returned_total",
        &[],
        view.pumped.returned() as f64,
    );
    for (module, session) in view.sessions.all().into_iter().take(MODULES_MAX) {
        let id = module.as_str();
        let connected = session.connected_for(now);
        samples.add(
            "wasm_edge_session_connected",
            &[id],
            f64::from(u8::from(connected.is_some())),
        );
        samples.add(
            "wasm_edge_session_connected_seconds",
            &[id],
            connected.unwrap_or(Duration::ZERO).as_secs_f64(),
        );
        samples.add(
            "wasm_edge_sessions_opened_total",
            &[id],
            session.opened as f64,
        );
        if module == ModuleId::edge_agent() {
            samples.add("edgeAgent_iothub_syncs_total", &[], session.opened as f64);
        }
    }
    for (name, traffic) in view.ledger.iter().flat_map(|ledger| ledger.all()) {
        let mut add = |metric, count: u64| samples.add(metric, &[name.as_str()], count as f64);
        add("wasm_edge_traffic_sent_bytes_total", traffic.sent_bytes);
        add(
            "wasm_edge_traffic_received_bytes_total",
            traffic.received_bytes,
        );
        add(
            "wasm_edge_traffic_message_bytes_total",
            traffic.message_bytes,
        );
        add("wasm_edge_traffic_connections_total", traffic.connections);
    }
}

#[cfg(test)]
mod tests;
