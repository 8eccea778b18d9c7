//! `wasm-edge run` with images of a registry: which one runs, when the registry is asked, and how it ends without one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::line::{Conduct, Line};
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::padding;
use wasm_edge_tests::paths;
use wasm_edge_tests::process::Process;
use wasm_edge_tests::registry::{Door, Registry, RegistryOptions};
use wasm_edge_tests::run::{Run, RunOptions};
use wasm_edge_tests::{space, wait};

/// The name that most tests push.
const NAME: &str = "tools/echo:1.0";

/// More than the smallest store may have, in bytes.
const LARGE_BYTES: usize = 2 * 1024 * 1024;

/// A registry, and a home whose configuration knows it.
struct Bed {
    home: Home,
    registry: Registry,
    config: PathBuf,
}

impl Bed {
    /// One behind this door; nothing where there is no program for it.
    fn new(door: Door) -> Option<Self> {
        let registry = Registry::start_with(RegistryOptions { door, tls: true })?;
        let home = Home::new();
        let config = home.write_secret("config.toml", registry.table());
        Some(Self {
            home,
            registry,
            config,
        })
    }

    /// Puts another configuration in the place of the one that there is.
    fn configure(&self, tables: &str) {
        self.home.write_secret("config.toml", tables);
    }

    fn config(&self) -> [&str; 2] {
        ["--config", self.config.to_str().expect("it is text")]
    }

    /// Pushes a component under a name; answers the digest of the image.
    fn push(&self, name: &str, component: &Path) -> Value {
        let image = self.registry.reference(name);
        let file = component.to_str().expect("it is text");
        let push = ["image", "push", file, &image, "--output", "json"];
        let pushed = self.home.verb(&[&push[..], &self.config()].concat());
        pushed.ok().json()["digest"].clone()
    }

    /// A component of more than [`LARGE_BYTES`].
    fn large(&self) -> PathBuf {
        let component = padding::padded("echo", LARGE_BYTES, 1);
        self.home.write("large.wasm", component)
    }

    /// A command under `image` on the data folder, by no other process.
    fn image(&self, args: &[&str]) -> Outcome {
        let data = self.home.data();
        let data = ["--data-dir", data.to_str().expect("it is text")];
        self.home.verb(&[&["image"], args, &data].concat())
    }

    fn pull(&self, name: &str) -> Outcome {
        let image = self.registry.reference(name);
        self.image(&[&["pull", &image], &self.config()[..]].concat())
    }

    /// `run` of what a person names, an image most of the time.
    fn options(&self, what: &str) -> RunOptions {
        RunOptions::new(Path::new(what)).args(self.config())
    }

    fn options_of(&self, deployment: &Deployment) -> RunOptions {
        RunOptions::new(&deployment.write(&self.home)).args(self.config())
    }

    /// Starts it, and ends it once its module runs; answers which image that was, and what was said.
    fn run_once(&self, options: &RunOptions, module: &str) -> (Value, String) {
        let run: Run<'_> = options.start(&self.home);
        run.wait_running();
        let digest = run.module(module)["imageDigest"].clone();
        (digest, run.interrupt().ok().stderr)
    }

    /// How often the registry was asked which image a tag means.
    fn asked(&self) -> usize {
        let answered = self.registry.answered_with("/manifests/");
        answered.iter().filter(|one| one.method == "GET").count()
    }
}

