//! Stands in front of wasmtime-wasi's file system: knows where each descriptor came from, and lets
//! through only what that place allows.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use cap_std::fs::Dir as CapDir;
use wasm_edge_model::manifest::{Grant, GrantAccess as Access};
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::filesystem::{
    Descriptor, Dir, File as WasiFile, WasiFilesystemCtx, WasiFilesystemCtxView,
};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{self, ErrorCode, HostDescriptor};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};
use wasmtime_wasi::{FsPerms, OpenMode};

use super::grants::{self, GrantError, GrantedFile, GrantedFolder, OpenGrants};
use super::quota::{DataQuota, Note};
use crate::budget::{Charge, HostBudget};
use crate::host::events::HostLimitExceeded;
use stream::{QuotaUse, ReadStream, StreamPlace, StreamPlaces, WriteStream};

mod descriptor;
mod listing;
mod stream;

/// Descriptors that one module may have open beside those of its granted places: each holds a file of the
/// host process, which has few.
const OPEN_FILES_MAX: usize = 64;

/// The path of a module's own folder.
const DATA: &str = "/data";

/// Where a descriptor came from.
#[derive(Clone, Debug)]
enum Origin {
    /// The module's own `/data`, or below.
    Data,
    /// A granted folder of this guest path, or below.
    Folder(Arc<str>),
    /// A place where granted files appear.
    Place(Arc<BTreeMap<String, GrantedFile>>),
    /// A granted file.
    File,
}

/// The files of one instance.
pub(crate) struct Files {
    preopens: Vec<(String, Preopen)>,
    origins: HashMap<u32, Origin>,
    /// What lists of folders hold until the guest drops them.
    listings: HashMap<u32, Charge>,
    streams: StreamPlaces,
    quota: Arc<DataQuota>,
    wasi: WasiFilesystemCtx,
    /// Granted paths that are not there, for the module's log.
    pub(crate) missing: Vec<String>,
}

enum Preopen {
    Folder {
        folder: CapDir,
        access: Access,
        origin: Origin,
    },
    Place {
        stand_in: CapDir,
        files: Arc<BTreeMap<String, GrantedFile>>,
    },
}

/// Why the files of an instance could not be made ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    #[error(transparent)]
    Grant(#[from] GrantError),
    #[error("cannot use the module's `/data`")]
    Data(#[source] std::io::Error),
}

impl Files {
    /// Opens `/data` and all grants. `own_folder` is the device's data folder, which is never granted; `note` takes
    /// what is to be said in the module's log.
    pub(crate) fn open(
        data: &CapDir,
        data_limit_bytes: u64,
        grants: &[Grant],
        own_folder: &Path,
        note: Note,
    ) -> Result<Self, FilesError> {
        let quota = DataQuota::new(
            data.try_clone().map_err(FilesError::Data)?,
            data_limit_bytes,
            note,
        )
        .map_err(FilesError::Data)?;
        let mut preopens = vec![(
            DATA.to_owned(),
            Preopen::Folder {
                folder: data.try_clone().map_err(FilesError::Data)?,
                access: Access::ReadWrite,
                origin: Origin::Data,
            },
        )];
        let OpenGrants { folders, missing } = grants::open(grants, own_folder)?;
        for (guest, granted) in folders {
            let preopen = match granted {
                GrantedFolder::Host { folder, access } => Preopen::Folder {
                    folder,
                    access,
                    origin: Origin::Folder(guest.as_str().into()),
                },
                GrantedFolder::Files(files) => Preopen::Place {
                    stand_in: removed_folder(data).map_err(FilesError::Data)?,
                    files: Arc::new(files),
                },
            };
            preopens.push((guest, preopen));
        }
        Ok(Self {
            preopens,
            origins: HashMap::new(),
            listings: HashMap::new(),
            streams: StreamPlaces::default(),
            quota,
            wasi: WasiFilesystemCtx::default(),
            missing,
        })
    }
}

/// A folder that was removed while open: it exists for the descriptor alone, is empty and stays so.
fn removed_folder(beside: &CapDir) -> std::io::Result<CapDir> {
    const NAME: &str = ".wasm-edge-place";
    match beside.create_dir(NAME) {
        Err(err) if err.kind() != std::io::ErrorKind::AlreadyExists => return Err(err),
        _ => {}
    }
    let folder = beside.open_dir(NAME)?;
    beside.remove_dir(NAME)?;
    Ok(folder)
}

/// Marks [`GuardedFiles`] as the data behind the linked file-system interfaces.
pub(crate) struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = GuardedFiles<'a>;
}

