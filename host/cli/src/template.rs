//! What `new` writes: the files of a crate, from the templates in `templates/`.
//!
//! Pure, names are checked here, too. `{{key}}` in a template stands for a value; a template with a key that has no
//! value is a defect that a test finds.

use wasm_edge_model::identity::ModuleId;

use crate::args::author::Template;
use crate::sdk::{self, SdkDependency};

/// Longest name of a crate: registries take no longer one.
const NAME_MAX_CHARS: usize = 64;

/// Strict and reserved keywords of the Rust reference that are in lower case: no crate can be named so.
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Names that cargo, the compiler or the templates have given away.
const TAKEN: [&str; 15] = [
    "alloc",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "log",
    "proc-macro",
    "serde",
    "serde-json",
    "std",
    "test",
    "wasm-edge-sdk",
    "wasm-edge-sdk-macros",
    "wit-bindgen",
];

/// Names of types that the templates use; a module's own type is none of them.
const TYPES: [&str; 23] = [
    "Box",
    "Default",
    "Deserialize",
    "Duration",
    "Err",
    "Error",
    "Event",
    "From",
    "Harness",
    "Message",
    "Ok",
    "Outcome",
    "Outgoing",
    "Response",
    "Result",
    "Self",
    "SendError",
    "Settings",
    "Some",
    "String",
    "Tick",
    "Value",
    "Vec",
];

/// A name that a crate, its folder and a module can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CrateName(String);

/// Why a name cannot be taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    /// It has other characters, or begins with another one.
    #[error("a name has small letters, digits, `-` and `_`, and begins with a letter")]
    Characters,
    /// It is too long.
    #[error("a name has at most {NAME_MAX_CHARS} characters")]
    TooLong,
    /// It means something else already.
    #[error("the name means something else to Rust, cargo or the SDK")]
    Taken,
}

/// A file, by its path in the crate's folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewFile {
    /// With `/` between folders.
    pub(crate) path: &'static str,
    /// Its text.
    pub(crate) text: String,
}

/// The texts of one template.
struct Texts {
    source: &'static str,
    source_path: &'static str,
    messages: &'static str,
    expect: &'static str,
    /// Further dependencies.
    dependencies: &'static str,
    /// Desired properties to begin with.
    desired: &'static str,
    about: &'static str,
    /// What to try while it runs.
    attempt: &'static str,
}

impl CrateName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`NameError`].
    pub(crate) fn new(text: &str) -> Result<Self, NameError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.chars().all(allowed) {
            return Err(NameError::Characters);
        }
        if text.len() > NAME_MAX_CHARS {
            return Err(NameError::TooLong);
        }
        let plain = text.replace('_', "-");
        let taken = KEYWORDS.contains(&text) || TAKEN.contains(&plain.as_str());
        // Each name that gets here is a module's id as well; if the rules of those change, this is where to say so.
        if taken || ModuleId::new(text).is_err() {
            return Err(NameError::Taken);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the module's type: `DoorBell` for `door-bell`.
    fn type_name(&self) -> String {
        let capital = |part: &str| {
            let (first, rest) = part.split_at(part.len().min(1));
            first.to_uppercase() + rest
        };
        let name: String = self.0.split(['-', '_']).map(capital).collect();
        match TYPES.contains(&name.as_str()) {
            true => name + "Module",
            false => name,
        }
    }
}

