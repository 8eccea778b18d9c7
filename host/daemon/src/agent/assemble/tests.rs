use serde_json::json;

use super::*;

fn reading(file_images: bool) -> Reading {
    Reading {
        file_images,
        compatibility: Compatibility::Documented,
    }
}

fn sections(agent: Value, hub: Value) -> Sections {
    let object = |value: Value| match value {
        Value::Object(members) => members,
        other => panic!("no object: {other}"),
    };
    Sections {
        agent: object(agent),
        agent_version: 3,
        hub: object(hub),
        hub_version: 2,
    }
}

fn agent(image: &str) -> Value {
    json!({
        "schemaVersion": "1.1",
        "runtime": { "type": "docker" },
        "modules": { "m": { "type": "wasm", "settings": { "image": image } } },
    })
}

#[test]
fn desired_properties_are_read_as_a_manifest() {
    let hub =
        json!({ "schemaVersion": "1.1", "routes": { "r": "FROM /messages/* INTO $upstream" } });
    let manifest = assemble(&sections(agent("file:/m.wasm"), hub), reading(true)).expect("valid");
    assert_eq!((manifest.modules.len(), manifest.routes.len()), (1, 1));
    // A hub that was told nothing of routes.
    let manifest =
        assemble(&sections(agent("file:/m.wasm"), json!({})), reading(true)).expect("valid");
    assert!(manifest.routes.is_empty());
}

#[test]
fn what_is_no_deployment_is_refused_with_the_code_of_its_kind() {
    let check = |agent: Value, hub: Value, file_images: bool, code: DeploymentCode, text: &str| {
        let refusal = assemble(&sections(agent, hub), reading(file_images)).expect_err("refused");
        assert_eq!(refusal.code, code, "{refusal:?}");
        assert!(refusal.reasons.join("\n").contains(text), "{refusal:?}");
    };
    let none = || json!({});
    check(none(), none(), true, DeploymentCode::Empty, "are empty");
    let mut newer = agent("file:/m.wasm");
    newer["schemaVersion"] = json!("2.0");
    check(
        newer,
        none(),
        true,
        DeploymentCode::SchemaVersion,
        "schemaVersion",
    );
    let mut unversioned = agent("file:/m.wasm");
    unversioned.as_object_mut().unwrap().remove("schemaVersion");
    check(
        unversioned,
        none(),
        true,
        DeploymentCode::SchemaVersion,
        "is missing",
    );
    let wrong = json!({ "schemaVersion": "1.1", "routes": { "r": "nonsense" } });
    check(
        agent("file:/m.wasm"),
        wrong,
        true,
        DeploymentCode::Faulty,
        "routes.r",
    );
    check(
        agent("file:m.wasm"),
        none(),
        true,
        DeploymentCode::Faulty,
        "relative",
    );
    check(
        agent("file:/m.wasm"),
        none(),
        false,
        DeploymentCode::Faulty,
        "`file:` images",
    );
}

#[test]
fn a_digest_names_content_and_images_and_no_versions() {
    let stored = |image: &str, digest: &str, version: u64| StoredDeployment {
        sections: Sections {
            agent_version: version,
            ..sections(agent(image), json!({}))
        },
        images: [(ModuleId::new("m").unwrap(), digest.to_owned())].into(),
        manifests: BTreeMap::new(),
    };
    let first = digest(&stored("file:/a", "sha256:1", 1));
    assert_eq!(first, digest(&stored("file:/a", "sha256:1", 2)));
    assert_ne!(first, digest(&stored("file:/b", "sha256:1", 1)));
    assert_ne!(first, digest(&stored("file:/a", "sha256:2", 1)));
}
