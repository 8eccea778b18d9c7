//! What stands in for a hub on a device that has none: identities and twins, kept in the device's own store.
//!
//! Desired properties come from a deployment file and from whoever reaches the control socket. Messages are not taken:
//! what routes lead upstream waits in its queue. Direct methods are called over the socket, and not through here. The
//! root makes one where the configuration names no hub; for all other parts it is an [`Upstream`] like any.

mod record;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, ready};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::{ModuleId, ModuleIdentity};
use wasm_edge_model::message::Message;
use wasm_edge_model::twin::{self, ServiceChange, TwinError};
use wasm_edge_store::database::{Database, DatabaseError, Table};
use zeroize::Zeroizing;

use self::record::Record;
use super::{
    Credentials, Interest, Session, SessionCalls, SessionEvent, TwinDocument, Upstream,
    UpstreamError,
};
use crate::clock;
use crate::keys::{Keyring, SealingKey};

/// The host name that modules see: there is no other host.
pub const HOST_NAME: &str = "localhost";

/// Their table in the device's database; a key is a module id.
const TABLE: Table = Table("local-hub");

/// Names the key that the records are sealed with: they hold keys of modules and passwords of registries.
const PURPOSE: &str = "local hub";

/// Events that may wait for a session; one that is further behind ends, and the next one reads all.
const EVENTS_MAX: usize = 16;

/// Most module identities, as at IoT Hub.
const MODULES_MAX: usize = 50;

/// The system modules, which are always there and not counted.
const SYSTEM_MODULES: usize = 2;

/// The identities and twins of a device without a hub; clones share them.
#[derive(Clone)]
pub struct LocalHub {
    inner: Arc<Inner>,
}

struct Inner {
    database: Arc<Database>,
    key: SealingKey,
    /// Changed by those who hold `storing`, each for one short step.
    state: Mutex<State>,
    /// One change is stored and told at a time, so that sessions hear of versions in their order.
    storing: tokio::sync::Mutex<()>,
    /// Counts the changes of all twins.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    records: BTreeMap<ModuleId, Record>,
    sessions: BTreeMap<ModuleId, OpenSession>,
    /// Tells one session of a module from the next.
    opened: u64,
}

struct OpenSession {
    number: u64,
    events: mpsc::Sender<SessionEvent>,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum LocalHubError {
    /// The module has no identity.
    #[error("the device has no module `{module}`")]
    NotFound {
        /// Its id.
        module: ModuleId,
    },
    /// There are as many modules as there may be.
    #[error("the device has {MODULES_MAX} modules, which are as many as there may be")]
    TooMany,
    /// The twin has another etag.
    #[error("the twin of `{module}` was changed in between")]
    Changed {
        /// Its module.
        module: ModuleId,
    },
    /// The change is against the rules of twins.
    #[error("the twin of `{module}` does not take the change")]
    Twin {
        /// Its module.
        module: ModuleId,
        /// What is wrong.
        source: TwinError,
    },
    /// It cannot be stored.
    #[error("the twin of `{module}` cannot be stored")]
    Store {
        /// Its module.
        module: ModuleId,
        /// Why.
        source: DatabaseError,
    },
    /// There are no random numbers for keys.
    #[error("the system gives no random numbers")]
    Random,
}

/// What a session hears of a change.
enum Told {
    /// Nothing: it made it itself, or nothing changed.
    Nothing,
    /// A patch of the desired properties.
    Patch(Map<String, Value>, u64),
    /// That all may be another.
    Gap,
}

impl LocalHub {
    /// Reads what is stored of a device, and makes what its system modules need. Blocks.
    ///
    /// A record that cannot be read counts as absent, and is logged; one that was not stored cannot be read either, so
    /// that the deployment is applied again then: see [`LocalHub::generation_id`].
    ///
    /// # Errors
    /// [`LocalHubError::Store`], [`LocalHubError::Random`].
    pub(crate) fn open(database: Arc<Database>, keys: &Keyring) -> Result<Self, LocalHubError> {
        let key = keys.file_key(PURPOSE);
        let records = record::read_all(&database, TABLE, &key);
        let records = records.map_err(|source| stored(&ModuleId::edge_agent(), source))?;
        let hub = Self {
            inner: Arc::new(Inner {
                database,
                key,
                state: Mutex::new(State {
                    records,
                    ..State::default()
                }),
                storing: tokio::sync::Mutex::default(),
                changes: watch::Sender::default(),
            }),
        };
        for module in [ModuleId::edge_agent(), ModuleId::edge_hub()] {
            if !hub.lock().records.contains_key(&module) {
                let record = Record::new(clock::now()).map_err(|_| LocalHubError::Random)?;
                hub.inner
                    .write(&module, Some(&record))
                    .map_err(|source| stored(&module, source))?;
                hub.lock().records.insert(module, record);
            }
        }
        Ok(hub)
    }

    /// Names what is stored here: another text after the store was lost, so that what was applied to it has to be
    /// applied again.
    pub fn generation_id(&self) -> String {
        let state = self.lock();
        let agent = state.records.get(&ModuleId::edge_agent());
        agent.map_or_else(String::new, |record| record.generation_id.clone())
    }

