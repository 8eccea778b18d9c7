//! Images between registries and clients that are not ours.

use std::fs;

use serde_json::Value;
use wasm_edge_tests::home::Home;
use wasm_edge_tests::oci_clients::{Oras, Place, Skopeo};
use wasm_edge_tests::paths;
use wasm_edge_tests::registry::{Door, Registry, WAYS};

/// Pushes a component as an artifact by `oras`, as its manual shows it.
fn push_by_oras(oras: &Oras<'_>, home: &Home, registry: &Registry, name: &str) {
    fs::copy(paths::guest("echo"), home.path().join("echo.wasm")).expect("a file can be copied");
    home.write(
        "config.json",
        r#"{"architecture":"wasm","os":"wasip2","layerDigests":[]}"#,
    );
    let files = ["echo.wasm:application/wasm"];
    let config = "config.json:application/vnd.wasm.config.v0+json";
    oras.run(&["push", "--config", config], registry, name, &files)
        .ok();
}

#[test]
fn the_registry_takes_what_other_clients_push_and_gives_it_back_by_each_door() {
    for options in WAYS {
        let door = options.door;
        let home = Home::new();
        let (Some(mut registry), Some(skopeo), Some(oras)) = (
            Registry::start_with(options),
            Skopeo::find(&home),
            Oras::find(&home),
        ) else {
            return;
        };
        push_by_oras(&oras, &home, &registry, "tools/echo:1.0");
        let pushed = Place::Registry(&registry, "tools/echo:1.0");
        let folder = home.path().join("layout");
        skopeo.copy(pushed, Place::Folder(&folder, "echo")).ok();
        let manifest: Value = skopeo
            .raw_manifest(Place::Folder(&folder, "echo"))
            .ok()
            .json();
        let digest = manifest["layers"][0]["digest"]
            .as_str()
            .expect("a layer has a digest");
        let layer = folder.join("blobs").join(digest.replace(':', "/"));
        let component = fs::read(paths::guest("echo")).expect("it was built");
        assert!(fs::read(layer).expect("it was copied") == component);
        assert!(fs::read(registry.blob_file(digest)).expect("it is there") == component);
        let answered = registry.wait_answered("GET", digest);
        assert_eq!(
            (answered.status, answered.sent_bytes),
            (200, component.len() as u64)
        );
        assert_eq!(registry.token_requests().is_empty(), door != Door::Token);

        // It holds what it was given when it is started again.
        let port = registry.port();
        registry.stop();
        registry.start_again();
        assert_eq!(registry.port(), port);
        let copy = Place::Registry(&registry, "tools/copy:1.0");
        let pushed = Place::Registry(&registry, "tools/echo:1.0");
        skopeo.copy(pushed, copy).ok();
        let again: Value = skopeo.raw_manifest(copy).ok().json();
        assert_eq!(again, manifest);
    }
}

#[test]
fn who_has_no_password_is_not_let_in() {
    let home = Home::new();
    for door in [Door::Password, Door::Token] {
        let (Some(registry), Some(skopeo)) = (Registry::behind(door), Skopeo::find(&home)) else {
            return;
        };
        let mut command = skopeo.command();
        command
            .args(["inspect", "--creds=board:guessed", "--cert-dir"])
            .arg(registry.ca_folder())
            .arg(format!("docker://{}", registry.reference("tools/echo:1.0")));
        let output = command.output().expect("skopeo can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("unauthorized"),
            "{said}"
        );
    }
}
