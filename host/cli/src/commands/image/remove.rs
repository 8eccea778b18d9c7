//! `image remove`: images by name.

use hyper::Method;

use super::place::{self, Place};
use super::several::Several;
use super::view::{self, Removed};
use crate::args::GlobalArgs;
use crate::args::image::ImageRemoveArgs;
use crate::client::Ask;
use crate::exit_codes::ExitStatus;
use crate::output::Output;

/// Removes one after another, all that can go, and prints what went.
pub(super) async fn execute(
    args: ImageRemoveArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let place = Place::find(global, &args.way, output).await?;
    let mut all = Removed::default();
    let mut several = Several::of(args.images.len());
    for image in &args.images {
        let target = place::target_of(image);
        let removed = place.ask::<Removed>(Method::DELETE, &target, Ask::default());
        match removed.await.map_err(place::with_list_hint) {
            Ok(removed) => {
                all.removed.extend(removed.removed);
                all.freed_bytes += removed.freed_bytes;
            }
            Err(err) => several.add(image, err, output),
        }
    }
    if !several.is_nothing_done() {
        view::print_removed(&all, output)?;
    }
    several.result("removed")
}
