//! The way out: how a device, a hub and the command line reach others over a network.
//!
//! Owns dialling (names, proxies, TLS, WebSocket), whom to trust, the time that tokens and certificates are judged
//! by, HTTP and MQTT as a client, and the count of what goes over the wire. Leaves what is said, to whom, and when it
//! is tried again to the callers: upstream, provisioning, uploads, forwarding, the verbs that ask a hub.

pub mod clock;
pub mod dial;
pub mod http;
pub mod mqtt;
pub mod proxy;
pub mod stream;
pub mod traffic;
pub mod trust;
pub mod websocket;
