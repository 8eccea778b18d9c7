//! The store in the process: documents in the embedded database.
//!
//! Owns how documents and revisions lie in the database, and who in this
//! process hears of changes. Leaves changing them in groups to `writer`, and
//! files and durability to the crate of stores. The default of the hub.
//!
//! Table `documents`: the key's text to 8 bytes of revision, big-endian, and
//! the content. Table `counters`: `revision` to the last revision given out.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use bytes::Bytes;
use cap_std::fs::Dir;
use futures_util::stream;
use tokio::sync::broadcast;
use tokio::task;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_store::database::{Database, Format, Table};

use self::writer::Writer;
use super::{
    Change, ChangeFeed, Collection, DOCUMENT_MAX_BYTES, Document, DocumentKey, Expected, HubStore,
    Listing, Revision, StoreError, StoreFuture, Swap,
};

mod writer;

/// The database file in the folder `hub/`.
pub const DATABASE_FILE: &str = "hub.redb";

/// What the database holds, and in which version.
pub const DATABASE_FORMAT: Format = Format {
    kind: "hub",
    version: 1,
};

/// Changes that wait for one reader of a feed; each is a key, and one that reads later reads the
/// newest document anyway.
const FEED_CHANGES_MAX: usize = 16;

const DOCUMENTS: Table = Table("documents");
const COUNTERS: Table = Table("counters");
const REVISION_COUNTER: &[u8] = b"revision";
const REVISION_BYTES: usize = 8;

/// What becomes of a database that is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDamage {
    /// It is put aside, and an empty one takes its place: what it held can be made again.
    #[default]
    BeginAnew,
    /// It is left alone, and the hub does not open: nobody else has the keys of its devices.
    Refuse,
}

/// Documents in one database file.
///
/// Dropping it waits until the file is closed, so that it can be opened again at once: threads may still be at work
/// for callers that did not wait for them, or that have their answer just now. That takes a sync of the disk or so.
#[derive(Debug)]
pub struct EmbeddedStore {
    database: Lease,
    feeds: Arc<Feeds>,
    writer: Writer,
    /// The last to be dropped.
    _closed: Closed,
}

/// The open database, of one who uses it; the file is closed when the last of them is gone.
#[derive(Clone, Debug)]
struct Lease {
    /// Dropped before the other field, which tells so.
    database: Arc<Database>,
    _user: mpsc::Sender<Infallible>,
}

/// Waits when it is dropped until nobody has a [`Lease`] any more.
#[derive(Debug)]
struct Closed(Mutex<mpsc::Receiver<Infallible>>);

impl EmbeddedStore {
    /// Opens the database in `folder`, made if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn open(folder: &Dir, on_damage: OnDamage) -> Result<Self, StoreError> {
        let folder = folder.try_clone().map_err(|source| {
            let file = DATABASE_FILE.to_owned();
            wasm_edge_store::database::DatabaseError::Io {
                file,
                action: "open",
                source,
            }
        })?;
        let open = match on_damage {
            OnDamage::BeginAnew => Database::open,
            OnDamage::Refuse => Database::open_as_it_is,
        };
        let opened = blocking(move || open(&folder, DATABASE_FILE, DATABASE_FORMAT));
        Ok(Self::new(opened.await??))
    }

    /// Uses a database that is open, of the format [`DATABASE_FORMAT`].
    pub fn new(database: Database) -> Self {
        let (database, closed) = Lease::new(database);
        let feeds = Arc::default();
        Self {
            writer: Writer::new(database.clone(), Arc::clone(&feeds)),
            database,
            feeds,
            _closed: closed,
        }
    }
}

impl Lease {
    fn new(database: Database) -> (Self, Closed) {
        let (user, users) = mpsc::channel();
        let lease = Self {
            database: Arc::new(database),
            _user: user,
        };
        (lease, Closed(Mutex::new(users)))
    }
}

impl Deref for Lease {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        let users = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nothing can be sent: it answers when the last sender is gone.
        let _ = users.recv();
    }
}

