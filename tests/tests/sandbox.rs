//! What a module can reach of the device's files: its own `/data` and what was granted, and nothing by any detour.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, RunOptions, Telemetry, body};

/// `feed` orders, the guest answers upstream.
fn deployment(guest: Module, name: &str) -> Deployment {
    Deployment::new()
        .module(Module::guest("feed"))
        .module(guest)
        .pass("feed/out", &format!("{name}/in"))
        .upstream(name)
}

/// A folder of the host with some things in it that a module may see, and some that it may not.
fn host_files(home: &Home) {
    for folder in ["granted", "granted/deep", "writable"] {
        fs::create_dir(home.path().join(folder)).expect("a folder can be made");
    }
    home.write("secret", "nobody's business");
    home.write("reading", "42");
    home.write("granted/inside", "come in");
    home.write("granted/deep/er", "deeper");
    let link = |to: &str, name: &str| {
        symlink(to, home.path().join(name)).expect("a link can be made");
    };
    link("../secret", "granted/up");
    link("/etc/passwd", "granted/absolute");
    link("/proc/self", "granted/proc");
    link("inside", "granted/within");
}

fn files(home: &Home, limit_bytes: Option<u64>) -> Module {
    let path = |name: &str| home.path().join(name).display().to_string();
    let files = Module::guest("files").wasm(
        "grants",
        json!([
            { "folder": path("granted"), "as": "/granted" },
            { "folder": path("writable"), "as": "/writable", "access": "read-write" },
            { "file": path("reading"), "as": "/in/reading" },
            { "file": "/proc/loadavg" },
        ]),
    );
    match limit_bytes {
        Some(limit_bytes) => files.wasm("dataLimitBytes", limit_bytes),
        None => files,
    }
}

/// The guest `files` with a device to itself.
struct Shell<'a> {
    run: Run<'a>,
    telemetry: Telemetry,
}

impl<'a> Shell<'a> {
    fn start(home: &'a Home, files: Module) -> Self {
        let manifest = deployment(files, "files").write(home);
        let run = Run::of(home, &manifest);
        let telemetry = run.telemetry();
        Self { run, telemetry }
    }

    /// What the module gets: a value, or the name of an error.
    fn does(&mut self, op: &str, path: &str, rest: Value) -> Result<Value, String> {
        let mut order = json!({ "op": op, "path": path });
        for (key, value) in rest.as_object().into_iter().flatten() {
            order[key] = value.clone();
        }
        self.run.send(&json!([{ "body": order }]));
        let answer = body(&self.telemetry.next("files"));
        match answer.get("error") {
            Some(error) => Err(error.as_str().expect("errors have names").to_owned()),
            None => Ok(answer["ok"].clone()),
        }
    }

    fn reads(&mut self, path: &str) -> Result<Value, String> {
        self.does("read", path, Value::Null)
    }

    fn writes(&mut self, path: &str, text: &str) -> Result<Value, String> {
        self.does("write", path, json!({ "text": text }))
    }

    #[track_caller]
    fn cannot(&mut self, op: &str, path: &str, rest: Value) -> String {
        match self.does(op, path, rest) {
            Ok(value) => panic!("`{op}` of `{path}` went well: {value}"),
            Err(error) => error,
        }
    }
}

#[test]
fn a_module_sees_its_data_and_what_was_granted() {
    let home = Home::new();
    host_files(&home);
    let mut shell = Shell::start(&home, files(&home, None));
    assert_eq!(shell.reads("/granted/inside"), Ok(json!("come in")));
    assert_eq!(shell.reads("/granted/deep/er"), Ok(json!("deeper")));
    assert_eq!(shell.reads("/granted/within"), Ok(json!("come in")));
    assert_eq!(shell.reads("/granted/deep/../inside"), Ok(json!("come in")));
    assert_eq!(shell.reads("/in/reading"), Ok(json!("42")));
    let load = shell.reads("/proc/loadavg").expect("it was granted");
    let said = fs::read_to_string("/proc/loadavg").expect("each Linux has it");
    let fields = |text: &str| text.split_whitespace().count();
    assert_eq!(fields(load.as_str().expect("text")), fields(&said));

    shell
        .writes("/data/own", "mine")
        .expect("it is the module's own");
    assert_eq!(shell.reads("/data/own"), Ok(json!("mine")));
    shell
        .writes("/writable/out", "yours")
        .expect("it was granted");
    let written = fs::read_to_string(home.path().join("writable/out"));
    assert_eq!(written.expect("it is there"), "yours");

    // A file that is replaced, as those of sensors are, is seen as it is now.
    home.write("new", "43");
    fs::rename(home.path().join("new"), home.path().join("reading")).expect("renamed");
    assert_eq!(shell.reads("/in/reading"), Ok(json!("43")));
    shell.run.interrupt().ok();
}

