//! What the list of a folder takes in the host, asked before it is made: wasmtime-wasi reads a folder whole.

use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use wasmtime_wasi::filesystem::Dir;

/// Bytes that an entry takes beside its name: its record, the growth of the list, the allocator's share.
const ENTRY_OVERHEAD_BYTES: usize = 160;

/// Counts the entries of a folder and says how many bytes their list will take; beyond `limit_bytes` it does not
/// count on.
///
/// Entries that come after the count are not in it: they are made by programs of the device, or by the module
/// itself, which cannot do so while it waits for the list.
pub(super) async fn size_bytes(dir: &Dir, limit_bytes: u64) -> std::io::Result<usize> {
    let folder = Arc::clone(&dir.dir);
    let counted = tokio::task::spawn_blocking(move || {
        let mut bytes = ENTRY_OVERHEAD_BYTES;
        // The handle itself may be one for paths only, which cannot be read.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let readable = rustix::fs::openat(&*folder, ".", flags, Mode::empty())?;
        for entry in rustix::fs::Dir::new(readable)? {
            bytes += entry?.file_name().count_bytes() + ENTRY_OVERHEAD_BYTES;
            if bytes as u64 > limit_bytes {
                break;
            }
        }
        Ok(bytes)
    });
    counted
        .await
        .expect("counting does not panic, and the runtime outlives its instances")
}
