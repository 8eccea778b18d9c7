//! `image load`: images from a folder or tar of the OCI image layout, for sites without a network.
//!
//! The process that holds the store gets a tar in either case, since it may run as a user that cannot read the file. What
//! is wrong with the folder is found here, then, and told as that process tells it of a tar.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use hyper::Method;
use serde::{Deserialize, Serialize};

use wasm_edge_images::layout::convert::{self, PackError};
use wasm_edge_images::layout::error::LayoutError;

use super::place::Place;
use super::view::{self, Image};
use crate::args::GlobalArgs;
use crate::args::image::ImageLoadArgs;
use crate::client::Ask;
use crate::client::content::body_of;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::text::Text;
use crate::output::{Output, human};

/// What standard input is called.
const STANDARD_INPUT: &str = "-";

/// How much is read at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long the process may take to verify and keep what it got.
const ANSWER_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(600);

/// What was loaded, and what of the layout was not.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Loaded {
    images: Vec<Image>,
    #[serde(default)]
    passed_over: Vec<PassedOver>,
    #[serde(default)]
    names_not_taken: Vec<NameNotTaken>,
}

/// An image that is none of a module.
#[derive(Debug, Deserialize, Serialize)]
struct PassedOver {
    digest: String,
    names: Vec<String>,
    reason: String,
}

/// A name that does not lead to its image here.
#[derive(Debug, Deserialize, Serialize)]
struct NameNotTaken {
    digest: String,
    name: String,
    reason: String,
}

/// Where a layout comes from.
enum Source {
    Folder(PathBuf),
    /// A tar, from wherever.
    Archive(Box<dyn Read + Send>),
}

/// Loads, and prints what is there now.
pub(super) async fn execute(
    args: ImageLoadArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let source = Source::find(&args.path, output)?;
    let place = Place::find(global, &args.way, output).await?;
    let name = args.name.map(|name| name.to_string());
    let target = Target::path(&["v1", "images", "load"]).query_if("name", name.as_deref());
    let (tell, told) = mpsc::channel();
    let ask = Ask {
        stream: Some(body_of(move |writer| {
            source.write(writer).map_err(|err| match err {
                PackError::Write(err) => err,
                PackError::Layout(err) => {
                    let cut = io::Error::other(err.to_string());
                    // Who asked is there until it has its answer.
                    let _ = tell.send(err);
                    cut
                }
            })
        })),
        answer_time_max: Some(ANSWER_TIME_MAX),
        ..Ask::default()
    };
    let loaded: anyhow::Result<Loaded> = place.ask(Method::POST, &target, ask).await;
    // To the process it is a connection that broke.
    let loaded = loaded.map_err(|err| match told.try_recv() {
        Ok(fault) => faulty(fault).into(),
        Err(_) => err,
    })?;
    loaded.warn(output);
    if output.is_json() {
        output.json(&loaded)?;
        return Ok(ExitStatus::Ok);
    }
    for image in &loaded.images {
        let (name, digest) = (image.name(), view::short(&image.digest));
        let text = format!("{name}  {digest}  {}", human::size(image.size_bytes));
        output.line(&Text::new().plain(&text))?;
    }
    Ok(ExitStatus::Ok)
}

impl Loaded {
    /// Tells what was left of the layout.
    fn warn(&self, output: &Output) {
        for image in &self.passed_over {
            let digest = view::short(&image.digest);
            let name = image.names.first().unwrap_or(&digest);
            let reason = &image.reason;
            output.warn(&format!("the image `{name}` was passed over: {reason}"));
        }
        for NameNotTaken {
            digest,
            name,
            reason,
        } in &self.names_not_taken
        {
            let digest = view::short(digest);
            output.warn(&format!(
                "the image {digest} is not called `{name}` here: {reason}; `--as IMAGE` names the image of a layout \
                 that has one"
            ));
        }
    }
}

impl Source {
    fn find(path: &Path, output: &Output) -> Result<Self, Failure> {
        let cannot = |status| {
            let what = format!("cannot read `{}`", path.display());
            Failure::new(status, what).hint(
                "give a folder or a tar of the OCI image layout, as `wasm-edge image save` writes it",
            )
        };
        if path == Path::new(STANDARD_INPUT) {
            if io::stdin().is_terminal() {
                let what = "standard input is a terminal, and no tar of an image layout";
                return Err(Failure::new(ExitStatus::Usage, what));
            }
            return Ok(Self::Archive(Box::new(io::stdin())));
        }
        let found =
            std::fs::metadata(path).map_err(|err| cannot(ExitStatus::NotFound).caused_by(err))?;
        let kind = found.file_type();
        if kind.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        if kind.is_fifo() {
            // Opening waits for the other end, with no word of its own.
            let text = format!("reading a tar from the pipe `{}`", path.display());
            output.note(&Text::new().plain(&text));
        } else if !kind.is_file() {
            let not = io::Error::other("it is no file, no folder and no pipe");
            return Err(cannot(ExitStatus::InvalidInput).caused_by(not));
        }
        let file = File::open(path).map_err(|err| cannot(ExitStatus::Failure).caused_by(err))?;
        Ok(Self::Archive(Box::new(file)))
    }

    /// Writes the tar, or one of the folder.
    fn write(self, writer: &mut dyn Write) -> Result<(), PackError> {
        let mut archive = match self {
            Self::Folder(folder) => return convert::pack(&folder, writer),
            Self::Archive(archive) => archive,
        };
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match archive.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => writer
                    .write_all(&buffer[..read])
                    .map_err(PackError::Write)?,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(LayoutError::Read(err).into()),
            }
        }
    }
}

/// What is wrong with the layout, as the process tells it that takes archives.
fn faulty(err: LayoutError) -> Failure {
    let status = match err {
        LayoutError::Read(_) | LayoutError::Part { .. } => ExitStatus::Failure,
        _ => ExitStatus::InvalidInput,
    };
    let (message, hint) = (err.to_string(), err.hint());
    let failure = Failure::new(status, message);
    let failure = match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    };
    match err {
        LayoutError::Read(source) | LayoutError::Part { source, .. } => failure.caused_by(source),
        _ => failure,
    }
}
