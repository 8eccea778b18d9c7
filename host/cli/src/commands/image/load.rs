//! `image load`: images from a folder or tar of the OCI image layout, for sites without a network.
//!
//! The process that holds the store gets a tar in either case, since it may run as a user that cannot read the file.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use hyper::Method;
use serde::{Deserialize, Serialize};

use wasm_edge_images::layout::convert;

use super::place::Place;
use super::view::{self, Image};
use crate::args::GlobalArgs;
use crate::args::image::ImageLoadArgs;
use crate::client::Ask;
use crate::client::content::body_of;
use crate::client::target::Target;
use crate::component_file;
use crate::exit_codes::ExitStatus;
use crate::output::text::Text;
use crate::output::{Output, human};

/// How long the process may take to verify and keep what it got.
const ANSWER_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(600);

/// The images that were loaded.
#[derive(Debug, Deserialize, Serialize)]
struct Loaded {
    images: Vec<Image>,
}

/// Loads, and prints what is there now.
pub(super) async fn execute(
    args: ImageLoadArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let path = component_file::whole_path(
        &args.path,
        "give a folder or a tar of the OCI image layout, as `wasm-edge image save` writes it",
    )?;
    let place = Place::find(global, None, output).await?;
    let name = args.name.map(|name| name.to_string());
    let target = Target::path(&["v1", "images", "load"]).query_if("name", name.as_deref());
    let ask = Ask {
        stream: Some(body_of(move |writer| write_tar(&path, writer))),
        answer_time_max: Some(ANSWER_TIME_MAX),
        ..Ask::default()
    };
    let loaded: Loaded = place.ask(Method::POST, &target, ask).await?;
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

/// A tar as it is, or one of a folder.
fn write_tar(path: &Path, mut writer: &mut dyn Write) -> io::Result<()> {
    if !path.is_dir() {
        return io::copy(&mut File::open(path)?, &mut writer).map(drop);
    }
    convert::pack(path, writer)
}