/// The file system of a store, for the time of one host call.
pub(crate) struct GuardedFiles<'a> {
    pub(crate) files: &'a mut Files,
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) budget: &'a Arc<HostBudget>,
}

impl GuardedFiles<'_> {
    fn inner(&mut self) -> WasiFilesystemCtxView<'_> {
        WasiFilesystemCtxView {
            ctx: &mut self.files.wasi,
            table: self.table,
        }
    }

    fn origin(&self, fd: &Resource<Descriptor>) -> FsResult<Origin> {
        self.files
            .origins
            .get(&fd.rep())
            .cloned()
            .ok_or_else(|| ErrorCode::BadDescriptor.into())
    }

    /// The origin of a folder in which paths may be used; a place for granted files is none.
    fn folder(&self, fd: &Resource<Descriptor>) -> FsResult<Origin> {
        match self.origin(fd)? {
            Origin::Place(_) => Err(ErrorCode::NotPermitted.into()),
            Origin::File => Err(ErrorCode::NotDirectory.into()),
            origin => Ok(origin),
        }
    }

    fn file(&self, fd: &Resource<Descriptor>) -> FsResult<Arc<File>> {
        match self.table.get(fd)? {
            Descriptor::File(file) => Ok(Arc::clone(&file.file)),
            Descriptor::Dir(_) => Err(ErrorCode::IsDirectory.into()),
        }
    }

    fn push(&mut self, descriptor: Descriptor, origin: Origin) -> FsResult<Resource<Descriptor>> {
        let fd = self.table.push(descriptor)?;
        self.files.origins.insert(fd.rep(), origin);
        Ok(fd)
    }

    fn open_files_max(&self) -> usize {
        OPEN_FILES_MAX + self.files.preopens.len()
    }

    fn check_open_files(&self) -> FsResult<()> {
        if self.files.origins.len() >= self.open_files_max() {
            Err(ErrorCode::InsufficientMemory.into())
        } else {
            Ok(())
        }
    }

    /// Charges an entry to be made in `/data`; other folders have no quota of ours.
    fn charge_entry(&self, origin: &Origin) -> FsResult<()> {
        match origin {
            Origin::Data => self
                .files
                .quota
                .charge_entry()
                .map_err(|_| ErrorCode::Quota.into()),
            _ => Ok(()),
        }
    }

    fn charge_growth(&self, origin: &Origin, file: &File, size_bytes: u64) -> FsResult<()> {
        match origin {
            Origin::Data => self
                .files
                .quota
                .charge_growth(file, size_bytes)
                .map_err(|_| ErrorCode::Quota.into()),
            _ => Ok(()),
        }
    }

    fn freed(&self, origin: &Origin) {
        if matches!(origin, Origin::Data) {
            self.files.quota.freed();
        }
    }

    /// Opens a granted file by its name in a place.
    fn open_granted(
        &mut self,
        files: &BTreeMap<String, GrantedFile>,
        path: &str,
        oflags: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let name = path.strip_prefix("./").unwrap_or(path);
        let granted = files.get(name).ok_or(ErrorCode::NotPermitted)?;
        if oflags.contains(types::OpenFlags::DIRECTORY) {
            return Err(ErrorCode::NotDirectory.into());
        }
        if oflags.contains(types::OpenFlags::EXCLUSIVE) {
            return Err(ErrorCode::Exist.into());
        }
        let wants_write = flags.contains(types::DescriptorFlags::WRITE)
            || oflags.contains(types::OpenFlags::TRUNCATE);
        let (perms, mode) = match granted.access {
            Access::Read if wants_write => return Err(ErrorCode::ReadOnly.into()),
            Access::Read => (FsPerms::ReadOnly, OpenMode::READ),
            Access::ReadWrite => (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE),
        };
        let file = granted.open()?;
        if oflags.contains(types::OpenFlags::TRUNCATE) {
            file.set_len(0)?;
        }
        self.push(
            Descriptor::File(WasiFile::new(file, perms, mode, false)),
            Origin::File,
        )
    }

    /// Refuses what is neither a plain file nor a folder before it is opened: a pipe would hold the
    /// thread that opens it.
    async fn check_kind(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: &str,
    ) -> FsResult<bool> {
        let fd = Resource::new_borrow(fd.rep());
        match self.inner().stat_at(fd, path_flags, path.to_owned()).await {
            Ok(stat) => match stat.type_ {
                types::DescriptorType::RegularFile
                | types::DescriptorType::Directory
                | types::DescriptorType::SymbolicLink => Ok(true),
                _ => Err(ErrorCode::NotPermitted.into()),
            },
            Err(_) => Ok(false),
        }
    }

    /// Refuses what a mount below a granted folder leads to in file systems of the kernel.
    fn check_opened(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<Descriptor>> {
        let foreign = match self.table.get(&fd)? {
            Descriptor::File(file) => grants::is_kernel_file_system(&*file.file),
            Descriptor::Dir(dir) => grants::is_kernel_file_system(&*dir.dir),
        };
        if foreign.unwrap_or(true) {
            self.table.delete(fd)?;
            return Err(ErrorCode::NotPermitted.into());
        }
        Ok(fd)
    }

    fn stream_place(&self) -> FsResult<StreamPlace> {
        let place = self.files.streams.take();
        Ok(place.ok_or(ErrorCode::InsufficientMemory)?)
    }

    fn read_stream(
        &mut self,
        stream: Resource<DynInputStream>,
    ) -> FsResult<Resource<DynInputStream>> {
        let inner = self.table.delete(stream)?;
        let place = self.stream_place()?;
        let stream = ReadStream::new(inner, Arc::clone(self.budget), place);
        Ok(self.table.push(Box::new(stream) as DynInputStream)?)
    }

    /// `position` is where the first byte goes; `None` appends.
    fn write_stream(
        &mut self,
        fd: &Resource<Descriptor>,
        stream: Resource<DynOutputStream>,
        position: Option<u64>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let inner = self.table.delete(stream)?;
        let place = self.stream_place()?;
        let quota = match self.origin(fd)? {
            Origin::Data => Some(QuotaUse {
                quota: Arc::clone(&self.files.quota),
                file: self.file(fd)?,
                position,
            }),
            _ => None,
        };
        let stream = WriteStream::new(inner, quota, Arc::clone(self.budget), place);
        Ok(self.table.push(Box::new(stream) as DynOutputStream)?)
    }
}

