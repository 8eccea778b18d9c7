//! The image store as a person has it in hand: what becomes of it on a full disk, when something in it is damaged, when
//! two commands want it at once, and what goes into archives and comes out of them.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::FlockOperation;
use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::desk::Desk;
use wasm_edge_tests::home::Home;
use wasm_edge_tests::line::Conduct;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::process::Process;
use wasm_edge_tests::registry::Registry;
use wasm_edge_tests::run::{Run, RunOptions};
use wasm_edge_tests::{paths, space, wait};

/// Room for some images of tens of kibibytes.
const DISK_KIB: u32 = 4 * 1024;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of tests is text")
}

/// A registry and a desk whose store has `tools/echo:1.0`.
fn stocked() -> Option<(Registry, Desk, String)> {
    let registry = Registry::start()?;
    let desk = Desk::of(&registry);
    let image = registry.reference("tools/echo:1.0");
    desk.push(&paths::guest("echo"), &image, &[]).ok();
    desk.pull(&image).ok();
    Some((registry, desk, image))
}

/// Three images in a registry, each of about half a megabyte.
fn three_images(registry: &Registry, desk: &Desk) -> [String; 3] {
    [1, 2, 3].map(|number| {
        let image = registry.reference(&format!("tools/number-{number}:1.0"));
        let component = desk.large_component(&format!("{number}.wasm"), 350_000 + number);
        desk.push(&component, &image, &[]).ok();
        image
    })
}

/// A process that holds the desk's data folder.
fn process(desk: &Desk) -> Run<'_> {
    let manifest = Deployment::new().module(Module::guest("echo"));
    let options = RunOptions::new(&manifest.write(&desk.home));
    let run = options.args(["--config", desk.config()]).start(&desk.home);
    // Stopped before, it would have carried out nothing.
    run.wait_running();
    run
}

/// The digest of the component of an image in the store.
fn component(desk: &Desk, image: &str) -> String {
    let shown = desk.image(&["inspect", image]).ok().json();
    shown["componentDigest"]
        .as_str()
        .expect("a digest")
        .to_owned()
}

fn blob_file(desk: &Desk, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").expect("a digest");
    desk.home.in_data(&format!("images/blobs/sha256/{hex}"))
}

/// Changes a byte of a file.
fn damage(file: &Path) {
    let mut bytes = fs::read(file).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).expect("it is ours");
}

fn names(listed: &Value) -> Vec<String> {
    let images = listed["images"].as_array().expect("a list");
    let names = images
        .iter()
        .flat_map(|image| image["names"].as_array().expect("names"));
    let mut names: Vec<String> = names
        .map(|name| name.as_str().expect("a name").to_owned())
        .collect();
    names.sort();
    names
}

/// Takes the last byte of the disk that this file is on.
fn fill(file: &Path) {
    let mut file = File::create(file).expect("a file can be made");
    let piece = vec![7; 64 * 1024];
    let mut size = piece.len();
    while size > 0 {
        // The rest that did not fit is tried in smaller pieces.
        if file.write_all(&piece[..size]).is_err() {
            size /= 2;
        }
    }
}

#[test]
fn on_a_disk_without_a_free_byte_images_go_when_they_are_told_to() {
    if !space::may_mount("on_a_disk_without_a_free_byte_images_go_when_they_are_told_to") {
        return;
    }
    let Some(registry) = Registry::start() else {
        return;
    };
    let desk = Desk::of(&registry);
    let data = desk.home.data();
    fs::create_dir_all(&data).expect("it can be made");
    space::mount_small_disk(&data, DISK_KIB);
    let [one, two, three] = three_images(&registry, &desk);
    desk.pull(&one).ok();
    desk.pull(&two).ok();
    fill(&desk.home.in_data("images/filler-1"));
    // There is no room for another, which is worth another try later.
    desk.pull(&three).ended_with(9).says(&["no space is left"]);
    // It is the same for archives, whichever way they go.
    let archive = desk.home.path().join("archive.tar");
    desk.image(&["save", &two, "--to", text(&archive)]).ok();
    let inside = desk.home.in_data("inside.tar");
    desk.image(&["save", &two, "--to", text(&inside)])
        .ended_with(9)
        .says(&["cannot write", "os error 28"]);
    assert!(!inside.exists());
    let removed = desk.image(&["remove", &one]).ok().json();
    assert_eq!(removed["removed"][0]["names"], json!([one]));
    assert!(removed["freedBytes"].as_u64() > Some(400_000), "{removed}");
    assert_eq!(names(&desk.list()), [two.as_str()]);
    fill(&desk.home.in_data("images/filler-2"));
    let removed = desk.image(&["prune", "--all"]).ok().json();
    assert_eq!(removed["removed"][0]["names"], json!([two]));
    assert_eq!(desk.list()["sizeBytes"], 0);
    // What it told is so: there is room again.
    fill(&desk.home.in_data("images/filler-3"));
    desk.image(&["load", text(&archive)])
        .ended_with(9)
        .says(&["no space is left"]);
    for filler in ["images/filler-2", "images/filler-3"] {
        fs::remove_file(desk.home.in_data(filler)).expect("it is ours");
    }
    desk.pull(&three).ok();
    assert_eq!(names(&desk.list()), [three.as_str()]);
}

