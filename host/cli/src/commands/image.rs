//! The commands under `image`: the image store of a data folder, and what is pushed to registries.
//!
//! The store belongs to the process that holds the data folder, so that process is asked; where none holds it, this
//! command holds it and answers itself, by the same interface.

mod inspect;
mod list;
mod load;
mod place;
mod prune;
mod pull;
#[cfg(feature = "compiler")]
mod push;
mod remove;
mod save;
mod several;
mod view;

use super::wait;
use crate::args::GlobalArgs;
use crate::args::image::ImageCommand;
use crate::exit_codes::ExitStatus;
use crate::output::Output;

/// Runs a command under `image`.
pub(super) fn execute(
    command: ImageCommand,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    match command {
        #[cfg(feature = "compiler")]
        ImageCommand::Push(args) => wait(push::execute(*args, global, output)),
        ImageCommand::Pull(args) => wait(pull::execute(args, global, output)),
        ImageCommand::List(args) => wait(list::execute(args, global, output)),
        ImageCommand::Inspect(args) => wait(inspect::execute(args, global, output)),
        ImageCommand::Prune(args) => wait(prune::execute(args, global, output)),
        ImageCommand::Remove(args) => wait(remove::execute(args, global, output)),
        ImageCommand::Load(args) => wait(load::execute(args, global, output)),
        ImageCommand::Save(args) => wait(save::execute(args, global, output)),
    }
}
