//! `image remove`: images by name.

use hyper::Method;

use super::place::{self, Place};
use super::view::{self, Removed};
use crate::args::GlobalArgs;
use crate::args::image::ImageRemoveArgs;
use crate::client::Ask;
use crate::exit_codes::ExitStatus;
use crate::output::Output;

/// Removes one after another, up to the first that cannot go, and prints what went.
pub(super) async fn execute(
    args: ImageRemoveArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let place = Place::find(global, None, output).await?;
    let mut all = Removed::default();
    let mut failed = None;
    for image in &args.images {
        let target = place::target_of(image);
        match place
            .ask::<Removed>(Method::DELETE, &target, Ask::default())
            .await
        {
            Ok(removed) => {
                all.removed.extend(removed.removed);
                all.freed_bytes += removed.freed_bytes;
            }
            Err(err) => {
                failed = Some(place::with_list_hint(err));
                break;
            }
        }
    }
    if failed.is_none() || !all.removed.is_empty() {
        view::print_removed(&all, output)?;
    }
    match failed {
        None => Ok(ExitStatus::Ok),
        Some(err) => Err(err),
    }
}