impl preopens::Host for GuardedFiles<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        if self.files.origins.len() > self.open_files_max() {
            let text = format!("more than {OPEN_FILES_MAX} open files");
            return Err(wasmtime::Error::new(HostLimitExceeded(text)));
        }
        let mut directories = Vec::with_capacity(self.files.preopens.len());
        for (guest, preopen) in &self.files.preopens {
            let (folder, perms, origin) = match preopen {
                Preopen::Folder {
                    folder,
                    access: Access::ReadWrite,
                    origin,
                } => (folder, FsPerms::ReadWrite, origin.clone()),
                Preopen::Folder {
                    folder,
                    access: Access::Read,
                    origin,
                } => (folder, FsPerms::ReadOnly, origin.clone()),
                Preopen::Place { stand_in, files } => (
                    stand_in,
                    FsPerms::ReadOnly,
                    Origin::Place(Arc::clone(files)),
                ),
            };
            let mode = match perms {
                FsPerms::ReadOnly => OpenMode::READ,
                FsPerms::ReadWrite => OpenMode::READ | OpenMode::WRITE,
            };
            let dir = Dir::new(folder.try_clone()?.into_std_file(), perms, mode, false);
            let fd = self.table.push(Descriptor::Dir(dir))?;
            self.files.origins.insert(fd.rep(), origin);
            directories.push((fd, guest.clone()));
        }
        Ok(directories)
    }
}

impl types::Host for GuardedFiles<'_> {
    fn convert_error_code(&mut self, err: FsError) -> wasmtime::Result<ErrorCode> {
        self.inner().convert_error_code(err)
    }

    fn filesystem_error_code(
        &mut self,
        err: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        let failed = self.table.get(&err)?.downcast_ref::<std::io::Error>();
        let quota = Some(rustix::io::Errno::DQUOT.raw_os_error());
        if failed.is_some_and(|failed| failed.raw_os_error() == quota) {
            // wasmtime-wasi knows no name for it.
            return Ok(Some(ErrorCode::Quota));
        }
        self.inner().filesystem_error_code(err)
    }
}

#[cfg(test)]
mod tests;