/// The files of a new crate. `in_workspace` tells whether a crate above it would take it for one of its own.
pub(crate) fn files(
    template: Template,
    name: &CrateName,
    sdk: &SdkDependency,
    in_workspace: bool,
) -> Vec<NewFile> {
    let texts = texts(template);
    let is_program = template == Template::Program;
    // Cargo names a program's file after the package, a library's after the crate.
    let file = match is_program {
        true => name.as_str().to_owned(),
        false => name.as_str().replace('-', "_"),
    };
    let lib = match is_program {
        true => "",
        false => "\n[lib]\ncrate-type = [\"cdylib\"]\n",
    };
    let workspace = match in_workspace {
        // Else cargo asks the workspace above for it.
        true => {
            "\n\n# Without this line it is one of the workspace above, if that has it as a member.\n[workspace]"
        }
        false => "",
    };
    let component = format!("target/wasm32-wasip2/release/{file}.wasm");
    let dependencies = dependency(sdk) + texts.dependencies;
    let fill = |text: &str| {
        let values = [
            ("name", name.as_str()),
            ("type", &name.type_name()),
            ("file", &file),
            ("lib", lib),
            ("workspace", workspace),
            ("dependencies", dependencies.trim_end()),
            ("desired", texts.desired),
            ("about", texts.about),
            ("component", &component),
            ("source", texts.source_path),
            ("sdk-note", sdk_note(sdk)),
        ];
        // What there is to try names the module itself.
        let text = text.replace("{{try}}", texts.attempt);
        let filled = values.iter().fold(text, |text, (key, value)| {
            text.replace(&format!("{{{{{key}}}}}"), value)
        });
        filled.trim_end().to_owned() + "\n"
    };
    let file = |path, text: &str| NewFile {
        path,
        text: fill(text),
    };
    vec![
        file("Cargo.toml", include_str!("../templates/Cargo.toml.in")),
        file(texts.source_path, texts.source),
        file(
            "deployment.json",
            include_str!("../templates/deployment.json.in"),
        ),
        file("messages.ndjson", texts.messages),
        file("expect.ndjson", texts.expect),
        file(".gitignore", "/target\n"),
        file("README.md", include_str!("../templates/README.md.in")),
    ]
}

fn dependency(sdk: &SdkDependency) -> String {
    let (key, value) = match sdk {
        SdkDependency::Path(path) => ("path", path),
        SdkDependency::Version(version) => ("version", version),
    };
    // What JSON escapes in a text without control characters, TOML's basic strings escape in the same way.
    let value = serde_json::Value::from(value.as_str());
    format!("{} = {{ {key} = {value} }}\n", sdk::PACKAGE)
}

fn sdk_note(sdk: &SdkDependency) -> &'static str {
    match sdk {
        SdkDependency::Version(_) => "",
        SdkDependency::Path(_) => {
            "
The SDK is not on a registry yet: `Cargo.toml` names the folder that it lies in on this machine.
On another one, `wasm-edge build` says which folder to write there instead."
        }
    }
}

fn texts(template: Template) -> Texts {
    match template {
        Template::Message => Texts {
            source: include_str!("../templates/message/lib.rs"),
            source_path: "src/lib.rs",
            messages: include_str!("../templates/message/messages.ndjson"),
            expect: include_str!("../templates/message/expect.ndjson"),
            dependencies: SERDE,
            desired: r#"{ "greeting": "Hello" }"#,
            about: "A module for wasm-edge that greets whoever sends a name.",
            attempt: "While it runs, in a second terminal: `wasm-edge send {{name}} --input names Ada`, and `wasm-edge twin patch {{name}} '{\"greeting\": \"Moin\"}'`.",
        },
        Template::Timer => Texts {
            source: include_str!("../templates/timer/lib.rs"),
            source_path: "src/lib.rs",
            messages: include_str!("../templates/timer/messages.ndjson"),
            expect: include_str!("../templates/timer/expect.ndjson"),
            dependencies: SERDE,
            desired: r#"{ "interval_ms": 1000 }"#,
            about: "A module for wasm-edge that counts at intervals and sends the count.",
            attempt: "While it runs, in a second terminal: `wasm-edge method {{name}} reset`, and `wasm-edge twin patch {{name}} '{\"interval_ms\": 200}'`.",
        },
        Template::Program => Texts {
            source: include_str!("../templates/program/main.rs"),
            source_path: "src/main.rs",
            messages: include_str!("../templates/program/messages.ndjson"),
            expect: include_str!("../templates/program/expect.ndjson"),
            dependencies: "",
            desired: "{}",
            about: "A program for wasm-edge that passes on what it gets, with a number.",
            attempt: "While it runs, in a second terminal: `wasm-edge send {{name}} --input in one`, and `wasm-edge method {{name}} status`.",
        },
    }
}

const SERDE: &str = "serde = { version = \"1\", features = [\"derive\"] }\n";

#[cfg(test)]
mod tests {
    use wasm_edge_model::manifest::{Manifest, Origin};

    use super::*;

    const TEMPLATES: [Template; 3] = [Template::Message, Template::Timer, Template::Program];

