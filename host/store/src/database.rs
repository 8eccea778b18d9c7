//! The embedded database: named tables of bytes, changed by atomic, durable transactions.
//!
//! Owns opening the file with a small cache, its format record, what happens
//! with a damaged file, and the limits of keys and values. Leaves the meaning
//! of keys and values to the hub and the device. All calls block.
//!
//! A transaction that returned is on disk: it survives a power cut whole, and
//! one that did not return is there whole or not at all.

use std::fmt;
use std::fs::File;
use std::io;

use cap_std::fs::{Dir, OpenOptions};
use redb::{ReadableDatabase as _, TableDefinition, TableError};

use crate::disk::overlay::Overlay;
use crate::disk::{Disk, FileDisk};
use crate::file;

mod backend;
mod error;
mod opened;
mod transaction;

pub use error::DatabaseError;
use opened::Opened;
pub use transaction::Transaction;

/// Memory for pages; the databases here are read seldom and are a few megabytes at most.
const CACHE_BYTES: usize = 1024 * 1024;

/// Longest key.
pub const KEY_MAX_BYTES: usize = 1024;

/// Longest value.
pub const VALUE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Most entries that one page of a scan holds.
pub const PAGE_MAX_ENTRIES: usize = 1000;

/// A page of a scan ends after the entry that reaches this size.
pub const PAGE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// How many damaged files are kept per database; with more, a person has to look.
pub const DAMAGED_FILES_MAX: usize = 4;

/// Where the format is recorded, in every database.
const FORMAT: TableDefinition<'static, &str, u64> = TableDefinition::new("wasm-edge-format");

/// What a database holds, and in which version of that content's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// The kind of content, such as `hub`.
    pub kind: &'static str,
    /// The version of its format that this build reads and writes.
    pub version: u64,
}

/// What a database file says that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFormat {
    /// The kind of content.
    pub kind: String,
    /// The version of its format, which this build may or may not read.
    pub version: u64,
}

/// Checks the whole database file `name` in `folder` and reads its format, and changes nothing.
///
/// It takes no lock: only for a file that no process has open. `None` if nothing is recorded yet.
///
/// # Errors
/// [`DatabaseError`], [`DatabaseError::Io`] also when it is not there.
pub fn look(folder: &Dir, name: &str) -> Result<Option<RecordedFormat>, DatabaseError> {
    let overlay = folder
        .open(name)
        .and_then(|file| Overlay::new(file.into_std()))
        .map_err(|source| error::access(name, "open", source))?;
    let recorded = Database::checked(name, overlay)?.recorded_format()?;
    Ok(recorded.map(|(kind, version)| RecordedFormat { kind, version }))
}

/// The name of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table(pub &'static str);

impl Table {
    fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.0)
    }
}

/// A damaged file that was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// What the file is called now.
    pub name: String,
    /// What was wrong with it.
    pub cause: String,
}

/// A key with its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Some entries in the order of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries; empty only when there are none any more.
    pub entries: Vec<Entry>,
    /// Whether more follow the last one.
    pub more: bool,
}

/// An open database.
pub struct Database {
    name: String,
    opened: Opened,
    set_aside: Option<SetAside>,
}

impl Database {
    /// Opens the database file `name` in `folder`, made (mode 0600) if it is missing.
    ///
    /// The whole file is checked. A damaged one is renamed to
    /// `<name>.damaged-<n>`, reported by [`Self::set_aside`] and in the log,
    /// and an empty database takes its place; it is never deleted.
    ///
    /// # Errors
    /// [`DatabaseError`]. A file that another process uses, that has another
    /// format or cannot be read just now is not damaged and stays.
    pub fn open(folder: &Dir, name: &str, format: Format) -> Result<Self, DatabaseError> {
        match Self::open_as_it_is(folder, name, format) {
            Err(DatabaseError::Damaged { cause, .. }) => {
                let aside = put_aside(folder, name, cause)?;
                tracing::error!(
                    database = name, set_aside = %aside.name, cause = %aside.cause,
                    "a damaged database was put aside and an empty one took its place"
                );
                let fresh = Self::create(folder, name, format)?;
                Ok(Self {
                    set_aside: Some(aside),
                    ..fresh
                })
            }
            opened => opened,
        }
    }

    /// Opens the database as [`Self::open`] does, but leaves a damaged file alone: for content that nothing can make
    /// again.
    ///
    /// # Errors
    /// [`DatabaseError`], [`DatabaseError::Damaged`] among them.
    pub fn open_as_it_is(folder: &Dir, name: &str, format: Format) -> Result<Self, DatabaseError> {
        let Some(file) = open_file(folder, name)? else {
            return Self::create(folder, name, format);
        };
        Self::on_disk(name, FileDisk::new(file), format)
    }

