//! What an author does: `new`, `cargo test`, `build`, `run`, each from an empty folder and without a network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::paths;
use wasm_edge_tests::run::RunOptions;

/// A crate that `new` made, in a folder of its own.
struct Author {
    home: Home,
    folder: PathBuf,
}

impl Author {
    /// Makes a crate. What cargo builds of the SDK and its dependencies stays from one test to the next, and from
    /// one run of the tests to the next; crates do not.
    fn new(name: &str, template: &str) -> Self {
        let kept = paths::target().join("authors");
        let desk = kept.join("desks").join(name);
        let _ = fs::remove_dir_all(&desk);
        fs::create_dir_all(&desk).expect("a folder in `target` can be made");
        let author = Self {
            home: Home::new(),
            folder: desk.join(name),
        };
        let args = ["new", name, "--template", template, "--output", "json"];
        let made = author.wasm_edge(&args, &desk).ok().json();
        assert_eq!(made["path"], json!(author.folder), "{made}");
        let sdk = made["sdk"]["path"].as_str().expect("the SDK's folder");
        assert!(Path::new(sdk).starts_with(kept.join("share")), "{made}");
        for file in made["files"].as_array().expect("files") {
            let file = author.folder.join(file.as_str().expect("a path"));
            assert!(file.is_file(), "{}", file.display());
        }
        // Where a manifest looks for the component is a folder that several crates share here.
        fs::create_dir_all(kept.join("target")).expect("a folder in `target` can be made");
        std::os::unix::fs::symlink(kept.join("target"), author.folder.join("target"))
            .expect("a link can be made");
        author
    }

    /// Runs the binary to its end, as somebody who works in this folder.
    fn wasm_edge(&self, args: &[&str], folder: &Path) -> Outcome {
        let command = self.home.command(args);
        run(as_author(command, folder))
    }

    /// Runs cargo to its end in the crate's folder.
    fn cargo(&self, args: &[&str]) -> Outcome {
        let command = self.home.program("cargo", args);
        run(as_author(command, &self.folder))
    }

    /// Formats, lints and tests it; then builds it and answers what came out.
    fn check_and_build(&self) -> Value {
        self.cargo(&["fmt", "--check"]).ok();
        self.cargo(&["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"])
            .ok();
        let tested = self.cargo(&["test", "--quiet"]).ok();
        assert!(tested.stdout.contains("test result: ok. "), "{tested:?}");
        assert!(!tested.stdout.contains(" 0 passed"), "{tested:?}");
        let built = self.wasm_edge(&["build", "--output", "json"], &self.folder);
        let built = built.ok().says(&["built in "]).json();
        let component = &built["components"][0];
        let size = component["sizeBytes"].as_u64().expect("a size");
        assert!(size < 300_000, "it is not small: {built}");
        assert_eq!(built["components"].as_array().map(Vec::len), Some(1));
        // The component does with what came along what it is to do.
        let path = self.path_of(component);
        let path = path.to_str().expect("a plain path");
        let files = ["--messages", "messages.ndjson", "--expect", "expect.ndjson"];
        let args = [&["test", path], &files[..]].concat();
        let tested = self.wasm_edge(&args, &self.folder).ok();
        assert!(tested.stdout.starts_with("passed: "), "{tested:?}");
        component.clone()
    }

    fn path_of(&self, component: &Value) -> PathBuf {
        component["path"].as_str().expect("a path").into()
    }
}

/// With cargo's and rustup's own folders, where the machine has them, and no network.
fn as_author(mut command: Command, folder: &Path) -> Command {
    command
        .current_dir(folder)
        .env("XDG_DATA_HOME", paths::target().join("authors/share"))
        .env("CARGO_NET_OFFLINE", "true");
    let home = std::env::var_os("HOME").map(PathBuf::from);
    for (name, below_home) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let set = std::env::var_os(name).map(PathBuf::from);
        if let Some(path) = set.or_else(|| Some(home.as_ref()?.join(below_home))) {
            command.env(name, path);
        }
    }
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

fn run(mut command: Command) -> Outcome {
    command.output().expect("it can be started").into()
}