/// Loads a folder as it is and as a tar of it; both are told the same.
fn load_both_ways(desk: &Desk, folder: &Path) -> Outcome {
    let archive = folder.with_extension("tar");
    let made = Command::new("tar")
        .args(["-cf", text(&archive), "-C", text(folder), "."])
        .status();
    assert!(made.expect("tar is there").success());
    let by_folder = desk.image(&["load", text(folder)]);
    let by_archive = desk.image(&["load", text(&archive)]);
    assert_eq!(by_folder.stderr, by_archive.stderr);
    assert_eq!(by_folder.status, by_archive.status);
    by_folder
}

#[test]
fn a_faulty_folder_is_told_as_a_faulty_tar_is_with_a_process_and_without() {
    let Some((_registry, desk, image)) = stocked() else {
        return;
    };
    let layer = component(&desk, &image);
    let layer = layer.strip_prefix("sha256:").expect("a digest");
    let layer = format!("blobs/sha256/{layer}");
    let whole = desk.home.path().join("whole");
    desk.image(&["save", &image, "--to", text(&whole)]).ok();
    desk.image(&["remove", &image]).ok();
    for with_process in [false, true] {
        let run = with_process.then(|| process(&desk));
        let faulty = |name: &str, change: &dyn Fn(&Path)| {
            let folder = desk.home.path().join(format!("{name}-{with_process}"));
            let copied = Command::new("cp")
                .args(["-r", text(&whole), text(&folder)])
                .status();
            assert!(copied.expect("cp is there").success());
            change(&folder);
            load_both_ways(&desk, &folder)
        };
        let remove = |path: &Path| fs::remove_file(path).expect("it was there");
        faulty("no-index", &|folder| remove(&folder.join("index.json")))
            .ended_with(7)
            .says(&["it has no `index.json`", "image save"]);
        faulty("garbage", &|folder| {
            fs::write(folder.join("index.json"), "garbage").expect("it is ours");
        })
        .ended_with(7)
        .says(&["the list of images in the image layout cannot be used"]);
        faulty("no-layer", &|folder| remove(&folder.join(&layer)))
            .ended_with(7)
            .says(&["is not in the image layout", "make the layout anew"]);
        faulty("no-blobs", &|folder| {
            fs::remove_dir_all(folder.join("blobs")).expect("it was there");
        })
        .ended_with(7)
        .says(&["is not in the image layout"]);
        faulty("changed", &|folder| damage(&folder.join(&layer)))
            .ended_with(7)
            .says(&["the digest of what came is", "make the layout anew"]);
        faulty("link", &|folder| {
            let layer = folder.join(&layer);
            fs::rename(&layer, folder.join("elsewhere")).expect("it was there");
            std::os::unix::fs::symlink("../../elsewhere", layer).expect("it can be made");
        })
        .ended_with(7)
        .says(&["in the image layout is not a file"]);
        assert_eq!(desk.list()["sizeBytes"], 0);
        load_both_ways(&desk, &whole).ok();
        desk.image(&["remove", &image]).ok();
        if let Some(run) = run {
            run.interrupt().ok();
        }
    }
}

