//! Arguments of `hub serve`, and where it listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use wasm_edge_hub::access::throttle::Tier;
use wasm_edge_hub::hub::HubOptions;
use wasm_edge_hub::server::ServerLimits;
use wasm_edge_hub::server::names::{HOST_NAMES_MAX, HostName};
use wasm_edge_hub::store::embedded::OnDamage;

use crate::args::far_hub::Secret;
use crate::args::retention::RetentionArgs;
use crate::duration;

/// The port of HTTPS, which programs without further rights may not listen on.
pub(crate) const HTTPS_PORT: u16 = 443;

/// The port that takes its place where it is not permitted.
pub(crate) const HTTPS_PORT_UNPRIVILEGED: u16 = 8443;

/// Arguments of `hub serve`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    /// A name or address by which devices reach the hub; the first one is the hub's own; may be repeated
    #[arg(long = "host-name", value_name = "NAME", default_value = "localhost")]
    pub(crate) host_names: Vec<HostName>,

    /// An address to listen on, by default all, or this machine's own where the names are; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<IpAddr>,

    /// The port of MQTT over TLS; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8883)]
    mqtt_port: u16,

    /// The port of REST and of MQTT over WebSocket: 443, or 8443 where that is not permitted; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub(crate) https_port: Option<u16>,

    /// Serve metrics and health there, without TLS and to everybody who reaches it; may be repeated
    #[arg(long = "metrics-listen", value_name = "ADDRESS:PORT")]
    pub(crate) metrics: Vec<SocketAddr>,

    /// The server's certificate with its chain (PEM), read again at SIGHUP; without it a local authority makes one
    #[arg(
        long,
        value_name = "FILE",
        requires = "key",
        help_heading = "Certificates"
    )]
    pub(crate) certificate: Option<PathBuf>,

    /// The private key of the certificate (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "certificate",
        help_heading = "Certificates"
    )]
    pub(crate) key: Option<PathBuf>,

    /// An authority (PEM) that may issue certificates of devices, besides the local one; may be repeated
    #[arg(long = "client-ca", value_name = "FILE", help_heading = "Certificates")]
    pub(crate) client_authorities: Vec<PathBuf>,

    /// How much may be asked of the hub
    #[arg(long, value_enum, default_value_t)]
    tier: TierArg,

    #[command(flatten)]
    pub(crate) retention: RetentionArgs,

    /// Forward telemetry to a plain MQTT broker: `mqtt://[USER:PASSWORD@]HOST[:PORT][/PREFIX]`, by TLS `mqtts://…`; `@FILE`
    /// reads it from a file; may be repeated
    #[arg(long, value_name = "URL|@FILE")]
    pub(crate) forward: Vec<Secret>,

    /// Trust brokers of mqtts:// by the certificates of this file (PEM) alone, not by those of the system
    #[arg(long, value_name = "FILE", requires = "forward")]
    pub(crate) forward_ca: Option<PathBuf>,

    #[command(flatten)]
    limits: LimitArgs,
}

/// How much may be asked of a hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum TierArg {
    /// Whatever comes.
    #[default]
    Unlimited,
    /// As much as one unit of IoT Hub's tier S1.
    S1,
}

/// What clients may take.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Connections at once; a further one is closed at once
    #[arg(long, value_name = "N", default_value_t = ServerLimits::default().connections_max as u32)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    connections_max: u32,

    /// Connections at once from one address, of IPv6 from one network of 64 bits
    #[arg(long, value_name = "N", default_value_t = ServerLimits::default().connections_per_address_max as u32)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    connections_per_address_max: u32,

    /// How long a TLS handshake may take
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    handshake_timeout: Duration,

    /// How long an MQTT client may take to say who it is
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    connect_timeout: Duration,

    /// How long an HTTP connection may wait for the head of its next request
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    http_idle_timeout: Duration,

    /// How long an HTTP client may take to send a body, and how long it may leave an answer unread
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    http_stall_timeout: Duration,
}

/// Whether this machine has IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ipv6 {
    /// It has.
    Present,
    /// It has not.
    Absent,
}

impl ServeArgs {
    /// How the hub is opened.
    pub(crate) fn hub_options(&self) -> HubOptions {
        let mut names = self.host_names.iter().map(HostName::in_address);
        let own = names.next().expect("clap gives a default");
        let others = self.certificate_names();
        HubOptions {
            other_names: others.iter().map(HostName::in_address).collect(),
            retention: self.retention.retention(),
            tier: match self.tier {
                TierArg::Unlimited => Tier::Unlimited,
                TierArg::S1 => Tier::S1,
            },
            on_damage: OnDamage::Refuse,
            ..HubOptions::new(own)
        }
    }

