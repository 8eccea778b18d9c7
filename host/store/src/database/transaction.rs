//! One change of a database in the making, and reading pages.

use redb::{ReadableTable, StorageError, WriteTransaction};

use super::{
    DatabaseError, KEY_MAX_BYTES, PAGE_MAX_BYTES, PAGE_MAX_ENTRIES, Page, Table, VALUE_MAX_BYTES,
    error,
};

/// Reads and changes that become visible and durable together.
pub struct Transaction<'a> {
    name: &'a str,
    writing: &'a WriteTransaction,
    changed: bool,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(name: &'a str, writing: &'a WriteTransaction) -> Self {
        Self {
            name,
            writing,
            changed: false,
        }
    }

    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    /// The value of `key`, with the changes made so far.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError> {
        let table = self
            .writing
            .open_table(table.definition())
            .map_err(|err| error::using(self.name, "read", err.into()))?;
        let found = table
            .get(key)
            .map_err(|err| error::using(self.name, "read", err.into()))?;
        Ok(found.map(|guard| guard.value().to_vec()))
    }

    /// Sets the value of `key`.
    ///
    /// # Errors
    /// [`DatabaseError::KeyTooLong`], [`DatabaseError::ValueTooLong`], and those of the disk.
    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), DatabaseError> {
        let file = || self.name.to_owned();
        if key.len() > KEY_MAX_BYTES {
            return Err(DatabaseError::KeyTooLong {
                file: file(),
                found: key.len(),
            });
        }
        if value.len() > VALUE_MAX_BYTES {
            return Err(DatabaseError::ValueTooLong {
                file: file(),
                found: value.len(),
            });
        }
        let mut table = self
            .writing
            .open_table(table.definition())
            .map_err(|err| error::using(self.name, "write", err.into()))?;
        table
            .insert(key, value)
            .map_err(|err| error::using(self.name, "write", err.into()))?;
        self.changed = true;
        Ok(())
    }

    /// Removes `key`; says whether it was there.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn remove(&mut self, table: Table, key: &[u8]) -> Result<bool, DatabaseError> {
        let mut table = self
            .writing
            .open_table(table.definition())
            .map_err(|err| error::using(self.name, "write", err.into()))?;
        let removed = table
            .remove(key)
            .map_err(|err| error::using(self.name, "write", err.into()))?
            .is_some();
        self.changed |= removed;
        Ok(removed)
    }
}

/// One page of the entries under `prefix`.
pub(super) fn page(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Page, StorageError> {
    let limit = limit.clamp(1, PAGE_MAX_ENTRIES);
    let start = after.filter(|after| *after > prefix).unwrap_or(prefix);
    let mut page = Page::default();
    let mut size_bytes = 0;
    for entry in table.range::<&[u8]>(start..)? {
        let (key, value) = entry?;
        let (key, value) = (key.value(), value.value());
        if !key.starts_with(prefix) {
            break;
        }
        if Some(key) == after {
            continue;
        }
        if page.entries.len() == limit || size_bytes >= PAGE_MAX_BYTES {
            page.more = true;
            break;
        }
        size_bytes += key.len() + value.len();
        page.entries.push((key.to_vec(), value.to_vec()));
    }
    Ok(page)
}
