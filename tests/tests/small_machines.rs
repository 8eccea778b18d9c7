//! The demo on a machine with little address space.

use serde_json::json;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::paths;
use wasm_edge_tests::run::RunOptions;

#[test]
fn the_demo_runs_in_one_gigabyte_of_address_space() {
    let home = Home::new();
    let filter = |name: &str, threshold: f64| {
        Module::of(name, &paths::example("threshold-filter"))
            .named(name)
            .desired(json!({ "field": "memory_used_percent", "threshold": threshold }))
    };
    let grants = json!([{ "file": "/proc/loadavg" }, { "file": "/proc/meminfo" }]);
    let sensor = Module::of("sensor", &paths::example("system-sensor"));
    let manifest = Deployment::new()
        .module(
            sensor
                .wasm("grants", grants)
                .desired(json!({ "interval_ms": 50 })),
        )
        .module(filter("low", 0.0))
        .module(filter("high", 101.0))
        .module(
            Module::of("heartbeat", &paths::example("heartbeat"))
                .desired(json!({ "interval_ms": 50 })),
        )
        .pass("sensor/readings", "low/input")
        .pass("sensor/readings", "high/input")
        .upstream("low")
        .upstream("high")
        .upstream("heartbeat")
        .write(&home);
    let options = RunOptions::new(&manifest);
    let script = r#"ulimit -v 1048576 && exec "$0" "$@""#;
    let mut command = home.program("sh", ["-c", script]);
    command
        .arg(paths::binary())
        .args(options.command_line(&home));
    let run = options.start_command(&home, command);
    run.wait_running();
    let (reading, _) = run.upstream("low", 0, |body| body["memory_used_percent"].as_f64());
    assert!(reading > 0.0, "{reading}");
    run.upstream("heartbeat", 0, |body| Some(body.clone()));
    assert!(run.all_upstream("high").is_empty());
    run.interrupt().ok();
}
