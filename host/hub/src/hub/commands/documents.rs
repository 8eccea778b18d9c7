//! Reading and changing the documents of a device's messages: the queue, and one for each message.

use wasm_edge_model::identity::{DeviceId, TwinOwner};

use super::queue::{Queue, Waiting};
use super::stored::StoredCommand;
use super::{contended, damaged, not_found, random_number};
use crate::error::HubError;
use crate::hub::Hub;
use crate::hub::documents::{SWAP_TRIES_MAX, Write};
use crate::store::{Collection, DocumentKey, Expected, Revision};

/// How many messages are read at once where all are read: each has up to 64 KB.
const SWEEP_PAGE: usize = 16;

/// What becomes of the messages of an earlier device of the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum Keep<'a> {
    /// They go, and so do all others.
    Nothing,
    /// They go; those of this generation stay.
    Generation(&'a str),
}

impl Hub {
    /// Removes the messages to a device that was deleted, with their queue.
    pub(in crate::hub) async fn remove_commands(
        &self,
        device: &DeviceId,
        keep: Keep<'_>,
    ) -> Result<(), HubError> {
        let is_kept = |generation_id: &str| keep == Keep::Generation(generation_id);
        for _ in 0..SWAP_TRIES_MAX {
            let Some((queue, revision)) = self.queue(device).await? else {
                break;
            };
            if is_kept(&queue.generation_id) {
                break;
            }
            let key = DocumentKey::command_queue(device);
            if self.swap(&key, Expected::Revision(revision), None).await? {
                break;
            }
        }
        self.sweep_commands(device, |stored| !is_kept(&stored.generation_id))
            .await
    }

    /// Writes a message under a number that no other has; answers that.
    pub(super) async fn write_command(
        &self,
        device: &DeviceId,
        command: &StoredCommand,
    ) -> Result<u64, HubError> {
        for _ in 0..SWAP_TRIES_MAX {
            let document = random_number().map_err(|source| HubError::Identity {
                owner: TwinOwner::Device(device.clone()),
                source,
            })?;
            let key = DocumentKey::command(device, document);
            let content = Some(command.encode());
            if self.swap(&key, Expected::Absent, content).await? {
                return Ok(document);
            }
        }
        Err(contended(device))
    }

    pub(super) async fn read_command(
        &self,
        device: &DeviceId,
        document: u64,
    ) -> Result<Option<StoredCommand>, HubError> {
        let key = DocumentKey::command(device, document);
        let Some(found) = self.store().read(&key).await? else {
            return Ok(None);
        };
        let decoded = StoredCommand::decode(&found.content);
        decoded
            .map(Some)
            .map_err(|problem| damaged(device, &problem))
    }

    /// Changes the queue of a device by compare-and-set, again when another came first. What has
    /// expired goes on the way; `change` says what to answer, whether that is all there is to
    /// write, and which documents go with it.
    pub(super) async fn change_queue<T>(
        &self,
        device: &DeviceId,
        generation_id: &str,
        mut change: impl FnMut(&mut Queue) -> Result<(T, Write, Vec<u64>), HubError>,
    ) -> Result<T, HubError> {
        let key = DocumentKey::command_queue(device);
        for _ in 0..SWAP_TRIES_MAX {
            let found = self.queue(device).await?;
            let expected = found.as_ref().map_or(Expected::Absent, |(_, revision)| {
                Expected::Revision(*revision)
            });
            let mut of_another = false;
            let mut queue = match found {
                Some((queue, _)) if queue.generation_id == generation_id => queue,
                found => {
                    of_another = found.is_some();
                    Queue::new(generation_id)
                }
            };
            let expired = queue.drop_expired(self.now());
            let (answer, write, mut gone) = change(&mut queue)?;
            if write == Write::Nothing {
                return Ok(answer);
            }
            // Who still means an earlier device must not take the place of the present one's queue.
            if of_another && self.device_generation(device).await? != generation_id {
                return Err(not_found(device));
            }
            if self.swap(&key, expected, Some(queue.encode())).await? {
                note_expired(device, &expired);
                gone.extend(expired.iter().map(|one| one.document));
                self.delete_commands(device, &gone).await;
                return Ok(answer);
            }
        }
        Err(contended(device))
    }

    pub(super) async fn queue(
        &self,
        device: &DeviceId,
    ) -> Result<Option<(Queue, Revision)>, HubError> {
        let key = DocumentKey::command_queue(device);
        let Some(document) = self.store().read(&key).await? else {
            return Ok(None);
        };
        let queue = decode_queue(device, &document.content)?;
        Ok(Some((queue, document.revision)))
    }

    /// Removes messages that have no place any more. One that cannot be removed now goes with a
    /// later sweep, so that a failure here is none of what was asked.
    pub(super) async fn delete_commands(&self, device: &DeviceId, documents: &[u64]) {
        for document in documents {
            let key = DocumentKey::command(device, *document);
            if let Err(err) = self.remove_document(&key).await {
                tracing::warn!(%device, ?err, "a message to a device is done but not removed yet");
            }
        }
    }

    /// Removes the messages to a device that `chosen` names, whether they have a place or not.
    pub(super) async fn sweep_commands(
        &self,
        device: &DeviceId,
        chosen: impl Fn(&StoredCommand) -> bool,
    ) -> Result<(), HubError> {
        let collection = Collection::CommandsOf(device.clone());
        let removed = self.remove_documents(&collection, SWEEP_PAGE, |_, document| {
            let stored = StoredCommand::decode(&document.content)
                .map_err(|problem| damaged(device, &problem))?;
            Ok(chosen(&stored))
        });
        removed.await
    }
}

pub(super) fn decode_queue(device: &DeviceId, content: &[u8]) -> Result<Queue, HubError> {
    Queue::decode(content).map_err(|problem| damaged(device, &problem))
}

fn note_expired(device: &DeviceId, expired: &[Waiting]) {
    for one in expired {
        tracing::info!(%device, number = one.number, "a message to a device expired");
    }
}
