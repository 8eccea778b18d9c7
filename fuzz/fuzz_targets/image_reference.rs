//! Reads any text as the name of an image, the host of a registry and a mirror.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasm_edge_images::reference::{Reference, RegistryHost};
use wasm_edge_images::registry::Mirror;
use wasm_edge_model::manifest::without_login;

fuzz_target!(|text: &str| {
    match text.parse::<Reference>() {
        Ok(reference) => {
            // The one form is read as itself, and is never more than a name, whatever stood there.
            let canonical = reference.to_string();
            assert_eq!(canonical.parse().as_ref(), Ok(&reference));
            assert!(canonical.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
            assert!(
                !reference
                    .repository()
                    .split('/')
                    .any(|part| matches!(part, "" | "." | ".."))
            );
            assert_eq!(without_login(text), text, "no reference has a login");
        }
        Err(err) => assert!(!err.to_string().contains(char::is_control), "{err}"),
    }
    let shown = without_login(text);
    assert_eq!(without_login(&shown), shown);
    if shown != text {
        // What is blanked is no image, and what is shown ends as the text does, behind the login.
        assert!(text.parse::<Reference>().is_err() && shown.parse::<Reference>().is_err());
        assert!(text.ends_with(shown.trim_start_matches("*****:*****")));
    }
    if let Ok(host) = RegistryHost::parse(text) {
        assert_eq!(RegistryHost::parse(host.as_str()).as_ref(), Ok(&host));
        let _ = host.address();
    }
    if let Some(mirror) = Mirror::parse(text) {
        assert!(!mirror.prefix.starts_with('/') && !mirror.prefix.ends_with('/'));
    }
});
