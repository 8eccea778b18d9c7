//! How connections to the hub are made: settings, and what carries them.
//!
//! Pure. Where the port of MQTT is blocked, a WebSocket on the port of HTTPS is tried at once and used from then on;
//! the other port is tried again later, for a WebSocket costs a little more.

use std::time::Duration;

use tokio::time::Instant;
use wasm_edge_net::dial::{DialError, Phase};

use crate::config::hub::TransportChoice;
use crate::upstream::backoff::UNREACHABLE_MAX;

/// How long a blocked port is left alone.
const BLOCKED_TIME: Duration = Duration::from_secs(60 * 60);

/// What can be set about the connections to a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineSettings {
    /// What may carry them.
    pub transport: TransportChoice,
    /// After which time without a packet a ping is sent; IoT Hub ends a connection after one and a half of it.
    pub keep_alive: Duration,
    /// How long a token is good for; sessions renew themselves before.
    pub token_life: Duration,
    /// Whether the hub's time is taken over when it refuses tokens and its clock is far from ours.
    pub time_from_hub: bool,
    /// The longest wait before a hub out of reach is tried again.
    pub retry_max: Duration,
}

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Mqtt,
    MqttWs,
}

/// What is tried first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preference {
    choice: TransportChoice,
    /// When the port of MQTT was found blocked, and a WebSocket led to the hub.
    blocked_at: Option<Instant>,
}

impl Default for LineSettings {
    /// As IoT Edge has them: a ping after 4 minutes, tokens for an hour.
    fn default() -> Self {
        Self {
            transport: TransportChoice::Auto,
            keep_alive: Duration::from_secs(240),
            token_life: Duration::from_secs(3600),
            time_from_hub: true,
            retry_max: UNREACHABLE_MAX,
        }
    }
}

impl Transport {
    /// Its name in settings and in what is shown.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::MqttWs => "mqtt-ws",
        }
    }
}

impl Preference {
    pub(super) fn new(choice: TransportChoice) -> Self {
        Self {
            choice,
            blocked_at: None,
        }
    }

    /// What is tried, and what after it if that is blocked.
    pub(super) fn order(&self, now: Instant) -> (Transport, Option<Transport>) {
        let is_blocked = |at: Instant| now.saturating_duration_since(at) < BLOCKED_TIME;
        match self.choice {
            TransportChoice::Mqtt => (Transport::Mqtt, None),
            TransportChoice::MqttWs => (Transport::MqttWs, None),
            TransportChoice::Auto if self.blocked_at.is_some_and(is_blocked) => {
                (Transport::MqttWs, Some(Transport::Mqtt))
            }
            TransportChoice::Auto => (Transport::Mqtt, Some(Transport::MqttWs)),
        }
    }

    /// This one led to the hub, tried first or after the other.
    pub(super) fn led_there(&mut self, transport: Transport, was_first: bool, now: Instant) {
        match (transport, was_first) {
            (Transport::Mqtt, _) => self.blocked_at = None,
            (Transport::MqttWs, false) => self.blocked_at = Some(now),
            (Transport::MqttWs, true) => {}
        }
    }
}

/// Whether a port may be blocked on the way: nobody answers there, or what does is no hub.
pub(super) fn may_be_blocked(err: &DialError) -> bool {
    match err {
        DialError::Connect { .. }
        | DialError::Proxy { .. }
        | DialError::Tls { .. }
        | DialError::WebSocket { .. } => true,
        DialError::Timeout { phase, .. } => *phase != Phase::Resolve,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_port_is_left_alone_for_a_while() {
        use Transport::{Mqtt, MqttWs};
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        let mut preference = Preference::new(TransportChoice::Auto);
        assert_eq!(preference.order(start), (Mqtt, Some(MqttWs)));
        preference.led_there(MqttWs, false, start);
        assert_eq!(preference.order(after(3599)), (MqttWs, Some(Mqtt)));
        // That it goes on to work says nothing of the other one.
        preference.led_there(MqttWs, true, after(3599));
        assert_eq!(preference.order(after(3600)), (Mqtt, Some(MqttWs)));
        preference.led_there(MqttWs, false, after(3600));
        preference.led_there(Mqtt, false, after(3601));
        assert_eq!(preference.order(after(3602)), (Mqtt, Some(MqttWs)));
    }

    #[test]
    fn what_was_chosen_is_all_that_is_tried() {
        let now = Instant::now();
        let check = |choice, transport| {
            let mut preference = Preference::new(choice);
            preference.led_there(Transport::MqttWs, false, now);
            assert_eq!(preference.order(now), (transport, None));
        };
        check(TransportChoice::Mqtt, Transport::Mqtt);
        check(TransportChoice::MqttWs, Transport::MqttWs);
    }

    #[test]
    fn only_what_a_firewall_does_counts_as_blocked() {
        let check = |err: DialError, expected| assert_eq!(may_be_blocked(&err), expected, "{err}");
        let io = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let timeout = |phase| DialError::Timeout {
            phase,
            address: "hub:8883".to_owned(),
            limit: Duration::from_secs(1),
        };
        let connect = DialError::Connect {
            address: "hub:8883".to_owned(),
            source: io(),
        };
        check(connect, true);
        check(timeout(Phase::Connect), true);
        check(timeout(Phase::Tls), true);
        check(timeout(Phase::Resolve), false);
        let resolve = DialError::Resolve {
            host: "hub".to_owned(),
            source: io(),
        };
        check(resolve, false);
        let name = DialError::Name {
            host: "a b".to_owned(),
        };
        check(name, false);
    }
}