#[test]
fn a_module_for_messages_is_made_tested_built_and_run() {
    let author = Author::new("door-bell", "message");
    let component = author.check_and_build();
    assert_eq!(component["kind"], "handlers");
    assert_eq!(component["handlers"], json!(["message", "twin"]));
    let imports = component["imports"].as_array().expect("imports");
    assert!(imports.contains(&json!("wasm-edge:module/messages@0.1.0")));
    assert!(component["memoryInitialBytes"].as_u64() > Some(65_535));

    let component = author.path_of(&component);
    let mut run = RunOptions::new(&component).fed().start(&author.home);
    run.feed(&json!({ "bodyText": "Ada" }));
    run.upstream("door_bell", 0, |body| (body == "Hello, Ada!").then_some(()));
    run.interrupt().ok();

    // The deployment that came with it finds the component where it was built, and runs.
    let run = RunOptions::new(&author.folder.join("deployment.json")).start(&author.home);
    run.wait_module("door-bell", |module| module["ready"] == true);
    let desired = &run.twin("door-bell")["properties"]["desired"];
    assert_eq!(desired["greeting"], "Hello");
    run.interrupt().ok();
    watches_its_sources(&author);
}

/// `run --watch` in the crate's folder: what is written is built and runs, what does not compile changes nothing.
fn watches_its_sources(author: &Author) {
    let options = RunOptions::new(Path::new(".")).args(["--watch"]);
    let mut command = author.home.command(options.command_line(&author.home));
    command = as_author(command, &author.folder);
    let run = options.start_command(&author.home, command);
    let stderr = &run.process.stderr;
    let says = |from: usize, text: &str| {
        let found = stderr.find(from, |line| line.contains(text).then_some(()));
        found
            .unwrap_or_else(|| panic!("waited in vain: {text}\n{}", stderr.text()))
            .1
    };
    let line = says(0, "watching");
    let source = author.folder.join("src/lib.rs");
    let text = fs::read_to_string(&source).expect("the source is there");
    let start_time = || run.module("door-bell")["lastStartTime"].clone();
    let before = start_time();

    let write = |text: &str| fs::write(&source, text).expect("the source can be written");
    write(&text.replace("self.greeted += 1;", "self.greeted += one;"));
    let line = says(line, "error[E0425]");
    let line = says(line, "what ran before runs on");
    assert_eq!(start_time(), before);

    write(&text.replace("{}, {name}!", "{} and welcome, {name}!"));
    let line = says(line, "built in ");
    says(line, "reloaded door-bell in ");
    assert_ne!(start_time(), before);
    run.verb(&["send", "door-bell", "--input", "names", "Ada"])
        .ok();
    run.upstream("door-bell", 0, |body| {
        (body == "Hello and welcome, Ada!").then_some(())
    });
    run.interrupt().ok();
}

#[test]
fn a_module_with_a_timer_is_made_tested_built_and_run() {
    let author = Author::new("ticker", "timer");
    let component = author.check_and_build();
    assert_eq!(component["handlers"], json!(["method", "timer", "twin"]));
    let run = RunOptions::new(&author.folder.join("deployment.json")).start(&author.home);
    run.upstream("ticker", 0, |body| (body["count"] == 2).then_some(()));
    run.wait_reported("ticker", "/interval_ms", &json!(1000));
    run.interrupt().ok();
}

#[test]
fn a_program_is_made_tested_built_and_run() {
    let author = Author::new("relay", "program");
    let component = author.check_and_build();
    assert_eq!(component["kind"], "program");
    assert_eq!(component["handlers"], json!([]));
    let built = author.path_of(&component);
    let mut run = RunOptions::new(&built).fed().start(&author.home);
    run.feed(&json!({ "bodyText": "one" }));
    run.feed(&json!({ "bodyText": "two" }));
    run.upstream("relay", 0, |body| (body == "two").then_some(()));
    run.interrupt().ok();

    // An error of the compiler's is passed through, and what was built before stays.
    let source = author.folder.join("src/main.rs");
    let text = fs::read_to_string(&source).expect("the source is there");
    fs::write(&source, text + "\nfn broken() -> u32 {}\n").expect("the source can be written");
    author
        .wasm_edge(&["build"], &author.folder)
        .ended_with(1)
        .says(&[
            "error[E0308]",
            "src/main.rs",
            "error: cannot build `.`",
            "caused by: cargo ended with",
        ]);
    assert!(built.is_file());
}

#[test]
fn a_folder_with_something_in_it_and_a_name_that_cannot_be_are_refused() {
    let home = Home::new();
    fs::create_dir(home.path().join("full")).expect("a folder");
    home.write("full/mine", "mine");
    home.verb(&["new", "full"])
        .ended_with(2)
        .says(&["is not empty", "hint:"]);
    for name in ["Upper", "a/b", "..", "fn", "test", ""] {
        home.verb(&["new", name])
            .ended_with(2)
            .says(&["cannot be the name", "caused by:"]);
    }
    let entries = fs::read_dir(home.path()).expect("the home");
    assert_eq!(entries.count(), 1, "something was made");
    let kept = fs::read(home.path().join("full/mine")).expect("the file");
    assert_eq!(kept, b"mine");
}

