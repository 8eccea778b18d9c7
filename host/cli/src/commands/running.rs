//! The running device, or the hub, that a command asks: found, connected, its devices known.
//!
//! Turns the client's errors into failures with an exit status, and settles which device is meant. A hub on the network
//! is found by `far_hub`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use hyper::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wasm_edge_model::identity::{DeviceId, ModuleId};

use crate::args::GlobalArgs;
use crate::args::far_hub::FarHubArgs;
#[cfg(feature = "hub")]
use crate::client::far::FarHub;
use crate::client::lines::Lines;
use crate::client::socket::DataFolder;
use crate::client::target::Target;
use crate::client::{Ask, Client, ClientError};
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::live;
use crate::output::text::{Style, Text};
use crate::output::{Output, OutputError};
use crate::run_view::Names;

/// How often a command that waits for lines looks whether its own output is still read.
const READER_CHECK_PERIOD: Duration = Duration::from_secs(1);

/// What is said where a device was expected and a hub answers.
pub(super) const IS_A_HUB: &str = "the running process is a hub and runs no device";

/// The most devices that an error names.
const NAMES_SHOWN_MAX: usize = 20;

/// A process that runs devices, or a hub.
pub(crate) struct Running {
    client: Client,
    devices: Devices,
    /// Whether a hub answers there too, which then has the last word on twins, methods and telemetry.
    has_hub: bool,
}

/// Which devices can be meant.
enum Devices {
    /// Those that run in the process, sorted.
    Here(Vec<DeviceId>),
    /// Those that a hub knows, which it says itself.
    OfHub,
}

/// Of `GET /v1/info`, what is needed here.
#[derive(Deserialize)]
struct Info {
    devices: Vec<DeviceId>,
    /// Where the devices' hub is; said by devices only.
    #[serde(default)]
    hub: Option<String>,
}

impl Running {
    /// Connects to the process that `--data-dir` names, or to the only live one; it has to run devices.
    ///
    /// # Errors
    /// When there is none, or several, or it does not answer, or is a hub alone.
    pub(crate) async fn find(global: &GlobalArgs) -> anyhow::Result<Self> {
        let running = Self::of(client(global).await?).await?;
        if let Devices::OfHub = running.devices {
            return Err(Failure::new(ExitStatus::NotFound, IS_A_HUB)
                .hint(
                    "`wasm-edge hub` has what a hub can be asked; a device runs by `wasm-edge run`",
                )
                .into());
        }
        Ok(running)
    }

    /// Connects to the hub that the arguments or the environment name, else as [`Self::find`] does, also to a hub.
    ///
    /// # Errors
    /// As [`Self::find`], and when what names the hub is no good.
    pub(crate) async fn find_hub(global: &GlobalArgs, far: &FarHubArgs) -> anyhow::Result<Self> {
        #[cfg(feature = "hub")]
        if let Some(client) = super::far_hub::client(global, far)? {
            return Ok(Self {
                client,
                devices: Devices::OfHub,
                has_hub: true,
            });
        }
        #[cfg(not(feature = "hub"))]
        let FarHubArgs {} = far;
        Self::of(client(global).await?).await
    }

    async fn of(client: Client) -> anyhow::Result<Self> {
        let Info { devices, hub } = info(&client).await.map_err(Failure::from)?;
        // A process without any is a hub that others connect to.
        let devices = match devices.is_empty() {
            true => Devices::OfHub,
            false => Devices::Here(devices),
        };
        let has_hub = hub.is_none_or(|hub| hub == "embedded");
        Ok(Self {
            client,
            devices,
            has_hub,
        })
    }

    /// Whether devices answer for their twins, methods and telemetry, and no hub does.
    pub(crate) fn is_device_alone(&self) -> bool {
        !self.has_hub
    }

    /// Whether a hub is asked that knows devices of other machines, and not a process that runs its own.
    pub(crate) fn is_hub(&self) -> bool {
        matches!(self.devices, Devices::OfHub)
    }

    /// Whether it is Azure's hub, which cannot do over HTTP all that ours can.
    #[cfg(feature = "hub")]
    pub(crate) fn is_azure(&self) -> bool {
        self.client.far().is_some_and(FarHub::is_azure)
    }

    /// Whether it is Azure's hub; this build asks none.
    #[cfg(not(feature = "hub"))]
    pub(crate) fn is_azure(&self) -> bool {
        false
    }

