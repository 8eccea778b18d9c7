//! `[hub]`, `[proxy]` and `[clock]`: how a device speaks to its hub, and what stands between them.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use wasm_edge_model::connection_string::HostAddress;
use wasm_edge_net::proxy::{Exceptions, Proxy};

use super::read::{Reader, Table};

/// How a device speaks to its hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubConfig {
    /// How MQTT reaches the hub.
    pub transport: TransportChoice,
    /// The port of MQTT over TLS; none is what the connection string says, or else the usual one.
    pub mqtt_port: Option<u16>,
    /// The port of HTTPS, and of MQTT over WebSocket.
    pub https_port: u16,
    /// The certificates (PEM) that the hub is trusted by; none are those of the system.
    pub ca_file: Option<PathBuf>,
    /// After how long without another packet a ping is sent.
    pub keep_alive: Duration,
    /// How long a token is good.
    pub token_life: Duration,
    /// How often the twins of the device's own modules are read as a whole.
    pub refresh: Duration,
    /// How long a connection may take until it can be used.
    pub connect_timeout: Duration,
    /// The longest wait before a hub out of reach is tried again.
    pub retry_max: Duration,
    /// Where to connect instead, when the hub is reached through a gateway.
    pub gateway: Option<HostAddress>,
}

/// How MQTT reaches the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransportChoice {
    /// Over TLS, and over WebSocket where that does not get through.
    #[default]
    Auto,
    /// Over TLS.
    Mqtt,
    /// Over WebSocket.
    MqttWs,
}

/// What stands between a device and the network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxyConfig {
    /// The proxy; none is what the environment says.
    pub proxy: Option<ProxySource>,
    /// Hosts that are reached without it; none are those that the environment says.
    pub exceptions: Option<Exceptions>,
}

/// Where the address of a proxy stands, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxySource {
    /// In the configuration.
    Inline(Proxy),
    /// In a file.
    File(PathBuf),
}

/// What a device does about a clock that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockConfig {
    /// Whether it may take the time from its hub.
    pub from_hub: bool,
    /// How long it waits for the system's clock to be set before it does.
    pub wait: Duration,
}

/// The longest that IoT Hub's own limit makes useful; shorter than the least would be a ping with each message.
pub(super) const KEEP_ALIVE_SECS: RangeInclusive<u64> = 5..=1177;
/// From what a test needs to the day that IoT Hub allows.
pub(super) const TOKEN_LIFE_SECS: RangeInclusive<u64> = 10..=86_400;
/// From what a test needs to a week: each is a few kilobytes on a thin link.
pub(super) const REFRESH_SECS: RangeInclusive<u64> = 5..=604_800;
/// A satellite's link takes a while; after five minutes something is wrong.
pub(super) const CONNECT_TIMEOUT_SECS: RangeInclusive<u64> = 1..=300;
/// More often wakes up a modem for little; an hour is long enough for anybody.
pub(super) const RETRY_MAX_SECS: RangeInclusive<u64> = 1..=3600;
/// Any port but none.
pub(super) const PORT: RangeInclusive<u64> = 1..=65_535;
/// An hour is more than any time service takes.
pub(super) const CLOCK_WAIT_SECS: RangeInclusive<u64> = 0..=3600;

/// The keys of `[hub]`.
pub(super) const HUB_KEYS: [&str; 10] = [
    "transport",
    "mqtt_port",
    "https_port",
    "ca_file",
    "keep_alive_secs",
    "token_life_secs",
    "refresh_secs",
    "connect_timeout_secs",
    "retry_max_secs",
    "gateway",
];
/// The keys of `[proxy]`.
pub(super) const PROXY_KEYS: [&str; 3] = ["url", "url_file", "no_proxy"];
/// The keys of `[clock]`.
pub(super) const CLOCK_KEYS: [&str; 2] = ["from_hub", "wait_secs"];

