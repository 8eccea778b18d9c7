//! Junctions: where the messages of one source part, by the conditions of the routes that take from it.
//!
//! Pure. A junction is found once for a sender's output, or for the changes of its twin, and holds until the
//! routes change. Where conditions decide, they are evaluated for each message, outside the router's lock; the
//! set of routes that come true leads to a path, and the paths found lately are remembered, so that the same
//! set costs a look-up. The state keeps both for each sender.

use std::collections::HashMap;
use std::sync::Arc;

use wasm_edge_model::identity::DeviceId;
use wasm_edge_model::message::{Message, MessageSource, OutputName};
use wasm_edge_model::route::condition::{BodyCache, Facts, Truth};

use crate::limits::{CACHED_OUTPUTS_MAX, CACHED_PATHS_MAX, CACHED_TARGETS_MAX, ROUTES_MAX};
use crate::state::Routes;
use crate::table::Path;

/// Words of a set of routes.
const WORDS_MAX: usize = ROUTES_MAX.div_ceil(u64::BITS as usize);

/// From where a sender's message starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin<'a> {
    /// An output, or none.
    Output(Option<&'a OutputName>),
    /// A change of its reported properties.
    TwinChange,
}

/// The routes that take from one source.
#[derive(Debug)]
pub(crate) struct Junction {
    routes: Arc<Routes>,
    /// Numbers of the routes that take every message of the source.
    always: Vec<usize>,
    /// Numbers of the routes whose condition decides, ascending.
    conditional: Vec<usize>,
    /// Where messages go for which no condition is true.
    plain: Arc<Path>,
}

/// The routes with a condition that take a message: a bit for each of the junction's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen([u64; WORDS_MAX]);

/// The junctions of one sender, with the paths found lately.
#[derive(Debug, Default)]
pub(crate) struct Junctions {
    known: Vec<Known>,
    /// The one that gives way next.
    next: usize,
}

#[derive(Debug)]
struct Known {
    junction: Arc<Junction>,
    paths: HashMap<Box<[u64]>, Arc<Path>>,
    /// Targets of all of them.
    targets: usize,
}

impl Junction {
    /// Finds the routes that take from a source. Takes time linear in all routes.
    pub(crate) fn find(routes: Arc<Routes>, source: MessageSource) -> Self {
        let mut always = Vec::new();
        let mut conditional = Vec::new();
        for (number, route) in routes.routes.iter().enumerate() {
            if route.source.matches(&source) {
                match route.condition.is_always() {
                    true => always.push(number),
                    false => conditional.push(number),
                }
            }
        }
        let targets = always.iter().map(|number| &routes.routes[*number].target);
        let plain = Arc::new(Path::new(source, targets.cloned().collect()));
        Self {
            routes,
            always,
            conditional,
            plain,
        }
    }

    /// Where every message goes, if no condition decides.
    pub(crate) fn plain(&self) -> Option<&Arc<Path>> {
        self.conditional.is_empty().then_some(&self.plain)
    }

    /// Whether no route takes from here, whatever the message.
    pub(crate) fn is_dead_end(&self) -> bool {
        self.always.is_empty() && self.conditional.is_empty()
    }

    pub(crate) fn source(&self) -> &MessageSource {
        &self.plain.source
    }

    /// The version of the routes that it was found with.
    pub(crate) fn version(&self) -> u64 {
        self.routes.version
    }

    /// Evaluates each condition once. The body is read at most once, and only if one of them asks for it.
    pub(crate) fn choose(
        &self,
        message: &Message,
        device: &DeviceId,
        enqueued_time: &str,
    ) -> Chosen {
        let facts = Facts {
            source: Some(self.source()),
            device: Some(device),
            enqueued_time: Some(enqueued_time),
        };
        let mut body = BodyCache::new();
        let mut chosen = Chosen::NONE;
        for (bit, number) in self.conditional.iter().enumerate() {
            let condition = &self.routes.routes[*number].condition;
            if condition.evaluate(message, facts, &mut body) == Truth::True {
                chosen.insert(bit);
            }
        }
        chosen
    }

