//! Finding where a message goes, and taking its places there.
//!
//! Owns the steps between the state, which is locked for each look, and the conditions, which are evaluated in
//! between. What the message is and what is written into it are the parent's.

use std::sync::Arc;

use wasm_edge_model::message::MessageSource;

use super::{Kind, Prepared, Sender, StageError};
use crate::junction::{Chosen, Junction, Origin};
use crate::ledger::{Class, Wish};
use crate::state::{Known, Reserved, Routes, State};
use crate::table::Path;

/// Places taken for a message, and what is written into it.
pub(super) struct Place {
    pub(super) path: Arc<Path>,
    pub(super) reserved: Reserved,
    pub(super) enqueued_time: String,
}

/// What one look at the state led to.
enum Look {
    /// The message has its places, or is refused.
    Ended(Result<Place, StageError>),
    /// Nobody has sent from there since the routes were applied.
    Unknown(Arc<Routes>),
    /// Conditions decide; with the text of the time, which they may ask for.
    Undecided(Arc<Junction>, String),
}

impl Sender {
    /// Finds where the message goes, and takes its places there.
    ///
    /// Where no condition decides, that is one look at the state. Conditions are evaluated in between, outside
    /// the lock; if the routes change meanwhile, all begins anew.
    pub(super) fn place(
        &self,
        origin: Origin<'_>,
        prepared: &Prepared,
    ) -> Result<Place, StageError> {
        loop {
            let look = self.shared.with(|state| self.look(state, origin, prepared));
            let (junction, enqueued_time) = match look {
                Look::Ended(result) => return result,
                Look::Unknown(routes) => {
                    self.find_junction(routes, origin);
                    continue;
                }
                Look::Undecided(junction, enqueued_time) => (junction, enqueued_time),
            };
            let chosen = junction.choose(&prepared.message, &self.shared.device, &enqueued_time);
            if let Some(result) = self.place_on(&junction, &chosen, prepared) {
                return result;
            }
        }
    }

    fn look(&self, state: &mut State, origin: Origin<'_>, prepared: &Prepared) -> Look {
        let Some(junction) = state.junction(self.id, origin) else {
            return Look::Unknown(Arc::clone(&state.routes));
        };
        match junction.plain().cloned() {
            Some(path) => Look::Ended(self.reserve(state, path, prepared)),
            None => {
                let junction = Arc::clone(junction);
                let enqueued_time = state.stamp.text(prepared.unix_millis).to_owned();
                Look::Undecided(junction, enqueued_time)
            }
        }
    }

    /// Takes the places on the path of a set of routes; `None` if these are no longer the present ones.
    fn place_on(
        &self,
        junction: &Arc<Junction>,
        chosen: &Chosen,
        prepared: &Prepared,
    ) -> Option<Result<Place, StageError>> {
        let known = self
            .shared
            .with(|state| match state.path(self.id, junction, chosen) {
                Known::Path(path) => Ok(self.reserve(state, path, prepared)),
                other => Err(other),
            });
        match known {
            Ok(result) => return Some(result),
            Err(Known::Outdated) => return None,
            Err(_) => {}
        }
        let path = junction.path(chosen);
        self.shared.with(|state| {
            let present = state.remember_path(self.id, junction, chosen, &path);
            present.then(|| self.reserve(state, path, prepared))
        })
    }

    /// Outside the lock: there may be many routes, and the output's name is the guest's choice.
    fn find_junction(&self, routes: Arc<Routes>, origin: Origin<'_>) -> Arc<Junction> {
        let junction = Arc::new(Junction::find(routes, self.source(origin)));
        self.shared
            .with(|state| state.remember(self.id, Arc::clone(&junction)));
        junction
    }

    pub(super) fn junction(&self, origin: Origin<'_>) -> Arc<Junction> {
        let known = self
            .shared
            .with(|state| match state.junction(self.id, origin) {
                Some(junction) => Ok(Arc::clone(junction)),
                None => Err(Arc::clone(&state.routes)),
            });
        known.unwrap_or_else(|routes| self.find_junction(routes, origin))
    }

    pub(super) fn reserve(
        &self,
        state: &mut State,
        path: Arc<Path>,
        prepared: &Prepared,
    ) -> Result<Place, StageError> {
        let class = state.class(&path);
        let wish = Wish {
            sender: self.id,
            class,
            bytes: match class {
                Class::Memory => prepared.charge_bytes,
                Class::Store => prepared.stored_bytes,
            },
        };
        let limit_bytes = state.charge_max_bytes(class);
        let reserved = if wish.bytes > limit_bytes {
            Err(StageError::TooLarge {
                size_bytes: wish.bytes,
                limit_bytes,
            })
        } else {
            state
                .reserve(wish, &path, prepared.now)
                .map_err(|endpoint| StageError::WouldBlock { endpoint })
        };
        let counters = &mut state.ledger.senders[self.id].counters;
        match (&reserved, prepared.kind) {
            (Ok(_), _) => {}
            (Err(_), Kind::TwinChange) => counters.twin_changes_dropped += 1,
            (Err(StageError::WouldBlock { .. }), Kind::Sent) => counters.would_block += 1,
            (Err(_), Kind::Sent) => counters.invalid += 1,
        }
        let enqueued_time = state.stamp.text(prepared.unix_millis).to_owned();
        Ok(Place {
            path,
            reserved: reserved?,
            enqueued_time,
        })
    }

    pub(super) fn source(&self, origin: Origin<'_>) -> MessageSource {
        let module = self.module.clone();
        match origin {
            Origin::Output(output) => MessageSource::Module {
                module,
                output: output.cloned(),
            },
            Origin::TwinChange => MessageSource::TwinChange { module },
        }
    }
}
