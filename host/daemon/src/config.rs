//! The device's configuration: what its owner sets, in one TOML file.
//!
//! Owns its keys, their ranges and defaults, and how a text of it is read: as a whole, every fault with its
//! line and column. What becomes of the values is the matter of the parts that get them from the root.
//! `docs/configuration.md` is the reference for those who write one.

mod read;

use std::ops::RangeInclusive;

use wasm_edge_model::manifest::Faults;
use wasm_edge_model::route::condition::Compatibility;
use wasm_edge_model::route::{Durability, Route, WhenFull};

use self::read::{Reader, Table};

/// The longest text of a configuration.
pub const CONFIG_SIZE_MAX_BYTES: usize = 64 * 1024;

/// What files of the message store may take, unless set: a small part of the flash of a small board, and more
/// than a day of a reading per second.
pub const STORE_BYTES_DEFAULT: u64 = 256 * 1024 * 1024;

/// From the least that a store can work with to more than a board has.
const STORE_BYTES: RangeInclusive<u64> = 4 * 1024 * 1024..=1 << 40;

/// From two of the largest messages on: a sender alone may hold half.
const ENDPOINT_BYTES: RangeInclusive<u64> = 1024 * 1024..=1 << 40;

/// How many messages may wait. Fewer than the least would refuse what a module sends in one go.
const MESSAGES: RangeInclusive<u64> = 16..=1_000_000_000;

/// What can be set of a device. `Default` is what holds without a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// How messages are routed and kept.
    pub router: RouterConfig,
}

/// How messages are routed and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouterConfig {
    /// When a message counts as kept on a route that does not say; none is `power` upstream and `process` between
    /// modules.
    pub durability: Option<Durability>,
    /// Whose behaviour the conditions of routes have.
    pub compatibility: Compatibility,
    /// What the files of the message store may take.
    pub max_bytes: u64,
    /// How many messages may wait in all; none is as many as there is space for.
    pub max_messages: Option<u64>,
    /// What the messages of one endpoint may take; none is what the store may.
    pub endpoint_max_bytes: Option<u64>,
    /// How many messages may wait at one endpoint; none is as many as in all.
    pub endpoint_max_messages: Option<u64>,
    /// What happens to a message without room on a route that does not say.
    pub when_full: WhenFull,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            durability: None,
            compatibility: Compatibility::default(),
            max_bytes: STORE_BYTES_DEFAULT,
            max_messages: None,
            endpoint_max_bytes: None,
            endpoint_max_messages: None,
            when_full: WhenFull::default(),
        }
    }
}

impl RouterConfig {
    /// The routes of a deployment, with what holds for those that do not say.
    pub(crate) fn completed(&self, routes: &[Route]) -> Vec<Route> {
        let completed = routes.iter().cloned().map(|route| Route {
            durability: route.durability.or(self.durability),
            when_full: route.when_full.or(Some(self.when_full)),
            ..route
        });
        completed.collect()
    }
}

impl Config {
    /// Reads a configuration of at most [`CONFIG_SIZE_MAX_BYTES`].
    ///
    /// # Errors
    /// [`Faults`]: all that were found, in the order of the text. When the text is not TOML, that alone.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let document = read::document(text)?;
        let mut reader = Reader::new(text);
        let mut config = Self::default();
        reader.keys(&Table::of(&document), &["router"], |reader, _, value| {
            if let Some(section) = reader.table(value) {
                config.router = router(reader, &section);
            }
        });
        reader.finish(config)
    }
}

/// The keys of `[router]`.
const ROUTER_KEYS: [&str; 7] = [
    "durability",
    "compatibility",
    "max_bytes",
    "max_messages",
    "endpoint_max_bytes",
    "endpoint_max_messages",
    "when_full",
];

fn router(reader: &mut Reader<'_>, section: &Table<'_>) -> RouterConfig {
    let mut router = RouterConfig::default();
    reader.keys(section, &ROUTER_KEYS, |reader, key, value| match key {
        "durability" => {
            let words = Durability::ALL.map(|word| (word.as_str(), word));
            router.durability = reader.word(value, &words);
        }
        "compatibility" => {
            let word = reader.word(value, &COMPATIBILITIES);
            router.compatibility = word.unwrap_or_default();
        }
        "max_bytes" => {
            let bytes = reader.integer(value, STORE_BYTES);
            router.max_bytes = bytes.unwrap_or(STORE_BYTES_DEFAULT);
        }
        "max_messages" => router.max_messages = reader.integer(value, MESSAGES),
        "endpoint_max_bytes" => router.endpoint_max_bytes = reader.integer(value, ENDPOINT_BYTES),
        "endpoint_max_messages" => router.endpoint_max_messages = reader.integer(value, MESSAGES),
        _ => {
            let words = WhenFull::ALL.map(|word| (word.as_str(), word));
            router.when_full = reader.word(value, &words).unwrap_or_default();
        }
    });
    router
}

/// The words for whose behaviour conditions have.
const COMPATIBILITIES: [(&str, Compatibility); 2] = [
    ("documented", Compatibility::Documented),
    ("edgehub", Compatibility::EdgeHub),
];

#[cfg(test)]
mod tests;
