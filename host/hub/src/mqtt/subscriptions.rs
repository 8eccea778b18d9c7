//! What a client has subscribed to, and its stored form.
//!
//! Owns the set and its JSON. Leaves reading and writing the document to
//! `memory.rs`. There is one document per identity, and it outlives
//! connections and restarts: a client whose session is kept does not
//! subscribe again.

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use serde::{Deserialize, Serialize};

use super::topic::Subscription;

/// The version of the stored form that this build writes and reads.
const FORMAT: u32 = 1;

/// What a client hears of, and how surely each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Subscriptions([Option<QoS>; Subscription::ALL.len()]);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    format: u32,
    /// Of the identity that subscribed: one that was made anew under the same id did not.
    generation_id: String,
    subscriptions: Vec<StoredSubscription>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSubscription {
    topic: StoredTopic,
    qos: StoredQos,
}

/// The names in the stored form.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum StoredTopic {
    TwinAnswers,
    Desired,
    Methods,
    Commands,
    Inputs,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
struct StoredQos(QoS);

impl TryFrom<u8> for StoredQos {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            0 => Ok(Self(QoS::AtMostOnce)),
            1 => Ok(Self(QoS::AtLeastOnce)),
            other => Err(format!("{other} is no quality of service of the hub")),
        }
    }
}

impl From<StoredQos> for u8 {
    fn from(qos: StoredQos) -> u8 {
        qos.0 as u8
    }
}

const NAMES: [(Subscription, StoredTopic); Subscription::ALL.len()] = [
    (Subscription::TwinAnswers, StoredTopic::TwinAnswers),
    (Subscription::Desired, StoredTopic::Desired),
    (Subscription::Methods, StoredTopic::Methods),
    (Subscription::Commands, StoredTopic::Commands),
    (Subscription::Inputs, StoredTopic::Inputs),
];

impl Subscriptions {
    /// How surely this is delivered, if it was subscribed to.
    pub fn get(&self, subscription: Subscription) -> Option<QoS> {
        self.0[subscription as usize]
    }

    /// Subscribes, or changes how surely.
    pub fn set(&mut self, subscription: Subscription, qos: QoS) {
        self.0[subscription as usize] = Some(qos);
    }

    /// Unsubscribes.
    pub fn remove(&mut self, subscription: Subscription) {
        self.0[subscription as usize] = None;
    }

    /// The document of the session of an identity of this generation.
    pub(super) fn encode(&self, generation_id: &str) -> Bytes {
        let subscriptions = NAMES.iter().filter_map(|(subscription, topic)| {
            let qos = StoredQos(self.get(*subscription)?);
            Some(StoredSubscription { topic: *topic, qos })
        });
        let stored = Stored {
            format: FORMAT,
            generation_id: generation_id.to_owned(),
            subscriptions: subscriptions.collect(),
        };
        let json = serde_json::to_vec(&stored);
        Bytes::from(json.expect("texts and numbers are JSON"))
    }

    /// Reads such a document; nothing if it is of another generation. The error is for the log.
    pub(super) fn decode(content: &[u8], generation_id: &str) -> Result<Option<Self>, String> {
        let stored: Stored = serde_json::from_slice(content).map_err(|err| err.to_string())?;
        if stored.format != FORMAT {
            let found = stored.format;
            return Err(format!(
                "it has format {found}, this version reads {FORMAT}"
            ));
        }
        if stored.generation_id != generation_id {
            return Ok(None);
        }
        let mut subscriptions = Self::default();
        for (subscription, topic) in NAMES {
            let found = stored.subscriptions.iter().find(|it| it.topic == topic);
            if let Some(found) = found {
                subscriptions.set(subscription, found.qos.0);
            }
        }
        Ok(Some(subscriptions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_is_read_and_written_as_it_is() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.set(Subscription::Desired, QoS::AtLeastOnce);
        subscriptions.set(Subscription::Methods, QoS::AtMostOnce);
        let stored = r#"{"format":1,"generationId":"7","subscriptions":[{"topic":"desired","qos":1},{"topic":"methods","qos":0}]}"#;
        assert_eq!(subscriptions.encode("7"), stored);
        let read = |generation_id| Subscriptions::decode(stored.as_bytes(), generation_id);
        assert_eq!(read("7"), Ok(Some(subscriptions)));
        assert_eq!(read("8"), Ok(None));
    }

    #[test]
    fn what_is_no_such_document_is_refused() {
        for (content, expected) in [
            ("", "EOF while parsing"),
            (
                r#"{"format":2,"generationId":"7","subscriptions":[]}"#,
                "it has format 2, this version reads 1",
            ),
            (
                r#"{"format":1,"generationId":"7","subscriptions":[{"topic":"all","qos":1}]}"#,
                "unknown variant `all`",
            ),
            (
                r#"{"format":1,"generationId":"7","subscriptions":[{"topic":"desired","qos":2}]}"#,
                "2 is no quality of service",
            ),
        ] {
            let err = Subscriptions::decode(content.as_bytes(), "7").unwrap_err();
            assert!(err.starts_with(expected), "{err}");
        }
    }

    #[test]
    fn a_subscription_is_set_and_taken_back() {
        let mut subscriptions = Subscriptions::default();
        for subscription in Subscription::ALL {
            assert_eq!(subscriptions.get(subscription), None);
            subscriptions.set(subscription, QoS::AtMostOnce);
            subscriptions.set(subscription, QoS::AtLeastOnce);
            assert_eq!(subscriptions.get(subscription), Some(QoS::AtLeastOnce));
            subscriptions.remove(subscription);
            assert_eq!(subscriptions, Subscriptions::default());
        }
    }
}
