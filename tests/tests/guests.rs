//! Every guest has a test that uses it, or it goes.

use std::fs;
use std::path::Path;

use wasm_edge_tests::paths;

/// All test sources, as one text.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("guests.rs")
        {
            text.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn every_guest_has_a_test_that_uses_it() {
    let guests = paths::repository().join("tests/guests");
    let mut names = Vec::new();
    for folder in ["handlers", "programs", "wat"] {
        for entry in fs::read_dir(guests.join(folder)).expect("a folder of guests") {
            let path = entry.expect("an entry").path();
            names.push(
                path.file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned(),
            );
        }
    }
    assert!(names.len() > 30, "the guests lie elsewhere now");
    let mut text = String::new();
    sources(&paths::repository().join("tests/tests"), &mut text);
    sources(&paths::repository().join("host/runtime/src"), &mut text);
    let unused: Vec<&String> = names
        .iter()
        .filter(|name| {
            !text.contains(&format!("\"{name}\"")) && !text.contains(&format!("{name}.wat"))
        })
        .collect();
    assert!(unused.is_empty(), "guests without a test: {unused:?}");
}
