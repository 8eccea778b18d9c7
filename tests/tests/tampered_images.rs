//! A registry that tampers with what it gives, and a device that is told to run an image of it: it says why it does
//! not, keeps nothing, and takes no more memory for it.

use std::fs;

use serde_json::{Value, json};
use wasm_edge_tests::certificates::Authority;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hostile_registry::{
    Artifact, Asked, HostileRegistry, MANIFEST, Reply, digest_of,
};
use wasm_edge_tests::run::{Run, RunOptions};
use wasm_edge_tests::wait;

/// What is pulled, in bytes.
const SIZE: usize = 1024 * 1024;

/// How much more memory the device may have had at any time than before it was told of the first image. The largest
/// manifest has 1 MiB, and is in memory as bytes and as what they say.
const MEMORY_MAX_BYTES: u64 = 10 * 1024 * 1024;

/// A way to tamper: by its name, what is answered, and what is told.
type Row = (
    &'static str,
    fn(&Asked, &Artifact) -> Option<Reply>,
    &'static str,
);

const ROWS: [Row; 9] = [
    (
        "other bytes",
        |asked, artifact| component(asked, artifact, || Reply::new(200, vec![7; SIZE])),
        "has the digest `sha256:",
    ),
    (
        "a blob without end",
        |asked, artifact| component(asked, artifact, || Reply::endless(200)),
        "has more bytes, expected 1048576",
    ),
    (
        "too few bytes",
        |asked, artifact| component(asked, artifact, || Reply::new(200, "less")),
        "has 4 bytes, expected 1048576",
    ),
    (
        "an error of a blob without end",
        |asked, artifact| component(asked, artifact, || Reply::endless(404)),
        "there is no blob",
    ),
    (
        "a manifest without end",
        |asked, _| manifest(asked, || Reply::endless(200)),
        "is larger than 1048576 bytes",
    ),
    (
        "as many layers as a manifest can state",
        |asked, _| {
            let begin = format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","layers":["#);
            manifest(asked, || Reply::new(200, begin + &"{},".repeat(300_000)))
        },
        "it is not a manifest that can be read",
    ),
    (
        "a digest that is a path",
        |asked, artifact| {
            let mut artifact = artifact.clone();
            artifact.manifest["layers"][0]["digest"] = json!("sha256:../../../escaped");
            manifest(asked, || artifact.answer(asked))
        },
        "`sha256:../../../escaped`",
    ),
    (
        "a file in place of a blob",
        |asked, artifact| {
            component(asked, artifact, || {
                Reply::redirect(302, "file:///etc/passwd")
            })
        },
        "`file:///etc/passwd` is not of `https:`",
    ),
    (
        "a title that is a path, and bytes that are no component",
        |asked, artifact| {
            let mut artifact = artifact.clone();
            let title = json!({ "org.opencontainers.image.title": "../../../../escaped" });
            artifact.manifest["layers"][0]["annotations"] = title.clone();
            artifact.manifest["annotations"] = title;
            manifest(asked, || artifact.answer(asked))
        },
        NO_COMPONENT,
    ),
];

/// What is told of bytes that are what their digest says, and no component. They may stay as an image that nobody uses.
const NO_COMPONENT: &str = "cannot compile the component";

fn component(asked: &Asked, artifact: &Artifact, reply: impl FnOnce() -> Reply) -> Option<Reply> {
    asked.is_for(&artifact.component_digest()).then(reply)
}

fn manifest(asked: &Asked, reply: impl FnOnce() -> Reply) -> Option<Reply> {
    asked.is_for("/manifests/").then(reply)
}

/// Waits until the device has looked at the desired properties and refused them; answers why.
fn refused(run: &Run<'_>, version: &Value) -> String {
    wait::until("the deployment to be refused", || {
        let state = run.get("/v1/deployments/d1")["state"].clone();
        let is_so = state["agentVersion"] == *version && state["phase"] == "refused";
        is_so.then(|| state["reasons"].to_string())
    })
}

/// The files of blobs, and of parts of them. The config, which was not tampered with, may wait for another try.
fn kept(home: &Home) -> Vec<String> {
    let images = home.in_data("images");
    let config = digest_of(&Artifact::of_size(SIZE).config);
    let config = images.join("blobs").join(config.replace(':', "/"));
    let folders = ["blobs/sha256", "partial"].map(|folder| images.join(folder));
    let entries = folders.into_iter().flat_map(fs::read_dir).flatten();
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| *path != config)
        .map(|path| path.display().to_string())
        .collect()
}

#[test]
fn a_registry_that_tampers_is_told_of_and_leaves_nothing_behind() {
    for tls in [true, false] {
        let home = Home::new();
        let authority = Authority::new("registry of tests");
        let ca_file = home.write("ca.pem", authority.pem());
        let mut config = String::new();
        let stand_ins = ROWS.map(|(_, tamper, _)| {
            let artifact = Artifact::of_size(SIZE);
            let stand_in = HostileRegistry::start(tls.then_some(&authority), move |asked| {
                tamper(asked, &artifact).unwrap_or_else(|| artifact.answer(asked))
            });
            config += &format!("[registries.\"{}\"]\n", stand_in.host());
            config += &match tls {
                true => format!("ca_file = \"{}\"\n", ca_file.display()),
                false => "plain_http = true\n".to_owned(),
            };
            stand_in
        });
        let config = home.write("config.toml", config);
        let file = Deployment::new().module(Module::guest("echo")).write(&home);
        let run = RunOptions::of_devices(&[("d1", &file)])
            .args(["--config", config.to_str().expect("text")])
            .start(&home);
        run.wait_running();
        let before = run.module("echo");
        let memory = run.process.peak_bytes();
        for ((name, _, told), stand_in) in ROWS.iter().zip(&stand_ins) {
            let image = format!("{}/tools/filter:1.0", stand_in.host());
            let wanted = Deployment::new()
                .module(Module::image("tampered", &image))
                .json();
            let agent = &wanted["modulesContent"]["$edgeAgent"]["properties.desired"];
            let patched = run.patch("$edgeAgent", &json!({ "modules": agent["modules"] }));
            let reasons = refused(&run, &patched["properties"]["desired"]["$version"]);
            assert!(reasons.contains(told), "{name}: {reasons}");
            if *told != NO_COMPONENT {
                assert!(reasons.contains(&stand_in.host()), "{name}: {reasons}");
                let left = kept(&home);
                assert!(left.is_empty(), "{name}: {left:?}");
            }
        }
        let most = run.process.peak_bytes();
        assert!(
            most < memory + MEMORY_MAX_BYTES,
            "{memory} before, {most} at most"
        );
        let after = run.module("echo");
        for key in ["lastStartTime", "restartCount"] {
            assert_eq!(after[key], before[key], "{key}");
        }
        let outside = home.path().parent().expect("a folder");
        for folder in [outside, home.path()] {
            assert!(!folder.join("escaped").exists());
        }
        run.interrupt();
    }
}
