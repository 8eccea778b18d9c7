//! A device's message store by itself: a router whose queues last, one sender, and the way upstream.

use std::sync::Arc;

use cap_std::fs::Dir;
use futures_util::future::try_join_all;
use tokio::task::JoinError;
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::message::{Message, OutputName};
use wasm_edge_model::route::{Route, RouteName};
use wasm_edge_router::inbox::{CommitError, Inbox};
use wasm_edge_router::journal::{Journal, JournalError, JournalSettings};
use wasm_edge_router::limits::Limits;
use wasm_edge_router::router::Router;
use wasm_edge_router::sender::Sender;
use wasm_edge_router::table::RouteTable;
use wasm_edge_store::volume::FolderVolume;

use super::{SourceError, stage};

/// A message store with one module that sends upstream; each of its messages is synced before it counts as sent.
pub struct MessageStore {
    router: Router,
    module: ModuleId,
    sender: Sender,
    inbox: Inbox,
    output: OutputName,
    message: Message,
}

/// Why a message store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum MessageStoreError {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Opening it did not come to an end.
    #[error("cannot open the message store")]
    Opening(#[from] JoinError),
}

impl MessageStore {
    /// Opens the store in a folder, for messages with a body of so many bytes.
    ///
    /// # Errors
    /// [`MessageStoreError`].
    pub async fn open(folder: Dir, body_bytes: usize) -> Result<Self, MessageStoreError> {
        let open = move || {
            let volume = Arc::new(FolderVolume::new(folder));
            Journal::open(volume, JournalSettings::default())
        };
        let (journal, recovered) = tokio::task::spawn_blocking(open).await??;
        let device = DeviceId::new("bench").expect("a valid id");
        let limits = Limits::default();
        let router = Router::open(device, limits, journal, recovered)?;
        let name = RouteName::new("upstream").expect("a valid name");
        let route = Route::parse(name, "FROM /messages/* INTO $upstream").expect("a valid route");
        router.apply(RouteTable::new(&[route], None).expect("few routes"));
        let module = ModuleId::new("source").expect("a valid id");
        Ok(Self {
            sender: router.sender(&module),
            inbox: router.upstream_inbox(),
            output: OutputName::new("out").expect("a valid name"),
            message: Message {
                body: vec![b'x'; body_bytes].into(),
                ..Message::default()
            },
            router,
            module,
        })
    }

    /// Sends so many messages at a time, each by itself; done when all of them are synced.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn store(&self, messages: u64) -> Result<(), SourceError> {
        let one = async || {
            let staged = stage(&self.sender, &self.output, &self.message).await?;
            self.router.commit(None, vec![staged]).await?;
            Ok::<_, SourceError>(())
        };
        let all = (0..messages).map(|_| one());
        try_join_all(all).await.map(drop)
    }

    /// Takes so many messages in order and completes them, as the way upstream does.
    ///
    /// # Errors
    /// [`CommitError`].
    pub async fn drain(&self, messages: u64) -> Result<(), CommitError> {
        let mut deliveries = Vec::new();
        for _ in 0..messages {
            deliveries.push(self.inbox.next_of(usize::MAX).await);
        }
        for delivery in deliveries {
            delivery.complete(Vec::new()).await?;
        }
        Ok(())
    }

    /// Writes and syncs all that there is; answers with how many messages wait.
    pub async fn close(self) -> usize {
        let waiting = self.router.waiting_upstream_of(&self.module);
        self.router.close().await;
        waiting
    }
}
