//! Running queries: which documents are looked at, pages, and how long it may take.
//!
//! Owns paging and the limits of a run. Leaves the language to
//! [`crate::query`]. A run reads the collection in the order of its keys, a
//! few documents at a time, and gives way to others in between; between two
//! pages the hub keeps nothing, since a continuation token says where to go
//! on. So all pages together have every document that was there all the time,
//! and none of them twice.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use tokio::time::{Instant, timeout};
use wasm_edge_model::identity::{DeviceId, TwinOwner};

use super::Hub;
use super::twins::service_json;
use crate::error::HubError;
use crate::identity::{ConnectionView, IdentityStatus};
use crate::query::aggregate::{GROUPS_MAX, Groups};
use crate::query::{Query, QueryError, Source};
use crate::record::Record;
use crate::store::{Collection, DocumentKey};

mod continuation;
pub(crate) mod twin;

use continuation::{Continuation, Position};
use twin::TwinDocument;

/// Most items of a page.
pub const PAGE_ITEMS_MAX: usize = 1000;

/// A page ends behind the item that makes it longer than this; an item is at most a twin with its
/// metadata.
pub const PAGE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// How long a page is looked for: what was found till then is the page. What needs all documents,
/// such as `COUNT`, fails if it takes longer.
pub const QUERY_TIME_MAX: Duration = Duration::from_secs(20);

/// How many queries run at once; each has a few documents and one page in memory.
pub(super) const QUERIES_MAX: usize = 8;

/// How many documents are read at a time: their size is not known before, and a twin at its limits
/// takes about 200 KB.
const SCAN_DOCUMENTS: usize = 32;

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// Twins as the service API shows them.
    Twin,
    /// Columns.
    Raw,
    /// What jobs do to devices.
    DeviceJob,
}

/// Which page of a query is asked for.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// How many items at most; [`PAGE_ITEMS_MAX`] if nothing or more is said.
    pub max_items: Option<usize>,
    /// The token of the page before; none for the first.
    pub continuation: Option<String>,
}

/// A page of answers to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryPage {
    /// The items, as a JSON array.
    pub items: String,
    /// How many they are; there may be none on a page before the last.
    pub count: usize,
    /// What they are.
    pub kind: ItemKind,
    /// Asks for the next page, if there is one.
    pub continuation: Option<String>,
}

/// Why a query has no answer.
#[derive(Debug, Error)]
pub enum QueryFailure {
    /// It is not understood.
    #[error("the query is not understood")]
    Query(#[from] QueryError),
    /// The continuation token is not one, or is another query's.
    #[error("the continuation token does not belong to this query")]
    Continuation,
    /// There are too many groups to be kept.
    #[error("the query has more than {limit} groups, or they are too large")]
    TooManyGroups {
        /// How many there may be.
        limit: usize,
    },
    /// It took too long.
    #[error("the query has looked at too many twins for {} s; a narrower condition may help", limit.as_secs())]
    TooLong {
        /// How long it may take.
        limit: Duration,
    },
    /// As many queries run as may.
    #[error("{limit} queries run already, as many as may")]
    TooMany {
        /// How many may run at once.
        limit: usize,
    },
}

impl ItemKind {
    /// The text of the header `x-ms-item-type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Twin => "Twin",
            Self::Raw => "Raw",
            Self::DeviceJob => "DeviceJob",
        }
    }
}

impl Hub {
    /// Runs a query and answers one page of it.
    ///
    /// # Errors
    /// [`HubError::Query`], [`HubError::Store`].
    pub async fn query(&self, text: &str, request: PageRequest) -> Result<QueryPage, HubError> {
        let query = Query::parse(text).map_err(QueryFailure::from)?;
        let token = request.continuation.as_deref();
        let from = token.map(|token| Continuation::open(token, text));
        let from = from.transpose()?.unwrap_or_default();
        let max_items = request.max_items.unwrap_or(PAGE_ITEMS_MAX);
        let run = Run {
            text,
            limit: max_items.clamp(1, PAGE_ITEMS_MAX),
            deadline: Instant::now() + QUERY_TIME_MAX,
            counts_messages: query.asks_for("cloudToDeviceMessageCount"),
            query: &query,
            from,
        };
        let places = Arc::clone(self.query_places());
        let place = timeout(QUERY_TIME_MAX, places.acquire_owned()).await;
        let Ok(Ok(_place)) = place else {
            let limit = QUERIES_MAX;
            return Err(QueryFailure::TooMany { limit }.into());
        };
        match (query.source(), query.is_grouped()) {
            (Source::Jobs, _) => Ok(Page::default().end(ItemKind::DeviceJob, None)),
            (_, false) => run.documents(self).await,
            (_, true) => run.groups(self).await,
        }
    }
}

