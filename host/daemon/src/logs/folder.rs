//! The folder of a device's logs: a folder per module, found again after a restart or without a running device.

use std::io;
use std::path::Path;
use std::sync::Arc;

use cap_std::fs::Dir;
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_store::folder::view::DataFolderView;

use super::reader::{LogSnapshot, ModuleSnapshot};
use super::record::{FirstLine, Header};
use super::segment;
use super::slots::{Access, FolderSlots, SLOTS, Slots};

/// The most devices whose logs are looked for.
const DEVICES_MAX: usize = 1024;

/// Where the files of a module's log lie.
pub(super) fn slots(logs: &Arc<Dir>, module: &ModuleId) -> Arc<dyn Slots> {
    let name = module.folder_name();
    Arc::new(FolderSlots::new(Arc::clone(logs), name, Access::ReadWrite))
}

/// The modules that have a log in a device's folder. A folder that is none of ours is told and left alone.
pub(super) fn modules(logs: &Arc<Dir>, device: &DeviceId) -> Vec<ModuleId> {
    let found = match headers(logs) {
        Ok(found) => found,
        Err(err) => {
            tracing::warn!(%device, %err, "the modules' logs cannot be listed; they begin anew");
            return Vec::new();
        }
    };
    found.into_iter().map(|header| header.module).collect()
}

/// The logs of all devices in a data folder, read without the process that holds it.
///
/// What was logged last may be missing while one does.
///
/// # Errors
/// When the folder is none of ours, or cannot be read.
pub fn snapshots(data_folder: &Path) -> io::Result<Vec<LogSnapshot>> {
    let view = DataFolderView::open(data_folder).map_err(io::Error::other)?;
    let mut snapshots: Vec<LogSnapshot> = Vec::new();
    for device in view.devices(DEVICES_MAX)? {
        let Some(logs) = device.logs()? else {
            continue;
        };
        let logs = Arc::new(logs);
        for Header { device, module } in headers(&logs)? {
            let name = module.folder_name();
            let slots = FolderSlots::new(Arc::clone(&logs), name, Access::Read);
            let module = ModuleSnapshot {
                module,
                slots: Arc::new(slots),
                unwritten: Vec::new(),
            };
            match snapshots.last_mut().filter(|last| last.device == device) {
                Some(last) => last.modules.push(module),
                None => snapshots.push(LogSnapshot {
                    device,
                    modules: vec![module],
                    end_seq: u64::MAX,
                }),
            }
        }
    }
    Ok(snapshots)
}

impl LogSnapshot {
    /// The device.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The modules that have logged, by name.
    pub fn modules(&self) -> impl Iterator<Item = &ModuleId> {
        self.modules.iter().map(|module| &module.module)
    }
}

/// Whose logs lie in a folder, by name.
fn headers(logs: &Arc<Dir>) -> io::Result<Vec<Header>> {
    let mut found = Vec::new();
    for entry in logs.entries()? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let slots = FolderSlots::new(Arc::clone(logs), name.clone(), Access::Read);
        match header(&slots) {
            Ok(Some(header)) if header.module.folder_name() == name => found.push(header),
            Ok(_) => tracing::warn!(folder = name, "not the log of a module; it is left alone"),
            Err(err) => tracing::warn!(folder = name, %err, "a log cannot be read"),
        }
    }
    found.sort_by(|a, b| a.module.cmp(&b.module));
    Ok(found)
}

/// The header of any file of a log.
fn header(slots: &FolderSlots) -> io::Result<Option<Header>> {
    for slot in 0..SLOTS {
        let Some(disk) = slots.open(slot)? else {
            continue;
        };
        if let FirstLine::Header { header, .. } = segment::open(disk)?.0 {
            return Ok(Some(header));
        }
    }
    Ok(None)
}