impl HubStore for EmbeddedStore {
    fn read<'a>(&'a self, key: &'a DocumentKey) -> StoreFuture<'a, Option<Document>> {
        let (database, key) = (self.database.clone(), key.clone());
        Box::pin(async move {
            blocking(move || {
                let found = database.get(DOCUMENTS, key.as_str().as_bytes())?;
                found.map(|stored| decode(key.as_str(), stored)).transpose()
            })
            .await?
        })
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a DocumentKey,
        expected: Expected,
        content: Option<Bytes>,
    ) -> StoreFuture<'a, Swap> {
        Box::pin(async move {
            let size_bytes = content.as_ref().map_or(0, Bytes::len);
            if size_bytes > DOCUMENT_MAX_BYTES {
                return Err(StoreError::TooLarge {
                    key: key.as_str().to_owned(),
                    size_bytes,
                });
            }
            let key = key.clone();
            let change = writer::Swapping {
                key,
                expected,
                content,
            };
            self.writer.write(change).await
        })
    }

    fn scan<'a>(
        &'a self,
        collection: &'a Collection,
        after: Option<&'a DocumentKey>,
        limit: usize,
    ) -> StoreFuture<'a, Listing> {
        let database = self.database.clone();
        let (prefix, after) = (
            collection.prefix(),
            after.map(|key| key.as_str().to_owned()),
        );
        Box::pin(async move {
            blocking(move || {
                let after = after.as_deref().map(str::as_bytes);
                let page = database.scan(DOCUMENTS, prefix.as_bytes(), after, limit)?;
                let documents = page
                    .entries
                    .into_iter()
                    .map(|(key, stored)| entry(&key, stored));
                Ok(Listing {
                    documents: documents.collect::<Result<_, _>>()?,
                    more: page.more,
                })
            })
            .await?
        })
    }

    fn changes(&self, device: &DeviceId) -> ChangeFeed {
        let feed = Feed::begin(&self.feeds, device);
        Box::pin(stream::unfold(feed, |mut feed| async {
            match feed.receiver.recv().await {
                Ok(key) => Some((Change::Document(key), feed)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((Change::Missed, feed)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        }))
    }
}

/// Runs database work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    task::spawn_blocking(work).await.map_err(|err| {
        if err.is_panic() {
            tracing::error!(%err, "the hub's database panicked");
        }
        StoreError::Interrupted
    })
}

fn encode(revision: Revision, content: &[u8]) -> Vec<u8> {
    [&revision.0.to_be_bytes(), content].concat()
}

fn decode(key: &str, stored: Vec<u8>) -> Result<Document, StoreError> {
    let mut content = Bytes::from(stored);
    if content.len() < REVISION_BYTES {
        return Err(damaged(key));
    }
    let revision = content.split_to(REVISION_BYTES);
    let revision = revision.as_ref().try_into().map_err(|_| damaged(key))?;
    Ok(Document {
        revision: Revision(u64::from_be_bytes(revision)),
        content,
    })
}

fn entry(key: &[u8], stored: Vec<u8>) -> Result<(DocumentKey, Document), StoreError> {
    let text = String::from_utf8_lossy(key);
    let document = decode(&text, stored)?;
    Ok((
        DocumentKey::from_stored(key).ok_or_else(|| damaged(&text))?,
        document,
    ))
}

fn damaged(key: &str) -> StoreError {
    StoreError::Damaged {
        key: key.to_owned(),
    }
}

/// Who listens to which device.
#[derive(Debug, Default)]
struct Feeds {
    /// Written and read under the lock by subscribers and committing threads. A device is here as
    /// long as somebody listens to it.
    senders: Mutex<HashMap<String, broadcast::Sender<DocumentKey>>>,
}

/// Somebody who listens to a device.
struct Feed {
    feeds: Arc<Feeds>,
    device: String,
    receiver: broadcast::Receiver<DocumentKey>,
}

impl Feed {
    fn begin(feeds: &Arc<Feeds>, device: &DeviceId) -> Self {
        let device = device.as_str().to_owned();
        let mut senders = feeds.senders();
        let receiver = match senders.get(&device) {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, receiver) = broadcast::channel(FEED_CHANGES_MAX);
                senders.insert(device.clone(), sender);
                receiver
            }
        };
        drop(senders);
        Self {
            feeds: Arc::clone(feeds),
            device,
            receiver,
        }
    }
}

impl Drop for Feed {
    /// The last one that listens to a device takes its entry along; the lock keeps a next one out meanwhile.
    fn drop(&mut self) {
        let mut senders = self.feeds.senders();
        let listeners = senders
            .get(&self.device)
            .map(broadcast::Sender::receiver_count);
        if listeners == Some(1) {
            senders.remove(&self.device);
        }
    }
}

impl Feeds {
    fn tell(&self, key: &DocumentKey) {
        let senders = self.senders();
        if let Some(sender) = key.device().and_then(|device| senders.get(device)) {
            // An error says that the last listener left.
            let _ = sender.send(key.clone());
        }
    }

    fn senders(&self) -> MutexGuard<'_, HashMap<String, broadcast::Sender<DocumentKey>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
