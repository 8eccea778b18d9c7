//! Messages to devices: keeping them until the device took them.
//!
//! Owns their queue: who waits in which order, until when, how often tried.
//! Leaves bringing them to the device to whoever holds its connection, who
//! hears of a new one by a change of [`DocumentKey::command_queue`].
//!
//! A message lies in a document of its own, and the queue of its device, a
//! small document, gives it its place. First the message is written, then its
//! place; it is answered when both are on disk. It is completed when its
//! place is given up, and its document goes after that. What a crash leaves
//! between the two steps waits for nobody, is not counted, and goes when it
//! would have expired.

use std::collections::HashMap;

use ring::rand::{SecureRandom as _, SystemRandom};
use wasm_edge_model::identity::{DeviceId, TwinOwner};
use wasm_edge_model::message::{Message, SystemProperty};
use wasm_edge_model::time::Timestamp;

use super::Hub;
use super::documents::Write;
use crate::command::{
    COMMAND_SIZE_MAX_BYTES, COMMANDS_PER_DEVICE_MAX, Command, CommandOptions, CommandReceipt,
    Delivery, TIME_TO_LIVE_MAX,
};
use crate::error::HubError;
use crate::identity::{Identity, IdentityError};
use crate::store::{Collection, DocumentKey};

pub(super) mod documents;
mod queue;
mod stored;

use documents::{Keep, decode_queue};
use queue::Queue;
use stored::StoredCommand;

/// After how many messages of a device it is looked for those without a place.
const SWEEP_EVERY: u64 = 64;

/// How many queues are read at once.
const QUEUES_PER_PAGE: usize = 1000;

impl Hub {
    /// Takes a message for a device; it is on disk when this answers.
    ///
    /// The hub sets its destination (`to`), and its `messageId` where the
    /// sender gave none.
    ///
    /// # Errors
    /// [`HubError::NotFound`]; [`HubError::TooManyCommands`];
    /// [`HubError::CommandTooLarge`]; [`HubError::Invalid`] for a message
    /// that cannot be so, an expiry that is over or too far ahead;
    /// [`HubError::Store`] and its kin.
    pub async fn send_command(
        &self,
        device: &DeviceId,
        message: Message,
        options: CommandOptions,
    ) -> Result<CommandReceipt, HubError> {
        let now = self.now();
        let command = self.prepare(device, message, options, now)?;
        let generation_id = self.device_generation(device).await?;
        let command = StoredCommand {
            generation_id: generation_id.clone(),
            ..command
        };
        // Refused before it is written, where that can be seen.
        if let Some((queue, _)) = self.queue(device).await?
            && queue.generation_id == generation_id
            && queue.is_full(now)
        {
            return Err(too_many(device));
        }
        let document = self.write_command(device, &command).await?;
        let expires_at = command.expires_at;
        let placed = self
            .change_queue(device, &generation_id, |queue| {
                let number = queue.push(document, expires_at);
                Ok((number, Write::Record, Vec::new()))
            })
            .await?;
        let Some(number) = placed else {
            self.delete_commands(device, &[document]).await;
            return Err(too_many(device));
        };
        // A device that was deleted meanwhile leaves nothing behind.
        match self.device_generation(device).await {
            Ok(present) if present == generation_id => {}
            Ok(present) => {
                self.remove_commands(device, Keep::Generation(&present))
                    .await?;
                return Err(not_found(device));
            }
            Err(err) => {
                if matches!(err, HubError::NotFound { .. }) {
                    self.remove_commands(device, Keep::Nothing).await?;
                }
                return Err(err);
            }
        }
        if number % SWEEP_EVERY == 0 {
            self.sweep_commands(device, |stored| stored.expires_at <= now)
                .await?;
        }
        self.metrics().commands("sent", 1);
        let message_id = command.message.system.get(SystemProperty::MessageId);
        Ok(CommandReceipt {
            message_id: message_id.unwrap_or_default().to_owned(),
            number,
            expires_at,
        })
    }