    /// The path of messages for which these conditions are true.
    pub(crate) fn path(&self, chosen: &Chosen) -> Arc<Path> {
        if *chosen == Chosen::NONE {
            return Arc::clone(&self.plain);
        }
        let taken = self.conditional.iter().enumerate();
        let taken = taken.filter(|(bit, _)| chosen.contains(*bit));
        let numbers = self.always.iter().chain(taken.map(|(_, number)| number));
        let targets = numbers.map(|number| self.routes.routes[*number].target.clone());
        Arc::new(Path::new(self.source().clone(), targets.collect()))
    }

    fn is_of(&self, origin: Origin<'_>) -> bool {
        match (self.source(), origin) {
            (MessageSource::Module { output, .. }, Origin::Output(wanted)) => {
                output.as_ref() == wanted
            }
            (MessageSource::TwinChange { .. }, Origin::TwinChange) => true,
            _ => false,
        }
    }

    /// As many words of a set as the junction has conditions for.
    fn key<'a>(&self, chosen: &'a Chosen) -> &'a [u64] {
        &chosen.0[..self.conditional.len().div_ceil(u64::BITS as usize)]
    }
}

impl Chosen {
    /// No route.
    pub(crate) const NONE: Self = Self([0; WORDS_MAX]);

    fn insert(&mut self, bit: usize) {
        self.0[bit / u64::BITS as usize] |= 1 << (bit % u64::BITS as usize);
    }

    fn contains(&self, bit: usize) -> bool {
        self.0[bit / u64::BITS as usize] & (1 << (bit % u64::BITS as usize)) != 0
    }
}

impl Junctions {
    /// The junction of an origin, if it is remembered.
    pub(crate) fn of(&self, origin: Origin<'_>) -> Option<&Arc<Junction>> {
        let known = self.known.iter().map(|known| &known.junction);
        known.into_iter().find(|junction| junction.is_of(origin))
    }

    /// Remembers a junction that was not known; one of [`CACHED_OUTPUTS_MAX`] gives way.
    pub(crate) fn remember(&mut self, junction: Arc<Junction>) {
        let known = Known {
            junction,
            paths: HashMap::new(),
            targets: 0,
        };
        if self.known.len() < CACHED_OUTPUTS_MAX {
            self.known.push(known);
        } else {
            self.known[self.next] = known;
            self.next = (self.next + 1) % CACHED_OUTPUTS_MAX;
        }
    }

    /// The path of a set of routes, if it is remembered.
    pub(crate) fn path(&self, junction: &Arc<Junction>, chosen: &Chosen) -> Option<Arc<Path>> {
        if *chosen == Chosen::NONE {
            return Some(Arc::clone(&junction.plain));
        }
        let known = self.known.iter();
        let mut known = known.filter(|known| Arc::ptr_eq(&known.junction, junction));
        known.next()?.paths.get(junction.key(chosen)).cloned()
    }

    /// Remembers a path, if its junction is known. Once there are [`CACHED_PATHS_MAX`], or they have
    /// [`CACHED_TARGETS_MAX`] targets, all of the junction are forgotten: who makes up ever new sets only makes
    /// its own sends slower.
    pub(crate) fn remember_path(
        &mut self,
        junction: &Arc<Junction>,
        chosen: &Chosen,
        path: Arc<Path>,
    ) {
        let known = self.known.iter_mut();
        let mut known = known.filter(|known| Arc::ptr_eq(&known.junction, junction));
        if let Some(known) = known.next() {
            known.targets += path.targets.len();
            if known.paths.len() >= CACHED_PATHS_MAX || known.targets > CACHED_TARGETS_MAX {
                known.paths.clear();
                known.targets = path.targets.len();
            }
            known.paths.insert(junction.key(chosen).into(), path);
        }
    }

    pub(crate) fn forget(&mut self) {
        self.known.clear();
        self.next = 0;
    }
}

#[cfg(test)]
mod tests;