#[test]
fn a_home_that_takes_nothing_is_an_error_with_ways_out() {
    let home = Home::new();
    // Nothing can be made below a file, whoever one is.
    let file = home.write("file", "");
    let new = |args: &[&str]| {
        let mut command = home.command(["new", "greeter"].iter().chain(args));
        command.env("XDG_DATA_HOME", &file);
        run(command)
    };
    new(&[])
        .ended_with(1)
        .says(&["cannot unpack the SDK", "hint: ", "--sdk-dir", "--sdk PATH"]);
    assert!(!home.path().join("greeter").exists());
    new(&["--sdk-dir", "sdks"]).ok();
    let cargo = fs::read_to_string(home.path().join("greeter/Cargo.toml")).expect("a manifest");
    let sdk = home.path().join("sdks");
    assert!(cargo.contains(&format!("{}/", sdk.display())), "{cargo}");
}

#[test]
fn another_sdk_is_taken_where_one_is_named() {
    let home = Home::new();
    let manifest = |name: &str| {
        let path = home.path().join(name).join("Cargo.toml");
        fs::read_to_string(path).expect("a manifest")
    };
    let sdk = paths::repository().join("sdk-guest");
    let sdk = sdk.to_str().expect("a plain path");
    let made = home.verb(&["new", "one", "--sdk", sdk]).ok();
    assert!(!made.stderr.contains("warning"), "{made:?}");
    assert!(manifest("one").contains(&format!("path = \"{sdk}\"")));

    home.verb(&["new", "two", "--sdk", "0.1"]).ok();
    assert!(manifest("two").contains("wasm-edge-sdk = { version = \"0.1\" }"));

    fs::create_dir(home.path().join("old")).expect("a folder");
    home.write(
        "old/Cargo.toml",
        "[package]\nname = \"wasm-edge-sdk\"\nversion = \"0.0.1\"\n",
    );
    home.verb(&["new", "three", "--sdk", "old"])
        .ok()
        .says(&["warning: the SDK in", "is 0.0.1, this is wasm-edge 0.1.0"]);

    home.verb(&["new", "four", "--sdk", "nowhere"])
        .ended_with(4)
        .says(&["neither a folder nor a version"]);
    home.verb(&["new", "four", "--sdk", "one"])
        .ended_with(4)
        .says(&["is not the folder of an SDK"]);
    assert!(!home.path().join("four").exists());
    // None of these needed the carried one.
    assert!(!home.path().join("share").exists());
}

#[test]
fn what_is_no_crate_and_what_has_no_sdk_is_not_built() {
    let author = Author {
        home: Home::new(),
        folder: PathBuf::new(),
    };
    let home = &author.home;
    let build = |path: &str| author.wasm_edge(&["build", path], home.path());
    build(".")
        .ended_with(4)
        .says(&["no crate in `.`", "`wasm-edge new NAME`"]);
    home.verb(&["new", "greeter", "--sdk-dir", "sdks"]).ok();
    fs::remove_dir_all(home.path().join("sdks")).expect("the SDK was unpacked");
    build("greeter").ended_with(4).says(&[
        "the SDK in `",
        "is not there",
        "hint: that of this version is in `",
    ]);
    // A manifest that cargo does not understand is cargo's to tell.
    home.write("greeter/Cargo.toml", "[package\n");
    build("greeter/Cargo.toml")
        .ended_with(1)
        .says(&["Cargo.toml", "cargo ended with exit status: 101"]);
}

#[test]
fn a_compiler_that_makes_no_components_is_told_before_it_tries() {
    let author = Author {
        home: Home::new(),
        folder: PathBuf::new(),
    };
    let home = &author.home;
    home.verb(&["new", "greeter"]).ok();
    // It answers as a compiler does that has not got the target: with a folder that is not there.
    let rustc = home.write("rustc", "#!/bin/sh\necho /nowhere/lib\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&rustc, executable).expect("rights can be set");
    let mut command = as_author(home.command(["build", "greeter"]), home.path());
    command.env("XDG_DATA_HOME", home.path().join("share"));
    command.env("RUSTC", &rustc);
    run(command).ended_with(1).says(&[
        "the compiler's target `wasm32-wasip2` is not installed",
        "hint: `rustup target add wasm32-wasip2`",
    ]);
}
