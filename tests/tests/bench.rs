//! `bench` measures what runs: the figures are there, each with its count checked, and what is missing is said.

use std::path::Path;

use serde_json::Value;
use wasm_edge_tests::home::Home;
use wasm_edge_tests::paths;

fn components() -> String {
    let component = paths::bench_component("load");
    let folder = component.parent().expect("a component lies in a folder");
    folder.display().to_string()
}

fn figure<'a>(report: &'a Value, row: &str) -> &'a Value {
    let figures = report["figures"].as_array().expect("a list of figures");
    figures
        .iter()
        .find(|figure| figure["row"] == row)
        .unwrap_or_else(|| panic!("no `{row}` in {report}"))
}

#[test]
fn figures_come_with_their_baselines_as_a_table_and_as_json() {
    let home = Home::new();
    let json = home.path().join("figures.json");
    let file = json.display().to_string();
    let components = components();
    let mut args = vec!["bench", "--quick", "--components", &components];
    args.extend([
        "--json",
        &file,
        "start-warm",
        "restart",
        "call",
        "filter-1KB",
        "routes-10",
        "modules-10",
        "store-32",
        "pss-waiting",
    ]);
    let outcome = home.verb(&args).ok();
    for row in &args[6..] {
        assert!(outcome.stdout.contains(row), "{}", outcome.stdout);
    }
    let text = std::fs::read_to_string(&json).expect("the file was written");
    let report: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(report["format"], 1);
    for row in ["restart", "call", "filter-1KB", "routes-10"] {
        let figure = figure(&report, row);
        for value in [
            &figure["value"],
            &figure["baseline"]["value"],
            &figure["ofBaseline"],
        ] {
            assert!(value.as_f64().is_some_and(|value| value > 0.0), "{figure}");
        }
    }
    assert_eq!(figure(&report, "start-warm")["budget"], 20.0);
    let stored = &figure(&report, "store-32")["samples"][0];
    assert!(stored.as_f64().is_some_and(|rate| rate > 0.0), "{stored}");
}

#[test]
fn memory_grows_with_the_modules_and_a_further_one_is_their_slope() {
    let home = Home::new();
    let components = components();
    let args = [
        "bench",
        "--quick",
        "--output",
        "json",
        "--components",
        &components,
        "pss-",
    ];
    let report = home.verb(&args).ok().json();
    let value = |row| figure(&report, row)["value"].as_f64().expect("a number");
    assert!(value("pss-idle") < value("pss-50"), "{report}");
    let slope = (value("pss-50") - value("pss-1")) / 49.0;
    assert!((value("pss-instance") - slope).abs() < 0.01, "{report}");
}

#[test]
fn a_hub_under_load_answers_all_of_it() {
    let home = Home::new();
    let report = home
        .verb(&["bench", "hub", "--quick", "--output", "json"])
        .ok()
        .json();
    assert_eq!(report["load"]["connections"], 50);
    for row in [
        "connect",
        "connect-p99",
        "telemetry",
        "telemetry-cpu",
        "all",
        "patch",
        "rest",
    ] {
        let value = &figure(&report, row)["value"];
        assert!(value.as_f64().is_some_and(|value| value > 0.0), "{report}");
    }
    assert_eq!(figure(&report, "memory")["budget"], 20.0);
    assert_eq!(figure(&report, "telemetry")["budget"], 20_000.0);
}

#[test]
fn an_idle_device_costs_something_each_day_and_comes_back_after_an_outage() {
    let home = Home::new();
    let components = components();
    let args = ["bench", "daemon", "--quick", "--components", &components];
    let report = home.verb(&[&args[..], &["--output", "json"]].concat());
    let report = report.ok().json();
    let value = |row| figure(&report, row)["value"].as_f64().expect("a number");
    let parts = ["day-5-pings", "day-5-twins", "day-5-tokens"].map(value);
    assert!(parts.iter().all(|part| *part > 0.0), "{report}");
    assert!(
        (value("day-5") - parts.iter().sum::<f64>()).abs() < 0.01,
        "{report}"
    );
    assert!(value("day-1") < value("day-5"), "{report}");
    // A ping and its answer have two bytes each, and what TLS adds.
    assert!((30.0..120.0).contains(&value("ping")), "{report}");
    assert!(value("reconnect-20-bytes") > 0.0, "{report}");
    assert!(report["idle"]["5"]["m4"].as_u64() > Some(0), "{report}");
}

#[test]
fn a_hub_that_is_not_there_is_no_figure() {
    let home = Home::new();
    let device = "HostName=localhost:1;DeviceId=d;SharedAccessKey=c2hhcmVkIGtleSBvZiBhIGRldmljZQ==";
    home.verb(&["bench", "hub", "--quick", "--hub", device])
        .ended_with(1)
        .says(&["a device's", "of a policy"]);
    let broker = ["--broker-only", "--broker", "localhost", "--broker-ca"];
    home.verb(&[&["bench", "hub"][..], &broker, &["nowhere.pem"]].concat())
        .ended_with(1)
        .says(&["cannot read `nowhere.pem`"]);
    home.verb(&["bench", "hub", "--broker-only"])
        .ended_with(2)
        .says(&["--broker"]);
}

#[test]
fn what_cannot_be_measured_is_said() {
    let home = Home::new();
    home.verb(&["bench"])
        .ended_with(2)
        .says(&["--components", "make bench"]);
    home.verb(&["bench", "--components", "nowhere"])
        .ended_with(4)
        .says(&["nowhere/empty.wasm", "make guests"]);
    let components = components();
    home.verb(&["bench", "--components", &components, "nonsense"])
        .ended_with(2)
        .says(&["no row begins with `nonsense`", "--list"]);
    assert!(Path::new(&components).join("empty.wasm").exists());
    let list = home.verb(&["bench", "--list"]).ok().stdout;
    assert!(
        list.contains("pss-instance") && list.contains("300,000"),
        "{list}"
    );
}
