//! Connecting to a broker, as a client that only publishes.
//!
//! A session is a clean one: what has to be sent again this side knows.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use thiserror::Error;
use wasm_edge_model::message::MESSAGE_SIZE_MAX_BYTES;
use wasm_edge_net::dial::{DialError, Dialer, Security};
use wasm_edge_net::mqtt::{ConnectOptions, Connection, MqttError};
use wasm_edge_net::traffic::Counter;
use zeroize::Zeroizing;

use super::target::ForwardTarget;

/// How long the broker may be silent while it owes an answer, or take nothing of what is sent.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// How long nothing may be sent before a ping is.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The largest packet to the broker: a message written as JSON with every byte escaped, with its topic.
const OUTGOING_MAX_BYTES: usize = 8 * MESSAGE_SIZE_MAX_BYTES;

/// The largest packet of the broker's; it has nothing to say but acknowledgements.
const INCOMING_MAX_BYTES: usize = 1024;

/// How forwarding on a connection ended.
pub(super) enum Ended {
    /// It was told to, or the hub closes.
    Stopped,
    /// It is to be tried again.
    Failed(ForwardError),
}

/// Why a connection to a broker was not made, or ended.
#[derive(Debug, Error)]
pub(super) enum ForwardError {
    #[error("cannot connect to the broker")]
    Dial(#[from] DialError),
    #[error(transparent)]
    Mqtt(#[from] MqttError),
}

/// Connects, and is let in.
pub(super) async fn open(
    target: &ForwardTarget,
    dialer: &Dialer,
) -> Result<Connection, ForwardError> {
    let security = match target.is_tls() {
        true => Security::Tls,
        false => Security::Plain,
    };
    // Bytes are not counted: the hub is no device.
    let counter = Counter::default();
    let dialing = dialer.dial(target.host(), target.port(), security, &counter);
    let stream = dialing.await?;
    let (user_name, password) = match target.login() {
        Some(login) => (login.user.clone(), login.password.clone()),
        None => Default::default(),
    };
    let options = ConnectOptions {
        client_id: client_id(),
        user_name,
        password: Zeroizing::new(password),
        clean_session: true,
        keep_alive: KEEP_ALIVE,
        answer_timeout: ANSWER_TIME_MAX,
        incoming_max_bytes: INCOMING_MAX_BYTES,
        outgoing_max_bytes: OUTGOING_MAX_BYTES,
        is_message: |_| true,
    };
    let (connection, _) = Connection::open(stream, options, counter).await?;
    Ok(connection)
}

/// One that nobody else has: two with one would throw each other out.
fn client_id() -> String {
    let mut random = [0; 8];
    // Without randomness the process is the difference.
    let _ = SystemRandom::new().fill(&mut random);
    format!(
        "wasm-edge-{}-{:016x}",
        std::process::id(),
        u64::from_le_bytes(random)
    )
}
