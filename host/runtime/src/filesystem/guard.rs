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
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, ErrorCode, HostDescriptor, HostDirectoryEntryStream,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};
use wasmtime_wasi::{FsPerms, OpenMode};

use super::grants::{self, GrantError, GrantedFile, GrantedFolder, OpenGrants};
use super::quota::DataQuota;
use stream::QuotaStream;

mod stream;

/// Descriptors and streams of files that one module may have open: each holds a file of the host
/// process, which has few.
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
    /// Opens `/data` and all grants. `own_folder` is the device's data folder, which is never granted.
    pub(crate) fn open(
        data: &CapDir,
        data_limit_bytes: u64,
        grants: &[Grant],
        own_folder: &Path,
    ) -> Result<Self, FilesError> {
        let quota = DataQuota::new(
            data.try_clone().map_err(FilesError::Data)?,
            data_limit_bytes,
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

    fn check_open_files(&self) -> FsResult<()> {
        if self.files.origins.len() >= OPEN_FILES_MAX {
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

    fn wrap_output(
        &mut self,
        fd: &Resource<Descriptor>,
        stream: Resource<DynOutputStream>,
        offset: Option<u64>,
    ) -> FsResult<Resource<DynOutputStream>> {
        if !matches!(self.origin(fd)?, Origin::Data) {
            return Ok(stream);
        }
        let file = self.file(fd)?;
        let inner = self.table.delete(stream)?;
        let quota = Arc::clone(&self.files.quota);
        let wrapped: DynOutputStream = Box::new(QuotaStream::new(inner, file, quota, offset));
        Ok(self.table.push(wrapped)?)
    }
}

impl preopens::Host for GuardedFiles<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
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
        self.inner().filesystem_error_code(err)
    }
}

impl HostDescriptor for GuardedFiles<'_> {
    async fn advise(
        &mut self,
        fd: Resource<Descriptor>,
        offset: types::Filesize,
        len: types::Filesize,
        advice: types::Advice,
    ) -> FsResult<()> {
        self.inner().advise(fd, offset, len, advice).await
    }

    async fn sync_data(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.inner().sync_data(fd).await
    }

    async fn get_flags(&mut self, fd: Resource<Descriptor>) -> FsResult<types::DescriptorFlags> {
        self.inner().get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Resource<Descriptor>) -> FsResult<types::DescriptorType> {
        self.inner().get_type(fd).await
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, size: types::Filesize) -> FsResult<()> {
        let origin = self.origin(&fd)?;
        let file = self.file(&fd)?;
        self.charge_growth(&origin, &file, size)?;
        self.freed(&origin);
        self.inner().set_size(fd, size).await
    }

    async fn set_times(
        &mut self,
        fd: Resource<Descriptor>,
        atim: types::NewTimestamp,
        mtim: types::NewTimestamp,
    ) -> FsResult<()> {
        self.inner().set_times(fd, atim, mtim).await
    }

    async fn read(
        &mut self,
        fd: Resource<Descriptor>,
        len: types::Filesize,
        offset: types::Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        self.inner().read(fd, len, offset).await
    }

    async fn write(
        &mut self,
        fd: Resource<Descriptor>,
        buf: Vec<u8>,
        offset: types::Filesize,
    ) -> FsResult<types::Filesize> {
        let origin = self.origin(&fd)?;
        let file = self.file(&fd)?;
        self.charge_growth(&origin, &file, offset.saturating_add(buf.len() as u64))?;
        self.inner().write(fd, buf, offset).await
    }

    async fn read_directory(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<Resource<types::DirectoryEntryStream>> {
        self.folder(&fd)?;
        self.check_open_files()?;
        self.inner().read_directory(fd).await
    }

    async fn sync(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.inner().sync(fd).await
    }

    async fn create_directory_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let origin = self.folder(&fd)?;
        self.charge_entry(&origin)?;
        let made = self.inner().create_directory_at(fd, path).await;
        if made.is_err() {
            self.freed(&origin);
        }
        made
    }

    async fn stat(&mut self, fd: Resource<Descriptor>) -> FsResult<types::DescriptorStat> {
        self.inner().stat(fd).await
    }

    async fn stat_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::DescriptorStat> {
        if let Origin::Place(files) = self.origin(&fd)? {
            let opened = self.open_granted(
                &files,
                &path,
                types::OpenFlags::empty(),
                types::DescriptorFlags::READ,
            )?;
            let stat = self.inner().stat(Resource::new_borrow(opened.rep())).await;
            HostDescriptor::drop(self, opened).map_err(FsError::trap)?;
            return stat;
        }
        self.inner().stat_at(fd, path_flags, path).await
    }

    async fn set_times_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
        atim: types::NewTimestamp,
        mtim: types::NewTimestamp,
    ) -> FsResult<()> {
        self.folder(&fd)?;
        self.inner()
            .set_times_at(fd, path_flags, path, atim, mtim)
            .await
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        old_path_flags: types::PathFlags,
        old_path: String,
        new_descriptor: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        let (from, to) = (self.folder(&fd)?, self.folder(&new_descriptor)?);
        check_same_place(&from, &to)?;
        self.charge_entry(&to)?;
        self.inner()
            .link_at(fd, old_path_flags, old_path, new_descriptor, new_path)
            .await
    }

    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
        oflags: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        self.check_open_files()?;
        if let Origin::Place(files) = self.origin(&fd)? {
            return self.open_granted(&files, &path, oflags, flags);
        }
        let origin = self.folder(&fd)?;
        let exists = self
            .check_kind(Resource::new_borrow(fd.rep()), path_flags, &path)
            .await?;
        if oflags.contains(types::OpenFlags::CREATE) && !exists {
            self.charge_entry(&origin)?;
        }
        if oflags.contains(types::OpenFlags::TRUNCATE) {
            self.freed(&origin);
        }
        let opened = self
            .inner()
            .open_at(fd, path_flags, path, oflags, flags)
            .await?;
        let opened = self.check_opened(opened)?;
        if let (Origin::Data, Descriptor::File(file)) = (&origin, self.table.get(&opened)?) {
            self.files.quota.opened(&file.file);
        }
        self.files.origins.insert(opened.rep(), origin);
        Ok(opened)
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.files.origins.remove(&fd.rep());
        HostDescriptor::drop(&mut self.inner(), fd)
    }

    async fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<String> {
        self.folder(&fd)?;
        self.inner().readlink_at(fd, path).await
    }

    async fn remove_directory_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let origin = self.folder(&fd)?;
        self.freed(&origin);
        self.inner().remove_directory_at(fd, path).await
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        old_path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        let (from, to) = (self.folder(&fd)?, self.folder(&new_fd)?);
        check_same_place(&from, &to)?;
        self.freed(&to);
        self.inner().rename_at(fd, old_path, new_fd, new_path).await
    }

    async fn symlink_at(
        &mut self,
        fd: Resource<Descriptor>,
        src_path: String,
        dest_path: String,
    ) -> FsResult<()> {
        let origin = self.folder(&fd)?;
        self.charge_entry(&origin)?;
        self.inner().symlink_at(fd, src_path, dest_path).await
    }

    async fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        let origin = self.folder(&fd)?;
        self.freed(&origin);
        self.inner().unlink_file_at(fd, path).await
    }

    fn read_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: types::Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        self.inner().read_via_stream(fd, offset)
    }

    fn write_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: types::Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        let stream = self
            .inner()
            .write_via_stream(Resource::new_borrow(fd.rep()), offset)?;
        self.wrap_output(&fd, stream, Some(offset))
    }

    fn append_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let stream = self
            .inner()
            .append_via_stream(Resource::new_borrow(fd.rep()))?;
        self.wrap_output(&fd, stream, None)
    }

    async fn is_same_object(
        &mut self,
        a: Resource<Descriptor>,
        b: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.inner().is_same_object(a, b).await
    }

    async fn metadata_hash(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<types::MetadataHashValue> {
        self.inner().metadata_hash(fd).await
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        self.folder(&fd)?;
        self.inner().metadata_hash_at(fd, path_flags, path).await
    }
}

/// Files do not move between `/data`, which has a quota, and folders of the host, or among these.
fn check_same_place(from: &Origin, to: &Origin) -> FsResult<()> {
    match (from, to) {
        (Origin::Data, Origin::Data) => Ok(()),
        (Origin::Folder(from), Origin::Folder(to)) if from == to => Ok(()),
        _ => Err(ErrorCode::CrossDevice.into()),
    }
}

impl HostDirectoryEntryStream for GuardedFiles<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<types::DirectoryEntryStream>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        self.inner().read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(&mut self.inner(), stream)
    }
}
