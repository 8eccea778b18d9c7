//! The device's configuration: what its owner sets, in TOML files and by variables of the environment.
//!
//! Owns its keys, their ranges and defaults, how several sources become one, and how they are read: as a whole,
//! every fault with its source, line and column. Reads no file itself: the root brings their texts. What becomes
//! of the values is the matter of the parts that get them from the root.
//! `docs/configuration.md` is the reference for those who write one.

pub mod device;
pub mod hub;
pub mod images;
pub mod provisioning;
mod read;
pub mod source;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use wasm_edge_images::reference::RegistryHost;
use wasm_edge_images::registry::HostSettings;
use wasm_edge_model::connection_string::{Credential, Party};
use wasm_edge_model::route::condition::Compatibility;
use wasm_edge_model::route::{Durability, Route, WhenFull};

use self::device::{DeploymentConfig, LogConfig, MetricsConfig, PolicyConfig};
use self::hub::{ClockConfig, HubConfig, ProxyConfig, ProxySource};
use self::images::ImagesConfig;
use self::provisioning::{ConnectionStringSource, ProvisioningConfig};
use self::read::{Reader, Table};
use self::source::{ConfigFaults, Sources};

/// The longest text of one file of a configuration.
pub const CONFIG_SIZE_MAX_BYTES: usize = 64 * 1024;

/// The most files of one configuration: the main one, and those in `config.d`.
pub const CONFIG_FILES_MAX: usize = 64;

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
    /// Who the device is, and to which hub it belongs; none without a hub.
    pub provisioning: Option<ProvisioningConfig>,
    /// How it speaks to its hub.
    pub hub: HubConfig,
    /// What stands between it and the network.
    pub proxy: ProxyConfig,
    /// What it runs, where that does not come from a hub, and how deployments are applied.
    pub deployment: DeploymentConfig,
    /// What its owner allows, whatever a deployment says.
    pub policy: PolicyConfig,
    /// How images are kept.
    pub images: ImagesConfig,
    /// How single registries are asked, and hosts that they lead to.
    pub registries: BTreeMap<RegistryHost, HostSettings>,
    /// Where its figures can be asked for.
    pub metrics: MetricsConfig,
    /// What it does about a clock that is not set.
    pub clock: ClockConfig,
    /// What it says of itself.
    pub log: LogConfig,
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

/// The sections, by name.
const SECTIONS: [&str; 11] = [
    "provisioning",
    "hub",
    "proxy",
    "deployment",
    "policy",
    "images",
    "registries",
    "metrics",
    "clock",
    "log",
    "router",
];

impl Config {
    /// Reads all sources as one: each key is as the last source that has it says.
    ///
    /// # Errors
    /// [`ConfigFaults`]: all that were found, by source, in the order of each text. When a text is not TOML, all
    /// that are not, and nothing else.
    pub fn read(sources: &Sources) -> Result<Self, ConfigFaults> {
        let documents = read::documents(sources)?;
        let mut reader = Reader::new(sources);
        let tables = Table::of(&documents, sources, &SECTIONS, &mut reader);
        let mut config = Self::default();
        reader.keys(&tables, &SECTIONS, |reader, name, value| {
            let Some(section) = reader.table(value) else {
                return;
            };
            match name {
                "provisioning" => config.provisioning = provisioning::read(reader, &section),
                "hub" => config.hub = hub::read(reader, &section),
                "proxy" => config.proxy = hub::read_proxy(reader, &section),
                "deployment" => config.deployment = device::read_deployment(reader, &section),
                "policy" => config.policy = device::read_policy(reader, &section),
                "images" => config.images = images::read(reader, &section),
                "registries" => config.registries = images::read_registries(reader, &section),
                "metrics" => config.metrics = device::read_metrics(reader, &section),
                "clock" => config.clock = hub::read_clock(reader, &section),
                "log" => config.log = device::read_log(reader, &section),
                _ => config.router = router(reader, &section),
            }
        });
        config.check_as_a_whole(&mut reader, &tables);
        reader.finish(config)
    }

    /// Whether a secret stands in it, and not only the name of a file that holds one.
    pub fn holds_secret(&self) -> bool {
        let connection_string = match &self.provisioning {
            Some(ProvisioningConfig::ConnectionString {
                connection_string: ConnectionStringSource::Inline(inline),
                ..
            }) => Some(inline),
            _ => None,
        };
        let has_key = connection_string.is_some_and(|text| {
            matches!(
                text.party,
                Party::Identity {
                    credential: Credential::Key(_),
                    ..
                }
            )
        });
        let in_proxy = match &self.proxy.proxy {
            Some(ProxySource::Inline(proxy)) => proxy.has_password(),
            _ => false,
        };
        let mut registries = self.registries.values();
        has_key || in_proxy || registries.any(images::holds_password)
    }

    /// What no section can tell by itself.
    fn check_as_a_whole(&self, reader: &mut Reader<'_>, tables: &Table<'_>) {
        let problems = [
            ("file", "the device has a hub, which says what it runs"),
            ("device_id", "the device has a hub, which knows it by an id"),
        ];
        for (key, problem) in problems {
            if self.provisioning.is_some()
                && let Some(place) = tables.place(&["deployment", key])
            {
                let expected = "either this or `[provisioning]`";
                reader.fault(&format!("deployment.{key}"), place, problem, expected);
            }
        }
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
