//! `wasm-edge image`: to a real registry and back, by the process that holds the store and by none, and in archives.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::json;
use wasm_edge_tests::desk::Desk;
use wasm_edge_tests::line::Conduct;
use wasm_edge_tests::oci_clients::{Oras, Place, Skopeo};
use wasm_edge_tests::paths;
use wasm_edge_tests::process::Process;
use wasm_edge_tests::registry::{self, Door, Registry, WAYS};

#[test]
fn what_is_pushed_is_copied_by_others_and_comes_back_the_same_by_each_door() {
    for options in WAYS {
        let Some(registry) = Registry::start_with(options) else {
            return;
        };
        // The realm of tokens is another host, with the same authority.
        let mut tables = vec![registry.table()];
        tables.extend(registry.realm_table());
        let desk = Desk::for_tables(&tables);
        let image = registry.reference("tools/echo:1.0");
        let licence = ["--licence", "MIT", "--annotation", "com.example.line=7"];
        let pushed = desk
            .push(&paths::guest("echo"), &image, &licence)
            .ok()
            .json();
        let digest = pushed["digest"].as_str().expect("a digest");
        assert_eq!(
            pushed["annotations"]["org.opencontainers.image.licenses"],
            "MIT"
        );

        let (Some(skopeo), Some(oras)) = (Skopeo::find(&desk.home), Oras::find(&desk.home)) else {
            return;
        };
        let ours = Place::Registry(&registry, "tools/echo:1.0");
        let copied = Place::Registry(&registry, "copies/echo:1.0");
        skopeo.copy(ours, copied).ok();
        let manifest = skopeo.raw_manifest(ours).ok().json();
        assert_eq!(manifest["annotations"]["com.example.line"], "7");
        assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
        oras.run(&["pull"], &registry, "tools/echo:1.0", &[]).ok();
        let component = fs::read(paths::guest("echo")).expect("it was built");
        assert!(fs::read(desk.home.path().join("echo.wasm")).expect("oras wrote it") == component);

        let copy = registry.reference("copies/echo:1.0");
        let pulled = desk.pull(&copy).ok().json();
        assert_eq!(pulled["digest"], digest);
        assert_eq!(pulled["componentDigest"], pushed["componentDigest"]);
        assert!(pulled["receivedBytes"].as_u64() > Some(component.len() as u64));
        // Under another name nothing comes again.
        let again = desk.pull(&image).ok().json();
        assert_eq!(again["receivedBytes"], 0);
        assert_eq!(again["names"], json!([copy, image]));
        let pinned = format!("{image}@{digest}");
        assert_eq!(desk.pull(&pinned).ok().json()["digest"], digest);
        let shown = desk.image(&["inspect", &digest[7..17]]).ok().json();
        assert_eq!(shown["annotations"]["com.example.line"], "7");
        assert_eq!(shown["config"]["architecture"], "wasm");
    }
}

#[test]
fn a_login_that_other_tools_left_counts() {
    let Some(registry) = Registry::behind(Door::Password) else {
        return;
    };
    let without = registry.table();
    let without: Vec<&str> = without.lines().take(2).collect();
    let desk = Desk::for_tables(&[without.join("\n")]);
    let image = registry.reference("tools/echo:1.0");
    desk.push(&paths::guest("echo"), &image, &[])
        .ended_with(1)
        .says(&["does not let somebody without a name", "docker login"]);
    registry::docker_config(
        &desk.home.path().join(".docker"),
        &registry.host(),
        registry::LOGIN,
    );
    desk.push(&paths::guest("echo"), &image, &[]).ok();
    desk.pull(&image).ok();
}

