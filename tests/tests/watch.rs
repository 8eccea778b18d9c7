//! `run --watch`: what changes in manifests and components is taken over, and all else runs on.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::paths;
use wasm_edge_tests::run::{Run, RunOptions};

/// The same component with other bytes: a custom section, which means nothing, is put behind it.
fn variant(guest: &str, name: u8) -> Vec<u8> {
    let mut bytes = fs::read(paths::guest(guest)).expect("the guest was built");
    bytes.extend([0, 2, 1, name]);
    bytes
}

/// `feed` and a copy of `echo` that tests overwrite; answers the copy and the manifest.
fn deploy(home: &Home) -> (PathBuf, PathBuf) {
    let echo = home.write("echo.wasm", variant("echo", b'0'));
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::of("echo", &echo))
        .pass("feed/out", "echo/in")
        .upstream("echo")
        .write(home);
    (echo, manifest)
}

fn watch<'a>(home: &'a Home, file: &Path) -> Run<'a> {
    let run = RunOptions::new(file).args(["--watch"]).start(home);
    says(&run, "watching; Ctrl-C ends it");
    run
}

/// Waits for a line on standard error.
fn says(run: &Run, text: &str) {
    says_from(run, 0, text);
}

/// The same from a line on; answers the number of the line after it.
fn says_from(run: &Run, from: usize, text: &str) -> usize {
    let stderr = &run.process.stderr;
    let found = stderr.find(from, |line| line.contains(text).then_some(()));
    found
        .unwrap_or_else(|| panic!("waited in vain: {text}\n{}", stderr.text()))
        .1
}

/// What tells one instance from another.
fn instance(run: &Run, module: &str) -> Value {
    let module = run.module(module);
    json!([
        module["lastStartTime"],
        module["imageDigest"],
        module["restartCount"]
    ])
}

/// Sends a body through `feed` and `echo`, and waits for it upstream.
fn passes(run: &Run, body: &str) {
    run.send(&json!([{ "body": body }]));
    run.upstream("echo", 0, |seen| (seen == body).then_some(()));
}

#[test]
fn an_overwritten_component_is_reloaded_and_others_run_on() {
    let home = Home::new();
    let (echo, manifest) = deploy(&home);
    let run = watch(&home, &manifest);
    let (feed, mut before) = (instance(&run, "feed"), instance(&run, "echo"));
    let mut line = 0;
    // As `cp` does, as editors do, and as tools that take the old one away first.
    let ways: [fn(&Path, Vec<u8>); 3] = [
        |path, bytes| fs::write(path, bytes).expect("it can be written"),
        |path, bytes| {
            let new = path.with_extension("new");
            fs::write(&new, bytes).expect("it can be written");
            fs::rename(&new, path).expect("it can be renamed");
        },
        |path, bytes| {
            fs::remove_file(path).expect("it can be removed");
            fs::write(path, bytes).expect("it can be written");
        },
    ];
    for (number, way) in (b'1'..).zip(ways) {
        way(&echo, variant("echo", number));
        line = says_from(&run, line, "reloaded echo in ");
        let now = instance(&run, "echo");
        assert_ne!(now[0], before[0], "it is the old instance");
        assert_ne!(now[1], before[1], "it is the old image");
        before = now;
        passes(&run, &format!("after {number}"));
    }
    assert_eq!(instance(&run, "feed"), feed);
    run.interrupt().ok();
}

#[test]
fn the_same_content_written_anew_reloads_nothing() {
    let home = Home::new();
    let one = home.write("one.wasm", variant("echo", b'0'));
    let two = home.write("two.wasm", variant("echo", b'0'));
    let manifest = Deployment::new()
        .module(Module::of("one", &one))
        .module(Module::of("two", &two))
        .write(&home);
    let text = fs::read(&manifest).expect("the manifest is there");
    let run = watch(&home, &manifest);
    let before = instance(&run, "one");
    fs::write(&manifest, text).expect("it can be written");
    fs::write(&one, variant("echo", b'0')).expect("it can be written");
    // A change that was made after is taken over: by then those before were looked at.
    fs::write(&two, variant("echo", b'1')).expect("it can be written");
    says(&run, "reloaded two in ");
    assert_eq!(instance(&run, "one"), before);
    let ended = run.interrupt().ok();
    assert!(!ended.stderr.contains("applied `"), "{ended:?}");
}

#[test]
fn a_half_written_component_tears_nothing_down() {
    let home = Home::new();
    let (echo, manifest) = deploy(&home);
    let run = watch(&home, &manifest);
    let before = instance(&run, "echo");
    let whole = variant("echo", b'1');
    fs::write(&echo, &whole[..whole.len() / 2]).expect("it can be written");
    let line = says_from(&run, 0, "echo: cannot use its image");
    let line = says_from(&run, line, "what ran before runs on");
    assert_eq!(instance(&run, "echo"), before);
    passes(&run, "meanwhile");
    fs::write(&echo, "something else").expect("it can be written");
    let line = says_from(&run, line, "it is not WebAssembly");
    fs::remove_file(&echo).expect("it can be removed");
    assert_eq!(instance(&run, "echo"), before);
    fs::write(&echo, &whole).expect("it can be written");
    says_from(&run, line, "reloaded echo in ");
    passes(&run, "after");
    run.interrupt().ok();
}