#[test]
fn no_detour_leads_to_other_files() {
    let home = Home::new();
    host_files(&home);
    let mut shell = Shell::start(&home, files(&home, None));
    let secret = home.path().join("secret").display().to_string();
    let other_data = home.in_data("devices").display().to_string();
    for path in [
        secret.as_str(),
        "/etc/passwd",
        "/granted/../secret",
        "/granted/up",
        "/granted/absolute",
        "/granted/proc/mem",
        "/granted/proc/environ",
        "/granted/../../../../../../etc/passwd",
        "/data/../../../../../../../../etc/passwd",
        "/in/../reading",
        "/in/secret",
        "/proc/meminfo",
        "/proc/self/mem",
        "/proc/loadavg/../meminfo",
        "/proc/loadavg/../self/maps",
    ] {
        shell.cannot("read", path, Value::Null);
        shell.cannot("size", path, Value::Null);
    }
    for path in [
        "/",
        "/proc",
        "/in",
        "/etc",
        "/granted/..",
        "/granted/proc",
        &other_data,
    ] {
        shell.cannot("list", path, Value::Null);
    }

    // Links of its own making: wherever they point to, they lead nowhere.
    for (n, to) in [
        "/etc/passwd",
        "../../../../../../../etc/passwd",
        "/proc/self/mem",
        &secret,
    ]
    .iter()
    .enumerate()
    {
        let link = format!("/data/link{n}");
        if shell.does("symlink", to, json!({ "to": link })).is_ok() {
            shell.cannot("read", &link, Value::Null);
            shell.cannot("write", &link, json!({ "text": "x" }));
        }
    }
    shell.writes("/data/own", "mine").expect("written");
    for (op, path, to) in [
        ("rename", "/data/own", "/writable/own"),
        ("rename", "/writable/../secret", "/writable/own"),
        ("rename", "/granted/inside", "/data/inside"),
        ("rename", "/data/own", "/data/../own"),
        ("hard_link", "/granted/inside", "/data/inside"),
        ("hard_link", "/data/own", "/writable/own"),
        ("hard_link", "/granted/up", "/data/up"),
        ("hard_link", "/in/reading", "/data/reading"),
    ] {
        shell.cannot(op, path, json!({ "to": to }));
    }
    assert_eq!(shell.reads("/data/own"), Ok(json!("mine")));
    assert_eq!(
        fs::read_dir(home.path().join("writable"))
            .expect("there")
            .count(),
        0
    );
    shell.run.interrupt().ok();
}

#[test]
fn what_was_granted_for_reading_cannot_be_changed() {
    let home = Home::new();
    host_files(&home);
    let mut shell = Shell::start(&home, files(&home, None));
    for (op, path) in [
        ("write", "/granted/inside"),
        ("append", "/granted/inside"),
        ("write", "/granted/new"),
        ("remove", "/granted/inside"),
        ("create_folder", "/granted/new"),
        ("write", "/in/reading"),
        ("append", "/in/reading"),
        ("remove", "/in/reading"),
        ("write", "/in/new"),
        ("write", "/proc/loadavg"),
    ] {
        shell.cannot(op, path, json!({ "text": "changed" }));
    }
    for op in ["rename", "symlink", "hard_link"] {
        shell.cannot(op, "/granted/inside", json!({ "to": "/granted/moved" }));
    }
    let read = |name: &str| fs::read_to_string(home.path().join(name)).expect("it is there");
    assert_eq!(
        (read("granted/inside").as_str(), read("reading").as_str()),
        ("come in", "42")
    );
    shell.run.interrupt().ok();
}