#[test]
fn images_go_to_places_without_a_network_and_other_tools_read_and_write_them() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let desk = Desk::of(&registry);
    let Some(skopeo) = Skopeo::find(&desk.home) else {
        return;
    };
    let image = registry.reference("tools/echo:1.0");
    let digest = desk.push(&paths::guest("echo"), &image, &[]).ok().json()["digest"].clone();
    desk.pull(&image).ok();
    let place = |name: &str| desk.home.path().join(name);
    let text = |path: &Path| path.to_str().expect("a path of tests is text").to_owned();
    for name in ["saved.tar", "saved"] {
        let path = place(name);
        let saved = desk
            .image(&["save", &image, "--to", &text(&path)])
            .ok()
            .json();
        assert_eq!(saved["images"][0]["digest"], digest);
        let from = match name {
            "saved" => Place::Folder(&path, &image),
            _ => Place::Archive(&path, &image),
        };
        skopeo.raw_manifest(from).ok();
        let by_skopeo = place(&format!("{name}-by-skopeo"));
        skopeo.copy(from, Place::Folder(&by_skopeo, &image)).ok();
        let archive = place(&format!("{name}-by-skopeo.tar"));
        skopeo.copy(from, Place::Archive(&archive, "1.0")).ok();
        for (path, named) in [(&path, None), (&by_skopeo, None), (&archive, Some(&image))] {
            let there = Desk::of(&registry);
            let path = text(path);
            let mut args = vec!["load", &path];
            args.extend(named.iter().flat_map(|name| ["--as", name.as_str()]));
            let loaded = there.image(&args).ok().json();
            assert_eq!(loaded["images"][0]["digest"], digest, "{path}");
            assert_eq!(loaded["images"][0]["names"], json!([image]), "{path}");
        }
    }
    // What is there is not written over.
    desk.image(&["save", &image, "--to", &text(&place("saved"))])
        .ended_with(1)
        .says(&["not empty"]);
    fs::write(place("none.tar"), "no tar").expect("it can be written");
    desk.image(&["load", &text(&place("none.tar"))])
        .ended_with(7);
}

#[test]
fn a_pull_that_is_cut_goes_on_where_it_was() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let (desk, line, host) = Desk::by_line(&registry);
    let component = desk.large_component("large.wasm", 3_000_000);
    let size = fs::metadata(&component).expect("it was written").len();
    let name = "tools/large:1.0";
    let pushed = desk
        .push(&component, &registry.reference(name), &[])
        .ok()
        .json();
    line.set(Conduct::Torn(1_500_000));
    let pulled = desk.pull(&format!("{host}/{name}")).ok().json();
    assert_eq!(pulled["digest"], pushed["digest"]);
    // In the middle of the layer, whose rest alone was asked for then.
    let layer = pushed["componentDigest"].as_str().expect("a digest");
    let mut sent = Vec::new();
    wasm_edge_tests::wait::until_so("the registry to tell of both requests", || {
        sent = registry.answered_with(layer);
        sent.retain(|answered| answered.method == "GET");
        sent.len() >= 2
    });
    assert_eq!(sent.last().map(|last| last.status), Some(206), "{sent:#?}");
    let rest = sent.last().map_or(0, |last| last.sent_bytes);
    assert!(rest < size - 1_000_000, "{rest} of {size}: {sent:#?}");
    // All that went over the line is once the image, and what TLS and requests take.
    let carried = line.carried_bytes();
    assert!(carried < size + 200_000, "{carried} of {size}");
}

#[test]
fn images_that_are_not_held_go_when_they_are_told_to() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let desk = Desk::of(&registry);
    let [one, two] = ["tools/one:1.0", "tools/two:1.0"].map(|name| registry.reference(name));
    desk.push(&paths::guest("echo"), &one, &[]).ok();
    desk.push(&paths::example("relay"), &two, &[]).ok();
    for image in [&one, &two] {
        desk.pull(image).ok();
    }
    assert_eq!(desk.list()["images"].as_array().map(Vec::len), Some(2));
    let kept = desk.image(&["prune"]).ok().json();
    assert_eq!(kept["removed"], json!([]), "both were used just now");
    let removed = desk.image(&["remove", &one]).ok().json();
    assert_eq!(removed["removed"][0]["names"], json!([one]));
    assert!(removed["freedBytes"].as_u64() > Some(10_000));
    desk.image(&["remove", &one])
        .ended_with(4)
        .says(&["does not have", "image list"]);
    let removed = desk.image(&["prune", "--all"]).ok().json();
    assert_eq!(removed["removed"][0]["names"], json!([two]));
    assert_eq!(desk.list()["sizeBytes"], 0);
}

