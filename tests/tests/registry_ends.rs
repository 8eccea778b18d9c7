//! A registry that ends in the middle of a transfer: nothing half is named anywhere, and what is tried again succeeds.

use std::time::Duration;

use wasm_edge_tests::desk::Desk;
use wasm_edge_tests::line::{Conduct, Line};
use wasm_edge_tests::process::Process;
use wasm_edge_tests::registry::Registry;
use wasm_edge_tests::wait;

/// What is transferred, in bytes.
const SIZE: usize = 6_000_000;

/// How much of it has gone over the line when the registry ends.
const MOVED_BYTES: u64 = 1_500_000;

/// So slow that a transfer takes seconds.
const SLOW: Conduct = Conduct::Slow(Duration::from_millis(1));

const NAME: &str = "tools/large:1.0";

/// A registry behind a slow line, and who knows both ways to it.
struct Bed {
    registry: Registry,
    line: Line,
    desk: Desk,
}

impl Bed {
    fn new() -> Option<Self> {
        let registry = Registry::start()?;
        let (desk, line, _) = Desk::by_line(&registry);
        line.set(SLOW);
        Some(Self {
            registry,
            line,
            desk,
        })
    }

    /// The image by the slow line.
    fn slow_image(&self) -> String {
        format!("localhost:{}/{NAME}", self.line.port())
    }

    /// Starts a command, and kills the registry in the middle of it.
    fn killed_in(&mut self, args: &[&str]) -> Process {
        let from = self.line.carried_bytes();
        let mut process = Process::start(self.desk.home.command(args));
        wait::until_so("a part of the image to move", || {
            assert!(!process.has_ended(), "{}", process.stderr.text());
            self.line.carried_bytes() - from > MOVED_BYTES
        });
        self.registry.stop();
        // What it sent before is lost with it.
        self.line.set(Conduct::Cut);
        process
    }

    fn start_again(&mut self) {
        self.registry.start_again();
        self.line.set(SLOW);
    }
}

#[test]
fn a_push_to_a_registry_that_ends_names_nothing_and_the_next_one_succeeds() {
    let Some(mut bed) = Bed::new() else {
        return;
    };
    let component = bed.desk.large_component("large.wasm", SIZE);
    let file = component.to_str().expect("a path of tests is text");
    let (image, config) = (bed.slow_image(), bed.desk.config().to_owned());
    let mut push = bed.killed_in(&["image", "push", file, &image, "--config", &config]);
    push.wait().ended_with(9).says(&["cannot push", &image]);
    bed.start_again();
    let direct = bed.registry.reference(NAME);
    bed.desk.pull(&direct).ended_with(4).says(&["there is no"]);
    let pushed = bed.desk.push(&component, &image, &[]).ok().json();
    let pulled = bed.desk.pull(&direct).ok().json();
    assert_eq!(pulled["digest"], pushed["digest"]);
}

#[test]
fn a_pull_from_a_registry_that_ends_names_nothing_and_goes_on_when_it_is_back() {
    let Some(mut bed) = Bed::new() else {
        return;
    };
    let component = bed.desk.large_component("large.wasm", SIZE);
    let direct = bed.registry.reference(NAME);
    let pushed = bed.desk.push(&component, &direct, &[]).ok().json();
    let (image, config) = (bed.slow_image(), bed.desk.config().to_owned());
    let data = bed.desk.home.data();
    let data = data.to_str().expect("a path of tests is text").to_owned();
    let pull = [
        "image",
        "pull",
        &image,
        "--config",
        &config,
        "--data-dir",
        &data,
    ];
    bed.killed_in(&pull)
        .wait()
        .ended_with(9)
        .says(&["cannot pull"]);
    assert_eq!(bed.desk.list()["images"], serde_json::json!([]));
    bed.start_again();
    // While it is tried again it comes back.
    let mut again = bed.killed_in(&pull);
    bed.start_again();
    again.wait().ok();
    let listed = bed.desk.list();
    assert_eq!(listed["images"][0]["digest"], pushed["digest"]);
    assert_eq!(listed["images"].as_array().map(Vec::len), Some(1));
    let layer = pushed["componentDigest"].as_str().expect("a digest");
    let sent = bed.registry.all_answered_with(layer);
    let resumed = sent.iter().filter(|answered| answered.status == 206);
    assert!(resumed.count() >= 1, "{sent:#?}");
}
