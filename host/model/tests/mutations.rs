//! Manifests with slips in them: whatever is done to one, reading it ends
//! with a manifest or with faults.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use wasm_edge_model::manifest::{FAULTS_MAX, Manifest, Origin};

/// What a slip puts in place of some characters.
const SLIPS: [&str; 16] = [
    "", "\"", "{", "}", "[", "]", ",", ":", "\\", "null", "-1", "1e400", "{}", "\u{feff}", "ä", "$",
];

fn valid_manifests() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/manifests/valid");
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_manifest_with_slips_is_read_or_refused(
        text in select(valid_manifests()),
        slips in proptest::collection::vec((any::<Index>(), 0..12_usize, select(SLIPS.to_vec())), 1..4),
    ) {
        let mut chars: Vec<char> = text.chars().collect();
        for (index, length, replacement) in slips {
            let start = index.index(chars.len() + 1);
            let end = (start + length).min(chars.len());
            chars.splice(start..end, replacement.chars());
        }
        let text: String = chars.into_iter().collect();
        for origin in [Origin::LocalFile, Origin::Hub] {
            if let Err(faults) = Manifest::check(&text, origin) {
                prop_assert!(!faults.0.is_empty() && faults.0.len() <= FAULTS_MAX);
                let lines: Vec<_> = faults.0.iter().filter_map(|fault| fault.line).collect();
                prop_assert!(lines.is_sorted());
            }
        }
    }

    #[test]
    fn another_value_anywhere_is_read_or_refused(
        text in select(valid_manifests()),
        place in any::<Index>(),
        value in select(vec!["null", "true", "0", "\"\"", "[]", "{}", "[null]", "{\"a\":1}", "1.5"]),
    ) {
        let mut json: serde_json::Value =
            serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
        let count = values(&mut json, &mut |_| {});
        let chosen = place.index(count);
        let mut seen = 0;
        values(&mut json, &mut |node| {
            if seen == chosen {
                *node = serde_json::from_str(value).unwrap();
            }
            seen += 1;
        });
        let text = json.to_string();
        if let Err(faults) = Manifest::check(&text, Origin::LocalFile) {
            prop_assert!(!faults.0.is_empty());
        }
    }
}

/// Shows every value to `visit`, inner ones first, and counts them.
fn values(json: &mut serde_json::Value, visit: &mut impl FnMut(&mut serde_json::Value)) -> usize {
    let mut count = 1;
    match json {
        serde_json::Value::Array(items) => {
            for item in items {
                count += values(item, visit);
            }
        }
        serde_json::Value::Object(members) => {
            for member in members.values_mut() {
                count += values(member, visit);
            }
        }
        _ => {}
    }
    visit(json);
    count
}
