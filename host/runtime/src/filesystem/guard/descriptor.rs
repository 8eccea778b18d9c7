//! What a guest does with descriptors: each call is checked against the place that the descriptor came
//! from, then handed to wasmtime-wasi.

use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, ErrorCode, HostDescriptor, HostDirectoryEntryStream,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::{GuardedFiles, Origin, listing};

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
        let Descriptor::Dir(dir) = self.table.get(&fd)? else {
            return Err(ErrorCode::NotDirectory.into());
        };
        let bytes = listing::size_bytes(dir, self.budget.left_bytes()).await?;
        let charge = self
            .budget
            .charge(bytes)
            .ok_or(ErrorCode::InsufficientMemory)?;
        let stream = self.inner().read_directory(fd).await?;
        self.files.listings.insert(stream.rep(), charge);
        Ok(stream)
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
            .await;
        if opened.is_err() {
            // The entry that was charged is not there.
            self.freed(&origin);
        }
        let opened = self.check_opened(opened?)?;
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
        let stream = self.inner().read_via_stream(fd, offset)?;
        self.read_stream(stream)
    }

    fn write_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: types::Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        let stream = self
            .inner()
            .write_via_stream(Resource::new_borrow(fd.rep()), offset)?;
        self.write_stream(&fd, stream, Some(offset))
    }

    fn append_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let stream = self
            .inner()
            .append_via_stream(Resource::new_borrow(fd.rep()))?;
        self.write_stream(&fd, stream, None)
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
        self.files.listings.remove(&stream.rep());
        HostDirectoryEntryStream::drop(&mut self.inner(), stream)
    }
}
