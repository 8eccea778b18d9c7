use serde_json::{Value, json};
use wasm_edge_images::digest::Digest;

use super::*;
use crate::deployment::sealed::{ImageDigests, Sections, StoredDeployment};

fn reading(file_images: bool) -> assemble::Reading {
    assemble::Reading {
        file_images,
        compatibility: Compatibility::Documented,
    }
}

fn id(text: &str) -> ModuleId {
    ModuleId::new(text).expect("valid")
}

/// A deployment of these modules; a name that ends in `!` keeps its data.
fn deployment(names: &[&str]) -> Deployment {
    let modules: serde_json::Map<String, Value> = names
        .iter()
        .map(|name| {
            let wasm = json!({ "keepData": name.ends_with('!') });
            let module =
                json!({ "type": "wasm", "settings": { "image": "file:/m", "wasm": wasm } });
            (name.trim_end_matches('!').to_owned(), module)
        })
        .collect();
    let agent = json!({ "schemaVersion": "1.1", "modules": modules });
    let sections = Sections {
        agent: agent.as_object().expect("an object").clone(),
        ..Sections::default()
    };
    let manifest = assemble::assemble(&sections, reading(true)).expect("valid");
    let images = manifest
        .modules
        .keys()
        .map(|id| {
            let image = ImageDigests {
                component: Digest::of(b"component"),
                manifest: None,
            };
            (id.clone(), image)
        })
        .collect();
    Deployment::new(sections, manifest, &images)
}

fn stored(current: &[&str], leaving: &[&str]) -> Stored {
    let keep_data = false;
    Stored {
        current: Some(deployment(current).to_stored()),
        leaving: leaving
            .iter()
            .map(|name| (id(name), Leaving { keep_data }))
            .collect(),
        ..Stored::default()
    }
}

#[test]
fn those_leave_that_were_known_and_are_not_wanted_any_more() {
    let check = |before: Stored, after: &[&str], expected: &[(&str, bool)]| {
        let expected: BTreeMap<ModuleId, Leaving> = expected
            .iter()
            .map(|(name, keep_data)| {
                (
                    id(name),
                    Leaving {
                        keep_data: *keep_data,
                    },
                )
            })
            .collect();
        assert_eq!(leaving(&before, &deployment(after)), expected);
    };
    check(Stored::default(), &["a"], &[]);
    check(stored(&["a", "b"], &[]), &["a", "b", "c"], &[]);
    check(
        stored(&["a", "b", "c!"], &[]),
        &["a"],
        &[("b", false), ("c", true)],
    );
    // One that left before leaves still, and not if it came back.
    check(stored(&["a"], &["x", "y"]), &["a", "y"], &[("x", false)]);
}

#[test]
fn data_of_a_module_that_cannot_be_looked_up_is_kept() {
    let mut before = stored(&["a"], &[]);
    before.current = before.current.map(|current| StoredDeployment {
        sections: Sections::default(),
        ..current
    });
    let expected = [(id("a"), Leaving { keep_data: true })].into();
    assert_eq!(leaving(&before, &deployment(&[])), expected);
}
