//! Whether a registry answers, and takes the login that there is for it.
//!
//! Source: OCI distribution specification 1.1, *Determining Support* (`GET /v2/`).

use hyper::Method;

use super::Registry;
use super::address::Address;
use super::error::{Asker, RegistryError};
use super::station::Ask;
use crate::credentials::Credentials;
use crate::reference::RegistryHost;

/// How a registry receives who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// It asked for no login.
    Open,
    /// It took the login.
    LoggedIn,
    /// It wants a login, and there is none.
    WantsLogin,
}

impl Registry {
    /// Asks a registry itself, not its mirrors, with the login that settings or Docker's `config.json` have for it.
    ///
    /// # Errors
    /// Any [`RegistryError`]; a login that is refused is [`RegistryError::Unauthorized`].
    pub async fn probe(&self, host: &RegistryHost) -> Result<Reception, RegistryError> {
        let station = self.station(host, String::new(), Credentials::Anonymous, "");
        let mut station = station.await?;
        // Of no repository, whose tokens are asked for by a scope.
        let address = Address {
            target: "/v2/".to_owned(),
            ..station.address("")
        };
        let asked = format!("the version of `{host}`");
        match station.ask(&Ask::new(Method::GET, address, &asked)).await {
            Ok(answered) => {
                station.finish(answered).await;
                Ok(match station.has_logged_in() {
                    true => Reception::LoggedIn,
                    false => Reception::Open,
                })
            }
            Err(RegistryError::Unauthorized { asker, .. }) if *asker == Asker::Nobody => {
                Ok(Reception::WantsLogin)
            }
            Err(err) => Err(err),
        }
    }
}