    /// Makes the modules of a deployment and replaces their desired properties by these; modules that are not named
    /// are left alone. Those of `$edgeAgent` come last, when what they refer to is in place, and get a new version also
    /// when they are as they were: whoever applies a deployment again wants it to be tried again.
    ///
    /// # Errors
    /// [`LocalHubError`]; those before the one that failed are set. Safe to repeat.
    pub async fn apply(
        &self,
        sections: BTreeMap<ModuleId, Map<String, Value>>,
    ) -> Result<(), LocalHubError> {
        let (agent, others): (Vec<_>, Vec<_>) = sections
            .into_iter()
            .partition(|(module, _)| *module == ModuleId::edge_agent());
        for (module, desired) in others.into_iter().chain(agent) {
            self.ensure(&module).await?;
            let agent = module == ModuleId::edge_agent();
            self.change(&module, |record| {
                if !agent && *record.twin.desired.properties() == desired {
                    return Ok(Told::Nothing);
                }
                let change = ServiceChange {
                    desired: Some(&desired),
                    tags: None,
                };
                let replaced = record.twin.replace(change, clock::now());
                replaced.map(|_| Told::Gap).map_err(|source| {
                    let module = module.clone();
                    LocalHubError::Twin { module, source }
                })
            })
            .await?;
        }
        Ok(())
    }

    /// Merges a patch into the desired properties of a module; with `etag`, only if that is still the twin's.
    ///
    /// # Errors
    /// [`LocalHubError`]; nothing is changed then.
    pub async fn patch_desired(
        &self,
        module: &ModuleId,
        patch: &Map<String, Value>,
        etag: Option<&str>,
    ) -> Result<(), LocalHubError> {
        self.change(module, |record| {
            if etag.is_some_and(|etag| etag != record.twin.etag()) {
                let module = module.clone();
                return Err(LocalHubError::Changed { module });
            }
            let change = ServiceChange {
                desired: Some(patch),
                tags: None,
            };
            let applied = record.twin.patch(change, clock::now());
            let applied = applied.map_err(|source| {
                let module = module.clone();
                LocalHubError::Twin { module, source }
            })?;
            Ok(applied.map_or(Told::Nothing, |applied| {
                Told::Patch(applied.changes, applied.version)
            }))
        })
        .await
    }

    /// The twin of a module in the form in which a hub shows it.
    pub fn twin(&self, module: &ModuleId) -> Option<twin::Twin> {
        let state = self.lock();
        state.records.get(module).map(|record| record.twin.clone())
    }

    /// Tells of each change of any twin.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Makes the identity of a module, if there is none.
    async fn ensure(&self, module: &ModuleId) -> Result<(), LocalHubError> {
        let _storing = self.inner.storing.lock().await;
        {
            let records = &self.lock().records;
            if records.contains_key(module) {
                return Ok(());
            }
            if records.len() >= MODULES_MAX + SYSTEM_MODULES {
                return Err(LocalHubError::TooMany);
            }
        }
        let record = Record::new(clock::now()).map_err(|_| LocalHubError::Random)?;
        self.store(module, Some(record)).await
    }

    /// Changes one record, stores it, and tells the module's session.
    async fn change(
        &self,
        module: &ModuleId,
        change: impl FnOnce(&mut Record) -> Result<Told, LocalHubError>,
    ) -> Result<(), LocalHubError> {
        let _storing = self.inner.storing.lock().await;
        let (told, record) = {
            let state = self.lock();
            let not_found = || LocalHubError::NotFound {
                module: module.clone(),
            };
            let present = state.records.get(module).ok_or_else(not_found)?;
            let mut record = present.clone();
            let told = change(&mut record)?;
            if record == *present {
                return Ok(());
            }
            (told, record)
        };
        self.store(module, Some(record)).await?;
        let event = match told {
            Told::Nothing => return Ok(()),
            Told::Gap => SessionEvent::Gap,
            Told::Patch(patch, version) => SessionEvent::Desired { patch, version },
        };
        let mut state = self.lock();
        let behind = state
            .sessions
            .get(module)
            .is_some_and(|session| session.events.try_send(event).is_err());
        if behind {
            state.sessions.remove(module);
        }
        Ok(())
    }

    /// Stores a record, or that there is none; whoever calls holds `storing`.
    async fn store(&self, module: &ModuleId, record: Option<Record>) -> Result<(), LocalHubError> {
        let _hold = wasm_edge_clock::hold();
        let (inner, id, kept) = (Arc::clone(&self.inner), module.clone(), record.clone());
        let written = tokio::task::spawn_blocking(move || inner.write(&id, kept.as_ref()));
        written
            .await
            .expect("the store does not panic, and the runtime outlives the device")
            .map_err(|source| stored(module, source))?;
        let mut state = self.lock();
        match record {
            Some(record) => drop(state.records.insert(module.clone(), record)),
            None => {
                state.records.remove(module);
                state.sessions.remove(module);
            }
        }
        drop(state);
        self.inner.changes.send_modify(|changes| *changes += 1);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(&self, module: &ModuleId, record: Option<&Record>) -> Result<(), DatabaseError> {
        let key = module.as_str().as_bytes();
        let sealed = record.map(|record| record.seal(&self.key)).transpose()?;
        self.database.transact(|transaction| match sealed {
            Some(sealed) => transaction.put(TABLE, key, &sealed),
            None => transaction.remove(TABLE, key).map(|_| ()),
        })
    }
}

impl Upstream for LocalHub {
    fn host_name(&self) -> String {
        HOST_NAME.to_owned()
    }