    /// The device that was given, else the only one there is.
    ///
    /// # Errors
    /// When the given one does not run here, or none was given and there are several.
    pub(crate) fn device(&self, given: Option<&DeviceId>) -> anyhow::Result<DeviceId> {
        let here = match &self.devices {
            Devices::Here(here) => here.as_slice(),
            Devices::OfHub => {
                let missing = || {
                    Failure::new(ExitStatus::Usage, "a hub has many devices").hint(
                        "say which with `--device ID`; `wasm-edge hub device list` shows them",
                    )
                };
                return Ok(given.cloned().ok_or_else(missing)?);
            }
        };
        let known = || names_in(here);
        match (given, here) {
            (Some(given), devices) if devices.contains(given) => Ok(given.clone()),
            (Some(given), _) => Err(Failure::new(
                ExitStatus::NotFound,
                format!("no device `{given}` runs here"),
            )
            .hint(format!("there is: {}", known()))
            .into()),
            (None, [only]) => Ok(only.clone()),
            (None, _) => Err(
                Failure::new(ExitStatus::Ambiguous, "several devices run here")
                    .hint(format!("choose one with `--device ID`: {}", known()))
                    .into(),
            ),
        }
    }

    /// The device that was given, checked, for commands that otherwise take all of them.
    pub(crate) fn device_if_given(
        &self,
        given: Option<&DeviceId>,
    ) -> anyhow::Result<Option<DeviceId>> {
        given.map(|given| self.device(Some(given))).transpose()
    }

    /// Whether modules are told apart by their own name, or by their device's too.
    pub(crate) fn names(&self) -> Names {
        match &self.devices {
            Devices::Here(here) if here.len() == 1 => Names::Modules,
            _ => Names::DevicesAndModules,
        }
    }

    /// Reads a document.
    pub(crate) async fn get(&self, target: &Target) -> anyhow::Result<Value> {
        Ok(self.client.get(target).await.map_err(Failure::from)?)
    }

    /// Sends a merge patch and reads what it led to.
    pub(crate) async fn patch(
        &self,
        target: &Target,
        patch: &Value,
        etag: Option<&str>,
    ) -> anyhow::Result<Value> {
        Ok(self
            .client
            .patch(target, patch, etag)
            .await
            .map_err(Failure::from)?)
    }

    /// Posts JSON text, or nothing, and reads what it led to, for which the device may take so long.
    pub(crate) async fn post(
        &self,
        target: &Target,
        json: Option<String>,
        answer_time_max: Duration,
    ) -> anyhow::Result<Value> {
        let answer = self.client.post(target, json, answer_time_max).await;
        Ok(answer.map_err(Failure::from)?)
    }

    /// Deletes something and reads what is left.
    pub(crate) async fn delete(&self, target: &Target) -> anyhow::Result<Value> {
        let answer = self.client.ask(Method::DELETE, target, Ask::default());
        Ok(answer.await.map_err(Failure::from)?.document)
    }

    /// Opens a stream of lines.
    pub(crate) async fn stream(&self, target: &Target) -> anyhow::Result<Lines> {
        Ok(self.client.stream(target).await.map_err(Failure::from)?)
    }
}

/// Hands each value of a stream to `print` until the device ends it or nobody reads the output any more.
///
/// # Errors
/// When the stream breaks or holds something else, or when `print` fails.
pub(crate) async fn print_each<T: DeserializeOwned>(
    mut lines: Lines,
    output: &Output,
    mut print: impl FnMut(T) -> Result<(), OutputError>,
) -> anyhow::Result<()> {
    let mut reader_check = tokio::time::interval(READER_CHECK_PERIOD);
    reader_check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            value = lines.next() => match value.map_err(Failure::from)? {
                Some(value) => print(value)?,
                None => return Ok(()),
            },
            _ = reader_check.tick() => if output.reader_is_gone() {
                return Err(OutputError::ReaderGone.into());
            },
        }
    }
}

/// Says that a stream which should have gone on was ended by the device.
pub(crate) fn note_end(output: &Output) {
    output.note(&Text::new().styled(Style::Dim, "the device has ended"));
}

/// A module as it is named where devices matter: `Hannover01/filter`.
pub(crate) fn device_and_module(device: &DeviceId, module: &ModuleId) -> Text {
    Text::new()
        .plain(device.as_str())
        .plain("/")
        .styled(Style::of_module(module.as_str()), module.as_str())
}

/// The hint that follows when a module is not there.
pub(crate) fn with_modules_hint(err: anyhow::Error, module: &ModuleId) -> anyhow::Error {
    with_cannot(err, format!("cannot show the module `{module}`"))
}

