//! Writes the table of the SDK's files that the binary carries, for `src/sdk.rs`.
//!
//! The table names the files where they lie, so that the compiler reads them; nothing is copied.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the SDK lies, from this crate.
const SDK: &str = "../../sdk-guest";

/// What belongs to an SDK by its ending; anything else in its folders is left by tools.
const ENDINGS: [&str; 5] = ["rs", "toml", "wit", "md", "json"];

/// Folders that whoever uses the SDK does not need.
const LEFT_OUT: [&str; 3] = ["target", "tests", "benches"];

/// Folders below folders, at most: the link to the WIT could come to lead in a circle.
const DEPTH_MAX: usize = 8;

/// Writes the table into cargo's folder for what build scripts make.
pub(crate) fn write() {
    println!("cargo::rerun-if-changed=build");
    // The build for boards carries no SDK.
    if std::env::var_os("CARGO_FEATURE_COMPILER").is_none() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(SDK);
    let root = fs::canonicalize(&root).expect("the SDK lies beside the host's crates");
    let mut files = BTreeMap::new();
    collect(&root, "", 0, &mut files);
    let licence = root.join("../LICENSE");
    println!("cargo::rerun-if-changed={}", licence.display());
    files.insert("LICENSE".to_owned(), licence);
    let mut table = "&[\n".to_owned();
    for (name, path) in &files {
        writeln!(table, "    ({name:?}, include_bytes!({path:?})),").expect("a String takes all");
    }
    table.push(']');
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it for build scripts");
    fs::write(Path::new(&out).join("sdk_files.rs"), table).expect("OUT_DIR can be written");
}

/// Adds the files of a folder under their path from the SDK's root; `prefix` is empty or ends with `/`.
fn collect(folder: &Path, prefix: &str, depth: usize, files: &mut BTreeMap<String, PathBuf>) {
    assert!(depth < DEPTH_MAX, "`{}` is too deep", folder.display());
    // The root changes with every build in it, through its folder `target`: its files are told one by one.
    if depth > 0 {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    for entry in fs::read_dir(folder).expect("a folder of the SDK can be read") {
        let entry = entry.expect("a folder of the SDK can be read");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = entry.path();
        // Through links: the folder of the macros has one to the WIT.
        if path.is_dir() {
            if !name.starts_with('.') && !LEFT_OUT.contains(&name.as_str()) {
                collect(&path, &format!("{prefix}{name}/"), depth + 1, files);
            }
        } else if !name.starts_with('.') && has_known_ending(&path) {
            if depth == 0 {
                println!("cargo::rerun-if-changed={}", path.display());
            }
            files.insert(format!("{prefix}{name}"), path);
        }
    }
}

fn has_known_ending(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    ENDINGS.iter().any(|known| ending == *known)
}
