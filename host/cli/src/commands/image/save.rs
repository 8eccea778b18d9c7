//! `image save`: images as a folder or tar of the OCI image layout.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;
use wasm_edge_images::layout::convert;

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
    let place = Place::find(global, None, output).await?;
    let mut images: Vec<Image> = Vec::new();
    let mut target = Target::path(&["v1", "images", "save"]);
    for name in &args.images {
        let image = place.get(&place::target_of(name)).await;
        let image = image.map_err(place::with_list_hint)?;
        images.push(serde_json::from_value(image).unwrap_or_default());
        target = target.query("image", name);
    }
    let content = place.content(&target).await?;
    let path = args.to.clone();
    let written = content.read_by(move |reader| write(&path, reader)).await;
    written.map_err(Failure::from)?.map_err(|err| {
        let what = format!("cannot write `{}`", args.to.display());
        Failure::new(ExitStatus::Failure, what).caused_by(err)
    })?;
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

/// The tar itself, or what is in it. A file gets its name when it is whole.
fn write(path: &Path, reader: &mut dyn Read) -> io::Result<()> {
    if path.extension().is_none_or(|ending| ending != TAR) {
        return unpack(path, reader);
    }
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
    file.persist(path)?;
    Ok(())
}

fn unpack(folder: &Path, reader: &mut dyn Read) -> io::Result<()> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => {
            let what = "it is not empty";
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, what));
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => fs::create_dir_all(folder)?,
        Err(err) => return Err(err),
    }
    convert::unpack(reader, folder)
}
