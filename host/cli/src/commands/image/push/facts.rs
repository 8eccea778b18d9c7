//! What an image says of itself: from the person, the crate and the component.
//!
//! Pure. Keys are those of the OCI image specification, *Annotations*; what is ours begins with [`OURS`].

use std::collections::BTreeMap;

use wasm_edge_daemon::code::ComponentFacts;
use wasm_edge_images::document::{self, ImageFacts};
use wasm_edge_model::time::Timestamp;

use crate::args::image::ImagePushArgs;
use crate::build::origin::CrateFacts;

/// What our own annotations begin with.
const OURS: &str = "io.wasm-edge.module.";

/// What those of the specification begin with.
const OF_OCI: &str = "org.opencontainers.image.";

/// The package of the interfaces that hosts of modules have.
const CONTRACT: &str = "wasm-edge:module/";

/// The interface of programs, and the world that they are made for.
const RUN: (&str, &str) = ("wasi:cli/run@", "wasi:cli/command@");

/// Puts together what is said of an image; the person's words win over those of the crate.
pub(super) fn of_image(
    args: &ImagePushArgs,
    of_crate: Option<&CrateFacts>,
    component: &ComponentFacts,
    created: Timestamp,
) -> ImageFacts {
    let mut annotations = BTreeMap::new();
    let mut say = |prefix: &str, key: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            annotations.insert(format!("{prefix}{key}"), value);
        }
    };
    let known = of_crate.cloned().unwrap_or_default();
    let author = (!known.authors.is_empty()).then(|| known.authors.join(", "));
    say(OF_OCI, "title", Some(known.name));
    say(OF_OCI, "description", known.description);
    say(OF_OCI, "documentation", known.documentation);
    say(OF_OCI, "authors", author.clone());
    say(OF_OCI, "source", args.source.clone().or(known.source));
    let version = args.image_version.clone().or(Some(known.version));
    say(OF_OCI, "version", version);
    say(OF_OCI, "licenses", args.licence.clone().or(known.licence));
    say(OURS, "world", contract(component));
    say(OURS, "exports", Some(exports(component)));
    for annotation in &args.annotations {
        annotations.insert(annotation.name.clone(), annotation.value.clone());
    }
    let file_name = args.file.file_name();
    ImageFacts {
        created,
        author,
        file_name: file_name.map(|name| name.to_string_lossy().into_owned()),
        component: document::ComponentFacts {
            exports: component.exports.clone(),
            imports: component.imports.clone(),
            target: target(component),
        },
        annotations,
    }
}

/// The world of a program; handlers are of as many small worlds as there are, which the config has no place for.
fn target(component: &ComponentFacts) -> Option<String> {
    let mut exports = component.exports.iter();
    let version = exports.find_map(|name| name.strip_prefix(RUN.0))?;
    Some(format!("{}{version}", RUN.1))
}

/// The package and version of the interfaces that it is made for: `wasm-edge:module@0.1.0`; the world of programs that
/// know no module.
fn contract(component: &ComponentFacts) -> Option<String> {
    let mut names = component.exports.iter().chain(&component.imports);
    let of_ours = names.find_map(|name| {
        let (_, version) = name.strip_prefix(CONTRACT)?.split_once('@')?;
        Some(format!("{}@{version}", CONTRACT.trim_end_matches('/')))
    });
    of_ours.or_else(|| target(component))
}

/// What it exports without the package: `init, message-handler`.
fn exports(component: &ComponentFacts) -> String {
    let names = component.exports.iter().map(|name| {
        let name = name.strip_prefix(CONTRACT).unwrap_or(name);
        match name.split_once('@') {
            Some((name, _)) if !name.contains(':') => name,
            _ => name,
        }
    });
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::image::{Annotation, RegistryArgs};

    fn args() -> ImagePushArgs {
        ImagePushArgs {
            file: "/w/target/fast_filter.wasm".into(),
            reference: "localhost:5000/filter:1.0".parse().unwrap(),
            source: None,
            image_version: None,
            licence: None,
            annotations: Vec::new(),
            way: RegistryArgs::default(),
        }
    }

    fn handlers() -> ComponentFacts {
        ComponentFacts {
            is_program: false,
            exports: vec![
                "wasm-edge:module/init@0.1.0".to_owned(),
                "wasm-edge:module/message-handler@0.1.0".to_owned(),
            ],
            imports: vec!["wasi:cli/exit@0.2.6".to_owned()],
            memory: Default::default(),
        }
    }

    fn check(facts: &ImageFacts, expected: &[(&str, &str)]) {
        let found = facts.annotations.iter();
        let found: Vec<_> = found
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_image_says_what_its_crate_and_its_component_say() {
        let of_crate = CrateFacts {
            name: "fast-filter".to_owned(),
            version: "1.2.0".to_owned(),
            licence: Some("MIT".to_owned()),
            source: Some("https://example.org/filter".to_owned()),
            authors: vec!["Ann".to_owned(), "Bob".to_owned()],
            ..CrateFacts::default()
        };
        let now = Timestamp::from_unix_millis(0);
        let facts = of_image(&args(), Some(&of_crate), &handlers(), now);
        check(
            &facts,
            &[
                ("io.wasm-edge.module.exports", "init, message-handler"),
                ("io.wasm-edge.module.world", "wasm-edge:module@0.1.0"),
                ("org.opencontainers.image.authors", "Ann, Bob"),
                ("org.opencontainers.image.licenses", "MIT"),
                (
                    "org.opencontainers.image.source",
                    "https://example.org/filter",
                ),
                ("org.opencontainers.image.title", "fast-filter"),
                ("org.opencontainers.image.version", "1.2.0"),
            ],
        );
        assert_eq!(facts.file_name.as_deref(), Some("fast_filter.wasm"));
        assert_eq!(facts.component.target, None);
    }

    #[test]
    fn the_persons_words_win() {
        let mut args = args();
        args.image_version = Some("2.0".to_owned());
        args.licence = Some("Apache-2.0".to_owned());
        let annotation = |name: &str, value: &str| Annotation {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        args.annotations = vec![
            annotation("org.opencontainers.image.licenses", "ISC"),
            annotation("com.example.line", "7"),
        ];
        let of_crate = CrateFacts {
            version: "1.2.0".to_owned(),
            ..CrateFacts::default()
        };
        let program = ComponentFacts {
            is_program: true,
            exports: vec!["wasi:cli/run@0.2.6".to_owned()],
            imports: Vec::new(),
            memory: Default::default(),
        };
        let facts = of_image(
            &args,
            Some(&of_crate),
            &program,
            Timestamp::from_unix_millis(0),
        );
        check(
            &facts,
            &[
                ("com.example.line", "7"),
                ("io.wasm-edge.module.exports", "wasi:cli/run@0.2.6"),
                ("io.wasm-edge.module.world", "wasi:cli/command@0.2.6"),
                ("org.opencontainers.image.licenses", "ISC"),
                ("org.opencontainers.image.version", "2.0"),
            ],
        );
        assert_eq!(
            facts.component.target.as_deref(),
            Some("wasi:cli/command@0.2.6")
        );
    }
}