#[test]
fn a_damaged_image_is_not_saved_and_is_told_until_it_is_pulled_again() {
    let Some((_registry, desk, image)) = stocked() else {
        return;
    };
    let digest = component(&desk, &image);
    for with_process in [false, true] {
        let run = with_process.then(|| process(&desk));
        for goal in ["goal.tar", "goal"] {
            let goal = desk.home.path().join(goal);
            let save = ["save", &image, "--to", text(&goal)];
            damage(&blob_file(&desk, &digest));
            desk.image(&save)
                .ended_with(1)
                .says(&["was damaged in the image store", "wasm-edge image pull"]);
            assert!(!goal.exists());
            // What was damaged is gone, so the image is not whole.
            let listed = desk.list();
            assert_eq!(listed["images"][0]["whole"], false, "{listed}");
            desk.image(&save).ended_with(1).says(&[
                "is not whole",
                &digest,
                "wasm-edge image pull",
            ]);
            assert!(!goal.exists());
            let pulled = desk.pull(&image).ok().json();
            assert_eq!(pulled["whole"], true);
            desk.image(&save).ok();
            let removed = match goal.is_dir() {
                true => fs::remove_dir_all(&goal),
                false => fs::remove_file(&goal),
            };
            removed.expect("it was saved");
        }
        if let Some(run) = run {
            run.interrupt().ok();
        }
    }
    fs::remove_file(blob_file(&desk, &digest)).expect("it was pulled");
    let data = desk.home.data();
    let list = ["image", "list", "--data-dir", text(&data)];
    let listed = desk.home.verb(&list).ok();
    assert!(listed.stdout.contains("(not whole)"), "{}", listed.stdout);
    // It can be removed by its name all the same.
    desk.image(&["remove", &image]).ok();
    assert_eq!(desk.list()["images"], json!([]));
}

/// A manifest of a container image.
const CONTAINER: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":2}]}"#;

#[test]
fn what_of_a_layout_is_not_taken_is_named_with_the_reason() {
    let Some((_registry, desk, image)) = stocked() else {
        return;
    };
    let folder = desk.home.path().join("layout");
    desk.image(&["save", &image, "--to", text(&folder)]).ok();
    desk.image(&["remove", &image]).ok();
    let digest = Command::new("sh")
        .args(["-c", "printf %s \"$1\" | sha256sum", "sh", CONTAINER])
        .output();
    let digest = String::from_utf8(digest.expect("sha256sum is there").stdout).expect("text");
    let digest = digest.split(' ').next().expect("a digest");
    fs::write(folder.join("blobs/sha256").join(digest), CONTAINER).expect("it is ours");
    let index = folder.join("index.json");
    let read = fs::read(&index).expect("it was saved");
    let mut list: Value = serde_json::from_slice(&read).expect("JSON");
    let name = "org.opencontainers.image.ref.name";
    list["manifests"][0]["annotations"][name] = json!("1.0");
    let ours = list["manifests"][0].clone();
    let foreign = json!({
        "mediaType": ours["mediaType"], "digest": format!("sha256:{digest}"), "size": CONTAINER.len(),
        "annotations": { name: "docker.io/library/nginx:1" },
    });
    list["manifests"] = json!([ours, foreign]);
    fs::write(&index, list.to_string()).expect("it is ours");
    let loaded = desk.image(&["load", text(&folder)]).ok().says(&[
        "the image `docker.io/library/nginx:1` was passed over",
        "tar+gzip",
        "is not called `1.0` here",
        "`--as IMAGE`",
    ]);
    let loaded = loaded.json();
    assert_eq!(loaded["images"].as_array().map(Vec::len), Some(1));
    assert_eq!(loaded["images"][0]["names"], json!([]));
    assert_eq!(
        loaded["passedOver"][0]["digest"],
        format!("sha256:{digest}")
    );
    assert_eq!(loaded["namesNotTaken"][0]["name"], "1.0");
    // Nothing but images of others is a failure.
    list["manifests"] = json!([list["manifests"][1]]);
    fs::write(&index, list.to_string()).expect("it is ours");
    desk.image(&["load", text(&folder)])
        .ended_with(7)
        .says(&["tar+gzip", "load the image of a module"]);
}