    /// The messages that wait for a device and come after the number `after`, in order, at most `limit`.
    ///
    /// Reading changes nothing: one that is sent to the device is told by
    /// [`Hub::command_delivered`] before.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::Store`] and its kin.
    pub async fn pending_commands(
        &self,
        device: &DeviceId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Command>, HubError> {
        let generation_id = self.device_generation(device).await?;
        let Some((queue, _)) = self.queue(device).await? else {
            return Ok(Vec::new());
        };
        if queue.generation_id != generation_id {
            return Ok(Vec::new());
        }
        let after = after.unwrap_or_default();
        let mut commands = Vec::new();
        for waiting in queue.live(self.now()).filter(|one| one.number > after) {
            if commands.len() >= limit {
                break;
            }
            // Without a document it was completed while this reads.
            let Some(stored) = self.read_command(device, waiting.document).await? else {
                continue;
            };
            commands.push(Command {
                number: waiting.number,
                generation_id: generation_id.clone(),
                enqueued: stored.enqueued,
                expires_at: stored.expires_at,
                ack: stored.ack,
                deliveries: waiting.deliveries,
                message: stored.message,
            });
        }
        Ok(commands)
    }

    /// Counts that a message is about to be sent to its device, and says whether to send it.
    ///
    /// `generation_id` is that of the message, [`Command::generation_id`]. One
    /// that was sent as often as may be is given up.
    ///
    /// # Errors
    /// [`HubError::Store`] and its kin.
    pub async fn command_delivered(
        &self,
        device: &DeviceId,
        number: u64,
        generation_id: &str,
    ) -> Result<Delivery, HubError> {
        let deliveries_max = self.command_limits().deliveries_max;
        let (delivery, dead) = self
            .change_queue(device, generation_id, |queue| {
                let (delivery, dead) = queue.deliver(number, deliveries_max);
                let write = match (delivery, &dead) {
                    (Delivery::Gone, None) => Write::Nothing,
                    _ => Write::Record,
                };
                let gone = dead.iter().map(|dead| dead.document).collect();
                Ok(((delivery, dead), write, gone))
            })
            .await?;
        if dead.is_some() {
            self.metrics().commands("dead", 1);
            tracing::warn!(
                %device, number, tries = deliveries_max,
                "a message to a device was given up: the device never acknowledged it"
            );
        }
        Ok(delivery)
    }

    /// Takes a message out of the queue: its device has it. Says whether it was still there.
    ///
    /// # Errors
    /// [`HubError::Store`] and its kin.
    pub async fn command_completed(
        &self,
        device: &DeviceId,
        number: u64,
        generation_id: &str,
    ) -> Result<bool, HubError> {
        self.change_queue(device, generation_id, |queue| {
            Ok(match queue.remove(number) {
                Some(done) => (true, Write::Record, vec![done.document]),
                None => (false, Write::Nothing, Vec::new()),
            })
        })
        .await
    }

    /// Throws away all messages that wait for a device; answers how many those were.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::Store`] and its kin.
    pub async fn purge_commands(&self, device: &DeviceId) -> Result<usize, HubError> {
        let generation_id = self.device_generation(device).await?;
        let purging = self.change_queue(device, &generation_id, |queue| {
            let purged: Vec<u64> = queue.clear().iter().map(|one| one.document).collect();
            let write = if purged.is_empty() {
                Write::Nothing
            } else {
                Write::Record
            };
            Ok((purged.len(), write, purged))
        });
        let count = purging.await?;
        self.metrics().commands("purged", count as u64);
        Ok(count)
    }

    /// How many messages wait for `identity`; none for a module.
    pub(crate) async fn command_count(&self, identity: &Identity) -> Result<usize, HubError> {
        let TwinOwner::Device(device) = &identity.owner else {
            return Ok(0);
        };
        let queue = self.queue(device).await?;
        Ok(queue.map_or(0, |(queue, _)| count(&queue, identity, self.now())))
    }

    /// The queues of the devices behind `after` up to `last`: for counting over a page of devices.
    pub(crate) async fn command_counts(
        &self,
        after: Option<&DeviceId>,
        last: &DeviceId,
    ) -> Result<CommandCounts, HubError> {
        let mut queues = HashMap::new();
        let mut after = after.map(DocumentKey::command_queue);
        let last = DocumentKey::command_queue(last);
        loop {
            let page = self
                .store()
                .scan(&Collection::CommandQueues, after.as_ref(), QUEUES_PER_PAGE)
                .await?;
            for (key, document) in page.documents {
                if key > last {
                    return Ok(self.counts(queues));
                }
                let Ok(device) = DeviceId::new(key.name()) else {
                    continue;
                };
                queues.insert(device.clone(), decode_queue(&device, &document.content)?);
                after = Some(key);
            }
            if !page.more {
                return Ok(self.counts(queues));
            }
        }
    }

    fn counts(&self, queues: HashMap<DeviceId, Queue>) -> CommandCounts {
        let now = self.now();
        CommandCounts { queues, now }
    }

    /// The message as it is kept, but for the generation of its device.
    fn prepare(
        &self,
        device: &DeviceId,
        mut message: Message,
        options: CommandOptions,
        now: Timestamp,
    ) -> Result<StoredCommand, HubError> {
        let expires_at = expiry(options, self.command_limits().time_to_live, now)?;
        message.system.remove_set_by_host();
        let destination = format!("/devices/{device}/messages/deviceBound");
        message.system.set(SystemProperty::To, destination);
        message.system.remove(SystemProperty::AbsoluteExpiryTime);
        if let Some(expires_at) = options.expires_at {
            let property = SystemProperty::AbsoluteExpiryTime;
            message.system.set(property, expires_at.to_string());
        }
        if message.system.get(SystemProperty::MessageId).is_none() {
            let id = new_message_id().map_err(|source| HubError::Identity {
                owner: TwinOwner::Device(device.clone()),
                source,
            })?;
            message.system.set(SystemProperty::MessageId, id);
        }
        let size_bytes = message.size_bytes();
        if size_bytes > COMMAND_SIZE_MAX_BYTES {
            return Err(HubError::CommandTooLarge { size_bytes });
        }
        message.check().map_err(|err| HubError::Invalid {
            problem: format!("the message cannot be sent: {err}"),
        })?;
        Ok(StoredCommand {
            generation_id: String::new(),
            enqueued: now,
            expires_at,
            ack: options.ack,
            message,
        })
    }

    async fn device_generation(&self, device: &DeviceId) -> Result<String, HubError> {
        let owner = TwinOwner::Device(device.clone());
        let found = self.load(&owner).await?;
        Ok(found.record.identity.generation_id)
    }
}

/// How many messages wait for the devices of a page.
#[derive(Debug)]
pub(crate) struct CommandCounts {
    queues: HashMap<DeviceId, Queue>,
    now: Timestamp,
}

impl CommandCounts {
    /// How many wait for `identity`; none for a module.
    pub(crate) fn of(&self, identity: &Identity) -> usize {
        let TwinOwner::Device(device) = &identity.owner else {
            return 0;
        };
        let queue = self.queues.get(device);
        queue.map_or(0, |queue| count(queue, identity, self.now))
    }
}

fn count(queue: &Queue, identity: &Identity, now: Timestamp) -> usize {
    if queue.generation_id == identity.generation_id {
        queue.live(now).count()
    } else {
        0
    }
}

/// When a message that is sent now is thrown away.
fn expiry(
    options: CommandOptions,
    time_to_live: std::time::Duration,
    now: Timestamp,
) -> Result<Timestamp, HubError> {
    let Some(expires_at) = options.expires_at else {
        return Ok(now.after(time_to_live.min(TIME_TO_LIVE_MAX)));
    };
    if expires_at <= now {
        let problem = format!("the expiry `{expires_at}` is over; it is `{now}` here");
        return Err(HubError::Invalid { problem });
    }
    if expires_at > now.after(TIME_TO_LIVE_MAX) {
        let hours = TIME_TO_LIVE_MAX.as_secs() / 3600;
        let problem = format!("the expiry `{expires_at}` is more than {hours} hours ahead");
        return Err(HubError::Invalid { problem });
    }
    Ok(expires_at)
}

fn random_number() -> Result<u64, IdentityError> {
    let mut bytes = [0; 8];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| IdentityError::Random)?;
    Ok(u64::from_be_bytes(bytes))
}

fn new_message_id() -> Result<String, IdentityError> {
    Ok(format!(
        "{:016x}{:016x}",
        random_number()?,
        random_number()?
    ))
}

fn damaged(device: &DeviceId, problem: &str) -> HubError {
    HubError::Record {
        owner: TwinOwner::Device(device.clone()),
        problem: format!("of its messages: {problem}"),
    }
}

fn too_many(device: &DeviceId) -> HubError {
    HubError::TooManyCommands {
        device: device.clone(),
        limit: COMMANDS_PER_DEVICE_MAX,
    }
}

fn not_found(device: &DeviceId) -> HubError {
    HubError::NotFound {
        owner: TwinOwner::Device(device.clone()),
    }
}

fn contended(device: &DeviceId) -> HubError {
    HubError::Contended {
        owner: TwinOwner::Device(device.clone()),
    }
}

#[cfg(test)]
mod tests;