/// The words for how MQTT reaches the hub.
const TRANSPORTS: [(&str, TransportChoice); 3] = [
    ("auto", TransportChoice::Auto),
    ("mqtt", TransportChoice::Mqtt),
    ("mqtt-ws", TransportChoice::MqttWs),
];

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            transport: TransportChoice::default(),
            mqtt_port: None,
            https_port: 443,
            ca_file: None,
            keep_alive: Duration::from_secs(240),
            token_life: Duration::from_secs(3600),
            refresh: Duration::from_secs(3600),
            connect_timeout: Duration::from_secs(20),
            retry_max: Duration::from_secs(60),
            gateway: None,
        }
    }
}

impl Default for ClockConfig {
    fn default() -> Self {
        Self {
            from_hub: true,
            wait: Duration::from_secs(30),
        }
    }
}

/// Reads `[hub]`.
pub(super) fn read(reader: &mut Reader<'_>, section: &Table<'_>) -> HubConfig {
    let mut hub = HubConfig::default();
    reader.keys(section, &HUB_KEYS, |reader, key, value| match key {
        "transport" => hub.transport = reader.word(value, &TRANSPORTS).unwrap_or_default(),
        "mqtt_port" => hub.mqtt_port = reader.integer(value, PORT).map(port),
        "https_port" => {
            let number = reader.integer(value, PORT);
            hub.https_port = number.map_or(hub.https_port, port);
        }
        "ca_file" => hub.ca_file = reader.path(value),
        "keep_alive_secs" => reader.seconds_into(value, KEEP_ALIVE_SECS, &mut hub.keep_alive),
        "token_life_secs" => reader.seconds_into(value, TOKEN_LIFE_SECS, &mut hub.token_life),
        "refresh_secs" => reader.seconds_into(value, REFRESH_SECS, &mut hub.refresh),
        "connect_timeout_secs" => {
            reader.seconds_into(value, CONNECT_TIMEOUT_SECS, &mut hub.connect_timeout)
        }
        "retry_max_secs" => reader.seconds_into(value, RETRY_MAX_SECS, &mut hub.retry_max),
        _ => hub.gateway = reader.parsed(value, HOST, HostAddress::parse),
    });
    hub
}

/// Reads `[proxy]`.
pub(super) fn read_proxy(reader: &mut Reader<'_>, section: &Table<'_>) -> ProxyConfig {
    let mut proxy = ProxyConfig::default();
    reader.keys(section, &PROXY_KEYS, |reader, key, value| match key {
        "url" => {
            let address = reader.secret(value, PROXY_URL, str::parse);
            proxy.proxy = address.map(ProxySource::Inline);
        }
        "url_file" => {
            if section.has("url") {
                let place = section.own_place();
                let problem = "`url` stands here as well";
                reader.fault("proxy.url_file", place, problem, "one of them");
            }
            proxy.proxy = reader.path(value).map(ProxySource::File);
        }
        _ => {
            let expected = "an array of names of hosts";
            let hosts = reader.list(value, expected, |text| {
                let is_host = !text.is_empty() && !text.contains(char::is_whitespace);
                is_host.then(|| text.to_owned())
            });
            if let Some(hosts) = hosts {
                let hosts = Exceptions::parse(hosts.iter().map(String::as_str));
                proxy.exceptions = reader.made(value, expected, hosts);
            }
        }
    });
    proxy
}

/// Reads `[clock]`.
pub(super) fn read_clock(reader: &mut Reader<'_>, section: &Table<'_>) -> ClockConfig {
    let mut clock = ClockConfig::default();
    reader.keys(section, &CLOCK_KEYS, |reader, key, value| match key {
        "from_hub" => clock.from_hub = reader.boolean(value).unwrap_or(clock.from_hub),
        _ => {
            let time = reader.seconds(value, CLOCK_WAIT_SECS);
            clock.wait = time.unwrap_or(clock.wait);
        }
    });
    clock
}

/// What is expected where a host is named.
pub(super) const HOST: &str = "the name of a host, with a port or without";

/// What is expected where a proxy is named.
const PROXY_URL: &str = "`http://HOST:PORT`, with `USER:PASSWORD@` before the host or without";

fn port(number: u64) -> u16 {
    u16::try_from(number).expect("the range was checked")
}
