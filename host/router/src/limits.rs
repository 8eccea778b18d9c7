//! What the router may hold: the limits of its queues, each with its reason.
//!
//! The numbers are checked where places are reserved (`state`) and where messages are put aside (`aside`);
//! the daemon builds a [`Limits`] from its configuration and the deployment's `storeLimits`.

use std::time::Duration;

use wasm_edge_model::message::Message;

/// Messages that wait at one endpoint by default.
/// At ten readings a second that is seven minutes of a module that is down.
pub const ENDPOINT_MESSAGES: usize = 4_096;

/// Bytes that wait at one endpoint by default: as many as a board of 64 MB can spare for one
/// consumer that is away. A small message is charged about one kilobyte, most of it overhead.
pub const ENDPOINT_BYTES: usize = 2 * 1024 * 1024;

/// Messages that wait at all endpoints together by default: four full endpoints.
pub const MESSAGES: usize = 4 * ENDPOINT_MESSAGES;

/// Bytes that wait at all endpoints together by default.
/// The queues are in memory, and a board with 64 MB has to carry them beside its modules.
pub const BYTES: usize = 4 * ENDPOINT_BYTES;

/// Messages put aside that one endpoint keeps by default: enough to see what is wrong with them.
pub const ASIDE_MESSAGES: usize = 64;

/// Bytes of messages put aside that one endpoint keeps by default: at least one message of the largest size.
pub const ASIDE_BYTES: usize = 512 * 1024;

/// Bytes of messages put aside that all endpoints together keep by default.
pub const ASIDE_TOTAL_BYTES: usize = 4 * ASIDE_BYTES;

/// Routes in one table. Every route is looked at when a sender uses an output for the first time, and every
/// endpoint when a module asks for its next message, so the number bounds both.
pub const ROUTES_MAX: usize = 1_024;

/// Endpoints there can be at once: those of the present routes, and those of earlier ones that still hold messages.
pub const ENDPOINTS_MAX: usize = 4 * ROUTES_MAX;

/// Outputs of one sender whose routes are remembered. Modules have a handful; one that makes up output names
/// only makes its own sends slower.
pub const CACHED_OUTPUTS_MAX: usize = 16;

/// Sets of routes whose path is remembered for one output. Conditions that tell more cases apart than this are
/// rare; beyond it a path is put together anew for some messages.
pub const CACHED_PATHS_MAX: usize = 64;

/// Targets of the paths that are remembered for one output: some 32 KiB of memory.
pub const CACHED_TARGETS_MAX: usize = 1_024;

/// Failed tries (a trap, the deadline, out of memory) after which a message is put aside.
pub const TRIES_MAX: u32 = 5;

/// Times that a module may ask for the same message later before it is put aside.
pub const RETRIES_MAX: u32 = 1_000;

/// Longest wait that a module may ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// Wait after the first failed try; it doubles with each further one.
pub const TRY_WAIT_FIRST: Duration = Duration::from_secs(1);

/// Longest wait after a failed try.
pub const TRY_WAIT_MAX: Duration = Duration::from_secs(60);

/// Bytes of the text kept with a message that was put aside; the rest is cut.
pub const REASON_BYTES_MAX: usize = 1_024;

/// Charged for each message beside its content: the message itself, the tree of its system properties, its
/// place in a queue, the allocator's share.
pub const MESSAGE_OVERHEAD_BYTES: usize = 512;

/// Charged for each property beside its text: two strings' headers and the allocator's share.
/// Without it, 256 properties of one byte each would be held for next to nothing.
pub const PROPERTY_OVERHEAD_BYTES: usize = 64;

/// What the router may hold. `Default` gives the constants of this module.
///
/// All bytes are counted as held: content and overhead ([`charge_bytes`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Messages waiting at one endpoint, those in a module's hands and those staged included.
    pub endpoint_messages: usize,
    /// Bytes waiting at one endpoint, counted likewise.
    pub endpoint_bytes: usize,
    /// Messages in all. One that waits at several endpoints counts once.
    pub messages: usize,
    /// Bytes in all. A message that waits at several endpoints counts once, as it is held once.
    pub bytes: usize,
    /// Messages put aside that one endpoint keeps; the oldest goes first.
    pub aside_messages: usize,
    /// Bytes of messages put aside that one endpoint keeps.
    pub aside_bytes: usize,
    /// Bytes of messages put aside that all endpoints keep; the oldest of all goes first.
    pub aside_total_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            endpoint_messages: ENDPOINT_MESSAGES,
            endpoint_bytes: ENDPOINT_BYTES,
            messages: MESSAGES,
            bytes: BYTES,
            aside_messages: ASIDE_MESSAGES,
            aside_bytes: ASIDE_BYTES,
            aside_total_bytes: ASIDE_TOTAL_BYTES,
        }
    }
}

impl Limits {
    /// The largest charge that an empty router takes: one sender may hold half, so a larger message would be
    /// told to come again for ever.
    pub(crate) fn charge_max_bytes(&self) -> usize {
        self.endpoint_bytes.min(self.bytes) / 2
    }
}

/// What a message is charged in bytes while it is held, without the system properties that the router adds.
pub fn charge_bytes(message: &Message) -> usize {
    let properties = message.properties.len() + message.system.len();
    message.size_bytes()
        + message.system.bytes()
        + properties * PROPERTY_OVERHEAD_BYTES
        + MESSAGE_OVERHEAD_BYTES
}
