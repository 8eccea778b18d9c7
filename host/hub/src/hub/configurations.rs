//! Configurations: desired properties for all devices and modules that a condition chooses.
//!
//! Owns making, changing, deleting and showing them. Leaves their form to
//! [`document`], what they come to for a device to the plan, and carrying
//! them out to the worker.
//!
//! A configuration is written in two steps, a mark that there is work first,
//! so that a crash in between is made up for at the next start.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::documents::SWAP_TRIES_MAX;
use super::{Hub, IfMatch};
use crate::error::HubError;
use crate::store::{Collection, DocumentKey, Expected, Revision, Swap};

pub(crate) mod content;
pub mod document;
mod error;
mod metrics;
mod plan;
pub(crate) mod work;
mod worker;

pub use document::{ConfigurationId, ConfigurationRequest};
pub use error::ConfigurationError;

use document::Configuration;

/// Most configurations of a hub, as IoT Hub; all are looked at for each device that changes.
pub const CONFIGURATIONS_MAX: usize = 100;

/// The document that says that configurations have changed and the work is not done.
const PENDING: &str = "configurations-pending";

/// What is wrong with the queries of a configuration that is to be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct QueryFaults {
    /// About the target condition.
    pub target_condition: Option<String>,
    /// About metrics, by their names.
    pub metrics: BTreeMap<String, String>,
}

impl Hub {
    /// Makes a configuration; the worker carries it out.
    ///
    /// # Errors
    /// [`HubError::Configuration`], [`HubError::Store`].
    pub async fn create_configuration(
        &self,
        id: &ConfigurationId,
        request: ConfigurationRequest,
    ) -> Result<Value, HubError> {
        let configuration = Configuration::create(id, request, self.now())?;
        let count = self.configurations().await?.len();
        if self.stored_configuration(id).await?.is_some() {
            let id = id.as_str().to_owned();
            return Err(ConfigurationError::AlreadyExists { id }.into());
        }
        // Two made at the same instant may both pass: the limit bounds the work and need not be exact.
        if count >= CONFIGURATIONS_MAX {
            let limit = CONFIGURATIONS_MAX;
            return Err(ConfigurationError::TooMany { limit }.into());
        }
        if !self
            .write_configuration(&configuration, Expected::Absent)
            .await?
        {
            let id = id.as_str().to_owned();
            return Err(ConfigurationError::AlreadyExists { id }.into());
        }
        Ok(self.configuration_view(&configuration))
    }

    /// Changes a configuration: all but its content.
    ///
    /// # Errors
    /// [`HubError::Configuration`], [`HubError::Store`].
    pub async fn update_configuration(
        &self,
        id: &ConfigurationId,
        request: ConfigurationRequest,
        if_match: IfMatch,
    ) -> Result<Value, HubError> {
        for _ in 0..SWAP_TRIES_MAX {
            let (configuration, revision) = self.found_configuration(id).await?;
            check(&if_match, &configuration)?;
            let changed = configuration.update(request.clone(), self.now())?;
            let expected = Expected::Revision(revision);
            if self.write_configuration(&changed, expected).await? {
                return Ok(self.configuration_view(&changed));
            }
        }
        let id = id.as_str().to_owned();
        Err(ConfigurationError::Contended { id }.into())
    }

    /// Deletes a configuration; what it set goes, or becomes what others say.
    ///
    /// # Errors
    /// [`HubError::Configuration`], [`HubError::Store`].
    pub async fn delete_configuration(
        &self,
        id: &ConfigurationId,
        if_match: IfMatch,
    ) -> Result<(), HubError> {
        for _ in 0..SWAP_TRIES_MAX {
            let (configuration, revision) = self.found_configuration(id).await?;
            check(&if_match, &configuration)?;
            self.mark_pending().await?;
            let key = DocumentKey::configuration(id.as_str());
            let expected = Expected::Revision(revision);
            let swap = self.store().compare_and_set(&key, expected, None).await?;
            self.work().all();
            if swap != Swap::Conflict {
                return Ok(());
            }
        }
        let id = id.as_str().to_owned();
        Err(ConfigurationError::Contended { id }.into())
    }

    /// A configuration with the results of its metrics, which are counted now unless that takes
    /// more than a moment: then they are those of a while ago.
    ///
    /// # Errors
    /// [`HubError::Configuration`], [`HubError::Store`].
    pub async fn configuration_json(&self, id: &ConfigurationId) -> Result<Value, HubError> {
        let (configuration, _) = self.found_configuration(id).await?;
        self.work().count().await;
        Ok(self.configuration_view(&configuration))
    }

    /// All configurations in the order of their ids, at most `limit`, with their metrics as
    /// [`Hub::configuration_json`].
    ///
    /// # Errors
    /// [`HubError::Store`].
    pub async fn configurations_json(&self, limit: usize) -> Result<Vec<Value>, HubError> {
        let mut configurations = self.configurations().await?;
        if !configurations.is_empty() {
            self.work().count().await;
        }
        configurations.sort_by(|left, right| left.id.cmp(&right.id));
        let shown = configurations.iter().take(limit);
        Ok(shown
            .map(|configuration| self.configuration_view(configuration))
            .collect())
    }