#[test]
fn what_one_call_pulls_stays_together_and_nothing_is_left_of_what_does_not_fit() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let tables = [
        "[images]\nmax_bytes = 1048576\n".to_owned(),
        registry.table(),
    ];
    let desk = Desk::for_tables(&tables);
    let [one, two, three] = &three_images(&registry, &desk);
    let nobody = format!("localhost:{}/tools/none:1.0", wait::free_port());
    let pull = ["pull", one, two, three, &nobody, "--config", desk.config()];
    let outcome = desk.image(&pull).ended_with(9).says(&[
        "do not fit into the image store, which may have 1048576 bytes: deployments hold 0,",
        &format!("2 of 4 images not pulled: `{three}`, `{nobody}`"),
    ]);
    assert_eq!(outcome.stdout.lines().count(), 2, "{outcome:?}");
    let listed = desk.list();
    let mut expected = [one.clone(), two.clone()];
    expected.sort();
    assert_eq!(names(&listed), expected);
    let sizes = listed["images"].as_array().expect("a list").iter();
    let sizes: u64 = sizes.filter_map(|image| image["sizeBytes"].as_u64()).sum();
    assert_eq!(listed["sizeBytes"], sizes, "a blob of no image is left");
    // Of itself it is worth the place of another one.
    desk.pull(three).ok();
    assert!(names(&desk.list()).contains(three));
    let remove = ["remove", one, &nobody, two, three];
    let outcome = desk.image(&remove);
    assert!(outcome.stderr.contains(&nobody), "{outcome:?}");
    assert_eq!(desk.list()["images"], json!([]));
}

#[test]
fn a_command_waits_for_another_one_and_says_whom_it_waited_for_in_vain() {
    let home = Home::new();
    let data = home.data();
    let list = ["image", "list", "--data-dir", text(&data)];
    home.verb(&list).ok();
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .open(data.join("lock"))
        .expect("it was made");
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("nobody holds it");
    let me = std::process::id();
    fs::write(data.join("lock"), format!("{me}\n")).expect("it is ours");
    let told = format!("waiting for process {me}");
    let start = || {
        let process = Process::start(home.command(list));
        let found = process
            .stderr
            .find(0, |line| line.contains(&told).then_some(()));
        found.expect("it says that it waits");
        process
    };
    start().wait().ended_with(9).says(&[
        &format!("is in use by process {me}"),
        &format!("ps -p {me}"),
    ]);
    let mut waiting = start();
    drop(lock);
    waiting.wait().ok();
}

#[test]
fn a_list_of_images_that_cannot_be_read_is_put_aside_and_told_and_nothing_is_lost() {
    let Some((_registry, desk, image)) = stocked() else {
        return;
    };
    let index = desk.home.in_data("images/index.json");
    fs::write(&index, "garbage").expect("it is ours");
    let listed = desk
        .image(&["list"])
        .ok()
        .says(&["was damaged", "made anew", "images/index.json.damaged"])
        .json();
    let aside = desk.home.in_data("images/index.json.damaged");
    assert_eq!(fs::read(aside).expect("it was put aside"), b"garbage");
    assert_eq!(listed["images"][0]["names"], json!([]));
    assert_eq!(listed["images"][0]["whole"], true);
    assert_eq!(listed["images"][0]["lastUsedTime"], Value::Null);
    // It is told once, nothing of it comes again, and no pruning takes it for old.
    let again = desk.image(&["prune"]).ok();
    assert_eq!(again.json()["removed"], json!([]));
    assert!(!again.stderr.contains("damaged"), "{}", again.stderr);
    let pulled = desk.pull(&image).ok().json();
    assert_eq!(pulled["receivedBytes"], 0);
    assert_eq!(names(&desk.list()), [image]);
}

