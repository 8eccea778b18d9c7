//! `image prune`: images that no deployment holds go.

use hyper::Method;
use serde_json::json;

use super::place::Place;
use super::view::{self, Removed};
use crate::args::GlobalArgs;
use crate::args::image::ImagePruneArgs;
use crate::client::Ask;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::output::Output;

/// Removes, and prints what went.
pub(super) async fn execute(
    args: ImagePruneArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let place = Place::find(global, &args.way, output).await?;
    let ask = Ask {
        json: Some(json!({ "all": args.all }).to_string()),
        ..Ask::default()
    };
    let target = Target::path(&["v1", "images", "prune"]);
    let removed: Removed = place.ask(Method::POST, &target, ask).await?;
    view::print_removed(&removed, output)?;
    Ok(ExitStatus::Ok)
}