/// What could not be done with a module, and the hint that follows when it is not there.
pub(crate) fn with_cannot(err: anyhow::Error, cannot: String) -> anyhow::Error {
    if crate::failure::exit_status(&err) != ExitStatus::NotFound
        || crate::failure::hint(&err).is_some()
    {
        return err;
    }
    err.context(
        Failure::new(ExitStatus::NotFound, cannot)
            .hint("see which there are with `wasm-edge list`"),
    )
}

/// A client of the process that `--data-dir` names, or of the only live one.
///
/// # Errors
/// When there is none, or several.
pub(super) async fn client(global: &GlobalArgs) -> anyhow::Result<Client> {
    let data_folder = match &global.data_dir {
        Some(folder) => folder.clone(),
        None => only_live(live_data_folders()?).await?,
    };
    Ok(Client::open(&data_folder).map_err(Failure::from)?)
}

/// A client of the process that holds this data folder; none where nobody listens there.
///
/// # Errors
/// The folder is there and cannot be looked at.
pub(super) fn listening(data_folder: &Path) -> anyhow::Result<Option<Client>> {
    let nobody = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    match DataFolder::open(data_folder).and_then(|folder| folder.is_listening()) {
        Ok(true) => Ok(Some(Client::open(data_folder).map_err(Failure::from)?)),
        Ok(false) => Ok(None),
        Err(err) if nobody.contains(&err.kind()) => Ok(None),
        Err(source) => {
            let path = data_folder.to_owned();
            Err(Failure::from(ClientError::DataFolder { path, source }).into())
        }
    }
}

/// The data folder that `--data-dir` names, or that of the only live process; `None` when none lives.
///
/// # Errors
/// When there are several.
pub(super) async fn data_folder(global: &GlobalArgs) -> anyhow::Result<Option<PathBuf>> {
    if let Some(folder) = &global.data_dir {
        return Ok(Some(folder.clone()));
    }
    match live_data_folders()? {
        live if live.is_empty() => Ok(None),
        live => only_live(live).await.map(Some),
    }
}

fn live_data_folders() -> anyhow::Result<Vec<PathBuf>> {
    live::found().context("cannot read the list of running devices")
}

async fn only_live(mut live: Vec<PathBuf>) -> anyhow::Result<PathBuf> {
    match live.len() {
        0 => Err(Failure::new(ExitStatus::NotRunning, "no running device was found")
            .hint(match live::is_service_closed() {
                true => format!("the service's folder `{}` is another user's: ask as that user, or as root", live::SYSTEM_FOLDER),
                false => "start one with `wasm-edge run FILE`, or name its data folder with `--data-dir DIR`".to_owned(),
            })
            .into()),
        1 => Ok(live.remove(0)),
        _ => {
            let mut hint = "choose one with `--data-dir DIR`:".to_owned();
            for folder in &live {
                hint.push_str(&format!("\n  {}  ({})", folder.display(), names_of(folder).await));
            }
            Err(Failure::new(ExitStatus::Ambiguous, "several devices are running").hint(hint).into())
        }
    }
}

/// The devices of a process, as far as it tells.
async fn names_of(data_folder: &Path) -> String {
    let asked = match Client::open(data_folder) {
        Ok(client) => devices(&client).await,
        Err(err) => Err(err),
    };
    match asked {
        Ok(devices) if devices.is_empty() => "a hub".to_owned(),
        Ok(devices) => names_in(&devices),
        Err(_) => "does not answer".to_owned(),
    }
}

/// The ids in one text, the first [`NAMES_SHOWN_MAX`] of them.
fn names_in(devices: &[DeviceId]) -> String {
    let shown: Vec<_> = devices
        .iter()
        .take(NAMES_SHOWN_MAX)
        .map(DeviceId::as_str)
        .collect();
    match devices.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

async fn devices(client: &Client) -> Result<Vec<DeviceId>, ClientError> {
    Ok(info(client).await?.devices)
}

async fn info(client: &Client) -> Result<Info, ClientError> {
    let info = client.get(&Target::path(&["v1", "info"])).await?;
    let mut info: Info = serde_json::from_value(info).map_err(ClientError::NotJson)?;
    info.devices.sort();
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_devices_are_not_all_named() {
        let devices = |count| -> Vec<DeviceId> {
            (0..count)
                .map(|n| DeviceId::new(&format!("d{n}")).unwrap())
                .collect()
        };
        assert_eq!(names_in(&devices(2)), "d0, d1");
        assert!(names_in(&devices(20)).ends_with("d18, d19"));
        assert!(names_in(&devices(1000)).ends_with("d18, d19 and 980 more"));
    }
}
