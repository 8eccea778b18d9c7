//! Reads any text as a deployment manifest, as from a file and from a hub.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasm_edge_model::manifest::{FAULTS_MAX, Manifest, Origin};
use wasm_edge_model::twin::{SECTION_SIZE_MAX_BYTES, check_section};

fuzz_target!(|text: &str| {
    for origin in [Origin::LocalFile, Origin::Hub] {
        match Manifest::check(text, origin) {
            Ok(checked) => {
                let manifest = checked.value;
                let twins = manifest.module_twins.values();
                for section in twins.chain([&manifest.agent_desired, &manifest.hub_desired]) {
                    assert_eq!(check_section(section, SECTION_SIZE_MAX_BYTES), Ok(()));
                }
                assert!(manifest.modules.iter().all(|(id, spec)| *id == spec.id));
            }
            Err(faults) => {
                assert!(!faults.0.is_empty() && faults.0.len() <= FAULTS_MAX);
                assert!(!faults.to_string().contains('\r'));
            }
        }
    }
});