    fn provision(
        &self,
        module: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Credentials, UpstreamError>> {
        let hub = self.clone();
        Box::pin(async move {
            hub.ensure(&module.module).await.map_err(failed)?;
            let state = hub.lock();
            let record = state.records.get(&module.module);
            let record = record.ok_or_else(|| gone(&module.module))?;
            Ok(Credentials {
                generation_id: record.generation_id.clone(),
                primary_key: Zeroizing::new(record.primary_key.decode()),
            })
        })
    }

    fn deprovision(&self, module: ModuleIdentity) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let hub = self.clone();
        Box::pin(async move {
            let _storing = hub.inner.storing.lock().await;
            if !hub.lock().records.contains_key(&module.module) {
                return Ok(());
            }
            hub.store(&module.module, None).await.map_err(failed)
        })
    }

    fn connect(
        &self,
        module: ModuleIdentity,
        _: Interest,
    ) -> BoxFuture<'static, Result<Session, UpstreamError>> {
        let opened = {
            let mut state = self.lock();
            if state.records.contains_key(&module.module) {
                state.opened += 1;
                let number = state.opened;
                let (events, receiver) = mpsc::channel(EVENTS_MAX);
                let session = OpenSession { number, events };
                state.sessions.insert(module.module.clone(), session);
                let calls = Calls {
                    hub: self.clone(),
                    module: module.module,
                    number,
                };
                Ok(Session {
                    calls: Arc::new(calls),
                    events: receiver,
                    generation_id: None,
                })
            } else {
                Err(gone(&module.module))
            }
        };
        Box::pin(ready(opened))
    }
}

/// Calls on one session.
struct Calls {
    hub: LocalHub,
    module: ModuleId,
    number: u64,
}

impl Calls {
    fn is_open(&self) -> Result<(), UpstreamError> {
        let state = self.hub.lock();
        match state.sessions.get(&self.module) {
            Some(session) if session.number == self.number => Ok(()),
            _ => Err(UpstreamError::Unreachable {
                cause: "another session took the place of this one".to_owned(),
            }),
        }
    }
}

impl SessionCalls for Calls {
    fn takes_messages(&self) -> bool {
        false
    }

    fn twin(&self) -> BoxFuture<'static, Result<TwinDocument, UpstreamError>> {
        let twin = self.is_open().and_then(|()| {
            let twin = self.hub.twin(&self.module);
            let twin = twin.ok_or_else(|| gone(&self.module))?;
            Ok(TwinDocument {
                desired: twin.desired.properties().clone(),
                desired_version: twin.desired.version(),
                reported: twin.reported.properties().clone(),
                reported_version: twin.reported.version(),
            })
        });
        Box::pin(ready(twin))
    }

    fn report(
        &self,
        patch: Map<String, Value>,
    ) -> BoxFuture<'static, Result<Option<u64>, UpstreamError>> {
        let (open, hub, module) = (self.is_open(), self.hub.clone(), self.module.clone());
        Box::pin(async move {
            open?;
            let mut version = None;
            let reported = hub.change(&module, |record| {
                let applied = record.twin.report(&patch, clock::now());
                let applied = applied.map_err(|source| {
                    let module = module.clone();
                    LocalHubError::Twin { module, source }
                })?;
                version = Some(applied.version);
                Ok(Told::Nothing)
            });
            reported.await.map_err(failed)?;
            Ok(version)
        })
    }

    fn accept_methods(&self, _: bool) -> BoxFuture<'static, Result<(), UpstreamError>> {
        Box::pin(ready(self.is_open()))
    }

    fn send(&self, _: Arc<Message>) -> BoxFuture<'static, Result<(), UpstreamError>> {
        Box::pin(ready(Err(UpstreamError::Unreachable {
            cause: "this device has no hub".to_owned(),
        })))
    }
}

fn stored(module: &ModuleId, source: DatabaseError) -> LocalHubError {
    let module = module.clone();
    LocalHubError::Store { module, source }
}

fn gone(module: &ModuleId) -> UpstreamError {
    failed(LocalHubError::NotFound {
        module: module.clone(),
    })
}

fn failed(err: LocalHubError) -> UpstreamError {
    let cause = chain(&err);
    match err {
        LocalHubError::Store { .. } | LocalHubError::Random => UpstreamError::Unreachable { cause },
        _ => UpstreamError::Refused { cause },
    }
}

#[cfg(test)]
mod tests;
