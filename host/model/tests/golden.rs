//! What users write, and what is made or said of it: manifests and routes
//! with the expected outcome in a file beside each.
//!
//! `UPDATE_GOLDEN=1 cargo test -p wasm-edge-model --test golden` writes these
//! files anew; read the difference before keeping it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use wasm_edge_model::manifest::{Checked, Manifest, Origin};
use wasm_edge_model::route::{Route, RouteName};

#[test]
fn valid_manifests_have_the_form_beside_them() {
    let cases = cases("manifests/valid");
    assert!(cases.len() >= 8, "only {} valid manifests", cases.len());
    for case in cases {
        let text = fs::read_to_string(&case).unwrap();
        let checked = Manifest::check(&text, origin(&case))
            .unwrap_or_else(|faults| panic!("{} is not valid:\n{faults}", case.display()));
        compare(&case.with_extension("txt"), &shown(&checked));
    }
}

#[test]
fn invalid_manifests_have_the_errors_beside_them() {
    let cases = cases("manifests/invalid");
    assert!(cases.len() >= 25, "only {} invalid manifests", cases.len());
    for case in cases {
        let text = fs::read_to_string(&case).unwrap();
        let faults = match Manifest::check(&text, origin(&case)) {
            Ok(_) => panic!("{} is valid", case.display()),
            Err(faults) => faults,
        };
        assert!(!faults.0.is_empty(), "{} has no fault", case.display());
        compare(&case.with_extension("txt"), &format!("{faults}\n"));
    }
}

#[test]
fn routes_have_the_outcome_beside_them() {
    let folder = golden("routes");
    let routes = fs::read_to_string(folder.join("routes.txt")).unwrap();
    let mut outcomes = String::new();
    for text in routes
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("--"))
    {
        let name = RouteName::new("r").unwrap();
        let outcome = match Route::parse(name, text) {
            Ok(route) => format!("from {} to {}", route.source, route.sink),
            Err(error) => format!("error: {error}"),
        };
        writeln!(outcomes, "{text}\n    {outcome}").unwrap();
    }
    compare(&folder.join("outcomes.txt"), &outcomes);
}

/// Files whose name begins with `hub-` are read as coming from a hub.
fn origin(case: &Path) -> Origin {
    let name = case.file_name().unwrap().to_str().unwrap();
    match name.starts_with("hub-") {
        true => Origin::Hub,
        false => Origin::LocalFile,
    }
}

fn shown(checked: &Checked<Manifest>) -> String {
    let mut text = format!("{:#?}\n", checked.value);
    for warning in &checked.warnings {
        writeln!(text, "warning: {warning}").unwrap();
    }
    text
}

fn cases(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(golden(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (mut cases, others): (Vec<_>, Vec<_>) = entries.partition(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    for other in others {
        let case = other.with_extension("json");
        assert!(
            cases.contains(&case),
            "{} belongs to no case",
            other.display()
        );
    }
    cases.sort();
    cases
}

fn compare(file: &Path, actual: &str) {
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(file, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("{}: {error}; UPDATE_GOLDEN=1 writes it", file.display()));
    assert_eq!(
        actual,
        expected,
        "{} differs; UPDATE_GOLDEN=1 writes it anew",
        file.display()
    );
}

fn golden(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(folder)
}
