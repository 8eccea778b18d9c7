//! Reads any text as a direct method of the agent: what is read is bounded, and the signature of an address is told
//! nowhere.
//!
//! The text is the name of the method up to the first line break, and the payload behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasm_edge_model::agent_method::{AgentMethod, LogRequest, NAMES};
use wasm_edge_model::blob::BlobContainer;
use wasm_edge_model::moment::parse_moment;
use wasm_edge_model::time::Timestamp;

fuzz_target!(|text: &str| {
    let now = Timestamp::from_unix_millis(1_785_578_400_000);
    let _ = parse_moment(text, now);
    if let Ok(container) = BlobContainer::parse(text) {
        check_container(&container);
    }
    let (name, payload) = text.split_once('\n').unwrap_or((text, ""));
    match AgentMethod::parse(name, payload, now) {
        Err(error) => assert!(error.to_string().len() < 2048),
        Ok(method) => {
            assert!(NAMES.contains(&method.name()));
            assert!(method.name().eq_ignore_ascii_case(name));
            check(&method);
        }
    }
});

fn check(method: &AgentMethod) {
    match method {
        AgentMethod::GetModuleLogs(logs) => check_logs(logs),
        AgentMethod::UploadModuleLogs { logs, container } => {
            check_logs(logs);
            check_container(container);
        }
        AgentMethod::UploadSupportBundle { container, .. } => check_container(container),
        AgentMethod::Ping | AgentMethod::RestartModule { .. } | AgentMethod::GetTaskStatus { .. } => {}
    }
}

fn check_logs(logs: &LogRequest) {
    assert!((1..=256).contains(&logs.items.len()));
    for item in &logs.items {
        assert!(!item.id.is_empty());
        assert!(item.severity.is_none_or(|severity| severity <= 7));
        assert!(item.tail.is_none_or(|tail| tail <= 1_000_000));
    }
}

fn check_container(container: &BlobContainer) {
    let target = container.target("hub/device/a b\r\n?#.log");
    assert!(target.starts_with('/'));
    assert!(target.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!container.to_string().contains('?'));
}
