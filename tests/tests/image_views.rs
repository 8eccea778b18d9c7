//! What is said of images: by which names they are found, what `deploy check` knows of them.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};
use wasm_edge_tests::desk::Desk;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::paths;
use wasm_edge_tests::process::Process;
use wasm_edge_tests::registry::Registry;

/// What is below this key, which is a text.
#[track_caller]
fn text(value: &Value, key: &str) -> String {
    let found = value[key].as_str();
    found
        .unwrap_or_else(|| panic!("no `{key}` in {value:#}"))
        .to_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path of tests is text")
}

/// A deployment of one module with this image.
fn deployment(desk: &Desk, image: &str, pull_policy: &str) -> String {
    let module = json!({
        "type": "docker", "status": "running", "restartPolicy": "always", "imagePullPolicy": pull_policy,
        "settings": { "image": image },
    });
    let manifest = json!({ "modulesContent": {
        "$edgeAgent": { "properties.desired": {
            "schemaVersion": "1.1", "runtime": { "type": "docker", "settings": {} }, "modules": { "echo": module },
        } },
        "$edgeHub": { "properties.desired": { "schemaVersion": "1.1", "routes": {} } },
    } });
    let manifest = desk.home.write(
        &format!("deployment-{pull_policy}.json"),
        manifest.to_string(),
    );
    path(&manifest).to_owned()
}

/// `deploy check` of a file, as JSON and as text.
fn check(desk: &Desk, args: &[&str]) -> (Outcome, Outcome) {
    let json = [&["deploy", "check"], args, &["--output", "json"]].concat();
    let text = [&["deploy", "check"], args].concat();
    (desk.home.verb(&json), desk.home.verb(&text))
}

