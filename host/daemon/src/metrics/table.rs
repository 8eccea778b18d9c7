//! All metrics: a pure table, which `docs/metrics.md` repeats.

use super::text::Kind::{Counter, Gauge};
use super::text::{Kind, Metric};

/// Every metric, in the order in which they are told.
pub const TABLE: &[Metric] = &[
    metric("edgehub_connected_clients", Gauge, "Modules that run", &[]),
    metric(
        "edgehub_messages_received_total",
        Counter,
        "Messages that were taken from a module",
        &["id"],
    ),
    metric(
        "edgehub_messages_sent_total",
        Counter,
        "Messages that an input of a module, or the hub, has completed",
        &["to", "to_route_input"],
    ),
    metric(
        "edgehub_messages_dropped_total",
        Counter,
        "Messages of a module that no route took, or whose time to live was over",
        &["reason", "from"],
    ),
    metric(
        "edgehub_queue_length",
        Gauge,
        "Messages that wait",
        &["endpoint", "priority"],
    ),
    metric(
        "edgeAgent_total_time_running_correctly_seconds",
        Gauge,
        "How long instances of a module ran",
        &["module_name"],
    ),
    metric(
        "edgeAgent_total_time_expected_running_seconds",
        Gauge,
        "How long a module has been wanted to run",
        &["module_name"],
    ),
    metric(
        "edgeAgent_module_start_total",
        Counter,
        "Starts of a module",
        &["module_name", "module_version"],
    ),
    metric(
        "edgeAgent_module_stop_total",
        Counter,
        "Ends of instances of a module",
        &["module_name", "module_version"],
    ),
    metric(
        "edgeAgent_iothub_syncs_total",
        Counter,
        "Sessions of the agent with the hub, each of which begins with the whole twin",
        &[],
    ),
    metric(
        "edgeagent_direct_method_invocations_count",
        Counter,
        "Direct methods of the agent that were called",
        &["method_name"],
    ),
    metric(
        "edgeAgent_host_uptime_seconds",
        Gauge,
        "How long the machine has been on",
        &[],
    ),
    metric(
        "edgeAgent_iotedged_uptime_seconds",
        Gauge,
        "How long the process has been running",
        &[],
    ),
    metric(
        "edgeAgent_available_disk_space_bytes",
        Gauge,
        "Free space on the disk of the data folder",
        &["disk_name"],
    ),
    metric(
        "edgeAgent_total_disk_space_bytes",
        Gauge,
        "Size of the disk of the data folder",
        &["disk_name"],
    ),
    metric(
        "edgeAgent_used_memory_bytes",
        Gauge,
        "Linear memory and tables of a module; of `edgeAgent` the whole process, of `host` the machine",
        &["module_name"],
    ),
    metric(
        "edgeAgent_total_memory_bytes",
        Gauge,
        "What a module may take, and what the `host` has",
        &["module_name"],
    ),
    metric(
        "edgeAgent_metadata",
        Gauge,
        "Always 0; the facts are in the labels",
        &["edge_agent_version", "host_information"],
    ),
    metric(
        "wasm_edge_module_ready",
        Gauge,
        "1 while the instance of a module is ready",
        &["module_name"],
    ),
    metric(
        "wasm_edge_module_host_memory_bytes",
        Gauge,
        "What the host holds for a module",
        &["module_name"],
    ),
    metric(
        "wasm_edge_module_messages_handled_total",
        Counter,
        "Messages that the handler of a module completed",
        &["module_name"],
    ),
    metric(
        "wasm_edge_module_messages_failed_total",
        Counter,
        "Messages that the handler of a module rejected or failed on",
        &["module_name"],
    ),
    metric(
        "wasm_edge_messages_refused_total",
        Counter,
        "Sends of a module that were refused, for want of room or as not valid",
        &["id"],
    ),
    metric(
        "wasm_edge_messages_lost_total",
        Counter,
        "Messages that were dropped at an endpoint",
        &["endpoint", "reason"],
    ),
    metric(
        "wasm_edge_queue_in_hand",
        Gauge,
        "Messages handed over and not ended yet",
        &["endpoint"],
    ),
    metric(
        "wasm_edge_queue_aside",
        Gauge,
        "Messages that were put aside",
        &["endpoint"],
    ),
    metric(
        "wasm_edge_store_bytes",
        Gauge,
        "What the files of the message store take",
        &[],
    ),
    metric(
        "wasm_edge_store_max_bytes",
        Gauge,
        "What they may take",
        &[],
    ),
    metric(
        "wasm_edge_store_written_bytes_total",
        Counter,
        "Bytes written to the message store",
        &[],
    ),
    metric(
        "wasm_edge_upstream_messages_sent_total",
        Counter,
        "Messages that the hub has acknowledged",
        &[],
    ),
    metric(
        "wasm_edge_upstream_messages_returned_total",
        Counter,
        "Messages that went out, were not acknowledged and go out again",
        &[],
    ),
    metric(
        "wasm_edge_session_connected",
        Gauge,
        "1 while an identity has a session with the hub",
        &["id"],
    ),
    metric(
        "wasm_edge_session_connected_seconds",
        Gauge,
        "How long the session has been open, 0 without one",
        &["id"],
    ),
    metric(
        "wasm_edge_sessions_opened_total",
        Counter,
        "Sessions that an identity has opened",
        &["id"],
    ),
    metric(
        "wasm_edge_traffic_sent_bytes_total",
        Counter,
        "Bytes sent over the network, with TLS",
        &["id"],
    ),
    metric(
        "wasm_edge_traffic_received_bytes_total",
        Counter,
        "Bytes received over the network, with TLS",
        &["id"],
    ),
    metric(
        "wasm_edge_traffic_message_bytes_total",
        Counter,
        "Of both, what messages and their acknowledgements took",
        &["id"],
    ),
    metric(
        "wasm_edge_traffic_connections_total",
        Counter,
        "Connections that were begun",
        &["id"],
    ),
];

const fn metric(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    labels: &'static [&'static str],
) -> Metric {
    Metric {
        name,
        kind,
        help,
        labels,
    }
}
