//! What is said of images: by which names they are found, what `deploy check` and `check` know of them, what a support
//! bundle has.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};
use wasm_edge_tests::desk::Desk;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::paths;
use wasm_edge_tests::process::Process;
use wasm_edge_tests::registry::{Door, LOGIN, Registry};
use zip::ZipArchive;

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
    for (index, name) in named.iter().enumerate() {
        let shown = desk.image(&["inspect", name]).ok().json();
        assert_eq!(shown["digest"], digest, "{name}");
        let tar = desk.home.path().join(format!("{index}.tar"));
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
    damage(&desk, &text(&pushed, "componentDigest"));
    let (report, _) = check(&desk, &[&manifest, "--data-dir", data]);
    let report = report.ok().json();
    assert_eq!(report["modules"][0]["neededBytes"], Value::Null);
    assert!(text(&report["modules"][0], "problem").contains("damaged"));
    let (again, _) = check(&desk, &[&manifest, "--data-dir", data]);
    assert_eq!(
        again.ok().json()["modules"][0]["imageAt"],
        "store",
        "it is left alone"
    );
}

#[test]
fn an_image_of_a_store_goes_to_another_registry_as_it_is() {
    let (Some(from), Some(to)) = (Registry::start(), Registry::behind(Door::Password)) else {
        return;
    };
    let desk = Desk::for_tables(&[from.table(), to.table()]);
    let image = from.reference("tools/echo:1.0");
    let licence = ["--licence", "MIT"];
    let pushed = desk
        .push(&paths::guest("echo"), &image, &licence)
        .ok()
        .json();
    let digest = text(&pushed, "digest");
    let data = desk.home.data();
    let push = |what: &str, name: &str, args: &[&str]| {
        let args = [&["--data-dir", path(&data)], args].concat();
        desk.push(Path::new(what), &to.reference(name), &args)
    };
    push(&image, "a/echo:1", &[])
        .ended_with(4)
        .says(&["is no file", "no image store"]);
    desk.pull(&image).ok();
    for (what, name) in [(image.as_str(), "a/echo:1"), (&digest[..15], "a/echo:2")] {
        let again = push(what, name, &[]).ok().json();
        assert_eq!(again["digest"], digest);
        assert_eq!(again["annotations"], pushed["annotations"]);
    }
    let there = Desk::for_tables(&[to.table()]);
    let pulled = there.pull(&to.reference("a/echo:2")).ok().json();
    assert_eq!(pulled["digest"], digest);

    push(&image, "a/echo:3", &licence)
        .ended_with(2)
        .says(&["says itself what it is"]);
    push("none", "a/echo:3", &[])
        .ended_with(4)
        .says(&["is no file", "image list"]);
    push(path(&paths::guest("echo")), "a/echo:3", &[])
        .ended_with(2)
        .says(&["--data-dir"]);
    damage(&desk, &text(&pushed, "componentDigest"));
    push(&image, "a/echo:3", &[])
        .ended_with(1)
        .says(&["was damaged", "pull it again"]);
    assert!(to.answered_with("a/echo/manifests/3").is_empty());
}

/// Changes a byte of a blob of the store.
fn damage(desk: &Desk, digest: &str) {
    let hex = digest.strip_prefix("sha256:").expect("a digest");
    let blob = desk.home.in_data(&format!("images/blobs/sha256/{hex}"));
    let mut bytes = fs::read(&blob).expect("the blob is there");
    bytes[100] ^= 1;
    fs::write(&blob, bytes).expect("it can be written");
}

#[test]
fn what_is_left_of_a_pull_that_was_cut_is_told_and_goes_when_all_is_pruned() {
    let desk = Desk::for_tables(&[]);
    assert_eq!(desk.list()["partialDownloads"], json!([]));
    let hex = "ab".repeat(32);
    let part = desk.home.in_data(&format!("images/partial/{hex}"));
    fs::write(&part, vec![0; 5000]).expect("the folder is there");
    let listed = desk.list();
    let cut = &listed["partialDownloads"][0];
    assert_eq!(cut["digest"], format!("sha256:{hex}"));
    assert_eq!(cut["sizeBytes"], 5000);
    assert_eq!(cut["underWay"], false);
    assert!(text(cut, "changedTime").starts_with("20"), "{cut}");
    let data = desk.home.data();
    let shown = desk
        .home
        .verb(&["image", "list", "--data-dir", path(&data)]);
    let shown = shown.ok().says(&["image prune --all"]);
    let line = shown.stdout.lines().last().expect("a line");
    assert!(
        line.starts_with("pulls that were cut: 4.88 KiB of 1 layer"),
        "{line}"
    );
    desk.image(&["prune", "--all"]).ok();
    assert_eq!(desk.list()["partialDownloads"], json!([]));
}

/// `check` of this home's data folder with its configuration: what it says of this id.
fn checked(desk: &Desk, id: &str) -> Value {
    let data = desk.home.data();
    let args = ["check", "--output", "json", "--data-dir", path(&data)];
    let report = desk
        .home
        .verb(&[&args[..], &["--config", desk.config()]].concat());
    let report = report.json();
    let checks = report["checks"].as_array().expect("a list");
    let found = checks.iter().find(|check| check["id"] == id);
    found.unwrap_or_else(|| panic!("no `{id}`")).clone()
}