    /// What clients may take.
    pub(crate) fn limits(&self) -> ServerLimits {
        let number = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        ServerLimits {
            connections_max: number(self.limits.connections_max),
            connections_per_address_max: number(self.limits.connections_per_address_max),
            handshake_timeout: self.limits.handshake_timeout,
            connect_timeout: self.limits.connect_timeout,
            http_idle_timeout: self.limits.http_idle_timeout,
            http_stall_timeout: self.limits.http_stall_timeout,
            ..ServerLimits::default()
        }
    }

    /// The addresses of MQTT.
    pub(crate) fn mqtt(&self, ipv6: Ipv6) -> Vec<SocketAddr> {
        self.on(self.mqtt_port, ipv6)
    }

    /// The addresses of HTTPS on this port.
    pub(crate) fn https(&self, port: u16, ipv6: Ipv6) -> Vec<SocketAddr> {
        self.on(port, ipv6)
    }

    /// All names of the certificate: those given, this machine's own, and addresses that are listened on.
    pub(crate) fn certificate_names(&self) -> Vec<HostName> {
        let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let listened = self
            .listen
            .iter()
            .filter(|address| !address.is_unspecified());
        let addresses = loopback.iter().chain(listened).copied();
        let mut names = self.host_names.clone();
        for name in std::iter::once(HostName::localhost()).chain(addresses.map(HostName::from)) {
            if !names.contains(&name) && names.len() < HOST_NAMES_MAX {
                names.push(name);
            }
        }
        names
    }

    fn on(&self, port: u16, ipv6: Ipv6) -> Vec<SocketAddr> {
        let addresses = self.addresses(ipv6).into_iter();
        addresses
            .map(|address| SocketAddr::new(address, port))
            .collect()
    }

    fn addresses(&self, ipv6: Ipv6) -> Vec<IpAddr> {
        if !self.listen.is_empty() {
            return self.listen.clone();
        }
        let own = self.host_names.iter().all(HostName::is_loopback);
        match (own, ipv6) {
            (true, Ipv6::Present) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            (true, Ipv6::Absent) => vec![Ipv4Addr::LOCALHOST.into()],
            // Takes IPv4 too, as Linux does unless it is told otherwise.
            (false, Ipv6::Present) => vec![Ipv6Addr::UNSPECIFIED.into()],
            (false, Ipv6::Absent) => vec![Ipv4Addr::UNSPECIFIED.into()],
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::hub::HubCommand;
    use crate::args::{Cli, Command};

    fn parse(args: &str) -> ServeArgs {
        let words = ["wasm-edge", "hub", "serve"].into_iter();
        let cli = Cli::try_parse_from(words.chain(args.split_whitespace()));
        match cli.unwrap().command {
            Command::Hub(HubCommand::Serve(args)) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_hub_of_this_machine_listens_to_it_alone() {
        let check = |args: &str, ipv6, expected: &[&str]| {
            let addresses = parse(args).mqtt(ipv6);
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            assert_eq!(addresses, expected, "{args}");
        };
        check("", Ipv6::Present, &["127.0.0.1:8883", "[::1]:8883"]);
        check("", Ipv6::Absent, &["127.0.0.1:8883"]);
        check(
            "--host-name 127.0.0.2 --mqtt-port 0",
            Ipv6::Absent,
            &["127.0.0.1:0"],
        );
        check("--host-name hub.test", Ipv6::Present, &["[::]:8883"]);
        check(
            "--host-name localhost --host-name hub.test",
            Ipv6::Absent,
            &["0.0.0.0:8883"],
        );
        check(
            "--host-name hub.test --listen 192.0.2.1 --listen 127.0.0.1",
            Ipv6::Present,
            &["192.0.2.1:8883", "127.0.0.1:8883"],
        );
    }

    #[test]
    fn the_certificate_has_all_names_once() {
        let check = |args: &str, expected: &[&str]| {
            let names = parse(args).certificate_names();
            let names: Vec<_> = names.iter().map(HostName::as_str).collect();
            assert_eq!(names, expected, "{args}");
        };
        check("", &["localhost", "127.0.0.1", "::1"]);
        check(
            "--host-name Hub.Test --host-name ::1 --listen 192.0.2.1 --listen ::",
            &["hub.test", "::1", "localhost", "127.0.0.1", "192.0.2.1"],
        );
    }
}
