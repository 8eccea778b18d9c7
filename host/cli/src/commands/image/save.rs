//! `image save`: images as a folder or tar of the OCI image layout.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;
use wasm_edge_images::layout::{self, convert};
use wasm_edge_images::reference::Reference;

use super::place::{self, Place};
use super::view::Image;
use crate::args::GlobalArgs;
use crate::args::image::ImageSaveArgs;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::text::Text;
use crate::output::{Output, human};

/// What a tar's name ends in.
const TAR: &str = "tar";

/// What standard output is called.
const STANDARD_OUTPUT: &str = "-";

/// How much is copied at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// The JSON output.
#[derive(Serialize)]
struct Saved {
    path: PathBuf,
    images: Vec<Image>,
}

/// Saves, and prints what was saved.
pub(super) async fn execute(
    args: ImageSaveArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let goal = Goal::find(&args, output)?;
    let place = Place::find(global, &args.way, output).await?;
    let mut images: Vec<Image> = Vec::new();
    let mut target = Target::path(&["v1", "images", "save"]);
    for name in &args.images {
        let image = place.get(&place::target_of(name)).await;
        let image = image.map_err(place::with_list_hint)?;
        add(
            &mut images,
            serde_json::from_value(image).unwrap_or_default(),
            name,
        );
        target = target.query("image", name);
    }
    let content = place.content(&target).await?;
    let written = match &goal {
        Goal::Output => {
            let output = output.clone();
            let copied = content.read_by(move |reader| copy(reader, &output)).await;
            copied.map_err(Failure::from)??;
            return Ok(ExitStatus::Ok);
        }
        Goal::Archive { path, replace } => {
            let (path, replace) = (path.clone(), *replace);
            content
                .read_by(move |reader| write(&path, replace, reader))
                .await
        }
        Goal::Folder(path) => {
            let path = path.clone();
            content.read_by(move |reader| unpack(&path, reader)).await
        }
    };
    written
        .map_err(Failure::from)?
        .map_err(|err| cannot_write(&args.to, err))?;
    let saved = Saved {
        path: args.to,
        images,
    };
    if output.is_json() {
        output.json(&saved)?;
    } else {
        let count = human::count(saved.images.len(), "image");
        let text = format!("{count} saved to {}", saved.path.display());
        output.line(&Text::new().plain(&text))?;
    }
    Ok(ExitStatus::Ok)
}

/// Where images go.
enum Goal {
    /// A tar on standard output.
    Output,
    Archive {
        path: PathBuf,
        replace: bool,
    },
    Folder(PathBuf),
}

impl Goal {
    /// Looks whether anything is in the way before anything is asked for.
    fn find(args: &ImageSaveArgs, output: &Output) -> Result<Self, Failure> {
        let path = args.to.clone();
        if path == Path::new(STANDARD_OUTPUT) {
            if output.shows_data() {
                let what = "standard output is a terminal, and a tar is no text";
                return Err(Failure::new(ExitStatus::Usage, what)
                    .hint("give it to another program or a file, as with `--to - > images.tar`"));
            }
            return Ok(Self::Output);
        }
        if path.extension().is_some_and(|ending| ending == TAR) {
            return match fs::symlink_metadata(&path) {
                Ok(_) if !args.force => Err(is_there(&path)),
                _ => Ok(Self::Archive {
                    path,
                    replace: args.force,
                }),
            };
        }
        match fs::read_dir(&path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Ok(Self::Folder(path)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Self::Folder(path)),
            Ok(false) => {
                let not_empty = io::Error::other("it is not empty");
                Err(cannot_write(&path, not_empty).hint("give a folder that is empty or not there"))
            }
            Err(err) => Err(cannot_write(&path, err).hint("the name of a tar ends in `.tar`")),
        }
    }
}

fn is_there(path: &Path) -> Failure {
    Failure::new(
        ExitStatus::Failure,
        format!("`{}` is there already", path.display()),
    )
    .hint("`--force` replaces it")
}

fn cannot_write(path: &Path, err: io::Error) -> Failure {
    let status = match err.kind() {
        io::ErrorKind::AlreadyExists => return is_there(path),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ExitStatus::TryLater,
        _ => ExitStatus::Failure,
    };
    let what = format!("cannot write `{}`", path.display());
    Failure::new(status, what).caused_by(without_path(err))
}

/// What the system said, without the name of a temporary file, which says nothing to anybody. It stands behind the
/// system's words, and whoever adds it keeps those to itself.
fn without_path(err: io::Error) -> io::Error {
    let text = err.to_string();
    match text.split_once(" at path \"") {
        Some((said, _)) => io::Error::new(err.kind(), said.to_owned()),
        None => err,
    }
}

/// Adds an image under the names that it is saved by; one that is there already gets them beside its others.
fn add(images: &mut Vec<Image>, mut image: Image, asked: &str) {
    if let Ok(reference) = asked.parse::<Reference>() {
        image.names = layout::named_by(&image.names, &reference.to_string());
    }
    match images.iter_mut().find(|other| other.digest == image.digest) {
        Some(other) => {
            other.names.append(&mut image.names);
            other.names.sort();
            other.names.dedup();
        }
        None => images.push(image),
    }
}

fn copy(reader: &mut dyn Read, output: &Output) -> anyhow::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(()),
            read => output.bytes(&buffer[..read])?,
        }
    }
}

/// The tar itself. The file gets its name when it is whole.
fn write(path: &Path, replace: bool, reader: &mut dyn Read) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    io::copy(reader, &mut file)?;
    file.flush()?;
    file.as_file().sync_all()?;
    // Like any file that a person makes, and not for its owner alone.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode)?;
    match replace {
        true => file.persist(path)?,
        false => file.persist_noclobber(path)?,
    };
    Ok(())
}

/// What is in the tar, into a folder that is empty or not there: all of it, or nothing.
fn unpack(folder: &Path, reader: &mut dyn Read) -> io::Result<()> {
    let is_new = !folder.exists();
    fs::create_dir_all(folder)?;
    let unpacked = unpack_within(folder, reader);
    if unpacked.is_err() && is_new {
        // Empty, since nothing was moved into it.
        let _ = fs::remove_dir(folder);
    }
    unpacked
}

fn unpack_within(folder: &Path, reader: &mut dyn Read) -> io::Result<()> {
    let beside = tempfile::Builder::new()
        .prefix(".saving-")
        .tempdir_in(folder)?;
    convert::unpack(reader, beside.path())?;
    for entry in fs::read_dir(beside.path())? {
        let name = entry?.file_name();
        fs::rename(beside.path().join(&name), folder.join(&name))?;
    }
    beside.close()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_shown_without_names_of_temporary_files() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("none/images.tar");
        let err = write(&path, false, &mut &b""[..]).unwrap_err();
        assert!(err.to_string().contains(".tmp"), "{err}");
        let told = without_path(err).to_string();
        assert_eq!(told, "No such file or directory (os error 2)");
        let other = io::Error::other("the answer was cut");
        assert_eq!(without_path(other).to_string(), "the answer was cut");
    }
}
