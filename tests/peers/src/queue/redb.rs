//! The queue in redb: a table from number to body.

use std::path::Path;

use redb::{Database, TableDefinition};

use super::{CACHE_BYTES, Message, Queue};

const MESSAGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("messages");

pub(super) struct RedbQueue(Database);

impl RedbQueue {
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES.try_into()?)
            .create(folder.join("queue.redb"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(MESSAGES)?;
        transaction.commit()?;
        Ok(Self(database))
    }
}

impl Queue for RedbQueue {
    fn append(&mut self, first: u64, bodies: &[Vec<u8>]) -> anyhow::Result<()> {
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(MESSAGES)?;
            for (number, body) in (first..).zip(bodies) {
                table.insert(number, body.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn take(&mut self, messages_max: usize) -> anyhow::Result<Vec<Message>> {
        let transaction = self.0.begin_write()?;
        let mut taken = Vec::with_capacity(messages_max);
        {
            let mut table = transaction.open_table(MESSAGES)?;
            while taken.len() < messages_max
                && let Some((number, body)) = table.pop_first()?
            {
                taken.push((number.value(), body.value().to_vec()));
            }
        }
        transaction.commit()?;
        Ok(taken)
    }
}