    fn name(text: &str) -> CrateName {
        CrateName::new(text).unwrap()
    }

    fn text<'a>(files: &'a [NewFile], path: &str) -> &'a str {
        let file = files.iter().find(|file| file.path == path);
        &file.unwrap_or_else(|| panic!("{path}")).text
    }

    #[test]
    fn names_are_those_of_crates_and_modules() {
        for taken in ["greeter", "a", "door-bell_2", "x86", &"a".repeat(64)] {
            assert_eq!(name(taken).as_str(), taken);
        }
        let check =
            |text: &str, expected| assert_eq!(CrateName::new(text), Err(expected), "{text}");
        for text in [
            "",
            "1st",
            "-a",
            "_a",
            "Greeter",
            "gruß",
            "a b",
            "a/b",
            "../a",
            ".",
            "$edgeAgent",
            "a.b",
            "a\n",
            "a\"",
        ] {
            check(text, NameError::Characters);
        }
        check(&"a".repeat(65), NameError::TooLong);
        for text in [
            "fn",
            "self",
            "test",
            "std",
            "proc_macro",
            "wasm_edge_sdk",
            "build",
            "log",
        ] {
            check(text, NameError::Taken);
        }
    }

    #[test]
    fn types_have_names_of_their_own() {
        let check = |text: &str, expected: &str| assert_eq!(name(text).type_name(), expected);
        check("greeter", "Greeter");
        check("door-bell_2", "DoorBell2");
        check("a--b", "AB");
        check("message", "MessageModule");
        check("send-error", "SendErrorModule");
        check("string", "StringModule");
        check("self-", "SelfModule");
    }

    #[test]
    fn every_type_that_a_template_names_is_taken() {
        for template in TEMPLATES {
            let source = texts(template).source;
            // What comes behind `::` or is a text is no name in the scope of the module's type.
            let code = source
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let code: String = code.collect::<Vec<_>>().join("\n");
            let code: String = code.split('"').step_by(2).collect::<Vec<_>>().join(" ");
            let is_part = |c: char| !(c.is_alphanumeric() || c == '_' || c == ':');
            for word in code.split(is_part) {
                let word = word
                    .trim_start_matches("::")
                    .split("::")
                    .next()
                    .unwrap_or_default();
                let is_type =
                    word.starts_with(char::is_uppercase) && word.contains(char::is_lowercase);
                assert!(
                    !is_type || TYPES.contains(&word.trim_end_matches(':')),
                    "{word}"
                );
            }
        }
    }

    #[test]
    fn every_template_is_filled_in_and_its_manifest_is_valid() {
        let sdk = SdkDependency::Path("/a \"b\"\\c".to_owned());
        for template in TEMPLATES {
            let files = files(template, &name("door-bell"), &sdk, true);
            for file in &files {
                assert!(!file.text.contains("{{"), "{}: {}", file.path, file.text);
            }
            let manifest = text(&files, "deployment.json");
            let checked = Manifest::check(manifest, Origin::LocalFile).unwrap();
            assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
            assert!(
                checked
                    .value
                    .modules
                    .keys()
                    .any(|id| id.as_str() == "door-bell")
            );
            let cargo = text(&files, "Cargo.toml");
            assert!(
                cargo.contains(r#"wasm-edge-sdk = { path = "/a \"b\"\\c" }"#),
                "{cargo}"
            );
            assert!(cargo.ends_with("\n[workspace]\n"), "{cargo}");
            assert!(!cargo.contains("\n\n\n"), "{cargo}");
        }
    }

    #[test]
    fn the_manifest_names_the_file_that_cargo_makes() {
        let sdk = SdkDependency::Version("0.1".to_owned());
        let check = |template, expected: &str| {
            let files = files(template, &name("door-bell"), &sdk, false);
            assert!(text(&files, "deployment.json").contains(expected));
            let cargo = text(&files, "Cargo.toml");
            assert!(
                cargo.contains("wasm-edge-sdk = { version = \"0.1\" }"),
                "{cargo}"
            );
            assert!(!cargo.contains("[workspace]"), "{cargo}");
        };
        check(Template::Message, "release/door_bell.wasm");
        check(Template::Program, "release/door-bell.wasm");
    }
}
