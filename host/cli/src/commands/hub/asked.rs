//! The hub that a command under `hub` asks: found and connected.
//!
//! Turns the client's errors into failures with an exit status. Which one is meant `far_hub` and `running` settle.

use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::args::GlobalArgs;
use crate::args::far_hub::FarHubArgs;
use crate::client::far::FarHub;
use crate::client::target::Target;
use crate::client::{Answer, Ask, Client, ClientError};
use crate::commands::{far_hub, running};
use crate::failure::Failure;

/// A hub, as far as its REST face goes.
pub(crate) struct AskedHub {
    client: Client,
}

impl AskedHub {
    /// The hub of `--hub` or of the environment, else that of the process that `--data-dir` names, else that of the only
    /// live one.
    ///
    /// # Errors
    /// When there is none, or several, or what names it is no good.
    pub(crate) async fn find(global: &GlobalArgs, far: &FarHubArgs) -> anyhow::Result<Self> {
        let client = match far_hub::client(global, far)? {
            Some(client) => client,
            None => running::client(global).await?,
        };
        Ok(Self { client })
    }

    /// The hub on the network; none for that of a process on this machine.
    pub(crate) fn far(&self) -> Option<&FarHub> {
        self.client.far()
    }

    /// Reads a document.
    ///
    /// # Errors
    /// What the client says, and a document of another form.
    pub(crate) async fn get<T: DeserializeOwned>(&self, target: &Target) -> anyhow::Result<T> {
        let answer = self.client.get(target).await.map_err(Failure::from)?;
        document(answer)
    }

    /// Asks anything.
    ///
    /// # Errors
    /// What the client says.
    pub(crate) async fn ask(
        &self,
        method: Method,
        target: &Target,
        ask: Ask<'_>,
    ) -> anyhow::Result<Answer> {
        let asked = self.client.ask(method, target, ask).await;
        Ok(asked.map_err(Failure::from)?)
    }
}

/// A document in the form that is expected.
///
/// # Errors
/// When it has another.
pub(crate) fn document<T: DeserializeOwned>(answer: Value) -> anyhow::Result<T> {
    let read = serde_json::from_value(answer);
    Ok(read.map_err(|err| Failure::from(ClientError::NotJson(err)))?)
}