#[test]
fn an_unchanged_deployment_asks_nobody_and_reapply_takes_what_the_tag_names_now() {
    let Some(bed) = Bed::new(Door::Open) else {
        return;
    };
    let first = bed.push(NAME, &paths::guest("echo"));
    let options = bed.options(&bed.registry.reference(NAME));
    let (ran, said) = bed.run_once(&options, "echo");
    assert_eq!(ran, first);
    assert!(said.contains("pulled the image of echo"), "{said}");
    assert_eq!(
        bed.asked(),
        1,
        "a tag is asked for once for each deployment"
    );

    let second = bed.push(NAME, &paths::guest("feed"));
    let asked = bed.asked();
    let (ran, said) = bed.run_once(&options, "echo");
    assert_eq!(ran, first);
    assert!(said.contains("--reapply"), "{said}");
    assert!(!said.contains("pulled"), "{said}");
    assert!(!said.contains("compiled"), "{said}");
    assert_eq!(bed.asked(), asked);

    let again = options.clone().args(["--reapply"]);
    let (ran, said) = bed.run_once(&again, "echo");
    assert_eq!(ran, second);
    assert!(said.contains("pulled the image of echo"), "{said}");
    assert_eq!(bed.asked(), asked + 1);
    // From then on that one is what is applied.
    let (ran, said) = bed.run_once(&options, "echo");
    assert_eq!(ran, second);
    assert!(!said.contains("pulled"), "{said}");
    assert_eq!(bed.asked(), asked + 1);
}

#[test]
fn what_deploy_apply_tries_out_is_what_runs_and_a_tag_is_asked_for_once() {
    let Some(mut bed) = Bed::new(Door::Open) else {
        return;
    };
    let image = bed.registry.reference(NAME);
    bed.push(NAME, &paths::guest("echo"));
    let idle = Deployment::new().module(Module::guest("say"));
    let idle = idle.write_as(&bed.home, "idle.json");
    let run = RunOptions::new(&idle).args(bed.config()).start(&bed.home);
    run.wait_running();
    let next = Deployment::new().module(Module::image("echo", &image));
    let next = next.write_as(&bed.home, "next.json");
    let apply = ["deploy", "apply", next.to_str().expect("it is text")];
    for guest in ["feed", "echo"] {
        let pushed = bed.push(NAME, &paths::guest(guest));
        run.verb(&apply).ok();
        assert_eq!(run.module("echo")["imageDigest"], pushed, "{guest}");
    }
    let started = run.module("echo")["lastStartTime"].clone();
    run.verb(&apply).ok();
    assert_eq!(run.module("echo")["lastStartTime"], started);
    run.interrupt().ok();
    let mut asked = bed.registry.all_answered_with("/manifests/1.0");
    asked.retain(|one| one.method == "GET");
    assert_eq!(
        asked.len(),
        3,
        "once for each time that it is applied: {asked:?}"
    );
}

#[test]
fn a_deployment_starts_from_what_is_stored_whatever_the_names_of_the_store_mean() {
    for policy in ["on-create", "never"] {
        let Some(mut bed) = Bed::new(Door::Open) else {
            return;
        };
        let first = bed.push(NAME, &paths::guest("echo"));
        bed.pull(NAME).ok();
        let image = bed.registry.reference(NAME);
        let deployment = |value: &str| {
            let module = Module::image("a", &image).env("A", value);
            Deployment::new().module(module.set("imagePullPolicy", policy))
        };
        let options = bed.options_of(&deployment("1"));
        assert_eq!(bed.run_once(&options, "a").0, first);
        // The tag moves to another image, which goes again, and the name with it.
        bed.push(NAME, &paths::guest("feed"));
        bed.pull(NAME).ok();
        bed.image(&["prune", "--all"]).ok();
        bed.registry.stop();
        for without_code in [false, true] {
            if without_code {
                fs::remove_dir_all(bed.home.in_data("precompiled")).expect("it is there");
            }
            let (ran, said) = bed.run_once(&options, "a");
            assert_eq!(ran, first, "{policy}: {said}");
            assert!(!said.contains("warning"), "{policy}: {said}");
        }
        // A change beside the image has to do with it as well, and says so.
        let options = bed.options_of(&deployment("2"));
        let run = options.start(&bed.home);
        run.wait_running();
        let module = run.module("a");
        assert_eq!(module["imageDigest"], first, "{policy}");
        let warnings = module["warnings"].to_string();
        assert!(
            warnings.contains("is the one that ran before"),
            "{warnings}"
        );
        run.interrupt().ok();
    }
}

