//! What the router may hold: the limits of its queues, each with its reason.
//!
//! The numbers are checked where places are reserved (`state`) and where messages are put aside (`aside`);
//! the daemon builds a [`Limits`] from its configuration and the deployment's `storeLimits`.

use std::time::Duration;

use wasm_edge_model::message::Message;

use crate::turns::RANKS;

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

/// Messages of one durable queue that are in memory; what waits behind them is on the disk only.
/// Enough to read from the disk in large pieces while those read before are being handed over.
pub const WINDOW_MESSAGES: usize = 256;

/// Bytes of one durable queue that are in memory. One message always is.
pub const WINDOW_BYTES: usize = 256 * 1024;

/// Bytes of all durable queues together that are in memory, beyond one message each.
pub const WINDOWS_BYTES: usize = 4 * 1024 * 1024;

/// The next messages of a durable queue are read once so few are in memory, so that its consumer need not wait.
pub const WINDOW_LOW_MESSAGES: usize = 64;

/// Messages that are read at a time to be thinned out where they wait on the disk.
pub const THIN_MESSAGES: usize = WINDOW_MESSAGES;

/// Wait before a store that cannot be read is read again.
pub const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Bytes that modules may have on their way to the disk: beyond it, a module gets its next message, and may send,
/// once they are written. A disk of 10 MB a second takes them in less than half a second.
pub const PENDING_BYTES: u64 = 4 * 1024 * 1024;

/// Charged for each message in the store beside its content: its record and its places.
pub const RECORD_OVERHEAD_BYTES: usize = 64;

/// Charged for each property of a message in the store beside its text.
pub const RECORD_PROPERTY_OVERHEAD_BYTES: usize = 4;

/// Messages in the store at all endpoints together by default, each counted at every endpoint where it waits.
/// The number is there for those who want to bound it; by default the bytes are what counts.
pub const STORE_MESSAGES: usize = 100_000_000;

/// One sender alone may hold so many parts of the store for each part that it leaves free: seven eighths.
/// More than of the memory, since there is more of it.
pub const STORE_SHARE: usize = 7;

/// Priorities fill the store to different heights, so that a high one finds room where low ones fill it: the first
/// one all of it, each next one a fortieth less, the last three quarters.
pub const STORE_RANK_PARTS: usize = 40;

/// Charged for each message beside its content: the message itself, the tree of its system properties, its
/// place in a queue, the allocator's share.
pub const MESSAGE_OVERHEAD_BYTES: usize = 512;

/// Charged for each property beside its text: two strings' headers and the allocator's share.
/// Without it, 256 properties of one byte each would be held for next to nothing.
pub const PROPERTY_OVERHEAD_BYTES: usize = 64;

/// What the router may hold. `Default` gives the constants of this module.
///
/// Bytes in memory are counted as held: content and overhead ([`charge_bytes`]); bytes in the store as written
/// ([`stored_bytes`]). The journal bounds the bytes in the store in all, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Messages in the store waiting at one endpoint, those in a module's hands and those staged included.
    pub store_endpoint_messages: usize,
    /// Bytes in the store waiting at one endpoint, counted likewise.
    pub store_endpoint_bytes: usize,
    /// Messages in the store in all. One that waits at several endpoints counts at each.
    pub store_messages: usize,
    /// Bytes in the store in all, counted likewise, where the journal would take more.
    pub store_bytes: usize,
    /// Messages in memory waiting at one endpoint, those in a module's hands and those staged included.
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
            store_endpoint_messages: STORE_MESSAGES,
            store_endpoint_bytes: usize::MAX,
            store_messages: STORE_MESSAGES,
            store_bytes: usize::MAX,
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
    /// The largest charge that an empty router takes in memory: one sender may hold half, so a larger message would
    /// be told to come again for ever.
    pub(crate) fn charge_max_bytes(&self) -> usize {
        self.endpoint_bytes.min(self.bytes) / 2
    }

    /// The largest charge that an empty store takes at the lowest priority, where all of it may take so many bytes.
    pub(crate) fn stored_max_bytes(&self, capacity_bytes: usize) -> usize {
        let capacity_bytes = capacity_bytes.min(self.store_bytes);
        let capacity = rank_part(self.store_endpoint_bytes.min(capacity_bytes), RANKS - 1);
        capacity / (STORE_SHARE + 1) * STORE_SHARE
    }
}

/// How far a priority may fill something in the store.
pub(crate) fn rank_part(capacity: usize, rank: usize) -> usize {
    capacity - capacity / STORE_RANK_PARTS * rank
}

/// What a message is charged in bytes at each endpoint while it is in the store, without the system properties that
/// the router adds.
pub fn stored_bytes(message: &Message) -> usize {
    let properties = message.properties.len() + message.system.len();
    message.size_bytes()
        + message.system.bytes()
        + properties * RECORD_PROPERTY_OVERHEAD_BYTES
        + RECORD_OVERHEAD_BYTES
}

/// What a message is charged in bytes while it is held in memory, without the system properties that the router adds.
pub fn charge_bytes(message: &Message) -> usize {
    let properties = message.properties.len() + message.system.len();
    message.size_bytes()
        + message.system.bytes()
        + properties * PROPERTY_OVERHEAD_BYTES
        + MESSAGE_OVERHEAD_BYTES
}
