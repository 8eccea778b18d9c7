//! Whom the commands under `image` ask: the process that holds the data folder, or this one in its place.

use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wasm_edge_daemon::api;
use wasm_edge_daemon::folder::DataFolder;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::traffic::Counter;

use super::super::running;
use crate::args::GlobalArgs;
use crate::args::image::RegistryArgs;
use crate::client::content::Content;
use crate::client::here::Here;
use crate::client::lines::Lines;
use crate::client::target::Target;
use crate::client::{Ask, Client, ClientError};
use crate::exit_codes::ExitStatus;
use crate::failure::{self, Failure};
use crate::output::Output;
use crate::output::text::Text;
use crate::{config_file, data_folder, logins, registries};

/// How long another command may use the data folder until this one gives up: a pull over a thin line takes longer, and
/// then it is for the person to wait.
const TURN_TIME_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether the data folder is free; the lock tells nobody.
const TURN_LOOK_PERIOD: Duration = Duration::from_millis(100);

/// An image store that can be asked.
pub(super) struct Place {
    client: Client,
    /// The folder that this process holds as long as it answers itself.
    folder: Option<DataFolder>,
}

impl Place {
    /// The store of the data folder that `--data-dir` names, or of the only live process. `way` is how images are kept
    /// and registries are reached where no process has its own configuration; where one has, it is told that it is not
    /// used.
    ///
    /// # Errors
    /// When there is none, or several, or the folder cannot be used.
    pub(super) async fn find(
        global: &GlobalArgs,
        way: &RegistryArgs,
        output: &Output,
    ) -> anyhow::Result<Self> {
        let Some(path) = &global.data_dir else {
            let client = running::client(global).await.map_err(with_data_dir_hint)?;
            return Ok(Self::of_process(client, way, output));
        };
        let folder = match turn_at(path, output).await? {
            Turn::Process(client) => return Ok(Self::of_process(client, way, output)),
            Turn::Ours(folder) => folder,
        };
        let config = logins::added_to(config_file::read(way.config.as_deref(), output)?, output);
        let registry = registries::open(&config, HubClock::new(None), Counter::default(), output)?;
        let supply = registries::supply(&folder, &config, registry)?;
        for note in supply.store().notes() {
            output.warn(&note);
        }
        let here = Here::new(api::images::router(supply));
        Ok(Self {
            client: Client::of_here(here),
            folder: Some(folder),
        })
    }

    fn of_process(client: Client, way: &RegistryArgs, output: &Output) -> Self {
        if way.config.is_some() {
            output.warn(
                "`--config` is not used: the process that runs there has its own configuration",
            );
        }
        let folder = None;
        Self { client, folder }
    }

    /// Whether a process of its own answers, with a configuration of its own.
    pub(super) fn is_process(&self) -> bool {
        self.folder.is_none()
    }

    /// Asks for what is answered by one document.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &Target,
        ask: Ask<'_>,
    ) -> anyhow::Result<T> {
        let answer = self.client.ask(method, target, ask).await;
        let document = answer.map_err(Failure::from)?.document;
        let read = serde_json::from_value(document);
        Ok(read.map_err(|err| Failure::from(ClientError::NotJson(err)))?)
    }

    /// Reads a document.
    pub(super) async fn get(&self, target: &Target) -> anyhow::Result<Value> {
        self.ask(Method::GET, target, Ask::default()).await
    }

    /// Asks for what is answered by lines.
    pub(super) async fn stream(
        &self,
        method: Method,
        target: &Target,
        ask: Ask<'_>,
    ) -> anyhow::Result<Lines> {
        let lines = self.client.stream_of(method, target, ask).await;
        Ok(lines.map_err(Failure::from)?)
    }

    /// Asks for bytes as they come.
    pub(super) async fn content(&self, target: &Target) -> anyhow::Result<Content> {
        Ok(self.client.content(target).await.map_err(Failure::from)?)
    }
}

/// Whose turn it is at a data folder.
enum Turn {
    /// Of a process that answers.
    Process(Client),
    /// Of this one.
    Ours(DataFolder),
}

/// Waits while another command uses the folder, which most do for a moment only, or until a process that starts there
/// answers.
async fn turn_at(path: &Path, output: &Output) -> anyhow::Result<Turn> {
    let mut since = None;
    loop {
        if let Some(client) = running::listening(path)? {
            return Ok(Turn::Process(client));
        }
        let pid = match data_folder::try_open(path)? {
            Ok(folder) => return Ok(Turn::Ours(folder)),
            Err(pid) => pid,
        };
        let holder = pid.map_or_else(
            || "another process".to_owned(),
            |pid| format!("process {pid}"),
        );
        let begun = *since.get_or_insert_with(|| {
            let text = format!("waiting for {holder}, which uses `{}`", path.display());
            output.note(&Text::new().plain(&text));
            Instant::now()
        });
        if begun.elapsed() >= TURN_TIME_MAX {
            let what = format!("the data folder `{}` is in use by {holder}", path.display());
            return Err(Failure::new(ExitStatus::TryLater, what)
                .hint(match pid {
                    Some(pid) => {
                        format!("try again when it has ended; `ps -p {pid}` shows what it is")
                    }
                    None => "try again when it has ended".to_owned(),
                })
                .into());
        }
        tokio::time::sleep(TURN_LOOK_PERIOD).await;
    }
}

/// What is asked of one image.
pub(super) fn target_of(image: &str) -> Target {
    Target::path(&["v1", "images", image])
}

/// The hint that follows when an image is not there.
pub(super) fn with_list_hint(err: anyhow::Error) -> anyhow::Error {
    if failure::exit_status(&err) != ExitStatus::NotFound || failure::hint(&err).is_some() {
        return err;
    }
    err.context(
        Failure::new(ExitStatus::NotFound, "the image cannot be used")
            .hint("see which there are with `wasm-edge image list`"),
    )
}

/// A store needs no device that runs.
fn with_data_dir_hint(err: anyhow::Error) -> anyhow::Error {
    if failure::exit_status(&err) != ExitStatus::NotRunning {
        return err;
    }
    err.context(
        Failure::new(ExitStatus::NotRunning, "there is no image store to use")
            .hint("name the data folder that has it with `--data-dir DIR`; a new one is made"),
    )
}