#[track_caller]
fn is(check: &Value, result: &str, parts: &[&str]) {
    assert_eq!(check["result"], result, "{check:#}");
    for part in parts {
        assert!(
            check.to_string().contains(part),
            "`{part}` is not in {check:#}"
        );
    }
}

#[test]
fn a_check_reads_all_images_and_asks_the_registries() {
    for door in [Door::Open, Door::Password, Door::Token] {
        let Some(mut registry) = Registry::behind(door) else {
            return;
        };
        let mut tables = vec![registry.table()];
        tables.extend(registry.realm_table());
        let desk = Desk::for_tables(&tables);
        is(&checked(&desk, "images"), "skipped", &[]);
        let host = registry.host();
        let login = match door {
            Door::Open => "wants no login",
            Door::Password | Door::Token => "takes the login",
        };
        is(
            &checked(&desk, "registries"),
            "ok",
            &[&format!("`{host}` {login}")],
        );
        if door == Door::Open {
            let image = registry.reference("tools/echo:1.0");
            let pushed = desk.push(&paths::guest("echo"), &image, &[]).ok().json();
            desk.pull(&image).ok();
            is(&checked(&desk, "images"), "ok", &["1 image, whole"]);
            damage(&desk, &text(&pushed, "componentDigest"));
            let component = text(&pushed, "componentDigest");
            let parts = [
                "1 of 1 image cannot be used",
                &image,
                &component,
                "image pull",
            ];
            is(&checked(&desk, "images"), "error", &parts);
        } else {
            let wrong = tables[0].replace(LOGIN.1, "guess-4711");
            let rest = tables[1..].to_vec();
            let stranger = Desk::for_tables(&[&[wrong], &rest[..]].concat());
            let refused = checked(&stranger, "registries");
            is(
                &refused,
                "error",
                &["does not let", LOGIN.0, "correct the login"],
            );
            assert!(!refused.to_string().contains("guess-4711"), "{refused}");
            let anonymous = registry.table_as(&host);
            let anonymous = anonymous
                .lines()
                .filter(|line| !line.contains(" = \"") || line.starts_with("ca_file"));
            let anonymous = anonymous.collect::<Vec<_>>().join("\n");
            let nobody = Desk::for_tables(&[&[anonymous], &rest[..]].concat());
            let parts = match door {
                // Everybody gets a token.
                Door::Token => "wants no login",
                _ => "wants a login, and none is configured",
            };
            is(&checked(&nobody, "registries"), "ok", &[parts]);
        }
        registry.stop();
        is(
            &checked(&desk, "registries"),
            "error",
            &[&format!("`{host}`: ")],
        );
    }
}

#[test]
fn a_support_bundle_has_the_list_of_images_and_no_password_of_a_registry() {
    let Some(registry) = Registry::behind(Door::Password) else {
        return;
    };
    let desk = Desk::of(&registry);
    let image = registry.reference("tools/echo:1.0");
    let pushed = desk.push(&paths::guest("echo"), &image, &[]).ok().json();
    let manifest = deployment(&desk, &image, "on-create");
    let data = desk.home.data();
    let mut command =
        desk.home
            .command(["run", &manifest, "--config", desk.config(), "--for", "10m"]);
    command.args(["--output", "json", "--data-dir", path(&data)]);
    let mut run = Process::start(command);
    // Only then: without a process, the store would be taken from the one that starts.
    wasm_edge_tests::wait::until_so("the device to listen", || {
        let list = desk.home.verb(&["list", "--data-dir", path(&data)]);
        list.status == Some(0)
    });
    wasm_edge_tests::wait::until_so("the image to be held", || {
        let listed = desk.image(&["list"]);
        listed.status == Some(0) && listed.json()["images"][0]["heldBy"][0].is_string()
    });
    // Stopped before its module runs, it would have carried out nothing.
    wasm_edge_tests::wait::until_so("the module to run", || {
        let list = ["list", "--output", "json", "--data-dir", path(&data)];
        desk.home.verb(&list).ok().json()["modules"][0]["status"] == "running"
    });
    for name in ["running.zip", "stopped.zip"] {
        if name == "stopped.zip" {
            run.signal(Signal::TERM);
            run.wait().ok();
        }
        let bundle = ["support-bundle", "-o", name, "--data-dir", path(&data)];
        desk.home.verb(&bundle).ok();
        let file = File::open(desk.home.path().join(name)).expect("the bundle");
        let mut zip = ZipArchive::new(file).expect("a zip");
        let mut images = None;
        for index in 0..zip.len() {
            let mut file = zip.by_index(index).expect("a file");
            let mut text = String::new();
            file.read_to_string(&mut text).expect("text");
            let part = file.name().expect("a name").into_owned();
            assert!(
                !text.contains(LOGIN.1),
                "the password is in {part} of {name}"
            );
            if part == "images.json" {
                images = Some(text);
            }
        }
        let images = images.expect("a list of images");
        let images: Value = serde_json::from_str(&images).expect("JSON");
        assert_eq!(images["images"][0]["digest"], pushed["digest"]);
        assert_eq!(images["images"][0]["names"], json!([image]));
    }
}
