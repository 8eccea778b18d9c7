//! `image list`: what the image store has, and what it takes of what it may.

use serde::Deserialize;

use super::place::Place;
use super::view::{self, Image};
use crate::args::GlobalArgs;
use crate::args::image::ImageListArgs;
use crate::client::ClientError;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::text::Text;
use crate::output::{Output, human};

/// The answer of `GET /v1/images`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Images {
    images: Vec<Image>,
    size_bytes: u64,
    max_bytes: u64,
}

/// Prints the images by name.
pub(super) async fn execute(
    args: ImageListArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let place = Place::find(global, &args.way, output).await?;
    let answer = place.get(&Target::path(&["v1", "images"])).await?;
    if output.is_json() {
        output.json(&answer)?;
        return Ok(ExitStatus::Ok);
    }
    let answer: Images =
        serde_json::from_value(answer).map_err(|err| Failure::from(ClientError::NotJson(err)))?;
    output.table(&view::table(&answer.images, jiff::Timestamp::now()))?;
    let (size, max) = (
        human::size(answer.size_bytes),
        human::size(answer.max_bytes),
    );
    output.line(&Text::new())?;
    output.line(&Text::new().plain(&format!("store: {size} of {max}")))?;
    Ok(ExitStatus::Ok)
}
