//! The queue in fjall: keys by number. Where the oldest message is, is remembered: a scan from the start would walk over
//! all tombstones.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{CACHE_BYTES, Message, Queue};

pub(super) struct FjallQueue {
    database: Database,
    messages: Keyspace,
    oldest: u64,
}

impl FjallQueue {
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let database = Database::builder(folder.join("fjall"))
            .cache_size(CACHE_BYTES)
            .open()?;
        let messages = database.keyspace("messages", KeyspaceCreateOptions::default)?;
        Ok(Self {
            database,
            messages,
            oldest: 0,
        })
    }
}

impl Queue for FjallQueue {
    fn append(&mut self, first: u64, bodies: &[Vec<u8>]) -> anyhow::Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (number, body) in (first..).zip(bodies) {
            batch.insert(&self.messages, number.to_be_bytes(), body.as_slice());
        }
        Ok(batch.commit()?)
    }

    fn take(&mut self, messages_max: usize) -> anyhow::Result<Vec<Message>> {
        let mut taken = Vec::with_capacity(messages_max);
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for entry in self
            .messages
            .range(self.oldest.to_be_bytes()..)
            .take(messages_max)
        {
            let (key, body) = entry.into_inner()?;
            let number = u64::from_be_bytes(key[..].try_into()?);
            batch.remove(&self.messages, key);
            taken.push((number, body.to_vec()));
        }
        if let Some((last, _)) = taken.last() {
            batch.commit()?;
            self.oldest = last + 1;
        }
        Ok(taken)
    }
}
