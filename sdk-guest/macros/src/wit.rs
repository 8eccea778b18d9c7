//! The WIT package as one text that needs no folder, for `expand`.

/// Every file of the package. A test holds the list against the folder.
const FILES: &[(&str, &str)] = &[
    ("events.wit", include_str!("../wit/events.wit")),
    ("health.wit", include_str!("../wit/health.wit")),
    ("identity.wit", include_str!("../wit/identity.wit")),
    ("init.wit", include_str!("../wit/init.wit")),
    ("lifecycle.wit", include_str!("../wit/lifecycle.wit")),
    ("log.wit", include_str!("../wit/log.wit")),
    (
        "message-handler.wit",
        include_str!("../wit/message-handler.wit"),
    ),
    ("messages.wit", include_str!("../wit/messages.wit")),
    (
        "method-handler.wit",
        include_str!("../wit/method-handler.wit"),
    ),
    ("methods.wit", include_str!("../wit/methods.wit")),
    ("package.wit", include_str!("../wit/package.wit")),
    ("shutdown.wit", include_str!("../wit/shutdown.wit")),
    (
        "timer-handler.wit",
        include_str!("../wit/timer-handler.wit"),
    ),
    ("timer.wit", include_str!("../wit/timer.wit")),
    ("twin-handler.wit", include_str!("../wit/twin-handler.wit")),
    ("twin.wit", include_str!("../wit/twin.wit")),
    ("worlds.wit", include_str!("../wit/worlds.wit")),
];

/// The part of `wasi:io` that the package uses.
const POLL: &str = include_str!("../wit/deps/io/poll.wit");

/// The package and version that handlers and imports belong to.
pub(crate) const PACKAGE: &str = "wasm-edge:module";
pub(crate) const VERSION: &str = "0.1.0";

/// A world named `module` that may import everything of `imports` and includes the given worlds, with all packages it needs nested in the same text.
pub(crate) fn inline(worlds: &[&str]) -> String {
    let mut text = String::from("package author:module;\nworld module {\n");
    for world in std::iter::once(&"imports").chain(worlds) {
        text += &format!("include {PACKAGE}/{world}@{VERSION};\n");
    }
    text += "}\n";
    text += &nested(
        &format!("package {PACKAGE}@{VERSION}"),
        FILES.iter().map(|(_, file)| *file),
    );
    text += &nested("package wasi:io@0.2.0", std::iter::once(POLL));
    text
}

/// The files as one nested package; their own `package` lines and their documentation are left out.
fn nested<'a>(package: &str, files: impl Iterator<Item = &'a str>) -> String {
    let mut text = format!("{package} {{\n");
    for line in files.flat_map(str::lines) {
        let code = line.trim_start();
        if !code.starts_with("///") && !code.starts_with("package ") && !code.is_empty() {
            text += line;
            text.push('\n');
        }
    }
    text + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_package_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/wit");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .expect("the link to the WIT is there")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("a name")
            })
            .filter(|name| name.ends_with(".wit"))
            .collect();
        found.sort();
        let listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, listed);
    }

    #[test]
    fn the_package_names_are_those_of_the_files() {
        let line = |text: &str| {
            text.lines()
                .find(|line| line.starts_with("package "))
                .map(str::to_owned)
        };
        let package = FILES.iter().find_map(|(_, text)| line(text));
        assert_eq!(package, Some(format!("package {PACKAGE}@{VERSION};")));
        assert_eq!(line(POLL), Some("package wasi:io@0.2.0;".to_owned()));
    }
}