    /// Opens the database on `disk`; `name` is for messages.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn on_disk(name: &str, disk: impl Disk, format: Format) -> Result<Self, DatabaseError> {
        let database = Self::checked(name, disk)?;
        database.check_format(format)?;
        Ok(database)
    }

    /// Opens what is on `disk` after reading all of it; its format is not looked at.
    fn checked(name: &str, disk: impl Disk) -> Result<Self, DatabaseError> {
        Ok(Self {
            name: name.to_owned(),
            opened: Opened::new(name, disk)?,
            set_aside: None,
        })
    }

    /// The damaged file that was found when this database was opened.
    pub fn set_aside(&self) -> Option<&SetAside> {
        self.set_aside.as_ref()
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError> {
        let library = self.opened.library(&self.name)?;
        let reading = library
            .begin_read()
            .map_err(|err| self.failed("read", err))?;
        let table = match reading.open_table(table.definition()) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(err) => return Err(self.failed("read", err)),
        };
        let found = table
            .get_owned(key)
            .map_err(|err| self.failed("read", err))?;
        Ok(found.map(|guard| guard.value().to_vec()))
    }

    /// The entries whose keys begin with `prefix` and come after `after`, in the order of keys.
    ///
    /// At most `limit` of them, and never more than [`PAGE_MAX_ENTRIES`] or
    /// much more than [`PAGE_MAX_BYTES`].
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, DatabaseError> {
        let library = self.opened.library(&self.name)?;
        let reading = library
            .begin_read()
            .map_err(|err| self.failed("read", err))?;
        let table = match reading.open_table(table.definition()) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Page::default()),
            Err(err) => return Err(self.failed("read", err)),
        };
        transaction::page(&table, prefix, after, limit).map_err(|err| self.failed("read", err))
    }

    /// Runs `body` and commits what it changed, all of it or nothing; durable when this returns.
    ///
    /// Transactions run one after the other. One that changed nothing writes
    /// nothing. If `body` fails, nothing is changed.
    ///
    /// # Errors
    /// The error of `body`, or [`DatabaseError`] from the commit; after that
    /// it is not known whether the change is on disk.
    pub fn transact<T, E: From<DatabaseError>>(
        &self,
        body: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let library = self.opened.library(&self.name)?;
        let writing = library
            .begin_write()
            .map_err(|err| self.failed("write", err))?;
        let mut transaction = Transaction::new(&self.name, &writing);
        let outcome = body(&mut transaction);
        let changed = transaction.changed();
        if outcome.is_ok() && changed {
            writing.commit().map_err(|err| self.failed("write", err))?;
        } else {
            writing.abort().map_err(|err| self.failed("write", err))?;
        }
        outcome
    }

    /// Makes the file under a temporary name first: one that has its name is complete, and a crash
    /// in between looks like no damage.
    fn create(folder: &Dir, name: &str, format: Format) -> Result<Self, DatabaseError> {
        let temporary = file::temporary_name();
        let file = file::create_private(folder, &temporary)
            .map_err(|source| error::access(name, "create", source))?;
        let database = Self::on_disk(name, FileDisk::new(file), format)?;
        folder
            .rename(&temporary, folder, name)
            .and_then(|()| file::sync_folder(folder))
            .map_err(|source| error::access(name, "create", source))?;
        Ok(database)
    }

    fn failed(&self, action: &'static str, err: impl Into<redb::Error>) -> DatabaseError {
        error::using(&self.name, action, err.into())
    }

    /// Compares the format record, or makes it in a new database.
    fn check_format(&self, format: Format) -> Result<(), DatabaseError> {
        let recorded = self.recorded_format()?;
        match recorded {
            Some((kind, version)) if kind == format.kind && version == format.version => Ok(()),
            Some((kind, version)) => Err(DatabaseError::Format {
                file: self.name.clone(),
                found: format!("{kind} {version}"),
                expected: format!("{} {}", format.kind, format.version),
            }),
            None => self.record_format(format),
        }
    }

    fn recorded_format(&self) -> Result<Option<(String, u64)>, DatabaseError> {
        use redb::ReadableTable as _;
        let library = self.opened.library(&self.name)?;
        let reading = library
            .begin_read()
            .map_err(|err| self.failed("read", err))?;
        let table = match reading.open_table(FORMAT) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(err) => return Err(self.failed("read", err)),
        };
        let first = table.first().map_err(|err| self.failed("read", err))?;
        Ok(first.map(|(kind, version)| (kind.value().to_owned(), version.value())))
    }

    fn record_format(&self, format: Format) -> Result<(), DatabaseError> {
        let library = self.opened.library(&self.name)?;
        let writing = library
            .begin_write()
            .map_err(|err| self.failed("write", err))?;
        {
            let mut table = writing
                .open_table(FORMAT)
                .map_err(|err| self.failed("write", err))?;
            table
                .insert(format.kind, format.version)
                .map_err(|err| self.failed("write", err))?;
        }
        writing.commit().map_err(|err| self.failed("write", err))
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Opens the file for reading and writing if it exists.
fn open_file(folder: &Dir, name: &str) -> Result<Option<File>, DatabaseError> {
    match folder.open_with(name, OpenOptions::new().read(true).write(true)) {
        Ok(file) => Ok(Some(file.into_std())),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(error::access(name, "open", source)),
    }
}

/// Gives the damaged file the next free name.
fn put_aside(folder: &Dir, name: &str, cause: String) -> Result<SetAside, DatabaseError> {
    let free = (1..=DAMAGED_FILES_MAX)
        .map(|number| format!("{name}.damaged-{number}"))
        .find(|aside| folder.symlink_metadata(aside).is_err());
    let Some(aside) = free else {
        return Err(DatabaseError::TooManyDamaged {
            file: name.to_owned(),
            cause,
        });
    };
    folder
        .rename(name, folder, &aside)
        .and_then(|()| file::sync_folder(folder))
        .map_err(|source| error::access(name, "put aside", source))?;
    Ok(SetAside { name: aside, cause })
}

#[cfg(test)]
mod tests;