#[test]
fn what_is_saved_is_what_was_asked_for_and_replaces_nothing_unasked() {
    let Some((registry, desk, image)) = stocked() else {
        return;
    };
    let second = registry.reference("tools/echo:second");
    desk.push(&paths::guest("echo"), &second, &[]).ok();
    // The same image under two names.
    let other = desk.home.path().join("other.tar");
    desk.image(&["save", &image, "--to", text(&other)]).ok();
    desk.image(&["load", text(&other), "--as", &second]).ok();
    assert_eq!(names(&desk.list()).len(), 2);
    let goal = desk.home.path().join("goal.tar");
    fs::write(&goal, "precious").expect("it can be written");
    let save = ["save", &image, &image, "--to", text(&goal)];
    desk.image(&save)
        .ended_with(1)
        .says(&["is there already", "--force"]);
    assert_eq!(fs::read(&goal).expect("it is there"), b"precious");
    let saved = desk.image(&[&save[..], &["--force"]].concat()).ok().json();
    assert_eq!(saved["images"].as_array().map(Vec::len), Some(1));
    assert_eq!(saved["images"][0]["names"], json!([image]));
    let there = Desk::of(&registry);
    let loaded = there.image(&["load", text(&goal)]).ok().json();
    assert_eq!(loaded["images"][0]["names"], json!([image]));
    // As one stream from one program to another.
    let data = desk.home.data();
    let mut command = desk
        .home
        .command(["image", "save", &image, &second, "--to", "-"]);
    command.args(["--data-dir", text(&data)]);
    let mut saving = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let stream = saving.stdout.take().expect("it is piped");
    let there = Desk::of(&registry);
    let data = there.home.data();
    let mut command = there
        .home
        .command(["image", "load", "-", "--data-dir", text(&data)]);
    let loading = command.stdin(stream).output().expect("it starts");
    assert!(loading.status.success(), "{loading:?}");
    assert!(saving.wait().expect("it is ours").success());
    assert!(!Path::new("-").exists());
    let mut both = vec![image.clone(), second];
    both.sort();
    assert_eq!(names(&there.list()), both);
    // A pipe with a name is read as it is written.
    let pipe = desk.home.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).expect("it can be made");
    let there = Desk::of(&registry);
    let data = there.home.data();
    let load = ["image", "load", text(&pipe), "--data-dir", text(&data)];
    let mut loading = Process::start(there.home.command(load));
    let told = loading
        .stderr
        .find(0, |line| line.contains("from the pipe").then_some(()));
    told.expect("it says what it waits for");
    fs::copy(&goal, &pipe).expect("it is read");
    loading.wait().ok();
    assert_eq!(names(&there.list()), [image]);
    desk.image(&["load", "/dev/null"])
        .ended_with(7)
        .says(&["no file, no folder and no pipe"]);
    for verb in ["remove", "inspect"] {
        desk.image(&[verb, ""])
            .ended_with(2)
            .says(&["this is empty"]);
    }
}

#[test]
fn what_is_pruned_while_a_pull_is_under_way_takes_nothing_from_it() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let (desk, line, host) = Desk::by_line(&registry);
    let component = desk.large_component("large.wasm", 3_000_000);
    let size = fs::metadata(&component).expect("it was written").len();
    desk.push(&component, &registry.reference("tools/large:1.0"), &[])
        .ok();
    let echo = registry.reference("tools/echo:1.0");
    desk.push(&paths::guest("echo"), &echo, &[]).ok();
    let image = format!("{host}/tools/large:1.0");
    for with_process in [true, false] {
        let run = with_process.then(|| process(&desk));
        desk.pull(&echo).ok();
        let before = line.carried_bytes();
        line.set(Conduct::Slow(Duration::from_millis(1)));
        let data = desk.home.data();
        let mut command = desk.home.command(["image", "pull", &image]);
        command.args(["--config", desk.config(), "--output", "json", "--data-dir"]);
        let mut pulling = Process::start({
            command.arg(&data);
            command
        });
        wait::until_so("a part to be there", || {
            line.carried_bytes() > before + size / 10
        });
        let prune = [
            "image",
            "prune",
            "--all",
            "--output",
            "json",
            "--data-dir",
            text(&data),
        ];
        let mut pruning = Process::start(desk.home.command(prune));
        if !with_process {
            let told = pruning
                .stderr
                .find(0, |line| line.contains("waiting for process").then_some(()));
            told.expect("it waits for the pull");
            line.set(Conduct::Whole);
        }
        let pruned = pruning.wait().ok().json();
        line.set(Conduct::Whole);
        let pulled = pulling.wait().ok().json();
        assert!(pulled["receivedBytes"].as_u64() >= Some(size), "{pulled}");
        let removed = names(&json!({ "images": pruned["removed"] }));
        assert!(removed.contains(&echo), "{pruned}");
        // By another process it went first, when the pull had its end.
        assert_eq!(removed.contains(&image), !with_process, "{pruned}");
        if let Some(run) = run {
            let goal = desk.home.path().join("large.tar");
            desk.image(&["save", &image, "--to", text(&goal)]).ok();
            desk.image(&["prune", "--all"]).ok();
            run.interrupt().ok();
        }
        assert_eq!(desk.list()["sizeBytes"], 0);
    }
}
