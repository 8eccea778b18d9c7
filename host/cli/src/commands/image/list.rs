//! `image list`: what the image store has, and what it takes of what it may.

use serde::Deserialize;
use wasm_edge_model::time::Timestamp;

use super::place::Place;
use super::view::{self, Image};
use crate::args::GlobalArgs;
use crate::args::image::ImageListArgs;
use crate::client::ClientError;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::text::Text;
use crate::output::{Output, OutputError, human};

/// The answer of `GET /v1/images`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Images {
    images: Vec<Image>,
    partial_downloads: Vec<PartialDownload>,
    size_bytes: u64,
    max_bytes: u64,
}

/// A download that is not whole.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PartialDownload {
    size_bytes: u64,
    changed_time: Option<Timestamp>,
    under_way: bool,
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
    let now = jiff::Timestamp::now();
    output.table(&view::table(&answer.images, now))?;
    let (size, max) = (
        human::size(answer.size_bytes),
        human::size(answer.max_bytes),
    );
    output.line(&Text::new())?;
    output.line(&Text::new().plain(&format!("store: {size} of {max}")))?;
    print_cut(&answer.partial_downloads, now, output)?;
    Ok(ExitStatus::Ok)
}

/// Prints what is left of pulls that were cut, and what becomes of it.
fn print_cut(
    partial: &[PartialDownload],
    now: jiff::Timestamp,
    output: &Output,
) -> Result<(), OutputError> {
    let cut = || partial.iter().filter(|partial| !partial.under_way);
    if cut().next().is_none() {
        return Ok(());
    }
    let bytes = cut().map(|partial| partial.size_bytes);
    let mut text = format!(
        "pulls that were cut: {} of {}",
        human::size(bytes.fold(0, u64::saturating_add)),
        human::count(cut().count(), "layer")
    );
    if let Some(time) = cut().filter_map(|partial| partial.changed_time).max() {
        text.push_str(&format!(", {}", human::relative(time.as_jiff(), now)));
    }
    output.line(&Text::new().plain(&text))?;
    let hint =
        "the next pull of the image goes on with it; `wasm-edge image prune --all` removes it";
    output.hint(hint);
    Ok(())
}