    /// Says what is wrong with a target condition and with metrics, without making anything.
    pub fn test_configuration_queries(
        target_condition: Option<&str>,
        metrics: &BTreeMap<String, String>,
    ) -> QueryFaults {
        let chain = |err: &ConfigurationError| wasm_edge_model::error::chain(err);
        let target = target_condition.map(document::target);
        QueryFaults {
            target_condition: target.and_then(|target| target.err().map(|err| chain(&err))),
            metrics: metrics
                .iter()
                .filter_map(|(name, query)| {
                    let err = document::metric(name, query).err()?;
                    Some((name.clone(), chain(&err)))
                })
                .collect(),
        }
    }

    /// All configurations, in the order of their ranks. One that cannot be read is passed over and
    /// told in the log.
    async fn configurations(&self) -> Result<Vec<Configuration>, HubError> {
        let mut configurations = Vec::new();
        let mut after = None;
        loop {
            let collection = Collection::Configurations;
            let page = self
                .store()
                .scan(&collection, after.as_ref(), CONFIGURATIONS_MAX)
                .await?;
            for (key, document) in page.documents {
                match Configuration::decode(key.name(), &document.content) {
                    Ok(configuration) => configurations.push(configuration),
                    Err(err) => tracing::error!(%err, "a configuration is passed over"),
                }
                after = Some(key);
            }
            if !page.more {
                break;
            }
        }
        configurations.sort_by(|left, right| left.rank().cmp(&right.rank()));
        Ok(configurations)
    }

    async fn found_configuration(
        &self,
        id: &ConfigurationId,
    ) -> Result<(Configuration, Revision), HubError> {
        let found = self.stored_configuration(id).await?;
        found.ok_or_else(|| {
            let id = id.as_str().to_owned();
            ConfigurationError::NotFound { id }.into()
        })
    }

    async fn stored_configuration(
        &self,
        id: &ConfigurationId,
    ) -> Result<Option<(Configuration, Revision)>, HubError> {
        let key = DocumentKey::configuration(id.as_str());
        let Some(document) = self.store().read(&key).await? else {
            return Ok(None);
        };
        let configuration = Configuration::decode(id.as_str(), &document.content)?;
        Ok(Some((configuration, document.revision)))
    }

    /// Writes a configuration and has it carried out; `false` when another came first.
    async fn write_configuration(
        &self,
        configuration: &Configuration,
        expected: Expected,
    ) -> Result<bool, HubError> {
        self.mark_pending().await?;
        let key = DocumentKey::configuration(configuration.id.as_str());
        let content = Some(configuration.encode());
        let swap = self.store().compare_and_set(&key, expected, content).await;
        // Also after an error, which leaves the outcome open.
        self.work().all();
        Ok(swap? != Swap::Conflict)
    }

    /// Notes that there is work, before it is made.
    async fn mark_pending(&self) -> Result<(), HubError> {
        let key = DocumentKey::setting(PENDING);
        for _ in 0..SWAP_TRIES_MAX {
            let found = self.store().read(&key).await?;
            let expected =
                found.map_or(Expected::Absent, |found| Expected::Revision(found.revision));
            let content = Some(bytes::Bytes::from_static(br#"{"format":1}"#));
            let swap = self
                .store()
                .compare_and_set(&key, expected, content)
                .await?;
            if swap != Swap::Conflict {
                return Ok(());
            }
        }
        let id = PENDING.to_owned();
        Err(ConfigurationError::Contended { id }.into())
    }

    /// A configuration as the service API shows it.
    fn configuration_view(&self, configuration: &Configuration) -> Value {
        let mut view = configuration.to_json();
        let counted = self.work().counted(configuration);
        let system = metrics::system_queries(configuration);
        view.insert(
            "systemMetrics".to_owned(),
            json!({ "results": counted.system, "queries": system }),
        );
        view.insert(
            "metrics".to_owned(),
            json!({ "results": counted.own, "queries": configuration.metric_queries() }),
        );
        Value::Object(view)
    }
}

impl QueryFaults {
    /// The faults as the service API shows them.
    pub fn to_json(&self) -> Value {
        let metrics: Map<_, _> = self
            .metrics
            .iter()
            .map(|(name, fault)| (name.clone(), Value::from(fault.as_str())))
            .collect();
        json!({
            "targetConditionError": self.target_condition,
            "customMetricQueryErrors": metrics,
        })
    }
}

fn check(if_match: &IfMatch, configuration: &Configuration) -> Result<(), ConfigurationError> {
    let etag = configuration.etag();
    match if_match {
        IfMatch::Etag(expected) if *expected != etag => {
            let id = configuration.id.as_str().to_owned();
            Err(ConfigurationError::PreconditionFailed { id, etag })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
