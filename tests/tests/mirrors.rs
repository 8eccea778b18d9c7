//! Mirrors that do not serve: who asks for an image is told which ones and why, once, and it comes from the next place;
//! where all fail, the error names each.

use std::path::PathBuf;

use wasm_edge_tests::certificates::Authority;
use wasm_edge_tests::daemon::DaemonOptions;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::desk::Desk;
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hostile_registry::{Artifact, Asked, HostileRegistry, Reply};
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::paths;
use wasm_edge_tests::registry::Registry;
use wasm_edge_tests::run::RunOptions;

/// The size of the component of stand-ins.
const SIZE: usize = 100_000;

/// Where nobody listens: a port that only root may use, and nobody does.
const AWAY: &str = "localhost:1";

/// How a mirror fails, and what is told of that.
type Row = (fn(&Asked, &Artifact) -> Reply, &'static str);

const ROWS: [Row; 6] = [
    (
        |_, _| Reply::new(401, "").header("www-authenticate", "Basic"),
        "does not let somebody without a name have manifest `1`",
    ),
    (|_, _| Reply::new(403, ""), "does not let"),
    (|_, _| Reply::new(500, ""), "it answered with status 500"),
    (
        |_, _| Reply::new(200, "<html>please log in</html>").header("content-type", "text/html"),
        "is not the image of a module",
    ),
    (
        |asked, artifact| match asked.is_for(&artifact.component_digest()) {
            true => Reply::new(200, vec![7; SIZE]),
            false => artifact.answer(asked),
        },
        "has the digest",
    ),
    (
        |asked, artifact| match asked.is_for(&artifact.component_digest()) {
            true => Reply::new(404, ""),
            false => artifact.answer(asked),
        },
        "",
    ),
];

/// The table of a host without TLS, with these mirrors.
fn plain(host: &str, mirrors: &[&str]) -> String {
    let mirrors: Vec<String> = mirrors
        .iter()
        .map(|mirror| format!("\"{mirror}\""))
        .collect();
    format!(
        "[registries.\"{host}\"]\nplain_http = true\nmirrors = [{}]\n",
        mirrors.join(", ")
    )
}

/// How often it is told that this mirror does not serve.
fn warnings(outcome: &Outcome, mirror: &str) -> usize {
    let start = format!("warning: the mirror `{mirror}` did not serve");
    outcome.stderr.matches(&start).count()
}

fn honest(artifact: &Artifact) -> HostileRegistry {
    let artifact = artifact.clone();
    HostileRegistry::start(None, move |asked| artifact.answer(asked))
}

#[test]
fn a_mirror_that_does_not_serve_is_told_once_and_the_image_comes_from_the_registry() {
    let artifact = Artifact::of_size(SIZE);
    let origin = honest(&artifact);
    for (answer, told) in ROWS {
        let behind = artifact.clone();
        let mirror = HostileRegistry::start(None, move |asked| answer(asked, &behind));
        let address = format!("{}/hub", mirror.host());
        let own = plain(&origin.host(), &[&format!("http://{address}")]);
        let desk = Desk::for_tables(&[own, plain(&mirror.host(), &[])]);
        let names = ["a/b:1", "a/c:1"].map(|name| format!("{}/{name}", origin.host()));
        let pull = ["pull", &names[0], &names[1], "--config", desk.config()];
        let pulled = desk.image(&pull).ok();
        let is_told = usize::from(!told.is_empty());
        assert_eq!(warnings(&pulled, &address), is_told, "{told}: {pulled:?}");
        assert!(pulled.stderr.contains(told), "{told}: {pulled:?}");
        assert!(!mirror.asked().is_empty());
    }
}

#[test]
fn mirrors_that_are_away_or_not_trusted_are_told_each_by_its_address() {
    let artifact = Artifact::of_size(SIZE);
    let origin = honest(&artifact);
    let authority = Authority::new("nobody trusts it");
    let foreign = HostileRegistry::start(Some(&authority), |_| Reply::new(500, ""));
    let mirrors = [
        format!("http://{AWAY}"),
        format!("https://{}/hub", foreign.host()),
    ];
    let own = plain(&origin.host(), &[&mirrors[0], &mirrors[1]]);
    let desk = Desk::for_tables(&[own, plain(AWAY, &[])]);
    let pulled = desk.pull(&format!("{}/a/b:1", origin.host())).ok();
    assert_eq!(warnings(&pulled, AWAY), 1, "{pulled:?}");
    assert_eq!(warnings(&pulled, &format!("{}/hub", foreign.host())), 1);
    pulled.says(&["Connection refused", "no authority that is trusted"]);
}

/// Pulls from a registry with one mirror, both of which answer so; none is away.
fn pull_from(mirror: Option<u16>, own: Option<u16>) -> (Outcome, [String; 2]) {
    let start = |status: Option<u16>| {
        status.map(|status| HostileRegistry::start(None, move |_| Reply::new(status, "")))
    };
    let (mirror, own) = (start(mirror), start(own));
    let host = |stand_in: &Option<HostileRegistry>, away: &str| {
        stand_in
            .as_ref()
            .map_or_else(|| away.to_owned(), HostileRegistry::host)
    };
    let (mirror_host, own_host) = (host(&mirror, AWAY), host(&own, "localhost:2"));
    let desk = Desk::for_tables(&[
        plain(&own_host, &[&format!("http://{mirror_host}")]),
        plain(&mirror_host, &[]),
    ]);
    let pulled = desk.pull(&format!("{own_host}/a/b:1"));
    (pulled, [mirror_host, own_host])
}

#[test]
fn where_all_fail_the_error_names_each_and_ends_by_what_is_worth_another_try() {
    let check = |mirror: Option<u16>, own: Option<u16>, code: i32, says: &[&str]| {
        let (pulled, [mirror_host, own_host]) = pull_from(mirror, own);
        let pulled = pulled.ended_with(code).says(says).says(&[
            &format!("caused by: the mirror `{mirror_host}` did not serve it ("),
            &own_host,
        ]);
        assert_eq!(warnings(&pulled, &mirror_host), 0, "{pulled:?}");
    };
    check(None, None, 9, &["Connection refused"]);
    let hint = format!("hint: as for the mirror `{}", "localhost:");
    check(Some(403), None, 9, &["does not let", &hint]);
    check(None, Some(403), 9, &["does not let", "Connection refused"]);
    check(Some(418), Some(403), 1, &["status 418", "does not let"]);
    check(Some(418), Some(404), 4, &["status 418", "there is no"]);
    // What it says when none has it, it says alone.
    let (pulled, [mirror_host, _]) = pull_from(Some(404), Some(404));
    let pulled = pulled.ended_with(4);
    assert!(!pulled.stderr.contains(&mirror_host), "{pulled:?}");
}

/// A registry with the image of a guest, and a configuration with a mirror of it that is away.
fn mirrored(registry: &Registry, home: &Home) -> (String, PathBuf) {
    let image = registry.reference("tools/echo:1.0");
    let desk = Desk::of(registry);
    desk.push(&paths::guest("echo"), &image, &[]).ok();
    let table = registry.table();
    let (head, rest) = table.split_once('\n').expect("it has lines");
    let tables = format!(
        "{head}\nmirrors = [\"http://{AWAY}/hub\"]\n{rest}\n{}",
        plain(AWAY, &[])
    );
    (image, home.write_secret("config.toml", tables))
}

#[test]
fn run_tells_of_mirrors_and_of_images_of_before_as_a_command_does() {
    let Some(mut registry) = Registry::start() else {
        return;
    };
    let home = Home::new();
    let (image, config) = mirrored(&registry, &home);
    let manifest = Deployment::new()
        .module(Module::image("one", &image))
        .module(Module::image("two", &image))
        .write(&home);
    let config = config.to_str().expect("a path of tests is text");
    let mut options = RunOptions::new(&manifest).args(["--config", config]);
    let start = |options: &RunOptions| {
        let run = options.start(&home);
        run.wait_running();
        let ended = run.interrupt();
        assert!(!ended.stderr.contains(" WARN "), "{ended:?}");
        ended
    };
    assert_eq!(warnings(&start(&options), &format!("{AWAY}/hub")), 1);
    registry.stop();
    options = options.args(["--reapply"]);
    let ended = start(&options);
    for module in ["one", "two"] {
        let told = format!("warning: {module}: the image `{image}` is the one pulled before");
        assert_eq!(ended.stderr.matches(&told).count(), 1, "{ended:?}");
    }
    assert!(ended.stderr.contains("the mirror `localhost:1/hub`"));
}

#[test]
fn the_log_of_a_daemon_has_mirrors_that_did_not_serve_and_images_of_before() {
    let Some(mut registry) = Registry::start() else {
        return;
    };
    let home = Home::new();
    let (image, _) = mirrored(&registry, &home);
    let ca_file = registry.ca_file();
    let own = format!("registries.\"{}\"", registry.host());
    let options = |env: &str| {
        let module = Module::image("echo", &image).env("A", env);
        let manifest = Deployment::new().module(module).write(&home);
        DaemonOptions::of_file(&manifest)
            .set("deployment", "device_id", "board-1")
            .set(&own, "ca_file", ca_file.to_str().expect("text"))
            .set(&own, "mirrors", vec![format!("http://{AWAY}/hub")])
            .set(&format!("registries.\"{AWAY}\""), "plain_http", true)
    };
    let daemon = options("A").start(&home);
    daemon.wait_running();
    let ended = daemon.stop();
    let line = ended
        .stderr
        .lines()
        .find(|line| line.contains("a mirror did not serve"));
    let line = line.unwrap_or_else(|| panic!("{ended:?}"));
    assert!(
        line.contains("localhost:1/hub") && line.contains("Connection refused"),
        "{line}"
    );
    registry.stop();
    let daemon = options("B").start(&home);
    daemon.wait_running();
    let ended = daemon.stop();
    let lines = ended
        .stderr
        .lines()
        .filter(|line| line.contains("an image of before is taken"));
    assert_eq!(lines.count(), 1, "{ended:?}");
}