#[test]
fn an_image_is_found_by_digits_of_either_digest_and_several_are_named() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let desk = Desk::of(&registry);
    let [one, two] = ["tools/echo:1.0", "tools/echo:2.0"].map(|name| registry.reference(name));
    let pushed = desk.push(&paths::guest("echo"), &one, &[]).ok().json();
    let (digest, component) = (text(&pushed, "digest"), text(&pushed, "componentDigest"));
    desk.pull(&one).ok();
    let digits = &digest["sha256:".len()..];
    let named = [
        digest.clone(),
        digest.to_uppercase(),
        format!("sha256:{}", &digits[..6]),
        digits[..4].to_owned(),
        digits[..20].to_uppercase(),
        component.clone(),
        component["sha256:".len()..][..12].to_owned(),
    ];
    for name in &named {
        let shown = desk.image(&["inspect", name]).ok().json();
        assert_eq!(shown["digest"], digest, "{name}");
        let tar = desk.home.path().join(format!("{}.tar", name.len()));
        desk.image(&["save", name, "--to", path(&tar)]).ok();
    }
    desk.image(&["inspect", &digits[..3]])
        .ended_with(4)
        .says(&["does not have", "4 digits or more"]);

    // Another image of the same component.
    let also = ["--annotation", "com.example.line=7"];
    let other = desk.push(&paths::guest("echo"), &two, &also).ok().json();
    assert_eq!(text(&other, "componentDigest"), component);
    desk.pull(&two).ok();
    for verb in ["inspect", "remove"] {
        desk.image(&[verb, &component]).ended_with(1).says(&[
            "may be one of 2 images",
            "say which",
            &one,
            &two,
        ]);
    }
    let removed = desk.image(&["remove", &digits[..8]]).ok().json();
    assert_eq!(removed["removed"][0]["names"], json!([one]));
    assert_eq!(desk.list()["images"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_same_file_pushed_again_is_the_same_image() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let desk = Desk::of(&registry);
    let file = paths::guest("echo");
    let image = |name: &str| registry.reference(name);
    let first = desk.push(&file, &image("a/echo:1"), &[]).ok().json();
    let again = desk.push(&file, &image("b/echo:2"), &[]).ok().json();
    assert_eq!(first["digest"], again["digest"]);

    let push = |name: &str, file: &Path, epoch: &str| {
        let image = image(name);
        let args = ["image", "push", path(file), &image, "--output", "json"];
        let mut command = desk.home.command(args);
        command.args(["--config", desk.config()]);
        command.env("SOURCE_DATE_EPOCH", epoch);
        Outcome::from(command.output().expect("the binary can be started"))
    };
    // A copy, made now, of that time all the same.
    let copied = desk.home.path().join("copies");
    fs::create_dir(&copied).expect("a folder can be made");
    let copy = copied.join(file.file_name().expect("a file has a name"));
    fs::copy(&file, &copy).expect("it can be copied");
    let digests = [&file, &copy].map(|file| {
        let pushed = push("c/echo:1", file, "1000000000").ok().json();
        let annotations = &pushed["annotations"];
        let created = text(annotations, "org.opencontainers.image.created");
        assert!(created.starts_with("2001-09-09T01:46:40"), "{created}");
        text(&pushed, "digest")
    });
    assert_eq!(digests[0], digests[1]);
    push("c/echo:2", &file, "yesterday")
        .ended_with(7)
        .says(&["SOURCE_DATE_EPOCH"]);
}

#[test]
fn the_limits_of_a_configuration_hold_for_all_verbs_of_images() {
    let desk = Desk::for_tables(&["[images]\nmax_bytes = 2097152\n".to_owned()]);
    let config = ["--config", desk.config()];
    let listed = desk.image(&[&["list"], &config[..]].concat()).ok().json();
    assert_eq!(listed["maxBytes"], 2_097_152);
    desk.image(&[&["prune"], &config[..]].concat()).ok();
    let large = vec![0; 3_000_000];
    let tar = desk.home.write("large.tar", large);
    for args in [
        &["load", path(&tar)][..],
        &["inspect", "none"],
        &["remove", "none"],
        &["save", "none", "--to", "none.tar"],
    ] {
        let ended = desk.image(&[args, &config].concat());
        assert_ne!(ended.status, Some(2), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn what_images_of_the_store_need_is_known_and_judged_by_the_policy() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let desk = Desk::of(&registry);
    let image = registry.reference("tools/echo:1.0");
    let pushed = desk.push(&paths::guest("echo"), &image, &[]).ok().json();
    let manifest = deployment(&desk, &image, "on-create");
    let never = deployment(&desk, &image, "never");
    let data = desk.home.data();
    let data = path(&data);

    // Without a device, with one that has nothing, and with one that has the image.
    let (report, shown) = check(&desk, &[&manifest]);
    let report = report.ok().json();
    assert_eq!(report["modules"][0]["imageAt"], "unknown");
    assert_eq!(report["memory"]["freeBytes"], Value::Null);
    shown.ok().says(&["--data-dir DIR"]);

    let (report, shown) = check(&desk, &[&manifest, "--data-dir", data]);
    let report = report.ok().json();
    assert_eq!(report["modules"][0]["imageAt"], "nowhere");
    assert_eq!(report["modules"][0]["neededBytes"], Value::Null);
    let pull = format!("wasm-edge image pull IMAGE --data-dir {data}");
    let shown = shown.ok().says(&[&pull]);
    assert!(shown.stdout.contains("was not pulled"), "{}", shown.stdout);
    assert!(!desk.home.data().exists(), "a check makes nothing");
    let (report, _) = check(&desk, &[&never, "--data-dir", data]);
    let report = report.ended_with(78).says(&["a device would refuse"]);
    assert!(report.json()["refusals"][0].to_string().contains("`never`"));

    desk.pull(&image).ok();
    let (report, shown) = check(&desk, &[&never, "--data-dir", data]);
    let report = report.ok().json();
    let module = &report["modules"][0];
    assert_eq!(module["imageAt"], "store");
    assert_eq!(module["imageDigest"], pushed["digest"]);
    let needed = module["neededBytes"].as_u64().expect("it is known");
    assert!(needed >= 65_536, "{report:#}");
    assert_eq!(report["memory"]["neededBytes"], needed);
    assert!(report["memory"]["freeBytes"].as_u64() > Some(needed));
    assert!(shown.ok().stdout.contains(" free"));

    // The policy of the device.
    let policy = |lines: &str| {
        let config = desk
            .home
            .write("policy.toml", format!("[policy]\n{lines}\n"));
        check(
            &desk,
            &[&manifest, "--data-dir", data, "--config", path(&config)],
        )
    };
    let (report, _) = policy("memory_max_bytes = 20971520");
    let report = report.ok().json();
    assert_eq!(report["memory"]["policyMaxBytes"], 20_971_520);
    let (report, shown) = policy("memory_max_bytes = 20971519");
    let report = report.ended_with(78).json();
    let expected = "the policy of the device has 20971519 for them";
    assert!(report["refusals"][0].to_string().contains(expected));
    let shown = shown
        .ended_with(78)
        .says(&["a device would refuse", "[policy]"]);
    assert!(shown.stdout.contains("refused: "), "{}", shown.stdout);
    let (report, _) = policy("registries = [\"registry.example.org\"]");
    let report = report.ended_with(78).json();
    assert!(
        report["refusals"][0].to_string().contains("localhost"),
        "{report:#}"
    );

    // The same is known while a process holds the folder.
    let mut command =
        desk.home
            .command(["run", &manifest, "--config", desk.config(), "--for", "10m"]);
    command.args(["--output", "json", "--data-dir", data]);
    let run = Process::start(command);
    wasm_edge_tests::wait::until_so("the device to listen", || {
        desk.home.verb(&["list", "--data-dir", data]).status == Some(0)
    });
    let (report, _) = check(&desk, &[&manifest, "--data-dir", data]);
    assert_eq!(report.ok().json()["modules"][0]["neededBytes"], needed);
    // It is the only one, and so the one that is meant.
    let (report, _) = check(&desk, &[&manifest]);
    assert_eq!(report.ok().json()["modules"][0]["imageAt"], "store");
    let mut run = run;
    run.signal(Signal::TERM);
    run.wait().ok();

    // What is damaged is told, where no code of it is here.
    fs::remove_dir_all(desk.home.in_data("precompiled")).expect("the code was made");
    let component = text(&pushed, "componentDigest");
    let blob = format!("images/blobs/sha256/{}", &component["sha256:".len()..]);
    let blob = desk.home.in_data(&blob);
    let mut bytes = fs::read(&blob).expect("the component is there");
    bytes[100] ^= 1;
    fs::write(&blob, &bytes).expect("it can be written");
    let (report, _) = check(&desk, &[&manifest, "--data-dir", data]);
    let report = report.ok().json();
    assert_eq!(report["modules"][0]["neededBytes"], Value::Null);
    assert!(text(&report["modules"][0], "problem").contains("damaged"));
    assert!(fs::read(&blob).expect("it is left alone") == bytes);
}
