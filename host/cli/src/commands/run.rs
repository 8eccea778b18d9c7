//! `run`: device and hub in one process, or with `--hub` the device alone; the rest is [`crate::run`] and
//! [`crate::daemon`].

use std::path::PathBuf;

use wasm_edge_daemon::config::provisioning::{
    ConnectionStringSource, ProvisioningConfig, device_string,
};
use wasm_edge_daemon::supervisor::life::RestartWaits;
use wasm_edge_model::connection_string::{ConnectionString, Party};

use super::far_hub;
use crate::args::far_hub::Secret;
use crate::args::run::RunArgs;
use crate::commands::foreground::{self, Threads};
use crate::daemon::{self, DaemonOptions};
use crate::deployment_file::sha256;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::logging::Logging;
use crate::output::Output;
use crate::run::console::Console;
use crate::{config_file, run, user_folders};

/// Hexadecimal digits of a folder's name.
const FOLDER_NAME_LENGTH: usize = 16;

/// Modules are many and small, and a thread costs memory: the C library sets 64 MiB of addresses aside for each, of which a
/// gigabyte has to hold all.
const THREADS: Threads = Threads {
    workers_max: 4,
    blocking_max: 6,
};

/// Runs until the first signal, which ends in order; a second one ends at once.
pub(super) fn execute(args: RunArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    if let Some(hub) = args.hub.clone() {
        return execute_of_hub(args, &hub, output);
    }
    foreground::run(
        output,
        Logging::of(output),
        THREADS,
        |output, stop| async move { run::run(args, &output, stop).await },
    )
}

/// The device of a hub elsewhere: what `daemon` does, without a configuration that has to be there.
fn execute_of_hub(args: RunArgs, hub: &Secret, output: &Output) -> anyhow::Result<ExitStatus> {
    if let Some(argument) = args.not_with_hub() {
        let what =
            format!("`{argument}` does not go with `--hub`: the hub says what its device runs");
        return Err(Failure::new(ExitStatus::Usage, what)
            .hint("`wasm-edge deploy apply FILE --device ID --hub STRING` gives the device a deployment; without `--hub`, `run` brings a hub of its own")
            .into());
    }
    let text = far_hub::read(hub)?;
    let connection_string = device_string(text.reveal().trim()).map_err(|err| {
        Failure::new(ExitStatus::InvalidInput, "`--hub` names no device of a hub")
            .hint("`wasm-edge hub connection-string DEVICE` prints one, on the hub's machine")
            .caused_by(err)
    })?;
    let data_dir = match args.data_dir {
        Some(folder) => folder,
        None => own_folder(&connection_string)?,
    };
    let mut config = config_file::read(args.config.as_deref(), output)?;
    config.provisioning = Some(ProvisioningConfig::ConnectionString {
        connection_string: ConnectionStringSource::Inline(connection_string),
        certificate: None,
    });
    config.deployment.file = None;
    config.deployment.health_timeout = Some(args.health_timeout);
    config.hub.ca_file = args.hub_ca.or(config.hub.ca_file);
    let options = DaemonOptions {
        data_dir,
        pid_file: None,
        run_for: args.run_for,
        restart_waits: RestartWaits {
            first: args.restart_wait,
            ..RestartWaits::default()
        },
    };
    let logging = super::daemon::logging(&config, output);
    foreground::run(output, logging, THREADS, |output, stop| async move {
        let mut console = None;
        let ended = daemon::run(config, options, &output, stop.clone(), |device| {
            let devices = std::slice::from_ref(device);
            console = Some(Console::open(output.clone(), devices, None, stop.clone()));
        });
        let ended = ended.await;
        if let Some(console) = console {
            console.close().await;
        }
        ended
    })
}

/// The data folder of a device that a person runs, by the names of hub and device.
fn own_folder(connection_string: &ConnectionString) -> Result<PathBuf, Failure> {
    let owner = match &connection_string.party {
        Party::Identity { owner, .. } => owner.to_string(),
        Party::Policy { .. } => String::new(),
    };
    let name = sha256(format!("{}{owner}", connection_string.host).as_bytes());
    user_folders::data_folder(&["of-hub", &name[..FOLDER_NAME_LENGTH]])
}