#[test]
fn what_a_patch_changed_is_what_starts_again_and_the_manifest_is_not_asked_for() {
    let Some(mut bed) = Bed::new(Door::Open) else {
        return;
    };
    bed.push("tools/echo:1.0", &paths::guest("echo"));
    let second = bed.push("tools/echo:2.0", &paths::guest("feed"));
    let image = |tag: &str| bed.registry.reference(&format!("tools/echo:{tag}"));
    let options = bed.options_of(&Deployment::new().module(Module::image("a", &image("1.0"))));
    let run = options.start(&bed.home);
    run.wait_running();
    let patch =
        serde_json::json!({ "modules": { "a": { "settings": { "image": image("2.0") } } } });
    run.patch("$edgeAgent", &patch);
    run.wait_module("a", |module| {
        module["imageDigest"] == second && module["ready"] == true
    });
    wait::until_so("the deployment to be accepted", || {
        run.get("/v1/deployments/d1")["state"]["phase"] == "applied"
    });
    run.interrupt().ok();
    bed.image(&["remove", &image("1.0")]).ok();
    bed.registry.stop();
    let (ran, said) = bed.run_once(&options, "a");
    assert_eq!(ran, second, "{said}");
}

#[test]
fn several_devices_get_an_image_once() {
    let Some(bed) = Bed::new(Door::Open) else {
        return;
    };
    let digest = bed.push(NAME, &paths::guest("echo"));
    let options = bed.options(&bed.registry.reference(NAME));
    let run = options.devices(&["d1", "d2", "d3"]).start(&bed.home);
    run.wait_running();
    let modules = run.modules();
    assert_eq!(modules.len(), 3);
    assert!(modules.iter().all(|module| module["imageDigest"] == digest));
    run.interrupt().ok();
    let blobs = bed.registry.answered_with("/blobs/sha256:");
    let pulled = blobs.iter().filter(|one| one.method == "GET").count();
    assert_eq!(pulled, 2, "the config and the component: {blobs:#?}");
    // Each device has a deployment of its own.
    assert_eq!(bed.asked(), 3);
}

/// Asserts that `run` and `image pull` end with the same code where they cannot get an image.
#[track_caller]
fn assert_ends_alike(bed: &Bed, name: &str, code: i32, says: &str) {
    let run = bed.options(&bed.registry.reference(name));
    run.to_end(&bed.home).ended_with(code).says(&[says]);
    bed.pull(name).ended_with(code).says(&[says]);
}

#[test]
fn run_ends_as_image_pull_does_where_an_image_cannot_be_had() {
    let Some(mut bed) = Bed::new(Door::Password) else {
        return;
    };
    bed.push("tools/large:1.0", &bed.large());
    let table = bed.registry.table();
    assert_ends_alike(&bed, "tools/none:1.0", 4, "there is no manifest");
    let (_, password) = bed.registry.login().expect("it wants one");
    bed.configure(&table.replace(password, "wrong"));
    assert_ends_alike(&bed, "tools/large:1.0", 1, "does not let");
    bed.configure(&format!("{table}\n[images]\nmax_bytes = 1048576\n"));
    assert_ends_alike(
        &bed,
        "tools/large:1.0",
        9,
        "do not fit into the image store",
    );
    bed.configure(&format!(
        "{table}\n[policy]\nregistries = [\"a.example\"]\n"
    ));
    assert_ends_alike(&bed, "tools/large:1.0", 78, "the policy of this device");
    bed.configure(&table);
    bed.registry.stop();
    assert_ends_alike(&bed, "tools/large:1.0", 9, "cannot pull the image");
    // What no time mends counts more than what may work later.
    let modules = Deployment::new()
        .module(Module::image("a", &bed.registry.reference(NAME)))
        .module(Module::of("b", Path::new("/none.wasm")));
    bed.options_of(&modules).to_end(&bed.home).ended_with(78);
    // A device that runs says the same of a deployment that it is given.
    let run = Run::of(&bed.home, &paths::guest("echo"));
    run.wait_running();
    let away = Deployment::new().module(Module::image("a", &bed.registry.reference(NAME)));
    let file = away.write(&bed.home);
    let apply = run.verb(&["deploy", "apply", file.to_str().expect("it is text")]);
    apply
        .ended_with(9)
        .says(&["the deployment was not applied", "cannot pull the image"]);
    run.interrupt().ok();
}