#[test]
fn a_full_data_folder_is_named_and_space_comes_back() {
    let home = Home::new();
    host_files(&home);
    let mut shell = Shell::start(&home, files(&home, Some(16 * 4096)));
    for n in 0..16 {
        shell
            .writes(&format!("/data/{n}"), "x")
            .expect("there is room");
    }
    assert_eq!(
        shell.writes("/data/more", "x"),
        Err("quota exceeded".to_owned())
    );
    let folder = json!({ "text": "" });
    assert_eq!(
        shell.cannot("create_folder", "/data/d", folder),
        "quota exceeded"
    );
    let full = "`/data` is full: 65536 of 65536 bytes are used, and 4096 more were wanted";
    let line = shell.run.wait_log("files", full);
    assert_eq!(
        (&line["stream"], &line["level"]),
        (&json!("host"), &json!("warn"))
    );
    // Files that are there can be written within their blocks.
    shell
        .writes("/data/0", &"x".repeat(4096))
        .expect("it has a block");
    shell.cannot("append", "/data/0", json!({ "text": "x" }));
    assert_eq!(shell.does("size", "/data/0", Value::Null), Ok(json!(4096)));
    // Elsewhere nothing of it is felt.
    shell
        .writes("/writable/more", &"x".repeat(100_000))
        .expect("it has no quota");

    shell
        .does("remove", "/data/1", Value::Null)
        .expect("removed");
    shell
        .writes("/data/more", "x")
        .expect("there is room again");
    assert_eq!(
        shell.writes("/data/still more", "x"),
        Err("quota exceeded".to_owned())
    );
    shell.run.interrupt().ok();
}

/// Starts a module with this grant; it must not start, for this reason.
fn is_refused(home: &Home, kind: &str, path: &Path, reason: &str) {
    let grants = json!([{ kind: path, "as": "/granted" }]);
    let module = Module::guest("files").wasm("grants", grants);
    let manifest = deployment(module, "files").write(home);
    let run = RunOptions::new(&manifest).args(["--reapply"]).start(home);
    let seen = run.wait_module("files", |module| module["status"] == "backoff");
    let said = seen["statusDescription"].as_str().expect("text");
    assert!(
        said.starts_with("cannot start: ") && said.contains(reason),
        "{path:?}: {said}"
    );
    assert!(
        said.contains(path.to_str().expect("text")),
        "{path:?}: {said}"
    );
    run.interrupt().ok();
}

#[test]
fn a_link_to_what_is_never_granted_is_refused_by_where_it_leads() {
    let home = Home::new();
    let link = |to: &str, name: &str| {
        let path = home.path().join(name);
        symlink(to, &path).expect("a link can be made");
        path
    };
    is_refused(&home, "folder", &link("/proc", "all"), "other processes");
    is_refused(
        &home,
        "folder",
        &link("/proc/self", "me"),
        "other processes",
    );
    is_refused(&home, "folder", &link("/", "root"), "the whole file system");
    is_refused(
        &home,
        "folder",
        &link("/dev", "devices"),
        "it holds devices",
    );
    let memory = link("/proc/self/mem", "memory");
    is_refused(&home, "file", &memory, "the kernel's memory");
    let detour = home.path().join("me/maps");
    is_refused(&home, "file", &detour, "the kernel's memory");
}

#[test]
fn the_device_s_own_data_is_never_granted() {
    let home = Home::new();
    fs::create_dir(home.data()).expect("made");
    is_refused(&home, "folder", &home.data(), "this device's own data");
    is_refused(&home, "folder", home.path(), "this device's own data");
    is_refused(
        &home,
        "folder",
        &home.in_data("devices"),
        "this device's own data",
    );
    let sneaky = home.path().join("sneaky");
    symlink(home.in_data("devices"), &sneaky).expect("a link can be made");
    is_refused(&home, "folder", &sneaky, "this device's own data");
}

#[test]
fn a_grant_that_is_not_there_is_noted_and_the_module_does_without() {
    let home = Home::new();
    let missing = home.path().join("no-such-sensor").display().to_string();
    let module = Module::guest("files").wasm("grants", json!([{ "file": missing }]));
    let mut shell = Shell::start(&home, module);
    let line = shell
        .run
        .wait_log("files", &format!("the granted `{missing}` is not there"));
    assert_eq!(line["level"], "warn");
    shell.cannot("read", &missing, Value::Null);
    shell.writes("/data/own", "mine").expect("the rest works");
    shell.run.interrupt().ok();
}

#[test]
fn no_memory_of_any_process_is_to_be_had_through_a_file_of_procfs() {
    let home = Home::new();
    let module = Module::guest("proc-mem").wasm(
        "grants",
        json!([{ "file": "/proc/loadavg" }, { "file": "/proc/meminfo", "as": "/proc/self/status" }]),
    );
    let manifest = deployment(module, "proc-mem").write(&home);
    let run = Run::of(&home, &manifest);
    let mut telemetry = run.telemetry();
    run.send(&json!([{ "body": Value::Null }]));
    let seen = body(&telemetry.next("proc-mem"));
    let paths = seen["paths"].as_object().expect("what came of each path");
    assert!(paths.len() > 10, "{seen}");
    for (path, what) in paths {
        assert_ne!(what, "opened", "{path}");
    }
    assert_eq!(seen["listed"], 0);
    run.interrupt().ok();
}