#[test]
fn a_broken_manifest_is_told_with_its_line_and_the_old_one_goes_on() {
    const TYPE: &str = "\"type\": \"wasm\"";
    let home = Home::new();
    let (echo, manifest) = deploy(&home);
    let run = watch(&home, &manifest);
    let before = (instance(&run, "feed"), instance(&run, "echo"));
    let text = fs::read_to_string(&manifest).expect("the manifest is there");
    let write = |text: &str| fs::write(&manifest, text).expect("it can be written");

    write(&text.replace(TYPE, "\"type\": \"wasn\""));
    let line = says_from(&run, 0, "deployment.json: ");
    let said = run.process.stderr.all()[line - 1].clone();
    let number = 1 + text
        .lines()
        .position(|line| line.contains(TYPE))
        .expect("a type");
    assert!(said.contains(&format!("line {number}, column ")), "{said}");
    let line = says_from(&run, line, "what ran before runs on");
    write("{ no JSON");
    let line = says_from(&run, line, "1 fault and was not applied");
    let line = says_from(&run, line, "what ran before runs on");
    // A manifest that is fine but for a component that is not there changes nothing either.
    write(&text.replace("echo.wasm", "nowhere.wasm"));
    let line = says_from(&run, line, "nowhere.wasm`");
    let line = says_from(&run, line, "what ran before runs on");
    assert_eq!((instance(&run, "feed"), instance(&run, "echo")), before);

    // The old manifest still is the one whose components are looked at.
    fs::write(&echo, variant("echo", b'1')).expect("it can be written");
    let line = says_from(&run, line, "reloaded echo in ");
    assert_eq!(instance(&run, "feed"), before.0);
    let before = (instance(&run, "feed"), instance(&run, "echo"));

    // Fixed, with another module in it.
    let fixed = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::of("echo", &echo))
        .module(Module::guest("say"))
        .pass("feed/out", "echo/in")
        .upstream("echo");
    fixed.write(&home);
    says_from(&run, line, "applied `");
    run.wait_module("say", |module| module["ready"] == true);
    assert_eq!((instance(&run, "feed"), instance(&run, "echo")), before);
    passes(&run, "after");
    run.interrupt().ok();
}

#[test]
fn a_manifest_that_came_before_its_component_is_applied_once_that_is_there() {
    let home = Home::new();
    let (echo, manifest) = deploy(&home);
    let run = watch(&home, &manifest);
    let feed = instance(&run, "feed");
    // In a folder that nothing was looked for in so far.
    let late = home.path().join("elsewhere/late.wasm");
    fs::create_dir(home.path().join("elsewhere")).expect("it can be made");
    let more = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::of("echo", &echo))
        .module(Module::of("late", &late))
        .pass("feed/out", "echo/in")
        .upstream("echo");
    more.write(&home);
    let line = says_from(&run, 0, "late.wasm`");
    let line = says_from(&run, line, "what ran before runs on");
    // What is no component yet is told, and the wait goes on; what runs is reloaded meanwhile.
    fs::write(&late, "not yet").expect("it can be written");
    let line = says_from(&run, line, "what ran before runs on");
    fs::write(&echo, variant("echo", b'1')).expect("it can be written");
    let line = says_from(&run, line, "reloaded echo in ");

    fs::write(&late, variant("say", b'0')).expect("it can be written");
    let line = says_from(&run, line, "applied `");
    run.wait_module("late", |module| module["ready"] == true);
    fs::write(&late, variant("say", b'1')).expect("it can be written");
    says_from(&run, line, "reloaded late in ");
    assert_eq!(instance(&run, "feed"), feed);
    run.interrupt().ok();
}

#[test]
fn messages_in_the_queue_are_handled_once_while_their_module_is_reloaded() {
    const MESSAGES: u64 = 400;
    const RELOADS: u8 = 4;
    let home = Home::new();
    let (echo, manifest) = deploy(&home);
    let run = watch(&home, &manifest);
    let mut line = 0;
    for reload in 0..RELOADS {
        let first = u64::from(reload) * MESSAGES / u64::from(RELOADS);
        let after = u64::from(reload + 1) * MESSAGES / u64::from(RELOADS);
        let order = |number: u64| json!({ "body": number });
        let orders: Vec<Value> = (first..after).map(order).collect();
        run.send(&json!(orders[..orders.len() / 2]));
        fs::write(&echo, variant("echo", b'1' + reload)).expect("it can be written");
        run.send(&json!(orders[orders.len() / 2..]));
        line = says_from(&run, line, "reloaded echo in ");
    }
    let mut seen = Vec::new();
    let mut next = 0;
    while seen.len() < MESSAGES as usize {
        let (body, after) = run.upstream("echo", next, |body| body.as_u64());
        seen.push(body);
        next = after;
    }
    // Whatever comes after all these would be one of them a second time.
    run.send(&json!([{ "body": "last" }]));
    let (last, _) = run.upstream("echo", next, |body| Some(body.clone()));
    assert_eq!(last, "last");
    assert!(
        seen.into_iter().eq(0..MESSAGES),
        "not in order, or not once"
    );
    run.interrupt().ok();
}

#[test]
fn a_single_component_is_watched_too() {
    let home = Home::new();
    let echo = home.write("echo.wasm", variant("echo", b'0'));
    let mut run = RunOptions::new(&echo).fed().args(["--watch"]).start(&home);
    says(&run, "watching");
    run.feed(&json!({ "body": "before" }));
    run.upstream("echo", 0, |body| (body == "before").then_some(()));
    fs::write(&echo, variant("echo", b'1')).expect("it can be written");
    says(&run, "reloaded echo in ");
    run.feed(&json!({ "body": "after" }));
    run.upstream("echo", 0, |body| (body == "after").then_some(()));
    // Its messages are over, and it goes on watching.
    run.process.close_input();
    fs::write(&echo, variant("echo", b'2')).expect("it can be written");
    let line = says_from(&run, 0, "reloaded echo in ");
    says_from(&run, line, "reloaded echo in ");
    run.interrupt().ok();
}
