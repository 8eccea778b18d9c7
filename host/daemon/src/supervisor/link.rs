//! The device as one module reaches it: behind its imports stand its queues, twin, keys and log.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::watch;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::{Message, OutputName};
use wasm_edge_router::inbox::{CommitError, Delivery, Inbox};
use wasm_edge_router::router::Router;
use wasm_edge_router::sender::{Sender, StageError, Staged as RouterStaged};
use wasm_edge_router::tries::AfterTry;
use wasm_edge_runtime::guest::{
    self, Completion, CryptoError, GuestIdentity, Invocation, InvokeError, LogLevel, LogLine,
    Messages, MethodResponse, ModuleHost, SendError, Staged, TwinError,
};

use super::{Module, Surroundings};
use crate::keys::{self, SealingKey};
use crate::logs::Logs;
use crate::methods::Methods;
use crate::twins::Twin;
use zeroize::Zeroizing;

/// What one module's calls lead to. It outlives instances: each new one gets the same.
pub(super) struct ModuleLink {
    identity: GuestIdentity,
    primary_key: Zeroizing<Vec<u8>>,
    sealing_key: SealingKey,
    router: Router,
    sender: Sender,
    twin: Twin,
    logs: Logs,
    methods: Methods,
    ready: watch::Sender<bool>,
}

impl ModuleLink {
    pub(super) fn new(around: &Surroundings, module: &Module) -> Arc<Self> {
        let identity = around.identity(&module.spec.id);
        let generation_id = module.credentials.generation_id.clone();
        Arc::new(Self {
            primary_key: module.credentials.primary_key.clone(),
            sealing_key: around.keys.module_key(&identity, &generation_id),
            router: around.router.clone(),
            sender: around.router.sender(&module.spec.id),
            twin: module.twin.clone(),
            logs: around.logs.clone(),
            methods: around.methods.clone(),
            ready: watch::Sender::new(false),
            identity: GuestIdentity {
                identity,
                hub_host_name: around.hub_host_name.clone(),
                generation_id,
            },
        })
    }

    /// Tells when the instance says that it is ready; starts as `false` for a new one.
    pub(super) fn watch_ready(&self) -> watch::Receiver<bool> {
        self.ready.send_replace(false);
        self.ready.subscribe()
    }
}

impl ModuleHost for ModuleLink {
    fn identity(&self) -> &GuestIdentity {
        &self.identity
    }

    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Ok(keys::sign(&self.primary_key, data))
    }

    fn encrypt(&self, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.sealing_key.seal(plaintext)
    }

    fn decrypt(&self, ciphertext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.sealing_key.open(ciphertext)
    }

    fn stage(&self, output: Option<OutputName>, message: Message) -> Result<Staged, SendError> {
        self.sender
            .stage(output, message, wasm_edge_clock::now())
            .map(Staged::new)
            .map_err(|err| match err {
                StageError::WouldBlock { .. } => SendError::WouldBlock,
                StageError::TooLarge { size_bytes, .. } => SendError::TooLarge {
                    size_bytes: u32::try_from(size_bytes).unwrap_or(u32::MAX),
                },
                StageError::Invalid(err) => SendError::Invalid(err.to_string()),
            })
    }

    fn commit(&self, staged: Vec<Staged>) -> BoxFuture<'static, Result<(), SendError>> {
        let router = self.router.clone();
        Box::pin(async move {
            router
                .commit(None, ours(staged))
                .await
                .map_err(not_committed)
        })
    }

    fn desired(&self) -> String {
        self.twin.desired_text()
    }

    fn reported(&self) -> String {
        self.twin.reported_text()
    }

    fn update_reported(
        &self,
        patch: Map<String, Value>,
    ) -> BoxFuture<'static, Result<(), TwinError>> {
        let (twin, sender) = (self.twin.clone(), self.sender.clone());
        Box::pin(async move {
            if twin.report(&patch).await? {
                sender.notify_twin_change(&patch, wasm_edge_clock::now());
            }
            Ok(())
        })
    }

    fn invoke(&self, call: Invocation) -> BoxFuture<'static, Result<MethodResponse, InvokeError>> {
        let methods = self.methods.clone();
        let caller = self.identity.identity.module.clone();
        Box::pin(async move { methods.invoke(&caller, call).await })
    }

    fn log(&self, line: LogLine) {
        self.logs.take(&self.identity.identity.module, line);
    }

    fn ready(&self) {
        self.ready
            .send_if_modified(|ready| !std::mem::replace(ready, true));
    }
}

/// The module's messages, for one instance.
pub(super) fn messages(inbox: Inbox, logs: Logs, module: ModuleId) -> Messages {
    Box::pin(futures_util::stream::unfold(inbox, move |inbox| {
        let (logs, module) = (logs.clone(), module.clone());
        async move {
            let delivery = inbox.next().await;
            Some((hand_over(delivery, logs, module), inbox))
        }
    }))
}

fn hand_over(delivery: Delivery, logs: Logs, module: ModuleId) -> guest::Delivery {
    let input = delivery
        .input()
        .cloned()
        .expect("a module's inbox holds messages at its inputs only");
    guest::Delivery {
        message: Arc::clone(delivery.message()),
        id: delivery.id(),
        input,
        previous_tries: delivery.previous_tries(),
        completion: Box::new(Ending {
            delivery,
            logs,
            module,
        }),
    }
}

/// Ends a delivery in the router's terms, and logs when a message is put aside.
struct Ending {
    delivery: Delivery,
    logs: Logs,
    module: ModuleId,
}

impl Ending {
    fn tell(logs: &Logs, module: &ModuleId, after: AfterTry, reason: &str) {
        if let AfterTry::Aside(why) = after {
            logs.note(
                module,
                LogLevel::Warn,
                format!("a message was put aside, {}: {reason}", why.as_str()),
            );
        }
    }
}

impl Completion for Ending {
    fn complete(self: Box<Self>, staged: Vec<Staged>) -> BoxFuture<'static, Result<(), SendError>> {
        Box::pin(async move {
            self.delivery
                .complete(ours(staged))
                .await
                .map_err(not_committed)
        })
    }

    fn complete_and_keep(
        self: Box<Self>,
        staged: Vec<Staged>,
    ) -> BoxFuture<'static, Result<(), SendError>> {
        Box::pin(async move {
            self.delivery
                .complete_and_keep(ours(staged))
                .await
                .map_err(not_committed)
        })
    }

    fn retry(self: Box<Self>, after: Duration) {
        let Self {
            delivery,
            logs,
            module,
        } = *self;
        Self::tell(
            &logs,
            &module,
            delivery.retry(after),
            "it asked for it later too often",
        );
    }

    fn reject(self: Box<Self>, reason: String) {
        let Self {
            delivery,
            logs,
            module,
        } = *self;
        Self::tell(&logs, &module, delivery.reject(&reason), &reason);
    }

    fn fail(self: Box<Self>, reason: String) {
        let Self {
            delivery,
            logs,
            module,
        } = *self;
        Self::tell(&logs, &module, delivery.fail(&reason), &reason);
    }
}

fn ours(staged: Vec<Staged>) -> Vec<RouterStaged> {
    staged.into_iter().filter_map(Staged::into_inner).collect()
}

fn not_committed(err: CommitError) -> SendError {
    SendError::Other(err.to_string())
}
