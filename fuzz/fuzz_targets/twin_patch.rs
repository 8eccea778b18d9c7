//! Reads lines as twin patches, applies them one after the other, and sees
//! that versions, storage and differences stay in step.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasm_edge_model::time::Timestamp;
use wasm_edge_model::twin::{
    SECTION_SIZE_MAX_BYTES, Twin, check_section, diff, merge_patch, parse_patch,
};

fuzz_target!(|text: &str| {
    let mut twin = Twin::new(Timestamp::UNSET);
    for (index, line) in text.lines().enumerate() {
        let Ok(patch) = parse_patch(line) else {
            continue;
        };
        let now = Timestamp::from_unix_millis(index as i64);
        let before = twin.clone();
        let Ok(applied) = twin.report(&patch, now) else {
            assert_eq!(twin, before);
            continue;
        };
        assert_eq!(applied.version, before.reported.version() + 1);
        let properties = twin.reported.properties();
        assert_eq!(check_section(properties, SECTION_SIZE_MAX_BYTES), Ok(()));
        let mut followed = before.reported.properties().clone();
        let difference = diff(&followed, properties);
        merge_patch(&mut followed, &difference);
        assert_eq!(&followed, properties);
        let stored = serde_json::to_string(&twin).expect("a twin is JSON");
        let read: Twin = serde_json::from_str(&stored).expect("a stored twin is read");
        assert_eq!(read, twin);
    }
});
