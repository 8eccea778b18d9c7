//! What the hub remembers of a client between its connections: what it subscribed to.
//!
//! Owns reading and writing the session's document. It is written before the
//! client is told that it has subscribed, so that what it was told outlives
//! the hub, and only when something changed.

use wasm_edge_model::identity::TwinOwner;

use super::subscriptions::Subscriptions;
use crate::error::HubError;
use crate::hub::Hub;
use crate::store::{DocumentKey, Expected, Revision, Swap};

/// How often a write is tried again because another came first; only an older connection of the
/// same client comes in between.
const SWAP_TRIES_MAX: usize = 8;

/// The memory of one client.
#[derive(Debug)]
pub(super) struct Memory {
    hub: Hub,
    owner: TwinOwner,
    generation_id: String,
    /// Of the stored document, if there is one.
    revision: Option<Revision>,
    /// What is stored; nothing is where the client wants to be forgotten.
    stored: Option<Subscriptions>,
    kept: bool,
}

impl Memory {
    /// Reads what is remembered of `owner`; where nothing is to be `kept`, it is forgotten.
    pub(super) async fn open(
        hub: Hub,
        owner: TwinOwner,
        generation_id: String,
        kept: bool,
    ) -> Result<Self, HubError> {
        let mut memory = Self {
            hub,
            owner,
            generation_id,
            revision: None,
            stored: None,
            kept,
        };
        memory.read().await?;
        if !kept {
            memory.forget().await?;
        }
        Ok(memory)
    }

    /// What the client subscribed to, if it is remembered at all.
    pub(super) fn subscriptions(&self) -> Option<Subscriptions> {
        self.stored
    }

    /// Remembers what the client subscribes to from now on; on disk when this answers.
    pub(super) async fn store(&mut self, subscriptions: Subscriptions) -> Result<(), HubError> {
        if !self.kept || self.stored == Some(subscriptions) {
            return Ok(());
        }
        let content = subscriptions.encode(&self.generation_id);
        for _ in 0..SWAP_TRIES_MAX {
            let expected = self.revision.map_or(Expected::Absent, Expected::Revision);
            let (key, content) = (self.key(), Some(content.clone()));
            let swap = self.hub.store().compare_and_set(&key, expected, content);
            match swap.await? {
                Swap::Done(revision) => {
                    self.revision = Some(revision);
                    self.stored = Some(subscriptions);
                    return Ok(());
                }
                Swap::Conflict => self.read().await?,
            }
        }
        Err(self.contended())
    }

    async fn forget(&mut self) -> Result<(), HubError> {
        for _ in 0..SWAP_TRIES_MAX {
            let Some(revision) = self.revision else {
                self.stored = None;
                return Ok(());
            };
            let (key, expected) = (self.key(), Expected::Revision(revision));
            let swap = self.hub.store().compare_and_set(&key, expected, None);
            match swap.await? {
                Swap::Done(_) => self.revision = None,
                Swap::Conflict => self.read().await?,
            }
        }
        Err(self.contended())
    }

    async fn read(&mut self) -> Result<(), HubError> {
        let document = self.hub.store().read(&self.key()).await?;
        self.revision = document.as_ref().map(|document| document.revision);
        self.stored = document.and_then(|document| {
            let decoded = Subscriptions::decode(&document.content, &self.generation_id);
            decoded.unwrap_or_else(|problem| {
                tracing::warn!(owner = %self.owner, problem, "a stored session cannot be read and is begun anew");
                None
            })
        });
        Ok(())
    }

    fn key(&self) -> DocumentKey {
        DocumentKey::session(&self.owner)
    }

    fn contended(&self) -> HubError {
        HubError::Contended {
            owner: self.owner.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::mqttbytes::QoS;

    use super::*;
    use crate::hub::tests::hub_with_module;
    use crate::mqtt::topic::Subscription;

    async fn open(hub: &Hub, owner: &TwinOwner, generation_id: &str, kept: bool) -> Memory {
        let generation_id = generation_id.to_owned();
        let opened = Memory::open(hub.clone(), owner.clone(), generation_id, kept);
        opened.await.unwrap()
    }

    fn methods() -> Subscriptions {
        let mut subscriptions = Subscriptions::default();
        subscriptions.set(Subscription::Methods, QoS::AtLeastOnce);
        subscriptions
    }

    #[tokio::test]
    async fn subscriptions_are_kept_for_the_same_identity() {
        let (hub, owner) = hub_with_module().await;
        let mut memory = open(&hub, &owner, "1", true).await;
        assert_eq!(memory.subscriptions(), None);
        memory.store(methods()).await.unwrap();
        let mut again = open(&hub, &owner, "1", true).await;
        assert_eq!(again.subscriptions(), Some(methods()));
        let revision = again.revision;
        again.store(methods()).await.unwrap();
        assert_eq!(
            again.revision, revision,
            "nothing changed and nothing is written"
        );
        again.store(Subscriptions::default()).await.unwrap();
        // The older one finds that another wrote.
        memory.stored = None;
        memory.store(methods()).await.unwrap();
        // One that was made anew under the same id.
        let mut anew = open(&hub, &owner, "2", true).await;
        assert_eq!(anew.subscriptions(), None);
        anew.store(Subscriptions::default()).await.unwrap();
        let kept = open(&hub, &owner, "2", true).await;
        assert_eq!(kept.subscriptions(), Some(Subscriptions::default()));
    }

    #[tokio::test]
    async fn a_client_that_wants_to_be_forgotten_is() {
        let (hub, owner) = hub_with_module().await;
        open(&hub, &owner, "1", true)
            .await
            .store(methods())
            .await
            .unwrap();
        let mut memory = open(&hub, &owner, "1", false).await;
        assert_eq!(memory.subscriptions(), None);
        memory.store(methods()).await.unwrap();
        assert_eq!(open(&hub, &owner, "1", true).await.subscriptions(), None);
    }

    #[tokio::test]
    async fn a_damaged_session_is_begun_anew() {
        let (hub, owner) = hub_with_module().await;
        let key = DocumentKey::session(&owner);
        let content = Some(bytes::Bytes::from_static(b"{\"format\":9}"));
        let written = hub.store().compare_and_set(&key, Expected::Absent, content);
        written.await.unwrap();
        let mut memory = open(&hub, &owner, "1", true).await;
        assert_eq!(memory.subscriptions(), None);
        memory.store(methods()).await.unwrap();
        assert_eq!(
            open(&hub, &owner, "1", true).await.subscriptions(),
            Some(methods())
        );
    }
}
