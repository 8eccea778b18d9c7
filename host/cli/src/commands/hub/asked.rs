//! The hub that a command under `hub` asks: found and connected.
//!
//! Turns the client's errors into failures with an exit status. Which process is meant `running` settles.

use serde::de::DeserializeOwned;

use crate::args::GlobalArgs;
use crate::args::far_hub::FarHubArgs;
use crate::client::target::Target;
use crate::client::{Client, ClientError};
use crate::commands::running;
use crate::failure::Failure;

/// A hub, as far as its REST face goes.
pub(crate) struct AskedHub {
    client: Client,
}

impl AskedHub {
    /// The hub of `--hub`, else that of the process that `--data-dir` names, else that of the only live one.
    ///
    /// # Errors
    /// When there is none, or several.
    pub(crate) async fn find(global: &GlobalArgs, _far: &FarHubArgs) -> anyhow::Result<Self> {
        Ok(Self {
            client: running::client(global).await?,
        })
    }

    /// Reads a document.
    ///
    /// # Errors
    /// What the client says, and a document of another form.
    pub(crate) async fn get<T: DeserializeOwned>(&self, target: &Target) -> anyhow::Result<T> {
        let answer = self.client.get(target).await.map_err(Failure::from)?;
        let read = serde_json::from_value(answer);
        Ok(read.map_err(|err| Failure::from(ClientError::NotJson(err)))?)
    }
}
