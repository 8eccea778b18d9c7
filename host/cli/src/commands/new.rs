//! `new`: a crate for a module, ready to be built, tested and run. What is in it is in [`crate::template`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use crate::args::author::NewArgs;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::text::{Style, Text};
use crate::sdk::{self, SdkDependency};
use crate::template::{self, CrateName, NewFile};

/// Begins the name of the folder that the files are written in before it gets its own.
const UNFINISHED: &str = ".wasm-edge-new-";

/// The JSON output.
#[derive(Serialize)]
struct Report {
    name: String,
    path: PathBuf,
    files: Vec<&'static str>,
    sdk: SdkReport,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum SdkReport {
    Path(String),
    Version(String),
}

/// Makes the crate in a folder of its name; it appears whole or not at all.
///
/// # Errors
/// For a name that cannot be, a folder with something in it, and an SDK that cannot be had.
pub(super) fn execute(args: &NewArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    let name = CrateName::new(&args.name).map_err(|err| {
        let what = format!("`{}` cannot be the name of a module's crate", args.name);
        Failure::new(ExitStatus::Usage, what).caused_by(err)
    })?;
    let here = std::env::current_dir().context("cannot find the current folder")?;
    let folder = here.join(name.as_str());
    refuse_if_taken(&folder)?;
    let sdk = sdk::choose(&args.sdk(), args.sdk_dir.as_deref())?;
    if let Some(warning) = &sdk.warning {
        output.warn(warning);
    }
    let in_workspace = here
        .ancestors()
        .any(|above| above.join("Cargo.toml").is_file());
    let files = template::files(args.template, &name, &sdk.dependency, in_workspace);
    write(&here, &folder, &files)?;
    tell(&name, folder, &files, sdk.dependency, output)
}

fn tell(
    name: &CrateName,
    folder: PathBuf,
    files: &[NewFile],
    sdk: SdkDependency,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    if output.is_json() {
        output.json(&Report {
            name: name.as_str().to_owned(),
            path: folder,
            files: files.iter().map(|file| file.path).collect(),
            sdk: match sdk {
                SdkDependency::Path(path) => SdkReport::Path(path),
                SdkDependency::Version(version) => SdkReport::Version(version),
            },
        })?;
        return Ok(ExitStatus::Ok);
    }
    for file in files {
        output.line(&Text::new().plain(&format!("{}/{}", name.as_str(), file.path)))?;
    }
    let next = format!("cd {} && cargo test && wasm-edge build", name.as_str());
    output.note(
        &Text::new()
            .styled(Style::Cyan, "next:")
            .plain(" ")
            .plain(&next),
    );
    Ok(ExitStatus::Ok)
}

/// Says so before anything is done; the rename at the end is what decides.
fn refuse_if_taken(folder: &Path) -> anyhow::Result<()> {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().map_or(Ok(()), |_| Err(taken(folder))),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) if err.kind() == io::ErrorKind::NotADirectory => Err(taken(folder)),
        Err(err) => Err(err).with_context(|| format!("cannot read `{}`", folder.display())),
    }
}

fn taken(folder: &Path) -> anyhow::Error {
    let what = format!("`{}` is there already and is not empty", folder.display());
    Failure::new(ExitStatus::Usage, what)
        .hint("take another name, or remove what is there")
        .into()
}

/// Writes the files beside their place, and moves them there at once: a folder with something in it is not replaced.
fn write(here: &Path, folder: &Path, files: &[NewFile]) -> anyhow::Result<()> {
    let unfinished = here.join(format!("{UNFINISHED}{}", std::process::id()));
    let written = write_files(&unfinished, files).and_then(|()| fs::rename(&unfinished, folder));
    let Err(err) = written else {
        return Ok(());
    };
    // What is left of a failure is not worth a second one.
    drop(fs::remove_dir_all(&unfinished));
    match err.kind() {
        io::ErrorKind::DirectoryNotEmpty
        | io::ErrorKind::AlreadyExists
        | io::ErrorKind::NotADirectory => Err(taken(folder)),
        _ => Err(err).with_context(|| format!("cannot write `{}`", folder.display())),
    }
}

fn write_files(folder: &Path, files: &[NewFile]) -> io::Result<()> {
    fs::create_dir(folder)?;
    for file in files {
        let path = folder.join(file.path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, &file.text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_appear_in_an_empty_folder_and_replace_nothing() {
        let home = tempfile::tempdir().unwrap();
        let files = [NewFile {
            path: "src/lib.rs",
            text: "//!".to_owned(),
        }];
        let check = |name: &str, prepare: &dyn Fn(&Path), expected: bool| {
            let folder = home.path().join(name);
            prepare(&folder);
            let is_free = refuse_if_taken(&folder).is_ok();
            let is_written = write(home.path(), &folder, &files).is_ok();
            assert_eq!((is_free, is_written), (expected, expected), "{name}");
            assert_eq!(folder.join("src/lib.rs").is_file(), expected, "{name}");
        };
        check("none", &|_| {}, true);
        check("empty", &|folder| fs::create_dir(folder).unwrap(), true);
        check("file", &|folder| fs::write(folder, "mine").unwrap(), false);
        check(
            "full",
            &|folder| {
                fs::create_dir(folder).unwrap();
                fs::write(folder.join("mine"), "").unwrap();
            },
            false,
        );
        assert_eq!(fs::read(home.path().join("file")).unwrap(), b"mine");
        let left = fs::read_dir(home.path()).unwrap().count();
        assert_eq!(left, 4, "something unfinished is left");
    }
}