/// A run of a query, for one page.
struct Run<'a> {
    text: &'a str,
    query: &'a Query,
    counts_messages: bool,
    from: Continuation,
    limit: usize,
    deadline: Instant,
}

impl Run<'_> {
    /// How many items this page may have, with what `TOP` leaves.
    fn room(&self) -> usize {
        let top = self.query.top.unwrap_or(u64::MAX);
        let left = top.saturating_sub(self.from.taken);
        self.limit.min(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// What is known of a twin's owner; messages that wait are counted only if the query asks for it.
    async fn view(&self, hub: &Hub, record: &Record) -> Result<ConnectionView, HubError> {
        match self.counts_messages {
            true => hub.view(&record.identity).await,
            false => Ok(hub.view_with(&record.identity, 0)),
        }
    }

    fn kind(&self) -> ItemKind {
        match self.query.is_whole() {
            true => ItemKind::Twin,
            false => ItemKind::Raw,
        }
    }

    async fn documents(self, hub: &Hub) -> Result<QueryPage, HubError> {
        let after = match &self.from.position {
            Position::Start => None,
            Position::Document(key) => Some(key.clone()),
            Position::Group(_) => return Err(QueryFailure::Continuation.into()),
        };
        let mut scan = TwinScan::of(self.query.source(), after)?;
        let mut page = Page::default();
        while let Some(twins) = scan.next(hub).await? {
            let is_late = Instant::now() >= self.deadline;
            let last = twins.len();
            for (index, (owner, record)) in twins.into_iter().enumerate() {
                let document = TwinDocument::new(&record, self.view(hub, &record).await?);
                if self.query.chooses(&document) {
                    page.push(&match self.query.is_whole() {
                        true => service_json(&record, hub.view(&record.identity).await?),
                        false => self.query.row_of(&document),
                    });
                }
                let is_last = index + 1 == last && !scan.more;
                let is_full = page.count >= self.room() || page.is_long();
                if is_full && !is_last {
                    return Ok(self.end(page, Position::Document(DocumentKey::of(&owner))));
                }
            }
            if let (true, true, Some(after)) = (is_late, scan.more, &scan.after) {
                return Ok(self.end(page, Position::Document(after.clone())));
            }
        }
        let kind = self.kind();
        Ok(page.end(kind, None))
    }

    async fn groups(self, hub: &Hub) -> Result<QueryPage, HubError> {
        let after = match &self.from.position {
            Position::Start => None,
            Position::Group(order) => Some(order),
            Position::Document(_) => return Err(QueryFailure::Continuation.into()),
        };
        let mut scan = TwinScan::of(self.query.source(), None)?;
        let mut groups = Groups::new(self.query);
        while let Some(twins) = scan.next(hub).await? {
            if Instant::now() >= self.deadline {
                let limit = QUERY_TIME_MAX;
                return Err(QueryFailure::TooLong { limit }.into());
            }
            for (_, record) in twins {
                let document = TwinDocument::new(&record, self.view(hub, &record).await?);
                if self.query.chooses(&document) {
                    let limit = GROUPS_MAX;
                    groups
                        .add(&document)
                        .map_err(|_| QueryFailure::TooManyGroups { limit })?;
                }
            }
        }
        let mut page = Page::default();
        let mut rows = groups.rows(after).peekable();
        while let Some((order, row)) = rows.next() {
            page.push(&row);
            if (page.count >= self.room() || page.is_long()) && rows.peek().is_some() {
                return Ok(self.end(page, Position::Group(order.clone())));
            }
        }
        let kind = self.kind();
        Ok(page.end(kind, None))
    }

    /// The page, which is the last one when `TOP` is reached.
    fn end(&self, page: Page, position: Position) -> QueryPage {
        let taken = self.from.taken + page.count as u64;
        let is_done = self.query.top.is_some_and(|top| taken >= top);
        let next = Continuation { position, taken };
        let token = (!is_done).then(|| next.seal(self.text));
        page.end(self.kind(), token)
    }
}

/// A page that grows.
#[derive(Debug, Default)]
struct Page {
    items: String,
    count: usize,
}

impl Page {
    fn push(&mut self, item: &Value) {
        if self.count > 0 {
            self.items.push(',');
        }
        self.items.push_str(&item.to_string());
        self.count += 1;
    }

    fn is_long(&self) -> bool {
        self.items.len() > PAGE_MAX_BYTES
    }

    fn end(self, kind: ItemKind, continuation: Option<String>) -> QueryPage {
        QueryPage {
            items: format!("[{}]", self.items),
            count: self.count,
            kind,
            continuation,
        }
    }
}

/// Reads all twins of a kind, a few at a time, in the order of their keys.
pub(crate) struct TwinScan {
    collection: Collection,
    after: Option<DocumentKey>,
    more: bool,
    /// The device whose module was read last: modules of one device follow each other.
    device: Option<(DeviceId, Option<(String, IdentityStatus)>)>,
}

impl TwinScan {
    /// From behind `after`, a key that may have come from outside.
    pub(crate) fn of(source: Source, after: Option<DocumentKey>) -> Result<Self, QueryFailure> {
        let collection = match source {
            Source::Modules => Collection::Modules,
            Source::Devices | Source::Jobs => Collection::Devices,
        };
        let prefix = collection.prefix();
        if after
            .as_ref()
            .is_some_and(|key| !key.as_str().starts_with(&prefix))
        {
            return Err(QueryFailure::Continuation);
        }
        Ok(Self {
            collection,
            after,
            more: true,
            device: None,
        })
    }

    /// The next twins, possibly none of those that were read; nothing at the end.
    ///
    /// One that cannot be read is passed over and told in the log: it must not keep all others from
    /// being found.
    pub(crate) async fn next(
        &mut self,
        hub: &Hub,
    ) -> Result<Option<Vec<(TwinOwner, Record)>>, HubError> {
        if !self.more {
            return Ok(None);
        }
        let store = hub.store();
        let page = store
            .scan(&self.collection, self.after.as_ref(), SCAN_DOCUMENTS)
            .await?;
        self.more = page.more;
        let mut twins = Vec::with_capacity(page.documents.len());
        for (key, document) in page.documents {
            let Some(owner) = key.owner() else {
                self.after = Some(key);
                continue;
            };
            self.after = Some(key);
            match Record::decode(&owner, &document.content) {
                Ok(record) => {
                    if let Some(record) = self.present(hub, &owner, record).await? {
                        twins.push((owner, record));
                    }
                }
                Err(problem) => {
                    tracing::error!(%owner, problem, "a stored document cannot be read");
                }
            }
        }
        // Reading and looking at so many takes milliseconds: others come in between.
        tokio::task::yield_now().await;
        Ok(Some(twins))
    }

    /// The record, unless it is what was left of a module when its device was deleted.
    async fn present(
        &mut self,
        hub: &Hub,
        owner: &TwinOwner,
        mut record: Record,
    ) -> Result<Option<Record>, HubError> {
        if owner.module().is_none() {
            return Ok(Some(record));
        }
        let device = owner.device();
        if self
            .device
            .as_ref()
            .is_none_or(|(known, _)| known != device)
        {
            let found = hub.read(&TwinOwner::Device(device.clone())).await;
            let facts = match found {
                Ok(found) => found.map(|found| {
                    let identity = found.record.identity;
                    (identity.generation_id, identity.status)
                }),
                Err(HubError::Record { problem, .. }) => {
                    tracing::error!(%device, problem, "a stored document cannot be read");
                    None
                }
                Err(err) => return Err(err),
            };
            self.device = Some((device.clone(), facts));
        }
        let facts = self.device.as_ref().and_then(|(_, facts)| facts.as_ref());
        let Some((generation_id, status)) = facts else {
            return Ok(None);
        };
        if record.device_generation_id != *generation_id {
            return Ok(None);
        }
        record.identity.status = *status;
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests;