#[test]
fn what_cannot_be_pulled_or_pushed_says_why() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let desk = Desk::of(&registry);
    desk.pull(&registry.reference("tools/none:1.0"))
        .ended_with(4)
        .says(&["tools/none", "push the image first"]);
    let nobody = wasm_edge_tests::wait::free_port();
    desk.pull(&format!("localhost:{nobody}/tools/none:1.0"))
        .ended_with(9)
        .says(&["cannot pull"]);
    desk.push(
        &paths::text_component("no-exports"),
        &registry.reference("a/b:1"),
        &[],
    )
    .ended_with(7);
    let pinned = format!("{}@sha256:{}", registry.reference("a/b"), "0".repeat(64));
    desk.push(&paths::guest("echo"), &pinned, &[]).ended_with(2);
    // Nothing of it is left.
    assert_eq!(desk.list()["sizeBytes"], 0);
    let outcome = desk.home.verb(&["image", "list"]).ended_with(3);
    assert!(outcome.stderr.contains("--data-dir"), "{}", outcome.stderr);
}

#[test]
fn an_image_that_another_tool_made_runs_and_is_held_while_it_does() {
    let Some(registry) = Registry::behind(Door::Password) else {
        return;
    };
    let desk = Desk::of(&registry);
    let Some(oras) = Oras::find(&desk.home) else {
        return;
    };
    let made = desk.home.path().join("hello.wasm");
    fs::copy(paths::example("hello"), made).expect("it can be copied");
    let file = ["hello.wasm:application/wasm"];
    // As its manual has it: a config of its own, and the type of the artifact.
    let push = [
        "push",
        "--artifact-type",
        "application/vnd.wasm.config.v0+json",
    ];
    oras.run(&push, &registry, "tools/hello:1.0", &file).ok();
    let image = registry.reference("tools/hello:1.0");
    let data = desk.home.data();
    let messages = desk.home.write("messages.ndjson", "{\"body\": \"Ada\"}\n");
    let mut command = desk
        .home
        .command(["run", &image, "--config", desk.config()]);
    command.args([
        "--name", "hello", "--output", "json", "--for", "10m", "--input",
    ]);
    command.arg(messages).arg("--data-dir").arg(&data);
    let mut run = Process::start(command);
    run.find_json("the module's greeting", 0, |line| {
        let text = line["text"].as_str()?;
        (line["stream"] == "upstream" && text.starts_with("Hello, ")).then_some(())
    });
    // This is asked of the process.
    let listed = desk.list();
    assert_eq!(listed["images"][0]["names"], json!([image]));
    assert_ne!(listed["images"][0]["heldBy"], json!([]), "{listed}");
    desk.image(&["remove", &image])
        .ended_with(1)
        .says(&["held by"]);
    assert_eq!(
        desk.image(&["prune", "--all"]).ok().json()["removed"],
        json!([])
    );
    // So is a pull, with the process's own password, and an archive either way.
    let other = registry.reference("tools/echo:1.0");
    desk.push(&paths::guest("echo"), &other, &[]).ok();
    let pulled = desk.image(&["pull", &other]).ok().json();
    let tar = desk.home.path().join("echo.tar");
    let tar = tar.to_str().expect("a path of tests is text");
    desk.image(&["save", &other, "--to", tar]).ok();
    desk.image(&["remove", &other]).ok();
    let loaded = desk.image(&["load", tar]).ok().json();
    assert_eq!(loaded["images"][0]["digest"], pulled["digest"]);
    run.signal(Signal::TERM);
    run.wait().ok();
}

#[test]
fn code_is_made_of_images_of_registries_too() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let desk = Desk::of(&registry);
    let image = registry.reference("tools/echo:1.0");
    let pushed = desk.push(&paths::guest("echo"), &image, &[]).ok().json();
    let module = json!({
        "type": "docker", "status": "running", "restartPolicy": "always", "settings": { "image": image },
    });
    let manifest = json!({ "modulesContent": {
        "$edgeAgent": { "properties.desired": {
            "schemaVersion": "1.1", "runtime": { "type": "docker", "settings": {} }, "modules": { "echo": module },
        } },
        "$edgeHub": { "properties.desired": { "schemaVersion": "1.1", "routes": {} } },
    } });
    let manifest = desk.home.write("deployment.json", manifest.to_string());
    let manifest = manifest.to_str().expect("a path of tests is text");
    let data = desk.home.data();
    let data = data.to_str().expect("a path of tests is text");
    let args = [
        "precompile",
        manifest,
        "--config",
        desk.config(),
        "--data-dir",
        data,
        "--output",
        "json",
    ];
    let made = desk.home.verb(&args).ok().json();
    assert_eq!(made["images"][0]["digest"], pushed["componentDigest"]);
    assert_eq!(made["images"][0]["origin"], "compiled");
    assert_eq!(desk.list()["images"][0]["digest"], pushed["digest"]);
}
