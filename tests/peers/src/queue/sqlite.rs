//! The queue in SQLite: a table by number, write-ahead log, a full sync at each commit.

use std::path::Path;

use rusqlite::Connection;

use super::{CACHE_BYTES, Message, Queue};

pub(super) struct SqliteQueue(Connection);

impl SqliteQueue {
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open(folder.join("queue.sqlite"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Negative: kibibytes instead of pages.
        connection.pragma_update(None, "cache_size", -i64::try_from(CACHE_BYTES / 1024)?)?;
        connection.execute(
            "CREATE TABLE IF NOT EXISTS messages (number INTEGER PRIMARY KEY, body BLOB NOT NULL)",
            (),
        )?;
        Ok(Self(connection))
    }
}

impl Queue for SqliteQueue {
    fn append(&mut self, first: u64, bodies: &[Vec<u8>]) -> anyhow::Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO messages (number, body) VALUES (?1, ?2)")?;
            for (number, body) in (i64::try_from(first)?..).zip(bodies) {
                insert.execute((number, body))?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn take(&mut self, messages_max: usize) -> anyhow::Result<Vec<Message>> {
        let transaction = self.0.transaction()?;
        let mut taken = Vec::with_capacity(messages_max);
        {
            let mut select = transaction
                .prepare_cached("SELECT number, body FROM messages ORDER BY number LIMIT ?1")?;
            let mut rows = select.query([i64::try_from(messages_max)?])?;
            while let Some(row) = rows.next()? {
                taken.push((row.get::<_, i64>(0)?.try_into()?, row.get(1)?));
            }
        }
        if let Some((last, _)) = taken.last() {
            transaction
                .prepare_cached("DELETE FROM messages WHERE number <= ?1")?
                .execute([i64::try_from(*last)?])?;
        }
        transaction.commit()?;
        Ok(taken)
    }
}
