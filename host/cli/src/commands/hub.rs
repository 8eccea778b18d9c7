//! The commands under `hub`: what a hub is asked by those who operate it.
//!
//! One file per branch. Which hub is asked `asked` finds: that of `--hub`, else that of the process on this machine.

pub(crate) mod asked;
mod ca;
mod configuration;
mod connection_string;
mod consumer;
mod device;
mod events;
mod identity;
mod module;
mod query;
mod send;
mod serve;

use super::{method, wait};
use crate::args::GlobalArgs;
use crate::args::hub::HubCommand;
use crate::exit_codes::ExitStatus;
use crate::output::Output;

/// Runs a command under `hub`.
pub(super) fn execute(
    command: HubCommand,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    match command {
        HubCommand::Serve(args) => serve::execute(*args, global, output),
        HubCommand::Ca(args) => ca::execute(args, global, output),
        HubCommand::Device(command) => wait(device::execute(command, global, output)),
        HubCommand::Module(command) => wait(module::execute(command, global, output)),
        HubCommand::ConnectionString(args) => {
            wait(connection_string::execute(args, global, output))
        }
        HubCommand::Method(args) => wait(method::execute_of_device(args, global, output)),
        HubCommand::Send(args) => wait(send::execute(args, global, output)),
        HubCommand::Events(args) => wait(events::execute(args, global, output)),
        HubCommand::Consumer(command) => wait(consumer::execute(command, global, output)),
        HubCommand::Query(args) => wait(query::execute(args, global, output)),
        HubCommand::Configuration(command) => wait(configuration::execute(command, global, output)),
    }
}
