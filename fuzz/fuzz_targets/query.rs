//! Reads a line as a query and those behind it as documents; sees that the query is read again as it is written, that
//! nothing panics, and that a condition and its opposite never both hold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use wasm_edge_hub::query::{Query, Target};

fuzz_target!(|text: &str| {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(query) = Query::parse(first) {
        let written = query.to_string();
        let again = Query::parse(&written);
        // What is written may be longer than what was read, never different.
        if written.len() <= wasm_edge_hub::query::QUERY_MAX_BYTES {
            assert_eq!(again.as_ref(), Ok(&query), "{written}");
        }
        for line in rest.lines() {
            let Ok(document) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let chosen = query.matches(&document);
            if let Ok(again) = &again {
                assert_eq!(again.matches(&document), chosen);
                assert_eq!(again.row(&document), query.row(&document));
            }
        }
    }
    let opposite = format!("NOT ({first})");
    if let (Ok(target), Ok(opposite)) = (Target::parse(first), Target::parse(&opposite)) {
        for line in rest.lines() {
            if let Ok(document) = serde_json::from_str::<Value>(line) {
                assert!(!(target.matches(&document) && opposite.matches(&document)));
            }
        }
    }
});
