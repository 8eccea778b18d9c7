//! Routes at work: which endpoints a message goes to, at which priority and for how long.
//!
//! Pure. The routes come parsed from the model; the state gives each endpoint its number. Which of them take a
//! message is found in `junction`.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use wasm_edge_model::message::MessageSource;
use wasm_edge_model::route::condition::Condition;
use wasm_edge_model::route::{Durability, Route, Source, WhenFull};

use crate::endpoint::Endpoint;
use crate::limits::ROUTES_MAX;
use crate::state::EndpointId;

/// The routes of a deployment, ready to be applied. `Default` has none: every message is without a route.
#[derive(Debug, Clone, Default)]
pub struct RouteTable {
    pub(crate) routes: Vec<TableRoute>,
    /// For messages that are sent past the routes.
    pub(crate) time_to_live: Option<Duration>,
}

/// More routes than the router takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{count} routes, at most {limit} are possible")]
pub struct RouteTableError {
    /// How many there are.
    pub count: usize,
    /// How many are possible: [`ROUTES_MAX`].
    pub limit: usize,
}

impl RouteTable {
    /// Takes the routes of a deployment and the time to live for those that name none; `None` means that such
    /// messages do not expire.
    ///
    /// # Errors
    /// More than [`ROUTES_MAX`] routes.
    pub fn new(
        routes: &[Route],
        default_time_to_live: Option<Duration>,
    ) -> Result<Self, RouteTableError> {
        if routes.len() > ROUTES_MAX {
            return Err(RouteTableError {
                count: routes.len(),
                limit: ROUTES_MAX,
            });
        }
        let routes = routes.iter().map(|route| {
            let endpoint = Endpoint::from(&route.sink);
            TableRoute {
                source: route.source.clone(),
                condition: route.condition.clone(),
                priority: route.priority,
                time_to_live: route.time_to_live.or(default_time_to_live),
                durability: route.durability.unwrap_or(endpoint.default_durability()),
                when_full: route.when_full.unwrap_or_default(),
                endpoint,
            }
        });
        Ok(RouteTable {
            routes: routes.collect(),
            time_to_live: default_time_to_live,
        })
    }
}

/// One route, its time to live settled.
#[derive(Debug, Clone)]
pub(crate) struct TableRoute {
    pub(crate) source: Source,
    pub(crate) condition: Condition,
    pub(crate) endpoint: Endpoint,
    pub(crate) priority: u32,
    pub(crate) time_to_live: Option<Duration>,
    pub(crate) durability: Durability,
    pub(crate) when_full: WhenFull,
}

/// Where one message goes: one endpoint, and how it waits there.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) endpoint: EndpointId,
    pub(crate) priority: u32,
    pub(crate) time_to_live: Option<Duration>,
    pub(crate) durability: Durability,
    pub(crate) when_full: WhenFull,
    /// Wakes whoever takes from the endpoint.
    pub(crate) notify: Arc<Notify>,
}

/// A route whose endpoint has its number.
#[derive(Debug)]
pub(crate) struct NumberedRoute {
    pub(crate) source: Source,
    pub(crate) condition: Condition,
    pub(crate) target: Target,
}

/// Where messages from one source go. Endpoints are distinct.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) source: Arc<MessageSource>,
    /// The strongest of all routes that take the message.
    pub(crate) durability: Durability,
    pub(crate) targets: Vec<Target>,
}

impl Path {
    /// A path to these targets, each endpoint once.
    pub(crate) fn new(source: MessageSource, targets: Vec<Target>) -> Self {
        let strongest = targets.iter().map(|target| target.durability).max();
        Path {
            source: Arc::new(source),
            durability: strongest.unwrap_or(Durability::None),
            targets: once_each(targets),
        }
    }
}

/// Keeps one target of each endpoint: the one of the highest priority, and among equals the one that keeps
/// the message longest and then the one that gives up the least, so that the order of the routes does not matter.
fn once_each(mut targets: Vec<Target>) -> Vec<Target> {
    targets.sort_by_key(|target| {
        let time_to_live = target.time_to_live.unwrap_or(Duration::MAX);
        (
            target.endpoint,
            target.priority,
            Reverse(time_to_live),
            target.when_full,
        )
    });
    targets.dedup_by_key(|target| target.endpoint);
    targets
}