#[test]
fn run_ends_as_image_pull_does_where_the_disk_is_full() {
    if !space::may_mount("run_ends_as_image_pull_does_where_the_disk_is_full") {
        return;
    }
    let Some(bed) = Bed::new(Door::Open) else {
        return;
    };
    bed.push("tools/large:1.0", &bed.large());
    // The first makes the folders.
    bed.image(&["prune"]).ok();
    space::mount_small_disk(&bed.home.in_data("images"), 1024);
    assert_ends_alike(&bed, "tools/large:1.0", 9, "no space is left on the disk");
}

#[test]
fn a_pull_that_is_interrupted_was_not_carried_out_and_is_gone_on_with() {
    let Some(bed) = Bed::new(Door::Open) else {
        return;
    };
    let digest = bed.push("tools/large:1.0", &bed.large());
    let line = Line::to(bed.registry.port());
    let host = format!("localhost:{}", line.port());
    bed.configure(&bed.registry.table_as(&host));
    line.set(Conduct::Slow(Duration::from_millis(2)));
    let options = bed.options(&format!("{host}/tools/large:1.0"));
    let mut run = options.start(&bed.home).process;
    wait::until_so("half of the image to come", || {
        line.carried_bytes() > LARGE_BYTES as u64 / 2
    });
    run.signal(Signal::INT);
    let ended = run.wait().ended_with(130);
    assert!(!ended.stderr.contains("error"), "{}", ended.stderr);
    line.set(Conduct::Whole);
    assert_eq!(bed.run_once(&options, "large").0, digest);
    let blobs = bed.registry.answered_with("/blobs/");
    let rest = blobs.iter().find(|one| one.status == 206);
    let rest = rest.expect("the pull was gone on with").sent_bytes;
    assert!(rest < LARGE_BYTES as u64 * 3 / 4, "{rest} bytes came again");
}

#[test]
fn a_name_is_read_alike_by_run_and_by_image_pull() {
    let home = Home::new();
    // Nobody is asked for images of these names.
    let config = home.write("config.toml", "[policy]\nregistries = []\n");
    let config = config.to_str().expect("it is text");
    let verbs = |name: &str| {
        let data = home.data();
        let data = data.to_str().expect("it is text");
        let end = ["--config", config, "--data-dir", data];
        [
            home.verb(&[&["run", name], &end[..]].concat()),
            home.verb(&[&["image", "pull", name], &end[..]].concat()),
        ]
    };
    let read = |name: &str, as_what: &str| {
        for outcome in verbs(name) {
            outcome.ended_with(78).says(&[as_what]);
        }
    };
    read("tools/x:1.0", "`docker.io/tools/x:1.0`");
    read("x:1.0", "`docker.io/library/x:1.0`");
    read("localhost:5077/x", "`localhost:5077/x:latest`");
    for name in [
        "localhost:5077",
        "127.0.0.1:5077",
        "localhost",
        "r.example.org:5000",
    ] {
        for outcome in verbs(name) {
            let what = format!("`{name}` is the host of a registry");
            outcome.ended_with(2).says(&[&what, "HOST/NAME:TAG"]);
        }
    }
    // What may as well be a file that is not there is one, with a word about the image of that name.
    let [run, _] = verbs("tools/x");
    run.ended_with(4)
        .says(&["cannot read `tools/x`", "docker.io/tools/x:latest"]);
    let [run, _] = verbs("none.wasm");
    let run = run.ended_with(4).says(&["cannot read `none.wasm`"]);
    assert!(!run.stderr.contains("docker.io"), "{}", run.stderr);
    let [run, _] = verbs("Tools/X:1.0");
    run.ended_with(4).says(&["cannot read `Tools/X:1.0`"]);
}

#[test]
fn there_is_nothing_to_watch_of_an_image() {
    let home = Home::new();
    let process = home.command(["run", "localhost:9/a:1.0", "--watch"]);
    let ended = Process::start(process).wait().ended_with(2);
    ended.says(&["nothing to watch", "--reapply"]);
}
